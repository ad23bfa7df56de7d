//! Carrying a batch's plans out: intents first, then the server, then everything else in one fenced transaction.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use lockstep_connector::items::{Folder, Items, NotDone, Reading, Receipt, Write};
use lockstep_engine::merge::{Base, Lost, Side, Step, Written, plan::Key};
use lockstep_model::{
    crashpoint::CrashPoint,
    fault::{Fault, FaultClass, FaultScope},
    mailbox::Lane,
    record::{Fields, LinkId},
    remote::RemoteKey,
};
use lockstep_store::{
    Tx,
    alerts::{self, Severity, Subject},
    intents::{self, Intent, Planned},
    item_retries::{self, Failed, Which},
    lanes,
    links::{self, Link, LostValue},
    records::{self, Record},
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    act::{
        Act, attachments, beside, claim, failures,
        gather::{Case, base_of, seen_item, seen_record, why_word},
        questions, record,
        writes::Writes,
    },
    mailbox::Stopped,
};

/// The alert of deletions that wait for a person.
pub(crate) const DELETIONS_HELD: &str = "DeletionsHeld";

/// What became of a case's step on the server.
enum There {
    /// It has none.
    Nothing,
    /// It was done; what was there afterwards, unless it was a deletion.
    Done(Option<Box<(lockstep_connector::items::Item, bool)>>, Vec<String>),
    /// It was certainly not done.
    Not(NotDone),
    /// Nobody knows: its intent stays.
    Unknown,
}

/// Carries out the plans. The cursors move with the last transaction, if every step was answered.
pub(crate) async fn carry_out(act: &mut Act<'_>, items: &mut dyn Items, cases: Vec<Case>) -> Result<(), Stopped> {
    let (there, broken) = on_the_server(act, items, &cases).await?;
    if !cases.is_empty() {
        CrashPoint::STORED.reach();
    }
    let outcomes: Vec<_> = cases.into_iter().zip(there).collect();
    match commit(act, &outcomes, broken.is_none()).await {
        Err(Stopped::Store(error)) if error.is_about_data() => {
            tracing::warn!(%error, "a page could not be written; its items are written one by one");
            one_by_one(act, outcomes, broken.is_none()).await?;
        }
        done => done?,
    }
    CrashPoint::PAGE_COMMITTED.reach();
    broken.map_or(Ok(()), |fault| Err(Stopped::Remote(fault)))
}

async fn one_by_one(act: &mut Act<'_>, outcomes: Vec<(Case, There)>, complete: bool) -> Result<(), Stopped> {
    for outcome in outcomes {
        let mut outcome = [outcome];
        match commit(act, &outcome, false).await {
            Err(Stopped::Store(error)) if error.is_about_data() => {
                let fault = Fault::new(FaultScope::Item, FaultClass::Bug, "ItemUnwritable", error.to_string());
                outcome[0].0.plan.steps.clear();
                outcome[0].0.failed = Some(fault.local());
                outcome[0].1 = There::Unknown;
                commit(act, &outcome, false).await?;
            }
            done => done?,
        }
    }
    commit(act, &[], complete).await
}

