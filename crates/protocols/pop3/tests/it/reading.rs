//! Headers and messages: what comes over, and what happens when it does not.

use std::time::Duration;

use lockstep_connector::{Deadline, RemoteHead, Session};
use lockstep_model::{
    fault::{FaultClass, FaultScope},
    remote::{Cursor, RemoteKey},
};
use lockstep_test_support::scripted::{ScriptOptions, ScriptedServer};
use tokio::io::AsyncReadExt;

use crate::{
    known::Memory,
    listing::ALL,
    maildrop::{Act, GREETING, Maildrop, Message, deadline, header, open, raw, session, stuffed, target},
};

async fn heads(session: &mut Box<dyn Session>) -> Vec<RemoteHead> {
    session.pull(&Cursor::default(), &Memory::default(), ALL, &deadline()).await.unwrap().heads
}

async fn read(session: &mut Box<dyn Session>, head: &RemoteHead) -> Vec<u8> {
    let mut message = Vec::new();
    session.fetch(head, &deadline()).await.unwrap().read_to_end(&mut message).await.unwrap();
    message
}

fn tops(server: &ScriptedServer) -> usize {
    server.received()[0].iter().filter(|line| line.starts_with("TOP")).count()
}

#[tokio::test]
async fn headers_in_one_go_where_the_server_takes_several_commands() {
    let maildrop = Maildrop::numbered("id", 150);
    for lines in [&["TOP", "UIDL", "PIPELINING"][..], &["TOP", "UIDL"], &["UIDL", "PIPELINING"]] {
        let server = maildrop.clone().capabilities(lines).serve().await;
        let mut session = session(&server).await;
        let heads = heads(&mut session).await;
        let blocks = session.headers(&heads, &deadline()).await.unwrap().whole().unwrap();
        assert_eq!(blocks, (1..=150).map(|n| Ok(header(n))).collect::<Vec<_>>());
        assert_eq!(tops(&server), 150);
        session.close(&deadline()).await.unwrap();
    }
}

#[tokio::test]
async fn without_top_the_header_comes_from_the_whole_message() {
    for (capabilities, asked) in [(&["UIDL"][..], 1), (&["UIDL", "PIPELINING"], 3), (&["UIDL", "TOP"], 3)] {
        let server = Maildrop::numbered("id", 3)
            .capabilities(capabilities)
            .but(|line| if line.starts_with("TOP") { Act::say("-ERR unknown command\r\n") } else { None });
        let server = server.serve().await;
        let mut session = session(&server).await;
        let heads = heads(&mut session).await;
        let blocks = session.headers(&heads, &deadline()).await.unwrap().whole().unwrap();
        assert_eq!(blocks, [1, 2, 3].map(|n| Ok(header(n))));
        assert_eq!(tops(&server), asked, "{capabilities:?}");
        assert_eq!(read(&mut session, &heads[1]).await, raw(2), "and the session goes on");
    }
}

#[tokio::test]
async fn a_header_the_server_does_not_show_is_not_taken_for_gone() {
    let server = Maildrop::numbered("id", 3)
        .but(|line| if line == "TOP 2 0" || line == "RETR 2" { Act::say("-ERR no\r\n") } else { None });
    let server = server.serve().await;
    let mut session = session(&server).await;
    let mut heads = heads(&mut session).await;
    heads.push(RemoteHead { key: RemoteKey::new("stranger").unwrap(), handle: 1, size: 0, weak: false });
    let blocks = session.headers(&heads, &deadline()).await.unwrap().whole().unwrap();
    let [first, refused, third, stranger] = blocks.try_into().unwrap();
    assert_eq!((first, third), (Ok(header(1)), Ok(header(3))));
    let refused = refused.unwrap_err();
    assert_eq!(
        (refused.scope, refused.class, &*refused.code),
        (FaultScope::Item, FaultClass::Transient, "ItemUnavailable")
    );
    assert!(refused.message.ends_with("that it lists: no"), "the server's own words: {refused}");
    let gone = stranger.unwrap_err();
    assert_eq!(
        (gone.class, &*gone.code),
        (FaultClass::Gone, "ItemGone"),
        "a handle without its key counts for nothing"
    );
    session.close(&deadline()).await.unwrap();
}

