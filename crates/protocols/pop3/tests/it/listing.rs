//! What is new, page by page, and who is who when the server's ids cannot be trusted.

use std::time::Duration;

use lockstep_connector::{Delta, Known, Limits, Session};
use lockstep_model::{
    fault::{FaultClass, FaultScope},
    remote::{Cursor, RemoteKey},
};

use crate::{
    known::Memory,
    maildrop::{Act, Maildrop, deadline, header, open, raw, session, target},
};

pub(crate) const ALL: Limits = Limits { items: 10_000, bytes: u64::MAX };

fn names(delta: &Delta) -> Vec<String> {
    delta.heads.iter().map(|head| head.key.to_string()).collect()
}

async fn pull_all(session: &mut Box<dyn Session>, cursor: &Cursor, known: &mut Memory, limits: Limits) -> Vec<Delta> {
    let mut pages = Vec::new();
    loop {
        let page = session.pull(cursor, known, limits, &deadline()).await.unwrap();
        assert!(!page.more || page.cursor.is_none());
        known.commit(&page);
        let more = page.more;
        pages.push(page);
        if !more {
            return pages;
        }
    }
}

#[tokio::test]
async fn pages_are_bounded_and_the_last_one_carries_the_cursor() {
    let maildrop = Maildrop::numbered("id", 25);
    let server = maildrop.clone().serve().await;
    let mut known = Memory::of([("gone", &b"A: 1\n\n"[..]), ("id-3", b"")]);
    let mut first = session(&server).await;
    let pages = pull_all(&mut first, &Cursor::default(), &mut known, Limits { items: 10, bytes: u64::MAX }).await;
    assert_eq!(pages.iter().map(|page| page.heads.len()).collect::<Vec<_>>(), [10, 10, 4]);
    assert_eq!(names(&pages[0])[..3], ["id-1", "id-2", "id-4"], "oldest first, without the known one");
    assert_eq!(pages[0].heads[0].size, raw(1).len() as u64);
    assert!(pages[..2].iter().all(|page| page.absent.is_empty() && page.cursor.is_none()));
    assert_eq!(pages[2].absent, [RemoteKey::new("gone").unwrap()]);
    let cursor = pages[2].cursor.clone().unwrap();
    assert_eq!(cursor.0.len(), 33);
    assert!(first.pull(&cursor, &known, ALL, &deadline()).await.unwrap().heads.is_empty());
    first.close(&deadline()).await.unwrap();

    let mut second = session(&server).await;
    let delta = second.pull(&cursor, &Memory::default(), ALL, &deadline()).await.unwrap();
    assert!(delta.is_empty() && !delta.more, "the same listing: nobody is asked anything");
    second.close(&deadline()).await.unwrap();

    maildrop.messages.lock().unwrap().remove(0);
    let mut third = session(&server).await;
    let delta = third.pull(&cursor, &known, ALL, &deadline()).await.unwrap();
    assert!(delta.heads.is_empty() && delta.cursor.is_some());
    assert!(delta.absent.contains(&RemoteKey::new("id-1").unwrap()));
}

#[tokio::test]
async fn pages_are_bounded_by_bytes_but_never_empty() {
    let server = Maildrop::numbered("id", 5).serve().await;
    let size = raw(1).len() as u64;
    for (bytes, wanted) in [(0, vec![1; 5]), (size * 2, vec![2, 2, 1])] {
        let mut session = session(&server).await;
        let limits = Limits { items: 100, bytes };
        let pages = pull_all(&mut session, &Cursor::default(), &mut Memory::default(), limits).await;
        assert_eq!(pages.iter().map(|page| page.heads.len()).collect::<Vec<_>>(), wanted);
    }
}

#[tokio::test]
async fn an_empty_maildrop_is_a_listing_too() {
    let server = Maildrop::of([]).serve().await;
    let mut session = session(&server).await;
    let delta = session.pull(&Cursor::default(), &Memory::default(), ALL, &deadline()).await.unwrap();
    assert!(delta.heads.is_empty() && delta.cursor.is_some() && !delta.more);
}

#[tokio::test]
async fn every_byte_in_a_packet_of_its_own() {
    let mut maildrop = Maildrop::numbered("id", 3);
    maildrop.options.one_byte_chunks = true;
    let server = maildrop.serve().await;
    let mut session = session(&server).await;
    let delta = session.pull(&Cursor::default(), &Memory::default(), ALL, &deadline()).await.unwrap();
    assert_eq!(names(&delta), ["id-1", "id-2", "id-3"]);
    let headers = session.headers(&delta.heads, &deadline()).await.unwrap().whole().unwrap();
    assert_eq!(headers, [1, 2, 3].map(|n| Ok(header(n))));
    session.close(&deadline()).await.unwrap();
}

