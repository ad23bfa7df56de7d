//! Between DATA and the dot: whatever happens there, nothing was accepted.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use lockstep_connector::{BodyReader, Deadline, Envelope};
use lockstep_model::fault::{FaultClass, FaultScope};
use tokio::io::{AsyncRead, ReadBuf};

use crate::peer::{Gate, MESSAGE, Peer, Script, body, envelope, kind, minute, open, send_to};

/// A message that never ends well.
struct Failing {
    begin: &'static [u8],
    end: End,
}

#[derive(Clone, Copy)]
enum End {
    Error,
    Silence,
    Forever,
}

impl AsyncRead for Failing {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.begin.is_empty() {
            let taken = self.begin.len().min(buf.remaining());
            buf.put_slice(&self.begin[..taken]);
            self.begin = &self.begin[taken..];
            return Poll::Ready(Ok(()));
        }
        match self.end {
            End::Error => Poll::Ready(Err(io::Error::other("the database went away"))),
            End::Silence => Poll::Pending,
            End::Forever => {
                let line = [b'x'; 62];
                while buf.remaining() >= 64 {
                    buf.put_slice(&line);
                    buf.put_slice(b"\r\n");
                }
                Poll::Ready(Ok(()))
            }
        }
    }
}

fn failing(end: End) -> BodyReader<'static> {
    Box::pin(Failing { begin: b"Subject: x\r\n\r\nhalf of", end })
}

async fn to_data(peer: &mut Peer, offers: &[&str]) {
    peer.admit(offers).await;
    peer.expect("MAIL", "250 ok").await;
    peer.expect("RCPT", "250 ok").await;
    peer.expect("DATA", "354 go on").await;
}

#[tokio::test]
async fn the_message_arrives_as_it_is() {
    let script = Script::play(|mut peer| async move {
        to_data(&mut peer, &[]).await;
        let (lines, dot) = peer.hear_message().await;
        assert!(dot);
        peer.say("250 queued").await;
        lines
    })
    .await;
    let message = b"Subject: dots\n\n.\r\n..two\rend";
    let mut session = open(&script.target()).await.unwrap();
    session.send(&envelope(&["b@x.test"]), body(message), &mut Gate::default(), &minute()).await.unwrap();
    assert_eq!(script.end().await, ["Subject: dots", "", "..", "...two", "end"]);
}