/// Stores the intents, does the steps, and reads back what they left behind.
async fn on_the_server(
    act: &mut Act<'_>,
    items: &mut dyn Items,
    cases: &[Case],
) -> Result<(Vec<There>, Option<Fault>), Stopped> {
    let mut there: Vec<_> = cases.iter().map(|_| There::Nothing).collect();
    let (mut writes, mut of, mut intents) = (Vec::new(), Vec::new(), Vec::new());
    for (n, case) in cases.iter().enumerate() {
        if let Some((write, intent)) = remote_step(act, case) {
            writes.push(write);
            of.push(n);
            intents.push(intent);
        }
    }
    if writes.is_empty() {
        return Ok((there, None));
    }
    claim::hold(act, items).await?;
    let mut tx = act.context.store.begin().await?;
    fence(act, &mut tx, None).await?;
    intents::store(&mut tx, act.run.mailbox.id, &intents).await?;
    tx.commit().await?;
    act.run.version += 1;
    CrashPoint::INTENDED.reach();
    let mut broken = act.deadline.check(std::time::Duration::from_secs(1)).err();
    if broken.is_some() {
        // Nothing was begun: whoever finds the intents sees that.
        of.iter().for_each(|n| there[*n] = There::Unknown);
        return Ok((there, broken));
    }
    let written = items.write(&writes, act.deadline).await;
    CrashPoint::CARRIED_OUT.reach();
    broken = written.broken;
    let mut done = written.done.into_iter();
    let mut read_back: BTreeMap<Folder, Vec<(usize, Receipt)>> = BTreeMap::new();
    for n in of {
        there[n] = match done.next() {
            None => There::Unknown,
            Some(Err(NotDone::Gone)) if matches!(remote(&cases[n]), Some(Step::DeleteItem { .. })) => {
                There::Done(None, Vec::new())
            }
            Some(Err(not)) => There::Not(not),
            Some(Ok(receipt)) if receipt.version.is_none() => There::Done(None, Vec::new()),
            Some(Ok(receipt)) => {
                read_back.entry(cases[n].folder).or_default().push((n, receipt));
                There::Unknown
            }
        };
    }
    if broken.is_none() {
        for (folder, receipts) in read_back {
            for portion in receipts.chunks(200) {
                let keys: Vec<_> = portion.iter().map(|(_, receipt)| receipt.key.clone()).collect();
                let readings = match items.read(folder, &keys, act.deadline).await {
                    Ok(readings) => readings,
                    Err(fault) => return Ok((there, Some(fault))),
                };
                for ((n, receipt), reading) in portion.iter().zip(readings) {
                    // What cannot be read back stays an intent, and is settled by a later look.
                    if let Reading::Here(mut item) = reading {
                        item.fields = lockstep_store::fields::fitted(&item.fields).0;
                        let sure = Some(&item.head.version) == receipt.version.as_ref();
                        let left_out = receipt.left_out.iter().map(|(_, why)| why.clone()).collect();
                        there[*n] = There::Done(Some(Box::new((*item, sure))), left_out);
                    }
                }
            }
        }
    }
    Ok((there, broken))
}

fn remote(case: &Case) -> Option<&Step> {
    case.plan.steps.iter().find(|step| step.is_remote())
}

fn remote_step(act: &Act<'_>, case: &Case) -> Option<(Write, Intent)> {
    let (tell, kind, beside) = (case.tell, case.kind, beside::of(act, case));
    let record = case.link.as_ref().map(|link| link.record).or(case.record.as_ref().map(Record::id))?;
    let (id, write, planned) = match remote(case)? {
        Step::CreateItem { key: Key(key), values } => {
            let write = Write::Create { kind, values: values.clone(), mark: LinkId(*key), beside, tell };
            (*key, write, Planned::Create(values.clone()))
        }
        Step::UpdateItem { key: Key(key), remote, expected, patch } => {
            let item = Box::new(case.item.clone()?);
            let planned = Planned::Update(remote.clone(), expected.clone(), patch.clone());
            (*key, Write::Update { item, patch: patch.clone(), beside, tell }, planned)
        }
        Step::DeleteItem { key: Key(key), remote, expected } => {
            let item = Box::new(case.item.clone()?);
            (*key, Write::Delete { item, tell }, Planned::Delete(remote.clone(), expected.clone()))
        }
        _ => return None,
    };
    let lost = case.plan.merge.lost.iter().filter(|lost| lost.side == Side::Server);
    let intent = Intent {
        id,
        run: act.run_id,
        stored_at: act.context.store.clock().now(),
        link: case.link.as_ref().map(|link| link.id),
        kind,
        record,
        planned,
        lost: lost.map(|lost| (lost.field, lost.value.clone())).collect(),
    };
    Some((write, intent))
}

/// What one transaction writes.
#[derive(Default)]
struct Pending {
    links: Vec<Link>,
    gone: Vec<LinkId>,
    settled: Vec<Uuid>,
    lost: Vec<LostValue>,
    failed: Vec<Failed>,
    healed: Vec<Which>,
    writes: Writes,
    held: u64,
    /// Deletions that wait no longer.
    released: bool,
    tracked: u32,
}