#[tokio::test]
async fn a_failing_server_among_pipelined_answers() {
    let server = Maildrop::numbered("id", 5)
        .but(|line| if line == "TOP 2 0" { Act::say("-ERR [SYS/TEMP] disk\r\n") } else { None });
    let server = server.serve().await;
    let mut session = session(&server).await;
    let heads = heads(&mut session).await;
    let answer = session.headers(&heads, &deadline()).await.unwrap();
    assert_eq!(answer.blocks, [Ok(header(1))], "they end before the one that was refused");
    let fault = answer.broken.unwrap();
    assert_eq!((fault.scope, fault.code.as_str()), (FaultScope::Mailbox, "ServerTemporaryFailure"));
    session.close(&deadline()).await.unwrap();
}

#[tokio::test]
async fn messages_come_as_they_are() {
    let bodies: [&[u8]; 5] = [
        b"A: 1\r\n\r\n.\r\n..\r\n...\r\n. x\r\n",
        b"A: 2\r\n\r\n\xff\xfe\0\r\n",
        b"A: 3\r\n",
        b"\r\n",
        b"A: 4\r\n\r\n\n.\nbare line feeds\n..\r\n",
    ];
    let maildrop = Maildrop::of([]);
    *maildrop.messages.lock().unwrap() =
        bodies.iter().enumerate().map(|(n, raw)| Message { id: format!("id-{n}"), raw: raw.to_vec() }).collect();
    // The bare line feeds are not ours to be stuffed: the server sends what it has.
    let plain = [b"+OK\r\n".as_slice(), bodies[4], b".\r\n"].concat();
    let maildrop = maildrop.but(move |line| (line == "RETR 5").then(|| Act::Say(plain.clone())));
    let server = maildrop.serve().await;
    let mut session = session(&server).await;
    let heads = heads(&mut session).await;
    for (head, wanted) in heads.iter().zip(bodies).take(4) {
        assert_eq!(read(&mut session, head).await, wanted);
    }
    // RFC 1939: a dot at the beginning of a line that is not the end is taken away.
    assert_eq!(read(&mut session, &heads[4]).await, b"A: 4\r\n\r\n\n.\nbare line feeds\n.\r\n");
    session.close(&deadline()).await.unwrap();
}

#[tokio::test]
async fn a_refused_message_stops_no_other() {
    let server =
        Maildrop::numbered("id", 2).but(|line| if line == "RETR 1" { Act::say("-ERR locked\r\n") } else { None });
    let server = server.serve().await;
    let mut session = session(&server).await;
    let heads = heads(&mut session).await;
    let fault = session.fetch(&heads[0], &deadline()).await.err().unwrap();
    assert_eq!((fault.scope, fault.class), (FaultScope::Item, FaultClass::Transient));
    assert_eq!(fault.code, "ItemUnavailable");
    assert_eq!(read(&mut session, &heads[1]).await, raw(2));
    let stranger = RemoteHead { key: RemoteKey::new("stranger").unwrap(), ..heads[1].clone() };
    let fault = session.fetch(&stranger, &deadline()).await.err().unwrap();
    assert_eq!((fault.scope, fault.code.as_str()), (FaultScope::Item, "ItemGone"));
}

#[tokio::test]
async fn an_old_handle_finds_the_message_by_its_key() {
    let server = Maildrop::numbered("id", 3).serve().await;
    let mut session = session(&server).await;
    let head = RemoteHead { key: RemoteKey::new("id-2").unwrap(), handle: 3, size: 0, weak: false };
    assert_eq!(read(&mut session, &head).await, raw(2), "also without a pull before");
}

