//! A mail server made of data: mailboxes by login, and faults, panics, silences and hooks at any call.

pub(crate) mod items;

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use futures::future::BoxFuture;
use lockstep_connector::{
    BodyReader, Connector, Deadline, Delta, Descriptor, Envelope, HeaderBlocks, Known, Limits, PointOfNoReturn,
    RecipientReply, RemoteHead, SendReceipt, Session, Target, delta::MAX_QUESTION, fingerprint,
};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    protocol::Capabilities,
    remote::{Cursor, RemoteKey},
};
use tokio::io::AsyncReadExt;
use tokio_util::io::StreamReader;

/// Where something happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Open,
    Pull,
    Headers,
    Fetch(String),
    Delete,
    /// Before anything is read of what is to be sent.
    Send,
    /// The body is written, the gate has not been asked.
    Written,
    /// The gate was passed, nothing is answered yet.
    Passed,
    Close,
}

pub(crate) type Hook = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// What happens there, once.
pub(crate) enum Action {
    Fail(Fault),
    /// The body breaks off after so many bytes, the headers after so many messages.
    BreakOff(usize, Fault),
    Panic,
    /// Never answers.
    Hang,
    /// Something happens elsewhere meanwhile.
    Meanwhile(Hook),
}

#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) key: String,
    pub(crate) raw: Vec<u8>,
    /// A size other than the true one.
    pub(crate) announced: Option<u64>,
    /// Listed, but gone when its header is asked for.
    pub(crate) vanished: bool,
    /// Listed, but its header is not shown.
    pub(crate) withheld: Option<Fault>,
}

/// A message the server was given: envelope and bytes, and whether it took them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// The reverse path.
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) size: Option<u64>,
    pub(crate) taken: bool,
}

#[derive(Default)]
struct State {
    mailboxes: HashMap<String, Vec<Stored>>,
    armed: Vec<(Call, usize, Action)>,
    calls: Vec<String>,
    given: Vec<Given>,
    answers: HashMap<String, Fault>,
    connections: usize,
    hanging: usize,
    forgets_a_header: bool,
    warning: Option<Fault>,
    delivers: bool,
    kept: items::Kept,
}

/// The server; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Server(Arc<Mutex<State>>);

impl Server {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Puts a message into the mailbox of this login.
    pub(crate) fn put(&self, login: &str, key: &str, raw: impl Into<Vec<u8>>) {
        let stored = Stored { key: key.to_owned(), raw: raw.into(), announced: None, vanished: false, withheld: None };
        self.state().mailboxes.entry(login.to_owned()).or_default().push(stored);
    }

    /// Changes a stored message.
    pub(crate) fn change(&self, login: &str, key: &str, change: impl FnOnce(&mut Stored)) {
        let mut state = self.state();
        change(state.mailboxes.get_mut(login).unwrap().iter_mut().find(|m| m.key == key).unwrap());
    }

    pub(crate) fn remove(&self, login: &str, key: &str) {
        self.state().mailboxes.get_mut(login).unwrap().retain(|m| m.key != key);
    }

    pub(crate) fn keys(&self, login: &str) -> Vec<String> {
        self.state().mailboxes.get(login).into_iter().flatten().map(|m| m.key.clone()).collect()
    }

    /// At the next such call, this happens.
    pub(crate) fn at(&self, call: Call, action: Action) {
        self.at_nth(call, 1, action);
    }

    /// At the n-th such call from now on, this happens.
    pub(crate) fn at_nth(&self, call: Call, nth: usize, action: Action) {
        self.state().armed.push((call, nth, action));
    }

    /// Nothing happens any more that was to.
    pub(crate) fn disarm(&self) {
        self.state().armed.clear();
    }

    /// Something happens elsewhere while the call is under way.
    pub(crate) fn meanwhile(&self, call: Call, hook: impl FnOnce() -> BoxFuture<'static, ()> + Send + 'static) {
        self.at(call, Action::Meanwhile(Box::new(hook)));
    }

    /// Asked for headers, it gives one too few.
    pub(crate) fn forget_a_header(&self, forgets: bool) {
        self.state().forgets_a_header = forgets;
    }

    /// From now on what is taken arrives in the mailbox whose login is the recipient's address.
    pub(crate) fn deliver(&self) {
        self.state().delivers = true;
    }

    /// What every listing warns of from now on.
    pub(crate) fn warn(&self, warning: Option<Fault>) {
        self.state().warning = warning;
    }

    /// What this recipient is answered from now on; `None`: accepted again.
    pub(crate) fn answer(&self, address: &str, fault: Option<Fault>) {
        match fault {
            Some(fault) => self.state().answers.insert(address.to_owned(), fault),
            None => self.state().answers.remove(address),
        };
    }

