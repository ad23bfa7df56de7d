//! The two traits of the port: a connector opens sessions, a session is one connection with one account.

use std::pin::Pin;

use async_trait::async_trait;
use chrono_tz::Tz;
use lockstep_model::{
    fault::Fault,
    profile::{Application, Endpoint},
    remote::{Cursor, MailFolder, RemoteKey},
};
use tokio::io::AsyncRead;

use crate::{
    credentials::Credentials,
    deadline::Deadline,
    delta::{Delta, Known, Limits, RemoteHead},
    descriptor::Descriptor,
    folders::Folders,
    items::Items,
    probe::Probe,
    send::{Envelope, PointOfNoReturn, SendReceipt},
};

/// Where to connect and as whom.
#[derive(Clone, Debug)]
pub struct Target {
    /// The server.
    pub endpoint: Endpoint,
    /// The account; its secret never appears in `Debug`.
    pub credentials: Credentials,
    /// Longest wait for one answer of the server.
    pub request_timeout: std::time::Duration,
    /// The server is asked for first: its endpoint names none.
    pub search: Option<Search>,
    /// The account is an application, which signs in with tokens; its credentials are its id and its secret.
    pub application: Option<Application>,
    /// The address of the mailbox that is meant, where the account is a service's that may act for others; without it,
    /// the account's own. Protocols whose accounts are mailboxes take no notice of it.
    pub mailbox: Option<String>,
}

/// Whose server is asked for, and where the search begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// The mailbox's address.
    pub address: String,
    /// An `https` URL, or a host, where the search begins; `None`: at the domain of the address.
    pub start: Option<String>,
}

/// The bytes of one message as they come off the wire, unescaped. Ends at the message's end. Reading it to the end
/// (or dropping the session) is the reader's duty: a session serves one reader at a time.
pub type BodyReader<'s> = Pin<Box<dyn AsyncRead + Send + 's>>;

/// What a session answered to a question for headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderBlocks {
    /// The blocks in the order asked for, each with the empty line that ends it, or why the server does not show this
    /// one: a fault of scope `item`, and of class `gone` only where the listing does not have it. Where the session
    /// broke, they end before the first item that was not answered.
    pub blocks: Vec<Result<Vec<u8>, Fault>>,
    /// What ended the session before all of them were answered.
    pub broken: Option<Fault>,
}

impl HeaderBlocks {
    /// All of them.
    ///
    /// # Errors
    /// What ended the session.
    pub fn whole(self) -> Result<Vec<Result<Vec<u8>, Fault>>, Fault> {
        self.broken.map_or(Ok(self.blocks), Err)
    }
}

/// A protocol.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Name, capabilities and default ports.
    fn descriptor(&self) -> Descriptor;

    /// Connects, protects the connection as the endpoint says and authenticates.
    ///
    /// # Errors
    /// Scope `profile` for whatever happens before the server has greeted us over the wanted protection; scope
    /// `mailbox` for whatever concerns the account.
    async fn open(&self, target: &Target, deadline: &Deadline) -> Result<Box<dyn Session>, Fault>;

    /// The endpoint of a target: as it stands, or found where it has still to be asked for.
    ///
    /// # Errors
    /// Scope `profile` where nobody can be asked, scope `mailbox` where nobody knows the mailbox.
    async fn locate(&self, target: &Target, deadline: &Deadline) -> Result<Endpoint, Fault> {
        let _ = deadline;
        match target.search {
            None => Ok(target.endpoint.clone()),
            Some(_) => Err(unsupported("this protocol has no way to ask for the server of a mailbox")),
        }
    }

    /// Fetches what an application signs in with, whatever is still known from before; nothing for other accounts.
    ///
    /// # Errors
    /// Class `auth` where the issuer refuses the application.
    async fn authorise(&self, target: &Target, deadline: &Deadline) -> Result<(), Fault> {
        let _ = deadline;
        match target.application {
            None => Ok(()),
            Some(_) => Err(unsupported("this protocol has no accounts for applications")),
        }
    }

    /// Looks at a server without logging in: connects, protects as the endpoint says, hears the greeting, asks what it
    /// can do, and takes its leave.
    async fn probe(&self, endpoint: &Endpoint, patience: std::time::Duration, deadline: &Deadline) -> Probe {
        let _ = (endpoint, patience, deadline);
        Probe::default().ended(Err(unsupported("this protocol cannot look at a server without an account")))
    }
}

