//! One page: what was read of it is decided and written, each part in one fenced transaction.

use std::time::Duration;

use lockstep_connector::{Deadline, Delta, RemoteHead, Session};
use lockstep_engine::quarantine;
use lockstep_model::{
    crashpoint::CrashPoint,
    fault::{Fault, FaultClass, FaultScope},
    id::MailboxId,
    remote::{MailFolder, RemoteKey},
};
use lockstep_store::{
    Error, Tx,
    alerts::{self, Part, Severity, Subject},
    forwarding, incoming, items,
    lanes::{self, Run},
    queue_items, strangers,
};
use lockstep_wire::Counts;
use serde_json::json;

use crate::{
    Context,
    mailbox::{
        detail,
        facts::{self, Facts, Questions},
        look::{self, Looked},
        plan::{self, Forwarding, Planned},
    },
};

/// Attempts at a page that collides with somebody else's.
const ATTEMPTS: u32 = 3;

/// Why an item is set aside whose reader ended without a word.
const WORKER_DIED: &str = "WorkerDied";

/// What follows for an item that is set aside.
const TRIED_AGAIN: &str = "it is tried again by itself";
const GIVEN_UP: &str = "it is not tried again by itself";
const MOVED: &str = "it is moved to the folder Undeliverable of the mailbox and is not tried again by itself";

