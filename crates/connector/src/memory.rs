//! A mail server in memory: for tests of what stands on the port, and the twin that runs the contract suite.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    protocol::{Capabilities, ProtocolName},
    remote::{Cursor, MailFolder, RemoteKey},
};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use crate::{
    BodyReader, Connector, Deadline, Delta, Descriptor, Envelope, HeaderBlocks, Known, Limits, PointOfNoReturn,
    RecipientReply, RemoteHead, SendReceipt, Session, Target,
    delta::MAX_QUESTION,
    folders::{Folders, Place},
};

fn gone() -> Fault {
    Fault::new(FaultScope::Item, FaultClass::Gone, "ItemGone", "there is no such message")
}

/// Mailboxes by account name, each with its secret and its messages by key.
#[derive(Clone, Debug, Default)]
pub struct MemoryServer {
    accounts: Arc<Mutex<BTreeMap<String, Account>>>,
}

#[derive(Debug, Default)]
struct Account {
    secret: String,
    messages: BTreeMap<u64, Stored>,
    next: u64,
    /// Names of folders that were made.
    folders: Vec<String>,
}

#[derive(Debug)]
struct Stored {
    lies: Lies,
    bytes: Vec<u8>,
    /// The number it had before it was moved.
    moved_from: Option<u64>,
}

/// Where a message lies.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Lies {
    Read(MailFolder),
    Folder(String),
}

impl Account {
    fn lay(&mut self, lies: Lies, bytes: Vec<u8>, moved_from: Option<u64>) -> u64 {
        self.next += 1;
        self.messages.insert(self.next, Stored { lies, bytes, moved_from });
        self.next
    }

    fn lying(&self, lies: &Lies) -> Vec<Vec<u8>> {
        self.messages.values().filter(|stored| stored.lies == *lies).map(|stored| stored.bytes.clone()).collect()
    }
}

impl MemoryServer {
    /// Opens an account, whose name is its address.
    pub fn add_account(&self, name: &str, secret: &str) {
        self.lock().insert(name.to_owned(), Account { secret: secret.to_owned(), ..Account::default() });
    }

    /// Puts a message into an account's mailbox; `false` when there is no such account.
    pub fn deliver(&self, name: &str, message: &[u8]) -> bool {
        self.lay(name, MailFolder::Inbox, message)
    }

    /// Puts a message into a folder of an account; `false` when there is no such account.
    pub fn lay(&self, name: &str, folder: MailFolder, message: &[u8]) -> bool {
        let mut accounts = self.lock();
        let Some(account) = accounts.get_mut(name) else { return false };
        account.lay(Lies::Read(folder), message.to_vec(), None);
        true
    }

    /// What lies in an account's inbox, oldest first.
    pub fn messages(&self, name: &str) -> Vec<Vec<u8>> {
        self.lying(name, MailFolder::Inbox)
    }

    /// What lies in a folder that is read, oldest first.
    pub fn lying(&self, name: &str, folder: MailFolder) -> Vec<Vec<u8>> {
        self.lock().get(name).map(|account| account.lying(&Lies::Read(folder))).unwrap_or_default()
    }

    /// What lies in a folder of this name, oldest first.
    pub fn filed(&self, name: &str, folder: &str) -> Vec<Vec<u8>> {
        self.lock().get(name).map(|account| account.lying(&Lies::Folder(folder.to_owned()))).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Connector for MemoryServer {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: name(),
            capabilities: Capabilities {
                incoming_email: true,
                outgoing_email: true,
                delete_after_processing: true,
                sent_items: true,
                folders: true,
                ..Capabilities::default()
            },
            implicit_tls_port: 1,
            plain_port: 1,
        }
    }

    async fn open(&self, target: &Target, _deadline: &Deadline) -> Result<Box<dyn Session>, Fault> {
        let accounts = self.lock();
        let known = accounts.get(&target.credentials.user).is_some_and(|a| a.secret == target.credentials.expose());
        if !known {
            let message = "the server refuses the user name or password";
            return Err(Fault::new(FaultScope::Mailbox, FaultClass::Auth, "Unauthorized", message));
        }
        drop(accounts);
        let account = target.credentials.user.clone();
        let folder = MailFolder::Inbox;
        Ok(Box::new(MemorySession { server: self.clone(), account, folder, waiting: None, to_delete: Vec::new() }))
    }
}

