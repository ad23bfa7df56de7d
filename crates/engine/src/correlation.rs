//! Which earlier email a message answers: what In-Reply-To names, else what References name, else the one whose
//! tracking token stands in the subject.

use lockstep_model::{email::CorrelationMethod, id::EmailId};

/// So many message ids are looked up for one message.
pub const MAX_LOOKUP_KEYS: usize = 20;

/// Longest message id that is compared, in bytes (a header line's limit, RFC 5322 §2.1.1). A longer one counts as none.
pub const MAX_ID_BYTES: usize = 998;

/// The headers that tell what a message answers, as they were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    /// Its own Message-ID: nothing answers itself.
    pub message_id: Option<&'a str>,
    /// The ids of In-Reply-To.
    pub in_reply_to: &'a [String],
    /// The ids of References, oldest first as RFC 5322 §3.6.4 has them.
    pub references: &'a [String],
}

/// The email a message answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Correlated {
    /// The earlier email.
    pub email: EmailId,
    /// How it was found.
    pub method: CorrelationMethod,
}

/// The form under which message ids are stored and compared: without angle brackets, white space and control
/// characters, the domain in lower case. `None` when nothing is left or it is longer than [`MAX_ID_BYTES`].
pub fn normalise_id(written: &str) -> Option<String> {
    if written.len() > 4 * MAX_ID_BYTES {
        return None;
    }
    let bare: String =
        written.chars().filter(|c| !c.is_whitespace() && !c.is_control() && !matches!(c, '<' | '>')).collect();
    let normal = match bare.rsplit_once('@') {
        Some((local, domain)) => format!("{local}@{}", domain.to_lowercase()),
        None => bare,
    };
    (1..=MAX_ID_BYTES).contains(&normal.len()).then_some(normal)
}

/// The normalised ids to look up, most telling first: In-Reply-To in order, then References from the last to the
/// first; each once, at most [`MAX_LOOKUP_KEYS`].
pub fn lookup_keys(headers: &Headers<'_>) -> Vec<String> {
    let own = headers.message_id.and_then(normalise_id);
    let mut keys: Vec<String> = Vec::with_capacity(MAX_LOOKUP_KEYS);
    let written = headers.in_reply_to.iter().chain(headers.references.iter().rev());
    // Hostile mail may hold any number of ids that normalise to nothing or to the same; look at a bounded number.
    for id in written.take(10 * MAX_LOOKUP_KEYS).filter_map(|id| normalise_id(id)) {
        if keys.len() == MAX_LOOKUP_KEYS {
            break;
        }
        if Some(&id) != own.as_ref() && !keys.contains(&id) {
            keys.push(id);
        }
    }
    keys
}

/// The email a message answers, given what a lookup of [`lookup_keys`] found: pairs of a normalised message id and an
/// email that has it. Of several emails with one id the oldest is taken, so that the answer never depends on the order
/// in which the database returns them.
pub fn correlate(headers: &Headers<'_>, found: &[(String, EmailId)]) -> Option<Correlated> {
    lookup_keys(headers)
        .iter()
        .find_map(|key| found.iter().filter(|(id, _)| id == key).map(|(_, email)| *email).min())
        .map(|email| Correlated { email, method: CorrelationMethod::InReplyTo })
}

/// An email that was sent with the tracking token a subject holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokened<'a> {
    /// The email.
    pub email: EmailId,
    /// Keys of the addresses in its From, To, Cc and Bcc.
    pub parties: &'a [String],
    /// Key of the address it was sent from.
    pub from: &'a str,
}

/// Whom a message with a token comes from and goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Route<'a> {
    /// Key of its author's address.
    pub author: Option<&'a str>,
    /// Keys of the addresses it goes to: To, Cc, Bcc, and the mailbox it was found in.
    pub to: &'a [String],
}

/// The email whose token a message carries. Anybody can write a token, and numbers repeat when their counter starts
/// again; so an email counts only if the message has to do with it: it goes to whoever sent that email, or comes from
/// somebody who had a part in it. `found` is newest first, and the newest such email is taken.
pub fn by_token(found: &[Tokened<'_>], route: &Route<'_>) -> Option<Correlated> {
    let related = |earlier: &&Tokened<'_>| {
        route.to.iter().any(|key| key == earlier.from)
            || route.author.is_some_and(|author| earlier.parties.iter().any(|key| key == author))
    };
    let email = found.iter().find(related)?.email;
    Some(Correlated { email, method: CorrelationMethod::TrackingToken })
}
