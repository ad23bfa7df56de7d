//! Finding out who asks.

use std::sync::{Mutex, PoisonError};

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{Response, StatusCode, header};

use super::reply::{Body, empty};
use crate::{
    auth::{Account, basic, ntlm},
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

fn refusal(server: &Server, challenge: Option<&[u8]>) -> Response<Body> {
    let mut response = empty(StatusCode::UNAUTHORIZED);
    let mut offer = |text: String| {
        if let Ok(value) = header::HeaderValue::from_str(&text) {
            response.headers_mut().append(header::WWW_AUTHENTICATE, value);
        }
    };
    match challenge {
        Some(challenge) => offer(format!("NTLM {}", STANDARD.encode(challenge))),
        None => {
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
fn by_ntlm(server: &Server, connection: &Connection, token: &str) -> Result<Account, Response<Body>> {
    let mut state = connection.ntlm.lock().unwrap_or_else(PoisonError::into_inner);
    let octets = STANDARD.decode(token.trim()).unwrap_or_default();
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
    Err(refusal(server, Some(&challenge)))
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
        return by_ntlm(server, connection, value);
    }
    let known = match scheme {
        basic if server.schemes.basic && basic.eq_ignore_ascii_case("basic") => basic::check(&server.accounts, value),
        _ => None,
    };
    known.cloned().ok_or_else(|| refusal(server, None))
}
