//! Intents: remote steps written down before they are done, and what to make of one whose answer never came.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_model::{
    id::RunId,
    record::{Field, Fields, LinkId, RecordId, RemoteVersion},
    remote::RemoteKey,
};

use super::{Base, ItemPlan, Lost, Rules, Seen, Side, Step, Written};

/// A remote step that may or may not have been done.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// The run that meant to do it.
    pub run: RunId,
    /// When it was stored.
    pub stored: DateTime<Utc>,
    /// The link; `None` for an item that is only being created.
    pub link: Option<LinkId>,
    /// The record.
    pub record: RecordId,
    /// The step; one of those that write to the server.
    pub step: Step,
    /// The server's values that give way to it, for the record's history.
    pub lost: Vec<Lost>,
}

impl Intent {
    /// The intents of a plan.
    pub fn of(plan: &ItemPlan, run: RunId, now: DateTime<Utc>, link: Option<LinkId>, record: RecordId) -> Vec<Self> {
        let lost: Vec<_> = plan.merge.lost.iter().filter(|lost| lost.side == Side::Server).cloned().collect();
        let remote = plan.steps.iter().filter(|step| step.is_remote());
        remote.map(|step| Self { run, stored: now, link, record, step: step.clone(), lost: lost.clone() }).collect()
    }

    /// Whether it may be settled: one lease lifetime after it was stored, when whoever meant to do it has certainly
    /// stopped and a request without an answer has arrived or never will. Until then its item is left alone.
    pub fn is_ripe(&self, now: DateTime<Utc>, lease: Duration) -> bool {
        now - self.stored >= TimeDelta::from_std(lease).unwrap_or(TimeDelta::MAX)
    }
}

/// An item the server has now.
pub type Item = (RemoteKey, Seen<RemoteVersion>);

/// What became of an intent. It goes in every case, and the item is planned anew; except after
/// [`Settled::Undone`] the values it names as lost go into the history.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    /// It was not done.
    Undone,
    /// The item has changed, and nothing of what was intended shows: somebody came before or after. The base stays.
    Overtaken,
    /// The item was created: it is linked with this base.
    Created {
        /// The item.
        remote: RemoteKey,
        /// What is agreed so far. What somebody or the server changed since is merged next.
        base: Box<Base>,
        /// Twins of the item, the same in every value: they came of two tries and are deleted, with an alert.
        twins: Vec<(RemoteKey, RemoteVersion)>,
    },
    /// The item was written to: this is the base now.
    Updated {
        /// The base.
        base: Box<Base>,
    },
    /// The item is gone, and so is the link.
    Deleted,
}

/// Looks at what the server has: for a creation the items that carry its mark, otherwise the item it named if that is
/// still there. What is there exactly as intended is done and agreed on; nothing else is taken for granted, so that
/// somebody's change since is merged and not swallowed.
pub fn settle(intent: &Intent, found: &[Item], base: &Base, rules: &Rules) -> Settled {
    match &intent.step {
        Step::CreateItem { values, .. } => {
            // The one that differs from what was written has been worked on by somebody: that one is kept.
            let worked_on = |item: &Item| values.iter().any(|(field, value)| item.1.fields.get(field) != Some(value));
            let kept = found.iter().find(|item| worked_on(item)).or_else(|| found.first());
            let Some((remote, now)) = kept else { return Settled::Undone };
            let twin = |(other, seen): &&Item| other != remote && seen.fields == now.fields;
            let twins = found.iter().filter(twin).map(|(other, seen)| (other.clone(), seen.version.clone())).collect();
            let mut base = Base::default();
            let sent = values.iter().map(|(field, _)| field).filter(|field| rules.flow(*field).to_server);
            base.confirm(sent, values, &Written { now: now.clone(), sure: false });
            Settled::Created { remote: remote.clone(), base: Box::new(base), twins }
        }
        Step::UpdateItem { remote, expected, patch, .. } => {
            let Some((_, now)) = found.iter().find(|(other, _)| other == remote) else { return Settled::Overtaken };
            if now.version == *expected {
                return Settled::Undone;
            }
            let mut planned = Fields::default();
            planned.apply(patch);
            // One field that is as planned speaks for the write having been done; without any, nothing does.
            if patch.iter().all(|(field, value)| now.fields.get(field) != value) {
                return Settled::Overtaken;
            }
            // A field that is as it was before speaks against it: somebody may have written the other one.
            let as_before = |field: &Field| now.fields.get(*field) == base.server.get(*field);
            let as_planned = |field: &Field| now.fields.get(*field) == planned.get(*field);
            let written = patch.fields().filter(|field| as_planned(field) || !as_before(field));
            let mut after = Base { settled: None, ..base.clone() };
            after.confirm(written, &planned, &Written { now: now.clone(), sure: false });
            let base = after;
            Settled::Updated { base: Box::new(base) }
        }
        Step::DeleteItem { remote, .. } if found.iter().all(|(other, _)| other != remote) => Settled::Deleted,
        _ => Settled::Undone,
    }
}
