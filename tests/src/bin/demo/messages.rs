//! What is delivered, and to whom: the corpus of the tests and one large message.

use lockstep_e2e::mail::{self, Draft};

/// Bytes of the file in the large message.
pub(crate) const LARGE_FILE: usize = 30 * 1024 * 1024;

const CORPUS_RECIPIENT: &[u8] = b"sales@crm.example.test";
const CORPUS_SENDER: &[u8] = b"anna.berg@example.test";
/// The corpus counts its files from one; this one claims the Message-ID of the first.
const FORGED: usize = 27;

/// How a message gets into its mailboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// Through Exim, as mail does.
    Smtp,
    /// As a file in the mailbox's folder: no SMTP server would carry it.
    Maildir,
}

/// A message and the mailboxes it goes to.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    /// Number within the demonstration; it stands in the envelope's sender.
    pub(crate) number: usize,
    /// The file's name, or what the message is.
    pub(crate) label: String,
    pub(crate) raw: Vec<u8>,
    pub(crate) route: Route,
    /// Indices of the mailboxes.
    pub(crate) to: Vec<usize>,
}

/// Whom the `number`-th message of the corpus is for, as indices into `world::HOLDERS`: a queue (all), Ada (all), Ben
/// (from customers), Cora (in response), Dev (from anybody known), Eli (none).
fn recipients(number: usize) -> &'static [usize] {
    const PLAN: [&[usize]; 8] = [&[0, 1], &[0], &[2], &[2, 3], &[4, 5], &[0], &[3, 5], &[1, 2]];
    // The forged copy lies in the same mailbox as its model.
    PLAN[if number == FORGED { 1 } else { number % PLAN.len() }]
}

/// Every message of the corpus, its placeholder addresses replaced by those of the mailboxes and of the customer.
pub(crate) fn corpus(mailboxes: &[String], customer: &str) -> Vec<Post> {
    let messages = mail::corpus().into_iter().enumerate();
    let posts = messages.map(|(at, message)| {
        let number = at + 1;
        let (route, to) =
            if message.maildir_only { (Route::Maildir, vec![0]) } else { (Route::Smtp, recipients(number).to_vec()) };
        let addresses: Vec<&str> = to.iter().filter_map(|index| mailboxes.get(*index)).map(String::as_str).collect();
        let raw = replace(&message.raw, CORPUS_RECIPIENT, addresses.join(", ").as_bytes());
        let raw = replace(&raw, CORPUS_SENDER, customer.as_bytes());
        Post { number, label: message.name, raw, route, to }
    });
    posts.collect()
}

/// A message with one large file for the first mailbox.
pub(crate) fn large(number: usize, mailbox: &str, customer: &str) -> Post {
    let raw = Draft::new(customer, &[mailbox], "All drawings in one file")
        .attachment("drawings.bin", noise(LARGE_FILE))
        .to_bytes();
    Post { number, label: format!("{} MB attachment", LARGE_FILE / 1024 / 1024), raw, route: Route::Smtp, to: vec![0] }
}

/// Bytes that do not compress, the same each time.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::{FORGED, noise, recipients, replace};

    #[test]
    fn placeholders_are_replaced_everywhere() {
        assert_eq!(replace(b"to a, a and b", b"a", b"xyz"), b"to xyz, xyz xyznd b");
        assert_eq!(replace(b"nothing", b"a", b"b"), b"nothing");
        assert_eq!(replace(b"", b"a", b"b"), b"");
    }

    #[test]
    fn the_large_file_has_its_size() {
        assert_eq!(noise(1001).len(), 1001);
    }

    #[test]
    fn the_forged_copy_meets_its_model() {
        assert_eq!(recipients(1), recipients(FORGED));
    }
}