#[tokio::test]
async fn a_message_that_breaks_off() {
    for (act, code) in [
        (Act::SayAndClose(b"+OK\r\nA: 1\r\n\r\nhalf".to_vec()), "ConnectionLost"),
        (Act::SayAndStall(b"+OK\r\nA: 1\r\n\r\nhalf".to_vec()), "TimedOut"),
    ] {
        let server = Maildrop::numbered("id", 2).but(move |line| (line == "RETR 1").then(|| act.clone())).serve().await;
        let mut target = target(server.port());
        target.request_timeout = Duration::from_millis(500);
        let mut session = open(&target).await.unwrap();
        let heads = heads(&mut session).await;
        let mut message = Vec::new();
        let error = session.fetch(&heads[0], &deadline()).await.unwrap().read_to_end(&mut message).await.unwrap_err();
        let fault = error.downcast::<lockstep_model::fault::Fault>().unwrap();
        assert_eq!((fault.scope, fault.class), (FaultScope::Mailbox, FaultClass::Transient));
        assert_eq!(fault.code, code);
        assert_eq!(message, b"A: 1\r\n\r\nhalf");
        let fault = session.fetch(&heads[1], &deadline()).await.err().unwrap();
        assert_eq!(fault.code, "SessionOutOfStep");
        assert_eq!(session.close(&deadline()).await.unwrap_err().code, "SessionOutOfStep");
    }
}

#[tokio::test]
async fn a_reader_dropped_early_costs_the_rest_or_the_session() {
    for (length, goes_on) in [(100_000, true), (4_000_000, false)] {
        let long = [b"A: 1\r\n\r\n".to_vec(), b"+OK not an answer\r\n".repeat(length / 20)].concat();
        let maildrop = Maildrop::numbered("id", 2);
        maildrop.messages.lock().unwrap()[0].raw = long;
        let server = maildrop.serve().await;
        let mut session = session(&server).await;
        let heads = heads(&mut session).await;
        let mut begin = [0; 8];
        session.fetch(&heads[0], &deadline()).await.unwrap().read_exact(&mut begin).await.unwrap();
        if goes_on {
            assert_eq!(read(&mut session, &heads[1]).await, raw(2));
            session.close(&deadline()).await.unwrap();
        } else {
            let fault = session.fetch(&heads[1], &deadline()).await.err().unwrap();
            assert_eq!((fault.scope, fault.code.as_str()), (FaultScope::Mailbox, "SessionOutOfStep"));
            assert!(session.close(&deadline()).await.is_err());
        }
    }
}

#[tokio::test]
async fn a_call_that_was_dropped_leaves_the_session_unusable() {
    let server = Maildrop::numbered("id", 5)
        .but(|line| if line == "TOP 3 0" { Some(Act::SayAndStall(b"+OK\r\nA: 3\r\n".to_vec())) } else { None });
    let server = server.serve().await;
    let mut session = session(&server).await;
    let heads = heads(&mut session).await;
    let stopped = tokio::time::timeout(Duration::from_millis(200), session.headers(&heads, &deadline())).await;
    assert!(stopped.is_err());
    assert_eq!(session.headers(&heads, &deadline()).await.unwrap().broken.unwrap().code, "SessionOutOfStep");
}

#[tokio::test]
async fn headers_without_end_are_cut_and_the_next_answer_is_found() {
    let maildrop = Maildrop::numbered("id", 3);
    {
        let mut messages = maildrop.messages.lock().unwrap();
        messages[0].raw = [b"A: ".to_vec(), vec![b'x'; 3_000_000], b"\r\n\r\nbody\r\n".to_vec()].concat();
        messages[1].raw = [b"A: 1\r\n".repeat(200_000), b"\r\nbody\r\n".to_vec()].concat();
    }
    let server = maildrop.serve().await;
    let mut session = session(&server).await;
    let heads = heads(&mut session).await;
    let blocks = session.headers(&heads, &deadline()).await.unwrap().whole().unwrap();
    for block in &blocks[..2] {
        let block = block.as_ref().unwrap();
        assert!(block.len() <= 256 * 1024 && block.ends_with(b"\r\n\r\n"));
    }
    assert_eq!(blocks[2], Ok(header(3)));
}

