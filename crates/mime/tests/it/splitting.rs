//! How odd structures are cut, and that chunking and hostile bytes change nothing.

use lockstep_mime::{Anomaly, Limits, Unparsable, message};
use proptest::prelude::*;

use crate::recorder::{collect, leaves, record};

fn bodies(raw: &str) -> Vec<String> {
    leaves(raw).into_iter().map(|(_, _, body)| body).collect()
}

#[test]
fn structures_are_cut_where_they_should() {
    let multi = "Content-Type: multipart/mixed; boundary=B\n";
    for (what, raw, expected) in [
        ("no multipart", "A: b\n\nbody\n".to_owned(), vec!["body\n"]),
        ("two parts", format!("{multi}\n--B\n\none\n--B\n\ntwo\n--B--\n"), vec!["one", "two"]),
        ("preamble and epilogue", format!("{multi}\npre\n--B\n\none\n--B--\nepi\n"), vec!["one"]),
        ("delimiter after the close", format!("{multi}\n--B\n\na\n--B--\n--B\n\nb\n"), vec!["a"]),
        ("a longer line is no delimiter", format!("{multi}\n--B\n\n--BC\n--B--x\n--B--\n"), vec!["--BC\n--B--x"]),
        ("white space after a delimiter", format!("{multi}\n--B \t\n\na\n--B--  \n"), vec!["a"]),
        ("no line end at the end", format!("{multi}\n--B\n\na\n--B--"), vec!["a"]),
        ("no closing delimiter", format!("{multi}\n--B\n\na\n"), vec!["a\n"]),
        ("an empty part", format!("{multi}\n--B\n\n--B\n\nb\n--B--\n"), vec!["", "b"]),
        ("no blank line in a part", format!("{multi}\n--B\nhello there\n--B--\n"), vec!["hello there"]),
        ("only a header in a part", format!("{multi}\n--B\nX: y\n--B\n\nb\n--B--\n"), vec!["", "b"]),
        ("no blank line before a delimiter", format!("{multi}--B\n\na\n--B--\n"), vec!["a"]),
        (
            "a boundary that begins like the outer one",
            format!("{multi}\n--B\nContent-Type: multipart/mixed; boundary=B2\n\n--B2\n\na\n--B2--\n--B\n\nb\n--B--\n"),
            vec!["a", "b"],
        ),
        (
            "an inner multipart that is not closed",
            format!("{multi}\n--B\nContent-Type: multipart/mixed; boundary=C\n\n--C\n\na\n--B\n\nb\n--B--\n"),
            vec!["a", "b"],
        ),
        ("blank lines before the header", "\n\nA: b\n\nbody".to_owned(), vec!["body"]),
        ("CR alone", "A: b\r\rone\rtwo".to_owned(), vec!["one\rtwo"]),
        ("a stray CR in a field", "A: b\r\nS: x\ry\r\n\r\nbody".to_owned(), vec!["body"]),
        ("CR CR LF", "A: b\r\r\nC: d\r\r\n\r\r\nbody".to_owned(), vec!["body"]),
        (
            "no boundary parameter, but one in use",
            "Content-Type: multipart/mixed\n\n--x1\nContent-Type: text/plain\n\na\n--x1--\n".to_owned(),
            vec!["a"],
        ),
        ("two dashes in a text", format!("{multi}\n--B\n\n-- \n--\n-\n--Bx\n--B--\n"), vec!["-- \n--\n-\n--Bx"]),
    ] {
        assert_eq!(bodies(&raw), expected, "{what}");
    }
}

