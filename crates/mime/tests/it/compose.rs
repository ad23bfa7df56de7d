//! What is written can be read back, is the same every time, and has the size that was promised.

use chrono::DateTime;
use lockstep_mime::Limits;
use lockstep_mime::compose::{Address, Attachment, Base64Lines, Message, Segment, plan, total_size};
use proptest::prelude::*;

use crate::recorder::collect;

fn write(message: &Message, contents: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    let segments = plan(message);
    for segment in &segments {
        match segment {
            Segment::Bytes(bytes) => out.extend_from_slice(bytes),
            Segment::Attachment(index) => {
                let mut encoder = Base64Lines::new();
                contents[*index].chunks(1_000).for_each(|chunk| encoder.feed(chunk, &mut out));
                encoder.finish(&mut out);
            }
        }
    }
    assert_eq!(out.len() as u64, total_size(message, &segments));
    out
}

fn address(name: &str, address: &str) -> Address {
    Address { name: (!name.is_empty()).then(|| name.to_owned()), address: address.to_owned() }
}

fn sample() -> Message {
    Message {
        message_id: "m1@crm.example.test".into(),
        date: DateTime::from_timestamp(1_751_360_000, 0).unwrap(),
        from: address("Jörg \"JJ\" Groß", "joerg@crm.example.test"),
        sender: None,
        to: vec![address("Doe, Jane", "jane@example.test"), address("", "bob@example.test")],
        cc: vec![],
        reply_to: vec![],
        subject: "Grüße aus Köln – Angebot".into(),
        in_reply_to: vec!["q1@example.test".into()],
        references: vec!["q0@example.test".into(), "q1@example.test".into()],
        body_text: Some("Hallo,\n\n.dot\nFrom here\n-- \nJörg".into()),
        body_html: Some("<p>Hallo <img src=\"cid:logo\"></p>".into()),
        attachments: vec![
            Attachment {
                name: "logo.png".into(),
                media_type: "image/png".into(),
                size: 3,
                content_id: Some("logo".into()),
                inline: true,
            },
            Attachment {
                name: "Übersicht \"final\" März.pdf".into(),
                media_type: "application/pdf".into(),
                size: 1_000,
                content_id: None,
                inline: false,
            },
        ],
        extra_headers: vec![("X-Lockstep-Organisation".into(), "0f".into())],
        boundary_seed: [7; 16],
    }
}

#[test]
fn a_full_message_is_read_back() {
    let message = sample();
    let contents = vec![vec![1, 2, 3], vec![9; 1_000]];
    let raw = write(&message, &contents);
    let (parsed, read) = collect(&raw, 77, &Limits::default());
    assert_eq!(parsed.unparsable, None);
    assert!(parsed.anomalies.as_slice().is_empty(), "{:?}", parsed.anomalies);
    assert_eq!(parsed.headers.subject.as_deref(), Some(message.subject.as_str()));
    assert_eq!(parsed.headers.from, std::slice::from_ref(&message.from));
    assert_eq!(parsed.headers.to, message.to);
    assert_eq!(parsed.headers.references, message.references);
    assert_eq!(parsed.headers.date, Some(message.date));
    assert_eq!(parsed.headers.loop_organisation.as_deref(), Some("0f"));
    assert_eq!(parsed.body_text, message.body_text);
    assert_eq!(parsed.body_html, message.body_html);
    assert_eq!(read, contents);
    let names: Vec<&str> = parsed.attachments.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(names, ["logo.png", "Übersicht \"final\" März.pdf"]);
    let paths: Vec<&str> = parsed.attachments.iter().map(|a| a.path.as_str()).collect();
    assert_eq!(paths, ["1.2", "2"], "the image is in the related level");
    assert!(parsed.attachments[0].inline);
}

#[test]
fn only_the_levels_that_are_needed() {
    let mut message = sample();
    message.attachments.clear();
    let kind = |message: &Message| {
        let raw = write(message, &[]);
        collect(&raw, 4_096, &Limits::default()).0.headers.content_type
    };
    assert_eq!(kind(&message), "multipart/alternative");
    message.body_html = None;
    assert_eq!(kind(&message), "text/plain");
    message.body_text = None;
    assert_eq!(kind(&message), "text/plain");
    message.body_html = Some("<p>".into());
    assert_eq!(kind(&message), "text/html");
}