    /// Takes the list of calls so far.
    pub(crate) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state().calls)
    }

    pub(crate) fn given(&self) -> Vec<Given> {
        self.state().given.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state().connections
    }

    /// Whether some call was told not to answer, and does not.
    pub(crate) fn hangs(&self) -> bool {
        self.state().hanging > 0
    }

    pub(crate) fn calls_so_far(&self) -> usize {
        self.state().calls.len()
    }

    fn take(&self, at: usize) {
        let mut state = self.state();
        state.given[at].taken = true;
        if state.delivers {
            let Given { to, bytes, .. } = state.given[at].clone();
            for login in to {
                let stored = Stored {
                    key: format!("given-{at}"),
                    raw: bytes.clone(),
                    announced: None,
                    vanished: false,
                    withheld: None,
                };
                state.mailboxes.entry(login).or_default().push(stored);
            }
        }
    }

    fn note(&self, call: impl Into<String>) {
        self.state().calls.push(call.into());
    }

    fn armed(&self, call: &Call) -> Option<Action> {
        let mut state = self.state();
        let mut due = None;
        for (at, (armed, left, _)) in state.armed.iter_mut().enumerate() {
            if armed == call {
                match *left {
                    0 | 1 => due = due.or(Some(at)),
                    _ => *left -= 1,
                }
            }
        }
        due.map(|at| state.armed.remove(at).2)
    }

    /// Does what is armed for this call.
    async fn happen(&self, call: Call, deadline: &Deadline) -> Result<Option<(usize, Fault)>, Fault> {
        match self.armed(&call) {
            None => Ok(None),
            Some(Action::Fail(fault)) => Err(fault),
            Some(Action::BreakOff(at, fault)) => Ok(Some((at, fault))),
            Some(Action::Panic) => panic!("scripted panic at {call:?}"),
            Some(Action::Hang) => {
                self.state().hanging += 1;
                deadline.run(std::time::Duration::from_secs(3600), std::future::pending()).await
            }
            Some(Action::Meanwhile(hook)) => {
                hook().await;
                Ok(None)
            }
        }
    }
}

#[async_trait]
impl Connector for Server {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "scripted".parse().unwrap(),
            capabilities: Capabilities { incoming_email: true, outgoing_email: true, ..Capabilities::default() },
            implicit_tls_port: 1,
            plain_port: 2,
        }
    }

    async fn probe(
        &self,
        _: &lockstep_model::profile::Endpoint,
        _: std::time::Duration,
        _: &Deadline,
    ) -> lockstep_connector::Probe {
        let said = "scripted server ready".to_owned();
        let step = lockstep_connector::ProbeStep {
            name: "greeting",
            asked: String::new(),
            said,
            took: std::time::Duration::ZERO,
        };
        lockstep_connector::Probe { steps: vec![step], fault: None }
    }

    async fn open(&self, target: &Target, deadline: &Deadline) -> Result<Box<dyn Session>, Fault> {
        let login = target.credentials.user.clone();
        assert_eq!(target.credentials.expose(), "geheim");
        self.note(format!("open {login}"));
        self.happen(Call::Open, deadline).await?;
        self.state().connections += 1;
        Ok(Box::new(Conversation { server: self.clone(), login, page: None, deleted: Vec::new() }))
    }
}

struct Conversation {
    server: Server,
    login: String,
    /// What is still to be given of a listing, and the cursor of its end.
    page: Option<(Vec<RemoteHead>, Vec<RemoteKey>, Cursor)>,
    deleted: Vec<RemoteKey>,
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.server.state().connections -= 1;
    }
}

impl Conversation {
    fn stored(&self) -> Vec<Stored> {
        self.server.state().mailboxes.get(&self.login).cloned().unwrap_or_default()
    }

    async fn list(&mut self, cursor: &Cursor, known: &dyn Known) -> Result<Option<()>, Fault> {
        let stored = self.stored();
        let keys: Vec<_> = stored.iter().map(|m| RemoteKey::new(m.key.as_bytes()).unwrap()).collect();
        let digest =
            fingerprint::of_header(stored.iter().map(|m| format!("{}: 1\n", m.key)).collect::<String>().as_bytes());
        let next = Cursor(digest.to_vec());
        if next == *cursor {
            return Ok(None);
        }
        let mut new = Vec::new();
        for (at, portion) in keys.chunks(MAX_QUESTION).enumerate() {
            let answers = known.contains(portion).await?;
            for (offset, _) in answers.iter().enumerate().filter(|(_, known)| !**known) {
                let at = at * MAX_QUESTION + offset;
                let size = stored[at].announced.unwrap_or(stored[at].raw.len() as u64);
                new.push(RemoteHead { key: keys[at].clone(), handle: at as u64 + 1, size, weak: false });
            }
        }
        let absent = known.absent(&keys).await?;
        self.page = Some((new, absent, next));
        Ok(Some(()))
    }
}

