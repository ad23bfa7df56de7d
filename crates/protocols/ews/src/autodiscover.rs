//! Finding the server of a mailbox (MS-OXDSCLI, MS-OXWSADISC): the older dialect in plain XML and the newer in SOAP.
//! Only protected connections are made, only to hosts that may be asked, and nobody is followed round in a circle.

mod dialect;

use std::{collections::VecDeque, time::Duration};

use lockstep_connector::{AddressRules, Credentials, Deadline, TlsTrust};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    profile::{AuthMethod, TlsMode},
    text,
};
use url::Url;

use crate::{
    client::{Client, Options},
    fault::{self, REDIRECT_LOOP},
    http::Place,
    tokens::Issuer,
};
use dialect::Said;

/// Most places one search is sent on to.
pub const MAX_REDIRECTS: usize = 10;
/// Most places that are asked at all.
const MAX_ASKED: usize = 30;

/// Where a mailbox is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The endpoint.
    pub place: Place,
    /// The mailbox's primary address, where the server told it, or the one that was asked for.
    pub address: String,
}

/// Who asks, and whom they may ask.
#[derive(Clone, Copy)]
pub struct Search<'s> {
    /// Which certificates are trusted.
    pub trust: &'s TlsTrust,
    /// Which addresses may be connected to.
    pub addresses: AddressRules,
    /// Which hosts may be told the credentials; asked for each, before it is connected to.
    pub may_ask: &'s (dyn Fn(&str) -> bool + Sync),
    /// The account.
    pub credentials: &'s Credentials,
    /// How it logs in.
    pub auth: AuthMethod,
    /// Who gives another token when the one that the credentials hold is refused.
    pub issuer: Option<&'s Issuer>,
    /// Longest wait for one answer.
    pub patience: Duration,
}

/// Where a host is asked, in both dialects.
const PATHS: [&str; 2] = ["autodiscover/autodiscover.svc", "autodiscover/autodiscover.xml"];

fn at_hosts(hosts: &[String]) -> Vec<Url> {
    let urls = hosts.iter().flat_map(|host| PATHS.map(|path| format!("https://{host}/{path}")));
    urls.filter_map(|url| Url::parse(&url).ok()).collect()
}

/// Where to ask first, by the domain of an address.
pub fn candidates(address: &str) -> Vec<Url> {
    let Some((_, domain)) = address.rsplit_once('@') else { return Vec::new() };
    at_hosts(&[format!("autodiscover.{domain}"), domain.to_owned()])
}

/// Where to ask first where somebody said so: an `https` URL as it stands, and a host in both dialects.
pub fn beginning(start: &str) -> Vec<Url> {
    match Url::parse(start).ok().filter(|_| start.contains("://")) {
        None => at_hosts(&[start.to_owned()]),
        Some(url) if url.path().len() > 1 => vec![url],
        Some(url) => PATHS.iter().filter_map(|path| url.join(path).ok()).collect(),
    }
}

/// The place a URL names; `None` for one that is not protected or has no host.
pub fn place(url: &Url) -> Option<Place> {
    if url.scheme() != "https" || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    Some(Place { host, port: url.port_or_known_default()?, tls: TlsMode::Implicit, path })
}

fn refused(scope: FaultScope, code: &str, message: impl AsRef<str>) -> Fault {
    Fault::new(scope, FaultClass::Refused, code, message)
}

