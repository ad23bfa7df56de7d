//! One pair: both sides' files, what the engine makes of them, and the writing of it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use lockstep_connector::{
    attachments::{Attached, File as Attaching, Listing},
    items::{Items, NotDone},
};
use lockstep_engine::merge::attachments::{self as rules, File, Plan};
use lockstep_model::{
    crashpoint::CrashPoint,
    fault::{Fault, FaultClass},
    id::AttachmentId,
    record::{RecordVersion, RemoteVersion},
    remote::RemoteKey,
};
use lockstep_store::{
    Tx,
    activity_attachments::{self, MAX_ATTACHMENTS, NewAttachment},
    alerts::{self, Severity, Subject},
    attachment_links::{self, Known, LEFT_OUT, State as Compared},
    contents::Content,
    item_retries::Which,
    lanes,
    organisations::Organisation,
    records::{self, Record},
};
use serde_json::json;

use super::{
    Pair, file_of,
    transfer::{Fetched, fetch, stored},
};
use crate::{
    act::{Act, carry::fence, claim, failures, writes::ACTOR},
    mailbox::Stopped,
};

/// What servers may count beside a content when they tell its size.
const OVERHEAD: u64 = 64 * 1024;
/// So many files that are left out are named.
const NAMED: usize = 10;
/// As much of their names, in bytes.
const NAME_SHOWN: usize = 80;

/// Why a pair is not brought in step now.
enum Broken {
    /// The cycle ends.
    Stopped(Stopped),
    /// It is tried again later.
    Later,
    /// Its item is gone, of which the listing will tell.
    Gone,
}

impl<E: Into<Stopped>> From<E> for Broken {
    fn from(error: E) -> Self {
        Self::Stopped(error.into())
    }
}

/// A pair at work.
struct Work<'w> {
    pair: Pair,
    limits: &'w Organisation,
    /// The item's state.
    version: RemoteVersion,
    /// What the server has, each with what it lists; the same file may be there twice.
    theirs: BTreeMap<File, Vec<Attached>>,
    /// What was read from the server, so that it can be added to the record.
    contents: BTreeMap<File, Content>,
    /// What both sides agree on.
    agreed: Vec<Known>,
    /// Files that stay where they are, and why.
    left_out: Vec<(String, String)>,
    /// The server has something that may not flow to the record.
    stays: bool,
    /// No attempt follows: what fails is left out.
    last_attempt: bool,
}

/// Brings one pair in step, as far as it can be.
pub(super) async fn bring_in_step(
    act: &mut Act<'_>,
    items: &mut dyn Items,
    pair: Pair,
    listing: Listing,
    limits: &Organisation,
) -> Result<(), Stopped> {
    let last_attempt = pair.due.attempts + 1 >= act.context.config.max_item_attempts;
    let (version, attached) = match listing {
        Listing::Here(version, attached) => (version, attached),
        Listing::Gone | Listing::Apart(_) => return note(act, &pair, None).await,
        Listing::Unreadable(fault) if fault.may_heal() && !last_attempt => return again(act, &pair).await,
        Listing::Unreadable(fault) => {
            let all = vec![("all".to_owned(), format!("they cannot be listed: {}", fault.message))];
            let mut tx = act.context.store.begin().await?;
            fence(act, &mut tx, None).await?;
            compared(&mut tx, &pair, (pair.due.version, None), &all).await?;
            tell(act, &mut tx, &pair, &all).await?;
            return end(act, tx).await;
        }
    };
    let mut work = Work {
        pair,
        limits,
        version,
        theirs: BTreeMap::new(),
        contents: BTreeMap::new(),
        agreed: Vec::new(),
        left_out: Vec::new(),
        stays: false,
        last_attempt,
    };
    match work.run(act, items, attached).await {
        Ok(()) => Ok(()),
        Err(Broken::Stopped(stopped)) => Err(stopped),
        Err(Broken::Later) => again(act, &work.pair).await,
        Err(Broken::Gone) => note(act, &work.pair, None).await,
    }
}

