//! Status lines: `+OK`, `-ERR`, the continuation `+`, and the response codes in brackets.

use lockstep_model::text;

/// Longest status line kept. RFC 2449 allows 512; SASL challenges are longer.
pub const MAX_REPLY: usize = 4_096;

/// What a status line begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// `+OK`
    Ok,
    /// `-ERR`
    Err,
    /// `+`: the server waits for the next SASL line.
    Continue,
}

/// Response codes (RFC 2449 §8, RFC 3206). They count whether or not the server announced `RESP-CODES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseCode {
    /// Another session has the maildrop.
    InUse,
    /// The last login was too short ago.
    LoginDelay,
    /// The server fails, for now.
    SysTemp,
    /// The server fails until somebody repairs it.
    SysPerm,
    /// The credentials are the reason.
    Auth,
    /// One that nobody here knows.
    Other,
}

/// A status line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// How it begins.
    pub status: Status,
    /// The code in brackets, where there is one.
    pub code: Option<ResponseCode>,
    /// What follows, as the server sent it.
    pub text: Vec<u8>,
}

impl Reply {
    /// Reads a line without its line break; `None` when it is no status line.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let begins = |word: &[u8]| line.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
        let (status, rest) = if begins(b"+OK") {
            (Status::Ok, &line[3..])
        } else if begins(b"-ERR") {
            (Status::Err, &line[4..])
        } else if line == b"+" || line.starts_with(b"+ ") {
            (Status::Continue, &line[1..])
        } else {
            return None;
        };
        let text = rest.trim_ascii();
        let code = if status == Status::Continue { None } else { code(text) };
        Some(Self { status, code, text: text.to_vec() })
    }

    /// Whether it begins with `+OK`.
    pub fn is_ok(&self) -> bool {
        self.status == Status::Ok
    }

    /// The server's words, fit to be shown.
    pub fn words(&self) -> String {
        text::line_from_bytes(&self.text, 300)
    }
}

fn code(text: &[u8]) -> Option<ResponseCode> {
    let inner = text.strip_prefix(b"[")?;
    let inner = &inner[..inner.iter().position(|b| *b == b']')?];
    // Codes are hierarchical (RFC 2449 §8): what stands below a known one is that one.
    let is = |name: &[u8]| {
        inner.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name))
            && matches!(inner.get(name.len()), None | Some(b'/' | b' '))
    };
    let known = [
        (&b"IN-USE"[..], ResponseCode::InUse),
        (b"LOGIN-DELAY", ResponseCode::LoginDelay),
        (b"SYS/TEMP", ResponseCode::SysTemp),
        (b"SYS/PERM", ResponseCode::SysPerm),
        (b"AUTH", ResponseCode::Auth),
    ];
    Some(known.into_iter().find(|(name, _)| is(name)).map_or(ResponseCode::Other, |(_, code)| code))
}
