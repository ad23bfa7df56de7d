//! Listing, headers, messages and deletions of a mailbox.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use lockstep_connector::{Connector, Deadline, Delta, Known, Limits, RemoteHead, Session, fingerprint};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    profile::{AuthMethod, TlsMode},
    remote::{Cursor, Fingerprint, RemoteKey},
};
use tokio::io::AsyncReadExt;

use crate::{
    scripted::{answer, connector, envelope, serve},
    simulator::{Sim, deadline, letter, target},
};

/// What was committed of a mailbox.
#[derive(Default)]
pub(crate) struct Store(Mutex<BTreeMap<RemoteKey, Option<Fingerprint>>>);

impl Store {
    fn commit(&self, heads: &[RemoteHead], headers: Option<&[Vec<u8>]>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, head) in heads.iter().enumerate() {
            known.insert(head.key.clone(), headers.map(|headers| fingerprint::of_header(&headers[at])));
        }
    }
}

#[async_trait]
impl Known for Store {
    async fn count(&self) -> Result<u64, Fault> {
        Ok(self.0.lock().unwrap().len() as u64)
    }
    async fn contains(&self, keys: &[RemoteKey]) -> Result<Vec<bool>, Fault> {
        let known = self.0.lock().unwrap();
        Ok(keys.iter().map(|key| known.contains_key(key)).collect())
    }
    async fn by_fingerprint(&self, asked: &[Fingerprint]) -> Result<Vec<Option<RemoteKey>>, Fault> {
        let known = self.0.lock().unwrap();
        let find = |one: &Fingerprint| known.iter().find(|(_, f)| f.as_ref() == Some(one)).map(|(key, _)| key.clone());
        Ok(asked.iter().map(find).collect())
    }
    async fn absent(&self, listed: &[RemoteKey]) -> Result<Vec<RemoteKey>, Fault> {
        Ok(self.0.lock().unwrap().keys().filter(|key| !listed.contains(key)).cloned().collect())
    }
}

const WIDE: Limits = Limits { items: 1_000, bytes: 1 << 40 };

async fn session(sim: &Sim, user: &str) -> Box<dyn Session> {
    sim.connector().open(&sim.target(user), &deadline()).await.unwrap()
}

async fn pulled(sim: &Sim, user: &str, cursor: &Cursor, known: &Store) -> Delta {
    let mut session = session(sim, user).await;
    let delta = session.pull(cursor, known, WIDE, &deadline()).await.unwrap();
    session.close(&deadline()).await.unwrap();
    delta
}

#[tokio::test]
async fn changes_come_once_and_deletions_are_told() {
    let sim = Sim::start().await;
    let (address, _) = sim.fresh();
    let known = Store::default();
    sim.deliver(&address, &(0..3).map(letter).collect::<Vec<_>>());
    let first = pulled(&sim, &address, &Cursor::default(), &known).await;
    assert_eq!((first.heads.len(), first.more), (3, false));
    known.commit(&first.heads, None);
    let cursor = first.cursor.unwrap();
    sim.deliver(&address, &[letter(3)]);
    let second = pulled(&sim, &address, &cursor, &known).await;
    assert_eq!(second.heads.len(), 1);
    assert!(second.gone.is_empty(), "an incremental listing proves no absence");
    known.commit(&second.heads, None);
    let cursor = second.cursor.unwrap();
    let mut deleting = session(&sim, &address).await;
    deleting.delete(std::slice::from_ref(&first.heads[1].key), &deadline()).await.unwrap();
    deleting.close(&deadline()).await.unwrap();
    assert_eq!(sim.messages(&address, "inbox").len(), 3);
    assert_eq!(sim.messages(&address, "deleteditems").len(), 1, "it can be recovered");
    let third = pulled(&sim, &address, &cursor, &known).await;
    assert_eq!(third.gone, [first.heads[1].key.clone()]);
    assert!(third.heads.is_empty() && third.cursor.is_some());
    // Deleting what is gone already is done.
    let mut again = session(&sim, &address).await;
    again.delete(&[first.heads[1].key.clone()], &deadline()).await.unwrap();
    again.close(&deadline()).await.unwrap();
}

/// A server that has forgotten the sync state is asked from the start, and nothing is imported twice.
#[tokio::test]
async fn a_forgotten_state_begins_again_without_importing_twice() {
    let sim = Sim::start().await;
    let (address, _) = sim.fresh();
    let known = Store::default();
    sim.deliver(&address, &(0..5).map(letter).collect::<Vec<_>>());
    let first = pulled(&sim, &address, &Cursor::default(), &known).await;
    known.commit(&first.heads, None);
    sim.forget_states();
    sim.deliver(&address, &[letter(5)]);
    let second = pulled(&sim, &address, &first.cursor.clone().unwrap(), &known).await;
    assert_eq!(second.heads.len(), 1, "only the new one");
    assert!(second.cursor.is_some_and(|cursor| Some(cursor) != first.cursor));
    // A cursor of nobody's making is no harm either.
    known.commit(&second.heads, None);
    let third = pulled(&sim, &address, &Cursor(b"1garbage\xff".to_vec()), &known).await;
    assert!(third.heads.is_empty() && third.gone.is_empty());
}