/// The name this connector is registered under.
#[expect(clippy::unwrap_used, reason = "a literal that is a valid name")]
fn name() -> ProtocolName {
    "memory".parse().unwrap()
}

struct MemorySession {
    server: MemoryServer,
    account: String,
    folder: MailFolder,
    waiting: Option<Listing>,
    to_delete: Vec<RemoteKey>,
}

struct Listing {
    heads: Vec<RemoteHead>,
    absent: Vec<RemoteKey>,
    cursor: Cursor,
}

impl MemorySession {
    fn listed(&self) -> Vec<RemoteHead> {
        let accounts = self.server.lock();
        let messages = accounts.get(&self.account).map(|a| &a.messages).into_iter().flatten();
        messages
            .filter(|(_, stored)| stored.lies == Lies::Read(self.folder))
            .filter_map(|(number, stored)| {
                let (key, size) = (key_of(*number)?, stored.bytes.len() as u64);
                Some(RemoteHead { key, handle: *number, size, weak: false })
            })
            .collect()
    }

    fn message(&self, head: &RemoteHead) -> Option<Vec<u8>> {
        Some(self.server.lock().get(&self.account)?.messages.get(&head.handle)?.bytes.clone())
    }

    async fn list(&self, cursor: &Cursor, known: &dyn Known) -> Result<Option<Listing>, Fault> {
        let listed = self.listed();
        let mut digest = Sha256::new();
        for head in &listed {
            digest.update(head.key.as_bytes());
            digest.update(b"\n");
        }
        let next = Cursor(digest.finalize().to_vec());
        if next == *cursor {
            return Ok(None);
        }
        let keys: Vec<_> = listed.iter().map(|head| head.key.clone()).collect();
        let mut heads = Vec::new();
        for portion in listed.chunks(MAX_QUESTION) {
            let asked: Vec<_> = portion.iter().map(|head| head.key.clone()).collect();
            let answers = known.contains(&asked).await?;
            heads.extend(portion.iter().zip(answers).filter(|(_, known)| !known).map(|(head, _)| head.clone()));
        }
        Ok(Some(Listing { heads, absent: known.absent(&keys).await?, cursor: next }))
    }
}

/// The key of a message, which is another one after a move.
fn key_of(number: u64) -> Option<RemoteKey> {
    RemoteKey::new(format!("m{number}"))
}

fn number_of(key: &RemoteKey) -> Option<u64> {
    std::str::from_utf8(key.as_bytes()).ok()?.strip_prefix('m')?.parse().ok()
}

#[async_trait]
impl Folders for MemorySession {
    async fn ensure(&mut self, name: &str, kept: Option<&RemoteKey>, _: &Deadline) -> Result<RemoteKey, Fault> {
        let mut accounts = self.server.lock();
        let account = accounts.get_mut(&self.account).ok_or_else(gone)?;
        let there = account.folders.iter().find(|folder| kept.is_some_and(|kept| kept.as_bytes() == folder.as_bytes()));
        if let Some(key) = there.and_then(|folder| RemoteKey::new(folder.as_bytes())) {
            return Ok(key);
        }
        if !account.folders.iter().any(|folder| folder == name) {
            account.folders.push(name.to_owned());
        }
        RemoteKey::new(name).ok_or_else(gone)
    }

    async fn file(
        &mut self,
        keys: &[RemoteKey],
        into: &Place,
        _: &Deadline,
    ) -> Result<Vec<Result<Option<RemoteKey>, Fault>>, Fault> {
        let lies = match into {
            Place::Inbox => Lies::Read(MailFolder::Inbox),
            Place::Folder(key) => Lies::Folder(String::from_utf8_lossy(key.as_bytes()).into_owned()),
        };
        let mut accounts = self.server.lock();
        let account = accounts.get_mut(&self.account).ok_or_else(gone)?;
        let mut carry = |key: &RemoteKey| {
            let number = number_of(key)?;
            let now = match account.messages.remove(&number) {
                Some(stored) => account.lay(lies.clone(), stored.bytes, Some(number)),
                None => {
                    let mut moved = account.messages.iter().filter(|(_, stored)| stored.lies == lies);
                    *moved.find(|(_, stored)| stored.moved_from == Some(number))?.0
                }
            };
            key_of(now)
        };
        Ok(keys.iter().map(|key| Ok(carry(key))).collect())
    }
}

