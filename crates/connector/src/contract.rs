//! The promises of the port, as a suite that every connector passes: its real server against the twin in memory.
//! Each function panics with what was promised and what happened instead.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a suite for tests: a broken promise ends the test")]

mod folders;
mod items;

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    remote::{Cursor, Fingerprint, RemoteKey},
};
use tokio::io::AsyncReadExt;

use crate::{
    Connector, Credentials, Deadline, Delta, Envelope, Known, Limits, PointOfNoReturn, RecipientReply, RemoteHead,
    Session, Target,
};

pub use folders::{FolderWorld, folders};
pub use items::items;

/// A server under test, seen from behind: how a message gets into a mailbox without the connector, and what lies
/// there.
#[async_trait]
pub trait World: Send + Sync {
    /// The connector that speaks to it.
    fn connector(&self) -> &dyn Connector;
    /// A new empty mailbox: its address, and how to connect to it.
    async fn mailbox(&self) -> (String, Target);
    /// Puts messages into the mailbox, in this order.
    async fn deliver(&self, address: &str, messages: &[Vec<u8>]);
    /// What lies in the mailbox, with CR LF line ends, once at least `at_least` messages are there.
    async fn messages(&self, address: &str, at_least: usize) -> Vec<Vec<u8>>;
}

/// Everything a connector that reads email promises.
pub async fn incoming(world: &dyn World) {
    lists_once_and_then_nothing(world).await;
    pages_in_order_with_the_cursor_on_the_last(world).await;
    gives_the_bytes_that_were_delivered(world).await;
    reports_what_is_absent(world).await;
    deletes_only_at_the_close(world).await;
    refuses_a_wrong_secret(world).await;
}

/// Everything a connector that sends email promises.
pub async fn outgoing(world: &dyn World) {
    sends_once_after_the_gate(world).await;
    sends_nothing_when_the_gate_refuses(world).await;
    refuses_a_wrong_secret(world).await;
}

/// What a connector promises besides whose server answers for each recipient while the message is handed over. Others
/// accept the message as a whole, and who is nobody comes back as a report.
pub async fn outgoing_by_recipient(world: &dyn World) {
    one_refused_recipient_does_not_stop_the_others(world).await;
    asks_no_gate_when_nobody_is_accepted(world).await;
}

/// What was committed of a mailbox: a stand-in for the store.
#[derive(Default)]
struct Committed(Mutex<BTreeMap<RemoteKey, Option<Fingerprint>>>);

impl Committed {
    fn commit(&self, heads: &[RemoteHead]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(heads.iter().map(|head| (head.key.clone(), None)));
    }
}

#[async_trait]
impl Known for Committed {
    async fn count(&self) -> Result<u64, Fault> {
        Ok(self.0.lock().unwrap().len() as u64)
    }
    async fn contains(&self, keys: &[RemoteKey]) -> Result<Vec<bool>, Fault> {
        let known = self.0.lock().unwrap();
        Ok(keys.iter().map(|key| known.contains_key(key)).collect())
    }
    async fn by_fingerprint(&self, fingerprints: &[Fingerprint]) -> Result<Vec<Option<RemoteKey>>, Fault> {
        let known = self.0.lock().unwrap();
        let find =
            |wanted: &Fingerprint| known.iter().find(|(_, f)| f.as_ref() == Some(wanted)).map(|(k, _)| k.clone());
        Ok(fingerprints.iter().map(find).collect())
    }
    async fn absent(&self, listed: &[RemoteKey]) -> Result<Vec<RemoteKey>, Fault> {
        Ok(self.0.lock().unwrap().keys().filter(|key| !listed.contains(key)).cloned().collect())
    }
}

fn deadline() -> Deadline {
    Deadline::within(Duration::from_secs(60))
}

const WIDE: Limits = Limits { items: 100, bytes: 1 << 30 };

async fn open(world: &dyn World, target: &Target) -> Box<dyn Session> {
    world.connector().open(target, &deadline()).await.unwrap_or_else(|fault| panic!("a session was expected: {fault}"))
}

async fn close(session: Box<dyn Session>) {
    session.close(&deadline()).await.unwrap_or_else(|fault| panic!("an orderly end was expected: {fault}"));
}

async fn pull(session: &mut dyn Session, cursor: &Cursor, known: &Committed, limits: Limits) -> Delta {
    let delta = session.pull(cursor, known, limits, &deadline()).await;
    delta.unwrap_or_else(|fault| panic!("a delta was expected: {fault}"))
}

fn letters(count: usize) -> Vec<Vec<u8>> {
    let letter = |n| {
        format!("From: a@example.test\r\nSubject: letter {n}\r\nMessage-ID: <{n}@contract.test>\r\n\r\nbody {n}\r\n")
    };
    (0..count).map(|n| letter(n).into_bytes()).collect()
}

