//! Logging in: Basic (RFC 7617), bearer tokens (RFC 6750) and NTLM. Each connection begins with a question that tells
//! whether the account is let in and the mailbox is there.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hyper::header::{DATE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use lockstep_connector::{Credentials, Deadline};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    profile::AuthMethod,
};
use secrecy::zeroize::Zeroizing;

use super::{Client, unauthorized};
use crate::{
    fault,
    http::Outgoing,
    ntlm::{self, Login},
    reply::Reply,
    spnego,
};

/// Longest user name or secret, in bytes; tokens have a few thousand.
const MAX_TEXT: usize = 64 * 1024;
/// The scheme of SPNEGO (RFC 4559).
const NEGOTIATE: &str = "Negotiate";
/// Seconds between the epoch of Windows and that of Unix.
const WINDOWS_EPOCH: i64 = 11_644_473_600;

/// How the account proves itself.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Scheme {
    /// The server has not been asked yet.
    Undecided,
    /// With each request, by this header.
    Header(HeaderValue),
    /// Once for a connection; by this name (`NTLM` or `Negotiate`).
    Ntlm(&'static str),
}

impl std::fmt::Debug for Scheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Undecided => "Undecided",
            Self::Header(_) => "Header",
            Self::Ntlm(name) => name,
        })
    }
}

/// Refuses what cannot stand in a header, before anything is sent.
pub(super) fn check(credentials: &Credentials) -> Result<(), Fault> {
    for (what, value) in [("user name", credentials.user.as_str()), ("secret", credentials.expose())] {
        if value.is_empty() || value.bytes().any(|b| b.is_ascii_control()) || value.len() > MAX_TEXT {
            let message = format!("the {what} is empty, holds a control character, or is far too long");
            return Err(fault::mailbox(FaultClass::Auth, "UnusableCredentials", message).local());
        }
    }
    Ok(())
}

fn header(scheme: &str, token: &str) -> Result<HeaderValue, Fault> {
    let text = Zeroizing::new(format!("{scheme} {token}"));
    let mut value = HeaderValue::from_str(&text).map_err(|_| {
        fault::mailbox(FaultClass::Auth, "UnusableCredentials", "the secret cannot be sent in a header").local()
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn basic(credentials: &Credentials) -> Result<HeaderValue, Fault> {
    let pair = Zeroizing::new(format!("{}:{}", credentials.user, credentials.expose()));
    header("Basic", &Zeroizing::new(STANDARD.encode(pair.as_bytes())))
}

impl Scheme {
    pub(super) fn of(method: AuthMethod, credentials: &Credentials) -> Result<Self, Fault> {
        Ok(match method {
            AuthMethod::Auto => Self::Undecided,
            AuthMethod::Negotiate => Self::Ntlm(NEGOTIATE),
            AuthMethod::Ntlm => Self::Ntlm("NTLM"),
            AuthMethod::Login | AuthMethod::Plain | AuthMethod::Basic => Self::Header(basic(credentials)?),
            AuthMethod::XOAuth2 => Self::Header(header("Bearer", credentials.expose())?),
        })
    }

    pub(super) fn header(&self) -> Option<HeaderValue> {
        match self {
            Self::Header(value) => Some(value.clone()),
            _ => None,
        }
    }
}

/// The token that a server's challenge carries under a scheme's name; empty where it only offers the scheme.
fn offered<'h>(headers: &'h HeaderMap, scheme: &str) -> Option<&'h str> {
    headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()).find_map(|text| {
        let (name, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let listed = text.split(',').any(|one| one.trim().eq_ignore_ascii_case(scheme));
        if name.eq_ignore_ascii_case(scheme) { Some(rest.trim()) } else { listed.then_some("") }
    })
}

/// The server's time in units of 100 ns since 1601, by its `Date`.
fn windows_time(headers: &HeaderMap) -> u64 {
    let date = headers.get(DATE).and_then(|value| value.to_str().ok());
    let seconds = date.and_then(|text| chrono::DateTime::parse_from_rfc2822(text).ok()).map_or(0, |at| at.timestamp());
    u64::try_from(seconds.saturating_add(WINDOWS_EPOCH)).unwrap_or(0).saturating_mul(10_000_000)
}

/// What a server offers, as far as it can be told of.
fn not_offered(wanted: &str, headers: &HeaderMap) -> Fault {
    let offers: Vec<&str> = headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok()?.split_whitespace().next())
        .map(|word| word.trim_end_matches(','))
        .collect();
    let offers = if offers.is_empty() { "nothing".to_owned() } else { offers.join(", ") };
    let message = format!("the server does not offer {wanted} authentication; it offers {offers}");
    Fault::new(FaultScope::Profile, FaultClass::Refused, "AuthenticationMethodNotOffered", message)
}

impl Client {
    /// Logs in on a fresh connection, once more with another token where that is what was refused; answers with the
    /// reply to the first request.
    pub(super) async fn sign_in(&mut self, question: &Bytes, deadline: &Deadline) -> Result<Reply, Fault> {
        let reply = self.log_in(question, deadline).await?;
        if reply.status() != 401 {
            return Ok(reply);
        }
        let by_password = matches!(self.options.auth, AuthMethod::Basic | AuthMethod::Login | AuthMethod::Plain);
        if by_password && !self.greeted && offered(reply.headers(), "Basic").is_none() {
            return Err(not_offered("Basic", reply.headers()));
        }
        if !self.renew(deadline).await? {
            return Ok(reply);
        }
        drop(reply);
        self.dial(deadline).await?;
        self.log_in(question, deadline).await
    }

