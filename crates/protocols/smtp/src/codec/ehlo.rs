//! What the server offers, as its answer to EHLO says (RFC 5321 §4.1.1.1).

use smtp_proto::{
    AUTH_LOGIN, AUTH_PLAIN, AUTH_XOAUTH2, EXT_8BIT_MIME, EXT_PIPELINING, EXT_SIZE, EXT_SMTP_UTF8, EXT_START_TLS,
    EhloResponse,
};

use crate::codec::reply::Reply;

/// The extensions we make use of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Extensions {
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtp_utf8: bool,
    /// SIZE (RFC 1870): none when not offered; 0 when offered without a fixed limit; else the limit in bytes.
    pub size: Option<u64>,
    /// Mechanisms for AUTH (RFC 4954).
    pub auth: Mechanisms,
}

/// The SASL mechanisms offered, of those we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Mechanisms {
    /// PLAIN (RFC 4616).
    pub plain: bool,
    /// LOGIN, never standardised, still common.
    pub login: bool,
    /// XOAUTH2, a bearer token.
    pub xoauth2: bool,
}

impl Extensions {
    /// The extensions named in the answer to EHLO. Each line stands for itself: one that makes no sense hides no
    /// other.
    pub fn of(reply: &Reply) -> Self {
        reply.lines.iter().skip(1).fold(Self::default(), |known, line| known.and(line))
    }

    fn and(mut self, line: &str) -> Self {
        let line = old_auth_form(line);
        let answer = format!("250-server\r\n250 {line}\r\n");
        let Ok(offered) = EhloResponse::parse(&mut answer.as_bytes().iter()) else {
            return self;
        };
        let has = |extension: u32| offered.capabilities & extension != 0;
        self.starttls |= has(EXT_START_TLS);
        self.pipelining |= has(EXT_PIPELINING);
        self.eight_bit_mime |= has(EXT_8BIT_MIME);
        self.smtp_utf8 |= has(EXT_SMTP_UTF8);
        if has(EXT_SIZE) {
            self.size = Some(u64::try_from(offered.size).unwrap_or(u64::MAX));
        }
        self.auth.plain |= offered.auth_mechanisms & AUTH_PLAIN != 0;
        self.auth.login |= offered.auth_mechanisms & AUTH_LOGIN != 0;
        self.auth.xoauth2 |= offered.auth_mechanisms & AUTH_XOAUTH2 != 0;
        self
    }
}

/// `AUTH=LOGIN PLAIN`, a draft's form that some servers offer besides or instead of the standard's.
fn old_auth_form(line: &str) -> String {
    match line.split_at_checked(5) {
        Some((keyword, mechanisms)) if keyword.eq_ignore_ascii_case("AUTH=") => format!("AUTH {mechanisms}"),
        _ => line.to_owned(),
    }
}
