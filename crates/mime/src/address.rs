//! Address lists of header fields, groups flattened, addresses as written.

use mail_parser::parsers::MessageStream;
use mail_parser::{Addr, Address as ParsedAddress, HeaderValue};

use crate::encoded_word;
use crate::text;

/// Bytes kept of a display name.
pub const MAX_NAME_BYTES: usize = 1_000;
/// Longest address taken; longer ones are left out, since a shortened address is another one.
pub const MAX_ADDRESS_BYTES: usize = 1_000;

/// One mailbox of a header field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// The display name, decoded.
    pub name: Option<String>,
    /// The address as written, never empty. It need not be valid: `root` is met in the field.
    pub address: String,
}

/// Reads an unfolded value. At most `max` addresses are kept; the flag tells whether there were
/// more. Entries without any address are left out.
#[must_use]
pub fn parse_list(value: &str, default_charset: Option<&str>, max: usize) -> (Vec<Address>, bool) {
    let mut value = encoded_word::recode(value, default_charset);
    // The parser drops a field that no line end completes.
    value.push('\n');
    let parsed = match MessageStream::new(value.as_bytes()).parse_address() {
        HeaderValue::Address(parsed) => parsed,
        _ => return (Vec::new(), false),
    };
    let mut addresses: Vec<Address> = match &parsed {
        ParsedAddress::List(list) => list.iter().filter_map(convert).take(max + 1).collect(),
        ParsedAddress::Group(groups) => {
            groups.iter().flat_map(|group| &group.addresses).filter_map(convert).take(max + 1).collect()
        }
    };
    let more = addresses.len() > max;
    addresses.truncate(max);
    (addresses, more)
}

fn convert(parsed: &Addr<'_>) -> Option<Address> {
    let name = parsed.name.as_deref().map(|name| text::clean_line(name, MAX_NAME_BYTES));
    let name = name.filter(|name| !name.is_empty());
    match parsed.address.as_deref().map(clean_address).filter(|address| !address.is_empty()) {
        Some(address) if address.len() > MAX_ADDRESS_BYTES => None,
        Some(address) => Some(Address { name, address }),
        // A lone word is a local account; several words are only a name.
        None => name.filter(|word| !word.contains(char::is_whitespace)).map(|address| Address { name: None, address }),
    }
}

fn clean_address(address: &str) -> String {
    address.trim().chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(value: &str) -> Vec<(String, String)> {
        parse_list(value, None, 100).0.into_iter().map(|a| (a.name.unwrap_or_default(), a.address)).collect()
    }

    #[test]
    fn lists_in_the_wild() {
        for (value, expected) in [
            ("a@x.test", vec![("", "a@x.test")]),
            ("\"Doe, Jane\" <j@x.test>, b@y.test", vec![("Doe, Jane", "j@x.test"), ("", "b@y.test")]),
            ("=?utf-8?Q?J=C3?= =?utf-8?Q?=A9?= <j@x.test>", vec![("Jé", "j@x.test")]),
            ("=?utf-8?B?RG9lLCBKw7Y=?= <j@x.test>", vec![("Doe, Jö", "j@x.test")]),
            ("Friends: a@x.test, B <b@x.test>;", vec![("", "a@x.test"), ("B", "b@x.test")]),
            ("undisclosed-recipients:;", vec![]),
            ("Jürgen <j@x.test>", vec![("Jürgen", "j@x.test")]),
            ("root", vec![("", "root")]),
            ("Only A Name", vec![]),
            ("<>", vec![]),
        ] {
            let expected: Vec<_> = expected.iter().map(|(n, a)| ((*n).to_owned(), (*a).to_owned())).collect();
            assert_eq!(pairs(value), expected, "{value}");
        }
    }

    #[test]
    fn lists_are_bounded() {
        let value = "a@x.test, ".repeat(200);
        let (list, more) = parse_list(&value, None, 50);
        assert_eq!((list.len(), more), (50, true));
    }
}
