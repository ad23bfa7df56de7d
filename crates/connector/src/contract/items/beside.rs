//! What goes with a write beside values, and whose the mailbox is.

use chrono::{DateTime, Utc};
use lockstep_model::{
    id::OrganisationId,
    record::{Field, Kind, Patch},
};
use uuid::Uuid;

use super::{World, close, create, deadline, done, fresh, item, mark, open, port, sample, update, write};
use crate::items::{Beside, CategoryChange, Claim, Folder, Item, NotDone, Write};

/// Everything of it.
pub(super) async fn all(world: &dyn World) {
    one_category_comes_and_goes(world).await;
    nobody_is_reminded(world).await;
    says_whose_it_is(world).await;
}

fn with(item: &Item, change: CategoryChange, name: &str) -> Write {
    let beside = Beside { category: Some((change, name.to_owned())), ..Beside::default() };
    match update(item, Patch::default()) {
        Write::Update { item, patch, tell, .. } => Write::Update { item, patch, beside, tell },
        other => other,
    }
}

/// A category is given and taken in the state that was read; the others stay, and giving what is there changes nothing.
async fn one_category_comes_and_goes(world: &dyn World) {
    let (_, mut session) = fresh(world).await;
    let key = done(&mut session, create(Kind::Contact, sample(Kind::Contact).0, mark())).await.key;
    let first = item(&mut session, Folder::Contacts, &key).await;
    for n in 0..60 {
        let there = item(&mut session, Folder::Contacts, &key).await;
        done(&mut session, with(&there, CategoryChange::Given, &format!("own {n}"))).await;
    }
    assert_eq!(write(&mut session, with(&first, CategoryChange::Given, "late")).await, Err(NotDone::Conflict));
    let before = item(&mut session, Folder::Contacts, &key).await;
    assert_eq!(before.fields, first.fields, "no value is touched");
    let again = done(&mut session, with(&before, CategoryChange::Given, "own 59")).await;
    assert_eq!(again.version.as_ref(), Some(&before.head.version), "nothing was written");
    done(&mut session, with(&before, CategoryChange::Taken, "own 0")).await;
    let after = item(&mut session, Folder::Contacts, &key).await;
    assert_eq!(after.head.categories[..2], ["own 1", "own 2"], "also those that are not told of stay");
    assert_eq!(after.head.categories.len(), before.head.categories.len());
    assert_eq!(write(&mut session, with(&before, CategoryChange::Taken, "own 1")).await, Err(NotDone::Conflict));
    close(session).await;
}

/// An appointment without a reminder is made and changed like any other.
async fn nobody_is_reminded(world: &dyn World) {
    let (_, mut session) = fresh(world).await;
    let beside = Beside { no_reminder: true, ..Beside::default() };
    let (values, change) = sample(Kind::Appointment);
    let new = match create(Kind::Appointment, values, mark()) {
        Write::Create { kind, values, mark, tell, .. } => {
            Write::Create { kind, values, mark, beside: beside.clone(), tell }
        }
        other => other,
    };
    let key = done(&mut session, new).await.key;
    let there = item(&mut session, Folder::Calendar, &key).await;
    let changed = match update(&there, change.clone()) {
        Write::Update { item, patch, tell, .. } => Write::Update { item, patch, beside, tell },
        other => other,
    };
    done(&mut session, changed).await;
    let mut expected = there.fields.clone();
    expected.apply(&change);
    let now = item(&mut session, Folder::Calendar, &key).await;
    assert_eq!((now.fields.get(Field::Subject), &now.fields), (expected.get(Field::Subject), &expected));
    close(session).await;
}

/// D8: a mailbox is nobody's, then whoever's has said so last; who only says that it is at work changes nothing of that.
async fn says_whose_it_is(world: &dyn World) {
    let (target, mut session) = fresh(world).await;
    let at = |text: &str| Some(text.parse::<DateTime<Utc>>().unwrap());
    let (one, other) = (OrganisationId(Uuid::from_u128(1)), OrganisationId(Uuid::from_u128(2)));
    assert_eq!(port(&mut session).claim(&deadline()).await, Ok(None));
    let ours = Claim { organisation: one, synchronised_at: at("2027-01-02T03:04:05Z") };
    port(&mut session).set_claim(&ours, &deadline()).await.unwrap();
    assert_eq!(port(&mut session).claim(&deadline()).await, Ok(Some(ours)));
    let mut somebody = open(world, &target).await;
    assert_eq!(port(&mut somebody).claim(&deadline()).await, Ok(Some(ours)), "it is the mailbox that says it");
    let theirs = Claim { organisation: other, synchronised_at: at("2027-01-03T00:00:00Z") };
    port(&mut somebody).set_claim(&theirs, &deadline()).await.unwrap();
    close(somebody).await;
    let later = at("2027-01-04T00:00:00Z");
    port(&mut session).note_synchronised(later.unwrap(), &deadline()).await.unwrap();
    let now = Claim { synchronised_at: later, ..theirs };
    assert_eq!(port(&mut session).claim(&deadline()).await, Ok(Some(now)), "the organisation stays as it was");
    close(session).await;
}