#[tokio::test]
async fn a_message_without_end_ends_with_the_deadline() {
    let flood = |verb: &'static str| {
        ScriptedServer::start(ScriptOptions::default(), move |_, mut peer| async move {
            peer.send("+OK\r\n").await?;
            loop {
                match peer.line().await?.as_str() {
                    "LIST" => peer.send("+OK\r\n1 1\r\n.\r\n").await?,
                    "UIDL" => peer.send("+OK\r\n1 a\r\n.\r\n").await?,
                    line if line.starts_with(verb) => {
                        peer.send("+OK\r\nA: 1\r\n\r\n").await?;
                        loop {
                            peer.send(b"more and more\r\n".repeat(1_000)).await?;
                        }
                    }
                    "CAPA" => peer.send("-ERR\r\n").await?,
                    _ => peer.send("+OK\r\n").await?,
                }
            }
        })
    };
    let begun = std::time::Instant::now();
    let short = || Deadline::within(Duration::from_millis(500));
    let server = flood("TOP").await;
    let mut first = session(&server).await;
    let listed = heads(&mut first).await;
    assert_eq!(first.headers(&listed, &short()).await.unwrap().broken.unwrap().code, "DeadlineExceeded");

    let server = flood("RETR").await;
    let mut second = session(&server).await;
    let listed = heads(&mut second).await;
    let mut body = second.fetch(&listed[0], &short()).await.unwrap();
    let error = tokio::io::copy(&mut body, &mut tokio::io::sink()).await.unwrap_err();
    assert_eq!(error.downcast::<lockstep_model::fault::Fault>().unwrap().code, "DeadlineExceeded");
    assert!(begun.elapsed() < Duration::from_secs(20), "after {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_server_that_ends_its_lines_without_cr() {
    let answer = |line: &str| {
        let said = match line {
            GREETING | "USER anna@mail.test" | "PASS corr3ct-horse" | "QUIT" | "DELE 1" => "+OK\n".to_owned(),
            "CAPA" => "-ERR\n".to_owned(),
            "LIST" => "+OK\n1 10\n2 20\n.\n".to_owned(),
            "UIDL" => "+OK\n1 a\n2 b\n.\n".to_owned(),
            _ => String::from_utf8(stuffed(&raw(1))).unwrap().replace('\r', ""),
        };
        Act::say(&said)
    };
    let server = Maildrop::of([]).but(answer).serve().await;
    let mut session = session(&server).await;
    let heads = heads(&mut session).await;
    assert_eq!(heads.len(), 2);
    let wanted = String::from_utf8(raw(1)).unwrap().replace('\r', "");
    assert_eq!(read(&mut session, &heads[0]).await, wanted.as_bytes());
    assert_eq!(read(&mut session, &heads[1]).await, wanted.as_bytes());
    session.close(&deadline()).await.unwrap();
}

#[tokio::test]
async fn cancelling_the_deadline_ends_a_body() {
    let server = Maildrop::numbered("id", 1)
        .but(|line| if line == "RETR 1" { Some(Act::SayAndStall(b"+OK\r\nA".to_vec())) } else { None });
    let server = server.serve().await;
    let mut session = session(&server).await;
    let heads = heads(&mut session).await;
    let deadline = deadline();
    let mut body = session.fetch(&heads[0], &deadline).await.unwrap();
    assert_eq!(body.read_u8().await.unwrap(), b'A');
    let lost = lockstep_model::fault::Fault::new(FaultScope::Mailbox, FaultClass::Transient, "LeaseLost", "gone");
    deadline.cancel(lost);
    let error = body.read_u8().await.unwrap_err();
    assert_eq!(error.downcast::<lockstep_model::fault::Fault>().unwrap().code, "LeaseLost");
}
