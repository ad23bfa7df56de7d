//! Mailbox records: whose they are, what is synchronised, and when a person's mail becomes a record.

use std::{fmt, str::FromStr};

use crate::id::{MailboxId, ProfileId, QueueId, UserId};

/// Gives a closed set of words a text form that is stored, sent and shown.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The stored word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::mailbox::UnknownWord;
            fn from_str(word: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|v| v.as_str() == word).ok_or_else(|| $crate::mailbox::UnknownWord {
                    word: word.chars().take(64).collect(),
                    expected: Self::ALL.iter().map(|v| v.as_str()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}
pub(crate) use words;

/// A word outside a closed set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    /// What was found.
    pub word: String,
    /// The words that would have been understood.
    pub expected: String,
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not one of: {}", self.word, self.expected)
    }
}

impl std::error::Error for UnknownWord {}

words! {
    /// The two kinds of work a mailbox has on a schedule.
    Lane {
        /// Incoming email.
        Incoming = "incoming",
        /// Appointments, contacts and tasks.
        Act = "act",
    }
}

words! {
    /// How one direction of a mailbox is served.
    DeliveryMethod {
        /// Not at all.
        None = "none",
        /// By Lockstep.
        ServerSide = "server-side",
        /// Incoming only: a rule on the server forwards everything to a forward mailbox.
        ForwardMailbox = "forward-mailbox",
    }
}

words! {
    /// Whether an administrator has agreed to an address being processed.
    AddressStatus {
        /// There is no address.
        Empty = "empty",
        /// Agreed.
        Approved = "approved",
        /// Waiting for a decision.
        Pending = "pending",
        /// Declined.
        Rejected = "rejected",
    }
}

words! {
    /// The result of the last test of a workload.
    TestStatus {
        /// Never tested since the last change.
        NotRun = "not-run",
        /// The test succeeded.
        Success = "success",
        /// The test failed.
        Failure = "failure",
    }
}

words! {
    /// A user's or queue's choice which received mail becomes a record by itself.
    TrackOption {
        /// Everything received.
        All = "all",
        /// Mail that answers an email the CRM knows.
        InResponse = "in-response",
        /// Mail whose sender is a contact, account or lead.
        FromCustomers = "from-customers",
        /// Mail whose sender is any record with an email address.
        FromEmailEnabled = "from-email-enabled",
        /// Nothing.
        None = "none",
    }
}

/// Whose mailbox it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A person.
    User(UserId),
    /// A shared work list.
    Queue(QueueId),
}

impl Owner {
    /// `user` or `queue`.
    pub fn kind(self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Queue(_) => "queue",
        }
    }

    /// The bare id.
    pub fn uuid(self) -> uuid::Uuid {
        match self {
            Self::User(id) => id.0,
            Self::Queue(id) => id.0,
        }
    }
}

/// A mailbox as the workers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Identity.
    pub id: MailboxId,
    /// The profile that tells how to reach its server.
    pub profile: ProfileId,
    /// Whose it is; nobody's where it is a forward mailbox.
    pub owner: Option<Owner>,
    /// Its address as written.
    pub address: String,
    /// Processed messages are deleted on the server (not from users' mailboxes).
    pub delete_after_processing: bool,
}

/// The name a connection permit is counted under: the profile's one account, or the mailbox's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account(String);

impl Account {
    /// The one account of a profile.
    pub fn of_profile() -> Self {
        Self("profile".to_owned())
    }

    /// The one account with which a profile's mailboxes send, where it is not the one they read with.
    pub fn of_outgoing() -> Self {
        Self("profile-outgoing".to_owned())
    }

    /// The account of one mailbox.
    pub fn of_mailbox(mailbox: MailboxId) -> Self {
        Self(mailbox.to_string())
    }

    /// The name as text: safe inside a key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Account {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}
