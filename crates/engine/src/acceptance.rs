//! Which received message becomes a record by itself, for whom, and if not, why not.

use std::fmt;

use chrono::{DateTime, Utc};
use lockstep_model::{
    email::PartyKind,
    mailbox::{Owner, TrackOption},
};

use crate::budget::MAX_MESSAGE_BYTES;

/// A user or queue that may accept the message, with their own choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptingParty {
    /// Who.
    pub owner: Owner,
    /// What they want to be tracked.
    pub option: TrackOption,
    /// Whether the message was found in their mailbox.
    pub is_receiving: bool,
    /// Whether their address stands in To, Cc or Bcc.
    pub addressed: bool,
}

/// A received message, as far as the decision needs it. Headers and the server's listing tell all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The receiving mailbox's owner, and every user and queue an address in To, Cc and Bcc resolves to, in that order.
    pub recipients: Vec<AcceptingParty>,
    /// What kind of record the sender resolves to, if any; of sent mail, the [`correspondent`].
    pub sender: Option<PartyKind>,
    /// Whether it answers an email Lockstep knows.
    pub correlated: bool,
    /// Its size in bytes, where the server states it.
    pub size: Option<u64>,
    /// When the server received it.
    pub received_at: DateTime<Utc>,
    /// Mail received before this instant is left alone.
    pub process_from: Option<DateTime<Utc>>,
    /// Whether it carries the header this organisation puts on what it sends itself.
    pub is_own_loop: bool,
    /// Whether it is the message of a mailbox's test.
    pub is_test: bool,
    /// Whether it carries restrictions of rights management, and the organisation wants no record of such.
    pub is_restricted: bool,
    /// Only the owner of the receiving mailbox may accept it, as the organisation may choose.
    pub only_receiving: bool,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It becomes a record.
    Accept {
        /// Whose option accepted it; not always the owner of the mailbox it was found in.
        accepting: Owner,
    },
    /// It stays mail.
    Refuse(Reason),
}

/// Why a message does not become a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Sent by this organisation; its record exists.
    OwnMessage,
    /// The message of a mailbox's test: no record of it exists or is wanted.
    TestMessage,
    /// Larger than [`MAX_MESSAGE_BYTES`].
    TooLarge,
    /// It carries restrictions of rights management.
    RightsManaged,
    /// Received before processing was to begin.
    TooOld,
    /// No recipient is a user or queue.
    NoRecipientMatch,
    /// Nobody's option accepts it.
    NoCorrelationMatch,
}

impl Reason {
    /// Every reason.
    pub const ALL: &[Self] = &[
        Self::OwnMessage,
        Self::TestMessage,
        Self::TooLarge,
        Self::RightsManaged,
        Self::TooOld,
        Self::NoRecipientMatch,
        Self::NoCorrelationMatch,
    ];

    /// The stable name, stored and documented.
    pub fn code(self) -> &'static str {
        match self {
            Self::OwnMessage => "OwnMessage",
            Self::TestMessage => "TestMessage",
            Self::TooLarge => "TooLarge",
            Self::RightsManaged => "RightsManaged",
            Self::TooOld => "TooOld",
            Self::NoRecipientMatch => "NoRecipientMatch",
            Self::NoCorrelationMatch => "NoCorrelationMatch",
        }
    }

    /// The reason under a stored name.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }

    /// What to tell a person who asks where their message is.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::OwnMessage => "The message was sent from here and is already recorded as a sent email.",
            Self::TestMessage => {
                "A message of Lockstep itself: it has tested the mailbox, and nobody needs a record of it."
            }
            Self::TooLarge => "The message is larger than 150 MB, attachments included.",
            Self::RightsManaged => {
                "Rights management restricts who may do what with the message, and such messages are not to be recorded."
            }
            Self::TooOld => "The message was received before the date from which emails are processed.",
            Self::NoRecipientMatch => {
                "No address in To or Cc belongs to a user or queue, and the mailbox's owner does not track all email."
            }
            Self::NoCorrelationMatch => "None of the recipients' tracking options accepts the message.",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Decides about one message. Of several who accept it, the owner of the receiving mailbox comes first, then the
