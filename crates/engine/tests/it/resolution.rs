//! Addresses and records.

use lockstep_engine::resolution::{Candidate, MAX_MATCHES, recipients, sender};
use lockstep_model::{email::PartyKind, id::UserId};
use proptest::prelude::*;
use uuid::Uuid;

use crate::values::at;

fn record(id: u128, kind: PartyKind, created: i64) -> Candidate {
    Candidate { kind, id: Uuid::from_u128(id), owner: None, active: true, created_at: at(created) }
}

fn resolved(candidates: &[Candidate], owner: Option<UserId>) -> Option<u128> {
    sender(candidates, owner).map(|c| c.id.as_u128())
}

/// F16: of several, the kind decides.
#[test]
fn kinds_have_an_order() {
    let mut all: Vec<Candidate> =
        PartyKind::ALL.iter().rev().enumerate().map(|(at, kind)| record(at as u128, *kind, 0)).collect();
    for expected in [PartyKind::User, PartyKind::Contact, PartyKind::Account, PartyKind::Lead, PartyKind::Queue] {
        assert_eq!(sender(&all, None).map(|c| c.kind), Some(expected));
        all.retain(|c| c.kind != expected);
    }
    assert_eq!(sender(&all, None).map(|c| c.kind), Some(PartyKind::Other));
}

/// F16: the mailbox owner's records before any other's, then by kind, then by age.
#[test]
fn the_owners_records_come_first_then_the_oldest() {
    let (me, other) = (UserId::new(), UserId::new());
    let user = record(1, PartyKind::User, 0);
    let old = record(2, PartyKind::Contact, 10);
    let mine = Candidate { owner: Some(me), ..record(3, PartyKind::Lead, 99) };
    let theirs = Candidate { owner: Some(other), ..record(4, PartyKind::Contact, 5) };
    assert_eq!(resolved(&[user, old, mine, theirs], Some(me)), Some(3), "mine, whatever the kind");
    assert_eq!(resolved(&[old, mine, theirs], Some(UserId::new())), Some(4), "the older contact");
    assert_eq!(resolved(&[old, mine, theirs], None), Some(4), "a record without an owner is nobody's own");
    assert_eq!(resolved(&[old, record(5, PartyKind::Contact, 10)], None), Some(2), "same age: the smaller id, always");
}

/// F16: one match counts whatever its state, several only where they are in use; a disabled user never.
#[test]
fn inactive_records() {
    let inactive = |c: Candidate| Candidate { active: false, ..c };
    let contact = inactive(record(1, PartyKind::Contact, 0));
    let lead = record(2, PartyKind::Lead, 0);
    let user = inactive(record(3, PartyKind::User, 0));
    assert_eq!(resolved(&[contact], None), Some(1), "a single match counts whatever its state");
    assert_eq!(resolved(&[contact, lead], None), Some(2));
    assert_eq!(resolved(&[contact, inactive(lead)], None), None, "several, none in use");
    assert_eq!(resolved(&[user], None), None, "a disabled user never");
    assert_eq!(resolved(&[user, contact], None), Some(1), "and does not stand in the way");
    assert_eq!(resolved(&[], None), None);
}

/// F16: beyond a hundred matches an address is nobody's.
#[test]
fn too_many_matches_say_nothing() {
    let many: Vec<_> = (0..=MAX_MATCHES as u128).map(|id| record(id, PartyKind::Contact, 0)).collect();
    assert_eq!(resolved(&many, None), None);
    assert!(recipients(&many).is_empty());
    assert_eq!(resolved(&many[1..], None), Some(1));
    assert_eq!(recipients(&many[1..]).len(), MAX_MATCHES);
}

/// F17: a recipient is everybody with the address.
#[test]
fn recipients_are_all_matches_but_disabled_users() {
    let inactive = Candidate { active: false, ..record(1, PartyKind::Lead, 0) };
    let disabled = Candidate { active: false, ..record(2, PartyKind::User, 0) };
    let all = [inactive, disabled, record(3, PartyKind::Queue, 0), record(4, PartyKind::User, 0)];
    let ids: Vec<u128> = recipients(&all).iter().map(|c| c.id.as_u128()).collect();
    assert_eq!(ids, [4, 1, 3]);
}

proptest! {
    /// The answer does not depend on the order in which the database gives the matches.
    #[test]
    fn order_does_not_matter(
        rows in proptest::collection::vec((proptest::sample::select(PartyKind::ALL), any::<bool>(), 0..3_i64, any::<bool>()), 0..12),
        turn in 0..12_usize,
    ) {
        let me = UserId::new();
        let mut all: Vec<Candidate> = rows
            .into_iter()
            .enumerate()
            .map(|(id, (kind, active, created, mine))| Candidate { active, owner: mine.then_some(me), ..record(id as u128, kind, created) })
            .collect();
        let before = resolved(&all, Some(me));
        let turn = turn.min(all.len());
        all.rotate_left(turn);
        prop_assert_eq!(resolved(&all, Some(me)), before);
        all.reverse();
        prop_assert_eq!(resolved(&all, Some(me)), before);
    }
}
