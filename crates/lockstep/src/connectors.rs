//! The list of protocols: the one line a new protocol adds.

use std::sync::Arc;

use lockstep_connector::{AddressRules, Connector, Registry, TlsTrust};
use lockstep_ews::Ews;
use lockstep_pop3::Pop3;
use lockstep_smtp::Smtp;

use crate::config::Network;

/// Every protocol this installation has.
pub fn registry(trust: &TlsTrust, network: &Network) -> Registry {
    let addresses = AddressRules { allow_private: !network.public_mail_servers_only };
    let ehlo_name = network.ehlo_name.as_str().to_owned();
    let all: [Arc<dyn Connector>; 3] = [
        Arc::new(Ews::new(trust.clone()).reaching(addresses)),
        Arc::new(Pop3::new(trust.clone()).reaching(addresses)),
        Arc::new(Smtp::new(trust.clone(), ehlo_name).reaching(addresses)),
    ];
    Registry::of(all)
}
