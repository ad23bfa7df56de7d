//! The same server's contacts, tasks and appointments: it keeps what it is given, and answers as a test tells it.

pub(crate) mod attachments;

use std::collections::{BTreeMap, VecDeque};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use lockstep_connector::{
    Deadline,
    items::{CategoryChange, Changes, Claim, Folder, Item, ItemHead, Items, NotDone, Reading, Receipt, Write, Written},
};
use lockstep_model::{
    fault::Fault,
    record::{Field, Fields, Kind, LinkId, RemoteVersion},
    remote::{Cursor, RemoteKey},
};

use super::{Conversation, Server};
use crate::{seed::morning, stage::lost};

/// How a write is answered, once.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// It is not done.
    Not(NotDone),
    /// It is done twice, and then the connection is lost.
    TwiceAndLost,
}

#[derive(Default)]
pub(super) struct Kept {
    /// By login, in the order of their making.
    items: BTreeMap<String, Vec<Item>>,
    made: u64,
    /// Whose each mailbox is, and who claims it right after the next one who does.
    claims: BTreeMap<String, Claim>,
    faster: Option<Claim>,
    asked_whose: u64,
    answers: VecDeque<Answer>,
    files: attachments::Files,
}

impl Kept {
    fn version(&mut self) -> RemoteVersion {
        self.made += 1;
        RemoteVersion(format!("v{}", self.made))
    }
}

impl Server {
    /// How the next write to an item is answered.
    pub(crate) fn answer_write(&self, answer: Answer) {
        self.state().kept.answers.push_back(answer);
    }

    /// The subjects of a mailbox's items, sorted.
    pub(crate) fn subjects(&self, login: &str) -> Vec<String> {
        let state = self.state();
        let items = state.kept.items.get(login).into_iter().flatten();
        let mut subjects: Vec<_> = items.map(|item| format!("{:?}", item.fields.get(Field::Subject))).collect();
        subjects.sort();
        subjects
    }

    /// Whose the mailbox is.
    pub(crate) fn claim(&self, login: &str) -> Option<Claim> {
        self.state().kept.claims.get(login).copied()
    }

    /// Somebody claims it.
    pub(crate) fn claimed(&self, login: &str, claim: Claim) {
        self.state().kept.claims.insert(login.to_owned(), claim);
    }

    /// Somebody claims the next mailbox that is claimed, right after.
    pub(crate) fn claimed_right_after(&self, claim: Claim) {
        self.state().kept.faster = Some(claim);
    }

    /// How often somebody has asked whose a mailbox is.
    pub(crate) fn asked_whose(&self) -> u64 {
        self.state().kept.asked_whose
    }

    /// The mailbox's owner puts an item there, or another one in its place; `tracked` is its category.
    pub(crate) fn put_item(&self, login: &str, key: &str, kind: Kind, fields: Fields, tracked: bool) {
        let mut state = self.state();
        let version = state.kept.version();
        let categories = if tracked { vec!["Tracked to CRM".to_owned()] } else { Vec::new() };
        let key = RemoteKey::new(key).unwrap();
        let items = state.kept.items.entry(login.to_owned()).or_default();
        items.retain(|known| known.head.key != key);
        let head = ItemHead { key, version, mark: None, uid: None, categories };
        items.push(Item { head, kind, fields, modified: morning(), organiser: true });
    }

    /// And takes it away.
    pub(crate) fn remove_item(&self, login: &str, key: &str) {
        let key = RemoteKey::new(key).unwrap();
        self.state().kept.items.entry(login.to_owned()).or_default().retain(|known| known.head.key != key);
    }

    /// Somebody empties the mailbox.
    pub(crate) fn remove_items(&self, login: &str) {
        self.state().kept.items.remove(login);
    }
}

impl Conversation {
    fn now(&self) -> Vec<Item> {
        self.server.state().kept.items.get(&self.login).cloned().unwrap_or_default()
    }

