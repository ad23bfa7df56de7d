//! Replies, EHLO answers, commands and the escaping of lines.

use lockstep_smtp::codec::{
    command::{self, Path},
    dot::DotEncoder,
    ehlo::{Extensions, Mechanisms},
    reply::{self, Enhanced, Kind, MAX_LINE_BYTES, MAX_LINES, Reply, ReplyLine},
};
use proptest::prelude::*;

async fn read(bytes: &[u8]) -> std::io::Result<Reply> {
    let mut input = bytes;
    reply::read(&mut input).await
}

#[tokio::test]
async fn replies() {
    let enhanced = |class, subject, detail| Some(Enhanced { class, subject, detail });
    for (bytes, code, expected, lines) in [
        ("250 ok\r\n", 250, None, vec!["ok"]),
        ("250\r\n", 250, None, vec![""]),
        ("250 \n", 250, None, vec![""]),
        ("550 5.1.1 no such mailbox\r\n", 550, enhanced(5, 1, 1), vec!["5.1.1 no such mailbox"]),
        ("550 5.1.1\r\n", 550, enhanced(5, 1, 1), vec!["5.1.1"]),
        ("250 5.1.1 disagrees\r\n", 250, None, vec!["5.1.1 disagrees"]),
        ("550 5.1 too short\r\n", 550, None, vec!["5.1 too short"]),
        ("550 5.1.1.1 too long\r\n", 550, None, vec!["5.1.1.1 too long"]),
        ("550 5.1.1000 too large\r\n", 550, None, vec!["5.1.1000 too large"]),
        ("550 5.+1.1 a sign\r\n", 550, None, vec!["5.+1.1 a sign"]),
        ("452-4.5.3 one\r\n452 4.5.3 two\r\n", 452, enhanced(4, 5, 3), vec!["4.5.3 one", "4.5.3 two"]),
        ("250 caf\u{e9}\u{7}\r\n", 250, None, vec!["caf\u{e9}"]),
    ] {
        let reply = read(bytes.as_bytes()).await.unwrap();
        assert_eq!((reply.code, reply.enhanced), (code, expected), "{bytes:?}");
        assert_eq!(reply.lines, lines, "{bytes:?}");
    }
    assert_eq!(read(b"452-4.5.3 one\r\n452 two\r\n").await.unwrap().words(), "452 4.5.3 one two");
}