/// What ended a page early.
pub(crate) enum Stopped {
    /// The server or the connection. What was read before is written.
    Remote(Fault),
    /// Somebody else has worked on the lane: nothing was written.
    Fenced,
    /// The database.
    Store(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// Works a page off and adds to `counts`. The run's version moves with each commit.
pub(crate) async fn work(
    context: &Context,
    run: &mut Run,
    session: &mut dyn Session,
    delta: Delta,
    deadline: &Deadline,
    cautious: bool,
    counts: &mut Counts,
) -> Result<(), Stopped> {
    counts.seen += u32::try_from(delta.heads.len()).unwrap_or(u32::MAX);
    if !delta.gone.is_empty() {
        note_gone(context, run, &delta.gone).await?;
    }
    if cautious && let Some(head) = delta.heads.first() {
        let mut tx = context.store.begin().await?;
        if !lanes::touch(&mut tx, run.mailbox.id, lane(), run.version, &head.key).await? {
            return Err(Stopped::Fenced);
        }
        lanes::touch_in(&mut tx, run.mailbox.id, run.folder).await?;
        tx.commit().await?;
    }
    let (mut reading, mut stopped) = look::by_header(context, run, session, &delta.heads, deadline).await?;
    let alone = Delta::default();
    loop {
        if stopped.is_none() {
            stopped = reading.some_bodies(context, run, session, deadline, counts).await?;
        }
        let (looked, complete) = (reading.take(), reading.is_done() && stopped.is_none());
        if !looked.is_empty() {
            CrashPoint::STORED.reach();
        }
        // A page that was cut short is written as far as it got, without the cursor: the rest is still new next time.
        let listing = if complete || stopped.is_some() { &delta } else { &alone };
        commit(context, run, listing, looked, complete, counts).await?;
        CrashPoint::PAGE_COMMITTED.reach();
        match stopped {
            Some(fault) => return Err(Stopped::Remote(fault)),
            None if complete => return Ok(()),
            None => {}
        }
    }
}

/// Notes what has left the folder, before anything of the page is judged: an item that has come back under another key is
/// then no second one.
async fn note_gone(context: &Context, run: &mut Run, gone: &[RemoteKey]) -> Result<(), Stopped> {
    let mut tx = context.store.begin().await?;
    if !lanes::fence(&mut tx, run.mailbox.id, lane(), run.version, None).await? {
        context.metrics.fenced.inc();
        return Err(Stopped::Fenced);
    }
    items::note_gone(&mut tx, run.mailbox.id, gone).await?;
    tx.commit().await?;
    run.version += 1;
    Ok(())
}

fn lane() -> lockstep_model::mailbox::Lane {
    lockstep_model::mailbox::Lane::Incoming
}

/// The forward mailbox that a run reads, if it is one.
fn via(run: &Run) -> Option<MailboxId> {
    run.mailbox.owner.is_none().then_some(run.mailbox.id)
}

/// What the database says of what these headers raise.
pub(crate) async fn ask(tx: &mut Tx, run: &Run, questions: &Questions) -> Result<Facts, Error> {
    let addresses: Vec<_> = questions.addresses.iter().cloned().collect();
    let message_ids: Vec<_> = questions.message_ids.iter().cloned().collect();
    let emails = incoming::by_message_id(tx, &message_ids).await?;
    let forwarders = forwarding::forwarders(tx, &questions.forwarders.iter().cloned().collect::<Vec<_>>()).await?;
    let receivers = match run.mailbox.owner {
        Some(_) => vec![run.mailbox.id],
        None => forwarders.iter().map(|forwarder| forwarder.mailbox).collect(),
    };
    Ok(Facts {
        addressees: incoming::addressees(tx, &addresses).await?,
        emails,
        tokened: incoming::by_token(tx, &questions.tokens.iter().cloned().collect::<Vec<_>>()).await?,
        same: incoming::by_identity(tx, &receivers, via(run), &questions.identities).await?,
        forwarders,
    })
}

/// Writes the page. On a data error the items are written one by one, and the offender is set aside.
async fn commit(
    context: &Context,
    run: &mut Run,
    delta: &Delta,
    looked: Vec<(RemoteHead, Looked)>,
    complete: bool,
    counts: &mut Counts,
) -> Result<(), Stopped> {
    match write(context, run, delta, &looked, complete, counts).await {
        Err(Stopped::Store(error)) if error.is_about_data() => {
            tracing::warn!(%error, "a page could not be written; its items are written one by one");
        }
        done => return done,
    }
    let alone = Delta::default();
    for (head, looked) in looked {
        let item = [(head, looked)];
        match write(context, run, &alone, &item, false, counts).await {
            Err(Stopped::Store(error)) if error.is_about_data() => {
                let [(head, looked)] = item;
                let message_id = match looked {
                    Looked::Received(received) => facts::message_id(&received.message.headers),
                    Looked::Refused(_, _, message_id) | Looked::Failed(_, message_id) => message_id,
                    Looked::Unfit(misfit) => misfit.outer.message_id,
                };
                let fault = Fault::new(FaultScope::Item, FaultClass::Bug, "ItemUnwritable", error.to_string());
                write(context, run, &alone, &[(head, Looked::Failed(fault, message_id))], false, counts).await?;
            }
            done => done?,
        }
    }
    if complete { write(context, run, delta, &[], true, counts).await } else { Ok(()) }
}

/// One transaction: fence, records, links, items, feed, alerts, cursor. Repeated when it collides.
async fn write(
    context: &Context,
    run: &mut Run,
    delta: &Delta,
    looked: &[(RemoteHead, Looked)],
    complete: bool,
    counts: &mut Counts,
) -> Result<(), Stopped> {
    for attempt in 1..=ATTEMPTS {
        match try_write(context, run, delta, looked, complete).await {
            Ok(Some(done)) => {
                run.version += 1;
                if complete && let Some(cursor) = &delta.cursor {
                    *run.place_mut() = cursor.clone();
                }
                counts.tracked += done.tracked;
                counts.refused += done.refused;
                counts.failed += done.failed;
                let items = &context.metrics.items;
                items.with_label_values(&["tracked"]).inc_by(done.tracked.into());
                items.with_label_values(&["refused"]).inc_by(done.refused.into());
                items.with_label_values(&["failed"]).inc_by(done.failed.into());
                return Ok(());
            }
            // Another page has just recorded one of these messages: read again and link to it.
            Ok(None) => {}
            Err(Stopped::Store(Error::Collided(error))) => tracing::debug!(%error, "page collided"),
            Err(stopped) => return Err(stopped),
        }
        tokio::time::sleep(Duration::from_millis(10).mul_f64(f64::from(attempt) * (0.5 + rand::random::<f64>()))).await;
    }
    let fault = Fault::new(
        FaultScope::Mailbox,
        FaultClass::Transient,
        "PageCollided",
        "the page met other writers three times in a row",
    )
    .local();
    Err(Stopped::Remote(fault))
}

async fn try_write(
    context: &Context,
    run: &Run,
    delta: &Delta,
    looked: &[(RemoteHead, Looked)],
    complete: bool,
) -> Result<Option<Counts>, Stopped> {
    let mailbox = run.mailbox.id;
    let mut tx = context.store.begin().await?;
    let cursor = delta.cursor.as_ref().filter(|_| complete);
    let (of_inbox, of_sent) = match run.folder {
        MailFolder::Inbox => (cursor, None),
        MailFolder::Sent => (None, cursor),
    };
    if !lanes::fence(&mut tx, mailbox, lane(), run.version, of_inbox).await? {
        context.metrics.fenced.inc();
        return Err(Stopped::Fenced);
    }
    if let Some(cursor) = of_sent {
        lanes::sent_up_to(&mut tx, mailbox, cursor).await?;
    }
    let planned = plan(context, &mut tx, run, looked).await?;
    let strangers: Vec<_> = planned.iter().filter_map(|p| p.stranger.clone()).collect();
    let emails: Vec<_> = planned.iter().filter_map(|p| p.email.clone()).collect();
    if !strangers::create(&mut tx, &strangers).await? || !incoming::insert(&mut tx, &emails).await? {
        return Ok(None);
    }
    let links: Vec<_> = planned.iter().filter_map(plan::found).collect();
    incoming::link(&mut tx, via(run), &links).await?;
    let entering: Vec<_> = planned.iter().flat_map(|p| p.queue_items.iter().copied()).collect();
    queue_items::enter(&mut tx, &entering).await?;
    let items: Vec<_> = planned.iter().map(|p| p.item.clone()).collect();
    items::rekey(&mut tx, mailbox, &delta.rekeyed).await?;
    items::put(&mut tx, mailbox, &items).await?;
    if complete && delta.cursor.is_some() {
        items::note_absent(&mut tx, mailbox, run.folder, &delta.absent).await?;
    }
    let created: Vec<_> = emails.iter().map(|e| e.id).collect();
    incoming::tell_created(&mut tx, &created).await?;
    tell(&mut tx, run, delta, &planned).await?;
    if via(run).is_some() {
        tell_forwarding(&mut tx, run, &planned).await?;
    }
    tx.commit().await?;
    detail::judged(run, &planned);
    Ok(Some(count(&planned)))
}

async fn plan(
    context: &Context,
    tx: &mut Tx,
    run: &Run,
    looked: &[(RemoteHead, Looked)],
) -> Result<Vec<Planned>, Error> {
    let mut questions = Questions::default();
    for (_, looked) in looked {
        if let Looked::Received(received) = looked {
            questions.about(run, &received.message.headers);
            questions.identities.push(plan::identity(received).hash);
            received.outer.iter().for_each(|outer| questions.forwarded(outer));
        }
        if let Looked::Unfit(misfit) = looked {
            questions.forwarded(&misfit.outer);
        }
    }
    let mut facts = if looked.is_empty() { Facts::default() } else { ask(tx, run, &questions).await? };
    let failed: Vec<_> = looked
        .iter()
        .filter(|(_, looked)| matches!(looked, Looked::Failed(..)))
        .map(|(head, _)| head.key.clone())
        .collect();
    let attempts = if failed.is_empty() { Vec::new() } else { items::attempts(tx, run.mailbox.id, &failed).await? };
    let now = tx.now();
    let planned = looked.iter().map(|(head, looked)| match looked {
        Looked::Refused(reason, fingerprint, message_id) => {
            plan::refused(run, head, *fingerprint, message_id.clone(), reason.code())
        }
        Looked::Failed(fault, message_id) => {
            let before = failed.iter().position(|key| *key == head.key).and_then(|at| attempts.get(at).copied());
            let again = fault.may_heal() && before.unwrap_or(0) + 1 < context.config.max_item_attempts;
            let backoff = context.scale.apply(Duration::from_secs(context.config.item_backoff_s));
            let pause = fault.retry_after.filter(|_| before.unwrap_or(0) == 0).unwrap_or(backoff);
            let next = again.then(|| now + pause);
            plan::quarantined(run, head, message_id.clone(), (&fault.code, &fault.message), next)
        }
        Looked::Unfit(misfit) => plan::misfit(run, &facts, head, misfit),
        Looked::Received(received) if received.outer.is_some() => plan::forwarded(run, &mut facts, head, received, now),
        Looked::Received(received) => plan::received(run, &mut facts, head, received, now),
    });
    Ok(planned.collect())
}

/// Alerts that belong to the page: unreadable messages, items set aside, a warning of the listing.
async fn tell(tx: &mut Tx, run: &Run, delta: &Delta, planned: &[Planned]) -> Result<(), Error> {
    let mailbox = run.mailbox.id;
    if let Some(warning) = &delta.warning {
        let parameters = json!({ "message": warning.message });
        let subject = Subject::Part(mailbox, Part::Listing);
        alerts::raise(tx, &warning.code, Severity::Warning, subject, parameters).await?;
    }
    for planned in planned {
        if let Some(email) = &planned.email
            && let Some(reason) = &email.unparsable
        {
            // The code of the reason in words; nothing of the message itself, which not everybody may see.
            let parameters = json!({ "reason": reason, "message": reason.replace('_', " ") });
            let subject = Subject::Email(email.id, planned.receiver);
            alerts::raise(tx, "EmailUnparsable", Severity::Warning, subject, parameters).await?;
        }
        if matches!(planned.item.disposition, items::Disposition::Quarantined(_)) {
            let item = &planned.item;
            let reason = item.reason.as_deref().unwrap_or_default();
            let next = match item.disposition {
                items::Disposition::Quarantined(None) if item.move_wanted => MOVED,
                items::Disposition::Quarantined(None) => GIVEN_UP,
                _ => TRIED_AGAIN,
            };
            let words = (reason, item.detail.as_deref().unwrap_or(reason));
            tell_set_aside(tx, mailbox, &item.key, words, next).await?;
        }
    }
    Ok(())
}

/// News of a forward mailbox: one alert for each mailbox where something has to be mended, which counts, and which ends
/// when mail fits.
async fn tell_forwarding(tx: &mut Tx, run: &Run, planned: &[Planned]) -> Result<(), Error> {
    let news = planned.iter().filter_map(|planned| planned.forwarding.as_ref());
    let working: Vec<_> = news
        .clone()
        .filter_map(|news| match news {
            Forwarding::Worked(mailbox) => Some(*mailbox),
            Forwarding::Failed { .. } => None,
        })
        .collect();
    forwarding::fits(tx, &working).await?;
    for news in news {
        if let Forwarding::Failed { mailbox, address, unfit } = news {
            let parameters = json!({ "address": address, "reason": unfit.sentence() });
            let subject = Subject::Mailbox(*mailbox);
            alerts::raise(tx, forwarding::INVALID, Severity::Information, subject, parameters).await?;
        }
    }
    forwarding::settle(tx, run.mailbox.id).await
}

fn count(planned: &[Planned]) -> Counts {
    let mut counts = Counts::default();
    for planned in planned {
        match planned.item.disposition {
            items::Disposition::Tracked(_) => counts.tracked += 1,
            items::Disposition::Refused => counts.refused += 1,
            items::Disposition::Quarantined(_) => counts.failed += 1,
        }
    }
    counts
}

/// Notes what a cautious run before this one left behind: the item it was about to touch. Where its claim has run out,
/// its worker died over that item, and the item is read again now or later; where it has reported, it lived, whatever
/// else ended it.
pub(crate) async fn note_death(context: &Context, run: &mut Run) -> Result<(), Stopped> {
    let Some(key) = run.touching.take() else { return Ok(()) };
    let (mailbox, folder) = (run.mailbox.id, run.mail.touching_folder);
    let mut tx = context.store.begin().await?;
    if !lanes::fence(&mut tx, mailbox, lane(), run.version, None).await? {
        context.metrics.fenced.inc();
        return Err(Stopped::Fenced);
    }
    if run.claims > 1 {
        let deaths = items::deaths(&mut tx, mailbox, &key).await? + 1;
        let wait = quarantine::after_death(deaths, rand::random());
        let next = tx.now() + context.scale.apply(wait.unwrap_or_default());
        let message = "the worker ended without a word while it read this item";
        items::note_death(&mut tx, mailbox, (folder, &key), (WORKER_DIED, message), next).await?;
        tracing::warn!(item = %key, deaths, set_aside = wait.is_some(), "a worker ended over an item");
        if wait.is_some() {
            tell_set_aside(&mut tx, mailbox, &key, (WORKER_DIED, message), TRIED_AGAIN).await?;
        } else {
            run.attempt_due = true;
            run.mail.sent_due |= folder == MailFolder::Sent;
        }
    }
    tx.commit().await?;
    run.version += 1;
    Ok(())
}

async fn tell_set_aside(
    tx: &mut Tx,
    mailbox: MailboxId,
    key: &RemoteKey,
    (reason, message): (&str, &str),
    next: &str,
) -> Result<(), Error> {
    let parameters = json!({ "item": key.to_string(), "reason": reason, "message": message, "next": next });
    let subject = Subject::Item(mailbox, key);
    alerts::raise(tx, items::QUARANTINED, Severity::Warning, subject, parameters).await
}
