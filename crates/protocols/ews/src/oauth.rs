//! Bearer tokens for a service of its own (RFC 6749 §4.4, client credentials). What is fetched here goes into the
//! credentials of a target; keeping it until it runs out is the caller's.

use std::{fmt, time::Duration};

use http_body_util::BodyExt;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use lockstep_connector::{AddressRules, Deadline, TlsTrust};
use lockstep_model::fault::{Fault, FaultClass, FaultScope};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use serde_json::Value;
use url::{Url, form_urlencoded};

use crate::{
    autodiscover::place,
    fault::{self, MAX_BACK_OFF},
    http::{Link, Outgoing},
};

/// Largest answer.
const MAX_ANSWER: usize = 64 * 1024;
/// How long a token is good for where the server does not say.
const LIFETIME: Duration = Duration::from_secs(3_600);
/// The longest life that is believed.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 3_600);

/// Who asks for a token, and where.
#[derive(Clone, Copy)]
pub struct Service<'s> {
    /// Which certificates are trusted.
    pub trust: &'s TlsTrust,
    /// Which addresses may be connected to.
    pub addresses: AddressRules,
    /// The token endpoint; `https` only.
    pub token_url: &'s Url,
    /// The application.
    pub client_id: &'s str,
    /// Its secret.
    pub client_secret: &'s SecretString,
    /// What for, such as `https://outlook.office365.com/.default`.
    pub scope: &'s str,
    /// Longest wait for the answer.
    pub patience: Duration,
}

/// A token and how long it is good for, counted from when it was asked for.
#[derive(Clone)]
pub struct Token {
    /// The token.
    pub secret: SecretString,
    /// Its life.
    pub lifetime: Duration,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

impl Service<'_> {
    /// Asks for a token.
    ///
    /// # Errors
    /// Class `auth` when the endpoint refuses the application; what may heal otherwise.
    pub async fn token(&self, deadline: &Deadline) -> Result<Token, Fault> {
        let Some(place) = place(self.token_url) else {
            let message = "the token endpoint is not protected";
            return Err(Fault::new(FaultScope::Profile, FaultClass::Refused, "SecureConnectionFailed", message));
        };
        let mut link = Link::open(self.trust, self.addresses, &place, self.patience, deadline).await?;
        let form = Zeroizing::new(
            form_urlencoded::Serializer::new(String::new())
                .append_pair("grant_type", "client_credentials")
                .append_pair("client_id", self.client_id)
                .append_pair("client_secret", self.client_secret.expose_secret())
                .append_pair("scope", self.scope)
                .finish(),
        );
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
            (ACCEPT, HeaderValue::from_static("application/json")),
        ];
        let sent = link.send(&place, &headers, Outgoing::whole(form.as_bytes().to_vec()))?;
        let response = deadline.run(self.patience, sent).await.map_err(fault::before_first_answer)?;
        let response = response.map_err(|error| fault::before_first_answer(fault::lost(&error)))?;
        let (head, mut body) = response.into_parts();
        let mut answer = Zeroizing::new(Vec::new());
        while let Some(frame) = deadline.run(self.patience, body.frame()).await? {
            let frame = frame.map_err(|error| fault::lost(&error))?;
            if let Ok(bytes) = frame.into_data() {
                if answer.len() + bytes.len() > MAX_ANSWER {
                    return Err(fault::violation("the token endpoint answers without end"));
                }
                answer.extend_from_slice(&bytes);
            }
        }
        link.close().await;
        let wait = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        read(head.status.as_u16(), wait.map(Duration::from_secs), &answer)
    }
}

/// What an answer of the token endpoint is.
fn read(status: u16, wait: Option<Duration>, answer: &[u8]) -> Result<Token, Fault> {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
    if status == 200 {
        let token = text("access_token");
        if token.is_empty() || !text("token_type").eq_ignore_ascii_case("bearer") {
            return Err(fault::violation("the token endpoint gives no bearer token"));
        }
        // Some write the number as text.
        let life = answer.get("expires_in");
        let life = life.and_then(|life| life.as_u64().or_else(|| life.as_str()?.parse().ok()));
        let lifetime = life.map_or(LIFETIME, Duration::from_secs).min(MAX_LIFETIME);
        return Ok(Token { secret: token.to_owned().into(), lifetime });
    }
    let said = format!(
        "the token endpoint answered with HTTP status {status}: {} {}",
        text("error"),
        text("error_description")
    );
    let after = |fault: Fault| match wait {
        Some(wait) => fault.after(wait.min(MAX_BACK_OFF)),
        None => fault,
    };
    Err(match (status, text("error")) {
        (_, "temporarily_unavailable" | "server_error") | (408 | 500..=599, _) => {
            after(fault::mailbox(FaultClass::Transient, "AuthenticationUnavailable", said))
        }
        (429, _) => after(fault::mailbox(FaultClass::Throttled, "ServiceUnavailable", said)),
        (400..=499, _) => fault::mailbox(FaultClass::Auth, "Unauthorized", said),
        _ => fault::violation(said),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn answers_are_tokens_or_faults() {
        let good = read(200, None, br#"{"token_type":"Bearer","expires_in":"3599","access_token":"secret"}"#).unwrap();
        assert_eq!((good.secret.expose_secret(), good.lifetime), ("secret", Duration::from_secs(3_599)));
        assert!(!format!("{good:?}").contains("secret"));
        let endless = br#"{"token_type":"bearer","expires_in":99999999,"access_token":"x"}"#;
        assert_eq!(read(200, None, endless).unwrap().lifetime, MAX_LIFETIME);
        let wait = Some(Duration::from_secs(5));
        let cases: [(u16, &[u8], FaultClass); 7] = [
            (200, b"{}", FaultClass::Transient),
            (200, b"<html>", FaultClass::Transient),
            (401, br#"{"error":"invalid_client","error_description":"AADSTS7000215"}"#, FaultClass::Auth),
            (400, br#"{"error":"invalid_scope"}"#, FaultClass::Auth),
            (400, br#"{"error":"temporarily_unavailable"}"#, FaultClass::Transient),
            (429, b"", FaultClass::Throttled),
            (503, b"", FaultClass::Transient),
        ];
        for (status, answer, class) in cases {
            let fault = read(status, wait, answer).unwrap_err();
            assert_eq!(fault.class, class, "{status} {fault}");
        }
        assert_eq!(read(429, wait, b"").unwrap_err().retry_after, wait);
    }
}
