//! A message of 150 MB goes through a session without staying in it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lockstep_connector::Deadline;
use lockstep_model::remote::Cursor;
use lockstep_test_support::scripted::{ScriptOptions, ScriptedServer};
use tokio::io::AsyncReadExt;

use crate::{known::Memory, listing::ALL, maildrop::session};

const SIZE: usize = 150 * 1024 * 1024;

/// What the sockets of both sides may hold; the session's own buffer is measured exactly in `body`'s unit test.
const SOCKETS: usize = 16 * 1024 * 1024;

#[tokio::test]
async fn a_150_mb_message_streams() {
    let line = b"..seventy-six bytes of a message that somebody makes while you are reading it.\r\n";
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let server = ScriptedServer::start(ScriptOptions::default(), move |_, mut peer| {
        let counter = Arc::clone(&counter);
        async move {
            peer.send("+OK\r\n").await?;
            loop {
                let said = peer.line().await?;
                match said.split(' ').next().unwrap_or_default() {
                    "CAPA" => peer.send("-ERR\r\n").await?,
                    "LIST" => peer.send(format!("+OK\r\n1 {SIZE}\r\n.\r\n")).await?,
                    "UIDL" => peer.send("+OK\r\n1 big\r\n.\r\n").await?,
                    "RETR" => {
                        peer.send("+OK\r\n").await?;
                        let piece = line.repeat(400);
                        while counter.load(Ordering::Relaxed) < SIZE {
                            peer.send(&piece).await?;
                            counter.fetch_add(piece.len() - 400, Ordering::Relaxed);
                        }
                        peer.send(".\r\n").await?;
                    }
                    "QUIT" => return peer.send("+OK\r\n").await,
                    _ => peer.send("+OK\r\n").await?,
                }
            }
        }
    })
    .await;
    let deadline = Deadline::within(Duration::from_secs(300));
    let mut session = session(&server).await;
    let heads = session.pull(&Cursor::default(), &Memory::default(), ALL, &deadline).await.unwrap().heads;
    let (mut received, mut chunk, mut most) = (0, vec![0; 64 * 1024], 0);
    let mut body = session.fetch(&heads[0], &deadline).await.unwrap();
    loop {
        let read = body.read(&mut chunk).await.unwrap();
        if read == 0 {
            break;
        }
        received += read;
        most = most.max(sent.load(Ordering::Relaxed).saturating_sub(received));
    }
    drop(body);
    assert_eq!(received, sent.load(Ordering::Relaxed));
    assert!(received >= SIZE);
    assert!(most < SOCKETS, "{most} bytes were under way");
    session.close(&deadline).await.unwrap();
}