/// first one addressed. Who is not addressed (a hidden copy, a list) accepts only their own mailbox's mail, and only
/// with the option *all*.
pub fn decide(candidate: &Candidate) -> Decision {
    if let Some(reason) = ruled_out(candidate) {
        return Decision::Refuse(reason);
    }
    let accepts = |party: &&AcceptingParty| {
        if candidate.only_receiving && !party.is_receiving {
            false
        } else if party.addressed {
            admits(party.option, candidate)
        } else {
            party.is_receiving && party.option == TrackOption::All
        }
    };
    let mut accepting = candidate.recipients.iter().filter(accepts);
    let first = accepting.next();
    let receiving = first.into_iter().chain(accepting).find(|party| party.is_receiving);
    match receiving.or(first) {
        Some(party) => Decision::Accept { accepting: party.owner },
        None if candidate.recipients.iter().any(|party| party.addressed) => {
            Decision::Refuse(Reason::NoCorrelationMatch)
        }
        None => Decision::Refuse(Reason::NoRecipientMatch),
    }
}

/// The content class of a message that rights management protects, and the media type of the part that it is sealed in
/// (MS-OXORMMS 2.2.1, 2.2.4).
const RIGHTS_MANAGED_CLASS: &str = "rpmsg.message";
const RIGHTS_MANAGED_PART: &str = "application/x-microsoft-rpmsg-message";

/// Whether rights management restricts a message: its header says so by its content class, or one of its files, by their
/// media types, is the sealed message. With the header alone `false` is no proof.
pub fn is_rights_managed<'a>(content_class: Option<&str>, media_types: impl IntoIterator<Item = &'a str>) -> bool {
    content_class.is_some_and(|class| class.eq_ignore_ascii_case(RIGHTS_MANAGED_CLASS))
        || media_types.into_iter().any(|kind| kind.eq_ignore_ascii_case(RIGHTS_MANAGED_PART))
}

/// Who stands for the sender where somebody's own sent mail is judged by the option for what they receive: the
/// correspondent. Of several the first who is a customer, else the first who is known.
pub fn correspondent(recipients: impl IntoIterator<Item = PartyKind>) -> Option<PartyKind> {
    let mut first = None;
    for kind in recipients {
        if is_customer(kind) {
            return Some(kind);
        }
        first = first.or(Some(kind));
    }
    first
}

fn is_customer(kind: PartyKind) -> bool {
    matches!(kind, PartyKind::Contact | PartyKind::Account | PartyKind::Lead)
}

/// Whether the headers of new messages are to be read before their bodies. They decide about every option; *all* needs
/// no decision, except where messages may be older than the day from which the profile processes them.
pub fn headers_first(receiving: TrackOption, may_be_too_old: bool) -> bool {
    receiving != TrackOption::All || may_be_too_old
}

/// What rules a message out whoever it is for.
fn ruled_out(candidate: &Candidate) -> Option<Reason> {
    if candidate.is_test {
        Some(Reason::TestMessage)
    } else if candidate.is_own_loop {
        Some(Reason::OwnMessage)
    } else if candidate.size.is_some_and(|size| size > MAX_MESSAGE_BYTES) {
        Some(Reason::TooLarge)
    } else if candidate.process_from.is_some_and(|from| candidate.received_at < from) {
        Some(Reason::TooOld)
    } else if candidate.is_restricted {
        Some(Reason::RightsManaged)
    } else {
        None
    }
}

fn admits(option: TrackOption, candidate: &Candidate) -> bool {
    match option {
        TrackOption::All => true,
        TrackOption::InResponse => candidate.correlated,
        TrackOption::FromCustomers => candidate.sender.is_some_and(is_customer),
        TrackOption::FromEmailEnabled => candidate.sender.is_some(),
        TrackOption::None => false,
    }
}
