//! Who we are: AUTH (RFC 4954) with PLAIN, LOGIN and XOAUTH2.

use base64::{Engine, engine::general_purpose::STANDARD};
use lockstep_connector::{Credentials, Deadline};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    profile::AuthMethod,
};
use secrecy::zeroize::Zeroizing;

use crate::{
    codec::{ehlo::Mechanisms, reply::Reply},
    fault::{self, Stage},
    link::Link,
};

/// A word of the server at least this long that is part of the secret counts as a quotation of it, in bytes.
const SHORTEST_QUOTE: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mechanism {
    Plain,
    Login,
    XOAuth2,
}

/// Proves the account to the server.
pub(crate) async fn authenticate(
    link: &mut Link,
    method: AuthMethod,
    offered: Mechanisms,
    credentials: &Credentials,
    deadline: &Deadline,
) -> Result<(), Fault> {
    let mechanism = choose(method, offered)?;
    check(mechanism, credentials)?;
    converse(link, mechanism, credentials, deadline).await.map_err(|fault| discreet(fault, credentials))
}

async fn converse(
    link: &mut Link,
    mechanism: Mechanism,
    credentials: &Credentials,
    deadline: &Deadline,
) -> Result<(), Fault> {
    let reply = match mechanism {
        Mechanism::Plain => {
            let response = plain(credentials);
            exchange(link, b"AUTH PLAIN ", &response, deadline).await?
        }
        Mechanism::Login => login(link, credentials, deadline).await?,
        Mechanism::XOAuth2 => {
            let response = xoauth2(credentials);
            let reply = exchange(link, b"AUTH XOAUTH2 ", &response, deadline).await?;
            // A refusal comes as a challenge with the reason; an empty answer to it brings the final reply.
            if reply.code == 334 { link.command(b"\r\n", deadline).await? } else { reply }
        }
    };
    if reply.code == 235 { Ok(()) } else { Err(fault::of_reply(Stage::Login, &reply)) }
}

async fn login(link: &mut Link, credentials: &Credentials, deadline: &Deadline) -> Result<Reply, Fault> {
    let mut reply = link.command(b"AUTH LOGIN\r\n", deadline).await?;
    for answer in [credentials.user.as_str(), credentials.expose()] {
        if reply.code != 334 {
            return Ok(reply);
        }
        reply = exchange(link, b"", &encoded(&[answer]), deadline).await?;
    }
    Ok(reply)
}

/// Sends a command with a secret in it, in one write.
async fn exchange(link: &mut Link, verb: &[u8], response: &str, deadline: &Deadline) -> Result<Reply, Fault> {
    let mut line = Zeroizing::new(Vec::with_capacity(verb.len() + response.len() + 2));
    line.extend_from_slice(verb);
    line.extend_from_slice(response.as_bytes());
    line.extend_from_slice(b"\r\n");
    link.command(&line, deadline).await
}

/// RFC 4616: no authorisation identity of its own.
fn plain(credentials: &Credentials) -> Zeroizing<String> {
    encoded(&["\0", &credentials.user, "\0", credentials.expose()])
}

fn xoauth2(credentials: &Credentials) -> Zeroizing<String> {
    encoded(&["user=", &credentials.user, "\u{1}auth=Bearer ", credentials.expose(), "\u{1}\u{1}"])
}

fn encoded(parts: &[&str]) -> Zeroizing<String> {
    let mut plain = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    for part in parts {
        plain.extend_from_slice(part.as_bytes());
    }
    Zeroizing::new(STANDARD.encode(&*plain))
}

fn choose(method: AuthMethod, offered: Mechanisms) -> Result<Mechanism, Fault> {
    let candidates: &[(Mechanism, bool)] = match method {
        AuthMethod::Auto => &[(Mechanism::Plain, offered.plain), (Mechanism::Login, offered.login)],
        AuthMethod::Login => &[(Mechanism::Login, offered.login)],
        AuthMethod::Plain => &[(Mechanism::Plain, offered.plain)],
        AuthMethod::XOAuth2 => &[(Mechanism::XOAuth2, offered.xoauth2)],
        // Ways of HTTP servers.
        AuthMethod::Negotiate | AuthMethod::Ntlm | AuthMethod::Basic => &[],
    };
    let chosen = candidates.iter().find(|(_, there)| *there).map(|(mechanism, _)| *mechanism);
    chosen.ok_or_else(|| {
        fault::no_mechanism(match method {
            AuthMethod::Auto => "PLAIN or LOGIN",
            AuthMethod::Login => "LOGIN",
            AuthMethod::Plain => "PLAIN",
            AuthMethod::XOAuth2 => "XOAUTH2",
            AuthMethod::Negotiate => "Negotiate",
            AuthMethod::Ntlm => "NTLM",
            AuthMethod::Basic => "Basic",
        })
    })
}

/// The mechanisms' own separators cannot stand in what they separate.
fn check(mechanism: Mechanism, credentials: &Credentials) -> Result<(), Fault> {
    let separator = if mechanism == Mechanism::XOAuth2 { '\u{1}' } else { '\0' };
    if !credentials.user.contains(separator) && !credentials.expose().contains(separator) {
        return Ok(());
    }
    let message = "the account name or its secret holds a control character that no server accepts";
    Err(Fault::new(FaultScope::Mailbox, FaultClass::Auth, "UnusableCredentials", message))
}

/// The fault without the server's words when those may repeat the secret: some servers quote the line they did not
/// like, whole or cut.
fn discreet(mut fault: Fault, credentials: &Credentials) -> Fault {
    let bare = Zeroizing::new(credentials.expose().to_lowercase());
    let forms = [plain(credentials), xoauth2(credentials), encoded(&[credentials.expose()])];
    let forms = forms.map(|form| Zeroizing::new(form.to_lowercase()));
    let said = Zeroizing::new(fault.message.to_lowercase());
    let quoted = |word: &str| {
        (word.len() >= SHORTEST_QUOTE && bare.contains(word))
            || (word.len() >= 2 * SHORTEST_QUOTE && forms.iter().any(|form| form.contains(word)))
    };
    let whole = !bare.is_empty() && said.contains(bare.as_str());
    if whole || said.split(|c: char| c.is_whitespace() || "\"'`<>()[],;".contains(c)).any(quoted) {
        let code: String = fault.message.chars().take_while(char::is_ascii_digit).collect();
        fault.message = format!("{code} (the server's words are left out: they may repeat the password)");
    }
    fault
}
