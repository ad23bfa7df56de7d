//! Which hosts a mail server may have, as far as their text tells. What a name resolves to is judged by the same rules
//! when it is connected to.

use std::net::IpAddr;

use lockstep_connector::AddressRules;

/// What is wrong with a host, as a remedy; `None` when it may be used.
pub(crate) fn refuse(host: &str) -> Option<&'static str> {
    const FORM: &str = "a host name or IP address, without scheme, port, path or spaces, at most 253 characters";
    const RANGE: &str = "an address outside the link-local, metadata, unspecified, broadcast and multicast ranges";
    if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return AddressRules::default().refuse(address).map(|_| RANGE);
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.is_empty() || name.len() > 253 || !name.split('.').all(label_fits) {
        return Some(FORM);
    }
    // Resolvers read "2852039166", "0xa9fea9fe" and "169.254.43518" as addresses; no host name ends in a number.
    let last = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let numeric = last.bytes().all(|b| b.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    if numeric {
        return Some(FORM);
    }
    matches!(name.to_ascii_lowercase().as_str(), "metadata.google.internal" | "metadata.goog" | "instance-data")
        .then_some(RANGE)
}

/// What is wrong with the host of a webhook receiver, as far as its text tells that no connection would be made to it.
pub(crate) fn refuse_receiver(host: &str, rules: AddressRules) -> Option<&'static str> {
    const PUBLIC: &str = "a host with a public address: this installation sends no webhooks to private ones and to itself \
                          (network.private_webhooks, for the web role and the async-worker)";
    if let Some(remedy) = refuse(host) {
        return Some(remedy);
    }
    if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return rules.refuse(address).map(|_| PUBLIC);
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let is_this_machine = name == "localhost" || name.ends_with(".localhost");
    (is_this_machine && !rules.allow_private).then_some(PUBLIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_mail_servers_pass() {
        for host in ["mail.example.com", "localhost", "127.0.0.1", "10.1.2.3", "::1", "mail.example.com.", "mx_1.test"]
        {
            assert_eq!(refuse(host), None, "{host}");
        }
    }

    /// What a name resolves to is judged when it is connected to; what the text tells is told at once.
    #[test]
    fn private_receivers_are_refused_where_they_would_not_be_reached() {
        let closed = AddressRules { allow_private: false };
        for host in ["127.0.0.1", "10.1.2.3", "192.168.0.9", "[::1]", "::ffff:10.0.0.1", "localhost", "A.LocalHost."] {
            assert!(refuse_receiver(host, closed).is_some_and(|remedy| remedy.contains("private_webhooks")), "{host}");
            assert_eq!(refuse_receiver(host, AddressRules { allow_private: true }), None, "{host}");
        }
        for host in ["hooks.example.com", "93.184.216.34", "localhost.example.com", "[2606:4700::1111]"] {
            assert_eq!(refuse_receiver(host, closed), None, "{host}");
        }
        assert!(refuse_receiver("169.254.169.254", AddressRules { allow_private: true }).is_some());
    }

    #[test]
    fn what_is_no_host_or_leads_inside_is_refused() {
        for host in [
            "",
            " ",
            "https://mail.test",
            "mail.test:995",
            "mail.test/x",
            "a b",
            "-a.test",
            "a..b",
            "user@mail.test",
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "fe80::1",
            "[fe80::1]",
            "::",
            "ff02::1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "fd00:ec2::254",
            "2852039166",
            "0xa9fea9fe",
            "169.254.43518",
            "metadata.google.internal",
            "METADATA.google.internal.",
            "mail.test\r\nX: y",
            "münchen.example",
        ] {
            assert!(refuse(host).is_some(), "{host}");
        }
    }
}
