//! Values of header fields can be anything: nothing panics, and what comes out is bounded and clean.

use lockstep_mime::{address, encoded_word, header, limits::Limits, message, parameter::Parameterised, transfer};
use proptest::prelude::*;

/// Text with what header fields are made of, more often than chance would.
fn field_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        ".{0,12}",
        prop::sample::select(vec![
            "=?utf-8?q?=C3=A4?=",
            "=?utf-8?b?w6Q=?=",
            "=?x?b?",
            "?=",
            "=?iso-2022-jp?b?GyRC?=",
            "=?utf-7?q?+AOQ-?=",
            "\"",
            "\\",
            "<",
            ">",
            "@",
            ",",
            ";",
            ":",
            "(",
            ")",
            "(((",
            "a@b",
            "group:",
            "name*0*=utf-8''%",
            "name*1*=%C3",
            "name*=",
            "%F0%9F",
            "charset=",
            "boundary=\"",
            "=",
            "\r\n ",
            "\t",
            "\0",
            "\u{feff}",
            "\u{202e}",
            "Mon, 23 Nov 2026 07:59:00 +0000",
            "31 Feb 99999 99:99:99 +9999",
            "-0000",
            "base64",
            "quoted-printable",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_field_gives_an_outcome(value in field_like(), charset in prop::sample::select(vec![None, Some("windows-1251"), Some("nonsense")])) {
        let (addresses, _) = address::parse_list(&value, charset, 5);
        prop_assert!(addresses.len() <= 5);
        for address in addresses {
            let clean = |text: &str| !text.chars().any(|c| c == '\0' || c == '\n' || c == '\r');
            prop_assert!(clean(address.name.as_deref().unwrap_or("")) && clean(&address.address), "{:?}", address);
        }
        let _ = encoded_word::decode(&value, charset);
        let parameters = Parameterised::parse(&value);
        for name in ["name", "filename", "charset", "boundary"] {
            let _ = (parameters.get(name), parameters.text(name, charset));
        }
        let _ = (header::parse_date(&value), transfer::TransferEncoding::parse(&value));
    }

    #[test]
    fn any_fields_make_a_message(values in prop::collection::vec(field_like(), 9), body in field_like()) {
        let names = ["From", "To", "Cc", "Date", "Message-ID", "In-Reply-To", "References", "Content-Type", "Subject"];
        let mut raw = String::new();
        for (name, value) in names.iter().zip(&values) {
            raw.push_str(&format!("{name}: {value}\r\n"));
        }
        raw.push_str(&format!("\r\n{body}\r\n"));
        let parsed = message::parse(raw.as_bytes(), &Limits::default());
        prop_assert_eq!(parsed.size, raw.len() as u64);
    }
}