/// After a move to another server every item has another id: they are recognised by their headers.
#[tokio::test]
async fn new_identities_are_recognised_by_their_headers() {
    let sim = Sim::start().await;
    let (address, _) = sim.fresh();
    let known = Store::default();
    let letters: Vec<_> = (0..30).map(letter).collect();
    sim.deliver(&address, &letters);
    let heads: Vec<RemoteHead> = (0..30)
        .map(|n| RemoteHead { key: RemoteKey::new(format!("old-{n}")).unwrap(), handle: 0, size: 0, weak: false })
        .collect();
    let blocks: Vec<Vec<u8>> = letters
        .iter()
        .map(|letter| letter[..letter.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4].to_vec())
        .collect();
    known.commit(&heads, Some(&blocks));
    let delta = pulled(&sim, &address, &Cursor::default(), &known).await;
    assert_eq!((delta.heads.len(), delta.rekeyed.len(), delta.gone.len()), (0, 30, 0));
    assert_eq!(delta.warning.map(|fault| fault.code), Some("UidlReset".to_owned()));
    assert!(delta.cursor.is_some());
}

#[tokio::test]
async fn headers_are_the_beginnings_of_messages_small_and_large() {
    let sim = Sim::start().await;
    let (address, _) = sim.fresh();
    let known = Store::default();
    let mut messages: Vec<_> = (0..25).map(letter).collect();
    let mut large = letter(25);
    large.extend(vec![b'x'; 2 << 20]);
    messages.insert(3, large);
    let mut all_header = letter(26);
    all_header.truncate(all_header.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 2);
    messages.push(all_header.clone());
    sim.deliver(&address, &messages);
    let mut session = session(&sim, &address).await;
    let delta = session.pull(&Cursor::default(), &known, WIDE, &deadline()).await.unwrap();
    assert_eq!(delta.heads.len(), 27);
    let blocks = session.headers(&delta.heads, &deadline()).await.unwrap().whole().unwrap();
    for (head, block) in delta.heads.iter().zip(blocks) {
        let block = block.unwrap();
        let mut body = Vec::new();
        session.fetch(head, &deadline()).await.unwrap().read_to_end(&mut body).await.unwrap();
        assert!(messages.contains(&body));
        assert!(body.starts_with(&block) && (block.ends_with(b"\r\n\r\n") || block == all_header));
    }
    session.close(&deadline()).await.unwrap();
}

/// A reader that is dropped early does not disturb what comes next.
#[tokio::test]
async fn a_message_may_be_left_half_read() {
    let sim = Sim::start().await;
    let (address, _) = sim.fresh();
    let mut large = letter(0);
    large.extend(vec![b'x'; 4 << 20]);
    sim.deliver(&address, &[large.clone(), letter(1)]);
    let mut session = session(&sim, &address).await;
    let delta = session.pull(&Cursor::default(), &Store::default(), WIDE, &deadline()).await.unwrap();
    let mut some = [0; 10];
    session.fetch(&delta.heads[0], &deadline()).await.unwrap().read_exact(&mut some).await.unwrap();
    assert_eq!(some, large[..10]);
    let mut whole = Vec::new();
    session.fetch(&delta.heads[1], &deadline()).await.unwrap().read_to_end(&mut whole).await.unwrap();
    assert_eq!(whole, letter(1));
    session.close(&deadline()).await.unwrap();
}

