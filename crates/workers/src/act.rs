//! Appointments, contacts and tasks, both ways: the way of one cycle.
//!
//! First what other runs left half done, then what the server lists, then what was written in the CRM. Each batch is read
//! on both sides, planned by the engine, carried out by intent and written down in one fenced transaction.

mod attachments;
mod beside;
mod carry;
pub(crate) mod claim;
mod cursors;
mod failures;
mod gather;
mod kind_rules;
mod known;
mod questions;
mod record;
mod review;
mod settle;
mod writes;

use std::{collections::HashMap, sync::Arc, time::Duration};

use lockstep_connector::{
    Deadline, Session,
    items::{Folder, Items},
};
use lockstep_engine::merge::{
    brake::{HELD_FOR, Tally},
    deletion::Choices,
};
use lockstep_model::{
    address::AddressKey,
    fault::{Fault, FaultClass, FaultScope},
    id::{RunId, UserId},
    mailbox::Owner,
    record::{Kind, LinkId, RemoteVersion},
    remote::RemoteKey,
};
use lockstep_store::{
    Tx, feed,
    item_options::{self, ItemOptions},
    item_retries::{self, Which},
    lanes::Run,
    links, records, users,
};
use lockstep_wire::{Counts, Outcome};
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    Context,
    act::{
        cursors::Cursors,
        gather::Batch,
        kind_rules::KindRules,
        review::{Review, Reviewed},
    },
    config::PAGE_MIB,
    mailbox::{MARGIN, Stopped, Way, hold},
    slots::{AFTER_YOU, Slot},
};

/// Records and items of one batch, at most.
const TOGETHER: u16 = 200;

/// So many entries of the feed that concern nobody here are read again each cycle rather than noted as read.
const UNNOTED: i64 = 1_000;

/// How often all records are held against the filters, whatever the feed says: time passes, and rights change.
const REVIEW_EVERY: Duration = Duration::from_secs(3_600);

/// Marks of items without a link that one cycle remembers.
const UNCLAIMED: usize = 10_000;

/// One cycle.
pub(crate) struct Act<'a> {
    context: &'a Context,
    run: &'a mut Run,
    run_id: RunId,
    user: UserId,
    address: Option<AddressKey>,
    deadline: &'a Deadline,
    cursors: Cursors,
    options: ItemOptions,
    /// Items that carry a mark no link has: copies, or items whose link was lost.
    unclaimed: HashMap<LinkId, RemoteKey>,
    /// What nobody has to look for any more.
    over: Vec<Which>,
    /// Appointments of the page of a listing that is not yet noted as read.
    listed: Vec<(RemoteKey, RemoteVersion)>,
    questions: questions::Pending,
    counts: &'a mut Counts,
    kinds: HashMap<Kind, KindRules>,
    tallies: HashMap<Folder, Tally>,
}

/// What a cycle shares with others of its process.
pub(crate) struct Shared<'a> {
    pub(crate) memory: &'a Arc<Semaphore>,
    pub(crate) slot: &'a Slot,
    pub(crate) run: RunId,
}

/// Synchronises appointments, contacts and tasks of a mailbox.
pub(crate) async fn cycle(
    context: &Context,
    run: &mut Run,
    session: &mut dyn Session,
    deadline: &Deadline,
    shared: Shared<'_>,
    counts: &mut Counts,
) -> Result<Way, Stopped> {
    let Some(Owner::User(user)) = run.mailbox.owner else {
        return Err(Stopped::Remote(refused("only the mailbox of a user has appointments, contacts and tasks")));
    };
    // Times that name no zone are where the user is.
    let home = users::time_zone(&mut context.store.begin().await?, user).await?;
    let Some(items) = session.items(home) else {
        return Err(Stopped::Remote(refused("the server's protocol has email only")));
    };
    let turn_ends = Instant::now() + context.config.turn();
    let options = item_options::read(&mut context.store.begin().await?).await?;
    let (address, cursors) = (AddressKey::of(&run.mailbox.address), Cursors::read(&run.cursor));
    let mut act = Act {
        context,
        run,
        run_id: shared.run,
        user,
        address,
        deadline,
        cursors,
        options,
        unclaimed: HashMap::new(),
        over: Vec::new(),
        listed: Vec::new(),
        questions: questions::Pending::default(),
        counts,
        kinds: HashMap::new(),
        tallies: HashMap::new(),
    };
    let mut pace = Pace { memory: shared.memory, slot: shared.slot, turn_ends };
    let again = settle::settle(&mut act, items).await?;
    if let Some(way) =
        act.batch(items, Batch { records: again.into_iter().collect(), ..Batch::default() }, &mut pace).await?
    {
        return Ok(way);
    }
    for folder in Folder::ALL {
        if let Some(way) = act.listing(items, folder, &mut pace).await? {
            return Ok(way);
        }
    }
    if let Some(way) = act.due(items, &mut pace).await? {
        return Ok(way);
    }
    if let Some(way) = act.records(items, &mut pace).await? {
        return Ok(way);
    }
    let way = attachments::bring_in_step(&mut act, items, &mut pace).await?;
    Ok(way.unwrap_or((Outcome::Completed, None)))
}

