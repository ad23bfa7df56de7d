//! Typed ids. Every row of Lockstep has a UUIDv7, so ids sort by creation time.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id, unique everywhere and ordered by the moment of creation.
            #[expect(clippy::new_without_default, reason = "a default id would be a different one each time")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    )+};
}

ids! {
    /// An organisation: one tenant, one database.
    OrganisationId,
    /// A person with a CRM record.
    UserId,
    /// A shared work list with an address of its own.
    QueueId,
    /// An email server profile.
    ProfileId,
    /// The CRM-side description of one mailbox on a mail server.
    MailboxId,
    /// An email record.
    EmailId,
    /// A contact, account or lead.
    PersonId,
    /// One file of an email.
    AttachmentId,
    /// A message to a person about a state that needs attention.
    AlertId,
    /// A piece of asynchronous work.
    OperationId,
    /// A place where another program is told of changes.
    WebhookEndpointId,
    /// One attempt at a lane, a send or an operation. Also the holder of its permit and lease.
    RunId,
    /// A key a service signs in with.
    ApiKeyId,
    /// One running process.
    ReplicaId,
    /// One envelope on a queue.
    MessageId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_creation_and_survive_text() {
        let first = MailboxId::new();
        let second = MailboxId::new();
        assert!(first < second, "UUIDv7 within one process is monotonic");
        assert_eq!(first.to_string().parse(), Ok(first));
        assert!("no uuid".parse::<MailboxId>().is_err());
    }
}
