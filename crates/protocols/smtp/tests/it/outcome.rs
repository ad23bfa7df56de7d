//! After the dot: only the server's own answer tells what became of the message.

use std::time::Duration;

use async_trait::async_trait;
use lockstep_connector::{Deadline, PointOfNoReturn, RecipientReply};
use lockstep_model::fault::{Fault, FaultClass, FaultScope};

use crate::peer::{Gate, MESSAGE, Peer, Script, body, envelope, kind, minute, open, send_to};

async fn to_dot(peer: &mut Peer) {
    peer.expect("MAIL", "250 ok").await;
    peer.expect("RCPT", "250 ok").await;
    peer.expect("DATA", "354 go on").await;
    assert!(peer.hear_message().await.1, "the dot comes");
}

#[tokio::test]
async fn refusals_after_the_dot_are_clear() {
    use FaultClass::{Auth, Refused, Throttled, Transient};
    use FaultScope::{Item, Mailbox};
    for (answer, scope, class, code) in [
        ("550 5.7.1 looks like spam", Item, Refused, "RefusedByPolicy"),
        ("554 5.7.0 policy", Item, Refused, "RefusedByPolicy"),
        ("451 4.7.1 greylisted", Item, Transient, "RefusedByPolicy"),
        ("554 5.6.0 malformed", Item, Refused, "MessageRefused"),
        ("500 5.5.2 line too long", Item, Refused, "MessageRefused"),
        ("451 4.3.0 try again", Item, Transient, "MessageDeferred"),
        ("452 4.3.1 insufficient system storage", Item, Transient, "ServerStorageFull"),
        ("552 5.2.2 mailbox full", Mailbox, Refused, "ErrorQuotaExceeded"),
        ("452 4.2.2 over quota", Mailbox, Transient, "ErrorQuotaExceeded"),
        ("552 storage exceeded", Mailbox, Refused, "ErrorQuotaExceeded"),
        ("552 5.3.4 too big", Item, Refused, "MessageTooLarge"),
        ("552 message size exceeds the limit", Item, Refused, "MessageTooLarge"),
        ("450 4.7.1 too many messages, slow down", Mailbox, Throttled, "ErrorSubmissionQuotaExceeded"),
        ("550 5.4.5 daily sending limit exceeded", Mailbox, Throttled, "ErrorSubmissionQuotaExceeded"),
        ("554 5.2.252 SendAsDenied; ann is not allowed", Item, Refused, "ErrorSendAsDenied"),
        ("550 5.7.60 client lacks the permission", Item, Refused, "ErrorSendAsDenied"),
        ("530 5.7.0 authentication required", Mailbox, Auth, "OutgoingEmailAuthenticationError"),
        ("421 4.3.2 shutting down", Mailbox, Transient, "ServiceUnavailable"),
        ("421 4.7.0 too many", Mailbox, Throttled, "ErrorSubmissionQuotaExceeded"),
    ] {
        let script = Script::play(move |mut peer| async move {
            peer.admit(&[]).await;
            to_dot(&mut peer).await;
            peer.say(answer).await;
            peer.hear_out().await;
        })
        .await;
        let mut gate = Gate::default();
        let fault = send_to(&script, &["b@x.test"], &mut gate).await.unwrap_err();
        assert_eq!(kind(&fault), (scope, class, code), "{answer}");
        assert_eq!(fault.message, answer, "the server's own words");
        assert_eq!(gate.asked().len(), 1);
        script.end().await;
    }
}

#[tokio::test]
async fn no_understandable_answer_means_unclear() {
    for answer in ["", "garbage", "354 again?", "250-half of an answer", "250-two\n550 minds"] {
        let script = Script::play(move |mut peer| async move {
            peer.admit(&[]).await;
            to_dot(&mut peer).await;
            peer.say(answer).await;
        })
        .await;
        let fault = send_to(&script, &["b@x.test"], &mut Gate::default()).await.unwrap_err();
        assert_eq!(kind(&fault), (FaultScope::Mailbox, FaultClass::Unclear, "OutcomeUnknown"), "{answer:?}");
        script.end().await;
    }
}

#[tokio::test]
async fn silence_after_the_dot_is_unclear_at_the_deadline() {
    let script = Script::play(|mut peer| async move {
        peer.admit(&[]).await;
        to_dot(&mut peer).await;
        peer.hear_out().await;
    })
    .await;
    let mut session = open(&script.target()).await.unwrap();
    let deadline = Deadline::within(Duration::from_millis(2_500));
    let fault =
        session.send(&envelope(&["b@x.test"]), body(MESSAGE), &mut Gate::default(), &deadline).await.unwrap_err();
    assert_eq!(kind(&fault), (FaultScope::Mailbox, FaultClass::Unclear, "OutcomeUnknown"));
    assert!(fault.message.contains("DeadlineExceeded"));
    session.close(&minute()).await.unwrap();
    script.end().await;
}

