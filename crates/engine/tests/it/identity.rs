//! The same message in several mailboxes, and different ones under one name.

use lockstep_engine::identity::{Existing, Link, Traits, identify, is_taken, ordinal};
use lockstep_model::{email::Direction, id::EmailId};
use proptest::prelude::*;

use crate::values::at;

const TEXT: &str = "Dear Ann,\n\nthe offer for the twelve pumps is attached, valid until the end of March.\n\nBen\n";

fn letter() -> Traits<'static> {
    Traits { message_id: Some("<1@x.test>"), from: "ben@x.test", date: Some(at(0)), subject: "Offer", text: TEXT }
}

fn same(one: &Traits<'_>, other: &Traits<'_>) -> bool {
    identify(one).hash == identify(other).hash
}

/// What transport, gateways and lists do to one message on its way to different mailboxes.
#[test]
fn copies_of_one_message() {
    for text in [
        TEXT.replace('\n', "\r\n"),
        TEXT.replace(" twelve", "\n  twelve\u{a0}").replace("March", "\u{200b}March"),
        format!("[EXTERNAL] {TEXT}"),
        format!("[EXTERNAL]\n\n{TEXT}"),
        format!("CAUTION: This email originated from outside of the organization. Do not click\nlinks.\n\n{TEXT}"),
        format!("*** EXTERNAL EMAIL: think before you click ***\n\n{TEXT}"),
        format!("[CAUTION]\n\nYou don't often get email from ben@x.test.\n\n{TEXT}"),
        format!("{TEXT}\n-- \nPumps mailing list\nhttps://lists.test"),
        format!("{TEXT}\n--\nPumps mailing list"),
        format!("{TEXT}_______________________________________________\nPumps mailing list"),
        format!("{TEXT}\nThis email was checked for viruses by Gateway 7 for ann@y.test."),
        format!("\n\n  \n{TEXT}\n\n"),
    ] {
        assert!(same(&letter(), &Traits { text: &text, ..letter() }), "{text:?}");
    }
    assert!(same(&letter(), &Traits { from: " Ben@X.Test", ..letter() }));
    assert!(same(&letter(), &Traits { message_id: Some(" <1@X.TEST>\r\n"), ..letter() }));
    assert!(same(&letter(), &Traits { subject: "[EXTERNAL] Offer", ..letter() }), "the id is there: no need of it");
}

/// A short answer keeps its identity when a list footer follows.
#[test]
fn a_short_text_with_a_footer() {
    let short = Traits { text: "Yes.", ..letter() };
    assert!(same(&short, &Traits { text: "Yes.\n-- \nlist footer", ..short }));
    assert!(same(&short, &Traits { text: "Yes.\n\n____________________\nlist footer", ..short }));
    assert!(!same(&short, &Traits { text: "No.", ..short }));
}

#[test]
fn different_messages() {
    for other in [
        Traits { message_id: Some("<2@x.test>"), ..letter() },
        Traits { message_id: Some("<1@y.test>"), ..letter() },
        Traits { message_id: None, ..letter() },
        Traits { from: "eve@x.test", ..letter() },
        Traits { date: Some(at(1)), ..letter() },
        Traits { date: None, ..letter() },
        Traits { text: "Dear Ann,\n\nplease pay the twelve pumps to another account, valid from now on.", ..letter() },
        Traits { text: "", ..letter() },
        Traits {
            text: "[1] Dear Ann,\n\nthe offer for the twelve pumps is attached, valid until the end of March.",
            ..letter()
        },
    ] {
        assert!(!same(&letter(), &other), "{other:?}");
    }
    let moved = |from, text| identify(&Traits { from, text, date: None, ..letter() }).hash;
    assert_ne!(moved("ab", "c"), moved("a", "bc"), "text does not move between fields unnoticed");
}