#[tokio::test]
async fn what_is_no_reply() {
    for bytes in [
        &b"+OK POP3 ready\r\n"[..],
        b"* OK IMAP4rev1\r\n",
        b"\r\n",
        b"25\r\n",
        b"250ok\r\n",
        b"199 too low\r\n",
        b"600 too high\r\n",
        b"250-a\r\n550 b\r\n",
        b"\xff\xff\xff\xff\r\n",
    ] {
        let error = read(bytes).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{}", bytes.escape_ascii());
    }
    assert_eq!(read(b"250-never ends\r\n").await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn long_replies_are_bounded() {
    let mut bytes = "250-line\r\n".repeat(10_000).into_bytes();
    bytes.extend_from_slice(b"250 end\r\n354 next\r\n");
    let mut input = &bytes[..];
    assert_eq!(reply::read(&mut input).await.unwrap().lines.len(), MAX_LINES);
    assert_eq!(reply::read(&mut input).await.unwrap().code, 354, "and the conversation stays in step");

    let mut long = b"250 ".to_vec();
    long.resize(1_000_000, b'x');
    long.extend_from_slice(b"\r\n221 bye\r\n");
    let mut input = &long[..];
    assert!(reply::read(&mut input).await.unwrap().lines[0].len() <= MAX_LINE_BYTES);
    assert_eq!(reply::read(&mut input).await.unwrap().kind(), Kind::Done);
}

fn offered(lines: &[&str]) -> Extensions {
    let lines = lines.iter().map(|line| (*line).to_owned()).collect();
    Extensions::of(&Reply { code: 250, enhanced: None, lines })
}

#[test]
fn ehlo_answers() {
    let all = offered(&[
        "mx.test hello",
        "size 52428800",
        "8BITMIME",
        "PIPELINING",
        "STARTTLS",
        "SMTPUTF8",
        "AUTH PLAIN LOGIN XOAUTH2 CRAM-MD5",
        "X-NONSENSE \u{1f600}",
    ]);
    let expected = Extensions {
        starttls: true,
        pipelining: true,
        eight_bit_mime: true,
        smtp_utf8: true,
        size: Some(52_428_800),
        auth: Mechanisms { plain: true, login: true, xoauth2: true },
    };
    assert_eq!(all, expected);
    assert_eq!(offered(&["STARTTLS"]), Extensions::default(), "the first line is the server's name");
    assert_eq!(offered(&["mx", "SIZE"]).size, Some(0), "no fixed limit");
    assert_eq!(offered(&["mx"]).size, None);
    let old = offered(&["mx", "AUTH=LOGIN PLAIN"]).auth;
    assert!(old.login && old.plain && !old.xoauth2);
    assert!(
        offered(&["mx", "", "FUTURERELEASE x y", "DELIVERBY -", "STARTTLS"]).starttls,
        "bad lines hide no good ones"
    );
    assert!(!offered(&["mx", "AUTH PLAINER LOGINX XSTARTTLS"]).auth.plain);
}

#[test]
fn commands_and_their_parameters() {
    let bare = Extensions::default();
    let full = Extensions { size: Some(0), eight_bit_mime: true, smtp_utf8: true, ..bare };
    let ann = Path::reverse("ann@example.test").unwrap();
    assert_eq!(command::mail(ann, Some(9), true, &bare), "MAIL FROM:<ann@example.test>\r\n");
    assert_eq!(command::mail(ann, Some(9), false, &full), "MAIL FROM:<ann@example.test> SIZE=9 BODY=8BITMIME\r\n");
    assert_eq!(command::mail(ann, None, true, &full), "MAIL FROM:<ann@example.test> BODY=8BITMIME SMTPUTF8\r\n");
    assert_eq!(command::mail(Path::reverse("").unwrap(), None, false, &bare), "MAIL FROM:<>\r\n");
    assert_eq!(command::rcpt(Path::forward("b@c.test").unwrap()), "RCPT TO:<b@c.test>\r\n");
    assert!(Path::forward("j\u{f6}rg@example.test").unwrap().needs_utf8());
}

#[test]
fn injection_is_refused() {
    for address in [
        "a@b.test>\r\nDATA",
        "a@b.test\r\nRCPT TO:<evil@b.test>",
        "a@b.test\nX",
        "a@b.test\rX",
        "a\0@b.test",
        "a@b.test> SIZE=1",
        "<a@b.test",
        "a b@c.test",
        "a\u{85}b@c.test",
        "a\u{2028}b@c.test",
        "a\u{7f}@b.test",
        "",
        "nobody",
        "@b.test",
        "a@",
    ] {
        assert!(Path::forward(address).is_err(), "{address:?}");
    }
    assert!(Path::forward(&format!("{}@b.test", "x".repeat(400))).is_err());
    assert_eq!(command::ehlo_name("mail.test\r\nMAIL FROM:<x>"), "mail.testMAILFROM:x");
    assert_eq!(command::ehlo_name("[192.0.2.1]"), "[192.0.2.1]");
    assert_eq!(command::ehlo_name(" \r\n"), "localhost");
}

fn encode(message: &[u8], pieces: &[usize]) -> Vec<u8> {
    let mut encoder = DotEncoder::default();
    let mut out = Vec::new();
    let mut rest = message;
    for piece in pieces {
        let (head, tail) = rest.split_at((*piece).min(rest.len()));
        encoder.encode(head, &mut out);
        rest = tail;
    }
    encoder.encode(rest, &mut out);
    encoder.finish(&mut out);
    out
}

#[test]
fn dots_and_line_ends() {
    for (message, wire) in [
        (&b""[..], &b""[..]),
        (b"a", b"a\r\n"),
        (b"a\r\n", b"a\r\n"),
        (b"a\nb\rc\r\nd", b"a\r\nb\r\nc\r\nd\r\n"),
        (b".", b"..\r\n"),
        (b".\r\n.\n..\r.a", b"..\r\n..\r\n...\r\n..a\r\n"),
        (b"a.b\r\n", b"a.b\r\n"),
        (b"\r\r\n\n", b"\r\n\r\n\r\n"),
        (b"x\r\n.\r\nMAIL FROM:<evil@x>\r\n", b"x\r\n..\r\nMAIL FROM:<evil@x>\r\n"),
    ] {
        assert_eq!(encode(message, &[]).escape_ascii().to_string(), wire.escape_ascii().to_string());
        assert_eq!(encode(message, &vec![1; message.len()]), wire, "byte by byte: {}", message.escape_ascii());
    }
}

/// What a receiver makes of the bytes between DATA and the dot: the lines, or none when it saw an end too early.
fn received(wire: &[u8]) -> Option<Vec<Vec<u8>>> {
    let text = wire.strip_suffix(b".\r\n")?;
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let line = &rest[..end];
        if line == b"." || line.contains(&b'\r') || line.contains(&b'\n') {
            return None;
        }
        lines.push(line.strip_prefix(b".").unwrap_or(line).to_vec());
        rest = &rest[end + 2..];
    }
    Some(lines)
}

/// A message's lines, whatever its line ends are.
fn lines_of(message: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = vec![Vec::new()];
    let mut bytes = message.iter().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' => {
                bytes.next_if(|next| **next == b'\n');
                lines.push(Vec::new());
            }
            b'\n' => lines.push(Vec::new()),
            other => lines.last_mut().unwrap().push(*other),
        }
    }
    if lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    lines
}

