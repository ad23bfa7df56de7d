//! The worker's part, in memory: intents, remote steps with faults, one transaction at the end, fenced by the lane.

use std::collections::{BTreeSet, VecDeque};

use chrono::TimeDelta;
use lockstep_engine::merge::{
    Base, ItemPlan, Pair, Seen, Step, Written,
    intent::{Intent, Settled, settle},
    order,
    plan::{Crm, Key, Origin, Server, Tie, plan, plan_new_item, plan_new_record},
};
use lockstep_model::{
    id::RunId,
    record::{Fields, Kind, LinkId, RecordId, RecordVersion, RemoteVersion},
    remote::RemoteKey,
};
use uuid::Uuid;

use super::world::{Fault, Item, LEASE, Link, Mishap, Record, World};

/// One item's work in a cycle.
struct Work {
    link: Option<LinkId>,
    record: Option<RecordId>,
    remote: Option<RemoteKey>,
    crm: Option<Seen<RecordVersion>>,
    server: Option<Seen<RemoteVersion>>,
    plan: ItemPlan,
    receipt: Receipt,
}

/// What came back from a remote step.
#[derive(Clone, Debug)]
enum Receipt {
    /// There was none to do.
    None,
    Done(RemoteKey, Option<Written>),
    /// Certainly not done.
    Refused,
    Unknown,
}

impl World {
    /// One cycle. Ends early where the run dies.
    pub(super) fn cycle(&mut self, mishap: Mishap, faults: &mut VecDeque<Fault>, depth: u8) {
        let run = RunId(Uuid::from_u128(u128::from(self.count())));
        self.settle_intents();
        let mut works = self.plan_all(mishap == Mishap::ListingCut);
        works.sort_by_key(|work| order::rank(&work.plan));
        self.check_plans(&works);
        for work in &works {
            let Some(record) = work.record else { continue };
            let intents = Intent::of(&work.plan, run, self.now, work.link, record);
            self.lane += u64::from(!intents.is_empty());
            self.intents.extend(intents);
        }
        let fence = self.lane;
        if mishap == Mishap::Doubled && depth == 0 {
            self.pass(1);
            self.cycle(Mishap::None, &mut VecDeque::new(), 1);
        }
        for work in &mut works {
            let Some(step) = work.plan.steps.iter().find(|step| step.is_remote()).cloned() else { continue };
            let fault = faults.pop_front().unwrap_or(Fault::None);
            match self.call(&step, fault) {
                Some(receipt) => work.receipt = receipt,
                None => return,
            }
        }
        match mishap {
            Mishap::DiesAtCommit => return,
            Mishap::CrmRaced => {
                self.met.note("crm raced");
                self.edit_record(fence as u8, fence as u8, false);
            }
            _ => {}
        }
        if self.lane != fence {
            self.met.note("run fenced off");
            return;
        }
        for work in works {
            self.record_work(work);
        }
    }

    fn seen_on_server(&self, remote: &RemoteKey) -> Server {
        self.items.get(remote).map_or(Server::Deleted, |item| Server::Here(item.seen.clone()))
    }

