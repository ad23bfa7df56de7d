//! Commands that carry something from outside. What could end a command or begin another is refused here.

use std::fmt;

use lockstep_model::address::MAX_ADDRESS_BYTES;

use crate::codec::ehlo::Extensions;

/// Longest EHLO name, in bytes (RFC 5321 §4.5.3.1.2).
const MAX_EHLO_NAME: usize = 255;

/// An address that may stand between the angle brackets of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path<'a>(&'a str);

/// Why an address cannot stand in a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPath;

impl fmt::Display for InvalidPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the address must be local@domain, without white space, control characters or angle brackets, and at \
             most 320 bytes long",
        )
    }
}

impl std::error::Error for InvalidPath {}

impl<'a> Path<'a> {
    /// A forward path.
    ///
    /// # Errors
    /// When the text is no address, or could be read as more than one.
    pub fn forward(address: &'a str) -> Result<Self, InvalidPath> {
        let (local, domain) = address.rsplit_once('@').ok_or(InvalidPath)?;
        let unsafe_char = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>');
        let valid = !local.is_empty()
            && !domain.is_empty()
            && address.len() <= MAX_ADDRESS_BYTES
            && !address.chars().any(unsafe_char);
        if valid { Ok(Self(address)) } else { Err(InvalidPath) }
    }

    /// A reverse path; the empty one belongs to notifications (RFC 5321 §4.5.5).
    ///
    /// # Errors
    /// As for [`Path::forward`].
    pub fn reverse(address: &'a str) -> Result<Self, InvalidPath> {
        if address.is_empty() { Ok(Self(address)) } else { Self::forward(address) }
    }

    /// Whether the server must understand SMTPUTF8 to be told this address.
    pub fn needs_utf8(self) -> bool {
        !self.0.is_ascii()
    }
}

/// `MAIL FROM` with the parameters the server understands: SIZE where the size is known, BODY=8BITMIME, and SMTPUTF8
/// where an address of this transaction needs it.
pub fn mail(from: Path<'_>, size: Option<u64>, utf8: bool, offered: &Extensions) -> String {
    let mut command = format!("MAIL FROM:<{}>", from.0);
    if let (Some(size), Some(_)) = (size, offered.size) {
        command.push_str(&format!(" SIZE={size}"));
    }
    if offered.eight_bit_mime {
        command.push_str(" BODY=8BITMIME");
    }
    if utf8 && offered.smtp_utf8 {
        command.push_str(" SMTPUTF8");
    }
    command.push_str("\r\n");
    command
}

/// `RCPT TO`.
pub fn rcpt(to: Path<'_>) -> String {
    format!("RCPT TO:<{}>\r\n", to.0)
}

/// `EHLO`; the name is expected to have passed [`ehlo_name`].
pub fn ehlo(name: &str) -> String {
    format!("EHLO {name}\r\n")
}

/// The name with everything left out that cannot stand in a domain or an address literal; `localhost` when nothing
/// is left.
pub fn ehlo_name(wanted: &str) -> String {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '[' | ']' | ':');
    let name: String = wanted.chars().filter(allowed).take(MAX_EHLO_NAME).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}
