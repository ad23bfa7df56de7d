//! Attachments of two sides that change as they like.

use std::collections::BTreeSet;

use lockstep_engine::merge::{
    attachments::{File, MAX_NAME, Plan, name, plan},
    rules::Flow,
};
use proptest::prelude::*;

fn files() -> impl Strategy<Value = BTreeSet<File>> {
    let file = (prop::sample::select(vec!["a.txt", "b.txt", "c"]), 0_u8..3)
        .prop_map(|(name, content)| File { name: name.to_owned(), digest: [content; 32] });
    prop::collection::btree_set(file, 0..6)
}

fn flow() -> impl Strategy<Value = Flow> {
    (any::<bool>(), any::<bool>()).prop_map(|(to_crm, to_server)| Flow { to_crm, to_server, put_back: false })
}

/// Both sides and the base after a plan was carried out.
fn after(plan: &Plan, crm: &BTreeSet<File>, server: &BTreeSet<File>) -> [BTreeSet<File>; 3] {
    let applied = |side: &BTreeSet<File>, added: &[File], removed: &[File]| {
        let left = side.iter().filter(|file| !removed.contains(file));
        left.chain(added).cloned().collect::<BTreeSet<_>>()
    };
    let crm = applied(crm, &plan.to_crm, &plan.from_crm);
    let server = applied(server, &plan.to_server, &plan.from_server);
    let base = plan.agreed.iter().chain(&plan.to_crm).chain(&plan.to_server).cloned().collect();
    [base, crm, server]
}

proptest! {
    /// J11: once carried out, nothing is left to do.
    #[test]
    fn j11_it_comes_to_rest(base in files(), crm in files(), server in files(), flow in flow()) {
        let [base, crm, server] = after(&plan(&base, &crm, &server, flow), &crm, &server);
        let again = plan(&base, &crm, &server, flow);
        prop_assert!(again.is_empty(), "{again:?}");
        prop_assert_eq!(again.agreed, base);
    }

    /// J11: what one side has and the other never had is on both afterwards; what goes was agreed on and removed by
    /// somebody; with both ways open both sides are the same.
    #[test]
    fn j11_nothing_is_lost_that_nobody_removed(base in files(), crm in files(), server in files()) {
        let open = Flow { to_crm: true, to_server: true, put_back: false };
        let [agreed, crm_after, server_after] = after(&plan(&base, &crm, &server, open), &crm, &server);
        prop_assert_eq!(&crm_after, &server_after);
        prop_assert_eq!(&agreed, &crm_after);
        for file in crm.union(&server) {
            let removed = base.contains(file) && !(crm.contains(file) && server.contains(file));
            prop_assert_eq!(crm_after.contains(file), !removed, "{:?}", file);
        }
    }

    /// J11: a side that nothing may flow to stays as it is.
    #[test]
    fn j11_closed_ways_are_not_gone(base in files(), crm in files(), server in files(), flow in flow()) {
        let [_, crm_after, server_after] = after(&plan(&base, &crm, &server, flow), &crm, &server);
        prop_assert!(flow.to_crm || crm_after == crm);
        prop_assert!(flow.to_server || server_after == server);
    }

    /// J11: two agreements lost, as when a worker dies before it writes them down, double nothing.
    #[test]
    fn j11_a_lost_agreement_doubles_nothing(crm in files(), server in files(), flow in flow()) {
        let [_, crm, server] = after(&plan(&BTreeSet::new(), &crm, &server, flow), &crm, &server);
        prop_assert!(plan(&BTreeSet::new(), &crm, &server, flow).is_empty());
    }

    /// J11: names from outside end as one harmless line, and stay what they are from then on.
    #[test]
    fn j11_names_are_harmless_and_stay(outside in any::<String>()) {
        let kept = name(&outside);
        prop_assert!((1..=MAX_NAME).contains(&kept.len()));
        prop_assert!(!kept.contains(['/', '\\', '\0', '\n', '\r']));
        prop_assert_eq!(name(&kept), kept);
    }
}