/// One open connection. Calls are made one after the other; every call is bounded by the deadline and by the
/// target's request time-out. What a protocol cannot do answers with a fault of class `refused` (see
/// [`unsupported`]). After a fault whose scope is not `item` only [`Session::close`] may be called.
#[async_trait]
pub trait Session: Send {
    /// Which folder the pulls that follow are about; the inbox until somebody says otherwise. Each folder has a cursor of
    /// its own; keys are of the mailbox.
    ///
    /// # Errors
    /// Where the protocol has no such folder.
    fn select(&mut self, folder: MailFolder) -> Result<(), Fault> {
        match folder {
            MailFolder::Inbox => Ok(()),
            MailFolder::Sent => Err(unsupported("this protocol has no folder of what was sent")),
        }
    }

    /// What is new since `cursor`, at most one page of it. Called again on the same session, it continues with the
    /// next page. `cursor` is the one the lane has committed; the delta's last page carries the next one.
    async fn pull(
        &mut self,
        cursor: &Cursor,
        known: &dyn Known,
        limits: Limits,
        deadline: &Deadline,
    ) -> Result<Delta, Fault>;

    /// The header blocks of these items. Bounded: each block at most 256 KiB, the rest is dropped.
    ///
    /// # Errors
    /// What ended the session before it was asked for any of them; after that it is [`HeaderBlocks::broken`].
    async fn headers(&mut self, heads: &[RemoteHead], deadline: &Deadline) -> Result<HeaderBlocks, Fault>;

    /// The whole message, streamed.
    ///
    /// # Errors
    /// Scope `item` when the server will not give this one; the session goes on.
    async fn fetch(&mut self, head: &RemoteHead, deadline: &Deadline) -> Result<BodyReader<'_>, Fault>;

    /// Asks the server to delete these items. They are gone only when [`Session::close`] has answered with success.
    async fn delete(&mut self, keys: &[RemoteKey], deadline: &Deadline) -> Result<(), Fault>;

    /// Sends one message. `size` is its exact length in bytes, where known. `gate` is asked after the whole body has
    /// been written and before the step that makes the server responsible for it (SMTP: the final dot); if it
    /// refuses, the message is certainly not sent.
    ///
    /// # Errors
    /// Class `unclear` exactly when the gate was passed and no answer came back; any other class means that the
    /// server has not accepted the message for anybody.
    async fn send(
        &mut self,
        envelope: &Envelope,
        body: BodyReader<'_>,
        gate: &mut dyn PointOfNoReturn,
        deadline: &Deadline,
    ) -> Result<SendReceipt, Fault>;

    /// Contacts, tasks and appointments, where the protocol has them. `home` is the zone of times that name none.
    fn items(&mut self, home: Tz) -> Option<&mut dyn Items> {
        let _ = home;
        None
    }

    /// Folders beside those that are read, where the protocol has them.
    fn folders(&mut self) -> Option<&mut dyn Folders> {
        None
    }

    /// Ends the conversation in order and waits until the server has closed, or the deadline. Success means that
    /// every deletion asked for took effect.
    async fn close(self: Box<Self>, deadline: &Deadline) -> Result<(), Fault>;
}

/// The fault of a protocol that is asked for something it does not do.
pub fn unsupported(what: &str) -> Fault {
    use lockstep_model::fault::{FaultClass, FaultScope};
    Fault::new(FaultScope::Mailbox, FaultClass::Refused, "NotSupportedByProtocol", what)
}
