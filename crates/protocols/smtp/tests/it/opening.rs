//! Greeting, TLS, EHLO and the end of a session.

use std::time::Duration;

use lockstep_connector::{Connector, Deadline, TlsTrust};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    profile::{AuthMethod, TlsMode},
};
use lockstep_smtp::Smtp;
use tokio::io::AsyncWriteExt;

use crate::peer::{Gate, MESSAGE, Script, Tls, body, ehlo, envelope, kind, minute, open, smtp, target};

#[tokio::test]
async fn descriptor() {
    let smtp = Smtp::new(TlsTrust::load(None).unwrap(), "x".to_owned());
    let described = smtp.descriptor();
    assert_eq!(described.name.as_str(), lockstep_smtp::NAME);
    assert!(described.capabilities.outgoing_email && !described.capabilities.incoming_email);
    assert_eq!((described.implicit_tls_port, described.plain_port), (465, 587));
}

#[tokio::test]
async fn a_session_opens_and_ends_in_order() {
    let script = Script::play(|mut peer| async move {
        peer.admit(&[]).await;
        peer.expect("QUIT", "221 bye").await;
        peer.heard
    })
    .await;
    open(&script.target()).await.unwrap().close(&minute()).await.unwrap();
    assert_eq!(script.end().await[0], "EHLO client.test");
}

#[tokio::test]
async fn what_greets_us_otherwise() {
    use FaultClass::{Refused, Throttled, Transient, Unreachable};
    for (greeting, class, code) in [
        ("554 5.7.1 no service here", Refused, "ServiceUnavailable"),
        ("421 4.3.2 shutting down", Transient, "ServiceUnavailable"),
        ("421 4.7.0 too many connections from your address", Throttled, "ServiceUnavailable"),
        ("+OK POP3 server ready", Unreachable, "ProtocolViolation"),
        ("250 hello", Unreachable, "ProtocolViolation"),
    ] {
        let script = Script::play(move |mut peer| async move { peer.say(greeting).await }).await;
        let fault = open(&script.target()).await.err().unwrap();
        assert_eq!(kind(&fault), (FaultScope::Profile, class, code), "{greeting}");
        script.end().await;
    }
}

#[tokio::test]
async fn a_server_that_knows_no_ehlo_is_the_wrong_port() {
    let script = Script::play(|mut peer| async move {
        peer.say("220 something").await;
        peer.expect("EHLO", "500 unknown command").await;
    })
    .await;
    let fault = open(&script.target()).await.err().unwrap();
    assert_eq!(kind(&fault), (FaultScope::Profile, FaultClass::Refused, "SmtpUnrecognisedCommand"));
    assert!(fault.message.contains("unknown command") && fault.message.contains("check the outgoing port"));
    script.end().await;
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let script = Script::play(|mut peer| async move { peer.hear_out().await }).await;
    let mut target = script.target();
    target.request_timeout = Duration::from_millis(200);
    let fault = open(&target).await.err().unwrap();
    assert_eq!(kind(&fault), (FaultScope::Profile, FaultClass::Unreachable, "TimedOut"));
    script.end().await;
}

#[tokio::test]
async fn a_server_that_hangs_up_is_unreachable() {
    let script = Script::play(|peer| async move { drop(peer) }).await;
    let fault = open(&script.target()).await.err().unwrap();
    assert_eq!(kind(&fault), (FaultScope::Profile, FaultClass::Unreachable, "ConnectionLost"));
    script.end().await;
}

#[tokio::test]
async fn the_deadline_ends_the_opening() {
    let script = Script::play(|mut peer| async move { peer.hear_out().await }).await;
    let smtp = Smtp::new(TlsTrust::load(None).unwrap(), "x".to_owned());
    let fault = smtp.open(&script.target(), &Deadline::within(Duration::from_millis(200))).await.err().unwrap();
    assert_eq!(fault.code, "DeadlineExceeded");
    script.end().await;
}

#[tokio::test]
async fn starttls_stripped_says_nothing_secret() {
    let script = Script::play(|mut peer| async move {
        peer.say("220 script.test").await;
        peer.expect("EHLO", &ehlo(&["PIPELINING"])).await;
        peer.hear_out().await;
        peer.heard.concat()
    })
    .await;
    let fault = open(&target(script.port, TlsMode::StartTls, AuthMethod::Auto)).await.err().unwrap();
    assert_eq!(kind(&fault), (FaultScope::Profile, FaultClass::Unreachable, "SecureConnectionFailed"));
    assert!(!script.end().await.contains("AUTH"));
}

#[tokio::test]
async fn starttls_refused() {
    let script = Script::play(|mut peer| async move {
        peer.say("220 script.test").await;
        peer.expect("EHLO", &ehlo(&["STARTTLS"])).await;
        peer.expect("STARTTLS", "454 4.7.0 TLS not available").await;
        peer.hear_out().await;
        peer.heard.concat()
    })
    .await;
    let fault = open(&target(script.port, TlsMode::StartTls, AuthMethod::Auto)).await.err().unwrap();
    assert_eq!(kind(&fault), (FaultScope::Profile, FaultClass::Unreachable, "SecureConnectionFailed"));
    assert!(!script.end().await.contains("AUTH"));
}

