//! Whether appointments, contacts and tasks can be reached: each folder is listed, and the mailbox is claimed for this
//! organisation. Nothing else is written.

use lockstep_connector::{Deadline, items::Folder};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    remote::Cursor,
};
use lockstep_store::mailbox_tests::{self, Tested};

use super::{Looked, PAUSE, Test};
use crate::{act::claim, airlock::Entry};

impl Test<'_> {
    /// Looks into each folder, where the mailbox has appointments, contacts and tasks synchronised.
    pub(super) async fn act(&self) -> lockstep_store::Result<Looked> {
        let mut tx = self.context.store.begin().await?;
        let wanted = mailbox_tests::act::wanted(&mut tx, self.mailbox.id).await?;
        drop(tx);
        if !wanted {
            return Ok(Looked::Tested(Tested::NotConfigured));
        }
        if let Some(fault) = &self.position.act {
            return Ok(Looked::Tested(Tested::Fails(fault.clone())));
        }
        let airlock = match self.enter(&self.access).await? {
            Entry::Open(airlock) => airlock,
            Entry::Deferred(wait) => return Ok(Looked::Later(wait)),
            Entry::Busy => return Ok(Looked::Later(PAUSE)),
        };
        let listed = self.list(&airlock.deadline).await;
        airlock.leave().await;
        Ok(Looked::Tested(listed.map_or_else(Tested::Fails, |()| Tested::Works)))
    }

    /// Whether the mailbox is claimed whosever it is: once, for who has taken it back since is not asked again.
    fn takes_over(&self) -> bool {
        self.take_over && !self.position.taken_over
    }

    async fn list(&self, deadline: &Deadline) -> Result<(), Fault> {
        let now = self.context.store.clock().now();
        let mut session = self.open(&self.access, &self.access.profile.incoming, deadline).await?;
        let listed = match session.items(chrono_tz::UTC) {
            None => Err(Fault::new(
                FaultScope::Mailbox,
                FaultClass::Refused,
                "NotSupportedByProtocol",
                "the server's protocol has email only",
            )
            .local()),
            Some(items) => {
                let mut listed = Ok(());
                for folder in Folder::ALL {
                    listed = items.changes(folder, &Cursor::default(), 1, deadline).await.map(drop);
                    if listed.is_err() {
                        break;
                    }
                }
                match listed {
                    Ok(()) => claim::ours(items, self.context.organisation, self.takes_over(), now, deadline).await,
                    failed => failed,
                }
            }
        };
        let _ = session.close(deadline).await;
        listed
    }
}
