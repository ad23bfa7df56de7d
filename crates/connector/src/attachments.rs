//! Files that are attached to items: listed, read, added and taken away. Contents are streamed, never held.

use async_trait::async_trait;
use lockstep_model::{fault::Fault, record::RemoteVersion, remote::RemoteKey};

use crate::{deadline::Deadline, items::NotDone, session::BodyReader};

/// Most items whose attachments are listed together.
pub const MAX_TOGETHER: usize = 50;

/// What is attached to an item, as the item lists it. All of it comes from outside: names may hold anything, and be of
/// any length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Its identity on the server. What has another content has another one.
    pub id: String,
    /// What the server calls it.
    pub name: String,
    /// Its media type; empty where the server does not tell.
    pub media_type: String,
    /// Its size in bytes as the server counts: some count what they keep beside the content. 0 where it does not tell.
    pub size: u64,
    /// It is a part of the body, such as a picture in it.
    pub inline: bool,
    /// It is no file: another item, or a reference to a file that lies elsewhere.
    pub apart: Option<&'static str>,
}

/// The answer to the question what is attached to an item.
#[derive(Clone, Debug, PartialEq)]
pub enum Listing {
    /// These, and the state of the item in which it was asked.
    Here(RemoteVersion, Vec<Attached>),
    /// The server has no such item.
    Gone,
    /// It is one whose attachments are never synchronised, and why: a series.
    Apart(&'static str),
    /// It cannot be shown: a fault of scope `item`.
    Unreadable(Fault),
}

/// A file that is to be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File<'f> {
    /// Its name: one line, without separators of paths.
    pub name: &'f str,
    /// Its media type.
    pub media_type: &'f str,
}

/// Attachments of one mailbox's items. After a fault whose scope is not `item` only [`crate::Session::close`] may be
/// called.
#[async_trait]
pub trait Attachments: Send {
    /// What is attached to these items, in the order asked for. At most [`MAX_TOGETHER`] at a time.
    ///
    /// # Errors
    /// What ended the session.
    async fn attachments(&mut self, items: &[RemoteKey], deadline: &Deadline) -> Result<Vec<Listing>, Fault>;

    /// The content of one, streamed. Whatever its reader does not read to the end is given up.
    ///
    /// # Errors
    /// Scope `item` when the server will not give this one; class `gone` when it has no such.
    async fn attachment(&mut self, id: &str, deadline: &Deadline) -> Result<BodyReader<'_>, Fault>;

    /// Attaches a file to an item, in whatever state that is. Nobody who is invited hears of it. Answers with its id and
    /// the item's new state.
    ///
    /// # Errors
    /// Outside, what ended the session, and then it may or may not have been done; of scope `item` where the content could
    /// not be read: it was not done. Inside, why it was not done.
    async fn attach(
        &mut self,
        item: &RemoteKey,
        file: File<'_>,
        content: BodyReader<'_>,
        deadline: &Deadline,
    ) -> Result<Result<(String, RemoteVersion), NotDone>, Fault>;

    /// Takes one away from its item. Answers with the item's new state.
    ///
    /// # Errors
    /// Outside, what ended the session; inside, why it was not done: [`NotDone::Gone`] where it was gone already.
    async fn detach(&mut self, id: &str, deadline: &Deadline) -> Result<Result<RemoteVersion, NotDone>, Fault>;
}
