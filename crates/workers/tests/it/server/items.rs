//! The same server's contacts, tasks and appointments: it keeps what it is given, and answers as a test tells it.

use std::collections::{BTreeMap, VecDeque};

use async_trait::async_trait;
use lockstep_connector::{
    Deadline,
    items::{Changes, Folder, Item, ItemHead, Items, NotDone, Reading, Receipt, Write, Written},
};
use lockstep_model::{
    fault::Fault,
    record::{Field, LinkId, RemoteVersion},
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
    answers: VecDeque<Answer>,
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
            Write::Update { item, patch, .. } => {
                let at = place(item)?;
                items[at].fields.apply(patch);
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
    async fn changes(&mut self, folder: Folder, cursor: &Cursor, _: u16, _: &Deadline) -> Result<Changes, Fault> {
        let told = String::from_utf8(cursor.0.clone()).unwrap();
        let before: BTreeMap<_, _> = told.lines().filter_map(|line| line.split_once('=')).collect();
        let here: Vec<_> = self.now().into_iter().filter(|item| Folder::of(item.kind) == folder).collect();
        let changed = here.iter().filter(|item| {
            before.get(item.head.key.to_string().as_str()).is_none_or(|version| *version != item.head.version.0)
        });
        let gone = before.keys().filter(|key| here.iter().all(|item| item.head.key.to_string() != **key));
        let next: String = here.iter().map(|item| format!("{}={}\n", item.head.key, item.head.version.0)).collect();
        Ok(Changes {
            changed: changed.map(|item| item.head.clone()).collect(),
            deleted: gone.map(|key| RemoteKey::new(key.as_bytes()).unwrap()).collect(),
            cursor: Cursor(format!("{next}\n").into_bytes()),
            more: false,
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
}