async fn lists_once_and_then_nothing(world: &dyn World) {
    let (address, target) = world.mailbox().await;
    world.deliver(&address, &letters(3)).await;
    let known = Committed::default();
    let mut session = open(world, &target).await;
    let first = pull(&mut *session, &Cursor::default(), &known, WIDE).await;
    close(session).await;
    assert_eq!(first.heads.len(), 3, "every delivered message is new");
    assert!(!first.more);
    let cursor = first.cursor.unwrap_or_else(|| panic!("a complete listing has a cursor"));
    assert!(cursor.0.len() <= Cursor::MAX_BYTES);
    known.commit(&first.heads);
    let mut session = open(world, &target).await;
    let second = pull(&mut *session, &cursor, &known, WIDE).await;
    close(session).await;
    assert!(second.is_empty() && !second.more, "nothing has changed, so nothing is to be written: {second:?}");
}

async fn pages_in_order_with_the_cursor_on_the_last(world: &dyn World) {
    let (address, target) = world.mailbox().await;
    world.deliver(&address, &letters(5)).await;
    let known = Committed::default();
    let mut session = open(world, &target).await;
    let (mut subjects, mut pages) = (Vec::new(), 0);
    loop {
        let page = pull(&mut *session, &Cursor::default(), &known, Limits { items: 2, bytes: 1 << 30 }).await;
        assert!(page.heads.len() <= 2, "a page keeps its limit");
        assert_eq!(page.cursor.is_some(), !page.more, "the cursor stands on the last page and nowhere else");
        for block in session.headers(&page.heads, &deadline()).await.unwrap().whole().unwrap() {
            let block = String::from_utf8(block.unwrap()).unwrap();
            subjects.extend(block.lines().find_map(|line| line.strip_prefix("Subject: letter ")).map(str::to_owned));
        }
        known.commit(&page.heads);
        pages += 1;
        if !page.more {
            break;
        }
    }
    close(session).await;
    assert_eq!(subjects, ["0", "1", "2", "3", "4"], "oldest first");
    assert_eq!(pages, 3);
}

async fn gives_the_bytes_that_were_delivered(world: &dyn World) {
    let (address, target) = world.mailbox().await;
    let mut odd = letters(1).remove(0);
    odd.extend_from_slice(b".\r\n..two dots\r\n.\r\n\xe4\xf6\xfc\r\nend\r\n");
    world.deliver(&address, &[odd]).await;
    let there = world.messages(&address, 1).await.remove(0);
    let mut session = open(world, &target).await;
    let delta = pull(&mut *session, &Cursor::default(), &Committed::default(), WIDE).await;
    let head = delta.heads.first().unwrap_or_else(|| panic!("the message is listed"));
    let block = session.headers(&delta.heads, &deadline()).await.unwrap().blocks.remove(0).unwrap();
    let mut body = Vec::new();
    let mut reader = session.fetch(head, &deadline()).await.unwrap();
    reader.read_to_end(&mut body).await.unwrap();
    drop(reader);
    assert_eq!(body, there, "fetch gives what the server has");
    assert!(body.starts_with(&block) && block.ends_with(b"\r\n\r\n"), "the header block is the message's beginning");
    close(session).await;
}

async fn reports_what_is_absent(world: &dyn World) {
    let (address, target) = world.mailbox().await;
    world.deliver(&address, &letters(1)).await;
    let known = Committed::default();
    let gone = RemoteHead { key: RemoteKey::new("long-gone").unwrap(), handle: 0, size: 0, weak: false };
    known.commit(std::slice::from_ref(&gone));
    let mut session = open(world, &target).await;
    let delta = pull(&mut *session, &Cursor::default(), &known, WIDE).await;
    close(session).await;
    let missing = [delta.absent, delta.gone].concat();
    assert_eq!(missing, [gone.key], "a complete listing tells what it does not show");
}

