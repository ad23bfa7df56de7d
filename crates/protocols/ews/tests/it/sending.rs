//! Sending: the gate before the last bytes, who gets it, and what is known when no answer comes.

use std::{pin::Pin, time::Duration};

use async_trait::async_trait;
use lockstep_connector::{Connector, Deadline, Envelope, PointOfNoReturn, RecipientReply, SendReceipt};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    profile::{AuthMethod, TlsMode},
};
use tokio::io::AsyncRead;

use crate::{
    scripted::{answer, connector, envelope, serve},
    simulator::{Sim, deadline, target},
};

struct Gate {
    open: bool,
    asked: usize,
}

const OPEN: Gate = Gate { open: true, asked: 0 };

#[async_trait]
impl PointOfNoReturn for Gate {
    async fn cross(&mut self, _: &[RecipientReply]) -> Result<(), Fault> {
        self.asked += 1;
        let shut = || Fault::new(FaultScope::Mailbox, FaultClass::Transient, "GateShut", "not now");
        if self.open { Ok(()) } else { Err(shut()) }
    }
}

fn to(from: &str, recipients: &[&str], message: &[u8]) -> Envelope {
    Envelope {
        from: from.to_owned(),
        to: recipients.iter().map(|one| (*one).to_owned()).collect(),
        size: Some(message.len() as u64),
        save_copy: true,
    }
}

fn message(head: &str) -> Vec<u8> {
    format!("{head}Subject: hello\r\nMessage-ID: <stable@lockstep.test>\r\n\r\nbody\r\n").into_bytes()
}

async fn send(
    sim: &Sim,
    from: &str,
    envelope: &Envelope,
    message: &[u8],
    gate: &mut Gate,
    deadline: &Deadline,
) -> Result<SendReceipt, Fault> {
    let mut session = sim.connector().open(&sim.target(from), deadline).await.unwrap();
    let sent = session.send(envelope, Box::pin(message), gate, deadline).await;
    let _ = session.close(deadline).await;
    sent
}

#[tokio::test]
async fn a_message_is_sent_once_after_the_gate_and_a_copy_kept() {
    let sim = Sim::start().await;
    let ((from, _), (to_whom, _), (hidden, _)) = (sim.fresh(), sim.fresh(), sim.fresh());
    let sent = message(&format!("To: <{to_whom}>\r\n"));
    let mut gate = OPEN;
    let envelope = to(&from, &[&to_whom, &hidden], &sent);
    let receipt = send(&sim, &from, &envelope, &sent, &mut gate, &deadline()).await.unwrap();
    assert_eq!(gate.asked, 1);
    assert!(receipt.recipients.iter().all(|reply| reply.result.is_ok()));
    for address in [&to_whom, &hidden] {
        let there = sim.messages(address, "inbox");
        assert_eq!(there.len(), 1, "{address}");
        let text = String::from_utf8(there[0].clone()).unwrap();
        assert!(text.contains("Message-ID: <stable@lockstep.test>") && text.ends_with("body\r\n"), "{text}");
        assert!(!text.contains(&hidden), "who is hidden stays hidden");
    }
    assert_eq!(sim.messages(&from, "sentitems").len(), 1);
    assert_eq!(sim.messages(&from, "drafts").len(), 0);
}

/// The envelope decides, not the header: what is sent again to some goes only to them.
#[tokio::test]
async fn those_in_the_header_alone_get_nothing() {
    let sim = Sim::start().await;
    let ((from, _), (first, _), (second, _)) = (sim.fresh(), sim.fresh(), sim.fresh());
    let sent = message(&format!("To: {first}, {second}\r\n"));
    let envelope = to(&from, &[&second], &sent);
    send(&sim, &from, &envelope, &sent, &mut { OPEN }, &deadline()).await.unwrap();
    assert_eq!((sim.messages(&first, "inbox").len(), sim.messages(&second, "inbox").len()), (0, 1));
}

#[tokio::test]
async fn nothing_is_sent_when_the_gate_refuses_and_the_session_goes_on() {
    let sim = Sim::start().await;
    let ((from, from_target), (to_whom, _)) = (sim.fresh(), sim.fresh());
    let sent = message(&format!("To: {to_whom}\r\n"));
    let envelope = to(&from, &[&to_whom], &sent);
    let mut session = sim.connector().open(&from_target, &deadline()).await.unwrap();
    let mut shut = Gate { open: false, asked: 0 };
    let refused = session.send(&envelope, Box::pin(&sent[..]), &mut shut, &deadline()).await;
    assert_eq!((refused.unwrap_err().code.as_str(), shut.asked), ("GateShut", 1));
    session.send(&envelope, Box::pin(&sent[..]), &mut { OPEN }, &deadline()).await.unwrap();
    session.close(&deadline()).await.unwrap();
    assert_eq!(sim.messages(&to_whom, "inbox").len(), 1, "what the gate held back never arrives");
}