    fn do_write(&self, write: &Write) -> Result<Receipt, NotDone> {
        let mut state = self.server.state();
        let version = state.kept.version();
        let made = state.kept.made;
        let items = state.kept.items.entry(self.login.clone()).or_default();
        let place = |item: &Item| items.iter().position(|known| known.head.key == item.head.key).ok_or(NotDone::Gone);
        match write {
            Write::Create { kind, values, mark, .. } => {
                let key = RemoteKey::new(format!("i{made}").into_bytes()).unwrap();
                let head = ItemHead {
                    key: key.clone(),
                    version: version.clone(),
                    mark: Some(*mark),
                    uid: None,
                    categories: Vec::new(),
                };
                let (kind, fields) = (*kind, values.clone());
                items.push(Item { head, kind, fields, modified: morning(), organiser: true });
                Ok(Receipt { key, version: Some(version), left_out: Vec::new() })
            }
            Write::Update { item, patch, beside, .. } => {
                let at = place(item)?;
                items[at].fields.apply(patch);
                if let Some((change, name)) = &beside.category {
                    items[at].head.categories.retain(|known| known != name);
                    if *change == CategoryChange::Given {
                        items[at].head.categories.push(name.clone());
                    }
                }
                items[at].head.version = version.clone();
                Ok(Receipt { key: item.head.key.clone(), version: Some(version), left_out: Vec::new() })
            }
            Write::Delete { item, .. } => {
                let at = place(item)?;
                items.remove(at);
                Ok(Receipt { key: item.head.key.clone(), version: None, left_out: Vec::new() })
            }
        }
    }
}

#[async_trait]
impl Items for Conversation {
    async fn changes(&mut self, folder: Folder, cursor: &Cursor, limit: u16, _: &Deadline) -> Result<Changes, Fault> {
        let told = String::from_utf8(cursor.0.clone()).unwrap();
        let mut known: BTreeMap<_, _> =
            told.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let here: Vec<_> = self.now().into_iter().filter(|item| Folder::of(item.kind) == folder).collect();
        let name = |item: &Item| item.head.key.to_string();
        let gone: Vec<_> = known.keys().filter(|key| here.iter().all(|item| name(item) != **key)).cloned().collect();
        known.retain(|key, _| !gone.contains(key));
        let is_new = |item: &&Item| known.get(&name(item)).is_none_or(|version| *version != item.head.version.0);
        let mut changed: Vec<_> = here.iter().filter(is_new).map(|item| item.head.clone()).collect();
        let more = changed.len() > usize::from(limit);
        changed.truncate(limit.into());
        known.extend(changed.iter().map(|head| (head.key.to_string(), head.version.0.clone())));
        let next: String = known.iter().map(|(key, version)| format!("{key}={version}\n")).collect();
        Ok(Changes {
            changed,
            deleted: gone.iter().map(|key| RemoteKey::new(key.as_bytes()).unwrap()).collect(),
            cursor: Cursor(format!("{next}\n").into_bytes()),
            more,
            reset: false,
        })
    }

    async fn read(&mut self, _: Folder, keys: &[RemoteKey], _: &Deadline) -> Result<Vec<Reading>, Fault> {
        let here = self.now();
        let read = |key: &RemoteKey| {
            let item = here.iter().find(|item| item.head.key == *key);
            item.map_or(Reading::Gone, |item| Reading::Here(Box::new(item.clone())))
        };
        Ok(keys.iter().map(read).collect())
    }

    async fn find(&mut self, _: Folder, mark: LinkId, _: &Deadline) -> Result<Vec<Item>, Fault> {
        Ok(self.now().into_iter().filter(|item| item.head.mark == Some(mark)).collect())
    }

    async fn write(&mut self, writes: &[Write], _: &Deadline) -> Written {
        let mut written = Written::default();
        for write in writes {
            let answer = self.server.state().kept.answers.pop_front();
            match answer {
                None => written.done.push(self.do_write(write)),
                Some(Answer::Not(not)) => written.done.push(Err(not)),
                Some(Answer::TwiceAndLost) => {
                    self.do_write(write).unwrap();
                    self.do_write(write).unwrap();
                    written.broken = Some(lost());
                    break;
                }
            }
        }
        written
    }

    async fn claim(&mut self, _: &Deadline) -> Result<Option<Claim>, Fault> {
        let mut state = self.server.state();
        state.kept.asked_whose += 1;
        Ok(state.kept.claims.get(&self.login).copied())
    }

    async fn set_claim(&mut self, claim: &Claim, _: &Deadline) -> Result<(), Fault> {
        let mut state = self.server.state();
        state.kept.claims.insert(self.login.clone(), *claim);
        // Somebody else, right after.
        if let Some(other) = state.kept.faster.take() {
            state.kept.claims.insert(self.login.clone(), other);
        }
        Ok(())
    }

    async fn note_synchronised(&mut self, at: DateTime<Utc>, _: &Deadline) -> Result<(), Fault> {
        if let Some(claim) = self.server.state().kept.claims.get_mut(&self.login) {
            claim.synchronised_at = Some(at);
        }
        Ok(())
    }
}