impl Work<'_> {
    async fn run(&mut self, act: &mut Act<'_>, items: &mut dyn Items, attached: Vec<Attached>) -> Result<(), Broken> {
        let listed = self.version.clone();
        self.resolve(act, items, attached).await?;
        let base = self.base();
        let ours: BTreeSet<_> = self.pair.ours.keys().cloned().collect();
        let theirs: BTreeSet<_> = self.theirs.keys().cloned().collect();
        let plan = rules::plan(&base, &ours, &theirs, self.pair.flow);
        self.stays |= theirs.iter().any(|file| !plan.agreed.contains(file)) && !self.pair.flow.to_crm;
        for file in &plan.agreed {
            self.agree(file);
        }
        if !(plan.to_server.is_empty() && plan.from_server.is_empty()) {
            claim::hold(act, items).await?;
        }
        for file in &plan.to_server {
            self.add_there(act, items, file).await?;
        }
        for file in &plan.from_server {
            self.remove_there(act, items, file).await?;
        }
        self.write_down(act, &plan, &listed).await
    }

    /// Finds out which files the attachments are. Those that are known keep what is known of them; of others the content is
    /// read, where it matters.
    async fn resolve(&mut self, act: &Act<'_>, items: &mut dyn Items, attached: Vec<Attached>) -> Result<(), Broken> {
        let intended = self.pair.due.known.iter().any(|known| known.remote_id.is_none());
        let mut unknown = Vec::new();
        for one in attached.into_iter().filter(|one| !one.inline) {
            let name = rules::name(&one.name);
            if let Some(why) = one.apart {
                self.leave_out(&name, why.to_owned());
                continue;
            }
            let size = i64::try_from(one.size).unwrap_or(i64::MAX);
            let is_it = |known: &&Known| {
                known.remote_id.as_ref() == Some(&one.id) && known.remote_size.is_none_or(|known| known == size)
            };
            match self.pair.due.known.iter().find(is_it) {
                Some(known) => self.theirs.entry(file_of(known)).or_default().push(one),
                None => unknown.push((name, one)),
            }
        }
        let max = self.limits.max_attachment_bytes.unsigned_abs();
        for (name, one) in unknown {
            // What cannot flow here matters only where it may be what was to be added there.
            if !self.pair.flow.to_crm && !intended && self.pair.ours.keys().all(|file| file.name != name) {
                self.stays = true;
            } else if rules::is_blocked(&name, &self.limits.blocked_extensions) {
                self.leave_out(&name, "files with this extension are not accepted".to_owned());
            } else if one.size > max.saturating_add(OVERHEAD) {
                self.leave_out(&name, format!("larger than {max} bytes"));
            } else if self.theirs.len() >= 2 * MAX_ATTACHMENTS {
                self.leave_out(&name, "the appointment has too many files".to_owned());
            } else {
                match fetch(act, items, &one.id, max).await? {
                    Fetched::Here(content) => {
                        let file = File { name, digest: content.digest };
                        self.contents.insert(file.clone(), content);
                        self.theirs.entry(file).or_default().push(one);
                    }
                    Fetched::TooLarge => self.leave_out(&name, format!("larger than {max} bytes")),
                    // Taken away meanwhile: the item is listed again.
                    Fetched::Not(fault) if fault.class == FaultClass::Gone => {}
                    Fetched::Not(fault) => self.give_up(&name, &fault)?,
                }
            }
        }
        self.find_renamed();
        Ok(())
    }

    /// Some servers change the names of what is attached: of what was about to be added the content tells.
    fn find_renamed(&mut self) {
        let missing = self.pair.due.known.iter().filter(|known| known.remote_id.is_none()).map(file_of);
        for file in missing.collect::<Vec<_>>() {
            if self.theirs.contains_key(&file) {
                continue;
            }
            let renamed = self.theirs.keys().find(|there| {
                there.digest == file.digest
                    && !self.pair.ours.contains_key(*there)
                    && self.pair.due.known.iter().all(|known| file_of(known) != **there)
            });
            if let Some(there) = renamed.cloned().and_then(|renamed| self.theirs.remove(&renamed)) {
                self.theirs.insert(file, there);
            }
        }
    }

    /// What both sides had. What was about to be added counts if it was.
    fn base(&self) -> BTreeSet<File> {
        let known = self.pair.due.known.iter();
        let had = known.filter(|known| known.remote_id.is_some() || self.theirs.contains_key(&file_of(known)));
        had.map(file_of).collect()
    }

    fn leave_out(&mut self, name: &str, why: String) {
        self.left_out.push((name.to_owned(), why));
    }

    /// What could not be moved is tried again, or stays where it is.
    fn give_up(&mut self, name: &str, fault: &Fault) -> Result<(), Broken> {
        if fault.may_heal() && !self.last_attempt {
            return Err(Broken::Later);
        }
        self.leave_out(name, fault.message.clone());
        Ok(())
    }

    fn agree(&mut self, file: &File) {
        let there = self.theirs.get(file).and_then(|there| there.first());
        let known = self.pair.due.known.iter().find(|known| file_of(known) == *file);
        let (remote_id, remote_size) = match there {
            Some(there) => (Some(there.id.clone()), i64::try_from(there.size).ok()),
            // It was removed there, and that may not flow here.
            None => (known.and_then(|known| known.remote_id.clone()), known.and_then(|known| known.remote_size)),
        };
        self.agreed.push(Known { name: file.name.clone(), digest: file.digest, remote_id, remote_size });
    }

    async fn add_there(&mut self, act: &mut Act<'_>, items: &mut dyn Items, file: &File) -> Result<(), Broken> {
        let Some(ours) = self.pair.ours.get(file).cloned() else { return Ok(()) };
        let max = self.limits.max_attachment_bytes;
        if rules::is_blocked(&file.name, &self.limits.blocked_extensions) {
            self.leave_out(&file.name, "files with this extension are not accepted".to_owned());
            return Ok(());
        }
        if ours.size_bytes > max {
            self.leave_out(&file.name, format!("larger than {max} bytes"));
            return Ok(());
        }
        let link = self.pair.due.link;
        let mut tx = act.context.store.begin().await?;
        fence(act, &mut tx, None).await?;
        attachment_links::intend(&mut tx, link, act.run_id, &file.name, &file.digest).await?;
        end(act, tx).await?;
        CrashPoint::ATTACHMENT_INTENDED.reach();
        let attaching = Attaching { name: &file.name, media_type: &ours.media_type };
        let content = stored(&act.context.store, file.digest);
        let done = match items.attach(&self.pair.due.remote, attaching, content, act.deadline).await {
            Err(fault) if fault.scope == lockstep_model::fault::FaultScope::Item => Err(NotDone::Refused(fault)),
            done => done.map_err(Stopped::Remote)?,
        };
        let (id, version) = match done {
            Ok(done) => done,
            Err(NotDone::Gone) => return Err(Broken::Gone),
            Err(NotDone::Conflict) => return Err(Broken::Later),
            Err(NotDone::Unwritable { why, .. }) => {
                self.leave_out(&file.name, why.to_owned());
                return Ok(());
            }
            Err(NotDone::Refused(fault)) => return self.give_up(&file.name, &fault),
        };
        CrashPoint::ATTACHED.reach();
        self.version = version;
        let known = Known { name: file.name.clone(), digest: file.digest, remote_id: Some(id), remote_size: None };
        let mut tx = act.context.store.begin().await?;
        fence(act, &mut tx, None).await?;
        attachment_links::know(&mut tx, link, &known).await?;
        end(act, tx).await?;
        self.agreed.push(known);
        Ok(())
    }

    async fn remove_there(&mut self, act: &Act<'_>, items: &mut dyn Items, file: &File) -> Result<(), Broken> {
        for one in self.theirs.get(file).cloned().unwrap_or_default() {
            match items.detach(&one.id, act.deadline).await.map_err(Stopped::Remote)? {
                Ok(version) => self.version = version,
                Err(NotDone::Gone) => {}
                Err(NotDone::Conflict | NotDone::Unwritable { .. }) => return Err(Broken::Later),
                Err(NotDone::Refused(fault)) => {
                    self.give_up(&file.name, &fault)?;
                    // It is still agreed on: the next change tries again.
                    self.agree(file);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Everything else, in one transaction: the record's files, what is agreed on, and where the comparison stands.
    async fn write_down(&mut self, act: &mut Act<'_>, plan: &Plan, listed: &RemoteVersion) -> Result<(), Broken> {
        let (due, mailbox) = (self.pair.due.clone(), act.run.mailbox.id);
        let room = MAX_ATTACHMENTS.saturating_sub(self.pair.ours.len().saturating_sub(plan.from_crm.len()));
        for file in plan.to_crm.iter().skip(room) {
            self.leave_out(&file.name, format!("an appointment has at most {MAX_ATTACHMENTS} files"));
        }
        let (mut new, mut added) = (Vec::new(), Vec::new());
        for file in plan.to_crm.iter().take(room) {
            let (Some(content), Some(there)) = (self.contents.get(file), self.theirs.get(file)) else { continue };
            let media_type = media_type(there.first().map_or("", |there| &there.media_type));
            new.push(NewAttachment { name: file.name.clone(), media_type, content: *content });
            added.push(file.clone());
        }
        let gone: Vec<AttachmentId> =
            plan.from_crm.iter().filter_map(|file| self.pair.ours.get(file)).map(|ours| ours.id).collect();
        let mut tx = act.context.store.begin().await?;
        fence(act, &mut tx, None).await?;
        let now_there = records::lock(&mut tx, &[due.record]).await?;
        // Deleted meanwhile: that is for the next cycle.
        let Some(Record::Activity(activity)) = now_there.into_iter().next() else { return Ok(()) };
        if activity.state != self.pair.activity.state && !(new.is_empty() && gone.is_empty()) {
            return Err(Broken::Later);
        }
        let (_, version) = activity_attachments::add(&mut tx, &activity, &new, ACTOR).await?;
        let (_, removed) = activity_attachments::remove(&mut tx, &activity, &gone, ACTOR).await?;
        let version = RecordVersion(version.max(removed));
        for file in &added {
            self.agree(file);
        }
        attachment_links::agree(&mut tx, due.link, &self.agreed).await?;
        // Whoever wrote the record meanwhile is compared again.
        let seen = if activity.version == due.version.0 { version } else { due.version };
        let moved = (*listed != self.version).then_some((listed, &self.version));
        attachment_links::moved_along(&mut tx, due.link, (due.version, seen), moved).await?;
        // With the state unknown, the next change of either side looks at the server again.
        let remote = (!self.stays).then(|| self.version.clone());
        compared(&mut tx, &self.pair, (seen, remote), &self.left_out).await?;
        // Schedules before alerts, as everybody locks them.
        if version.0 != activity.version {
            lanes::wake(&mut tx, &[due.record], Some(mailbox)).await?;
        }
        tell(act, &mut tx, &self.pair, &self.left_out).await?;
        end(act, tx).await?;
        Ok(())
    }
}

/// A media type as it is kept: one that says nothing, or cannot be one, is that of any file.
fn media_type(outside: &str) -> String {
    let essence = outside.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let token =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b));
    let fits =
        essence.len() <= 127 && essence.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype));
    if fits { essence } else { "application/octet-stream".to_owned() }
}

