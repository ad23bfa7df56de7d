//! Proving who we are: USER/PASS (RFC 1939), SASL PLAIN (RFC 4616, 5034) and XOAUTH2.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use lockstep_connector::{Credentials, Deadline};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    profile::AuthMethod,
    text,
};
use secrecy::zeroize::Zeroizing;

use crate::{
    codec::{
        capa::Capabilities,
        command::{Command, MAX_COMMAND},
        response::{Reply, Status},
    },
    fault,
    wire::Wire,
};

/// Longest user name or secret, in bytes; tokens have a few thousand.
const MAX_TEXT: usize = 64 * 1024;

/// Refuses what would become more than one line, or other fields of a SASL message, before anything is sent.
pub(crate) fn check(credentials: &Credentials) -> Result<(), Fault> {
    for (what, value) in [("user name", credentials.user.as_str()), ("password", credentials.expose())] {
        if value.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0 | 1)) || value.len() > MAX_TEXT {
            let message = format!("the {what} holds a line break or another control character, or is far too long");
            return Err(fault::mailbox(FaultClass::Auth, "UnusableCredentials", message).local());
        }
    }
    Ok(())
}

/// Logs in. The caller has made sure that the connection may carry a secret.
pub(crate) async fn login(
    wire: &mut Wire,
    capabilities: &Capabilities,
    method: AuthMethod,
    credentials: &Credentials,
    deadline: &Deadline,
) -> Result<(), Fault> {
    let user = &credentials.user;
    let secret = credentials.expose();
    let delay = capabilities.login_delay;
    let sasl_plain = || Zeroizing::new(format!("\0{user}\0{secret}"));
    let attempt = match method {
        AuthMethod::Negotiate | AuthMethod::Ntlm | AuthMethod::Basic => {
            let message = "this way to log in is one of HTTP servers; POP3 has none like it";
            let code = "AuthenticationMethodNotOffered";
            return Err(Fault::new(FaultScope::Profile, FaultClass::Refused, code, message).local());
        }
        AuthMethod::Auto if !capabilities.offers("PLAIN") => {
            return user_pass(wire, credentials, delay, deadline).await;
        }
        AuthMethod::Login => return user_pass(wire, credentials, delay, deadline).await,
        AuthMethod::Auto | AuthMethod::Plain => ("PLAIN", sasl_plain()),
        AuthMethod::XOAuth2 => ("XOAUTH2", Zeroizing::new(format!("user={user}\u{1}auth=Bearer {secret}\u{1}\u{1}"))),
    };
    sasl(wire, attempt.0, &attempt.1, credentials, delay, deadline).await
}

async fn user_pass(
    wire: &mut Wire,
    credentials: &Credentials,
    delay: Option<Duration>,
    deadline: &Deadline,
) -> Result<(), Fault> {
    for command in [Command::User(&credentials.user), Command::Pass(credentials.expose())] {
        let reply = wire.ask(command, deadline).await?;
        if !reply.is_ok() {
            return Err(refused(&reply, None, credentials, delay));
        }
    }
    Ok(())
}

async fn sasl(
    wire: &mut Wire,
    mechanism: &str,
    message: &str,
    credentials: &Credentials,
    delay: Option<Duration>,
    deadline: &Deadline,
) -> Result<(), Fault> {
    let encoded = Zeroizing::new(STANDARD.encode(message));
    let whole = "AUTH ".len() + mechanism.len() + 1 + encoded.len() + 2;
    let initial = (whole <= MAX_COMMAND).then_some(encoded.as_str());
    let mut reply = wire.ask(Command::Auth(mechanism, initial), deadline).await?;
    let mut said = initial.is_some();
    let mut complaint = None;
    // At most: our message, the answer to a complaint, giving up.
    for _ in 0..3 {
        if reply.status != Status::Continue {
            break;
        }
        let challenge = STANDARD.decode(&reply.text).unwrap_or_default();
        let answer = if challenge.is_empty() && !said {
            said = true;
            Command::Answer(&encoded)
        } else if !challenge.is_empty() && said && complaint.is_none() {
            // XOAUTH2 explains the refusal in a challenge; an empty answer ends the exchange.
            complaint = Some(challenge);
            Command::Answer("")
        } else if challenge.is_empty() && complaint.is_none() && initial.is_some() {
            // The server overlooked the initial response.
            complaint = Some(Vec::new());
            Command::Answer(&encoded)
        } else {
            Command::Cancel
        };
        reply = wire.ask(answer, deadline).await?;
    }
    if reply.is_ok() { Ok(()) } else { Err(refused(&reply, complaint.as_deref(), credentials, delay)) }
}

fn refused(reply: &Reply, complaint: Option<&[u8]>, credentials: &Credentials, delay: Option<Duration>) -> Fault {
    let mut words = shown(&reply.text, credentials);
    if let Some(complaint) = complaint.filter(|text| !text.is_empty()) {
        words = format!("{words} {}", shown(complaint, credentials));
    }
    fault::by_code(reply, delay, &words).unwrap_or_else(|| {
        let message = format!("the server refused the user name or password: {words}");
        fault::mailbox(FaultClass::Auth, "Unauthorized", message)
    })
}

/// The server's words, unless they may repeat the secret: some servers echo the line they did not like, whole or cut.
fn shown(said: &[u8], credentials: &Credentials) -> String {
    let (user, secret) = (&credentials.user, credentials.expose());
    let lower = Zeroizing::new(String::from_utf8_lossy(said).to_lowercase());
    let bare = Zeroizing::new(secret.to_lowercase());
    let encoded = [format!("\0{user}\0{secret}"), format!("user={user}\u{1}auth=Bearer {secret}\u{1}\u{1}")]
        .map(Zeroizing::new)
        .map(|message| Zeroizing::new(STANDARD.encode(message.as_bytes()).to_lowercase()));
    let whole = !bare.is_empty() && lower.contains(bare.as_str());
    let part = lower.split(|c: char| c.is_whitespace() || "\"'<>()[],;".contains(c)).any(|word| {
        (word.len() >= 4 && bare.contains(word)) || (word.len() >= 8 && encoded.iter().any(|form| form.contains(word)))
    });
    if whole || part {
        "(its words are left out: they may repeat the password)".to_owned()
    } else {
        text::line_from_bytes(said, 300)
    }
}
