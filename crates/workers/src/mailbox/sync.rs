//! The way of one run at a lane, from the connection to its end: the table of contents of the product.

use std::{sync::Arc, time::Duration};

use lockstep_connector::{Deadline, Limits, Session};
use lockstep_engine::budget;
use lockstep_model::{
    crashpoint::CrashPoint,
    fault::Fault,
    mailbox::Lane,
    remote::{Cursor, MailFolder},
};
use lockstep_store::{
    alerts::{self, Part},
    items,
    lanes::{self, Run},
};
use lockstep_wire::{Counts, Outcome};
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    Context, act,
    airlock::Airlock,
    config::PAGE_MIB,
    mailbox::{
        detail,
        known::{DATABASE_AWAY, StoreKnown},
        moves,
        page::{self, Stopped},
        report::Ended,
    },
    slots::{AFTER_YOU, Slot},
    target,
};

/// No page is begun with less than this left of the run's budget.
pub(crate) const MARGIN: Duration = Duration::from_secs(5);

/// Deletions asked for in one session.
const MAX_DELETIONS: i64 = 500;

/// Synchronises a lane. Returns how it went.
///
/// # Errors
/// When the database is away, so that nothing can be recorded.
pub(crate) async fn sync(
    context: &Context,
    run: &mut Run,
    airlock: &Airlock,
    memory: &Arc<Semaphore>,
    slot: &Slot,
) -> lockstep_store::Result<Ended> {
    let mut counts = Counts::default();
    match cycle(context, run, airlock, memory, slot, &mut counts).await {
        Ok((outcome, wait)) => Ok(Ended { outcome, counts, fault: None, wait }),
        Err(Stopped::Fenced) => Ok(Ended { outcome: Outcome::LeaseLost, counts, fault: None, wait: None }),
        Err(Stopped::Remote(fault)) if fault.code == "LeaseLost" => {
            Ok(Ended { outcome: Outcome::LeaseLost, counts, fault: None, wait: None })
        }
        Err(Stopped::Remote(fault)) if fault.code == DATABASE_AWAY => {
            // Asking again tells whether it is still away.
            context.store.begin().await?;
            Ok(Ended::failed(fault, counts))
        }
        Err(Stopped::Remote(fault)) => {
            airlock.obey(&fault).await;
            Ok(Ended::failed(fault, counts))
        }
        Err(Stopped::Store(error)) => Err(error),
    }
}

/// How a cycle ended that nothing has stopped, and how long its lane waits at least.
pub(crate) type Way = (Outcome, Option<Duration>);

async fn cycle(
    context: &Context,
    run: &mut Run,
    airlock: &Airlock,
    memory: &Arc<Semaphore>,
    slot: &Slot,
    counts: &mut Counts,
) -> Result<Way, Stopped> {
    let deadline = &airlock.deadline;
    let access = run.access.clone();
    let target =
        target(context, &access, &access.profile.incoming, Some(&run.mailbox.address)).map_err(Stopped::Remote)?;
    let connector = context.connectors.get(&target.endpoint.protocol).map_err(Stopped::Remote)?;
    let able = connector.descriptor().capabilities;
    // A forward mailbox is nobody's: nobody sends from it.
    run.mail.auto_track_sent_items &= able.sent_items && run.mailbox.owner.is_some();
    run.mail.move_undeliverable &= able.folders;
    CrashPoint::ADMITTED.reach();
    let asked = Instant::now();
    let opened = connector.open(&target, deadline).await;
    detail::connected(run, asked, opened.as_ref().err());
    let mut session = opened.map_err(Stopped::Remote)?;
    let worked = match run.lane {
        Lane::Incoming => pages(context, run, session.as_mut(), deadline, memory, slot, counts).await,
        Lane::Act => {
            let shared = act::Shared { memory, slot, run: airlock.run() };
            Box::pin(act::cycle(context, run, session.as_mut(), deadline, shared, counts)).await
        }
    };
    let way = match worked {
        Ok(way) => way,
        Err(stopped) => {
            // The permit is given back only after the socket is closed.
            let _ = session.close(deadline).await;
            CrashPoint::CLOSED.reach();
            return Err(stopped);
        }
    };
    let carried = if run.lane == Lane::Incoming && (run.mail.moves_wanted || counts.failed > 0) {
        moves::carry(context, run, session.as_mut(), deadline).await
    } else {
        Ok(false)
    };
    // What is in the inbox again is read in another cycle, at once.
    let way = match carried {
        Ok(false) => way,
        Ok(true) => (Outcome::Yielded, None),
        Err(stopped) => {
            let _ = session.close(deadline).await;
            CrashPoint::CLOSED.reach();
            return Err(stopped);
        }
    };
    let deleted = delete_processed(context, run, session.as_mut(), deadline, counts).await;
    let closed = session.close(deadline).await;
    CrashPoint::CLOSED.reach();
    let deleted = deleted?;
    if !deleted.is_empty() {
        // Without the server's word the deletions are asked for again next time.
        closed.map_err(Stopped::Remote)?;
        let mut tx = context.store.begin().await?;
        items::deletions_done(&mut tx, run.mailbox.id, &deleted).await?;
        tx.commit().await?;
    }
    Ok(way)
}