/// One transaction: fence, records, links, intents, failures, alerts, cursors.
async fn commit(act: &mut Act<'_>, outcomes: &[(Case, There)], complete: bool) -> Result<(), Stopped> {
    let cursor = complete.then(|| act.cursors.write()).filter(|cursor| *cursor != act.run.cursor);
    if outcomes.is_empty() && cursor.is_none() && act.over.is_empty() && act.questions.is_empty() {
        return Ok(());
    }
    let mut tx = act.context.store.begin().await?;
    fence(act, &mut tx, cursor.as_ref()).await?;
    let touched: Vec<_> = outcomes
        .iter()
        .filter(|(case, _)| {
            case.plan.steps.iter().any(|step| matches!(step, Step::UpdateRecord { .. } | Step::DeleteRecord { .. }))
        })
        .filter_map(|(case, _)| case.record.as_ref().map(Record::id))
        .collect();
    let now_there = records::lock(&mut tx, &touched).await?;
    let now = tx.now();
    let mut pending = Pending { healed: act.over.clone(), ..Pending::default() };
    for (case, there) in outcomes {
        let current = case.record.as_ref().and_then(|record| now_there.iter().find(|now| now.id() == record.id()));
        settle_case(act, case, there, (current, now), &mut pending);
    }
    pending.writes.write(&mut tx).await?;
    let mailbox = act.run.mailbox.id;
    links::forget(&mut tx, mailbox, &pending.gone).await?;
    links::put(&mut tx, mailbox, &pending.links).await?;
    intents::clear(&mut tx, mailbox, &pending.settled).await?;
    links::keep_lost(&mut tx, mailbox, &pending.lost).await?;
    // Schedules before alerts, as everybody locks them.
    let written = pending.writes.ids();
    if !written.is_empty() {
        lanes::wake(&mut tx, &written, Some(mailbox)).await?;
    }
    for which in item_retries::clear(&mut tx, mailbox, &pending.healed).await? {
        alerts::resolve(&mut tx, failures::NOT_SYNCHRONISED, Subject::Item(mailbox, &failures::alert_key(&which)))
            .await?;
    }
    questions::settle(act, &mut tx, &pending.healed).await?;
    attachments::listed(act, &mut tx).await?;
    failures::note(act, &mut tx, &mut pending.failed).await?;
    if pending.held > 0 {
        let parameters = json!({ "items": pending.held });
        alerts::raise(&mut tx, DELETIONS_HELD, Severity::Warning, Subject::Mailbox(mailbox), parameters).await?;
    } else if pending.released && links::held(&mut tx, mailbox).await? == 0 {
        alerts::resolve(&mut tx, DELETIONS_HELD, Subject::Mailbox(mailbox)).await?;
    }
    tx.commit().await?;
    act.run.version += 1;
    act.over.clear();
    act.listed.clear();
    act.questions = questions::Pending::default();
    if let Some(cursor) = cursor {
        act.run.cursor = cursor;
    }
    act.counts.tracked += pending.tracked;
    act.counts.failed += u32::try_from(pending.failed.len()).unwrap_or(u32::MAX);
    Ok(())
}

