//! What is promised of folders: sent messages are read apart from the inbox, copies are kept where they are wanted, and
//! messages move into a folder and back.

use async_trait::async_trait;
use lockstep_model::remote::{Cursor, MailFolder, RemoteKey};

use super::{Committed, Gate, Session, WIDE, World, close, deadline, envelope, letters, open, pull};
use crate::{Delta, delta::Known, folders::Place};

/// A name that no mailbox has a folder of.
const NAME: &str = "Contract";

/// A server under test whose mailboxes have folders.
#[async_trait]
pub trait FolderWorld: World {
    /// Lays a message into the mailbox's folder of sent ones.
    async fn lay_sent(&self, address: &str, message: &[u8]);
    /// What lies there.
    async fn sent(&self, address: &str) -> Vec<Vec<u8>>;
    /// What lies in a folder of this name at the top of the mailbox; empty where there is none.
    async fn filed(&self, address: &str, name: &str) -> Vec<Vec<u8>>;
}

/// Everything a connector promises whose protocol has folders.
pub async fn folders(world: &dyn FolderWorld) {
    reads_each_folder_by_itself(world).await;
    keeps_a_copy_where_one_is_wanted(world).await;
    moves_a_message_once_however_often_it_is_asked(world).await;
    says_what_is_nowhere(world).await;
    finds_the_folder_it_made(world).await;
}

fn only(delta: &Delta) -> RemoteKey {
    assert_eq!(delta.heads.len(), 1, "one message: {delta:?}");
    delta.heads[0].key.clone()
}

async fn reads_each_folder_by_itself(world: &dyn FolderWorld) {
    let (address, target) = world.mailbox().await;
    let mut letters = letters(2);
    world.lay_sent(&address, &letters.remove(1)).await;
    world.deliver(&address, &letters).await;
    let mut session = open(world, &target).await;
    let known = Committed::default();
    let arrived = pull(&mut *session, &Cursor::default(), &known, WIDE).await;
    session.select(MailFolder::Sent).unwrap();
    let sent = pull(&mut *session, &Cursor::default(), &known, WIDE).await;
    assert_ne!(only(&arrived), only(&sent), "keys are of the mailbox");
    let header = session.headers(&sent.heads, &deadline()).await.unwrap().blocks.remove(0).unwrap();
    assert!(header.windows(8).any(|w| w == b"letter 1"), "what was sent");
    known.commit(&sent.heads);
    session.select(MailFolder::Sent).unwrap();
    let nothing = pull(&mut *session, &sent.cursor.unwrap(), &known, WIDE).await;
    assert!(nothing.is_empty(), "each folder has a cursor of its own: {nothing:?}");
    session.select(MailFolder::Inbox).unwrap();
    let again = pull(&mut *session, &Cursor::default(), &Committed::default(), WIDE).await;
    assert_eq!(only(&again), only(&arrived));
    close(session).await;
}

async fn keeps_a_copy_where_one_is_wanted(world: &dyn FolderWorld) {
    for save_copy in [true, false] {
        let (from, target) = world.mailbox().await;
        let (to, _) = world.mailbox().await;
        let message = letters(1).remove(0);
        let mut session = open(world, &target).await;
        let envelope = super::Envelope { save_copy, ..envelope(&from, &[&to], &message) };
        let mut gate = Gate { open: true, asked: 0 };
        session.send(&envelope, Box::pin(&message[..]), &mut gate, &deadline()).await.unwrap();
        close(session).await;
        assert_eq!(world.messages(&to, 1).await.len(), 1, "it arrives either way");
        assert_eq!(world.sent(&from).await.len(), usize::from(save_copy), "a copy with save_copy {save_copy}");
    }
}

async fn file(session: &mut dyn Session, key: &RemoteKey, into: &Place) -> Option<RemoteKey> {
    let folders = session.folders().unwrap();
    folders.file(std::slice::from_ref(key), into, &deadline()).await.unwrap().remove(0).unwrap()
}

async fn moves_a_message_once_however_often_it_is_asked(world: &dyn FolderWorld) {
    let (address, target) = world.mailbox().await;
    world.deliver(&address, &letters(2)).await;
    let mut session = open(world, &target).await;
    let known = Committed::default();
    let listed = pull(&mut *session, &Cursor::default(), &known, WIDE).await;
    known.commit(&listed.heads);
    let (cursor, key) = (listed.cursor.unwrap(), listed.heads[0].key.clone());
    let folder = Place::Folder(session.folders().unwrap().ensure(NAME, None, &deadline()).await.unwrap());
    let there = file(&mut *session, &key, &folder).await.unwrap();
    assert_eq!(file(&mut *session, &key, &folder).await, Some(there.clone()), "the answer to the first may be lost");
    assert_eq!(world.filed(&address, NAME).await.len(), 1);
    assert_eq!(world.messages(&address, 1).await.len(), 1);
    session.select(MailFolder::Inbox).unwrap();
    let after = pull(&mut *session, &cursor, &known, WIDE).await;
    assert_eq!((after.heads.len(), [after.absent, after.gone].concat()), (0, vec![key]), "it has left the inbox");
    let back = file(&mut *session, &there, &Place::Inbox).await.unwrap();
    assert_eq!(file(&mut *session, &there, &Place::Inbox).await, Some(back.clone()));
    session.select(MailFolder::Inbox).unwrap();
    let again = pull(&mut *session, &after.cursor.unwrap(), &known, WIDE).await;
    assert_eq!(only(&again), back, "moved back it is new");
    assert!(!known.contains(&[back]).await.unwrap()[0]);
    close(session).await;
}

async fn says_what_is_nowhere(world: &dyn FolderWorld) {
    let (address, target) = world.mailbox().await;
    world.deliver(&address, &letters(1)).await;
    let mut session = open(world, &target).await;
    let key = only(&pull(&mut *session, &Cursor::default(), &Committed::default(), WIDE).await);
    session.delete(std::slice::from_ref(&key), &deadline()).await.unwrap();
    close(session).await;
    let mut session = open(world, &target).await;
    let folder = Place::Folder(session.folders().unwrap().ensure(NAME, None, &deadline()).await.unwrap());
    assert_eq!(file(&mut *session, &key, &folder).await, None);
    close(session).await;
}

async fn finds_the_folder_it_made(world: &dyn FolderWorld) {
    let (_, target) = world.mailbox().await;
    let mut session = open(world, &target).await;
    let folders = session.folders().unwrap();
    let made = folders.ensure(NAME, None, &deadline()).await.unwrap();
    assert_eq!(folders.ensure(NAME, None, &deadline()).await.unwrap(), made, "by its name");
    assert_eq!(folders.ensure("Another", Some(&made), &deadline()).await.unwrap(), made, "by its key");
    let stranger = RemoteKey::new("long-gone").unwrap();
    assert_eq!(
        folders.ensure(NAME, Some(&stranger), &deadline()).await.unwrap(),
        made,
        "a key that is gone says nothing"
    );
    close(session).await;
}