#[tokio::test]
async fn cancelling_after_the_dot_is_unclear() {
    let deadline = minute();
    let handle = deadline.clone();
    let script = Script::play(|mut peer| async move {
        peer.admit(&[]).await;
        to_dot(&mut peer).await;
        handle.cancel(Fault::new(FaultScope::Mailbox, FaultClass::Transient, "LeaseLost", "gone"));
        peer.hear_out().await;
    })
    .await;
    let mut session = open(&script.target()).await.unwrap();
    let fault =
        session.send(&envelope(&["b@x.test"]), body(MESSAGE), &mut Gate::default(), &deadline).await.unwrap_err();
    assert_eq!(fault.class, FaultClass::Unclear);
    script.end().await;
}

#[tokio::test]
async fn a_slow_acceptance_is_waited_for_beyond_the_request_timeout() {
    let script = Script::play(|mut peer| async move {
        peer.admit(&[]).await;
        to_dot(&mut peer).await;
        // The script is slow on purpose: three times what one answer may take.
        tokio::time::sleep(Duration::from_millis(900)).await;
        peer.say("250 queued at last").await;
    })
    .await;
    let mut target = script.target();
    target.request_timeout = Duration::from_millis(300);
    let mut session = open(&target).await.unwrap();
    let receipt = session.send(&envelope(&["b@x.test"]), body(MESSAGE), &mut Gate::default(), &minute()).await;
    assert_eq!(receipt.unwrap().reply, "250 queued at last");
    script.end().await;
}

#[tokio::test]
async fn several_messages_on_one_session() {
    let script = Script::play(|mut peer| async move {
        peer.admit(&[]).await;
        to_dot(&mut peer).await;
        peer.say("250 first").await;
        to_dot(&mut peer).await;
        peer.say("550 5.7.1 no").await;
        peer.expect("MAIL", "553 5.7.1 sender not allowed").await;
        peer.expect("RSET", "250 ok").await;
        to_dot(&mut peer).await;
        peer.say("250 last").await;
        peer.expect("QUIT", "221 bye").await;
    })
    .await;
    let mut session = open(&script.target()).await.unwrap();
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        let sent = session.send(&envelope(&["b@x.test"]), body(MESSAGE), &mut Gate::default(), &minute()).await;
        outcomes.push(sent.map_or_else(|fault| fault.code, |receipt| receipt.reply));
    }
    assert_eq!(outcomes, ["250 first", "RefusedByPolicy", "SenderRefused", "250 last"]);
    session.close(&minute()).await.unwrap();
    script.end().await;
}

/// Waits at the gate until the server has hung up.
struct SlowGate(Option<tokio::sync::oneshot::Receiver<()>>);

#[async_trait]
impl PointOfNoReturn for SlowGate {
    async fn cross(&mut self, _: &[RecipientReply]) -> Result<(), Fault> {
        if let Some(gone) = self.0.take() {
            let _ = gone.await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_server_lost_while_the_gate_is_asked_is_not_unclear() {
    let (went, gone) = tokio::sync::oneshot::channel();
    let script = Script::play(|mut peer| async move {
        peer.admit(&[]).await;
        peer.expect("MAIL", "250 ok").await;
        peer.expect("RCPT", "250 ok").await;
        peer.expect("DATA", "354 go on").await;
        for _ in 0..3 {
            peer.hear().await;
        }
        peer.say("421 4.4.2 you took too long").await;
        let _ = went.send(());
        peer.hear_message().await.1
    })
    .await;
    let mut session = open(&script.target()).await.unwrap();
    let sent = session.send(&envelope(&["b@x.test"]), body(MESSAGE), &mut SlowGate(Some(gone)), &minute()).await;
    assert_eq!(kind(&sent.unwrap_err()), (FaultScope::Mailbox, FaultClass::Transient, "ServiceUnavailable"));
    assert!(!script.end().await, "no dot");
}

#[tokio::test]
async fn what_smtp_does_not_do() {
    let script = Script::play(|mut peer| async move {
        peer.admit(&[]).await;
        peer.hear_out().await;
    })
    .await;
    let mut session = open(&script.target()).await.unwrap();
    assert_eq!(session.headers(&[], &minute()).await.unwrap_err().code, "NotSupportedByProtocol");
    assert_eq!(session.delete(&[], &minute()).await.unwrap_err().code, "NotSupportedByProtocol");
    drop(session);
    script.end().await;
}
