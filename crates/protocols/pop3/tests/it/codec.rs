//! Parsers: tables of what servers say, and any bytes at all.

use std::time::Duration;

use lockstep_model::remote::RemoteKey;
use lockstep_pop3::codec::{
    capa::Capabilities,
    command::Command,
    dots::Unstuffer,
    header::{HeaderBlock, MAX_HEADER},
    listing,
    response::{Reply, ResponseCode, Status},
};
use proptest::prelude::*;

#[test]
fn status_lines() {
    type Read = (Status, Option<ResponseCode>, &'static str);
    let table: [(&[u8], Option<Read>); 17] = [
        (b"+OK", Some((Status::Ok, None, ""))),
        (b"+OK 2 messages", Some((Status::Ok, None, "2 messages"))),
        (b"+ok lower", Some((Status::Ok, None, "lower"))),
        (b"-ERR", Some((Status::Err, None, ""))),
        (b"-ERR [IN-USE] locked", Some((Status::Err, Some(ResponseCode::InUse), "[IN-USE] locked"))),
        (b"-ERR [in-use]", Some((Status::Err, Some(ResponseCode::InUse), "[in-use]"))),
        (b"-ERR [LOGIN-DELAY] x", Some((Status::Err, Some(ResponseCode::LoginDelay), "[LOGIN-DELAY] x"))),
        (b"-ERR [SYS/TEMP] x", Some((Status::Err, Some(ResponseCode::SysTemp), "[SYS/TEMP] x"))),
        (b"-ERR [SYS/PERM/DISK] x", Some((Status::Err, Some(ResponseCode::SysPerm), "[SYS/PERM/DISK] x"))),
        (b"-ERR [SYS] x", Some((Status::Err, Some(ResponseCode::Other), "[SYS] x"))),
        (b"-ERR [AUTH] x", Some((Status::Err, Some(ResponseCode::Auth), "[AUTH] x"))),
        (b"-ERR [AUTHOR] x", Some((Status::Err, Some(ResponseCode::Other), "[AUTHOR] x"))),
        (b"-ERR [never closed", Some((Status::Err, None, "[never closed"))),
        (b"+ ", Some((Status::Continue, None, ""))),
        (b"+ eyJ", Some((Status::Continue, None, "eyJ"))),
        (b"* OK IMAP4rev1", None),
        (b"", None),
    ];
    for (line, wanted) in table {
        let read = Reply::parse(line);
        let read = read.as_ref().map(|r| (r.status, r.code, str::from_utf8(&r.text).unwrap()));
        assert_eq!(read, wanted, "{}", line.escape_ascii());
    }
}

#[test]
fn capabilities() {
    let mut read = Capabilities::default();
    for line in ["top", "UIDL", "LOGIN-DELAY 300 USER", "SASL plain XOAUTH2", "PIPELINING", "", "   ", "X-OTHER 1"] {
        read.add(line.as_bytes());
    }
    assert!(read.top && read.uidl && read.pipelining && !read.stls && !read.user);
    assert_eq!(read.login_delay, Some(Duration::from_secs(300)));
    assert!(read.offers("PLAIN") && read.offers("XOAUTH2") && !read.offers("LOGIN"));
    read.add(b"LOGIN-DELAY soon");
    assert_eq!(read.login_delay, Some(Duration::from_secs(300)));
}

#[test]
fn listing_lines() {
    assert_eq!(listing::size(b"1 120"), Some((1, 120)));
    assert_eq!(listing::size(b"  2   7 octets"), Some((2, 7)));
    assert_eq!(listing::size(b"3"), Some((3, 0)), "unknown size");
    for strange in [&b""[..], b"0 5", b"-1 5", b"x 5", b"99999999999999999999 5"] {
        assert_eq!(listing::size(strange), None, "{}", strange.escape_ascii());
    }
    assert_eq!(listing::unique_id(b"1 abc"), Some((1, RemoteKey::new("abc"))));
    assert_eq!(listing::unique_id(b"1  a b "), Some((1, RemoteKey::new("a b"))));
    assert_eq!(listing::unique_id(b"1 \xff"), Some((1, RemoteKey::new([0xff]))), "bytes, not text");
    let long = |n: usize| [b"1 ".to_vec(), vec![b'x'; n]].concat();
    assert_eq!(listing::unique_id(&long(512)), Some((1, RemoteKey::new([b'x'; 512]))));
    for missing in [&b"1"[..], b"1 ", b"1 a\0b", b"1 fp:abc", &long(513)] {
        assert_eq!(listing::unique_id(missing), Some((1, None)), "{}", missing.escape_ascii());
    }
}

#[test]
fn commands() {
    let said = |command: Command<'_>| String::from_utf8(command.line().to_vec()).unwrap();
    assert_eq!(said(Command::Auth("PLAIN", Some("AGEA"))), "AUTH PLAIN AGEA\r\n");
    assert_eq!(said(Command::Auth("PLAIN", Some(""))), "AUTH PLAIN =\r\n");
    assert_eq!(said(Command::Auth("XOAUTH2", None)), "AUTH XOAUTH2\r\n");
    assert_eq!(said(Command::Answer("")), "\r\n");
    assert_eq!(said(Command::Top(7)), "TOP 7 0\r\n");
}

/// Decodes in one piece after another, into outputs of a given size.
fn unstuff(pieces: &[&[u8]], room: usize, bare_lf: bool) -> (Vec<u8>, Vec<u8>, bool) {
    let mut unstuffer = Unstuffer::new(bare_lf);
    let (mut out, mut ended) = (Vec::new(), false);
    let mut rest = Vec::new();
    for piece in pieces {
        let mut at = 0;
        loop {
            if ended {
                rest.extend_from_slice(&piece[at..]);
                break;
            }
            let mut space = vec![0; room];
            let step = unstuffer.decode(&piece[at..], &mut space);
            out.extend_from_slice(&space[..step.written]);
            at += step.read;
            ended = step.ended;
            if step.read == 0 && step.written == 0 && !ended {
                assert_eq!(at, piece.len(), "what fits is taken");
                break;
            }
        }
    }
    (out, rest, ended)
}

/// The same by lines, on all bytes at once.
fn reference(wire: &[u8], bare_lf: bool) -> (Vec<u8>, Vec<u8>, bool) {
    let (mut out, mut at) = (Vec::new(), 0);
    for line in wire.split_inclusive(|b| *b == b'\n') {
        at += line.len();
        match line {
            b".\r\n" => return (out, wire[at..].to_vec(), true),
            b".\n" if bare_lf => return (out, wire[at..].to_vec(), true),
            b".\n" => out.extend_from_slice(line),
            // Not decided before the next byte.
            b"." | b".\r" => {}
            [b'.', text @ ..] => out.extend_from_slice(text),
            text => out.extend_from_slice(text),
        }
    }
    (out, Vec::new(), false)
}

#[test]
fn dots() {
    let table: [(&[u8], &[u8]); 7] = [
        (b".\r\n", b""),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n...a\r\n.b\r\n.\r\n", b".\r\n..a\r\nb\r\n"),
        (b"a\n..b\n.\r\n", b"a\n.b\n"),
        (b"a.\r\n.\r\n", b"a.\r\n"),
        (b".\r.\r\n.\r\n", b"\r.\r\n"),
        (b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n"),
    ];
    for (wire, wanted) in table {
        let (out, _, ended) = unstuff(&[wire], 100, false);
        assert_eq!((out.as_slice(), ended), (wanted, true), "{}", wire.escape_ascii());
    }
    assert_eq!(unstuff(&[b"a\n.\n+OK"], 100, true), (b"a\n".to_vec(), b"+OK".to_vec(), true), "a server without CR");
}

#[test]
fn header_blocks_are_cut_at_the_empty_line_and_at_the_bound() {
    let of = |pieces: &[&[u8]]| {
        let mut block = HeaderBlock::default();
        pieces.iter().for_each(|piece| block.feed(piece));
        block.finish()
    };
    assert_eq!(of(&[b"A: 1\r\n\r\nbody\r\n\r\n"]), b"A: 1\r\n\r\n");
    assert_eq!(of(&[b"A: 1\r\n\r", b"\nbody"]), b"A: 1\r\n\r\n");
    assert_eq!(of(&[b"A: 1\n\nbody"]), b"A: 1\n\n");
    assert_eq!(of(&[b"A: 1\r\n"]), b"A: 1\r\n\r\n", "no body");
    assert_eq!(of(&[b"A: 1"]), b"A: 1\r\n\r\n");
    assert_eq!(of(&[]), b"\r\n");
    let long = b"A: 1\r\n".repeat(MAX_HEADER);
    let cut = of(&[&long]);
    assert!(cut.len() <= MAX_HEADER && cut.ends_with(b"A: 1\r\n\r\n"));
    let endless = vec![b'x'; 2 * MAX_HEADER];
    let cut = of(&[&endless, b"\r\n\r\n"]);
    assert!(cut.len() <= MAX_HEADER && cut.ends_with(b"x\r\n\r\n"));
}

/// Bytes in which the interesting ones are frequent.
fn wire() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(b'.'), 3 => Just(b'\n'), 3 => Just(b'\r'), 2 => Just(b'a'), 1 => any::<u8>()];
    prop::collection::vec(byte, 0..200)
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(line in prop::collection::vec(any::<u8>(), 0..700)) {
        let _ = Reply::parse(&line).map(|reply| reply.words());
        let _ = Reply::parse(&[b"-ERR [", line.as_slice()].concat());
        let _ = listing::size(&line);
        let _ = listing::unique_id(&line);
        let _ = listing::unique_id(&[b"7 ", line.as_slice()].concat());
        let mut capabilities = Capabilities::default();
        capabilities.add(&line);
        capabilities.add(&[b"SASL ", line.as_slice()].concat());
        capabilities.add(&[b"LOGIN-DELAY ", line.as_slice()].concat());
        let mut block = HeaderBlock::default();
        block.feed(&line);
        prop_assert!(block.finish().ends_with(b"\n"));
    }

    #[test]
    fn unstuffing_does_not_depend_on_the_cutting(
        wire in wire(), cuts in prop::collection::vec(1_usize..20, 1..20), room in 1_usize..20, bare_lf: bool,
    ) {
        let mut pieces = Vec::new();
        let (mut rest, mut cut) = (wire.as_slice(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*cut.next().unwrap()).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        let wanted = reference(&wire, bare_lf);
        prop_assert_eq!(unstuff(&pieces, room, bare_lf), wanted.clone());
        let single: Vec<&[u8]> = wire.chunks(1).collect();
        prop_assert_eq!(unstuff(&single, 1, bare_lf), wanted);
    }

    #[test]
    fn header_blocks_do_not_depend_on_the_cutting(message in wire(), cut in 1_usize..30) {
        let mut whole = HeaderBlock::default();
        whole.feed(&message);
        let mut pieces = HeaderBlock::default();
        message.chunks(cut).for_each(|piece| pieces.feed(piece));
        prop_assert_eq!(whole.finish(), pieces.finish());
    }
}