/// Notes that a pair was looked at as far as it can be.
async fn compared(
    tx: &mut Tx,
    pair: &Pair,
    (record, remote): (RecordVersion, Option<RemoteVersion>),
    left_out: &[(String, String)],
) -> Result<(), Stopped> {
    let left_out = u32::try_from(left_out.len()).unwrap_or(u32::MAX);
    let state = Compared { link: pair.due.link, record, remote, due: None, attempts: 0, left_out };
    Ok(attachment_links::compared(tx, &state).await?)
}

/// Tells of what is left out, or ends what was told.
async fn tell(act: &Act<'_>, tx: &mut Tx, pair: &Pair, left_out: &[(String, String)]) -> Result<(), Stopped> {
    let which = Which::Record(pair.activity.kind, pair.due.record);
    let key: RemoteKey = failures::alert_key(&which);
    let subject = Subject::Item(act.run.mailbox.id, &key);
    if left_out.is_empty() {
        if pair.due.left_out > 0 {
            alerts::resolve(tx, LEFT_OUT, subject).await?;
        }
        return Ok(());
    }
    let named = left_out.iter().take(NAMED);
    let words: Vec<_> =
        named.map(|(name, why)| format!("{}: {why}", lockstep_model::text::line(name, NAME_SHOWN))).collect();
    let parameters = json!({
        "item": format!("{} {}", pair.activity.kind.name(), pair.due.record.0),
        "items": left_out.len(),
        "message": words.join("; "),
    });
    alerts::raise(tx, LEFT_OUT, Severity::Warning, subject, parameters).await?;
    Ok(())
}

