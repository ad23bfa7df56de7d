//! What a page writes into the CRM: collected while its cases are settled, written in a few statements.

use chrono::{DateTime, Utc};
use lockstep_model::record::RecordId;
use lockstep_store::{
    Result, Tx,
    records::{self, Record, Written},
};
use uuid::Uuid;

use crate::act::record;

/// Who is named as the writer of what comes from a mailbox.
pub(super) const ACTOR: &str = "server-side synchronization";

/// Records that are made, changed and removed. Those of the last two are locked.
#[derive(Default)]
pub(super) struct Writes {
    made: Vec<Written>,
    changed: Vec<Written>,
    removed: Vec<Record>,
}

impl Writes {
    /// A new record, as it will be.
    pub(super) fn make(&mut self, record: Record, now: DateTime<Utc>) -> Record {
        let fields = record::changed(&record::blank(record.kind(), Uuid::nil()), &record);
        let record = records::begun(record, now);
        self.made.push(Written { record: record.clone(), fields });
        record
    }

    /// A record with other values; as it will be.
    pub(super) fn change(&mut self, before: &Record, after: Record, now: DateTime<Utc>) -> Record {
        let fields = record::changed(before, &after);
        self.changed.push(Written { record: after.clone(), fields });
        after.next(now)
    }

    /// A record that goes.
    pub(super) fn remove(&mut self, record: &Record) {
        self.removed.push(record.clone());
    }

    /// Every record that is written.
    pub(super) fn ids(&self) -> Vec<RecordId> {
        let written = self.made.iter().chain(&self.changed).map(|written| written.record.id());
        written.chain(self.removed.iter().map(Record::id)).collect()
    }

    /// Writes them.
    pub(super) async fn write(&self, tx: &mut Tx) -> Result<()> {
        records::insert(tx, &self.made, ACTOR).await?;
        records::update(tx, &self.changed, ACTOR).await?;
        records::remove(tx, &self.removed, ACTOR).await
    }
}
