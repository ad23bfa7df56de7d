//! Deactivated contacts are known by a category of their items (K4). It is no field: nothing of it flows back, and a
//! person's other categories are not looked at.

use lockstep_model::record::{Patch, RemoteVersion};

use super::{
    ItemPlan, Pair, Seen, Step,
    deletion::Why,
    plan::{Key, Tie},
};

/// Whether the item of a contact gets the category (`true`) or loses it; `None`: it is as it should be, or the plan lets
/// the item alone. `marked`: it has it.
///
/// What only leaves the filters is marked before it is let go, for that pair is taken up again when the contact is
/// active again; whatever else is let go stays as it stands.
pub fn change(active: bool, marked: bool, tie: Tie, steps: &[Step]) -> Option<bool> {
    let lets_go = |step: &Step| match step {
        Step::Unlink { why } => *why != Why::LeftFilters || active,
        Step::Forget | Step::Look { .. } | Step::Hold { .. } => true,
        step => step.deletes().is_some(),
    };
    let linked = tie == Tie::Linked || steps.contains(&Step::Relink);
    (linked && active == marked && !steps.iter().any(lets_go)).then_some(!active)
}

/// Has the plan of a pair write to its item although no value changes, where only the category does.
pub fn write_anyway(plan: &mut ItemPlan, pair: &Pair, server: &Seen<RemoteVersion>) {
    if plan.steps.iter().any(Step::is_remote) {
        return;
    }
    let step = Step::UpdateItem {
        key: Key::of_change(pair.link, &server.version),
        remote: pair.remote.clone(),
        expected: server.version.clone(),
        patch: Patch::default(),
    };
    plan.steps.insert(0, step);
}

#[cfg(test)]
mod tests {
    use lockstep_model::{
        record::{RecordId, RecordVersion},
        remote::RemoteKey,
    };
    use uuid::Uuid;

    use super::*;

    /// K4: the category follows the state and nothing else; once it does, nothing is written.
    #[test]
    fn k4_the_category_follows_the_state() {
        let id = RecordId(Uuid::from_u128(1));
        let remote = RemoteKey::new("i1").unwrap();
        let update = Step::UpdateRecord { record: id, expected: RecordVersion(1), patch: Patch::default() };
        let delete =
            Step::DeleteItem { key: Key(Uuid::nil()), remote: remote.clone(), expected: RemoteVersion("v".to_owned()) };
        let gone = Step::DeleteRecord { record: id, expected: RecordVersion(1) };
        let (linked, let_go) = (Tie::Linked, Tie::Unlinked(Why::LeftFilters));
        for (what, tie, steps, inactive, active) in [
            ("nothing else happens", linked, vec![], Some(true), Some(false)),
            ("values flow too", linked, vec![update.clone()], Some(true), Some(false)),
            ("it leaves the filters", linked, vec![update, Step::Unlink { why: Why::LeftFilters }], Some(true), None),
            ("it comes back", let_go, vec![Step::Relink], Some(true), Some(false)),
            ("it was let go", let_go, vec![], None, None),
            ("it is another's now", linked, vec![Step::Unlink { why: Why::Ownership }], None, None),
            ("its item goes", linked, vec![delete], None, None),
            ("its record goes", linked, vec![gone], None, None),
            ("nothing is left", linked, vec![Step::Forget], None, None),
        ] {
            assert_eq!(change(false, false, tie, &steps), inactive, "{what}: deactivated");
            assert_eq!(change(true, true, tie, &steps), active, "{what}: reactivated");
            assert_eq!(change(false, true, tie, &steps), None, "{what}: is marked");
            assert_eq!(change(true, false, tie, &steps), None, "{what}: is not marked");
        }
    }
}