#[test]
fn parts_are_numbered_as_in_imap() {
    let raw = "Content-Type: multipart/mixed; boundary=B\n\n--B\nContent-Type: multipart/alternative; \
               boundary=C\n\n--C\n\na\n--C\nContent-Type: text/html\n\nb\n--C--\n--B\nContent-Type: \
               message/rfc822\n\nSubject: x\n\ny\n--B--\n";
    let found: Vec<_> = leaves(raw).into_iter().map(|(path, kind, _)| (path, kind)).collect();
    let expected = [("1.1", "text/plain"), ("1.2", "text/html"), ("2", "message/rfc822")];
    assert_eq!(found, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert_eq!(leaves("A: b\n\nx")[0].0, "1");
}

#[test]
fn limits_are_kept_and_reported() {
    let many = format!("Content-Type: multipart/mixed; boundary=B\n\n{}--B--\n", "--B\n\nx\n".repeat(1_200));
    let parsed = message::parse(many.as_bytes(), &Limits::default());
    assert_eq!(parsed.unparsable, Some(Unparsable::TooManyParts));

    let limits = Limits { body_bytes: 10, header_bytes: 64, addresses: 2, ..Limits::default() };
    let parsed = message::parse("A: b\n\näöüßäöüß".as_bytes(), &limits);
    assert_eq!(parsed.body_text.as_deref(), Some("äöüßä"));
    assert!(parsed.body_truncated && parsed.anomalies.contains(Anomaly::BodyTruncated));

    let parsed = message::parse(b"To: a@x.test, b@x.test, c@x.test\n\n", &limits);
    assert_eq!(parsed.headers.to.len(), 2);
    assert!(parsed.anomalies.contains(Anomaly::TooManyAddresses));

    let long = format!("Subject: kept\nX: {}\n\nbody", "y".repeat(1_000));
    let parsed = message::parse(long.as_bytes(), &limits);
    assert_eq!(parsed.unparsable, Some(Unparsable::HeaderTooLarge));
    assert_eq!(parsed.headers.subject.as_deref(), Some("kept"));
    assert_eq!(parsed.body_text.as_deref(), Some("body"));
}

#[test]
fn nothing_useful_is_called_unparsable() {
    for (raw, reason) in [
        ("", Some(Unparsable::Empty)),
        ("\r\n\r\n", Some(Unparsable::Empty)),
        ("just text\n", Some(Unparsable::NoHeaderField)),
        ("\n just text", Some(Unparsable::NoHeaderField)),
        ("Content-Type: multipart/mixed; boundary=B\n\nnothing\n", Some(Unparsable::NoParts)),
        ("Subject: only\n", None),
        ("Subject:", None),
    ] {
        assert_eq!(message::parse(raw.as_bytes(), &Limits::default()).unparsable, reason, "{raw:?}");
    }
}

/// Text that is likely to hit the splitter's decisions.
fn mime_like() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just("\r\n"),
        Just("\n"),
        Just("\r"),
        Just("--B"),
        Just("--B--"),
        Just("--BB"),
        Just("--"),
        Just("-"),
        Just(" "),
        Just("\t"),
        Just("="),
        Just("=\r\n"),
        Just("=3D"),
        Just("QUJD"),
        Just("Content-Type: multipart/mixed; boundary=B\r\n"),
        Just("Content-Type: multipart/mixed; boundary=\"BB\"\r\n"),
        Just("Content-Type: multipart/mixed\n"),
        Just("Content-Type: message/rfc822\r\n"),
        Just("Content-Type: text/html; charset=utf-7\r\n"),
        Just("Content-Transfer-Encoding: base64\r\n"),
        Just("Content-Transfer-Encoding: quoted-printable\r\n"),
        Just("\r\n--B\r\n"),
        Just("\r\n\r\n"),
        Just("From "),
        Just("Subject: =?utf-8?Q?=C3?="),
        Just(": "),
        Just("text"),
        Just("\u{e9}"),
        Just("\0"),
    ];
    let piece = prop_oneof![
        8 => token.prop_map(|s| s.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
        1 => (1_000_usize..1_100).prop_map(|n| vec![b'-'; n]),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_chunking_gives_the_same(raw in mime_like(), steps in prop::collection::vec(1_usize..40, 3)) {
        let limits = Limits { header_bytes: 300, depth: 3, parts: 12, ..Limits::default() };
        let whole = record(&raw, usize::MAX, &limits);
        let parsed = collect(&raw, usize::MAX, &limits);
        for step in [1].into_iter().chain(steps) {
            prop_assert_eq!(&record(&raw, step, &limits), &whole);
            prop_assert_eq!(&collect(&raw, step, &limits), &parsed);
        }
    }

    #[test]
    fn any_bytes_give_an_outcome(raw in prop::collection::vec(any::<u8>(), 0..3_000)) {
        let (parsed, _) = collect(&raw, 333, &Limits::default());
        prop_assert_eq!(parsed.size, raw.len() as u64);
        let text = parsed.body_text.unwrap_or_default();
        prop_assert!(!text.contains('\0'));
    }
}