/// Folder by folder, page by page, until nothing is new, the budget is spent, or the turn is over and another mailbox
/// waits for the slot.
async fn pages(
    context: &Context,
    run: &mut Run,
    session: &mut dyn Session,
    deadline: &Deadline,
    memory: &Arc<Semaphore>,
    slot: &Slot,
    counts: &mut Counts,
) -> Result<Way, Stopped> {
    let turn_ends = Instant::now() + context.config.turn();
    page::note_death(context, run).await?;
    let mut warned = false;
    for folder in [MailFolder::Inbox, MailFolder::Sent] {
        if folder == MailFolder::Sent && !run.mail.auto_track_sent_items {
            continue;
        }
        run.folder = folder;
        session.select(folder).map_err(Stopped::Remote)?;
        let way = listing(context, run, session, deadline, memory, (slot, turn_ends), &mut warned, counts).await?;
        if way.0 != Outcome::Completed {
            return Ok(way);
        }
    }
    Ok((Outcome::Completed, None))
}

/// Where the listing of the folder begins. An item that is due once more is found only by looking at all of it again.
fn beginning(run: &Run) -> Cursor {
    let due = match run.folder {
        MailFolder::Inbox => run.attempt_due || run.judgement_due,
        MailFolder::Sent => run.mail.sent_due,
    };
    if due { Cursor::default() } else { run.place().clone() }
}

#[expect(clippy::too_many_arguments, reason = "each is a bound of the run, or what it leaves behind")]
async fn listing(
    context: &Context,
    run: &mut Run,
    session: &mut dyn Session,
    deadline: &Deadline,
    memory: &Arc<Semaphore>,
    (slot, turn_ends): (&Slot, Instant),
    warned: &mut bool,
    counts: &mut Counts,
) -> Result<Way, Stopped> {
    let limits = budget::page_limits(run.claims.saturating_sub(1), run.suspect_due);
    let cautious = limits.items == 1;
    let cursor = beginning(run);
    let (page, most) = (limits.items, run.items_per_cycle);
    loop {
        let left = usize::try_from(most.saturating_sub(counts.seen)).unwrap_or(usize::MAX);
        let limits = Limits { items: page.min(left), bytes: limits.bytes };
        let asked = Instant::now();
        let store = context.store.clone();
        let known = StoreKnown { store: &store, mailbox: run.mailbox.id, folder: run.folder };
        let delta = session.pull(&cursor, &known, limits, deadline).await.map_err(Stopped::Remote)?;
        detail::listed(run, &delta, asked);
        let (more, listed) = (delta.more, delta.cursor.is_some());
        *warned |= delta.warning.is_some();
        if !delta.is_empty() {
            CrashPoint::LISTED.reach();
            let _held = hold(memory, share(run, context), deadline).await?;
            Box::pin(page::work(context, run, session, delta, deadline, cautious, counts)).await?;
        }
        if !more {
            if run.listing_alert && listed && !*warned {
                let mut tx = context.store.begin().await?;
                alerts::resolve_part(&mut tx, run.mailbox.id, Part::Listing).await?;
                tx.commit().await?;
            }
            return Ok((Outcome::Completed, None));
        }
        // What one mailbox holds must not keep the others waiting (N6), least of all those of the same server (N1).
        if Instant::now() >= turn_ends && slot.gives_way() {
            return Ok((Outcome::Yielded, Some(AFTER_YOU)));
        }
        if counts.seen >= most || deadline.budget_is_spent(MARGIN) {
            return Ok((Outcome::Yielded, None));
        }
    }
}

/// A page's share of the process's memory in MiB: what is held before it is written, and the texts of one message of the
/// largest size the organisation allows, in the form they were read in and in the form they are written in.
fn share(run: &Run, context: &Context) -> u32 {
    let body = u32::try_from(run.limits.max_body_bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX);
    PAGE_MIB.saturating_add(body.saturating_sub(1).saturating_mul(4)).min(context.config.memory_budget_mib)
}

/// Waits for a page's share of the process's memory.
pub(crate) async fn hold(
    memory: &Arc<Semaphore>,
    share: u32,
    deadline: &Deadline,
) -> Result<tokio::sync::OwnedSemaphorePermit, Stopped> {
    let share = Arc::clone(memory).acquire_many_owned(share);
    let held = deadline.run(deadline.remaining(), share).await.map_err(Stopped::Remote)?;
    held.map_err(|_| Stopped::Remote(closed()))
}

fn closed() -> Fault {
    use lockstep_model::fault::{FaultClass, FaultScope};
    // Nobody closes it while handlers run.
    Fault::new(FaultScope::Mailbox, FaultClass::Bug, "InternalError", "the memory budget is closed").local()
}

/// Deletes processed items on the server: those of this run, and those an earlier run did not hear confirmed.
async fn delete_processed(
    context: &Context,
    run: &Run,
    session: &mut dyn Session,
    deadline: &Deadline,
    counts: &Counts,
) -> Result<Vec<lockstep_model::remote::RemoteKey>, Stopped> {
    let new = run.mailbox.delete_after_processing && counts.tracked > 0;
    if run.lane != Lane::Incoming || !(run.deletions_wanted || new) {
        return Ok(Vec::new());
    }
    let mut tx = context.store.begin().await?;
    let keys = items::deletions_wanted(&mut tx, run.mailbox.id, MAX_DELETIONS).await?;
    // Only the run that holds the lane may delete there.
    let ours = lanes::still(&mut tx, run.mailbox.id, Lane::Incoming, run.version).await?;
    drop(tx);
    if !ours {
        return Err(Stopped::Fenced);
    }
    if !keys.is_empty() {
        deadline.check(Duration::from_secs(1)).map_err(Stopped::Remote)?;
        session.delete(&keys, deadline).await.map_err(Stopped::Remote)?;
        CrashPoint::DELETED.reach();
    }
    Ok(keys)
}
