//! Three handlers and one airlock: mailboxes, outgoing email and operations.
//!
//! Knows the port of mail servers and how a run is made safe: permit and lease before the connection, one fenced
//! transaction a page, results recorded before they are acknowledged. Does not know any protocol by name, nor the
//! broker, the cache or the database behind their crates.

mod act;
pub mod airlock;
pub mod config;
pub mod mailbox;
pub mod metrics;
pub mod operations;
pub mod outgoing;
mod slots;
pub mod webhooks;

use std::sync::Arc;

use lockstep_connector::{Credentials, Registry, Search, Target};
use lockstep_coord::Coord;
use lockstep_model::{
    clock::TimeScale,
    fault::{Fault, FaultClass, FaultScope},
    id::OrganisationId,
    profile::Endpoint,
};
use lockstep_queue::Publisher;
use lockstep_store::{Store, lanes::Access};

pub use config::Config;
pub use metrics::Metrics;

/// What every handler uses.
#[derive(Clone)]
pub struct Context {
    /// The database.
    pub store: Store,
    /// The broker.
    pub publisher: Arc<dyn Publisher>,
    /// Permits and leases.
    pub coord: Arc<dyn Coord>,
    /// The protocols there are.
    pub connectors: Registry,
    /// The organisation whose database it is.
    pub organisation: OrganisationId,
    /// Settings of this role.
    pub config: Config,
    /// The host this process runs on, as people are told it.
    pub host: Arc<str>,
    /// How policy durations pass.
    pub scale: TimeScale,
    /// Connections to receivers of webhooks.
    pub webhooks: webhooks::Webhooks,
    /// Figures.
    pub metrics: Metrics,
}

/// Where to connect and as whom; the secret is opened here, after permit and lease are held.
///
/// `mailbox` is the address of the mailbox that is meant; it counts where the profile's account acts for its mailboxes.
pub(crate) fn target(
    context: &Context,
    access: &Access,
    endpoint: &Endpoint,
    mailbox: Option<&str>,
) -> Result<Target, Fault> {
    let opened = access.credentials(&context.store).map_err(|error| {
        let message = format!("the stored password cannot be opened: {error}");
        // It is this process that lacks a key: another one may have it, or this one after its restart.
        Fault::new(FaultScope::Mailbox, FaultClass::Transient, "CredentialsUnreadable", message).local()
    })?;
    let (login, secret) = opened.ok_or_else(|| {
        let message = "no user name and password are stored where the profile says they come from";
        Fault::new(FaultScope::Mailbox, FaultClass::Refused, "CredentialsMissing", message).local()
    })?;
    Ok(Target {
        endpoint: endpoint.clone(),
        request_timeout: access.profile.request_timeout,
        search: access.profile.discovery.as_ref().map(|discovery| Search {
            // Without a mailbox it is the account's own that is meant, whose name is its address where it has one.
            address: mailbox.unwrap_or(&login).to_owned(),
            start: discovery.start.clone(),
        }),
        application: access.profile.application.clone(),
        mailbox: mailbox.filter(|_| access.profile.credentials.is_shared()).map(str::to_owned),
        credentials: Credentials::new(login, secret),
    })
}
