//! Which addresses a mail server may have. A host's text says little: what its name resolves to is judged here too, and
//! the connection goes to the very address that was judged.
//!
//! Refused in every case are addresses that lead into the deployment's own plumbing: link-local ones and the others
//! under which clouds keep their metadata, unspecified, broadcast, multicast and reserved ones. Private networks and
//! the machine itself are the administrator's choice.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which addresses may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRules {
    /// Private networks, shared ones (RFC 6598) and the machine itself may be.
    pub allow_private: bool,
}

impl Default for AddressRules {
    /// Private addresses may be: many installations have their mail servers beside them.
    fn default() -> Self {
        Self { allow_private: true }
    }
}

impl AddressRules {
    /// Why this address may not be connected to; `None` when it may.
    pub fn refuse(self, address: IpAddr) -> Option<&'static str> {
        let address = unwrapped(address);
        if is_inner(address) {
            return Some("a link-local, metadata, unspecified, broadcast, multicast or reserved address");
        }
        (!self.allow_private && is_private(address)).then_some("a private or loopback address")
    }
}

/// Where clouds answer their machines, outside the link-local range.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

fn is_inner(address: IpAddr) -> bool {
    METADATA.contains(&address)
        || match address {
            IpAddr::V4(v4) => {
                let first = v4.octets()[0];
                first == 0 || first >= 240 || v4.is_link_local() || v4.is_multicast()
            }
            IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local(),
        }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_loopback() || v4.is_private() || (a == 100 && (64..128).contains(&b))
        }
        // fec0::/10 was site-local once, and some networks still have it.
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.segments()[0] & 0xffc0 == 0xfec0,
    }
}

/// The IPv4 address inside an IPv6 one that only carries it: mapped (`::ffff:a.b.c.d`), compatible (`::a.b.c.d`),
/// translated (`64:ff9b::a.b.c.d`) or tunnelled (6to4, Teredo).
fn unwrapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0x2002, high, low, ..] => from(high, low),
        [0x2001, 0, .., high, low] => from(!high, !low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0, 0xffff, high, low] => from(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => from(high, low),
        _ => address,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn judged(addresses: &[&str]) -> Vec<(bool, bool)> {
        let open = AddressRules::default();
        let closed = AddressRules { allow_private: false };
        let judge = |address: &&str| {
            let address = address.parse().unwrap();
            (open.refuse(address).is_none(), closed.refuse(address).is_none())
        };
        addresses.iter().map(judge).collect()
    }

    #[test]
    fn public_addresses_may_always_be() {
        let public = ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2a00:1450::1", "64:ff9b::808:808", "::ffff:8.8.8.8"];
        assert_eq!(judged(&public), [(true, true); 6]);
    }

    #[test]
    fn private_addresses_may_be_where_the_administrator_says_so() {
        let private = [
            "127.0.0.1",
            "127.8.9.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fd12::1",
            "fec0::1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:a00:1::",
            "::10.0.0.1",
        ];
        assert_eq!(judged(&private), [(true, false); 14]);
    }

    #[test]
    fn plumbing_may_never_be() {
        let inner = [
            "169.254.169.254",
            "169.254.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fe80::1",
            "febf::1",
            "::",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "::169.254.169.254",
            // Teredo hides the address by turning its bits over.
            "2001:0:4136:e378:8000:63bf:5601:5601",
        ];
        assert_eq!(judged(&inner), [(false, false); 20]);
    }
}
