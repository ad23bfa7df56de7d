//! Each recipient has its own answer.

use lockstep_connector::{Envelope, RecipientReply};
use lockstep_model::fault::{Fault, FaultClass, FaultScope};

use crate::peer::{Gate, MESSAGE, Peer, Script, body, envelope, kind, minute, open, send_to};

fn results(recipients: &[RecipientReply]) -> Vec<(&str, Option<(FaultClass, &str)>)> {
    let why = |reply: &'_ RecipientReply| reply.result.as_ref().err().map(|fault| fault.class);
    recipients.iter().map(|r| (r.address.as_str(), why(r).map(|class| (class, code_of(&r.result))))).collect()
}

fn code_of(result: &Result<(), Fault>) -> &str {
    result.as_ref().err().map_or("", |fault| fault.code.as_str())
}

async fn accept_message(peer: &mut Peer) {
    peer.expect("DATA", "354 go on").await;
    assert!(peer.hear_message().await.1, "the dot comes");
    peer.say("250 2.0.0 queued as 42").await;
}

/// H9: some refused, some put off, some accepted: the message goes to those accepted, and each answer is kept.
#[tokio::test]
async fn h9_each_recipient_keeps_its_answer() {
    for offers in [&[][..], &["PIPELINING"]] {
        let script = Script::play(move |mut peer| async move {
            peer.admit(offers).await;
            peer.expect("MAIL", "250 ok").await;
            peer.expect("RCPT TO:<a@x.test>", "250 2.1.5 ok").await;
            peer.expect("RCPT TO:<b@x.test>", "550-5.1.1 no such\n550 5.1.1 mailbox").await;
            peer.expect("RCPT TO:<c@x.test>", "450 4.2.0 greylisted").await;
            peer.expect("RCPT TO:<d@x.test>", "251 will forward").await;
            peer.expect("RCPT TO:<e@x.test>", "550 5.1.90 you have reached your daily limit").await;
            accept_message(&mut peer).await;
        })
        .await;
        let mut gate = Gate::default();
        let to = ["a@x.test", "b@x.test", "c@x.test", "d@x.test", "e@x.test"];
        let receipt = send_to(&script, &to, &mut gate).await.unwrap();
        assert_eq!(receipt.reply, "250 2.0.0 queued as 42");
        assert_eq!(
            results(&receipt.recipients),
            [
                ("a@x.test", None),
                ("b@x.test", Some((FaultClass::Refused, "RecipientRefused"))),
                ("c@x.test", Some((FaultClass::Transient, "RecipientDeferred"))),
                ("d@x.test", None),
                ("e@x.test", Some((FaultClass::Transient, "ErrorSubmissionQuotaExceeded"))),
            ]
        );
        let refused = receipt.recipients[1].result.as_ref().unwrap_err();
        assert_eq!(refused.message, "550 5.1.1 no such 5.1.1 mailbox");
        assert_eq!(gate.asked(), [receipt.recipients], "the gate is asked once, with every answer");
        script.end().await;
    }
}

/// H9: nobody accepted: no DATA, no gate, and the session goes on.
#[tokio::test]
async fn h9_accepted_for_nobody() {
    let script = Script::play(|mut peer| async move {
        peer.admit(&["PIPELINING"]).await;
        peer.expect("MAIL", "250 ok").await;
        peer.expect("RCPT", "550 5.1.1 no").await;
        peer.expect("RCPT", "451 4.3.0 later").await;
        peer.expect("RSET", "250 ok").await;
        peer.expect("MAIL", "250 ok").await;
        peer.expect("RCPT", "250 ok").await;
        accept_message(&mut peer).await;
        peer.expect("QUIT", "221 bye").await;
    })
    .await;
    let mut gate = Gate::default();
    let mut session = open(&script.target()).await.unwrap();
    let receipt =
        session.send(&envelope(&["a@x.test", "b@x.test"]), body(MESSAGE), &mut gate, &minute()).await.unwrap();
    assert_eq!(receipt.reply, "451 4.3.0 later");
    assert!(receipt.recipients.iter().all(|r| r.result.is_err()));
    assert!(gate.asked().is_empty());
    session.send(&envelope(&["c@x.test"]), body(MESSAGE), &mut gate, &minute()).await.unwrap();
    session.close(&minute()).await.unwrap();
    script.end().await;
}