#[tokio::test]
async fn without_ids_messages_are_known_by_their_header() {
    let maildrop = Maildrop::of([("", "A: 1\n\none\n"), ("", "A: 2\n\ntwo\n"), ("", "A: 1\n\nother body\n")])
        .capabilities(&["TOP"])
        .but(|line| if line == "UIDL" { Act::say("-ERR unknown command\r\n") } else { None });
    let server = maildrop.clone().serve().await;
    let mut known = Memory::default();
    let mut first = session(&server).await;
    let pages = pull_all(&mut first, &Cursor::default(), &mut known, ALL).await;
    let keys = names(&pages[0]);
    assert!(keys.iter().all(|key| key.starts_with("fp:")) && pages[0].heads.iter().all(|head| head.weak));
    assert_eq!(format!("{}#2", keys[0]), keys[2], "alike: told apart by their order");
    let cursor = pages[0].cursor.clone().unwrap();
    first.close(&deadline()).await.unwrap();

    // Nothing changed: not a single header is read.
    let mut second = session(&server).await;
    assert!(second.pull(&cursor, &known, ALL, &deadline()).await.unwrap().is_empty());
    second.close(&deadline()).await.unwrap();
    assert!(!server.received()[1].iter().any(|line| line.starts_with("TOP")));

    // A message goes and all numbers move: nothing is new.
    maildrop.messages.lock().unwrap().remove(0);
    let mut third = session(&server).await;
    let delta = third.pull(&cursor, &known, ALL, &deadline()).await.unwrap();
    assert_eq!((names(&delta), delta.absent.len()), (Vec::new(), 1));
    // And deletion goes by the header as well.
    third.delete(&[RemoteKey::new(keys[1].as_str()).unwrap()], &deadline()).await.unwrap();
    third.close(&deadline()).await.unwrap();
    assert_eq!(maildrop.messages.lock().unwrap().len(), 1);
    assert_eq!(maildrop.messages.lock().unwrap()[0].raw, b"A: 1\r\n\r\nother body\r\n");
}

#[tokio::test]
async fn ids_that_stand_twice_are_not_taken() {
    let server = Maildrop::of([("x", "A: 1\n\n"), ("dup", "A: 2\n\n"), ("dup", "A: 3\n\n"), ("", "A: 4\n\n")]);
    let server = server.serve().await;
    let mut session = session(&server).await;
    let delta = session.pull(&Cursor::default(), &Memory::default(), ALL, &deadline()).await.unwrap();
    assert_eq!(delta.heads.iter().map(|head| head.weak).collect::<Vec<_>>(), [false, true, true, true]);
    assert!(names(&delta)[1..].iter().all(|key| key.starts_with("fp:")));
    assert_eq!(server.received()[0].iter().filter(|line| line.starts_with("TOP")).count(), 3);
}

#[tokio::test]
async fn an_id_that_became_ambiguous_does_not_import_its_message_again() {
    let server = Maildrop::of([("dup", "A: 1\n\n"), ("dup", "A: 2\n\n")]).serve().await;
    let known = Memory::of([("dup", &b"A: 1\n\n"[..])]);
    let mut session = session(&server).await;
    let delta = session.pull(&Cursor::default(), &known, ALL, &deadline()).await.unwrap();
    assert_eq!(delta.rekeyed.len(), 1);
    assert_eq!(delta.rekeyed[0].0.to_string(), "dup");
    assert_eq!(delta.heads.len(), 1);
    assert!(delta.absent.is_empty());
}

#[tokio::test]
async fn a_message_that_got_an_id_of_its_own_is_not_imported_again() {
    let nameless = Maildrop::of([("", "A: 1\n\n")]).serve().await;
    let mut first = session(&nameless).await;
    let delta = first.pull(&Cursor::default(), &Memory::default(), ALL, &deadline()).await.unwrap();
    let weak = names(&delta).remove(0);

    let named = Maildrop::of([("own", "A: 1\n\n"), ("other", "A: 2\n\n")]).serve().await;
    let known = Memory::of([(weak.as_str(), &b"A: 1\n\n"[..])]);
    let mut second = session(&named).await;
    let delta = second.pull(&delta.cursor.unwrap(), &known, ALL, &deadline()).await.unwrap();
    assert_eq!(delta.rekeyed, [(RemoteKey::new(weak).unwrap(), RemoteKey::new("own").unwrap())]);
    assert_eq!(names(&delta), ["other"]);
    assert!(delta.absent.is_empty() && delta.warning.is_none());
}

