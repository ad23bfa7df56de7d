//! Connecting, protecting and logging in; and every way in which that is refused.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use lockstep_connector::{Connector, Credentials, Target, TlsTrust};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    profile::{AuthMethod, TlsMode},
};
use lockstep_pop3::Pop3;
use lockstep_test_support::{
    scripted::{ScriptOptions, ScriptedServer, Step},
    tls::ServerIdentity,
};

use crate::maildrop::{Act, GREETING, Maildrop, SECRET, USER, deadline, open, target};

async fn refusal(target: &Target) -> Fault {
    match open(target).await {
        Ok(_) => panic!("the session was opened"),
        Err(fault) => {
            assert!(!format!("{fault:?} {fault}").contains(SECRET), "{fault}");
            fault
        }
    }
}

fn kind(fault: &Fault) -> (FaultScope, FaultClass, &str) {
    (fault.scope, fault.class, &fault.code)
}

fn with(port: u16, tls: TlsMode, auth: AuthMethod) -> Target {
    let mut target = target(port);
    target.endpoint.tls = tls;
    target.endpoint.auth = auth;
    target
}

#[tokio::test]
async fn a_server_without_capa_gets_user_and_pass() {
    let server = Maildrop::of([]).no_capabilities().serve().await;
    open(&target(server.port())).await.unwrap().close(&deadline()).await.unwrap();
    let said = ["CAPA".to_owned(), format!("USER {USER}"), format!("PASS {SECRET}"), "QUIT".to_owned()];
    assert_eq!(server.received()[0], said);
}

#[tokio::test]
async fn sasl_plain_is_preferred_and_sent_with_the_command() {
    let server = Maildrop::of([]).serve().await;
    open(&target(server.port())).await.unwrap();
    let wanted = format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{USER}\0{SECRET}")));
    assert_eq!(server.received()[0], ["CAPA".to_owned(), wanted, "CAPA".to_owned()]);

    open(&with(server.port(), TlsMode::Plain, AuthMethod::Login)).await.unwrap();
    assert_eq!(server.received()[1][1], format!("USER {USER}"));
}

#[tokio::test]
async fn what_is_too_long_for_a_command_waits_to_be_asked() {
    let long = "t".repeat(2_000);
    let message = STANDARD.encode(format!("user={USER}\u{1}auth=Bearer {long}\u{1}\u{1}"));
    let script = vec![
        Step::send("+OK\r\n"),
        Step::expect("CAPA"),
        Step::send("-ERR\r\n"),
        Step::Expect("AUTH XOAUTH2".to_owned()),
        Step::send("+ \r\n"),
        Step::Expect(message),
        Step::send("+OK\r\n"),
        Step::expect("QUIT"),
        Step::send("+OK\r\n"),
    ];
    let server = ScriptedServer::play(ScriptOptions::default(), vec![script]).await;
    let mut target = with(server.port(), TlsMode::Plain, AuthMethod::XOAuth2);
    target.credentials = Credentials::new(USER, long.into());
    open(&target).await.unwrap().close(&deadline()).await.unwrap();
    server.assert_followed();
}

#[tokio::test]
async fn an_overlooked_initial_response_is_repeated() {
    let message = STANDARD.encode(format!("\0{USER}\0{SECRET}"));
    let script = vec![
        Step::send("+OK\r\n"),
        Step::expect("CAPA"),
        Step::send("-ERR\r\n"),
        Step::Expect(format!("AUTH PLAIN {message}")),
        Step::send("+\r\n"),
        Step::Expect(message),
        Step::send("+OK\r\n"),
        Step::Stall,
    ];
    let server = ScriptedServer::play(ScriptOptions::default(), vec![script]).await;
    open(&with(server.port(), TlsMode::Plain, AuthMethod::Plain)).await.unwrap();
    server.assert_followed();
}

