//! Email addresses: as written, and the key under which two spellings are the same address.

use std::fmt;

use crate::text;

/// Longest address that is looked up or stored, in bytes (RFC 5321 §4.5.3.1 allows 64 + 1 + 255).
pub const MAX_ADDRESS_BYTES: usize = 320;

/// The normalised form of an address: trimmed, without angle brackets, lower case. Two addresses with the same key
/// belong to the same mailbox for every purpose of Lockstep. (RFC 5321 leaves the local part to the server to judge;
/// every server in use ignores its case.)
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressKey(String);

impl AddressKey {
    /// The key of an address as written, or `None` when it cannot be one: no `@`, an empty side, white space or
    /// control characters inside, or longer than [`MAX_ADDRESS_BYTES`].
    pub fn of(written: &str) -> Option<Self> {
        let trimmed = written.trim().trim_start_matches('<').trim_end_matches('>').trim();
        let (local, domain) = trimmed.rsplit_once('@')?;
        let plausible = !local.is_empty()
            && !domain.is_empty()
            && trimmed.len() <= MAX_ADDRESS_BYTES
            && !trimmed.chars().any(|c| c.is_whitespace() || text::is_odd(c) || matches!(c, '<' | '>' | ',' | ';'));
        plausible.then(|| Self(trimmed.to_lowercase()))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part after the last `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl fmt::Display for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.0)
    }
}

/// An address as it stood in a header: display name and address, both sanitised.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Address {
    /// Display name, empty when there was none.
    pub name: String,
    /// The address as written, perhaps not a valid one.
    pub address: String,
}

impl Address {
    /// An address from outside; both parts pass the sanitising constructor.
    pub fn from_outside(name: &str, address: &str) -> Self {
        Self { name: text::line(name, 255), address: text::line(address, MAX_ADDRESS_BYTES) }
    }

    /// The key under which the address is looked up.
    pub fn key(&self) -> Option<AddressKey> {
        AddressKey::of(&self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for (written, key) in [
            ("Ann@Example.Test", Some("ann@example.test")),
            (" <ann@example.test> ", Some("ann@example.test")),
            ("\"a@b\"@example.test", Some("\"a@b\"@example.test")),
            ("ann", None),
            ("@example.test", None),
            ("ann@", None),
            ("a b@example.test", None),
            ("a@b,c@d", None),
        ] {
            assert_eq!(AddressKey::of(written).as_ref().map(AddressKey::as_str), key, "{written:?}");
        }
        assert_eq!(AddressKey::of(&format!("{}@example.test", "x".repeat(400))), None);
    }
}