/// Commits what was fenced.
async fn end(act: &mut Act<'_>, tx: Tx) -> Result<(), Stopped> {
    tx.commit().await?;
    act.run.version += 1;
    Ok(())
}

/// Notes that nothing is to be done for a pair until one of its sides moves.
async fn note(act: &mut Act<'_>, pair: &Pair, remote: Option<RemoteVersion>) -> Result<(), Stopped> {
    let mut tx = act.context.store.begin().await?;
    fence(act, &mut tx, None).await?;
    compared(&mut tx, pair, (pair.due.version, remote), &[]).await?;
    tell(act, &mut tx, pair, &[]).await?;
    end(act, tx).await
}

/// Notes pairs that need no look at the server.
pub(super) async fn note_all(act: &mut Act<'_>, pairs: &[Pair]) -> Result<(), Stopped> {
    if pairs.is_empty() {
        return Ok(());
    }
    let mut tx = act.context.store.begin().await?;
    fence(act, &mut tx, None).await?;
    for pair in pairs {
        let Pair { due, .. } = pair;
        let (link, record, remote, left_out) = (due.link, due.version, due.compared.clone(), due.left_out);
        let state = Compared { link, record, remote, due: None, attempts: 0, left_out };
        attachment_links::compared(&mut tx, &state).await?;
    }
    end(act, tx).await
}