#[tokio::test]
async fn a_reset_of_all_ids_imports_only_what_is_new() {
    let mut maildrop = Maildrop::numbered("new", 40);
    maildrop.messages.lock().unwrap()[9].id = "old-10".to_owned();
    let headers: Vec<(String, Vec<u8>)> = (1..=38).map(|n| (format!("old-{n}"), header(n))).collect();
    for pipelining in [true, false] {
        if !pipelining {
            maildrop = maildrop.capabilities(&["TOP", "UIDL"]);
        }
        let server = maildrop.clone().serve().await;
        let mut known = Memory::of(headers.iter().map(|(key, header)| (key.as_str(), header.as_slice())));
        let mut session = session(&server).await;
        let pages = pull_all(&mut session, &Cursor::default(), &mut known, Limits { items: 15, bytes: u64::MAX }).await;
        let warning = pages[0].warning.clone().unwrap();
        assert_eq!((warning.scope, warning.class), (FaultScope::Mailbox, FaultClass::Transient));
        assert_eq!(warning.code, "UidlReset");
        assert!(pages[1..].iter().all(|page| page.warning.is_none()));
        assert_eq!(pages.iter().map(|page| page.rekeyed.len()).sum::<usize>(), 37);
        assert!(pages.iter().all(|page| page.rekeyed.len() <= 15));
        let new: Vec<String> = pages.iter().flat_map(names).collect();
        assert_eq!(new, ["new-39", "new-40"]);
        assert!(pages.iter().all(|page| page.absent.is_empty()));
        assert!(known.keys().contains(&"old-10".to_owned()) && known.keys().contains(&"new-1".to_owned()));
        assert_eq!(known.count().await.unwrap(), 40);
    }
}

#[tokio::test]
async fn on_one_page_the_renamed_are_not_absent() {
    let server = Maildrop::numbered("new", 30).serve().await;
    let headers: Vec<(String, Vec<u8>)> = (1..=30).map(|n| (format!("old-{n}"), header(n))).collect();
    let known = Memory::of(headers.iter().map(|(key, header)| (key.as_str(), header.as_slice())));
    let mut session = session(&server).await;
    let delta = session.pull(&Cursor::default(), &known, ALL, &deadline()).await.unwrap();
    assert_eq!((delta.rekeyed.len(), delta.heads.len(), delta.absent.len(), delta.more), (30, 0, 0, false));
}

/// F25: what is to be judged again is offered again under its own key; that is no reset, and costs no header here.
#[tokio::test]
async fn f25_what_is_offered_again_is_no_reset() {
    let server = Maildrop::numbered("id", 60).serve().await;
    let mut known = Memory::default();
    let mut first = session(&server).await;
    let all = first.pull(&Cursor::default(), &known, ALL, &deadline()).await.unwrap();
    known.commit(&all);
    first.close(&deadline()).await.unwrap();
    known.offer_again(&["id-1"]);
    let mut again = session(&server).await;
    let one = again.pull(&Cursor::default(), &known, ALL, &deadline()).await.unwrap();
    assert_eq!((names(&one), one.warning), (vec!["id-1".to_owned()], None));
    again.close(&deadline()).await.unwrap();
    known.offer_again(&all.heads.iter().map(|head| head.key.to_string()).collect::<Vec<_>>());
    let mut again = session(&server).await;
    let offered = again.pull(&Cursor::default(), &known, ALL, &deadline()).await.unwrap();
    assert_eq!((offered.heads, offered.warning), (all.heads, None));
    assert!(offered.rekeyed.is_empty() && offered.absent.is_empty());
    let asked = server.received();
    assert!(!asked.last().unwrap().iter().any(|line| line.starts_with("TOP") || line.starts_with("RETR")));
}

#[tokio::test]
async fn much_new_mail_is_no_reset() {
    let server = Maildrop::numbered("new", 30).serve().await;
    let headers: Vec<(String, Vec<u8>)> = (101..=125).map(|n| (format!("old-{n}"), header(n))).collect();
    let known = Memory::of(headers.iter().map(|(key, header)| (key.as_str(), header.as_slice())));
    let mut session = session(&server).await;
    let delta = session.pull(&Cursor::default(), &known, ALL, &deadline()).await.unwrap();
    assert_eq!((delta.heads.len(), delta.absent.len()), (30, 25));
    assert!(delta.rekeyed.is_empty() && delta.warning.is_none());
}

