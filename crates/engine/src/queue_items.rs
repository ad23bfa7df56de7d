//! In which queues' lists of work an email appears.

use lockstep_model::id::QueueId;

/// The organisation's three choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switches {
    /// A new record appears in every queue it is addressed to.
    pub for_recipients: bool,
    /// A new record appears in the queue whose mailbox it was read from, even where its address is not visible.
    pub for_receiving: bool,
    /// A record another mailbox has made already appears in the queue whose mailbox it is found in later.
    pub for_known: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self { for_recipients: true, for_receiving: false, for_known: false }
    }
}

/// The queues in which a new record appears, each once, in the order of the message. `addressed` are the queues that
/// To, Cc and Bcc resolve to; `receiving` is the queue whose mailbox is being read.
pub fn of_new(addressed: &[QueueId], receiving: Option<QueueId>, switches: Switches) -> Vec<QueueId> {
    let mut queues = Vec::new();
    let visible = addressed.iter().copied().filter(|_| switches.for_recipients);
    for queue in visible.chain(receiving.filter(|_| switches.for_receiving)) {
        if !queues.contains(&queue) {
            queues.push(queue);
        }
    }
    queues
}

/// The queue in which a record that is there already appears, now that it was found in another mailbox.
pub fn of_known(receiving: Option<QueueId>, switches: Switches) -> Option<QueueId> {
    receiving.filter(|_| switches.for_known)
}