    /// Takes another token in place of the one that was refused; `false` where there is no issuer, or that was done before.
    pub(super) async fn renew(&mut self, deadline: &Deadline) -> Result<bool, Fault> {
        let Some(issuer) = self.options.issuer.clone().filter(|_| !self.renewed) else { return Ok(false) };
        self.renewed = true;
        let refused = self.options.credentials.expose();
        let token = issuer.instead_of(refused, deadline).await?;
        self.options.credentials = Credentials::new(self.options.credentials.user.clone(), token);
        self.scheme = Scheme::of(AuthMethod::XOAuth2, &self.options.credentials)?;
        Ok(true)
    }

    /// Logs in on a fresh connection; answers with the reply to its first request.
    pub(super) async fn log_in(&mut self, question: &Bytes, deadline: &Deadline) -> Result<Reply, Fault> {
        match self.scheme.clone() {
            Scheme::Header(_) => self.exchange(Outgoing::whole(question.clone()), None, deadline).await,
            Scheme::Undecided => self.by_challenge("NTLM", question, deadline).await,
            Scheme::Ntlm(name) => self.by_challenge(name, question, deadline).await,
        }
    }

    async fn exchange(
        &mut self,
        body: Outgoing,
        authorization: Option<HeaderValue>,
        deadline: &Deadline,
    ) -> Result<Reply, Fault> {
        let sent = self.begin(body, authorization)?;
        let patience = self.options.patience;
        let response = deadline.run(patience, sent).await?.map_err(|error| fault::lost(&error))?;
        Ok(self.heard(response, deadline))
    }

    /// Offers NTLM; falls back to Basic where nothing is decided yet and the server wants that.
    async fn by_challenge(
        &mut self,
        name: &'static str,
        question: &Bytes,
        deadline: &Deadline,
    ) -> Result<Reply, Fault> {
        let first = ntlm::negotiate();
        let token = if name == NEGOTIATE { spnego::first(&first) } else { first.clone() };
        let authorization = header(name, &STANDARD.encode(token))?;
        let mut reply = self.exchange(Outgoing::whole(""), Some(authorization), deadline).await?;
        if reply.status() != 401 {
            // Nobody was asked who they are: the caller hears what there is instead.
            return Ok(reply);
        }
        let challenge = offered(reply.headers(), name).filter(|token| !token.is_empty()).map(str::to_owned);
        let basic_offered = offered(reply.headers(), "Basic").is_some();
        let negotiate_offered = name == "NTLM" && offered(reply.headers(), "Negotiate").is_some();
        let offered_at_all = offered(reply.headers(), name).is_some();
        let headers = reply.headers().clone();
        let time = windows_time(&headers);
        reply.drain().await?;
        let Some(challenge) = challenge else {
            if self.scheme != Scheme::Undecided {
                // A server that offers the scheme and does not go on with it takes no NTLM under that name.
                return Err(if self.greeted {
                    unauthorized("it no longer offers the way the account logged in before")
                } else if name == NEGOTIATE && offered_at_all {
                    not_offered("NTLM inside Negotiate", &headers)
                } else {
                    not_offered(name, &headers)
                });
            }
            self.scheme = match (negotiate_offered, basic_offered) {
                (true, _) => Scheme::Ntlm(NEGOTIATE),
                (false, true) => Scheme::Header(basic(&self.options.credentials)?),
                (false, false) => return Err(not_offered("NTLM, Negotiate or Basic", &headers)),
            };
            return Box::pin(self.again(question, deadline)).await;
        };
        let binding = self.link.as_ref().and_then(|link| link.binding);
        let challenge = STANDARD.decode(challenge).map_err(|_| fault::violation("the NTLM challenge is no base64"))?;
        let challenge = if name == NEGOTIATE { spnego::inside(&challenge) } else { &challenge };
        let login = Login {
            user: &self.options.credentials.user,
            password: self.options.credentials.expose(),
            host: &self.options.place.host,
            binding,
            nonce: rand::random(),
            time,
        };
        let third = ntlm::authenticate(&first, challenge, &login).map_err(fault::violation)?;
        let third = if name == NEGOTIATE { spnego::next(&third) } else { third };
        let authorization = header(name, &STANDARD.encode(third))?;
        let reply = self.exchange(Outgoing::whole(question.clone()), Some(authorization), deadline).await?;
        self.scheme = Scheme::Ntlm(name);
        Ok(reply)
    }

    /// Goes on with another scheme: on this connection where it is still open, and otherwise on a new one.
    async fn again(&mut self, question: &Bytes, deadline: &Deadline) -> Result<Reply, Fault> {
        let open = match &mut self.link {
            Some(link) => deadline.run(self.options.patience, link.is_ready()).await?,
            None => false,
        };
        if !open {
            self.dial(deadline).await?;
        }
        self.log_in(question, deadline).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn schemes_are_found_however_they_are_listed() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Negotiate"));
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("ntlm TlRM"));
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"x\""));
        assert_eq!(offered(&headers, "NTLM"), Some("TlRM"));
        assert_eq!(offered(&headers, "Negotiate"), Some(""));
        assert!(offered(&headers, "Basic").is_some());
        assert_eq!(offered(&headers, "Bearer"), None);
        let mut one = HeaderMap::new();
        one.append(WWW_AUTHENTICATE, HeaderValue::from_static("Negotiate, NTLM"));
        assert_eq!(offered(&one, "NTLM"), Some(""));
    }

    #[test]
    fn secrets_do_not_show() {
        let credentials = Credentials::new("ann", "tell nobody".to_owned().into());
        let scheme = Scheme::of(AuthMethod::Plain, &credentials).unwrap();
        assert_eq!(format!("{scheme:?}"), "Header");
        assert!(check(&Credentials::new("ann", "a\nb".to_owned().into())).is_err());
    }
}