/// M8: why recipients have to wait, or go with another message.
#[tokio::test]
async fn m8_recipients_are_put_off_for_a_reason() {
    let script = Script::play(|mut peer| async move {
        peer.admit(&[]).await;
        peer.expect("MAIL", "250 ok").await;
        peer.expect("RCPT TO:<a@x.test>", "250 ok").await;
        peer.expect("RCPT TO:<b@x.test>", "452 4.2.2 mailbox full").await;
        peer.expect("RCPT TO:<c@x.test>", "552 5.2.2 over quota").await;
        peer.expect("RCPT TO:<d@x.test>", "452 4.3.1 no room on the disk").await;
        peer.expect("RCPT TO:<e@x.test>", "452 4.5.3 too many recipients").await;
        accept_message(&mut peer).await;
    })
    .await;
    let to = ["a@x.test", "b@x.test", "c@x.test", "d@x.test", "e@x.test"];
    let receipt = send_to(&script, &to, &mut Gate::default()).await.unwrap();
    assert_eq!(
        results(&receipt.recipients)[1..],
        [
            ("b@x.test", Some((FaultClass::Transient, "RecipientMailboxFull"))),
            ("c@x.test", Some((FaultClass::Refused, "RecipientMailboxFull"))),
            ("d@x.test", Some((FaultClass::Transient, "ServerStorageFull"))),
            ("e@x.test", Some((FaultClass::Throttled, "TooManyRecipients"))),
        ]
    );
    script.end().await;
}

/// M8: what a server says of the sender concerns the message alone: for good, or for now.
#[tokio::test]
async fn m8_senders_are_refused_or_put_off() {
    for (answer, class, code) in [
        ("550 5.1.0 no such sender", FaultClass::Refused, "SenderRefused"),
        ("451 4.3.0 sender cannot be verified now", FaultClass::Transient, "SenderDeferred"),
    ] {
        let script = Script::play(move |mut peer| async move {
            peer.admit(&[]).await;
            peer.expect("MAIL", answer).await;
            peer.hear_out().await;
        })
        .await;
        let mut gate = Gate::default();
        let fault = send_to(&script, &["a@x.test"], &mut gate).await.unwrap_err();
        assert_eq!(kind(&fault), (FaultScope::Item, class, code));
        assert!(gate.asked().is_empty());
        script.end().await;
    }
}

#[tokio::test]
async fn addresses_that_cannot_be_said_are_answered_here() {
    let script = Script::play(|mut peer| async move {
        peer.admit(&[]).await;
        peer.expect("MAIL FROM:<ann@example.test>", "250 ok").await;
        peer.expect("RCPT TO:<good@x.test>", "250 ok").await;
        accept_message(&mut peer).await;
    })
    .await;
    let to = ["a@x.test>\r\nRCPT TO:<evil@x.test", "good@x.test", "j\u{f6}rg@x.test"];
    let receipt = send_to(&script, &to, &mut Gate::default()).await.unwrap();
    let codes: Vec<_> = receipt.recipients.iter().map(|r| code_of(&r.result)).collect();
    assert_eq!(codes, ["InvalidRecipientAddress", "", "SmtpUtf8NotOffered"]);
    script.end().await;
}