#[test]
fn nothing_is_injected() {
    let evil = "x\r\nBcc: victim@example.test\r\n\r\nbody\0";
    let mut message = sample();
    message.subject = evil.into();
    message.message_id = evil.into();
    message.from = address(evil, &format!("a@x.test>{evil}"));
    message.to = vec![address(evil, evil)];
    message.references = vec![evil.into()];
    message.attachments[1].name = evil.into();
    message.attachments[1].media_type = format!("text/plain{evil}");
    message.attachments[0].content_id = Some(evil.into());
    message.extra_headers = vec![
        ("X-A".into(), evil.into()),
        ("X-B\r\nBcc".into(), "b@x.test".into()),
        ("Bcc".into(), "b@x.test".into()),
        ("Content-Type".into(), "text/evil".into()),
    ];
    let raw = write(&message, &[vec![0; 3], vec![0; 1_000]]);
    let text = String::from_utf8(raw).unwrap();
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    assert!(!text.contains('\0'));
    for line in head.split("\r\n") {
        assert!(!line.to_ascii_lowercase().starts_with("bcc"), "{line}");
        assert!(!line.is_empty() && !line.contains(['\r', '\n']));
    }
    assert_eq!(head.matches("Content-Type").count(), 1);
    let parsed = collect(text.as_bytes(), 4_096, &Limits::default()).0;
    assert_eq!(parsed.attachments.len(), 2);
    assert!(parsed.headers.bcc.is_empty());
}

fn name() -> impl Strategy<Value = String> {
    "[ -~äß日😀]{0,70}".prop_map(|s| s.trim().to_owned())
}

fn mailbox() -> impl Strategy<Value = Address> {
    (name(), "[a-z0-9.+_-]{1,20}@[a-z]{1,10}\\.test").prop_map(|(name, addr)| address(&name, &addr))
}

fn attachment() -> impl Strategy<Value = (Attachment, Vec<u8>)> {
    (
        "[a-zäß日 \"'%;=?()*]{1,90}\\.[a-z]{3}",
        prop::sample::select(vec!["application/pdf", "text/plain", "image/png", "no type"]),
        prop::collection::vec(any::<u8>(), 0..400),
        any::<bool>(),
        prop::option::of("[a-z]{1,8}@x"),
    )
        .prop_map(|(name, media_type, content, inline, content_id)| {
            let size = content.len() as u64;
            let name = name.trim().to_owned();
            (Attachment { name, media_type: media_type.into(), size, content_id, inline }, content)
        })
}

prop_compose! {
    fn message()(
        from in mailbox(),
        to in prop::collection::vec(mailbox(), 1..5),
        subject in "[ -~äß日😀\\r\\n\\t]{0,200}",
        body_text in prop::option::of("([ -~äß日😀\\t]{0,120}(\\n|\\r\\n)?){0,12}"),
        body_html in prop::option::of("([ -~ä]{0,90}\\n?){0,12}"),
        attachments in prop::collection::vec(attachment(), 0..4),
        references in prop::collection::vec("[a-z0-9.]{1,30}@[a-z]{1,10}", 0..6),
        boundary_seed in any::<[u8; 16]>(),
        seconds in 0_i64..4_000_000_000,
    ) -> (Message, Vec<Vec<u8>>) {
        let (attachments, contents) = attachments.into_iter().unzip();
        let message = Message {
            message_id: "id@x.test".into(),
            date: DateTime::from_timestamp(seconds, 0).unwrap(),
            from, sender: None, to, cc: vec![], reply_to: vec![], subject,
            in_reply_to: vec![], references, body_text, body_html, attachments,
            extra_headers: vec![], boundary_seed,
        };
        (message, contents)
    }
}

/// How a text comes back: LF line ends, and the end of the last line is not told apart.
fn as_read(text: Option<&str>) -> String {
    text.unwrap_or_default().replace("\r\n", "\n").replace('\r', "\n").trim_end_matches('\n').to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back((message, contents) in message()) {
        let raw = write(&message, &contents);
        prop_assert_eq!(&raw, &write(&message, &contents), "the same bytes every time");
        prop_assert!(raw.is_ascii());
        for line in raw.split(|b| *b == b'\n') {
            prop_assert!(line.len() <= 998);
            prop_assert!(line.is_empty() || line.ends_with(b"\r"), "a bare LF");
        }
        let (parsed, mut read) = collect(&raw, 61, &Limits::default());
        let subject: String = message.subject.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        prop_assert_eq!(parsed.headers.subject.clone().unwrap_or_default(), subject.trim());
        prop_assert_eq!(&parsed.headers.from[..], std::slice::from_ref(&message.from));
        prop_assert_eq!(&parsed.headers.to, &message.to);
        prop_assert_eq!(&parsed.headers.references, &message.references);
        prop_assert_eq!(parsed.headers.date, Some(message.date));
        prop_assert_eq!(as_read(parsed.body_text.as_deref()), as_read(message.body_text.as_deref()));
        prop_assert_eq!(as_read(parsed.body_html.as_deref()), as_read(message.body_html.as_deref()));
        prop_assert_eq!(parsed.unparsable, None);
        let mut names: Vec<String> = parsed.attachments.iter().map(|a| a.name.clone()).collect();
        let mut written: Vec<String> = message.attachments.iter().map(|a| a.name.clone()).collect();
        let mut contents = contents;
        // Inline images come before the others.
        names.sort();
        written.sort();
        read.sort();
        contents.sort();
        prop_assert_eq!(names, written);
        prop_assert_eq!(read, contents);
    }
}