#[tokio::test]
async fn a_closed_gate_means_no_dot() {
    let script = Script::play(|mut peer| async move {
        to_data(&mut peer, &[]).await;
        peer.hear_message().await
    })
    .await;
    let mut gate = Gate::closed();
    let mut session = open(&script.target()).await.unwrap();
    let sent = session.send(&envelope(&["b@x.test"]), body(MESSAGE), &mut gate, &minute()).await;
    assert_eq!(sent.unwrap_err().code, "LeaseLost", "the gate's own fault");
    assert_eq!(gate.asked().len(), 1);
    let (lines, dot) = script.end().await;
    assert_eq!(lines, ["Subject: hello", "", "body"], "the whole message was written before the gate was asked");
    assert!(!dot);
    // Nothing may follow on that connection, or it would become part of the message.
    let again = session.send(&envelope(&["b@x.test"]), body(MESSAGE), &mut gate, &minute()).await.unwrap_err();
    assert_eq!(kind(&again), (FaultScope::Mailbox, FaultClass::Transient, "ConnectionLost"));
    session.close(&minute()).await.unwrap();
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_not_sent() {
    for end in [End::Error, End::Silence] {
        let script = Script::play(|mut peer| async move {
            to_data(&mut peer, &[]).await;
            peer.hear_message().await.1
        })
        .await;
        let mut gate = Gate::default();
        let mut target = script.target();
        target.request_timeout = Duration::from_millis(300);
        let mut session = open(&target).await.unwrap();
        let fault = session.send(&envelope(&["b@x.test"]), failing(end), &mut gate, &minute()).await.unwrap_err();
        assert_eq!(kind(&fault), (FaultScope::Item, FaultClass::Transient, "BodyUnreadable"));
        assert!(!script.end().await, "no dot");
        assert!(gate.asked().is_empty());
    }
}

#[tokio::test]
async fn a_message_of_another_length_is_not_sent() {
    for announced in [MESSAGE.len() as u64 - 1, MESSAGE.len() as u64 + 1] {
        let script = Script::play(|mut peer| async move {
            to_data(&mut peer, &[]).await;
            peer.hear_message().await.1
        })
        .await;
        let mut session = open(&script.target()).await.unwrap();
        let envelope = Envelope { size: Some(announced), ..envelope(&["b@x.test"]) };
        let mut gate = Gate::default();
        let fault = session.send(&envelope, body(MESSAGE), &mut gate, &minute()).await.unwrap_err();
        assert_eq!(fault.code, "BodyUnreadable");
        assert!(!script.end().await, "no dot");
        assert!(gate.asked().is_empty());
    }
}

#[tokio::test]
async fn too_large_is_said_before_anything_is_sent() {
    let script = Script::play(|mut peer| async move {
        peer.admit(&["SIZE 1000"]).await;
        peer.expect("QUIT", "221 bye").await;
    })
    .await;
    let mut session = open(&script.target()).await.unwrap();
    let large = Envelope { size: Some(1001), ..envelope(&["b@x.test"]) };
    let fault = session.send(&large, body(MESSAGE), &mut Gate::default(), &minute()).await.unwrap_err();
    assert_eq!(kind(&fault), (FaultScope::Item, FaultClass::Refused, "MessageTooLarge"));
    session.close(&minute()).await.unwrap();
    script.end().await;
}

#[tokio::test]
async fn too_large_is_noticed_while_writing_when_the_size_is_unknown() {
    let script = Script::play(|mut peer| async move {
        to_data(&mut peer, &["SIZE 100000"]).await;
        peer.hear_message().await.1
    })
    .await;
    let mut session = open(&script.target()).await.unwrap();
    let sent = session.send(&envelope(&["b@x.test"]), failing(End::Forever), &mut Gate::default(), &minute()).await;
    assert_eq!(sent.unwrap_err().code, "MessageTooLarge");
    assert!(!script.end().await, "no dot");
}

#[tokio::test]
async fn a_server_that_speaks_or_leaves_during_the_message() {
    use FaultClass::{Refused, Transient};
    for (said, scope, class, code) in [
        ("421 4.3.0 shutting down", FaultScope::Mailbox, Transient, "ServiceUnavailable"),
        ("552 5.3.4 message too big", FaultScope::Item, Refused, "MessageTooLarge"),
        ("250 too early to be true", FaultScope::Mailbox, Transient, "ProtocolViolation"),
        ("", FaultScope::Mailbox, Transient, "ConnectionLost"),
    ] {
        let script = Script::play(move |mut peer| async move {
            to_data(&mut peer, &[]).await;
            for _ in 0..5 {
                peer.hear().await;
            }
            peer.say(said).await;
            if !said.is_empty() {
                return peer.hear_message().await.1;
            }
            false
        })
        .await;
        let mut gate = Gate::default();
        let mut session = open(&script.target()).await.unwrap();
        let sent = session.send(&envelope(&["b@x.test"]), failing(End::Forever), &mut gate, &minute()).await;
        assert_eq!(kind(&sent.unwrap_err()), (scope, class, code), "{said}");
        assert!(!script.end().await, "no dot");
        assert!(gate.asked().is_empty());
    }
}

#[tokio::test]
async fn a_server_that_stops_reading_is_given_up() {
    let (leave, left) = tokio::sync::oneshot::channel::<()>();
    let script = Script::play(|mut peer| async move {
        to_data(&mut peer, &[]).await;
        let _ = left.await;
    })
    .await;
    let mut target = script.target();
    target.request_timeout = Duration::from_millis(300);
    let mut session = open(&target).await.unwrap();
    let mut gate = Gate::default();
    let fault = session.send(&envelope(&["b@x.test"]), failing(End::Forever), &mut gate, &minute()).await.unwrap_err();
    assert_eq!(kind(&fault), (FaultScope::Mailbox, FaultClass::Transient, "TimedOut"));
    assert!(gate.asked().is_empty());
    drop(leave);
    script.end().await;
}

#[tokio::test]
async fn too_little_time_left_means_no_gate_and_no_dot() {
    let script = Script::play(|mut peer| async move {
        to_data(&mut peer, &[]).await;
        peer.hear_message().await.1
    })
    .await;
    let mut session = open(&script.target()).await.unwrap();
    let mut gate = Gate::default();
    let soon = Deadline::within(Duration::from_secs(1));
    let fault = session.send(&envelope(&["b@x.test"]), body(MESSAGE), &mut gate, &soon).await.unwrap_err();
    assert_eq!(fault.code, "DeadlineExceeded");
    assert!(gate.asked().is_empty());
    assert!(!script.end().await, "no dot");
}

#[tokio::test]
async fn a_send_that_is_dropped_leaves_nothing_to_go_on_with() {
    let script = Script::play(|mut peer| async move {
        to_data(&mut peer, &[]).await;
        peer.hear_message().await.1
    })
    .await;
    let mut session = open(&script.target()).await.unwrap();
    {
        let deadline = minute();
        let envelope = envelope(&["b@x.test"]);
        let mut gate = Gate::default();
        let send = session.send(&envelope, failing(End::Silence), &mut gate, &deadline);
        assert!(tokio::time::timeout(Duration::from_millis(300), send).await.is_err());
    }
    let again = session.send(&envelope(&["b@x.test"]), body(MESSAGE), &mut Gate::default(), &minute()).await;
    assert_eq!(again.unwrap_err().code, "ConnectionLost");
    assert!(!script.end().await, "no dot");
}

#[tokio::test]
async fn data_refused_leaves_the_session_usable() {
    let script = Script::play(|mut peer| async move {
        peer.admit(&[]).await;
        peer.expect("MAIL", "250 ok").await;
        peer.expect("RCPT", "250 ok").await;
        peer.expect("DATA", "451 4.3.0 not now").await;
        peer.expect("RSET", "250 ok").await;
        peer.expect("QUIT", "221 bye").await;
    })
    .await;
    let mut session = open(&script.target()).await.unwrap();
    let mut gate = Gate::default();
    let fault = session.send(&envelope(&["b@x.test"]), body(MESSAGE), &mut gate, &minute()).await.unwrap_err();
    assert_eq!(kind(&fault), (FaultScope::Item, FaultClass::Transient, "MessageDeferred"));
    assert!(gate.asked().is_empty());
    session.close(&minute()).await.unwrap();
    script.end().await;
}

#[tokio::test]
async fn a_connection_lost_between_recipients_and_message() {
    let script = Script::play(|mut peer| async move {
        peer.admit(&[]).await;
        peer.expect("MAIL", "250 ok").await;
    })
    .await;
    let mut gate = Gate::default();
    let fault = send_to(&script, &["b@x.test"], &mut gate).await.unwrap_err();
    assert_eq!(kind(&fault), (FaultScope::Mailbox, FaultClass::Transient, "ConnectionLost"));
    assert!(gate.asked().is_empty());
    script.end().await;
}