#[async_trait]
impl Session for Conversation {
    async fn pull(
        &mut self,
        cursor: &Cursor,
        known: &dyn Known,
        limits: Limits,
        deadline: &Deadline,
    ) -> Result<Delta, Fault> {
        self.server.note("pull");
        self.server.happen(Call::Pull, deadline).await?;
        let first = self.page.is_none();
        if first && self.list(cursor, known).await?.is_none() {
            return Ok(Delta::default());
        }
        let warning = self.server.state().warning.clone().filter(|_| first);
        let Some((new, absent, next)) = &mut self.page else { return Ok(Delta::default()) };
        let mut bytes = 0;
        let fits = |head: &&RemoteHead| {
            bytes += head.size;
            bytes <= limits.bytes
        };
        let count = new.iter().take(limits.items).take_while(fits).count().max(1).min(new.len());
        let heads: Vec<_> = new.drain(..count).collect();
        let more = !new.is_empty();
        let absent = if more { Vec::new() } else { std::mem::take(absent) };
        Ok(Delta { heads, absent, more, cursor: (!more).then(|| next.clone()), warning, ..Delta::default() })
    }

    async fn headers(&mut self, heads: &[RemoteHead], deadline: &Deadline) -> Result<HeaderBlocks, Fault> {
        self.server.note(format!("headers {}", heads.len()));
        let broken = self.server.happen(Call::Headers, deadline).await?;
        let stored = self.stored();
        let block = |head: &RemoteHead| {
            let gone = || Fault::new(FaultScope::Item, FaultClass::Gone, "ItemGone", "not listed any more");
            let message = stored.iter().find(|m| m.key.as_bytes() == head.key.as_bytes()).ok_or_else(gone)?;
            if let Some(fault) = &message.withheld {
                return Err(fault.clone());
            }
            let end = message.raw.windows(4).position(|w| w == b"\r\n\r\n").map_or(message.raw.len(), |at| at + 4);
            if message.vanished { Err(gone()) } else { Ok(message.raw[..end].to_vec()) }
        };
        let given = heads.len() - usize::from(self.server.state().forgets_a_header);
        let given = broken.as_ref().map_or(given, |(at, _)| *at);
        Ok(HeaderBlocks { blocks: heads[..given].iter().map(block).collect(), broken: broken.map(|(_, fault)| fault) })
    }

    async fn fetch(&mut self, head: &RemoteHead, deadline: &Deadline) -> Result<BodyReader<'_>, Fault> {
        let key = head.key.to_string();
        self.server.note(format!("fetch {key}"));
        let broken = self.server.happen(Call::Fetch(key.clone()), deadline).await?;
        let raw = self.stored().into_iter().find(|m| m.key == key).unwrap().raw;
        let mut pieces: Vec<io::Result<bytes::Bytes>> = Vec::new();
        let whole = broken.as_ref().map_or(raw.len(), |(at, _)| *at);
        pieces.extend(raw[..whole].chunks(1_000).map(|piece| Ok(bytes::Bytes::copy_from_slice(piece))));
        pieces.extend(broken.map(|(_, fault)| Err(io::Error::other(fault))));
        Ok(Box::pin(StreamReader::new(futures::stream::iter(pieces))))
    }

    async fn delete(&mut self, keys: &[RemoteKey], deadline: &Deadline) -> Result<(), Fault> {
        self.server.note(format!("delete {}", keys.len()));
        self.server.happen(Call::Delete, deadline).await?;
        self.deleted.extend_from_slice(keys);
        Ok(())
    }

    async fn send(
        &mut self,
        envelope: &Envelope,
        mut body: BodyReader<'_>,
        gate: &mut dyn PointOfNoReturn,
        deadline: &Deadline,
    ) -> Result<SendReceipt, Fault> {
        self.server.note("send");
        self.server.happen(Call::Send, deadline).await?;
        let answers = self.server.state().answers.clone();
        let recipients: Vec<_> = envelope
            .to
            .iter()
            .map(|address| RecipientReply {
                address: address.clone(),
                result: answers.get(address).map_or(Ok(()), |fault| Err(fault.clone())),
            })
            .collect();
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes).await.unwrap();
        let (from, to) = (envelope.from.clone(), envelope.to.clone());
        let given = Given { from, to, bytes, size: envelope.size, taken: false };
        let at = {
            let mut state = self.server.state();
            state.given.push(given);
            state.given.len() - 1
        };
        if recipients.iter().all(|r| r.result.is_err()) {
            return Ok(SendReceipt { reply: String::new(), recipients });
        }
        self.server.happen(Call::Written, deadline).await?;
        gate.cross(&recipients).await?;
        self.server.happen(Call::Passed, deadline).await?;
        self.server.take(at);
        Ok(SendReceipt { reply: "250 2.0.0 queued as 4711".to_owned(), recipients })
    }

    fn items(&mut self, _: chrono_tz::Tz) -> Option<&mut dyn lockstep_connector::items::Items> {
        Some(self)
    }

    async fn close(self: Box<Self>, deadline: &Deadline) -> Result<(), Fault> {
        self.server.note("close");
        self.server.happen(Call::Close, deadline).await?;
        let mut state = self.server.state();
        if let Some(stored) = state.mailboxes.get_mut(&self.login) {
            stored.retain(|m| !self.deleted.iter().any(|key| key.as_bytes() == m.key.as_bytes()));
        }
        Ok(())
    }
}