/// Opens a session by STARTTLS at a server that talks on after its 220 to STARTTLS, and says something else under TLS.
async fn upgraded(said_before: &'static str) -> Result<(), Fault> {
    let tls = Tls::new();
    let server = tls.clone();
    let script = Script::play(move |mut peer| async move {
        peer.say("220 script.test").await;
        peer.expect("EHLO", &ehlo(&["STARTTLS", "SIZE 1"])).await;
        peer.expect("STARTTLS", said_before).await;
        let mut peer = peer.protect(&server).await?;
        peer.expect("EHLO", "250-script.test\n250 AUTH LOGIN").await;
        peer.expect("AUTH LOGIN", "334 user").await;
        peer.hear().await;
        peer.say("334 secret").await;
        peer.hear().await;
        peer.say("235 welcome").await;
        peer.expect("MAIL FROM:<ann@example.test>", "250 ok").await;
        peer.expect("RCPT", "250 ok").await;
        peer.expect("DATA", "354 go on").await;
        assert!(peer.hear_message().await.1);
        peer.say("250 queued").await;
        peer.hear_out().await;
        Ok::<_, std::io::Error>(())
    })
    .await;
    let opened = smtp(tls.trust()).open(&target(script.port, TlsMode::StartTls, AuthMethod::Auto), &minute()).await;
    let mut session = match opened {
        Ok(session) => session,
        Err(fault) => {
            assert!(script.end().await.is_err());
            return Err(fault);
        }
    };
    let sent = session.send(&envelope(&["b@x.test"]), body(MESSAGE), &mut Gate::default(), &minute()).await;
    drop(session);
    script.end().await.unwrap();
    assert_eq!(sent?.reply, "250 queued");
    Ok(())
}

/// Mechanisms and limits count only as they are said under TLS.
#[tokio::test]
async fn starttls_forgets_what_was_offered_before() {
    upgraded("220 go on").await.unwrap();
}

/// What somebody on the way appends to the plain conversation is either forgotten, or arrives late and spoils the
/// handshake. It is never taken for an answer given under TLS.
#[tokio::test]
async fn starttls_believes_nothing_that_was_appended() {
    if let Err(fault) = upgraded("220 go on\n250-evil.test\n250 AUTH XOAUTH2").await {
        assert_eq!(kind(&fault), (FaultScope::Profile, FaultClass::Unreachable, "SecureConnectionFailed"));
    }
}

#[tokio::test]
async fn implicit_tls() {
    let tls = Tls::new();
    let server = tls.clone();
    let script = Script::play(move |peer| async move {
        let mut peer = peer.protect(&server).await.unwrap();
        peer.admit(&[]).await;
        peer.expect("QUIT", "221 bye").await;
    })
    .await;
    let smtp = smtp(tls.trust());
    let target = target(script.port, TlsMode::Implicit, AuthMethod::Auto);
    smtp.open(&target, &minute()).await.unwrap().close(&minute()).await.unwrap();
    script.end().await;
}

#[tokio::test]
async fn an_unknown_certificate_is_refused() {
    let script = Script::play(|mut peer| async move {
        peer.say("220 script.test").await;
        peer.expect("EHLO", &ehlo(&["STARTTLS"])).await;
        peer.expect("STARTTLS", "220 go on").await;
        peer.protect(&Tls::new()).await.is_err()
    })
    .await;
    let fault = open(&target(script.port, TlsMode::StartTls, AuthMethod::Auto)).await.err().unwrap();
    assert_eq!(kind(&fault), (FaultScope::Profile, FaultClass::Unreachable, "SecureConnectionFailed"));
    assert!(script.end().await, "the handshake failed on the server's side too");
}

#[tokio::test]
async fn closing_waits_only_so_long() {
    let script = Script::play(|mut peer| async move {
        peer.admit(&[]).await;
        peer.hear_out().await;
    })
    .await;
    let mut target = script.target();
    target.request_timeout = Duration::from_millis(200);
    open(&target).await.unwrap().close(&minute()).await.unwrap();
    script.end().await;
}

#[tokio::test]
async fn a_flood_instead_of_a_greeting_ends_in_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let flood = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        while socket.write_all(&b"220-more\r\n".repeat(1_000)).await.is_ok() {}
    });
    let mut target = target(port, TlsMode::Plain, AuthMethod::Auto);
    target.request_timeout = Duration::from_millis(300);
    let fault = open(&target).await.err().unwrap();
    assert_eq!(kind(&fault), (FaultScope::Profile, FaultClass::Unreachable, "TimedOut"));
    flood.await.unwrap();
}