/// What a case means for the page; `current` is its record as it is now, locked.
fn settle_case(
    act: &Act<'_>,
    case: &Case,
    there: &There,
    (current, now): (Option<&Record>, DateTime<Utc>),
    pending: &mut Pending,
) {
    if let Some(
        Step::CreateItem { key: Key(key), .. }
        | Step::UpdateItem { key: Key(key), .. }
        | Step::DeleteItem { key: Key(key), .. },
    ) = remote(case)
        && !matches!(there, There::Unknown)
    {
        pending.settled.push(*key);
    }
    let mut fault = case.failed.clone();
    match there {
        // Whoever was faster is listed, and the pair is planned again; so is one whose outcome nobody knows.
        There::Not(NotDone::Conflict | NotDone::Gone) | There::Unknown if fault.is_none() => return,
        There::Not(NotDone::Unwritable { field, why }) => {
            let words = format!("{}: {why}", field.name());
            fault = Some(Fault::new(FaultScope::Item, FaultClass::Refused, "ItemUnwritableThere", words).local());
        }
        There::Not(NotDone::Refused(refused)) => fault = Some(refused.clone()),
        There::Done(_, left_out) if !left_out.is_empty() => {
            let words = left_out.join("; ");
            fault = Some(Fault::new(FaultScope::Item, FaultClass::Refused, "ItemUnwritableThere", words).local());
        }
        _ => {}
    }
    let done_there = !matches!(there, There::Not(_));
    let written_there = match there {
        There::Done(Some(item), _) => Some(Written { now: seen_item(&item.0), sure: item.1 }),
        _ => None,
    };
    let mut link = case.link.clone();
    let was_held = link.as_ref().is_some_and(|link| link.held.is_some());
    let mut written_here = None;
    for step in &case.plan.steps {
        match step {
            Step::CreateItem { key: Key(key), values } if done_there => {
                if let (Some(record), Some(written), There::Done(Some(item), _)) = (&case.record, &written_there, there)
                {
                    let base = Base::of_new_item(&seen_record(record), values, written, &case.rules);
                    // A server tells of the end of what it has listed, and of nothing else: listing it settles the pair.
                    link = Some(Link { settled: None, ..linked(LinkId(*key), record, &item.0, base) });
                }
            }
            Step::DeleteItem { .. } if done_there => {
                pending.gone.extend(link.take().map(|link| link.id));
            }
            Step::Forget => pending.gone.extend(link.take().map(|link| link.id)),
            Step::DeleteRecord { expected, .. } => {
                if let Some(current) = current.filter(|current| current.version() == *expected) {
                    pending.writes.remove(current);
                    pending.gone.extend(link.take().map(|link| link.id));
                }
            }
            Step::UpdateRecord { expected, patch, .. } => {
                if let Some(current) = current.filter(|current| current.version() == *expected) {
                    let mut values = current.fields();
                    values.apply(patch);
                    match record::with(current, &values, now) {
                        Ok(after) => {
                            written_here = Some(pending.writes.change(current, after, now));
                        }
                        Err(why) => {
                            let fault_of = Fault::new(FaultScope::Item, FaultClass::Refused, "ItemUnwritable", why);
                            fault = Some(fault_of.local());
                        }
                    }
                }
            }
            Step::CreateRecord { kind, values } => {
                let Some(item) = &case.item else { continue };
                match record::with(&record::blank(*kind, act.user.0), values, now) {
                    Ok(new) => {
                        let new = pending.writes.make(new, now);
                        let id = LinkId(Key::of_creation(act.run.mailbox.id, new.id()).0);
                        let base = Base::of_new_record(&seen_item(item), values, &seen_record(&new), &case.rules);
                        link = Some(linked(id, &new, item, base));
                        pending.tracked += 1;
                    }
                    Err(why) => {
                        let fault_of = Fault::new(FaultScope::Item, FaultClass::Refused, "ItemUnwritable", why);
                        fault = Some(fault_of.local());
                    }
                }
            }
            Step::Link { record, remote } => {
                if let Some(record) = case.record.as_ref().filter(|known| known.id() == *record) {
                    let id = LinkId(Key::of_creation(act.run.mailbox.id, record.id()).0);
                    link = Some(unmerged(id, record, remote, case));
                }
            }
            Step::Relink => link.iter_mut().for_each(|link| link.unlinked = None),
            Step::Unlink { why } => link.iter_mut().for_each(|link| link.unlinked = Some(why_word(*why).to_owned())),
            Step::Hold { side } => {
                let side = if *side == Side::Crm { "crm" } else { "server" };
                pending.held += 1;
                link.iter_mut().for_each(|link| {
                    let since = link.held.as_ref().map_or(now, |(_, since)| *since);
                    link.held = Some((side.to_owned(), since));
                });
            }
            _ => {}
        }
    }
    if let Some(link) = &mut link {
        let holds = case.plan.steps.iter().any(|step| matches!(step, Step::Hold { .. }));
        if !holds && case.failed.is_none() {
            link.held = None;
        }
        if case.link.is_some() {
            merged(link, case, written_here.as_ref(), written_there.as_ref());
        }
        if !done_there {
            // What goes beside values was not written either, and no value tells of that.
            link.settled = None;
        }
        if let Some(record) = written_here.as_ref().or(case.record.as_ref()) {
            link.owner = record.owner();
        }
        if let Some(item) = &case.item {
            (link.uid, link.organiser) = (item.head.uid.clone(), item.organiser);
        }
    }
    let record_id = link.as_ref().map(|link| link.record).or(case.record.as_ref().map(Record::id));
    if let Some(record) = record_id {
        pending.lost.extend(
            case.plan
                .merge
                .lost
                .iter()
                .filter(|lost| was_lost(lost, written_here.is_some(), written_there.is_some()))
                .map(|lost| LostValue {
                    record,
                    kind: case.kind,
                    field: lost.field,
                    side: if lost.side == Side::Crm { "crm" } else { "server" },
                    value: lost.value.clone(),
                }),
        );
    }
    pending.released |= was_held && link.as_ref().is_none_or(|link| link.held.is_none());
    pending.links.extend(link);
    match fault {
        None => pending.healed.push(case.which.clone()),
        Some(fault) => {
            let wait = act.context.scale.apply(std::time::Duration::from_secs(act.context.config.item_backoff_s));
            let next = fault.may_heal().then(|| now + fault.retry_after.unwrap_or(wait));
            let which = case.which.clone();
            let folder = case.folder.name();
            pending.failed.push(Failed { which, folder, next, code: fault.code, message: fault.message });
        }
    }
}

