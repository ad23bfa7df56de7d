//! The way to a mailbox: whose token, which endpoint. Where neither is fixed, both are asked for and kept for a while.

use std::{sync::Arc, time::Duration};

use lockstep_connector::{Deadline, Target};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    profile::{AuthMethod, Endpoint},
};

use crate::{
    Ews,
    autodiscover::{self, Search, beginning, candidates},
    client::{Client, Options},
    http::Place,
    kept::Kept,
    tokens::Issuer,
};

/// Most endpoints kept; one for each mailbox.
const MAX_PLACES: usize = 20_000;
/// How long an endpoint is believed, however well it answers: mailboxes are moved.
const PLACE_LIFE: Duration = Duration::from_secs(6 * 3_600);

/// Where the search began, whose server it was for, and as whom it was asked.
type Asked = (Option<String>, String, String);

/// Endpoints that were found.
pub(crate) struct Places(Kept<Asked, Place>);

impl Default for Places {
    fn default() -> Self {
        Self(Kept::new(MAX_PLACES, PLACE_LIFE))
    }
}

impl Ews {
    /// The issuer of a target's tokens, where an application signs in.
    pub(crate) fn issuer(&self, target: &Target) -> Result<Option<Issuer>, Fault> {
        let Some(application) = &target.application else { return Ok(None) };
        let (trust, patience) = (self.trust.clone(), target.request_timeout);
        let tokens = Arc::clone(&self.tokens);
        Issuer::of(tokens, trust, self.addresses, application, &target.credentials, patience).map(Some)
    }

    /// What a client needs to know, with a token where one is needed.
    async fn signed(&self, target: &Target, deadline: &Deadline) -> Result<Options, Fault> {
        let options = self.options(target);
        let Some(issuer) = self.issuer(target)? else { return Ok(options) };
        let credentials = issuer.credentials(deadline).await?;
        Ok(Options { credentials, auth: AuthMethod::XOAuth2, issuer: Some(issuer), ..options })
    }

    /// A client of the target's mailbox, wherever that is.
    pub(crate) async fn reach(&self, target: &Target, deadline: &Deadline) -> Result<Client, Fault> {
        let options = self.signed(target, deadline).await?;
        let Some(search) = &target.search else { return Client::open(options, deadline).await };
        let asked = asked(target, search);
        let Some(known) = self.places.0.get(&asked) else {
            let place = self.search(&asked, &options, deadline).await?;
            return Client::open(Options { place, ..options }, deadline).await;
        };
        let there = Options { place: known.clone(), ..options.clone() };
        match Client::open(there, deadline).await {
            Err(fault) if has_moved(&fault) => {
                self.places.0.forget(&asked);
                let place = self.search(&asked, &options, deadline).await?;
                if place == known {
                    return Err(fault);
                }
                Client::open(Options { place, ..options }, deadline).await
            }
            opened => opened,
        }
    }

    /// The endpoint of a target, asked for anew where it is not named.
    pub(crate) async fn found(&self, target: &Target, deadline: &Deadline) -> Result<Endpoint, Fault> {
        let Some(search) = &target.search else { return Ok(target.endpoint.clone()) };
        let options = self.signed(target, deadline).await?;
        let Place { host, port, tls, path } = self.search(&asked(target, search), &options, deadline).await?;
        Ok(Endpoint { host, port, tls, path: Some(path), ..target.endpoint.clone() })
    }

    async fn search(&self, asked: &Asked, options: &Options, deadline: &Deadline) -> Result<Place, Fault> {
        let (start, address, _) = asked;
        let places = start.as_deref().map_or_else(|| candidates(address), beginning);
        if places.is_empty() {
            let message = format!("{address} has no domain whose Autodiscover could be asked");
            return Err(Fault::new(FaultScope::Mailbox, FaultClass::Refused, "ServerPermanentFailure", message).local());
        }
        let search = Search {
            trust: &self.trust,
            addresses: self.addresses,
            // Whatever is connected to shows a valid certificate for its name, and has an address that is allowed.
            may_ask: &|_| true,
            credentials: &options.credentials,
            auth: options.auth,
            issuer: options.issuer.as_ref(),
            patience: options.patience,
        };
        let autodiscover::Found { place, .. } = search.find(address, places, deadline).await?;
        self.places.0.put(asked.clone(), place.clone());
        Ok(place)
    }
}

fn asked(target: &Target, search: &lockstep_connector::Search) -> Asked {
    (search.start.clone(), search.address.to_lowercase(), target.credentials.user.clone())
}

/// Whether the mailbox may be elsewhere by now: its endpoint does not answer, sends us on, or does not know it.
fn has_moved(fault: &Fault) -> bool {
    if fault.local || fault.class == FaultClass::Throttled {
        return false;
    }
    fault.scope == FaultScope::Profile || fault.code == "MailboxNotFound"
}
