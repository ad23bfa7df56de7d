//! Who we are: mechanisms, their order, and refusals.

use base64::{Engine, engine::general_purpose::STANDARD};
use lockstep_connector::Credentials;
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    profile::{AuthMethod, TlsMode},
};

use crate::peer::{SECRET, Script, kind, open, target};

fn decoded(line: &str) -> String {
    let encoded = line.rsplit(' ').next().unwrap();
    String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
}

/// Plays AUTH with these offers and answers; what the client said after EHLO.
async fn converse(
    method: AuthMethod,
    offers: &'static str,
    answers: &'static [&'static str],
) -> (Option<Fault>, Vec<String>) {
    let script = Script::play(move |mut peer| async move {
        peer.say("220 script.test").await;
        peer.expect("EHLO", &format!("250-script.test\n250 {offers}")).await;
        for answer in answers {
            if peer.hear().await.is_none() {
                break;
            }
            peer.say(answer).await;
        }
        peer.hear_out().await;
        peer.heard.split_off(1)
    })
    .await;
    let fault = open(&target(script.port, TlsMode::Plain, method)).await.err();
    if let Some(fault) = &fault {
        assert!(!fault.message.contains(SECRET) && !fault.message.contains(&STANDARD.encode(SECRET)));
    }
    (fault, script.end().await)
}

#[tokio::test]
async fn plain_is_preferred() {
    let (fault, heard) = converse(AuthMethod::Auto, "AUTH LOGIN XOAUTH2 PLAIN", &["235 ok"]).await;
    assert!(fault.is_none());
    assert!(heard[0].starts_with("AUTH PLAIN "));
    assert_eq!(decoded(&heard[0]), format!("\0ann@example.test\0{SECRET}"));
}

#[tokio::test]
async fn login_where_there_is_no_plain_or_it_is_asked_for() {
    for (method, offers) in [(AuthMethod::Auto, "AUTH LOGIN"), (AuthMethod::Login, "AUTH PLAIN LOGIN")] {
        let (fault, heard) = converse(method, offers, &["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 ok"]).await;
        assert!(fault.is_none());
        assert_eq!(heard[0], "AUTH LOGIN");
        assert_eq!((decoded(&heard[1]), decoded(&heard[2])), ("ann@example.test".to_owned(), SECRET.to_owned()));
    }
}

#[tokio::test]
async fn xoauth2_when_asked_for() {
    let (fault, heard) = converse(AuthMethod::XOAuth2, "AUTH PLAIN XOAUTH2", &["235 ok"]).await;
    assert!(fault.is_none());
    assert!(heard[0].starts_with("AUTH XOAUTH2 "));
    assert_eq!(decoded(&heard[0]), format!("user=ann@example.test\u{1}auth=Bearer {SECRET}\u{1}\u{1}"));
}

#[tokio::test]
async fn a_refused_token_is_answered_before_the_refusal_comes() {
    let answers = &["334 eyJzdGF0dXMiOiI0MDEifQ==", "535 5.7.8 token expired"];
    let (fault, heard) = converse(AuthMethod::XOAuth2, "AUTH XOAUTH2", answers).await;
    let fault = fault.unwrap();
    assert_eq!(kind(&fault), (FaultScope::Mailbox, FaultClass::Auth, "OutgoingEmailAuthenticationError"));
    assert!(fault.message.contains("token expired"));
    assert_eq!(heard[1], "");
}