    fn plan_all(&mut self, cut: bool) -> Vec<Work> {
        let in_doubt: BTreeSet<_> = self.intents.iter().map(|intent| intent.record).collect();
        let mut works = Vec::new();
        for (id, link) in self.links.clone() {
            if in_doubt.contains(&link.record) {
                continue;
            }
            let record = &self.records[&link.record];
            let crm = match record {
                Record { deleted: true, .. } => Crm::Deleted,
                Record { passes: false, .. } => Crm::Left,
                Record { seen, .. } => Crm::Here(seen.clone()),
            };
            let crm_seen = record.seen.clone();
            let here = self.seen_on_server(&link.remote);
            let server = if cut { Server::Unseen } else { here.clone() };
            let (base, tie, record, remote) = (link.base, link.tie, link.record, link.remote);
            let mut pair = Pair { link: id, record, remote: remote.clone(), tie, base, crm, server };
            let mut item_plan = plan(&pair, &self.rules, self.facts, self.choices);
            if let [Step::Look { .. }] = item_plan.steps[..] {
                self.met.note("looked");
                pair.server = here.clone();
                item_plan = plan(&pair, &self.rules, self.facts, self.choices);
            }
            let server = if let Server::Here(seen) = here { Some(seen) } else { None };
            works.push(Work {
                link: Some(id),
                record: Some(record),
                remote: Some(remote),
                crm: Some(crm_seen),
                server,
                plan: item_plan,
                receipt: Receipt::None,
            });
        }
        let linked: BTreeSet<_> = self.links.values().map(|link| link.record).collect();
        let mut taken = linked.clone();
        for (remote, item) in self.items.clone() {
            if self.links.values().any(|link| link.remote == remote) {
                continue;
            }
            let owner = self.records.keys().find(|id| item.mark == Some(Key::of_creation(self.mailbox, **id))).copied();
            let origin = match owner {
                Some(record) if in_doubt.contains(&record) => continue,
                Some(record) if linked.contains(&record) => Origin::Copy,
                Some(record) if self.wanted(record) && taken.insert(record) => Origin::Ours(record),
                Some(_) => Origin::Untracked,
                None if item.copied => Origin::Copy,
                None if item.tracked => Origin::Tracked,
                None => Origin::Untracked,
            };
            match origin {
                Origin::Copy => self.met.note("copy ignored"),
                Origin::Ours(_) => self.met.note("adopted by mark"),
                _ => {}
            }
            let Some(plan) = plan_new_item(&remote, &item.seen, origin, &self.rules) else { continue };
            let (remote, server, receipt) = (Some(remote), Some(item.seen), Receipt::None);
            works.push(Work { link: None, record: None, remote, crm: None, server, plan, receipt });
        }
        for (id, record) in &self.records {
            if taken.contains(id) || in_doubt.contains(id) || !self.wanted(*id) {
                continue;
            }
            let Some(plan) = plan_new_record(self.mailbox, *id, &record.seen, &self.rules) else { continue };
            let (crm, receipt) = (Some(record.seen.clone()), Receipt::None);
            works.push(Work { link: None, record: Some(*id), remote: None, crm, server: None, plan, receipt });
        }
        works
    }

    fn wanted(&self, record: RecordId) -> bool {
        let record = &self.records[&record];
        !record.deleted && record.passes
    }

    /// No deletion is planned without one at its source.
    fn check_plans(&mut self, works: &[Work]) {
        for work in works {
            for step in &work.plan.steps {
                let sound = match step {
                    Step::DeleteItem { .. } => work.record.is_some_and(|id| {
                        let record = &self.records[&id];
                        let leaving = self.choices.leaving_deletes && self.facts.kind == Kind::Task;
                        record.deleted || (!record.passes && leaving)
                    }),
                    Step::DeleteRecord { .. } => {
                        work.remote.as_ref().is_some_and(|remote| self.deleted_items.contains(remote))
                    }
                    _ => true,
                };
                if !sound {
                    self.wrong.push(format!("deletion without a source: {step:?}"));
                }
            }
        }
    }

    /// `None`: the run died.
    fn call(&mut self, step: &Step, fault: Fault) -> Option<Receipt> {
        let named = match step {
            Step::UpdateItem { remote, .. } | Step::DeleteItem { remote, .. } => Some(remote.clone()),
            _ => None,
        };
        match fault {
            Fault::Fails => return Some(Receipt::Refused),
            Fault::AnswerLost => {
                let _ = self.serve(step);
                return Some(Receipt::Unknown);
            }
            Fault::Late => {
                self.late.push((self.now + TimeDelta::seconds(LEASE / 2), step.clone()));
                return Some(Receipt::Unknown);
            }
            Fault::DiesBefore => return None,
            Fault::DiesAfter => {
                let _ = self.serve(step);
                return None;
            }
            Fault::Raced => {
                if let Some(remote) = &named {
                    self.race_item(remote);
                }
            }
            Fault::None | Fault::RacedAfter => {}
        }
        let Some((remote, version)) = self.serve(step) else {
            self.met.note("refused");
            return Some(Receipt::Refused);
        };
        if fault == Fault::RacedAfter {
            self.race_item(&remote);
            self.met.note("read back raced");
        }
        let written = self
            .items
            .get(&remote)
            .map(|item| Written { now: item.seen.clone(), sure: Some(&item.seen.version) == version.as_ref() });
        Some(Receipt::Done(remote, written))
    }

