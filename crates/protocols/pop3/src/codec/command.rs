//! The commands a client says. No `Debug`: some of them carry a secret.

use secrecy::zeroize::Zeroizing;

/// Longest command line with its CR LF (RFC 2449 §4). Longer initial responses go into a line of their own.
pub const MAX_COMMAND: usize = 255;

/// One line from the client. Texts must hold no CR, LF or NUL; `auth` sees to that before anything is connected.
pub enum Command<'a> {
    /// Capabilities (RFC 2449 §5).
    Capa,
    /// Upgrade to TLS (RFC 2595 §4).
    Stls,
    /// User name (RFC 1939 §7).
    User(&'a str),
    /// Password (RFC 1939 §7).
    Pass(&'a str),
    /// SASL mechanism, with its initial response where there is one (RFC 5034 §4).
    Auth(&'a str, Option<&'a str>),
    /// Answer to a SASL challenge, in base64; may be empty.
    Answer(&'a str),
    /// Gives the SASL exchange up.
    Cancel,
    /// Sizes of all messages.
    List,
    /// Unique ids of all messages.
    Uidl,
    /// Header of a message and none of its lines.
    Top(u64),
    /// A whole message.
    Retr(u64),
    /// Marks a message deleted.
    Dele(u64),
    /// Ends the session; deletions take effect.
    Quit,
}

impl Command<'_> {
    /// Appends the line with its CR LF.
    pub fn encode(&self, line: &mut Vec<u8>) {
        let mut put = |words: &[&str]| {
            for word in words {
                line.extend_from_slice(word.as_bytes());
            }
            line.extend_from_slice(b"\r\n");
        };
        match self {
            Self::Capa => put(&["CAPA"]),
            Self::Stls => put(&["STLS"]),
            Self::User(name) => put(&["USER ", name]),
            Self::Pass(secret) => put(&["PASS ", secret]),
            Self::Auth(mechanism, None) => put(&["AUTH ", mechanism]),
            // An empty initial response is written as `=`.
            Self::Auth(mechanism, Some("")) => put(&["AUTH ", mechanism, " ="]),
            Self::Auth(mechanism, Some(initial)) => put(&["AUTH ", mechanism, " ", initial]),
            Self::Answer(text) => put(&[text]),
            Self::Cancel => put(&["*"]),
            Self::List => put(&["LIST"]),
            Self::Uidl => put(&["UIDL"]),
            Self::Top(number) => put(&["TOP ", &number.to_string(), " 0"]),
            Self::Retr(number) => put(&["RETR ", &number.to_string()]),
            Self::Dele(number) => put(&["DELE ", &number.to_string()]),
            Self::Quit => put(&["QUIT"]),
        }
    }

    /// The line in memory that is wiped when dropped. The space is taken once, so that no copy stays behind.
    pub fn line(&self) -> Zeroizing<Vec<u8>> {
        let text = match self {
            Self::User(text) | Self::Pass(text) | Self::Answer(text) => text.len(),
            Self::Auth(mechanism, initial) => mechanism.len() + initial.map_or(0, str::len),
            _ => 0,
        };
        let mut line = Zeroizing::new(Vec::with_capacity(text + 64));
        self.encode(&mut line);
        line
    }
}
