//! Whether what a request carries was protected on its way. Passwords are taken only then (B16).

use std::net::IpAddr;

use axum::http::{Extensions, HeaderMap};
use ipnet::IpNet;

use crate::config::WebConfig;

/// Who sent a request: the other end of its connection. Requests without one never left the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// What counts as protected.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    trusted_proxies: Vec<IpNet>,
    allow_plain: bool,
}

impl Rules {
    pub(crate) fn of(config: &WebConfig) -> Self {
        Self { trusted_proxies: config.trusted_proxies.clone(), allow_plain: config.allow_credentials_over_plain_http }
    }

    /// The address a request came from, as far as somebody who is believed says it: of a proxy's list the last address
    /// that is no trusted proxy's. `None` where only proxies, this machine or this process are known.
    pub(crate) fn client(&self, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
        let peer = extensions.get::<Peer>()?.0.to_canonical();
        if !self.trusts(peer) {
            return Some(peer);
        }
        let said: Vec<&str> =
            headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
        let hops = said.iter().rev().flat_map(|list| list.rsplit(',')).map(|hop| hop.trim().parse::<IpAddr>());
        // Beyond a word that is no address nothing can be believed.
        let hops = hops.map_while(Result::ok).map(|hop| hop.to_canonical());
        hops.into_iter().find(|hop| !self.trusts(*hop))
    }

    fn trusts(&self, peer: IpAddr) -> bool {
        peer.is_loopback() || self.trusted_proxies.iter().any(|network| network.contains(&peer))
    }

    /// Whether passwords may come in a request with these properties. This machine and the trusted proxies are believed
    /// what they say of the client's connection; who is neither came over plain HTTP, as this listener speaks nothing else.
    pub(crate) fn protect(&self, extensions: &Extensions, headers: &HeaderMap) -> bool {
        let Some(Peer(peer)) = extensions.get::<Peer>().copied() else { return true };
        let peer = peer.to_canonical();
        let trusted = self.trusts(peer);
        let said = headers.get_all("x-forwarded-proto").iter().next_back().and_then(|value| value.to_str().ok());
        // Of a list, the last is what the nearest proxy has added.
        let said = said.and_then(|list| list.rsplit(',').next()).map(str::trim);
        match said {
            _ if self.allow_plain => true,
            Some(protocol) if trusted => protocol.eq_ignore_ascii_case("https"),
            _ => peer.is_loopback(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proxies that are trusted name the client; what others add is theirs to invent.
    #[test]
    fn who_the_client_is() {
        let config = WebConfig { trusted_proxies: vec!["10.1.0.0/16".parse().unwrap()], ..WebConfig::default() };
        let rules = Rules::of(&config);
        for (peer, said, client) in [
            ("203.0.113.7", &[][..], Some("203.0.113.7")),
            ("203.0.113.7", &["198.51.100.1"], Some("203.0.113.7")),
            ("127.0.0.1", &[], None),
            ("127.0.0.1", &["198.51.100.1"], Some("198.51.100.1")),
            ("10.1.0.1", &["192.0.2.1, 198.51.100.1, 10.1.0.2"], Some("198.51.100.1")),
            ("10.1.0.1", &["192.0.2.1", "198.51.100.1"], Some("198.51.100.1")),
            ("10.1.0.1", &["::ffff:198.51.100.1"], Some("198.51.100.1")),
            ("10.1.0.1", &["198.51.100.1, unknown"], None),
            ("10.1.0.1", &["10.1.0.2"], None),
        ] {
            let mut extensions = Extensions::new();
            extensions.insert(Peer(peer.parse().unwrap()));
            let mut headers = HeaderMap::new();
            for value in said {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            let client = client.map(|client| client.parse::<IpAddr>().unwrap());
            assert_eq!(rules.client(&extensions, &headers), client, "{peer} {said:?}");
        }
        assert_eq!(rules.client(&Extensions::new(), &HeaderMap::new()), None);
    }

    /// B16: who says what decides, and who is believed.
    #[test]
    fn b16_what_counts_as_protected() {
        let config = WebConfig { trusted_proxies: vec!["10.1.0.0/16".parse().unwrap()], ..WebConfig::default() };
        let rules = Rules::of(&config);
        for (peer, said, protected) in [
            ("127.0.0.1", &[][..], true),
            ("::1", &[], true),
            ("::ffff:127.0.0.1", &[], true),
            ("127.0.0.1", &["http"], false),
            ("127.0.0.1", &["https"], true),
            ("10.1.2.3", &["https"], true),
            ("10.1.2.3", &["HTTPS"], true),
            ("::ffff:10.1.2.3", &["https"], true),
            ("10.1.2.3", &["https, http"], false),
            ("10.1.2.3", &["https", "http"], false),
            ("10.1.2.3", &["http, https"], true),
            ("10.1.2.3", &[], false),
            ("10.2.2.3", &["https"], false),
            ("203.0.113.7", &["https"], false),
        ] {
            let mut extensions = Extensions::new();
            extensions.insert(Peer(peer.parse().unwrap()));
            let mut headers = HeaderMap::new();
            for value in said {
                headers.append("x-forwarded-proto", value.parse().unwrap());
            }
            assert_eq!(rules.protect(&extensions, &headers), protected, "{peer} {said:?}");
            let anything = Rules { allow_plain: true, ..rules.clone() };
            assert!(anything.protect(&extensions, &headers));
        }
    }
}
