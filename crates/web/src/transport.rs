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

    /// Whether passwords may come in a request with these properties. This machine and the trusted proxies are believed
    /// what they say of the client's connection; who is neither came over plain HTTP, as this listener speaks nothing else.
    pub(crate) fn protect(&self, extensions: &Extensions, headers: &HeaderMap) -> bool {
        let Some(Peer(peer)) = extensions.get::<Peer>().copied() else { return true };
        let peer = peer.to_canonical();
        let trusted = peer.is_loopback() || self.trusted_proxies.iter().any(|network| network.contains(&peer));
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