impl Search<'_> {
    /// Finds the server of an address, beginning at these places.
    ///
    /// # Errors
    /// The last thing that was heard where no place knew the mailbox; a profile fault for redirects without end and to
    /// places that may not be asked.
    pub async fn find(&self, address: &str, places: Vec<Url>, deadline: &Deadline) -> Result<Found, Fault> {
        let mut address = address.to_owned();
        let mut queue: VecDeque<Url> = places.into();
        let (mut redirects, mut asked) = (0, 0);
        let mut seen: Vec<(Url, String)> = Vec::new();
        let message = "there is no place to ask where the mailbox is";
        let mut last = refused(FaultScope::Mailbox, "ServerPermanentFailure", message);
        while let Some(url) = queue.pop_front() {
            asked += 1;
            if asked > MAX_ASKED {
                break;
            }
            if seen.contains(&(url.clone(), address.clone())) {
                let shown = text::line(url.as_str(), 200);
                let message = format!("Autodiscover sends its readers round in a circle: {shown} comes up again");
                return Err(refused(FaultScope::Profile, REDIRECT_LOOP, message));
            }
            seen.push((url.clone(), address.clone()));
            let said = match self.ask(&url, &address, deadline).await {
                Ok(said) => said,
                Err(fault) if goes_on(&fault) => {
                    last = fault;
                    continue;
                }
                Err(fault) => return Err(fault),
            };
            if !matches!(said, Said::Settings { .. } | Said::Unknown(_)) {
                redirects += 1;
                if redirects > MAX_REDIRECTS {
                    let message = format!("Autodiscover sends its readers on more than {MAX_REDIRECTS} times");
                    return Err(refused(FaultScope::Profile, REDIRECT_LOOP, message));
                }
            }
            match said {
                Said::Settings { ews, address: primary } => {
                    let found = Url::parse(&ews).ok().as_ref().and_then(place);
                    let Some(place) = found else {
                        let message = format!("Autodiscover names an endpoint that is not protected: {ews}");
                        return Err(refused(FaultScope::Profile, "SecureConnectionFailed", message));
                    };
                    return Ok(Found { place, address: primary.unwrap_or(address) });
                }
                Said::GoTo(target) => {
                    let target = url.join(&target).map_err(|_| {
                        refused(FaultScope::Profile, "ProtocolViolation", "Autodiscover sends its reader nowhere")
                    })?;
                    queue.push_front(target);
                }
                Said::AskFor(other) => {
                    queue = candidates(&other).into();
                    address = other;
                }
                Said::Unknown(words) => {
                    last = refused(FaultScope::Mailbox, "ServerPermanentFailure", words);
                }
            }
        }
        Err(last)
    }

    async fn ask(&self, url: &Url, address: &str, deadline: &Deadline) -> Result<Said, Fault> {
        let shown = text::line(url.as_str(), 200);
        let Some(place) = place(url) else {
            let message = format!("Autodiscover leads to a place that is not protected: {shown}");
            return Err(refused(FaultScope::Profile, "SecureConnectionFailed", message));
        };
        if !(self.may_ask)(&place.host) {
            let message = format!("{} may not be asked", place.host);
            return Err(refused(FaultScope::Profile, "AddressNotAllowed", message));
        }
        let soap = place.path.to_ascii_lowercase().ends_with(".svc");
        let options = Options {
            place,
            trust: self.trust.clone(),
            addresses: self.addresses,
            credentials: self.credentials.clone(),
            auth: self.auth,
            issuer: self.issuer.cloned(),
            as_whom: None,
            patience: self.patience,
        };
        let request = if soap { dialect::soap_request(url.as_str(), address) } else { dialect::plain_request(address) };
        let reply = Client::post(options, request, deadline).await?;
        if let Some(location) = reply.location() {
            return Ok(Said::GoTo(location.to_owned()));
        }
        let document = reply.document().await?;
        let said = if soap { dialect::read_soap(&document) } else { dialect::read_plain(&document) };
        said.ok_or_else(|| fault::violation(format!("{shown} does not answer as Autodiscover does")))
    }
}

/// Whether the next place may know better.
fn goes_on(fault: &Fault) -> bool {
    matches!(fault.class, FaultClass::Unreachable | FaultClass::Transient) && fault.code != "DeadlineExceeded"
        || ["ProtocolViolation", "ServerPermanentFailure", "MailboxNotFound", "AuthenticationMethodNotOffered"]
            .contains(&fault.code.as_str())
}
