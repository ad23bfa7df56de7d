//! Intents that another run has left behind: what became of them is seen by looking.

use lockstep_connector::items::{Folder, Item, Items, Reading, Tell, Write};
use lockstep_engine::merge::{
    Base, Step,
    intent::{self, Settled},
    plan::Key,
};
use lockstep_model::{
    fault::FaultScope,
    record::{LinkId, RecordId},
};
use lockstep_store::{
    alerts::{self, Severity, Subject},
    intents::{self, Intent, Planned},
    links::{self, Link, LostValue},
    records,
};
use serde_json::json;

use crate::{
    act::{
        Act,
        carry::{fence, linked},
        claim,
        gather::{base_of, seen_item},
    },
    mailbox::Stopped,
};

/// The news that two items with one mark became one.
pub(crate) const COLLAPSED: &str = "DuplicateItemCollapsed";

/// Settles what is ripe. Returns the records that have to be looked at anew.
pub(crate) async fn settle(act: &mut Act<'_>, items: &mut dyn Items) -> Result<Vec<RecordId>, Stopped> {
    let mailbox = act.run.mailbox.id;
    let mut tx = act.context.store.begin().await?;
    let stored = intents::of(&mut tx, mailbox).await?;
    if stored.is_empty() {
        return Ok(Vec::new());
    }
    let (now, lease) = (tx.now(), act.context.config.lease_ttl());
    let ripe: Vec<_> = stored.into_iter().filter(|one| engine(one).is_ripe(now, lease)).collect();
    let ids: Vec<_> = ripe.iter().map(|one| one.record).collect();
    let known = links::of(&mut tx, mailbox, &ids, &[], &[]).await?;
    let there = records::read(&mut tx, &ids).await?;
    drop(tx);
    let (mut found, mut seen) = (Vec::new(), Vec::new());
    for one in ripe {
        // What cannot be read now says nothing: its intent waits for another look.
        if let Some(items) = look(act, items, &one).await? {
            found.push(items);
            seen.push(one);
        }
    }
    let ripe = seen;
    let mut tx = act.context.store.begin().await?;
    fence(act, &mut tx, None).await?;
    let (mut put, mut gone, mut lost, mut twins) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (one, found) in ripe.iter().zip(&found) {
        let link = known.iter().find(|link| link.record == one.record);
        let base = link.map_or_else(Base::default, base_of);
        let rules = act.kind_rules(one.kind).await?.open();
        let seen: Vec<_> = found.iter().map(|item| (item.head.key.clone(), seen_item(item))).collect();
        let settled = intent::settle(&engine(one), &seen, &base, &rules);
        if !matches!(settled, Settled::Undone) {
            lost.extend(one.lost.iter().map(|(field, value)| LostValue {
                record: one.record,
                kind: one.kind,
                field: *field,
                side: "server",
                value: value.clone(),
            }));
        }
        match settled {
            Settled::Undone | Settled::Overtaken => {}
            Settled::Created { remote, base, twins: others } => {
                let record = there.iter().find(|record| record.id() == one.record);
                let item = found.iter().find(|item| item.head.key == remote);
                if let (Some(record), Some(item)) = (record, item) {
                    put.push(linked(LinkId(one.id), record, item, *base));
                }
                twins.extend(found.iter().filter(|item| others.iter().any(|(key, _)| *key == item.head.key)).cloned());
            }
            Settled::Updated { base } => put.extend(link.map(|link| rebased(link, *base))),
            Settled::Deleted => gone.extend(link.map(|link| link.id)),
        }
    }
    links::forget(&mut tx, mailbox, &gone).await?;
    links::put(&mut tx, mailbox, &put).await?;
    links::keep_lost(&mut tx, mailbox, &lost).await?;
    intents::clear(&mut tx, mailbox, &ripe.iter().map(|one| one.id).collect::<Vec<_>>()).await?;
    if !twins.is_empty() {
        let parameters = json!({ "items": twins.len() });
        alerts::raise(&mut tx, COLLAPSED, Severity::Information, Subject::Mailbox(mailbox), parameters).await?;
    }
    tx.commit().await?;
    act.run.version += 1;
    collapse(act, items, twins).await?;
    Ok(ids)
}

/// What the server has of what was intended; `None`: it cannot be seen now.
async fn look(act: &Act<'_>, items: &mut dyn Items, one: &Intent) -> Result<Option<Vec<Item>>, Stopped> {
    let folder = Folder::of(one.kind);
    let found = match &one.planned {
        Planned::Create(_) => items.find(folder, LinkId(one.id), act.deadline).await.map(Some),
        Planned::Update(key, ..) | Planned::Delete(key, _) => {
            let readings = items.read(folder, std::slice::from_ref(key), act.deadline).await;
            readings.map(|readings| match readings.into_iter().next() {
                Some(Reading::Here(item)) => Some(vec![*item]),
                Some(Reading::Gone) => Some(Vec::new()),
                Some(Reading::Apart(_) | Reading::Unreadable(_)) | None => None,
            })
        }
    };
    let mut found = match found {
        Err(fault) if fault.scope == FaultScope::Item => None,
        found => found.map_err(Stopped::Remote)?,
    };
    for item in found.iter_mut().flatten() {
        item.fields = lockstep_store::fields::fitted(&item.fields).0;
    }
    Ok(found)
}

/// Twins of one try and its repetition are equal in every value: all but the linked one go. Whoever dies here leaves a
/// copy that nobody takes for new.
async fn collapse(act: &Act<'_>, items: &mut dyn Items, twins: Vec<Item>) -> Result<(), Stopped> {
    if twins.is_empty() {
        return Ok(());
    }
    claim::hold(act, items).await?;
    let writes: Vec<_> =
        twins.into_iter().map(|item| Write::Delete { item: Box::new(item), tell: Tell::Nobody }).collect();
    items.write(&writes, act.deadline).await.broken.map_or(Ok(()), |fault| Err(Stopped::Remote(fault)))
}

fn engine(one: &Intent) -> intent::Intent {
    let key = Key(one.id);
    let step = match &one.planned {
        Planned::Create(values) => Step::CreateItem { key, values: values.clone() },
        Planned::Update(remote, expected, patch) => {
            Step::UpdateItem { key, remote: remote.clone(), expected: expected.clone(), patch: patch.clone() }
        }
        Planned::Delete(remote, expected) => {
            Step::DeleteItem { key, remote: remote.clone(), expected: expected.clone() }
        }
    };
    // What gives way is kept with the stored intent.
    intent::Intent { run: one.run, stored: one.stored_at, link: one.link, record: one.record, step, lost: Vec::new() }
}

fn rebased(link: &Link, base: Base) -> Link {
    let Base { crm, server, unclear, settled } = base;
    Link { crm, server, unclear, settled, ..link.clone() }
}