/// Notes pairs without any attachment.
pub(super) async fn note_empty(act: &mut Act<'_>, pairs: &[(Pair, RemoteVersion)]) -> Result<(), Stopped> {
    if pairs.is_empty() {
        return Ok(());
    }
    let mut tx = act.context.store.begin().await?;
    fence(act, &mut tx, None).await?;
    for (pair, version) in pairs {
        compared(&mut tx, pair, (pair.due.version, Some(version.clone())), &[]).await?;
        tell(act, &mut tx, pair, &[]).await?;
    }
    end(act, tx).await
}

/// Notes that a pair is to be tried again, each time later.
async fn again(act: &mut Act<'_>, pair: &Pair) -> Result<(), Stopped> {
    let mut tx = act.context.store.begin().await?;
    fence(act, &mut tx, None).await?;
    let due = next_attempt(act, tx.now(), pair.due.attempts);
    attachment_links::postpone(&mut tx, pair.due.link, due, pair.due.attempts + 1).await?;
    end(act, tx).await
}

fn next_attempt(act: &Act<'_>, now: DateTime<Utc>, attempts: u32) -> DateTime<Utc> {
    let longer = (0.5 + rand::random::<f64>()) * f64::from(1_u32 << attempts.min(6));
    let wait = std::time::Duration::from_secs(act.context.config.item_backoff_s).mul_f64(longer);
    now + chrono::TimeDelta::from_std(act.context.scale.apply(wait)).unwrap_or(chrono::TimeDelta::MAX)
}