    /// The server. Creations are not recognised when they come twice, changes are conditional.
    pub(super) fn serve(&mut self, step: &Step) -> Option<(RemoteKey, Option<RemoteVersion>)> {
        match step {
            Step::CreateItem { key, values } => {
                let remote = RemoteKey::new(format!("made{}", self.count())).unwrap();
                let version = self.next_version();
                let fields = Self::normalised(values.clone());
                self.reached_server.extend(fields.iter().map(|(_, value)| value.clone()));
                let seen = Seen { version: version.clone(), fields, modified: self.server_time() };
                self.items.insert(remote.clone(), Item { seen, mark: Some(*key), tracked: false, copied: false });
                self.writes += 1;
                Some((remote, Some(version)))
            }
            Step::UpdateItem { remote, expected, patch, .. } => {
                let (version, modified) = (self.next_version(), self.server_time());
                let item = self.items.get_mut(remote).filter(|item| item.seen.version == *expected)?;
                item.seen.fields.apply(patch);
                let fields = Self::normalised(item.seen.fields.clone());
                item.seen = Seen { version: version.clone(), fields: fields.clone(), modified };
                for field in patch.fields() {
                    self.reached_server.extend(fields.get(field).cloned());
                }
                self.writes += 1;
                Some((remote.clone(), Some(version)))
            }
            Step::DeleteItem { remote, expected, .. } => {
                if self.items.get(remote).is_some_and(|item| item.seen.version != *expected) {
                    return None;
                }
                if self.items.remove(remote).is_some() {
                    self.writes += 1;
                }
                Some((remote.clone(), None))
            }
            _ => None,
        }
    }

    /// Carries out what does not need the server, and notes what the server said.
    fn record_work(&mut self, work: Work) {
        let Work { link, record, remote, crm, server, plan, receipt } = work;
        let mut crm_written = None;
        let mut server_written = None;
        self.lane += u64::from(!plan.steps.is_empty());
        for step in &plan.steps {
            if step.is_remote() {
                let place = self.intents.iter().position(|intent| intent.step == *step);
                let intent = match (&receipt, place) {
                    (Receipt::Unknown | Receipt::None, _) | (_, None) => continue,
                    (_, Some(place)) => self.intents.remove(place),
                };
                let Receipt::Done(remote, written) = &receipt else { continue };
                self.history.extend(intent.lost);
                server_written.clone_from(written);
                match step {
                    Step::CreateItem { values, .. } => {
                        self.met.note("created there");
                        // Whoever deleted it before it could be read back: the next cycle sees that.
                        let base = written.as_ref().map_or_else(Base::default, |written| {
                            Base::of_new_item(crm.as_ref().unwrap(), values, written, &self.rules)
                        });
                        self.link(record.unwrap(), remote.clone(), base);
                    }
                    Step::UpdateItem { .. } => self.met.note("updated there"),
                    _ => {
                        self.met.note("deleted there");
                        self.links.remove(&link.unwrap());
                    }
                }
                continue;
            }
            match step {
                Step::UpdateRecord { record, expected, patch } => {
                    let row = self.records.get_mut(record).unwrap();
                    if row.seen.version != *expected || row.deleted {
                        continue;
                    }
                    row.seen.fields.apply(patch);
                    row.seen.version.0 += 1;
                    crm_written = Some(row.seen.clone());
                    self.reached_crm.extend(patch.iter().filter_map(|(_, value)| value.cloned()));
                    let ours = |lost: &&lockstep_engine::merge::Lost| lost.side == lockstep_engine::merge::Side::Crm;
                    self.history.extend(plan.merge.lost.iter().filter(ours).cloned());
                    self.writes += 1;
                    self.met.note("updated here");
                }
                Step::DeleteRecord { record, expected } => {
                    let row = self.records.get_mut(record).unwrap();
                    if row.seen.version == *expected {
                        row.deleted = true;
                        self.gone_by_engine.insert(*record);
                        self.links.remove(&link.unwrap());
                        self.writes += 1;
                        self.met.note("deleted here");
                    }
                }
                Step::CreateRecord { values, .. } => self.create_record(values, remote.as_ref(), server.as_ref()),
                Step::Link { record, remote } if !self.links.values().any(|link| link.record == *record) => {
                    self.link(*record, remote.clone(), Base::default());
                }
                Step::Relink => {
                    self.links.get_mut(&link.unwrap()).unwrap().tie = Tie::Linked;
                    self.met.note("relinked");
                }
                Step::Unlink { why } => {
                    self.links.get_mut(&link.unwrap()).unwrap().tie = Tie::Unlinked(*why);
                    self.met.note("unlinked");
                }
                Step::Forget => {
                    self.links.remove(&link.unwrap());
                    self.met.note("forgotten");
                }
                Step::Agree { .. } => self.met.note("agreed"),
                _ => {}
            }
        }
        if !plan.merge.lost.is_empty() {
            self.met.note("conflict");
        }
        if let (Some(link), Some(crm), Some(server)) = (link, crm, server)
            && plan.merge != lockstep_engine::merge::Merge::default()
            && let Some(link) = self.links.get_mut(&link)
        {
            let crm = (&crm, crm_written.as_ref());
            let server = (&server, server_written.as_ref());
            link.base = link.base.after(&plan.merge, crm, server, &self.rules);
        }
    }