fn refused(words: &str) -> Fault {
    Fault::new(FaultScope::Mailbox, FaultClass::Refused, "NotSupportedByProtocol", words).local()
}

/// When a cycle gives way.
struct Pace<'a> {
    memory: &'a Arc<Semaphore>,
    slot: &'a Slot,
    turn_ends: Instant,
}

impl Act<'_> {
    /// One batch: both sides are read, planned, and brought together. `Some`: the cycle ends after it.
    async fn batch(
        &mut self,
        items: &mut dyn Items,
        batch: Batch,
        pace: &mut Pace<'_>,
    ) -> Result<Option<Way>, Stopped> {
        let _held = hold(pace.memory, PAGE_MIB.min(self.context.config.memory_budget_mib), self.deadline).await?;
        let cases = gather::gather(self, items, &batch).await?;
        self.counts.seen += u32::try_from(cases.len()).unwrap_or(u32::MAX);
        carry::carry_out(self, items, cases).await?;
        // What one mailbox holds must not keep the others waiting (N6), least of all those of the same server (N1).
        if Instant::now() >= pace.turn_ends && pace.slot.gives_way() {
            return Ok(Some((Outcome::Yielded, Some(AFTER_YOU))));
        }
        let spent = self.counts.seen >= self.run.items_per_cycle || self.deadline.budget_is_spent(MARGIN);
        Ok(spent.then_some((Outcome::Yielded, None)))
    }

    /// So many may be looked at together: no more than a cycle may.
    fn room(&self) -> u16 {
        let left = self.run.items_per_cycle.saturating_sub(self.counts.seen);
        u16::try_from(left).unwrap_or(u16::MAX).clamp(1, TOGETHER)
    }

    /// What a folder lists.
    async fn listing(
        &mut self,
        items: &mut dyn Items,
        folder: Folder,
        pace: &mut Pace<'_>,
    ) -> Result<Option<Way>, Stopped> {
        loop {
            let cursor = self.cursors.folder(folder);
            let changes = items.changes(folder, &cursor, self.room(), self.deadline).await.map_err(Stopped::Remote)?;
            let more = changes.more;
            self.heard(folder, &changes);
            if changes.reset {
                // Links may have been lost with whatever made the server forget.
                (self.cursors.reviewed, self.cursors.review) = (None, None);
            }
            if changes.changed.is_empty() && changes.deleted.is_empty() && !cursor.is_start() && !changes.reset {
                return Ok(None);
            }
            self.cursors.move_to(folder, &changes.cursor);
            let heads = changes.changed.into_iter().map(|head| (folder, head)).collect();
            let batch = Batch { heads, deleted: changes.deleted, ..Batch::default() };
            if let Some(way) = self.batch(items, batch, pace).await? {
                return Ok(Some(way));
            }
            if !more {
                return Ok(None);
            }
        }
    }

    /// What could not be done before and is due again.
    async fn due(&mut self, items: &mut dyn Items, pace: &mut Pace<'_>) -> Result<Option<Way>, Stopped> {
        let mut tx = self.context.store.begin().await?;
        let (mailbox, limit) = (self.run.mailbox.id, i64::from(self.room()));
        let due = item_retries::due(&mut tx, mailbox, limit).await?;
        let given_up = tx.now() - chrono::TimeDelta::from_std(HELD_FOR).unwrap_or(chrono::TimeDelta::MAX);
        let held = links::held_long_enough(&mut tx, mailbox, given_up, limit).await?;
        drop(tx);
        let mut batch = Batch { records: held.into_iter().collect(), ..Batch::default() };
        for (which, folder) in due {
            match which {
                Which::Record(_, id) => drop(batch.records.insert(id)),
                Which::Item(key) => {
                    let folder = Folder::ALL.into_iter().find(|known| known.name() == folder);
                    batch.due.extend(folder.map(|folder| (folder, key)));
                }
            }
        }
        let mut tx = self.context.store.begin().await?;
        questions::due(self, &mut tx, limit, &mut batch).await?;
        drop(tx);
        if batch.is_empty() { Ok(None) } else { self.batch(items, batch, pace).await }
    }

    /// What was written in the CRM since, or once in a while everything.
    async fn records(&mut self, items: &mut dyn Items, pace: &mut Pace<'_>) -> Result<Option<Way>, Stopped> {
        let mut tx = self.context.store.begin().await?;
        let (now, head, tail) = (tx.now(), feed::head(&mut tx).await?, feed::tail(&mut tx).await?);
        drop(tx);
        let (epoch, last) = head.map_or((None, 0), |(epoch, last)| (Some(epoch), last));
        let every =
            chrono::TimeDelta::from_std(self.context.scale.apply(REVIEW_EVERY)).unwrap_or(chrono::TimeDelta::MAX);
        let generation = self.run.review_generation;
        let reviewed = self.cursors.reviewed.is_some_and(|last| last.generation == generation && now - last.at < every);
        if !reviewed || self.cursors.epoch != epoch || self.cursors.position < tail {
            let goes_on =
                |review: &Review| review.generation == generation && review.epoch == epoch && review.position >= tail;
            let under_way = self.cursors.review.take().filter(goes_on);
            let mut review = under_way.unwrap_or_else(|| Review::begin(generation, epoch, last));
            let way = self.review(items, pace, &mut review).await?;
            if way.is_some() {
                self.cursors.review = Some(review);
            } else {
                (self.cursors.epoch, self.cursors.position) = (review.epoch, review.position);
                self.cursors.reviewed = Some(Reviewed { generation, at: now });
            }
            carry::carry_out(self, items, Vec::new()).await?;
            if way.is_some() {
                return Ok(way);
            }
        }
        loop {
            let before = self.cursors.position;
            let mut tx = self.context.store.begin().await?;
            let limit = i64::from(self.room());
            let (written, position) = records::written_since(&mut tx, before, limit).await?;
            drop(tx);
            if written.is_empty() && position - before < UNNOTED {
                return Ok(None);
            }
            let more = position < last;
            self.cursors.position = position;
            let batch = Batch { records: written.into_iter().map(|(_, id)| id).collect(), ..Batch::default() };
            if let Some(way) = self.batch(items, batch, pace).await? {
                return Ok(Some(way));
            }
            if !more {
                return Ok(None);
            }
        }
    }

    /// What holds for a kind, read once a cycle.
    async fn rules_of(&mut self, tx: &mut Tx, kind: Kind) -> lockstep_store::Result<KindRules> {
        if let Some(known) = self.kinds.get(&kind) {
            return Ok(known.clone());
        }
        let rules = KindRules::read(tx, self.user, kind).await?;
        self.kinds.insert(kind, rules.clone());
        Ok(rules)
    }

    async fn kind_rules(&mut self, kind: Kind) -> lockstep_store::Result<KindRules> {
        if let Some(known) = self.kinds.get(&kind) {
            return Ok(known.clone());
        }
        let mut tx = self.context.store.begin().await?;
        self.rules_of(&mut tx, kind).await
    }

    /// What the organisation has chosen about deletions.
    const fn choices(&self) -> Choices {
        Choices {
            leaving_deletes: self.options.leaving_deletes,
            tasks_are_deleted_in_crm: self.options.tasks_are_deleted_in_crm,
            cancelling_spreads: self.options.cancelling_spreads,
        }
    }

    /// What this cycle has seen of a folder so far.
    async fn tally(&mut self, folder: Folder) -> lockstep_store::Result<&mut Tally> {
        if !self.tallies.contains_key(&folder) {
            let kinds: Vec<_> = Kind::ALL.into_iter().filter(|kind| Folder::of(*kind) == folder).collect();
            let mut tx = self.context.store.begin().await?;
            let known = links::count(&mut tx, self.run.mailbox.id, &kinds).await?;
            self.tallies.insert(folder, Tally { known, ..Tally::default() });
        }
        Ok(self.tallies.entry(folder).or_default())
    }

    /// Remembers an item that carries a mark no link has, as far as there is room.
    fn remember(&mut self, mark: LinkId, key: &RemoteKey) {
        if self.unclaimed.len() < UNCLAIMED {
            self.unclaimed.insert(mark, key.clone());
        }
    }
}
