//! The port's session over a client.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono_tz::Tz;
use lockstep_connector::{
    BodyReader, Deadline, Delta, Envelope, HeaderBlocks, Known, Limits, PointOfNoReturn, RemoteHead, SendReceipt,
    Session, folders::Folders, items::Items,
};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    remote::{Cursor, MailFolder, RemoteKey},
};

use crate::{
    client::Client,
    codec::{
        answer,
        delete_item::{self, Thoroughness},
        id::{ItemId, ItemRef},
    },
    fault, header,
    pull::Backlog,
    submit,
};

/// Most items in one request to delete.
const DELETIONS: usize = 50;

/// One session.
pub(crate) struct EwsSession {
    pub(crate) client: Client,
    /// The zone of times that name none.
    pub(crate) home: Tz,
    /// What pulls are about, and what is left to hand out of it.
    folder: MailFolder,
    backlog: Option<Backlog>,
    /// What is to be deleted at the close: the protocol deletes at once, the port promises to wait.
    deletions: BTreeSet<RemoteKey>,
}

impl EwsSession {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, home: Tz::UTC, folder: MailFolder::Inbox, backlog: None, deletions: BTreeSet::new() }
    }

    async fn delete_now(&mut self, deadline: &Deadline) -> Result<(), Fault> {
        let keys: Vec<RemoteKey> = std::mem::take(&mut self.deletions).into_iter().collect();
        let (mut refused, mut words) = (0, String::new());
        for portion in keys.chunks(DELETIONS) {
            let items: Vec<_> = portion.iter().map(|key| ItemRef::Item(ItemId::whatever(header::id_of(key)))).collect();
            let request = delete_item::request(&items, Thoroughness::ToDeletedItems, false, true);
            let response = self.client.call(&request, deadline).await?;
            let mut answers = answer::messages(&response);
            for _ in portion {
                let Some(answer) = answers.next() else { return Err(fault::violation("an item was left out")) };
                let Err(refusal) = answer else { continue };
                let fault = refusal.fault(FaultScope::Item);
                match fault.class {
                    // An earlier deletion took effect, or somebody else was faster.
                    FaultClass::Gone => {}
                    _ if fault.scope != FaultScope::Item => return Err(fault),
                    _ => {
                        refused += 1;
                        words = fault.message;
                    }
                }
            }
        }
        if refused == 0 {
            return Ok(());
        }
        let message = format!("the server refused to delete {refused} messages: {words}");
        Err(fault::item(FaultClass::Transient, "DeleteRefused", message))
    }
}

#[async_trait]
impl Session for EwsSession {
    fn select(&mut self, folder: MailFolder) -> Result<(), Fault> {
        (self.folder, self.backlog) = (folder, None);
        Ok(())
    }

    async fn pull(
        &mut self,
        cursor: &Cursor,
        known: &dyn Known,
        limits: Limits,
        deadline: &Deadline,
    ) -> Result<Delta, Fault> {
        let backlog = match &mut self.backlog {
            Some(backlog) => backlog,
            None => {
                let backlog = Backlog::of(&mut self.client, self.folder, cursor, known, deadline).await?;
                self.backlog.insert(backlog)
            }
        };
        Ok(backlog.page(limits))
    }

    async fn headers(&mut self, heads: &[RemoteHead], deadline: &Deadline) -> Result<HeaderBlocks, Fault> {
        let asked: Vec<_> = heads.iter().map(|head| (header::id_of(&head.key), head.size)).collect();
        Ok(header::read(&mut self.client, &asked, deadline).await)
    }

    async fn fetch(&mut self, head: &RemoteHead, deadline: &Deadline) -> Result<BodyReader<'_>, Fault> {
        let item = ItemRef::Item(ItemId::whatever(header::id_of(&head.key)));
        self.client.mime(&item, deadline).await
    }

    async fn delete(&mut self, keys: &[RemoteKey], _: &Deadline) -> Result<(), Fault> {
        self.deletions.extend(keys.iter().cloned());
        Ok(())
    }

    async fn send(
        &mut self,
        envelope: &Envelope,
        body: BodyReader<'_>,
        gate: &mut dyn PointOfNoReturn,
        deadline: &Deadline,
    ) -> Result<SendReceipt, Fault> {
        submit::send(&mut self.client, envelope, body, gate, deadline).await
    }

    fn items(&mut self, home: Tz) -> Option<&mut dyn Items> {
        self.home = home;
        Some(self)
    }

    fn folders(&mut self) -> Option<&mut dyn Folders> {
        Some(self)
    }

    async fn close(mut self: Box<Self>, deadline: &Deadline) -> Result<(), Fault> {
        let deleted = if self.deletions.is_empty() { Ok(()) } else { self.delete_now(deadline).await };
        self.client.close().await;
        deleted
    }
}