#[tokio::test]
async fn one_item_that_is_gone_does_not_stop_its_neighbours() {
    let sim = Sim::start().await;
    let (address, _) = sim.fresh();
    sim.deliver(&address, &(0..3).map(letter).collect::<Vec<_>>());
    let mut session = session(&sim, &address).await;
    let delta = session.pull(&Cursor::default(), &Store::default(), WIDE, &deadline()).await.unwrap();
    sim.moods(r#"[{"mood":"gone","operation":"GetItem","times":2}]"#);
    let blocks = session.headers(&delta.heads, &deadline()).await.unwrap().whole().unwrap();
    let kinds: Vec<_> = blocks.iter().map(|block| block.as_ref().map(|_| ()).map_err(|f| (f.scope, f.class))).collect();
    assert_eq!(kinds, [Err((FaultScope::Item, FaultClass::Gone)), Ok(()), Ok(())]);
    let fault = session.fetch(&delta.heads[0], &deadline()).await.err().unwrap();
    assert_eq!((fault.scope, fault.class, fault.code.as_str()), (FaultScope::Item, FaultClass::Gone, "ItemGone"));
    let mut whole = Vec::new();
    session.fetch(&delta.heads[0], &deadline()).await.unwrap().read_to_end(&mut whole).await.unwrap();
    assert_eq!(whole, letter(0), "the next try gets it");
    session.close(&deadline()).await.unwrap();
}

/// What was answered before the server had enough is kept.
#[tokio::test]
async fn headers_end_before_the_first_item_that_was_not_answered() {
    let message = |inside: &str, class: &str, code: &str| {
        format!(
            r#"<m:GetItemResponseMessage ResponseClass="{class}"><m:ResponseCode>{code}</m:ResponseCode>{inside}</m:GetItemResponseMessage>"#
        )
    };
    let mime =
        |content: &str| format!("<m:Items><t:Message><t:MimeContent>{content}</t:MimeContent></t:Message></m:Items>");
    let messages = [
        message(&mime("QTogMQ0K\r\n DQpib2R5"), "Success", "NoError"),
        message("", "Error", "ErrorItemNotFound"),
        message(&mime(""), "Success", "NoError"),
        message("", "Error", "ErrorServerBusy"),
        message(&mime("QTogMg0KDQo="), "Success", "NoError"),
    ];
    let body = format!(
        "<m:GetItemResponse><m:ResponseMessages>{}</m:ResponseMessages></m:GetItemResponse>",
        messages.concat()
    );
    let port = serve(answer(200, "", &envelope(&body))).await;
    let mut target = target(port, TlsMode::Plain, "ann@example.test");
    target.endpoint.auth = AuthMethod::Plain;
    let mut session = connector().open(&target, &deadline()).await.unwrap();
    let head = |n| RemoteHead { key: RemoteKey::new(format!("{n}")).unwrap(), handle: 0, size: 9, weak: false };
    let heads: Vec<_> = (0..5).map(head).collect();
    let answered = session.headers(&heads, &deadline()).await.unwrap();
    let blocks: Vec<_> = answered.blocks.into_iter().map(|block| block.map_err(|f| f.code)).collect();
    let gone = |code: &str| Err(code.to_owned());
    assert_eq!(blocks, [Ok(b"A: 1\r\n\r\n".to_vec()), gone("ItemGone"), gone("ItemUnavailable")]);
    assert_eq!(answered.broken.map(|fault| fault.class), Some(FaultClass::Throttled));
}

#[tokio::test]
async fn pulls_end_with_the_servers_wish_or_the_deadline() {
    let sim = Sim::start().await;
    let (address, mut target) = sim.fresh();
    let mut throttled = session(&sim, &address).await;
    sim.moods(r#"[{"mood":"busy","back_off_ms":1500,"operation":"SyncFolderItems"}]"#);
    let fault = throttled.pull(&Cursor::default(), &Store::default(), WIDE, &deadline()).await.unwrap_err();
    assert_eq!((fault.class, fault.retry_after), (FaultClass::Throttled, Some(Duration::from_millis(1_500))));
    target.request_timeout = Duration::from_millis(300);
    sim.moods(r#"[{"mood":"hang","seconds":20,"operation":"SyncFolderItems"}]"#);
    let mut slow = sim.connector().open(&target, &deadline()).await.unwrap();
    let fault = slow.pull(&Cursor::default(), &Store::default(), WIDE, &deadline()).await.unwrap_err();
    assert_eq!((fault.scope, fault.code.as_str()), (FaultScope::Mailbox, "TimedOut"));
    let mut short = session(&sim, &address).await;
    let budget = Deadline::within(Duration::from_millis(300));
    let fault = short.pull(&Cursor::default(), &Store::default(), WIDE, &budget).await.unwrap_err();
    assert_eq!(fault.code, "DeadlineExceeded");
    sim.moods(r#"[{"mood":"cut","after":200,"operation":"SyncFolderItems"}]"#);
    let mut cut = session(&sim, &address).await;
    let fault = cut.pull(&Cursor::default(), &Store::default(), WIDE, &deadline()).await.unwrap_err();
    assert_eq!((fault.class, fault.code.as_str()), (FaultClass::Transient, "ConnectionLost"));
}

/// A listing of several server pages arrives whole and in order.
#[tokio::test]
async fn a_long_listing_takes_several_answers() {
    let sim = Sim::start().await;
    let (address, _) = sim.fresh();
    sim.deliver(&address, &(0..1_100).map(letter).collect::<Vec<_>>());
    let known = Store::default();
    let mut session = session(&sim, &address).await;
    let (mut seen, mut pages) = (0, 0);
    loop {
        let page = session.pull(&Cursor::default(), &known, Limits { items: 500, bytes: 1 << 40 }, &deadline()).await;
        let page = page.unwrap();
        seen += page.heads.len();
        pages += 1;
        known.commit(&page.heads, None);
        assert_eq!(page.cursor.is_some(), !page.more);
        if !page.more {
            break;
        }
    }
    assert_eq!((seen, pages), (1_100, 3));
    session.close(&deadline()).await.unwrap();
}