fn piecewise() -> impl Strategy<Value = (Vec<u8>, Vec<usize>)> {
    let byte = prop_oneof![Just(b'.'), Just(b'\r'), Just(b'\n'), Just(b'a'), any::<u8>()];
    (prop::collection::vec(byte, 0..400), prop::collection::vec(0..20usize, 0..60))
}

proptest! {
    #[test]
    fn every_message_arrives_in_every_chunking((message, pieces) in piecewise()) {
        let mut wire = encode(&message, &pieces);
        wire.extend_from_slice(DotEncoder::END);
        prop_assert_eq!(received(&wire), Some(lines_of(&message)));
        prop_assert_eq!(encode(&message, &pieces), encode(&message, &[]));
    }

    #[test]
    fn any_line_is_a_reply_or_none(line in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Some(line) = ReplyLine::parse(&line) {
            prop_assert!((200..600).contains(&line.code));
        }
    }

    #[test]
    fn any_bytes_are_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..4_000), code in 200..600u16) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _ = runtime.block_on(read(&bytes));
        let mut plausible = format!("{code}-").into_bytes();
        plausible.extend_from_slice(&bytes);
        if let Ok(reply) = runtime.block_on(read(&plausible)) {
            prop_assert!(reply.lines.len() <= MAX_LINES);
            prop_assert!(reply.words().len() <= 500);
        }
    }

    #[test]
    fn any_ehlo_answer_is_understood_somehow(
        lines in prop::collection::vec("(SIZE|AUTH|AUTH=|DELIVERBY|FUTURERELEASE|MT-PRIORITY|NO-SOLICITING|)[ -]?.{0,40}", 0..20),
    ) {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let _ = offered(&lines);
    }

    #[test]
    fn a_path_never_ends_its_command(address in "\\PC{0,10}[@<>\r\n\0 a]{0,6}\\PC{0,10}") {
        if let Ok(path) = Path::forward(&address) {
            let command = command::rcpt(path);
            prop_assert_eq!(command.matches(['\r', '\n', '\0']).count(), 2);
            prop_assert_eq!(command.matches(['<', '>']).count(), 2);
        }
    }
}
