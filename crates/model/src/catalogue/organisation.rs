//! What concerns the installation as a whole, and no mailbox more than others.

use super::{Entry, Level};

pub(super) const ENTRIES: &[Entry] = &[Entry {
    code: "WebhookEndpointDisabled",
    scopes: &[],
    level: Level::Error,
    title: "Another program is not told of changes any more",
    text: "The webhook endpoint {name} was disabled ({reason}): {message}",
    remedy: "Mend the receiver, then resume the endpoint: it goes on where it stopped, from a place you name, or from \
             now. If the place has lost its meaning, let the receiver read every record again first.",
}];