async fn deletes_only_at_the_close(world: &dyn World) {
    let (address, target) = world.mailbox().await;
    world.deliver(&address, &letters(2)).await;
    let known = Committed::default();
    let mut session = open(world, &target).await;
    let delta = pull(&mut *session, &Cursor::default(), &known, WIDE).await;
    let key = delta.heads.first().unwrap().key.clone();
    session.delete(std::slice::from_ref(&key), &deadline()).await.unwrap();
    drop(session);
    // The server may take a moment to notice that the client is gone.
    let session = {
        let mut attempts = 0;
        loop {
            match world.connector().open(&target, &deadline()).await {
                Ok(session) => break session,
                Err(_) if attempts < 50 => {
                    attempts += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(fault) => panic!("the mailbox opens again: {fault}"),
            }
        }
    };
    let mut session = session;
    let again = pull(&mut *session, &Cursor::default(), &known, WIDE).await;
    assert_eq!(again.heads.len(), 2, "without the close nothing was deleted");
    session.delete(&[key], &deadline()).await.unwrap();
    close(session).await;
    assert_eq!(world.messages(&address, 1).await.len(), 1, "with it the deletion took effect");
}

async fn refuses_a_wrong_secret(world: &dyn World) {
    let (_, target) = world.mailbox().await;
    let wrong = Target { credentials: Credentials::new(target.credentials.user.clone(), "wrong".into()), ..target };
    match world.connector().open(&wrong, &deadline()).await {
        Ok(_) => panic!("a wrong secret opens nothing"),
        Err(fault) => assert_eq!((fault.scope, fault.class), (FaultScope::Mailbox, FaultClass::Auth), "{fault}"),
    }
}

struct Gate {
    open: bool,
    asked: usize,
}

#[async_trait]
impl PointOfNoReturn for Gate {
    async fn cross(&mut self, _recipients: &[RecipientReply]) -> Result<(), Fault> {
        self.asked += 1;
        let refused = || Fault::new(FaultScope::Mailbox, FaultClass::Transient, "GateShut", "not now");
        if self.open { Ok(()) } else { Err(refused()) }
    }
}

fn envelope(from: &str, to: &[&str], message: &[u8]) -> Envelope {
    Envelope {
        from: from.to_owned(),
        to: to.iter().map(|a| (*a).to_owned()).collect(),
        size: Some(message.len() as u64),
        save_copy: true,
    }
}

async fn sends_once_after_the_gate(world: &dyn World) {
    let (from, target) = world.mailbox().await;
    let (to, _) = world.mailbox().await;
    let message = letters(1).remove(0);
    let mut gate = Gate { open: true, asked: 0 };
    let mut session = open(world, &target).await;
    let body = Box::pin(&message[..]);
    let receipt = session.send(&envelope(&from, &[&to], &message), body, &mut gate, &deadline()).await.unwrap();
    close(session).await;
    assert_eq!(gate.asked, 1, "the gate is asked once");
    assert!(receipt.recipients.iter().all(|r| r.result.is_ok()));
    let there = world.messages(&to, 1).await;
    assert_eq!(there.len(), 1);
    assert!(there[0].windows(8).any(|w| w == b"letter 0"));
}

async fn sends_nothing_when_the_gate_refuses(world: &dyn World) {
    let (from, target) = world.mailbox().await;
    let (to, _) = world.mailbox().await;
    let message = letters(1).remove(0);
    let mut gate = Gate { open: false, asked: 0 };
    let mut session = open(world, &target).await;
    let body = Box::pin(&message[..]);
    let refused = session.send(&envelope(&from, &[&to], &message), body, &mut gate, &deadline()).await;
    assert_eq!(refused.map_err(|f| f.code), Err("GateShut".to_owned()), "the gate's own fault comes back");
    let _ = session.close(&deadline()).await;
    // A message sent afterwards overtakes nothing: it is the only one there.
    let mut gate = Gate { open: true, asked: 0 };
    let mut session = open(world, &target).await;
    let body = Box::pin(&message[..]);
    session.send(&envelope(&from, &[&to], &message), body, &mut gate, &deadline()).await.unwrap();
    close(session).await;
    assert_eq!(world.messages(&to, 1).await.len(), 1, "what the gate held back never arrives");
}

async fn one_refused_recipient_does_not_stop_the_others(world: &dyn World) {
    let (from, target) = world.mailbox().await;
    let (to, _) = world.mailbox().await;
    let nobody = format!("nobody-{to}");
    let message = letters(1).remove(0);
    let mut gate = Gate { open: true, asked: 0 };
    let mut session = open(world, &target).await;
    let body = Box::pin(&message[..]);
    let envelope = envelope(&from, &[&nobody, &to], &message);
    let receipt = session.send(&envelope, body, &mut gate, &deadline()).await.unwrap();
    close(session).await;
    let refused = receipt.recipients[0].result.as_ref().map_err(|f| f.class);
    assert_eq!(refused, Err(FaultClass::Refused), "each recipient has an answer of its own");
    assert!(receipt.recipients[1].result.is_ok());
    assert_eq!(world.messages(&to, 1).await.len(), 1);
}

async fn asks_no_gate_when_nobody_is_accepted(world: &dyn World) {
    let (from, target) = world.mailbox().await;
    let nobody = format!("nobody-{from}");
    let message = letters(1).remove(0);
    let mut gate = Gate { open: true, asked: 0 };
    let mut session = open(world, &target).await;
    let body = Box::pin(&message[..]);
    let receipt = session.send(&envelope(&from, &[&nobody], &message), body, &mut gate, &deadline()).await.unwrap();
    let _ = session.close(&deadline()).await;
    assert_eq!(gate.asked, 0, "where nobody is accepted nothing is irrevocable");
    assert!(receipt.recipients.iter().all(|r| r.result.is_err()));
}