/// Whether the write happened by which a value was lost.
const fn was_lost(lost: &Lost, written_here: bool, written_there: bool) -> bool {
    match lost.side {
        Side::Crm => written_here,
        Side::Server => written_there,
    }
}

/// The base of a pair after its merge.
fn merged(link: &mut Link, case: &Case, written_here: Option<&Record>, written_there: Option<&Written>) {
    let (Some(record), Some(item)) = (&case.record, &case.item) else { return };
    let written_here = written_here.map(seen_record);
    let base = base_of(link).after(
        &case.plan.merge,
        (&seen_record(record), written_here.as_ref()),
        (&seen_item(item), written_there),
        &case.rules,
    );
    take_base(link, base);
}

/// Whether nothing is left to do for a pair, and only its link does not say so yet.
pub(crate) fn settles(case: &Case) -> bool {
    let unsettled = |link: &&Link| link.settled.is_none() && link.unlinked.is_none();
    case.plan.steps.is_empty()
        && case.failed.is_none()
        && case.link.as_ref().filter(unsettled).is_some_and(|link| {
            let mut link = link.clone();
            merged(&mut link, case, None, None);
            link.settled.is_some()
        })
}

fn take_base(link: &mut Link, base: Base) {
    let Base { crm, server, unclear, settled } = base;
    (link.crm, link.server, link.unclear, link.settled) = (crm, server, unclear, settled);
}

pub(crate) fn linked(id: LinkId, record: &Record, item: &lockstep_connector::items::Item, base: Base) -> Link {
    let mut link = Link {
        id,
        kind: record.kind(),
        record: record.id(),
        owner: record.owner(),
        remote: item.head.key.clone(),
        uid: item.head.uid.clone(),
        organiser: item.organiser,
        unlinked: None,
        crm: Fields::default(),
        server: Fields::default(),
        unclear: std::collections::BTreeSet::new(),
        settled: None,
        held: None,
    };
    take_base(&mut link, base);
    link
}

/// A link whose sides were never compared: the next cycle merges them.
fn unmerged(id: LinkId, record: &Record, remote: &RemoteKey, case: &Case) -> Link {
    let (uid, organiser) = case.item.as_ref().map_or((None, true), |item| (item.head.uid.clone(), item.organiser));
    Link {
        id,
        kind: record.kind(),
        record: record.id(),
        owner: record.owner(),
        remote: remote.clone(),
        uid,
        organiser,
        unlinked: None,
        crm: Fields::default(),
        server: Fields::default(),
        unclear: std::collections::BTreeSet::new(),
        settled: None,
        held: None,
    }
}

/// The fence of this lane, in a transaction's first statement.
pub(crate) async fn fence(
    act: &Act<'_>,
    tx: &mut Tx,
    cursor: Option<&lockstep_model::remote::Cursor>,
) -> Result<(), Stopped> {
    if lanes::fence(tx, act.run.mailbox.id, Lane::Act, act.run.version, cursor).await? {
        return Ok(());
    }
    act.context.metrics.fenced.inc();
    Err(Stopped::Fenced)
}
