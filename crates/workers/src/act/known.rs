//! What the database says of a batch.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use lockstep_model::{
    address::AddressKey,
    record::{Kind, LinkId, RecordId},
};
use lockstep_store::{
    filters, intents,
    links::{self, Elsewhere, Link},
    records::{self, Record},
    rights::Privilege,
};

use crate::{
    act::{
        Act,
        gather::{Batch, organiser},
    },
    mailbox::Stopped,
};

/// What the database says of a batch.
pub(crate) struct Known {
    pub(crate) links: Vec<Link>,
    pub(crate) records: HashMap<RecordId, Record>,
    /// Records that belong into the mailbox.
    pub(crate) passing: BTreeSet<RecordId>,
    pub(crate) readable: BTreeSet<RecordId>,
    pub(crate) writable: BTreeSet<RecordId>,
    pub(crate) deletable: BTreeSet<RecordId>,
    pub(crate) elsewhere: Vec<Elsewhere>,
    /// Organisers from whose own mailboxes their meetings come.
    pub(crate) organisers: Vec<AddressKey>,
    /// Records with a step under way whose outcome nobody knows yet.
    pub(crate) waiting: BTreeSet<RecordId>,
    pub(crate) agreed: bool,
    pub(crate) now: DateTime<Utc>,
}

/// Reads it, in a few statements.
pub(crate) async fn ask(act: &mut Act<'_>, batch: &Batch) -> Result<Known, Stopped> {
    let mailbox = act.run.mailbox.id;
    let records: Vec<_> = batch.records.iter().copied().collect();
    let keys: Vec<_> = batch
        .heads
        .iter()
        .map(|(_, head)| head.key.clone())
        .chain(batch.deleted.iter().cloned())
        .chain(batch.due.iter().map(|(_, key)| key.clone()))
        .collect();
    let marks: Vec<LinkId> = batch.heads.iter().filter_map(|(_, head)| head.mark).collect();
    let mut tx = act.context.store.begin().await?;
    let links = links::of(&mut tx, mailbox, &records, &keys, &marks).await?;
    let tied: BTreeSet<_> = links.iter().map(|link| &link.remote).collect();
    let uids: Vec<_> = batch
        .heads
        .iter()
        .filter(|(_, head)| !tied.contains(&head.key))
        .filter_map(|(_, head)| head.uid.clone())
        .collect();
    let mut ids: BTreeSet<_> = records.iter().copied().chain(links.iter().map(|link| link.record)).collect();
    let elsewhere = links::elsewhere(&mut tx, mailbox, &ids.iter().copied().collect::<Vec<_>>(), &uids).await?;
    let of_uids: Vec<_> =
        elsewhere.iter().filter(|other| other.uid.as_ref().is_some_and(|uid| uids.contains(uid))).collect();
    ids.extend(of_uids.iter().map(|other| other.record));
    let mut links = links;
    let more: Vec<_> = of_uids.iter().map(|other| other.record).collect();
    for link in links::of(&mut tx, mailbox, &more, &[], &[]).await? {
        if links.iter().all(|known| known.id != link.id) {
            links.push(link);
        }
    }
    let ids: Vec<_> = ids.into_iter().collect();
    let records: HashMap<_, _> =
        records::read(&mut tx, &ids).await?.into_iter().map(|record| (record.id(), record)).collect();
    let mut by_kind: BTreeMap<Kind, Vec<_>> = BTreeMap::new();
    for record in records.values() {
        by_kind.entry(record.kind()).or_default().push(record.id().0);
    }
    let mut passing = BTreeSet::new();
    for (kind, among) in by_kind {
        let rules = act.rules_of(&mut tx, kind).await?;
        let question = filters::Question {
            user: act.user,
            kind,
            filters: rules.filters(),
            among: Some(&among),
            after: None,
            limit: i64::try_from(among.len()).unwrap_or(i64::MAX),
        };
        passing.extend(filters::passing(&mut tx, question).await?.into_iter().map(RecordId));
    }
    passing.retain(|id| records.get(id).is_some_and(|record| !record.is_draft()));
    let organisers: BTreeSet<_> = records.values().filter_map(|record| organiser(&record.fields())).collect();
    let organisers = records::synchronised_organisers(&mut tx, &organisers.into_iter().collect::<Vec<_>>()).await?;
    let waiting = intents::of(&mut tx, mailbox).await?.into_iter().map(|intent| intent.record).collect();
    let readable = records::permitted(&mut tx, act.user, Privilege::Read, &ids).await?;
    let writable = records::permitted(&mut tx, act.user, Privilege::Write, &ids).await?;
    let deletable = records::permitted(&mut tx, act.user, Privilege::Delete, &ids).await?;
    let agreed = links::deletions_agreed(&mut tx, mailbox).await?;
    let now = tx.now();
    Ok(Known { links, records, passing, readable, writable, deletable, elsewhere, organisers, waiting, agreed, now })
}
