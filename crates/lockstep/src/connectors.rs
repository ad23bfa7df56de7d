//! The list of protocols: the one line a new protocol adds.

use std::sync::Arc;

use lockstep_connector::{Connector, Registry, TlsTrust};
use lockstep_pop3::Pop3;
use lockstep_smtp::Smtp;

/// Every protocol this installation has. `ehlo_name` is how it introduces itself to SMTP servers.
pub fn registry(trust: &TlsTrust, ehlo_name: &str) -> Registry {
    let all: [Arc<dyn Connector>; 2] =
        [Arc::new(Pop3::new(trust.clone())), Arc::new(Smtp::new(trust.clone(), ehlo_name.to_owned()))];
    Registry::of(all)
}