#[async_trait]
impl Session for MemorySession {
    fn select(&mut self, folder: MailFolder) -> Result<(), Fault> {
        (self.folder, self.waiting) = (folder, None);
        Ok(())
    }

    fn folders(&mut self) -> Option<&mut dyn Folders> {
        Some(self)
    }

    async fn pull(
        &mut self,
        cursor: &Cursor,
        known: &dyn Known,
        limits: Limits,
        _deadline: &Deadline,
    ) -> Result<Delta, Fault> {
        let mut listing = match self.waiting.take() {
            Some(listing) => listing,
            None => match self.list(cursor, known).await? {
                Some(listing) => listing,
                None => return Ok(Delta::default()),
            },
        };
        let mut bytes = 0;
        let fits = listing.heads.iter().take(limits.items.max(1)).enumerate().take_while(|(at, head)| {
            bytes += head.size;
            *at == 0 || bytes <= limits.bytes
        });
        let count = fits.count();
        let rest = listing.heads.split_off(count);
        let heads = std::mem::replace(&mut listing.heads, rest);
        if listing.heads.is_empty() {
            return Ok(Delta { heads, absent: listing.absent, cursor: Some(listing.cursor), ..Delta::default() });
        }
        self.waiting = Some(listing);
        Ok(Delta { heads, more: true, ..Delta::default() })
    }

    async fn headers(&mut self, heads: &[RemoteHead], _deadline: &Deadline) -> Result<HeaderBlocks, Fault> {
        let header = |message: Vec<u8>| {
            let end = message.windows(4).position(|w| w == b"\r\n\r\n").map_or(message.len(), |at| at + 4);
            message[..end].to_vec()
        };
        let blocks = heads.iter().map(|head| self.message(head).map(header).ok_or_else(gone)).collect();
        Ok(HeaderBlocks { blocks, broken: None })
    }

    async fn fetch(&mut self, head: &RemoteHead, _deadline: &Deadline) -> Result<BodyReader<'_>, Fault> {
        let message = self.message(head).ok_or_else(gone)?;
        Ok(Box::pin(std::io::Cursor::new(message)))
    }

    async fn delete(&mut self, keys: &[RemoteKey], _deadline: &Deadline) -> Result<(), Fault> {
        self.to_delete.extend_from_slice(keys);
        Ok(())
    }

    async fn send(
        &mut self,
        envelope: &Envelope,
        mut body: BodyReader<'_>,
        gate: &mut dyn PointOfNoReturn,
        _deadline: &Deadline,
    ) -> Result<SendReceipt, Fault> {
        let answer = |address: &String| {
            let refused = || Fault::new(FaultScope::Item, FaultClass::Refused, "RecipientRefused", "no such mailbox");
            let result = if self.server.lock().contains_key(address) { Ok(()) } else { Err(refused()) };
            RecipientReply { address: address.clone(), result }
        };
        let recipients: Vec<_> = envelope.to.iter().map(answer).collect();
        if recipients.iter().all(|r| r.result.is_err()) {
            return Ok(SendReceipt { reply: "nobody".to_owned(), recipients });
        }
        let mut message = Vec::new();
        body.read_to_end(&mut message).await.map_err(|error| {
            Fault::new(FaultScope::Item, FaultClass::Transient, "BodyUnreadable", error.to_string())
        })?;
        gate.cross(&recipients).await?;
        for recipient in recipients.iter().filter(|r| r.result.is_ok()) {
            self.server.deliver(&recipient.address, &message);
        }
        if envelope.save_copy {
            self.server.lay(&self.account, MailFolder::Sent, &message);
        }
        Ok(SendReceipt { reply: "taken".to_owned(), recipients })
    }

    async fn close(self: Box<Self>, _deadline: &Deadline) -> Result<(), Fault> {
        let mut accounts = self.server.lock();
        if let Some(account) = accounts.get_mut(&self.account) {
            account.messages.retain(|number, _| !self.to_delete.iter().any(|key| number_of(key) == Some(*number)));
        }
        Ok(())
    }
}
