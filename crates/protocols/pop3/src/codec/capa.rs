//! What a server says it can do (RFC 2449 §5 and §6).

use std::time::Duration;

/// Most lines of a CAPA answer that are looked at.
pub const MAX_LINES: usize = 256;

/// Announced capabilities. Everything is off for a server that does not know `CAPA`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The server answered `CAPA`; without this, what is off may still work.
    pub announced: bool,
    /// `STLS`
    pub stls: bool,
    /// `TOP`
    pub top: bool,
    /// `UIDL`
    pub uidl: bool,
    /// `USER`
    pub user: bool,
    /// `PIPELINING`
    pub pipelining: bool,
    /// `SASL` mechanisms in upper case.
    pub sasl: Vec<String>,
    /// Least time between two logins.
    pub login_delay: Option<Duration>,
}

impl Capabilities {
    /// Adds one line of the answer. What it does not understand it leaves out.
    pub fn add(&mut self, line: &[u8]) {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let Some(name) = words.next() else { return };
        match name.to_ascii_uppercase().as_slice() {
            b"STLS" => self.stls = true,
            b"TOP" => self.top = true,
            b"UIDL" => self.uidl = true,
            b"USER" => self.user = true,
            b"PIPELINING" => self.pipelining = true,
            b"LOGIN-DELAY" => {
                let seconds = words.next().and_then(|word| str::from_utf8(word).ok()?.parse().ok());
                self.login_delay = seconds.map(Duration::from_secs).or(self.login_delay);
            }
            b"SASL" => {
                let names = words.filter_map(|word| str::from_utf8(word).ok()).map(str::to_ascii_uppercase);
                self.sasl.extend(names.take(32_usize.saturating_sub(self.sasl.len())));
            }
            _ => {}
        }
    }

    /// Whether this SASL mechanism is announced.
    pub fn offers(&self, mechanism: &str) -> bool {
        self.sasl.iter().any(|name| name == mechanism)
    }
}