#[tokio::test]
async fn a_listing_that_breaks_off_is_no_listing() {
    let broken = [
        ("LIST", Act::Say(b"+OK\r\n1 10\r\n-ERR [SYS/TEMP] disk\r\n".to_vec()), "ListingInterrupted"),
        ("UIDL", Act::Say(b"+OK\r\n1 id-1\r\n-err oops\r\n".to_vec()), "ListingInterrupted"),
        ("UIDL", Act::SayAndClose(b"+OK\r\n1 id-1\r\n2 id".to_vec()), "ConnectionLost"),
        ("UIDL", Act::SayAndStall(b"+OK\r\n1 id-1\r\n2 id".to_vec()), "TimedOut"),
        ("LIST", Act::Say(b"-ERR not now\r\n".to_vec()), "ListingRefused"),
        ("UIDL", Act::Say(b"-ERR not now\r\n".to_vec()), "ListingRefused"),
        ("UIDL", Act::Say(b"-ERR [SYS/TEMP] not now\r\n".to_vec()), "ServerTemporaryFailure"),
        ("UIDL", Act::Say(b"<html>\r\n".to_vec()), "ProtocolViolation"),
    ];
    for (command, act, code) in broken {
        let server = Maildrop::numbered("id", 3).but(move |line| (line == command).then(|| act.clone())).serve().await;
        let mut target = target(server.port());
        target.request_timeout = Duration::from_millis(500);
        let mut session = open(&target).await.unwrap();
        let fault = session.pull(&Cursor::default(), &Memory::default(), ALL, &deadline()).await.unwrap_err();
        assert_eq!((fault.scope, fault.class), (FaultScope::Mailbox, FaultClass::Transient));
        assert_eq!(fault.code, code);
        let closed = session.close(&deadline()).await;
        assert_eq!(closed.is_ok(), act_keeps_step(code), "{code}");
    }
}

/// A refusal leaves the conversation in order; a torn answer does not.
fn act_keeps_step(code: &str) -> bool {
    matches!(code, "ListingRefused" | "ServerTemporaryFailure")
}

#[tokio::test]
async fn lines_of_any_kind_and_length() {
    let long = format!("4 {}\r\n", "x".repeat(3_000_000));
    let uidl = format!("+OK\r\n1 a\r\nnonsense\r\n\r\n0 zero\r\n2\r\n 3   c c \r\n{long}1 again\r\n..\r\n.\r\n");
    let list = "+OK\r\n1 999999999999999999999\r\n2 20\r\n3 x\r\n4 40\r\n.\r\n";
    let server = Maildrop::numbered("id", 4).but(move |line| match line {
        "UIDL" => Act::say(&uidl),
        "LIST" => Act::say(list),
        _ => None,
    });
    let server = server.serve().await;
    let mut session = session(&server).await;
    let delta = session.pull(&Cursor::default(), &Memory::default(), ALL, &deadline()).await.unwrap();
    let shown: Vec<(String, u64, bool)> =
        delta.heads.iter().map(|head| (head.key.to_string().chars().take(3).collect(), head.size, head.weak)).collect();
    let own = |key: &str, size, weak| (key.to_owned(), size, weak);
    assert_eq!(shown, [own("a", 0, false), own("fp:", 20, true), own("c c", 0, false), own("fp:", 40, true)]);
    session.close(&deadline()).await.unwrap();
}

#[tokio::test]
async fn a_listing_without_end_is_refused_not_cut() {
    for (line, count) in [("1 1\r\n".to_owned(), 1_000_001), (format!("1 {}\r\n", "x".repeat(590)), 300_000)] {
        let answer = Act::Say(format!("+OK\r\n{}.\r\n", line.repeat(count)).into_bytes());
        let server = Maildrop::of([]).but(move |line| (line == "UIDL").then(|| answer.clone())).serve().await;
        let mut session = session(&server).await;
        let fault = session.pull(&Cursor::default(), &Memory::default(), ALL, &deadline()).await.unwrap_err();
        assert_eq!((fault.class, fault.code.as_str()), (FaultClass::Refused, "ListingTooLarge"));
    }
}

#[tokio::test]
async fn a_message_that_nobody_can_identify_hides_nothing_else() {
    let maildrop = Maildrop::of([("a", "A: 1\n\n"), ("", "A: 2\n\n")])
        .but(|line| if line == "TOP 2 0" || line == "RETR 2" { Act::say("-ERR broken\r\n") } else { None });
    let server = maildrop.serve().await;
    let known = Memory::of([("other", &b"A: 9\n\n"[..])]);
    let mut first = session(&server).await;
    let delta = first.pull(&Cursor::default(), &known, ALL, &deadline()).await.unwrap();
    assert_eq!(names(&delta), ["a"]);
    assert!(delta.absent.is_empty(), "the listing was not read completely");
    assert_eq!(delta.warning.map(|fault| fault.code), Some("ItemUnavailable".to_owned()));
    first.close(&deadline()).await.unwrap();
    let mut second = session(&server).await;
    let again = second.pull(&delta.cursor.unwrap(), &known, ALL, &deadline()).await.unwrap();
    assert!(again.cursor.is_some(), "it is looked at again the next time");
}