#[tokio::test]
async fn what_cannot_be_sent_asks_no_gate() {
    let sim = Sim::start().await;
    let (from, target) = sim.fresh();
    let sent = message("");
    let mut gate = OPEN;
    let mut session = sim.connector().open(&target, &deadline()).await.unwrap();
    let receipt = session.send(&to(&from, &["no address"], &sent), Box::pin(&sent[..]), &mut gate, &deadline()).await;
    let results: Vec<_> = receipt.unwrap().recipients.into_iter().map(|reply| reply.result.is_ok()).collect();
    assert_eq!(results, [false]);
    let none = session.send(&to(&from, &[], &sent), Box::pin(&sent[..]), &mut gate, &deadline()).await;
    assert_eq!(none.unwrap_err().code, "NoRecipients");
    let wrong = Envelope { size: Some(3), ..to(&from, &["a@example.test"], &sent) };
    let unreadable = session.send(&wrong, Box::pin(&sent[..]), &mut gate, &deadline()).await;
    assert_eq!(unreadable.unwrap_err().code, "BodyUnreadable");
    assert_eq!(gate.asked, 0);
    assert_eq!(sim.messages(&from, "sentitems").len(), 0);
}

/// When the connection ends between the last bytes and the answer, nobody knows; when the server says no, it is no.
#[tokio::test]
async fn answers_that_do_not_come_are_unclear_and_refusals_are_not() {
    let sim = Sim::start().await;
    let ((from, _), (to_whom, _)) = (sim.fresh(), sim.fresh());
    let sent = message(&format!("To: {to_whom}\r\n"));
    let envelope = to(&from, &[&to_whom], &sent);
    sim.moods(r#"[{"mood":"cut","after":5,"operation":"CreateItem","times":1}]"#);
    let fault = send(&sim, &from, &envelope, &sent, &mut { OPEN }, &deadline()).await.unwrap_err();
    assert_eq!((fault.class, fault.code.as_str()), (FaultClass::Unclear, "OutcomeUnknown"));
    assert_eq!(sim.messages(&to_whom, "inbox").len(), 1, "this time it was");
    let options = sim.connector().options(&sim.target(&from));
    let mut looking = lockstep_ews::client::Client::open(options, &deadline()).await.unwrap();
    assert!(looking.was_sent("<stable@lockstep.test>", &deadline()).await.unwrap(), "and that can be looked up");
    assert!(!looking.was_sent("<another@lockstep.test>", &deadline()).await.unwrap());
    sim.moods(r#"[{"mood":"hang","seconds":30,"operation":"CreateItem","times":1}]"#);
    let short = Deadline::within(Duration::from_secs(4));
    let fault = send(&sim, &from, &envelope, &sent, &mut { OPEN }, &short).await.unwrap_err();
    assert_eq!(fault.class, FaultClass::Unclear);
    sim.moods(r#"[{"mood":"internal","operation":"CreateItem","times":1}]"#);
    let fault = send(&sim, &from, &envelope, &sent, &mut { OPEN }, &deadline()).await.unwrap_err();
    assert_eq!(fault.class, FaultClass::Unclear, "an error inside the server says nothing of how far it came");
    sim.moods(r#"[{"mood":"busy","back_off_ms":2000,"operation":"CreateItem","times":1}]"#);
    let fault = send(&sim, &from, &envelope, &sent, &mut { OPEN }, &deadline()).await.unwrap_err();
    assert_eq!((fault.class, fault.retry_after), (FaultClass::Throttled, Some(Duration::from_secs(2))));
    assert_eq!(sim.messages(&to_whom, "inbox").len(), 1);
}

fn created(class: &str, code: &str) -> String {
    envelope(&format!(
        r#"<m:CreateItemResponse><m:ResponseMessages><m:CreateItemResponseMessage ResponseClass="{class}"><m:MessageText>words</m:MessageText><m:ResponseCode>{code}</m:ResponseCode></m:CreateItemResponseMessage></m:ResponseMessages></m:CreateItemResponse>"#
    ))
}

#[tokio::test]
async fn every_answer_to_a_complete_message_is_sorted() {
    use FaultClass::{Refused, Throttled, Unclear};
    let cases = [
        (answer(200, "", &created("Error", "ErrorSendAsDenied")), (Refused, "ErrorSendAsDenied")),
        (answer(200, "", &created("Error", "ErrorQuotaExceeded")), (Refused, "ErrorQuotaExceeded")),
        (answer(200, "", &created("Error", "ErrorMessageSizeExceeded")), (Refused, "MessageTooLarge")),
        (answer(200, "", &created("Error", "ErrorTimeoutExpired")), (Unclear, "OutcomeUnknown")),
        (answer(413, "", ""), (Refused, "MessageTooLarge")),
        (answer(503, "Retry-After: 3\r\n", ""), (Throttled, "ServiceUnavailable")),
        (answer(502, "", ""), (Unclear, "OutcomeUnknown")),
        (answer(504, "", ""), (Unclear, "OutcomeUnknown")),
        (answer(500, "", "oops"), (Unclear, "OutcomeUnknown")),
        (answer(200, "", "<html>"), (Unclear, "OutcomeUnknown")),
    ];
    for (reply, expected) in cases {
        let port = serve(reply.clone()).await;
        let mut target = target(port, TlsMode::Plain, "ann@example.test");
        target.endpoint.auth = AuthMethod::Plain;
        let sent = message("To: bob@example.test\r\n");
        let mut session = connector().open(&target, &deadline()).await.unwrap();
        let body: Pin<Box<dyn AsyncRead + Send>> = Box::pin(std::io::Cursor::new(sent.clone()));
        let envelope = to("ann@example.test", &["bob@example.test"], &sent);
        let fault = session.send(&envelope, body, &mut { OPEN }, &deadline()).await.unwrap_err();
        assert_eq!((fault.class, fault.code.as_str()), expected, "{reply}: {fault}");
    }
}