#[tokio::test]
async fn an_xoauth2_complaint_is_answered_with_nothing_and_reported() {
    let complaint = STANDARD.encode(r#"{"status":"400","schemes":"Bearer"}"#);
    let script = vec![
        Step::send("+OK\r\n"),
        Step::expect("CAPA"),
        Step::send("+OK\r\nSASL XOAUTH2\r\n.\r\n"),
        Step::expect("AUTH XOAUTH2 "),
        Step::Send(format!("+ {complaint}\r\n").into_bytes()),
        Step::ReadUntil(String::new()),
        Step::send("-ERR [AUTH] invalid\r\n"),
        Step::Stall,
    ];
    let server = ScriptedServer::play(ScriptOptions::default(), vec![script]).await;
    let fault = refusal(&with(server.port(), TlsMode::Plain, AuthMethod::XOAuth2)).await;
    assert_eq!(kind(&fault), (FaultScope::Mailbox, FaultClass::Auth, "Unauthorized"));
    assert!(fault.message.contains("400"), "{fault}");
    assert_eq!(server.received()[0][2], "");
    server.assert_followed();
}

#[tokio::test]
async fn endless_challenges_are_given_up() {
    let server = Maildrop::of([]).but(|line| match line {
        GREETING | "CAPA" => None,
        "*" => Act::say("-ERR cancelled\r\n"),
        _ => Act::say("+ bW9yZQ==\r\n"),
    });
    let server = server.serve().await;
    let fault = refusal(&with(server.port(), TlsMode::Plain, AuthMethod::Plain)).await;
    assert_eq!(fault.code, "Unauthorized");
    assert_eq!(server.received()[0].last().map(String::as_str), Some("*"));
}

#[tokio::test]
async fn what_the_server_says_to_the_login() {
    use FaultClass::{Auth, Refused, Throttled, Transient};
    let table = [
        ("-ERR [IN-USE] locked", Transient, "MailboxInUse", None),
        ("-ERR [LOGIN-DELAY] wait", Throttled, "LoginDelay", Some(60)),
        ("-ERR [SYS/TEMP] disk", Transient, "ServerTemporaryFailure", None),
        ("-ERR [SYS/PERM] no such maildrop", Refused, "ServerPermanentFailure", None),
        ("-ERR [AUTH] no", Auth, "Unauthorized", None),
        ("-ERR no", Auth, "Unauthorized", None),
        ("-ERR [X-WHAT] no", Auth, "Unauthorized", None),
    ];
    for (said, class, code, wait) in table {
        for method in [AuthMethod::Login, AuthMethod::Plain, AuthMethod::XOAuth2] {
            let answer = format!("{said}\r\n");
            let server = Maildrop::of([]).but(move |line| {
                (line.starts_with("PASS") || line.starts_with("AUTH")).then(|| Act::Say(answer.clone().into_bytes()))
            });
            let server = server.serve().await;
            let fault = refusal(&with(server.port(), TlsMode::Plain, method)).await;
            assert_eq!(kind(&fault), (FaultScope::Mailbox, class, code), "{said} {method:?}");
            assert_eq!(fault.retry_after, wait.map(Duration::from_secs));
        }
    }
}

#[tokio::test]
async fn a_login_delay_is_the_announced_one_but_never_more_than_an_hour() {
    for (announced, wanted) in [("LOGIN-DELAY 300", 300), ("LOGIN-DELAY 86400", 3_600), ("LOGIN-DELAY 0", 1)] {
        let server = Maildrop::of([])
            .capabilities(&[announced])
            .but(|line| if line.starts_with("PASS") { Act::say("-ERR [LOGIN-DELAY] x\r\n") } else { None });
        let fault = refusal(&target(server.serve().await.port())).await;
        assert_eq!(fault.retry_after, Some(Duration::from_secs(wanted)));
    }
}

#[tokio::test]
async fn a_server_that_echoes_the_password_does_not_get_it_into_the_fault() {
    for echo in [SECRET.to_owned(), format!("bad command: PASS {}", SECRET.to_uppercase()), SECRET[..9].to_owned()] {
        let answer = format!("-ERR {echo}\r\n");
        let server = Maildrop::of([])
            .no_capabilities()
            .but(move |line| line.starts_with("PASS").then(|| Act::Say(answer.clone().into_bytes())));
        let fault = refusal(&target(server.serve().await.port())).await;
        assert_eq!(fault.code, "Unauthorized");
        assert!(!fault.message.to_lowercase().contains(&SECRET[..9]), "{fault}");
    }
    let server =
        Maildrop::of([]).but(|line| line.starts_with("AUTH").then(|| Act::Say(format!("-ERR {line}\r\n").into())));
    let fault = refusal(&target(server.serve().await.port())).await;
    let encoded = STANDARD.encode(format!("\0{USER}\0{SECRET}"));
    assert!(!fault.message.contains(&encoded[..8]), "{fault}");
}

#[tokio::test]
async fn user_names_and_passwords_that_would_be_more_than_one_line_are_refused_unsent() {
    let server = Maildrop::of([]).serve().await;
    let bad = [("a\r\nDELE 1", "x"), ("a", "x\nDELE 1"), ("a", "x\r"), ("a", "x\0y"), ("a\0b", "x"), ("a", "x\u{1}y")];
    for (user, secret) in bad {
        let mut target = target(server.port());
        target.credentials = Credentials::new(user, secret.to_owned().into());
        let fault = refusal(&target).await;
        assert_eq!(kind(&fault), (FaultScope::Mailbox, FaultClass::Auth, "UnusableCredentials"));
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn whatever_goes_wrong_before_the_greeting_concerns_the_profile() {
    use FaultClass::{Transient, Unreachable};
    let table = [
        (Step::send("-ERR go away\r\n"), Unreachable, "GreetingRefused"),
        (Step::send("-ERR [SYS/TEMP] later\r\n"), Transient, "ServerTemporaryFailure"),
        (Step::send("220 mail.test ESMTP\r\n"), Unreachable, "ProtocolViolation"),
        (Step::send("+OK cut"), Unreachable, "ConnectionLost"),
        (Step::Reset, Unreachable, "ConnectionLost"),
        (Step::Stall, Unreachable, "TimedOut"),
        (Step::Flood(vec![b'x'; 8_192]), Unreachable, "TimedOut"),
    ];
    for (step, class, code) in table {
        let server = ScriptedServer::play(ScriptOptions::default(), vec![vec![step.clone()]]).await;
        let mut target = target(server.port());
        target.request_timeout = Duration::from_millis(500);
        let begun = std::time::Instant::now();
        assert_eq!(kind(&refusal(&target).await), (FaultScope::Profile, class, code), "{code}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{code} after {:?}", begun.elapsed());
    }
    let mut nobody = target(1);
    nobody.endpoint.host = "127.0.0.1".to_owned();
    assert_eq!(kind(&refusal(&nobody).await), (FaultScope::Profile, Unreachable, "ConnectFailure"));
    // A name that is never given to anybody (RFC 6761 §6.4).
    nobody.endpoint.host = "nobody.invalid".to_owned();
    assert_eq!(kind(&refusal(&nobody).await), (FaultScope::Profile, Unreachable, "HostNotFound"));
}

#[tokio::test]
async fn after_the_greeting_it_concerns_the_mailbox() {
    for (act, code) in [(Act::SayAndStall(Vec::new()), "TimedOut"), (Act::SayAndClose(Vec::new()), "ConnectionLost")] {
        let server = Maildrop::of([]).but(move |line| line.starts_with("AUTH").then(|| act.clone())).serve().await;
        let mut target = target(server.port());
        target.request_timeout = Duration::from_millis(500);
        assert_eq!(kind(&refusal(&target).await), (FaultScope::Mailbox, FaultClass::Transient, code));
    }
}

/// B22, N2: a request that a server does not answer ends at the time that is set for it, and the fault says so.
#[tokio::test]
async fn n2_a_hung_request_ends_at_its_time() {
    let hang = |line: &str| line.starts_with("AUTH").then(|| Act::SayAndStall(Vec::new()));
    let server = Maildrop::of([]).but(hang).serve().await;
    for milliseconds in [300, 1_200] {
        let mut target = target(server.port());
        target.request_timeout = Duration::from_millis(milliseconds);
        let begun = std::time::Instant::now();
        let expected = (FaultScope::Mailbox, FaultClass::Transient, "TimedOut");
        assert_eq!(kind(&refusal(&target).await), expected);
        let took = begun.elapsed();
        assert!(took >= target.request_timeout, "{took:?}");
        assert!(took < target.request_timeout + Duration::from_secs(10), "{took:?}");
    }
}

#[tokio::test]
async fn nothing_secret_is_said_when_the_upgrade_is_not_offered() {
    let offers: [(Option<&str>, &str); 3] =
        [(Some("TOP"), "+OK"), (Some("STLS"), "-ERR not now"), (None, "-ERR unknown command")];
    for (capabilities, answer) in offers {
        let mut maildrop = Maildrop::of([]).no_capabilities();
        maildrop.capabilities = capabilities.map(|line| vec![line]);
        let answer = format!("{answer}\r\n");
        let maildrop = maildrop.but(move |line| (line == "STLS").then(|| Act::Say(answer.clone().into_bytes())));
        let server = maildrop.serve().await;
        let fault = refusal(&with(server.port(), TlsMode::StartTls, AuthMethod::Auto)).await;
        assert_eq!(kind(&fault), (FaultScope::Profile, FaultClass::Unreachable, "SecureConnectionFailed"));
        assert!(server.received()[0].iter().all(|line| line == "CAPA" || line == "STLS"), "{:?}", server.received());
    }
}

struct Protected {
    identity: ServerIdentity,
    _ca: tempfile::NamedTempFile,
    connector: Pop3,
}

fn protected() -> Protected {
    let identity = ServerIdentity::new(&["localhost"]);
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), identity.authority_pem()).unwrap();
    let connector = Pop3::new(TlsTrust::load(Some(ca.path())).unwrap());
    Protected { identity, _ca: ca, connector }
}

#[tokio::test]
async fn what_was_said_before_the_handshake_is_forgotten() {
    let world = protected();
    // Somebody in between appends an answer to the server's, to be taken for the answer to the first secret command.
    let script = vec![
        Step::send("+OK\r\n"),
        Step::expect("CAPA"),
        Step::send("+OK\r\nSTLS\r\nSASL XOAUTH2\r\n.\r\n"),
        Step::expect("STLS"),
        Step::send("+OK begin\r\n+OK injected\r\nSASL EVIL\r\n.\r\n+OK you are in\r\n"),
        Step::StartTls,
        Step::expect("CAPA"),
        Step::send("+OK\r\nUSER\r\n.\r\n"),
        Step::expect("USER"),
        Step::send("+OK\r\n"),
        Step::expect("PASS"),
        Step::send("-ERR [AUTH] no\r\n"),
        Step::Stall,
    ];
    let options = ScriptOptions { tls: Some(world.identity.server()), ..ScriptOptions::default() };
    let server = ScriptedServer::play(options, vec![script]).await;
    let target = with(server.port(), TlsMode::StartTls, AuthMethod::Auto);
    let fault = world.connector.open(&target, &deadline()).await.err().unwrap();
    assert_eq!(fault.code, "Unauthorized", "the real answer counts");
    server.assert_followed();
}

#[tokio::test]
async fn both_kinds_of_protection_and_a_certificate_nobody_vouches_for() {
    let world = protected();
    for (tls, implicit_tls) in [(TlsMode::Implicit, true), (TlsMode::StartTls, false)] {
        let mut maildrop = Maildrop::of([("a", "A: 1\n\nbody\n")]).capabilities(&["STLS", "UIDL", "USER"]);
        maildrop.options.tls = Some(world.identity.server());
        maildrop.options.implicit_tls = implicit_tls;
        let server = maildrop.serve().await;
        let target = with(server.port(), tls, AuthMethod::Auto);
        world.connector.open(&target, &deadline()).await.unwrap().close(&deadline()).await.unwrap();

        let fault = refusal(&target).await;
        assert_eq!(kind(&fault), (FaultScope::Profile, FaultClass::Unreachable, "SecureConnectionFailed"));
        assert!(server.received()[1].iter().all(|line| line == "CAPA" || line == "STLS"));
    }
}
