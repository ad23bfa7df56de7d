//! E11 and E12: five options, the kinds of message, and who accepts.

use lockstep_engine::{
    acceptance::{
        AcceptingParty, Candidate, Decision, Reason, correspondent, decide, headers_first, is_rights_managed,
    },
    budget::MAX_MESSAGE_BYTES,
};
use lockstep_model::{
    email::PartyKind,
    id::{QueueId, UserId},
    mailbox::{Owner, TrackOption},
};
use proptest::prelude::*;

use crate::values::at;

fn user(option: TrackOption, is_receiving: bool, addressed: bool) -> AcceptingParty {
    AcceptingParty { owner: Owner::User(UserId::new()), option, is_receiving, addressed }
}

fn message(recipients: Vec<AcceptingParty>, sender: Option<PartyKind>, correlated: bool) -> Candidate {
    Candidate {
        recipients,
        sender,
        correlated,
        size: Some(4_000),
        received_at: at(0),
        process_from: Some(at(0)),
        is_own_loop: false,
        is_test: false,
        is_restricted: false,
        only_receiving: false,
    }
}

fn accepts(candidate: &Candidate) -> bool {
    matches!(decide(candidate), Decision::Accept { .. })
}

/// E11: the documented table, five options by the kinds of message.
#[test]
fn e11_options_by_kinds_of_message() {
    use TrackOption::{All, FromCustomers, FromEmailEnabled, InResponse, None as Nothing};
    // sender, correlated, addressed; who accepts
    let table: [(Option<PartyKind>, bool, bool, &[TrackOption]); 14] = [
        (None, false, true, &[All]),
        (None, true, true, &[All, InResponse]),
        (Some(PartyKind::Contact), false, true, &[All, FromCustomers, FromEmailEnabled]),
        (Some(PartyKind::Account), false, true, &[All, FromCustomers, FromEmailEnabled]),
        (Some(PartyKind::Lead), false, true, &[All, FromCustomers, FromEmailEnabled]),
        (Some(PartyKind::Lead), true, true, &[All, InResponse, FromCustomers, FromEmailEnabled]),
        (Some(PartyKind::User), false, true, &[All, FromEmailEnabled]),
        (Some(PartyKind::User), true, true, &[All, InResponse, FromEmailEnabled]),
        (Some(PartyKind::Queue), false, true, &[All, FromEmailEnabled]),
        (Some(PartyKind::Other), false, true, &[All, FromEmailEnabled]),
        (Some(PartyKind::Other), true, true, &[All, InResponse, FromEmailEnabled]),
        // a hidden copy or a list: not addressed
        (None, false, false, &[All]),
        (Some(PartyKind::Contact), true, false, &[All]),
        (Some(PartyKind::User), true, false, &[All]),
    ];
    for (sender, correlated, addressed, who) in table {
        for option in TrackOption::ALL {
            let candidate = message(vec![user(*option, true, addressed)], sender, correlated);
            let expected = who.contains(option);
            assert_eq!(
                accepts(&candidate),
                expected,
                "{option} {sender:?} correlated={correlated} addressed={addressed}"
            );
            if !expected {
                let reason = if addressed { Reason::NoCorrelationMatch } else { Reason::NoRecipientMatch };
                assert_eq!(decide(&candidate), Decision::Refuse(reason));
            }
        }
        assert!(!who.contains(&Nothing));
    }
}

/// E12: a queue's option accepts for a user who wants nothing, and is recorded as the accepting one.
#[test]
fn e12_a_queue_accepts_for_a_user_with_none() {
    let queue = Owner::Queue(QueueId::new());
    let party = AcceptingParty { owner: queue, option: TrackOption::All, is_receiving: false, addressed: true };
    let candidate = message(vec![user(TrackOption::None, true, true), party], None, false);
    assert_eq!(decide(&candidate), Decision::Accept { accepting: queue });
}

#[test]
fn the_receiving_mailbox_comes_first_then_the_first_addressed() {
    let (first, second) = (user(TrackOption::All, false, true), user(TrackOption::All, false, true));
    let receiving = user(TrackOption::All, true, true);
    let hidden = user(TrackOption::All, true, false);
    let unwilling = user(TrackOption::None, true, true);
    for (parties, expected) in [
        (vec![first, second, receiving], receiving),
        (vec![receiving, first], receiving),
        (vec![first, hidden], hidden),
        (vec![first, second, unwilling], first),
        (vec![unwilling, second, first], second),
    ] {
        assert_eq!(decide(&message(parties, None, false)), Decision::Accept { accepting: expected.owner });
    }
}