    fn create_record(&mut self, values: &Fields, remote: Option<&RemoteKey>, server: Option<&Seen<RemoteVersion>>) {
        let (remote, server) = (remote.unwrap().clone(), server.unwrap());
        // The unique key on the item.
        if self.links.values().any(|link| link.remote == remote) {
            return;
        }
        let record = RecordId(Uuid::from_u128(u128::from(self.count())));
        let seen = Seen { version: RecordVersion(1), fields: values.clone(), modified: self.now };
        self.records.insert(record, Record { seen: seen.clone(), deleted: false, passes: true });
        self.reached_crm.extend(values.iter().map(|(_, value)| value.clone()));
        let base = Base::of_new_record(server, values, &seen, &self.rules);
        self.link(record, remote, base);
        self.writes += 1;
        self.met.note("created here");
    }

    fn link(&mut self, record: RecordId, remote: RemoteKey, base: Base) {
        let id = LinkId(Uuid::from_u128(u128::from(self.count())));
        self.links.insert(id, Link { record, remote, tie: Tie::Linked, base });
    }

    /// Looks what became of steps whose answer never came.
    fn settle_intents(&mut self) {
        let lease = std::time::Duration::from_secs(LEASE as u64);
        let (ripe, rest): (Vec<_>, _) =
            std::mem::take(&mut self.intents).into_iter().partition(|intent| intent.is_ripe(self.now, lease));
        self.intents = rest;
        self.lane += ripe.len() as u64;
        for intent in ripe {
            let found: Vec<_> = self
                .items
                .iter()
                .filter(|(remote, item)| match &intent.step {
                    Step::CreateItem { key, .. } => item.mark == Some(*key),
                    Step::UpdateItem { remote: named, .. } | Step::DeleteItem { remote: named, .. } => *remote == named,
                    _ => false,
                })
                .map(|(remote, item)| (remote.clone(), item.seen.clone()))
                .collect();
            let base = intent.link.and_then(|link| self.links.get(&link)).map(|link| link.base.clone());
            let settled = settle(&intent, &found, &base.unwrap_or_default(), &self.rules);
            if settled != Settled::Undone {
                self.history.extend(intent.lost);
            }
            match settled {
                Settled::Undone => self.met.note("settled undone"),
                Settled::Overtaken => self.met.note("settled overtaken"),
                Settled::Created { remote, base, twins } => {
                    self.met.note("settled created");
                    self.link(intent.record, remote, *base);
                    for (twin, _) in twins {
                        self.items.remove(&twin);
                    }
                }
                Settled::Updated { base } => {
                    self.met.note("settled updated");
                    if let Some(link) = intent.link.and_then(|link| self.links.get_mut(&link)) {
                        link.base = *base;
                    }
                }
                Settled::Deleted => {
                    self.met.note("settled deleted");
                    if let Some(link) = intent.link {
                        self.links.remove(&link);
                    }
                }
            }
        }
    }
}
