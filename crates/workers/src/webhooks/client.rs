//! The connections to receivers: bounded in time and size, to allowed addresses only.

use std::{error::Error, fmt, net::SocketAddr, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use lockstep_connector::{AddressRules, TlsTrust};
use lockstep_engine::webhook;
use reqwest::{
    Client, Response, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER},
    redirect,
};
use secrecy::SecretString;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Event, signature::signature};

/// Bytes of an answer that are read; what comes after is not waited for.
const MAX_ANSWER: usize = 4096;
/// Characters of an answer or error that are kept.
const MAX_WORDS: usize = 300;
/// Addresses of a name that are tried.
const MAX_ADDRESSES: usize = 8;

/// Bounds of a delivery. Never scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest wait for an answer, connecting included.
    pub request: Duration,
    /// How long a run holds its endpoint without renewing; more than twice `request`.
    pub hold: Duration,
    /// Events one run sends at most.
    pub events: u32,
    /// Longest run; what is left is due again at once.
    pub run: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(15),
            hold: Duration::from_secs(60),
            events: 200,
            run: Duration::from_secs(60),
        }
    }
}

/// Sends events. One for a process.
#[derive(Clone)]
pub struct Webhooks {
    http: Client,
    addresses: AddressRules,
    slots: Arc<Semaphore>,
    pub(crate) limits: Limits,
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks")
            .field("addresses", &self.addresses)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// The status, when there was an answer.
    pub(crate) status: Option<u16>,
    /// How long the receiver asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
    /// What it said, or what was wrong.
    pub(crate) words: String,
}

impl Webhooks {
    /// Trusts these certificates, and delivers to at most `most` endpoints at a time.
    ///
    /// # Errors
    /// What the library says about the TLS configuration.
    pub fn new(trust: &TlsTrust, addresses: AddressRules, limits: Limits, most: u16) -> Result<Self, String> {
        let http = Client::builder()
            .tls_backend_preconfigured(trust.client_config())
            .dns_resolver(Arc::new(Allowed(addresses)))
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .http1_only()
            .timeout(limits.request)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("Lockstep/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| words(&error))?;
        Ok(Self { http, addresses, slots: Arc::new(Semaphore::new(usize::from(most.max(1)))), limits })
    }

    /// Leave to deliver, or `None` while enough others do: a worker has other things to do as well.
    pub(crate) fn slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// Sends an event once.
    pub(crate) async fn send(&self, url: &str, event: &Event, secrets: &[SecretString], now: DateTime<Utc>) -> Sent {
        let failed = |words: String| Sent { status: None, retry_after: None, words };
        let Some(signature) = signature(secrets, &event.id, now, &event.body) else {
            return failed("the stored secret cannot be used: rotate it".to_owned());
        };
        let url = match Url::parse(url) {
            Ok(url) => url,
            Err(error) => return failed(format!("the stored URL cannot be used: {error}")),
        };
        // The resolver is not asked for what is an address already.
        let literal = url.host_str().and_then(|host| host.trim_matches(['[', ']']).parse().ok());
        if let Some(refused) = literal.and_then(|address| self.addresses.refuse(address)) {
            return failed(format!("the address is not connected to: it is {refused}"));
        }
        let request = self
            .http
            .post(url)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header("webhook-id", &event.id)
            .header("webhook-timestamp", now.timestamp())
            .header("webhook-signature", signature)
            .body(event.body.clone());
        match request.send().await {
            Ok(response) => answer(response, now).await,
            Err(error) => failed(words(&error.without_url())),
        }
    }
}

async fn answer(response: Response, now: DateTime<Utc>) -> Sent {
    let status = response.status();
    let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = asked.and_then(|text| webhook::retry_after(text, now));
    let said = beginning(response).await;
    let words = if said.is_empty() { status.to_string() } else { format!("{status}: {said}") };
    Sent { status: Some(status.as_u16()), retry_after, words: clip(&words) }
}

/// The first bytes of the body. That it breaks off changes nothing: the status has been said.
async fn beginning(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < MAX_ANSWER {
        let Ok(Some(chunk)) = response.chunk().await else { break };
        bytes.extend_from_slice(&chunk[..chunk.len().min(MAX_ANSWER - bytes.len())]);
    }
    clip(&String::from_utf8_lossy(&bytes))
}

/// One line that can be stored and shown.
fn clip(text: &str) -> String {
    let shown = text.split_whitespace().flat_map(|word| [" ", word]).skip(1).flat_map(str::chars);
    shown.filter(|c| !c.is_control()).take(MAX_WORDS).collect()
}

/// An error with its causes; the library names only the outermost.
fn words(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    clip(&text)
}

/// Resolves names to addresses that may be connected to.
struct Allowed(AddressRules);

impl Resolve for Allowed {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let refused = found.iter().find_map(|address| rules.refuse(address.ip()));
            let allowed: Vec<_> =
                found.into_iter().filter(|a| rules.refuse(a.ip()).is_none()).take(MAX_ADDRESSES).collect();
            match refused {
                Some(why) if allowed.is_empty() => Err(format!("the address is not connected to: it is {why}").into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_one_bounded_line_without_control_characters() {
        assert_eq!(clip(" a\r\n\tb \u{1b}[31mc\0 "), "a b [31mc");
        assert_eq!(clip(&"é".repeat(1000)).chars().count(), MAX_WORDS);
        assert_eq!(clip(""), "");
    }

    #[test]
    fn a_client_shows_nothing_of_what_it_sends() {
        let trust = TlsTrust::load(None).unwrap();
        let webhooks = Webhooks::new(&trust, AddressRules { allow_private: false }, Limits::default(), 4).unwrap();
        assert!(format!("{webhooks:?}").contains("allow_private: false"));
        let most: Vec<_> = std::iter::from_fn(|| webhooks.slot()).collect();
        assert_eq!(most.len(), 4);
    }
}
