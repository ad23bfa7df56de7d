//! Finding out who asks.

use std::sync::{Mutex, PoisonError};

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{Response, StatusCode, header};

use super::reply::{Body, empty};
use crate::{
    auth::{Account, basic, ntlm, spnego},
    clock,
    server::Server,
};

/// Seconds between the epoch of Windows and that of Unix.
const WINDOWS_EPOCH: i64 = 11_644_473_600;

#[derive(Debug, Default)]
enum Ntlm {
    #[default]
    Nothing,
    Challenged(ntlm::Exchange),
    Known(Account),
}

/// What is remembered of a connection between its requests: NTLM makes itself known once for all of them.
#[derive(Debug, Default)]
pub struct Connection {
    binding: Option<[u8; 16]>,
    ntlm: Mutex<Ntlm>,
}

impl Connection {
    /// A new one; `binding` is the hash of the channel, where there is TLS.
    pub fn new(binding: Option<[u8; 16]>) -> Self {
        Self { binding, ntlm: Mutex::default() }
    }
}

fn refusal(server: &Server, challenge: Option<(&str, &[u8])>) -> Response<Body> {
    let mut response = empty(StatusCode::UNAUTHORIZED);
    let mut offer = |text: String| {
        if let Ok(value) = header::HeaderValue::from_str(&text) {
            response.headers_mut().append(header::WWW_AUTHENTICATE, value);
        }
    };
    match challenge {
        Some((scheme, challenge)) => offer(format!("{scheme} {}", STANDARD.encode(challenge))),
        None => {
            if server.issuer.is_there() {
                offer("Bearer".to_owned());
            }
            if server.negotiate {
                offer("Negotiate".to_owned());
            }
            if server.schemes.ntlm {
                offer("NTLM".to_owned());
            }
            if server.schemes.basic {
                offer("Basic realm=\"exchange-sim\"".to_owned());
            }
        }
    }
    response
}

/// Windows' count of 100 ns since 1601.
fn windows_time() -> u64 {
    let seconds = clock::now().timestamp().saturating_add(WINDOWS_EPOCH);
    u64::try_from(seconds).unwrap_or(0).saturating_mul(10_000_000)
}

#[expect(clippy::result_large_err, reason = "an answer is what it is for")]
fn by_ntlm(server: &Server, connection: &Connection, scheme: &str, token: &str) -> Result<Account, Response<Body>> {
    let mut state = connection.ntlm.lock().unwrap_or_else(PoisonError::into_inner);
    let octets = STANDARD.decode(token.trim()).unwrap_or_default();
    let (octets, wrapped) = match spnego::unwrap(&octets).filter(|_| scheme == "Negotiate") {
        Some((message, wrapped)) => (message.to_vec(), wrapped),
        None => (octets, false),
    };
    if let Ntlm::Challenged(exchange) = std::mem::take(&mut *state) {
        let account = ntlm::check(&server.accounts, &exchange, &octets, connection.binding.as_ref()).cloned();
        if let Some(account) = account {
            *state = Ntlm::Known(account.clone());
            return Ok(account);
        }
    }
    let Some((challenge, exchange)) = ntlm::challenge(&octets, rand::random(), windows_time()) else {
        return Err(refusal(server, None));
    };
    *state = Ntlm::Challenged(exchange);
    let challenge = if wrapped { spnego::wrap(&challenge) } else { challenge };
    Err(refusal(server, Some((scheme, &challenge))))
}

/// Who asks, or the answer that asks who it is.
#[expect(clippy::result_large_err, reason = "an answer is what it is for")]
pub(super) fn who(
    server: &Server,
    connection: &Connection,
    authorization: Option<&str>,
) -> Result<Account, Response<Body>> {
    let Some((scheme, value)) = authorization.and_then(|value| value.split_once(' ')) else {
        let state = connection.ntlm.lock().unwrap_or_else(PoisonError::into_inner);
        return match &*state {
            Ntlm::Known(account) if authorization.is_none() => Ok(account.clone()),
            _ => Err(refusal(server, None)),
        };
    };
    if server.schemes.ntlm && scheme.eq_ignore_ascii_case("ntlm") {
        return by_ntlm(server, connection, "NTLM", value);
    }
    if server.negotiate && scheme.eq_ignore_ascii_case("negotiate") {
        return by_ntlm(server, connection, "Negotiate", value);
    }
    if scheme.eq_ignore_ascii_case("bearer") {
        return server.issuer.check(value).ok_or_else(|| refusal(server, None));
    }
    let known = match scheme {
        basic if server.schemes.basic && basic.eq_ignore_ascii_case("basic") => basic::check(&server.accounts, value),
        _ => None,
    };
    known.cloned().ok_or_else(|| refusal(server, None))
}
