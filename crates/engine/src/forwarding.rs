//! Forward mailboxes: who has forwarded a message, whether that may be believed, and what does not fit. No header is
//! proof of anything: what can be told is whether a message contradicts itself.

use std::fmt;

/// What a message in a forward mailbox says of its way there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way<'a> {
    /// The domain of its author's address, lower case; `None` when there is not exactly one author.
    pub author_domain: Option<&'a str>,
    /// The topmost Return-Path field (RFC 5321 §4.4), with or without angle brackets.
    pub return_path: Option<&'a str>,
    /// The topmost Authentication-Results field (RFC 8601).
    pub authentication_results: Option<&'a str>,
    /// Auto-Submitted (RFC 3834), lower case.
    pub auto_submitted: Option<&'a str>,
    /// It is a bounce or a receipt.
    pub is_report: bool,
}

/// What is known of the user or queue whose address the author has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarder {
    /// The mailbox is in use.
    pub active: bool,
    /// Its address may be processed: approved, or the organisation does not ask for that.
    pub approved: bool,
    /// Its incoming method is the forward mailbox.
    pub by_forward_mailbox: bool,
}

/// Why a message in a forward mailbox is not unwrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unfit {
    /// Its author is no user or queue of the organisation.
    UnknownForwarder,
    /// The server, or its own envelope, contradicts its author.
    ForgedForwarder,
    /// The forwarder's incoming email does not come through a forward mailbox.
    OtherMethod,
    /// The forwarder's mailbox is inactive.
    Inactive,
    /// The forwarder's address is not approved.
    Unapproved,
    /// A bounce, a receipt or an automatic reply, which forwards nothing.
    Report,
    /// It carries no message as an attachment.
    NotAttached,
    /// It carries more than one message.
    Several,
    /// What it carries is no message.
    NoMessage,
}

impl Unfit {
    /// Every reason.
    pub const ALL: &[Self] = &[
        Self::UnknownForwarder,
        Self::ForgedForwarder,
        Self::OtherMethod,
        Self::Inactive,
        Self::Unapproved,
        Self::Report,
        Self::NotAttached,
        Self::Several,
        Self::NoMessage,
    ];

    /// The reason in words, as a half sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::UnknownForwarder => "its sender is no user or queue whose mail is forwarded",
            Self::ForgedForwarder => "its sender is contradicted by the envelope or by the server's own checks",
            Self::OtherMethod => "the incoming method of the forwarder's mailbox is not forward-mailbox",
            Self::Inactive => "the forwarder's mailbox is inactive",
            Self::Unapproved => "the address of the forwarder's mailbox is not approved",
            Self::Report => "it is an automatic reply, a bounce or a receipt, not a forwarded message",
            Self::NotAttached => "it carries no message as an attachment",
            Self::Several => "it carries more than one message",
            Self::NoMessage => "the attachment is not a readable message",
        }
    }

    /// Whether somebody the organisation knows has to mend something: the alert is then about their mailbox. Else the
    /// message came from elsewhere, and the alert is about the forward mailbox.
    pub fn is_forwarders(self) -> bool {
        !matches!(self, Self::UnknownForwarder | Self::ForgedForwarder)
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

/// Whether a message can have been forwarded by `forwarder`. What it carries is looked at afterwards.
///
/// A sender's address is easily forged. Two things a server adds on top can speak against it, and only against it: a
/// Return-Path in another domain, and checks the server itself says have failed. A message that passes may still be
/// forged where the server does not check; what it then does, a message sent to the forwarder could do as well.
///
/// # Errors
/// Why it does not fit.
pub fn check(way: &Way<'_>, forwarder: Option<Forwarder>) -> Result<(), Unfit> {
    let forwarder = forwarder.ok_or(Unfit::UnknownForwarder)?;
    let domain = way.author_domain.ok_or(Unfit::UnknownForwarder)?;
    if !envelope_agrees(way.return_path, domain) || way.authentication_results.is_some_and(has_failed) {
        return Err(Unfit::ForgedForwarder);
    }
    if !forwarder.active {
        return Err(Unfit::Inactive);
    }
    if !forwarder.by_forward_mailbox {
        return Err(Unfit::OtherMethod);
    }
    if !forwarder.approved {
        return Err(Unfit::Unapproved);
    }
    // A rule's own forwarding may well be marked `auto-generated`; only a reply is not a forwarding.
    if way.is_report || way.auto_submitted == Some("auto-replied") {
        return Err(Unfit::Report);
    }
    Ok(())
}

/// No Return-Path, the empty one that rules use, or an address in the author's domain or below it.
fn envelope_agrees(return_path: Option<&str>, author_domain: &str) -> bool {
    let Some(path) = return_path else { return true };
    let path = path.trim().trim_start_matches('<').trim_end_matches('>').trim();
    if path.is_empty() {
        return true;
    }
    let Some((_, domain)) = path.rsplit_once('@') else { return false };
    let domain = domain.trim_end_matches('.').to_lowercase();
    domain == author_domain || domain.strip_suffix(author_domain).is_some_and(|rest| rest.ends_with('.'))
}

/// The server says that the author is not who they claim to be: DMARC failed, or SPF did and no DKIM signature holds.
fn has_failed(results: &str) -> bool {
    let results = bare(results);
    let words = |method: &str| {
        let entries = results.split(';').skip(1).filter_map(|entry| entry.trim().split_once('='));
        // A version may follow the name (RFC 8601 §2.2): `dkim/1`.
        let entries = entries
            .filter(|(name, _)| name.split('/').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(method)));
        let word = |rest: &str| rest.trim_start().chars().take_while(char::is_ascii_alphanumeric).collect::<String>();
        entries.map(|(_, rest)| word(rest).to_ascii_lowercase()).collect::<Vec<_>>()
    };
    let says = |method: &str, expected: &[&str]| words(method).iter().any(|word| expected.contains(&word.as_str()));
    says("dmarc", &["fail"])
        || says("spf", &["fail", "softfail"]) && !says("dkim", &["pass"]) && !says("dmarc", &["pass"])
}

/// Without comments and quoted strings, into which others can write.
fn bare(text: &str) -> String {
    let (mut bare, mut depth, mut quoted, mut escaped) = (String::new(), 0_usize, false, false);
    for letter in text.chars() {
        let literal = std::mem::replace(&mut escaped, false);
        match letter {
            '\\' if !literal && (quoted || depth > 0) => escaped = true,
            '"' if !literal && depth == 0 => quoted = !quoted,
            '(' if !literal && !quoted => depth += 1,
            ')' if !literal && !quoted => depth = depth.saturating_sub(1),
            _ if quoted || depth > 0 => {}
            _ => bare.push(letter),
        }
    }
    bare
}
