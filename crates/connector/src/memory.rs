//! A mail server in memory: for tests of what stands on the port, and the twin that runs the contract suite.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    protocol::{Capabilities, ProtocolName},
    remote::{Cursor, RemoteKey},
};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use crate::{
    BodyReader, Connector, Deadline, Delta, Descriptor, Envelope, HeaderBlocks, Known, Limits, PointOfNoReturn,
    RecipientReply, RemoteHead, SendReceipt, Session, Target, delta::MAX_QUESTION,
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
    messages: BTreeMap<u64, Vec<u8>>,
    next: u64,
}

impl MemoryServer {
    /// Opens an account, whose name is its address.
    pub fn add_account(&self, name: &str, secret: &str) {
        self.lock().insert(name.to_owned(), Account { secret: secret.to_owned(), ..Account::default() });
    }

    /// Puts a message into an account's mailbox; `false` when there is no such account.
    pub fn deliver(&self, name: &str, message: &[u8]) -> bool {
        let mut accounts = self.lock();
        let Some(account) = accounts.get_mut(name) else { return false };
        account.next += 1;
        let key = account.next;
        account.messages.insert(key, message.to_vec());
        true
    }

    /// What lies in an account's mailbox, oldest first.
    pub fn messages(&self, name: &str) -> Vec<Vec<u8>> {
        self.lock().get(name).map(|account| account.messages.values().cloned().collect()).unwrap_or_default()
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
        Ok(Box::new(MemorySession { server: self.clone(), account, waiting: None, to_delete: Vec::new() }))
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
            .filter_map(|(number, bytes)| {
                let key = RemoteKey::new(format!("m{number}"))?;
                Some(RemoteHead { key, handle: *number, size: bytes.len() as u64, weak: false })
            })
            .collect()
    }

    fn message(&self, head: &RemoteHead) -> Option<Vec<u8>> {
        self.server.lock().get(&self.account)?.messages.get(&head.handle).cloned()
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

#[async_trait]
impl Session for MemorySession {
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
        Ok(SendReceipt { reply: "taken".to_owned(), recipients })
    }

    async fn close(self: Box<Self>, _deadline: &Deadline) -> Result<(), Fault> {
        let mut accounts = self.server.lock();
        if let Some(account) = accounts.get_mut(&self.account) {
            account.messages.retain(|number, _| {
                !self.to_delete.iter().any(|key| key.as_bytes() == format!("m{number}").as_bytes())
            });
        }
        Ok(())
    }
}