#[test]
fn a_missing_id_gets_a_surrogate() {
    let nameless = Traits { message_id: None, ..letter() };
    let identity = identify(&nameless);
    assert!(identity.is_surrogate && identity.message_id.ends_with("@surrogate.invalid"));
    assert_eq!(identity.message_id.len(), 64 + "@surrogate.invalid".len());
    assert_eq!(identify(&Traits { message_id: Some("<>"), ..letter() }), identity, "an empty id is none");
    assert_eq!(identify(&Traits { subject: "[External]  Offer", ..nameless }), identity);
    assert_ne!(identify(&Traits { subject: "Another", ..nameless }).message_id, identity.message_id);
    let own = identify(&letter());
    assert_eq!((own.is_surrogate, own.message_id.as_str()), (false, "1@x.test"));
}

/// One forged id inside one mailbox: two items, two records.
#[test]
fn items_of_one_mailbox_are_never_one_record() {
    let record = |ordinal, linked_here| Existing { email: EmailId::new(), ordinal, linked_here };
    let (first, second) = (record(0, false), record(1, false));
    let taken = |r: Existing| Existing { linked_here: true, ..r };
    assert_eq!(ordinal(&[]), Link::New { ordinal: 0 });
    assert_eq!(ordinal(&[first]), Link::LinkTo(first.email), "another mailbox's copy");
    assert_eq!(ordinal(&[taken(first)]), Link::New { ordinal: 1 });
    assert_eq!(ordinal(&[second, taken(first)]), Link::LinkTo(second.email));
    assert_eq!(ordinal(&[second, first]), Link::LinkTo(first.email), "the lowest free one");
    assert_eq!(ordinal(&[taken(second), taken(first)]), Link::New { ordinal: 2 });
    assert_eq!(ordinal(&[taken(record(7, true))]), Link::New { ordinal: 8 });
}

proptest! {
    /// Hostile text: any bytes of any length give one identity, the same each time.
    #[test]
    fn any_text_is_bearable(id in ".{0,60}", from in ".{0,60}", subject in "(\\[[a-zA-Z]{0,9}\\] ?){0,5}.{0,30}", text in "([\\[\\]_\\-\\n *!]|[a-z]|.){0,400}") {
        let traits = Traits { message_id: Some(&id), from: &from, date: None, subject: &subject, text: &text };
        prop_assert_eq!(identify(&traits), identify(&traits));
    }

    /// Two mailboxes that hold the same items, met in any order, end with as many records as the fuller one has items.
    #[test]
    fn as_many_records_as_the_fullest_mailbox_has_items(arrivals in proptest::collection::vec(0..3_usize, 0..20)) {
        let mut records: Vec<(EmailId, Vec<usize>)> = Vec::new();
        for mailbox in &arrivals {
            let existing: Vec<Existing> = records
                .iter()
                .enumerate()
                .map(|(at, (email, links))| Existing { email: *email, ordinal: at as u32, linked_here: links.contains(mailbox) })
                .collect();
            match ordinal(&existing) {
                Link::LinkTo(email) => records.iter_mut().filter(|r| r.0 == email).for_each(|r| r.1.push(*mailbox)),
                Link::New { ordinal } => {
                    prop_assert_eq!(ordinal as usize, records.len());
                    records.push((EmailId::new(), vec![*mailbox]));
                }
            }
        }
        let fullest = (0..3).map(|m| arrivals.iter().filter(|a| **a == m).count()).max().unwrap();
        prop_assert_eq!(records.len(), fullest);
    }
}

/// F8, F2: what was sent and what was received are two records, or one where the organisation wants one; of the same
/// direction, an item has the record that no other item of the mailbox has.
#[test]
fn f8_a_record_of_the_other_direction_is_taken_unless_one_is_wanted() {
    use Direction::{Incoming, Outgoing};
    let table = [
        (Incoming, Incoming, false, false, false),
        (Incoming, Incoming, true, false, true),
        (Incoming, Incoming, true, true, true),
        (Outgoing, Outgoing, true, true, true),
        (Incoming, Outgoing, false, false, true),
        (Outgoing, Incoming, false, false, true),
        (Outgoing, Incoming, false, true, false),
        (Incoming, Outgoing, true, true, false),
    ];
    for (record, item, linked, once, taken) in table {
        assert_eq!(is_taken(record, item, linked, once), taken, "{record:?} {item:?} {linked} {once}");
    }
}