#[tokio::test]
async fn refusals() {
    use FaultClass::{Auth, Refused, Throttled, Transient};
    for (answer, scope, class, code) in [
        (&["535 5.7.8 bad credentials"][..], FaultScope::Mailbox, Auth, "OutgoingEmailAuthenticationError"),
        (&["535 5.7.139 disabled for the tenant"], FaultScope::Mailbox, Auth, "OutgoingEmailAuthenticationError"),
        (&["550 no"], FaultScope::Mailbox, Auth, "OutgoingEmailAuthenticationError"),
        (&["454 4.7.0 temporary failure"], FaultScope::Mailbox, Transient, "AuthenticationUnavailable"),
        (&["454 4.7.0 too many login attempts"], FaultScope::Mailbox, Throttled, "ServiceUnavailable"),
        (&["421 4.3.2 closing"], FaultScope::Mailbox, Transient, "ServiceUnavailable"),
        (&["502 5.5.1 not implemented"], FaultScope::Profile, Refused, "SmtpUnrecognisedCommand"),
        (&["250 what?"], FaultScope::Mailbox, Transient, "ProtocolViolation"),
        (&["garbage"], FaultScope::Mailbox, Transient, "ProtocolViolation"),
        (&[], FaultScope::Mailbox, Transient, "TimedOut"),
    ] {
        let script = Script::play(move |mut peer| async move {
            peer.say("220 script.test").await;
            peer.expect("EHLO", "250-script.test\n250 AUTH PLAIN").await;
            for line in answer {
                peer.hear().await;
                peer.say(line).await;
            }
            peer.hear_out().await;
        })
        .await;
        let mut target = script.target();
        target.request_timeout = std::time::Duration::from_millis(400);
        let fault = open(&target).await.err().unwrap();
        assert_eq!(kind(&fault), (scope, class, code), "{answer:?}");
        script.end().await;
    }
}

#[tokio::test]
async fn nothing_is_tried_that_is_not_offered() {
    for (method, offers) in [
        (AuthMethod::Auto, "AUTH XOAUTH2 CRAM-MD5"),
        (AuthMethod::Auto, "PIPELINING"),
        (AuthMethod::Plain, "AUTH LOGIN"),
        (AuthMethod::Login, "AUTH PLAIN"),
        (AuthMethod::XOAuth2, "AUTH PLAIN"),
    ] {
        let (fault, heard) = converse(method, offers, &[]).await;
        assert_eq!(kind(&fault.unwrap()), (FaultScope::Profile, FaultClass::Refused, "AuthenticationMethodNotOffered"));
        assert_eq!(heard.concat(), "");
    }
}

#[tokio::test]
async fn separators_cannot_be_smuggled_into_credentials() {
    for (method, user) in [(AuthMethod::Plain, "ann\0bob"), (AuthMethod::XOAuth2, "ann\u{1}auth=Bearer x")] {
        let script = Script::play(|mut peer| async move {
            peer.say("220 script.test").await;
            peer.expect("EHLO", "250-script.test\n250 AUTH PLAIN XOAUTH2").await;
            assert_eq!(peer.hear().await, None);
        })
        .await;
        let mut target = target(script.port, TlsMode::Plain, method);
        target.credentials = Credentials::new(user, SECRET.to_owned().into());
        assert_eq!(open(&target).await.err().unwrap().code, "UnusableCredentials");
        script.end().await;
    }
}

/// Some servers quote the line they did not like. The secret must not come back that way, in any form, whole or cut.
#[tokio::test]
async fn a_secret_that_is_quoted_back_is_left_out() {
    let plain = STANDARD.encode(format!("\0ann@example.test\0{SECRET}"));
    let words = [
        format!("535 5.7.8 not known: AUTH PLAIN {plain}"),
        format!("535 5.7.8 not known: \"{}\"...", &plain[..plain.len() - 7]),
        format!("535 wrong password '{}'", SECRET.to_uppercase()),
        format!("this is no reply but {SECRET}"),
        format!("454 4.7.0 too many attempts with {}", STANDARD.encode(SECRET)),
    ];
    for (answer, code) in words.into_iter().zip([
        "OutgoingEmailAuthenticationError",
        "OutgoingEmailAuthenticationError",
        "OutgoingEmailAuthenticationError",
        "ProtocolViolation",
        "ServiceUnavailable",
    ]) {
        let script = Script::play(move |mut peer| async move {
            peer.say("220 script.test").await;
            peer.expect("EHLO", "250-script.test\n250 AUTH PLAIN").await;
            peer.expect("AUTH PLAIN", &answer).await;
            peer.hear_out().await;
        })
        .await;
        let fault = open(&script.target()).await.err().unwrap();
        assert_eq!(fault.code, code);
        assert!(fault.message.contains("left out"), "{}", fault.message);
        script.end().await;
    }
}

#[tokio::test]
async fn a_refusal_that_quotes_nothing_is_kept() {
    let (fault, _) =
        converse(AuthMethod::Plain, "AUTH PLAIN", &["535 5.7.8 Incorrect authentication data for ann"]).await;
    assert_eq!(fault.unwrap().message, "535 5.7.8 Incorrect authentication data for ann");
}
