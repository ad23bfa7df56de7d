//! What a message answers.

use lockstep_engine::correlation::{Headers, MAX_LOOKUP_KEYS, correlate, lookup_keys, normalise_id};
use lockstep_model::{email::CorrelationMethod, id::EmailId};
use proptest::prelude::*;

fn ids(written: &[&str]) -> Vec<String> {
    written.iter().map(ToString::to_string).collect()
}

#[test]
fn message_ids_as_they_are_compared() {
    for (written, normal) in [
        (" <Ab.1@Mail.Example.TEST> ", Some("Ab.1@mail.example.test")),
        ("<a b\r\n @x>", Some("ab@x")),
        ("no-domain", Some("no-domain")),
        ("\"A@B\"@C", Some("\"A@B\"@c")),
        ("<>", None),
        (" \t", None),
        ("\0\u{7}", None),
    ] {
        assert_eq!(normalise_id(written).as_deref(), normal, "{written:?}");
    }
    assert!(normalise_id(&"x".repeat(998)).is_some());
    assert!(normalise_id(&"x".repeat(999)).is_none());
    assert!(normalise_id(&"x".repeat(10_000_000)).is_none());
}

#[test]
fn keys_come_most_telling_first_and_once() {
    let (in_reply_to, references) = (ids(&["<c@x>"]), ids(&["<a@x>", "<b@X>", "<c@x>", "<>", "<me@x>"]));
    let headers = Headers { message_id: Some("<me@X>"), in_reply_to: &in_reply_to, references: &references };
    assert_eq!(lookup_keys(&headers), ["c@x", "b@x", "a@x"], "not itself, nothing twice, the last reference first");
}

#[test]
fn in_reply_to_wins_then_the_last_reference() {
    let (old, older, newest) = (EmailId::new(), EmailId::new(), EmailId::new());
    let (in_reply_to, references) = (ids(&["<c@x>"]), ids(&["<a@x>", "<b@x>"]));
    let headers = Headers { message_id: None, in_reply_to: &in_reply_to, references: &references };
    let found = |pairs: &[(&str, EmailId)]| {
        let pairs: Vec<_> = pairs.iter().map(|(id, email)| (id.to_string(), *email)).collect();
        correlate(&headers, &pairs).map(|c| c.email)
    };
    assert_eq!(found(&[("a@x", old), ("c@x", newest), ("b@x", older)]), Some(newest));
    assert_eq!(found(&[("a@x", old), ("b@x", older)]), Some(older));
    assert_eq!(found(&[("a@x", newest), ("a@x", old)]), Some(old), "of several with one id the oldest");
    assert_eq!(found(&[("z@x", old)]), None);
    assert_eq!(found(&[]), None);
    let one = [("b@x".to_owned(), old)];
    assert_eq!(correlate(&headers, &one).map(|c| c.method), Some(CorrelationMethod::InReplyTo));
}

proptest! {
    #[test]
    fn keys_are_bounded_and_normal(in_reply_to in proptest::collection::vec(".{0,40}", 0..60), references in proptest::collection::vec("<?[a-c]{1,3}@[A-C]{1,3}>?", 0..300)) {
        let keys = lookup_keys(&Headers { message_id: None, in_reply_to: &in_reply_to, references: &references });
        prop_assert!(keys.len() <= MAX_LOOKUP_KEYS);
        for (at, key) in keys.iter().enumerate() {
            prop_assert!(!keys[..at].contains(key));
            prop_assert_eq!(normalise_id(key), Some(key.clone()), "normalising twice changes nothing");
        }
    }
}