#[tokio::test]
async fn nothing_is_said_for_an_envelope_that_cannot_be() {
    let script = Script::play(|mut peer| async move {
        peer.admit(&[]).await;
        peer.expect("QUIT", "221 bye").await;
    })
    .await;
    let mut session = open(&script.target()).await.unwrap();
    let mut gate = Gate::default();
    let evil = Envelope { from: "a@x.test>\r\nDATA".to_owned(), ..envelope(&["b@x.test"]) };
    let utf8 = Envelope { from: "j\u{f6}rg@x.test".to_owned(), ..envelope(&["b@x.test"]) };
    for (envelope, code) in
        [(evil, "InvalidSenderAddress"), (utf8, "SmtpUtf8NotOffered"), (envelope(&[]), "NoRecipients")]
    {
        let fault = session.send(&envelope, body(MESSAGE), &mut gate, &minute()).await.unwrap_err();
        assert_eq!(kind(&fault), (FaultScope::Item, FaultClass::Refused, code));
    }
    let receipt = session.send(&envelope(&["nobody"]), body(MESSAGE), &mut gate, &minute()).await.unwrap();
    assert_eq!(code_of(&receipt.recipients[0].result), "InvalidRecipientAddress");
    assert!(gate.asked().is_empty());
    session.close(&minute()).await.unwrap();
    script.end().await;
}

#[tokio::test]
async fn utf8_addresses_where_the_server_takes_them() {
    let script = Script::play(|mut peer| async move {
        peer.admit(&["SMTPUTF8", "8BITMIME", "SIZE 1000"]).await;
        let mail = peer.expect("MAIL", "250 ok").await;
        assert_eq!(mail, "MAIL FROM:<ann@example.test> SIZE=24 BODY=8BITMIME SMTPUTF8");
        peer.expect("RCPT TO:<j\u{f6}rg@x.test>", "250 ok").await;
        accept_message(&mut peer).await;
    })
    .await;
    let mut session = open(&script.target()).await.unwrap();
    let envelope = Envelope { size: Some(MESSAGE.len() as u64), ..envelope(&["j\u{f6}rg@x.test"]) };
    session.send(&envelope, body(MESSAGE), &mut Gate::default(), &minute()).await.unwrap();
    drop(session);
    script.end().await;
}

#[tokio::test]
async fn many_recipients_go_in_windows() {
    let script = Script::play(|mut peer| async move {
        peer.admit(&["PIPELINING"]).await;
        peer.expect("MAIL", "250 ok").await;
        for window in [50, 50, 20] {
            // A window is complete before its first answer; nothing of the next one is there before its last.
            for _ in 0..window {
                assert!(peer.hear().await.unwrap().starts_with("RCPT"));
            }
            for _ in 0..window {
                peer.say("250 ok").await;
            }
        }
        accept_message(&mut peer).await;
    })
    .await;
    let to: Vec<_> = (0..120).map(|n| format!("r{n}@x.test")).collect();
    let to: Vec<_> = to.iter().map(String::as_str).collect();
    let receipt = send_to(&script, &to, &mut Gate::default()).await.unwrap();
    assert_eq!(receipt.recipients.len(), 120);
    assert!(receipt.recipients.iter().all(|r| r.result.is_ok()));
    script.end().await;
}

#[tokio::test]
async fn answers_that_concern_more_than_one_recipient() {
    use FaultClass::{Auth, Transient};
    for (answer, class, code) in [
        ("421 4.3.2 going down", Transient, "ServiceUnavailable"),
        ("530 5.7.0 authentication required", Auth, "OutgoingEmailAuthenticationError"),
        ("354 what?", Transient, "ProtocolViolation"),
    ] {
        let script = Script::play(move |mut peer| async move {
            peer.admit(&[]).await;
            peer.expect("MAIL", "250 ok").await;
            peer.expect("RCPT", "250 ok").await;
            peer.expect("RCPT", answer).await;
            peer.hear_out().await;
            peer.heard.pop().unwrap()
        })
        .await;
        let mut gate = Gate::default();
        let fault = send_to(&script, &["a@x.test", "b@x.test"], &mut gate).await.unwrap_err();
        assert_eq!(kind(&fault), (FaultScope::Mailbox, class, code));
        assert!(gate.asked().is_empty());
        assert_eq!(script.end().await, "", "the connection is dropped");
    }
}
