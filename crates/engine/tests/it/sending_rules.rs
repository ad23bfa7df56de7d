//! Tokens in subjects, and sending as somebody else.

use lockstep_engine::{
    send_as::{Refusal, Wish, decide},
    token::{Flaw, MAX_SUBJECT, Shape, append, find},
};
use lockstep_model::{
    id::{QueueId, UserId},
    mailbox::Owner,
};
use proptest::prelude::*;

/// H6, F10: prefix, a fixed digit, user and message numbers; the message's number wraps after 999.
#[test]
fn h6_f10_tokens_look_as_documented() {
    let shape = Shape::default();
    assert_eq!(shape.token(1, 42).as_str(), "CRM:0001042");
    assert_eq!(shape.token(1, 999).as_str(), "CRM:0001999");
    assert_eq!(shape.token(1, 1_000).as_str(), "CRM:0001000");
    let wide = Shape { prefix: "Acme ".to_owned(), base: 2_147_483_647, user_digits: 10, counter_digits: 9 };
    assert_eq!(wide.check(), Err(Flaw::Prefix), "white space at the end would be lost");
    let wide = Shape { prefix: "Acme#".to_owned(), ..wide };
    assert_eq!(wide.check(), Ok(()));
    assert_eq!(wide.token(1, 7).as_str(), "Acme#02147483648000000007");
    let flaws = [
        (Shape { prefix: String::new(), ..Shape::default() }, Flaw::Prefix),
        (Shape { prefix: "x".repeat(21), ..Shape::default() }, Flaw::Prefix),
        (Shape { base: 2_147_483_648, ..Shape::default() }, Flaw::Base),
        (Shape { user_digits: 0, ..Shape::default() }, Flaw::UserDigits),
        (Shape { user_digits: 11, ..Shape::default() }, Flaw::UserDigits),
        (Shape { counter_digits: 10, ..Shape::default() }, Flaw::CounterDigits),
    ];
    for (shape, flaw) in flaws {
        assert_eq!(shape.check(), Err(flaw), "{shape:?}");
    }
}

/// H6: the subject is cut before the token; a token longer than the limit is dropped.
#[test]
fn h6_long_subjects_are_cut_and_keep_the_token() {
    let token = Shape::default().token(1, 42);
    assert_eq!(append("Offer", &token, MAX_SUBJECT), "Offer CRM:0001042");
    assert_eq!(append("", &token, MAX_SUBJECT), "CRM:0001042");
    assert_eq!(append("Offer CRM:0001042", &token, MAX_SUBJECT), "Offer CRM:0001042");
    let long = append(&"ß".repeat(300), &token, MAX_SUBJECT);
    assert_eq!(long.chars().count(), 255);
    assert!(long.ends_with("ß CRM:0001042"));
    assert_eq!(append("A long subject", &token, 8), "A long s");
}

/// F10: the last token counts, wherever people have put it; a shorter number is none.
#[test]
fn f10_tokens_are_found_where_people_leave_them() {
    let shape = Shape::default();
    let found = |subject: &str| find(subject, &shape).map(|token| token.as_str().to_owned());
    assert_eq!(found("RE: Offer CRM:0001042 (urgent)").as_deref(), Some("CRM:0001042"));
    assert_eq!(found("CRM:0001042 again CRM:0001043").as_deref(), Some("CRM:0001043"));
    assert_eq!(found("CRM:0001042 CRM: 12"), Some("CRM:0001042".to_owned()));
    assert_eq!(found("CRM:000104"), None);
    assert_eq!(found("no token"), None);
}

proptest! {
    /// H6, F10: whatever the subject, what was appended is found again and the limit holds.
    #[test]
    fn h6_f10_what_is_appended_is_found(subject in ".{0,300}", user in 1_u64..100_000, message in 0_u64..10_000) {
        let shape = Shape::default();
        let token = shape.token(user, message);
        let whole = append(&subject, &token, MAX_SUBJECT);
        prop_assert!(whole.chars().count() <= MAX_SUBJECT);
        prop_assert_eq!(find(&whole, &shape), Some(token));
    }
}

/// H7: privilege by consent, two by two; only both together send.
#[test]
fn h7_privilege_and_consent() {
    let (me, other) = (Owner::User(UserId::new()), Owner::User(UserId::new()));
    let wish = |privileged, consents| Wish { sender: Some(me), from: other, privileged, consents, reads_queue: true };
    assert_eq!(decide(&wish(true, true)), Ok(()));
    assert_eq!(decide(&wish(true, false)), Err(Refusal::NoConsent));
    assert_eq!(decide(&wish(false, true)), Err(Refusal::NoPrivilege));
    assert_eq!(decide(&wish(false, false)), Err(Refusal::NoPrivilege));
    assert_eq!(decide(&Wish { from: me, ..wish(false, false) }), Ok(()), "one's own address needs nothing");
    let queue = Wish { from: Owner::Queue(QueueId::new()), ..wish(false, false) };
    assert_eq!(decide(&queue), Ok(()));
    assert_eq!(decide(&Wish { reads_queue: false, ..queue }), Err(Refusal::QueueNotReadable));
}