#[test]
fn nobody() {
    assert_eq!(decide(&message(vec![], None, true)), Decision::Refuse(Reason::NoRecipientMatch));
    let bystander = user(TrackOption::All, false, false);
    assert_eq!(decide(&message(vec![bystander], None, true)), Decision::Refuse(Reason::NoRecipientMatch));
}

/// Age, size and our own mail rule a message out whoever wants it.
#[test]
fn ruled_out_whoever_wants_it() {
    let wanted = message(vec![user(TrackOption::All, true, true)], None, false);
    assert!(accepts(&wanted), "received at the very instant processing begins");
    for (candidate, reason) in [
        (Candidate { is_own_loop: true, ..wanted.clone() }, Reason::OwnMessage),
        (Candidate { is_own_loop: true, is_test: true, ..wanted.clone() }, Reason::TestMessage),
        (Candidate { size: Some(MAX_MESSAGE_BYTES + 1), ..wanted.clone() }, Reason::TooLarge),
        (Candidate { received_at: at(-1), ..wanted.clone() }, Reason::TooOld),
        (Candidate { is_restricted: true, ..wanted.clone() }, Reason::RightsManaged),
        (Candidate { is_restricted: true, received_at: at(-1), ..wanted.clone() }, Reason::TooOld),
    ] {
        assert_eq!(decide(&candidate), Decision::Refuse(reason));
    }
    assert!(accepts(&Candidate { size: Some(MAX_MESSAGE_BYTES), ..wanted.clone() }));
    assert!(accepts(&Candidate { size: None, process_from: None, received_at: at(-9_000), ..wanted }));
}

#[test]
fn reasons_have_codes_and_sentences() {
    for reason in Reason::ALL {
        assert_eq!(Reason::from_code(reason.code()), Some(*reason));
        assert!(reason.sentence().ends_with('.'));
    }
    assert_eq!(Reason::from_code("Nonsense"), None);
}

#[test]
fn headers_are_read_first_unless_everything_is_taken() {
    for option in TrackOption::ALL {
        assert_eq!(headers_first(*option, false), *option != TrackOption::All);
        assert!(headers_first(*option, true));
    }
}

fn any_party() -> impl Strategy<Value = AcceptingParty> {
    (proptest::sample::select(TrackOption::ALL), any::<bool>(), any::<bool>(), any::<u128>()).prop_map(
        |(option, is_receiving, addressed, id)| {
            let owner = Owner::User(UserId(uuid::Uuid::from_u128(id)));
            AcceptingParty { owner, option, is_receiving, addressed }
        },
    )
}

proptest! {
    /// Who accepts is one of the recipients, wants something, and one more recipient never makes a message refused.
    #[test]
    fn acceptance_is_monotone(parties in proptest::collection::vec(any_party(), 0..6), more in any_party(), correlated in any::<bool>()) {
        let before = decide(&message(parties.clone(), Some(PartyKind::Contact), correlated));
        if let Decision::Accept { accepting } = before {
            let willing = parties.iter().any(|p| p.owner == accepting && p.option != TrackOption::None);
            prop_assert!(willing);
            let mut wider = parties;
            wider.push(more);
            prop_assert!(accepts(&message(wider, Some(PartyKind::Contact), correlated)));
        }
    }
}

/// F8: what somebody has sent is judged by who it went to, customers before all others.
#[test]
fn f8_the_correspondent_stands_for_the_sender() {
    use PartyKind::{Account, Contact, Lead, Other, Queue, User};
    let table: [(&[PartyKind], Option<PartyKind>); 6] = [
        (&[], None),
        (&[User], Some(User)),
        (&[User, Contact, Account], Some(Contact)),
        (&[Queue, Other], Some(Queue)),
        (&[Other, Lead], Some(Lead)),
        (&[Account, User], Some(Account)),
    ];
    for (recipients, who) in table {
        assert_eq!(correspondent(recipients.iter().copied()), who, "{recipients:?}");
    }
}

/// F24: either sign is enough, however it is written; a file that merely has a name like it is none.
#[test]
fn f24_signs_of_rights_management() {
    let sealed = "application/x-microsoft-rpmsg-message";
    let table: [(Option<&str>, &[&str], bool); 7] = [
        (None, &[], false),
        (Some("urn:content-classes:message"), &["application/pdf"], false),
        (Some("rpmsg.message"), &[], true),
        (Some("RPMSG.Message"), &[], true),
        (None, &["text/plain", sealed], true),
        (None, &["Application/X-Microsoft-RPMSG-Message"], true),
        (Some("x-rpmsg.message"), &["application/x-microsoft-rpmsg"], false),
    ];
    for (class, files, managed) in table {
        assert_eq!(is_rights_managed(class, files.iter().copied()), managed, "{class:?} {files:?}");
    }
}
