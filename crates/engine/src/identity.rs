//! Whether two received messages are the same email: what identifies one across mailboxes, and which record an item of
//! a mailbox belongs to.

use chrono::{DateTime, Utc};
use lockstep_model::{email::Direction, id::EmailId};
use sha2::{Digest, Sha256};

use crate::correlation::normalise_id;

/// Looked at of the text, in characters.
const MAX_TEXT_CHARS: usize = 16 * 1024;

/// Paragraphs are taken in until the block has so many characters: a salutation alone identifies nothing.
const ENOUGH_CHARS: usize = 64;

/// Longest block, in characters.
const MAX_BLOCK_CHARS: usize = 2_000;

/// A rule of at least so many underscores sets off the footer a list or gateway adds.
const FOOTER_RULE: usize = 20;

/// Words in brackets that gateways and lists put before a subject or text, compared in lower case.
const TAGS: &[&str] =
    &["external", "ext", "extern", "external email", "external sender", "spam", "suspected spam", "caution", "warning"];

/// How paragraphs begin that gateways put before a text, compared in lower case.
const BANNERS: &[&str] = &[
    "caution: this email originated from outside",
    "caution: this e-mail originated from outside",
    "caution: external",
    "external email:",
    "external sender:",
    "this email originated from outside",
    "this message originated from outside",
    "you don't often get email from",
    "you don\u{2019}t often get email from",
    "warning: this email originated from outside",
];

/// What identifies a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits<'a> {
    /// Message-ID as written.
    pub message_id: Option<&'a str>,
    /// The first address of From.
    pub from: &'a str,
    /// Date, where it could be read.
    pub date: Option<DateTime<Utc>>,
    /// Subject; looked at only where the Message-ID is missing.
    pub subject: &'a str,
    /// The beginning of the text.
    pub text: &'a str,
}

/// The identity of an email.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The normalised Message-ID, without brackets, or a surrogate that ends in `@surrogate.invalid`.
    pub message_id: String,
    /// Whether the message had no usable Message-ID of its own.
    pub is_surrogate: bool,
    /// Equal for copies of one message in several mailboxes.
    pub hash: [u8; 32],
}

/// The identity of a message. What a gateway or list adds for each recipient (banner, footer, tag, folded white space,
/// another case of an address) does not change it. Of two different messages under one forged Message-ID each has its
/// own.
pub fn identify(traits: &Traits<'_>) -> Identity {
    let own = traits.message_id.and_then(normalise_id);
    let subject = if own.is_none() { without_tags(&folded(traits.subject)).to_owned() } else { String::new() };
    let date = traits.date.map(|date| date.timestamp().to_string()).unwrap_or_default();
    let from = folded(traits.from).to_lowercase();
    let block = first_block(traits.text);

    let mut hasher = Sha256::new();
    hasher.update(b"lockstep-email-identity-1");
    for field in [own.as_deref().unwrap_or_default(), &from, &date, &subject, &block] {
        // The length before each field keeps text from moving between them unnoticed.
        hasher.update((field.len() as u64).to_be_bytes());
        hasher.update(field.as_bytes());
    }
    let hash: [u8; 32] = hasher.finalize().into();
    let is_surrogate = own.is_none();
    let message_id = own.unwrap_or_else(|| surrogate(&hash));
    Identity { message_id, is_surrogate, hash }
}

fn surrogate(hash: &[u8; 32]) -> String {
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{digits}@surrogate.invalid")
}

/// The first paragraphs of a text without banners and footers, until there is enough to tell two texts apart.
fn first_block(text: &str) -> String {
    let end = text.char_indices().nth(MAX_TEXT_CHARS).map_or(text.len(), |(at, _)| at);
    let mut block = String::new();
    let mut paragraph = String::new();
    let mut chars = 0;
    for line in text[..end].lines().chain([""]) {
        let at_footer = is_footer_rule(line);
        let line = folded(line);
        if !line.is_empty() && !at_footer {
            join(&mut paragraph, &line);
            continue;
        }
        if !(block.is_empty() && is_banner(&paragraph)) {
            let kept = if block.is_empty() { without_tags(&paragraph) } else { &paragraph };
            join(&mut block, kept);
            chars = block.chars().count();
        }
        paragraph.clear();
        if at_footer || chars >= ENOUGH_CHARS {
            break;
        }
    }
    block.chars().take(MAX_BLOCK_CHARS).collect()
}

fn join(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}

/// `-- ` on a line of its own (RFC 3676 §4.3), also where the space was lost, or a long rule of underscores.
fn is_footer_rule(line: &str) -> bool {
    let line = line.trim();
    line == "--" || (line.len() >= FOOTER_RULE && line.bytes().all(|b| b == b'_'))
}

fn is_banner(paragraph: &str) -> bool {
    let bare = without_tags(paragraph).trim_start_matches(['*', '!', ' ']);
    let start: String = bare.chars().take(80).collect::<String>().to_lowercase();
    bare.is_empty() || BANNERS.iter().any(|banner| start.starts_with(banner))
}

/// The text without known tags in brackets at its beginning.
fn without_tags(text: &str) -> &str {
    let mut rest = text.trim_start();
    while let Some((tag, after)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        let tag = tag.trim().trim_matches('*').to_lowercase();
        if !TAGS.contains(&tag.as_str()) {
            break;
        }
        rest = after.trim_start();
    }
    rest
}

/// White space folded to single spaces, ends trimmed, characters without width left out.
fn folded(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let visible = text.chars().filter(|c| !matches!(c, '\u{200b}'..='\u{200d}' | '\u{feff}' | '\u{ad}'));
    for c in visible {
        if c.is_whitespace() || c.is_control() {
            if !kept.is_empty() && !kept.ends_with(' ') {
                kept.push(' ');
            }
        } else {
            kept.push(c);
        }
    }
    kept.truncate(kept.trim_end().len());
    kept
}

/// An email record that has a message's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Existing {
    /// The record.
    pub email: EmailId,
    /// Its number among the records of that identity, from 0.
    pub ordinal: u32,
    /// Whether the item at hand must not be linked to it: see [`is_taken`].
    pub linked_here: bool,
}

/// Whether a record is out of question for an item with the same identity. One of the same direction is when the mailbox
/// links it through another item. What was sent and what was received of one message are two activities, unless the
/// organisation wants one of what goes from user to user.
pub fn is_taken(record: Direction, item: Direction, linked_through_another: bool, once: bool) -> bool {
    if record == item { linked_through_another } else { !once }
}

/// Where an item of a mailbox belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// To this record.
    LinkTo(EmailId),
    /// To a record of its own.
    New {
        /// The number it takes among the records of that identity.
        ordinal: u32,
    },
}

/// Where an item belongs, given the records with its identity. The same message in another mailbox is the same record;
/// two items of *one* mailbox are always two, so that a forged identity hides nothing.
pub fn ordinal(existing: &[Existing]) -> Link {
    match existing.iter().filter(|record| !record.linked_here).min_by_key(|record| record.ordinal) {
        Some(record) => Link::LinkTo(record.email),
        None => Link::New {
            ordinal: existing.iter().map(|record| record.ordinal.saturating_add(1)).max().unwrap_or_default(),
        },
    }
}
