//! Email records: direction, status and its legal transitions, recipients' roles.

use crate::mailbox::words;

words! {
    /// Which way a message went.
    Direction {
        /// Received.
        Incoming = "incoming",
        /// Sent from the CRM, or found among what a mailbox's owner has sent.
        Outgoing = "outgoing",
    }
}

words! {
    /// The eight public status reasons of an email.
    EmailStatus {
        /// Being written.
        Draft = "draft",
        /// Closed by a person without sending.
        Completed = "completed",
        /// Accepted by the mail server.
        Sent = "sent",
        /// Received from a mailbox.
        Received = "received",
        /// Called off.
        Canceled = "canceled",
        /// Waiting to be sent, or for another attempt.
        PendingSend = "pending-send",
        /// An attempt is under way, or its outcome is not known.
        Sending = "sending",
        /// Given up, with the server's words.
        Failed = "failed",
    }
}

impl EmailStatus {
    /// Whether a record may go from this status to the next one.
    pub fn may_become(self, next: Self) -> bool {
        use EmailStatus::{Canceled, Completed, Draft, Failed, PendingSend, Received, Sending, Sent};
        matches!(
            (self, next),
            (Draft, PendingSend | Completed | Canceled)
                | (PendingSend, Sending | Canceled | Failed)
                | (Sending, Sent | Failed | PendingSend)
                | (Failed, PendingSend | Canceled | Completed)
                | (Completed | Received, Canceled)
        )
    }
}

words! {
    /// How far a delivery has come; finer than the public status.
    DeliveryState {
        /// Waiting for its first attempt.
        Pending = "pending",
        /// Waiting for another attempt.
        Retry = "retry",
        /// An attempt has begun; nothing irrevocable has happened.
        Sending = "sending",
        /// The point of no return is about to be, or has been, crossed.
        InFlight = "in-flight",
        /// The connection was lost after the point of no return: nobody knows.
        Unknown = "unknown",
        /// Accepted by the mail server.
        Sent = "sent",
        /// Given up.
        Failed = "failed",
    }
}

impl DeliveryState {
    /// The public status shown for this state.
    pub fn status(self) -> EmailStatus {
        match self {
            Self::Pending | Self::Retry => EmailStatus::PendingSend,
            Self::Sending | Self::InFlight | Self::Unknown => EmailStatus::Sending,
            Self::Sent => EmailStatus::Sent,
            Self::Failed => EmailStatus::Failed,
        }
    }
}

words! {
    /// In which list a party of an email stands.
    PartyRole {
        /// Author.
        From = "from",
        /// Primary recipient.
        To = "to",
        /// Copied recipient.
        Cc = "cc",
        /// Hidden recipient.
        Bcc = "bcc",
        /// Where answers should go.
        ReplyTo = "reply-to",
    }
}

words! {
    /// The kinds of record an address can belong to, in the order in which a sender is resolved.
    PartyKind {
        /// A person of the organisation.
        User = "user",
        /// A customer's person.
        Contact = "contact",
        /// A customer's company.
        Account = "account",
        /// A prospective customer.
        Lead = "lead",
        /// A shared work list.
        Queue = "queue",
        /// Any other record with an email address.
        Other = "other",
    }
}

/// The record an email is about, under the id its own system gave it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Regarding {
    /// What kind of record, such as `account` or `opportunity`.
    pub kind: String,
    /// Its id.
    pub id: String,
}

impl Regarding {
    /// From two columns that are both there or both not.
    pub fn of(kind: Option<String>, id: Option<String>) -> Option<Self> {
        Some(Self { kind: kind?, id: id? })
    }
}

words! {
    /// A user's choice what becomes of an unknown sender of their tracked mail.
    AutoCreate {
        /// Nothing.
        Off = "off",
        /// A contact.
        Contact = "contact",
        /// A lead.
        Lead = "lead",
    }
}

words! {
    /// How an incoming email was recognised as belonging to an earlier one.
    CorrelationMethod {
        /// It was not.
        None = "none",
        /// It names the earlier email's Message-ID.
        InReplyTo = "in-reply-to",
        /// Its subject holds the earlier email's tracking token.
        TrackingToken = "tracking-token",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// H1: the eight status reasons; a sent or received email never goes back to being sent.
    #[test]
    fn h1_transitions() {
        assert_eq!(EmailStatus::ALL.len(), 8);
        for end in [EmailStatus::Sent, EmailStatus::Canceled] {
            assert!(EmailStatus::ALL.iter().all(|next| !end.may_become(*next)), "{end} is final");
        }
        assert!(EmailStatus::Draft.may_become(EmailStatus::PendingSend));
        assert!(!EmailStatus::Draft.may_become(EmailStatus::Sent), "only the engine's way leads to Sent");
        assert!(!EmailStatus::Received.may_become(EmailStatus::PendingSend));
    }

    #[test]
    fn h1_every_delivery_state_has_a_public_status() {
        for state in DeliveryState::ALL {
            assert!(EmailStatus::ALL.contains(&state.status()));
        }
        assert_eq!(DeliveryState::Unknown.status(), EmailStatus::Sending);
    }
}
