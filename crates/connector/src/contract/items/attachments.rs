//! What is attached to appointments: it comes back as it went up, and each change of it is a change of its item.

use lockstep_model::{
    fault::{FaultClass, FaultScope},
    record::{Field, Kind, RemoteVersion},
    remote::{Cursor, RemoteKey},
};
use tokio::io::AsyncReadExt;

use super::{all as listed, create, delete, done, fresh, item, mark, port, sample};
use crate::{
    Session,
    attachments::{Attached, File, Listing},
    contract::{World, close, deadline},
    items::{Folder, NotDone},
};

/// J11: files of appointments.
pub(super) async fn all(world: &dyn World) {
    what_is_attached_is_listed_read_and_taken_away(world).await;
    what_is_not_there_is_said_so(world).await;
    series_stand_apart(world).await;
}

async fn listings(session: &mut Box<dyn Session>, items: &[RemoteKey]) -> Vec<Listing> {
    let listings = port(session).attachments(items, &deadline()).await;
    let listings = listings.unwrap_or_else(|fault| panic!("attachments were expected: {fault}"));
    assert_eq!(listings.len(), items.len(), "each item has a listing");
    listings
}

async fn attached(session: &mut Box<dyn Session>, item: &RemoteKey) -> (RemoteVersion, Vec<Attached>) {
    match listings(session, std::slice::from_ref(item)).await.remove(0) {
        Listing::Here(version, attached) => (version, attached),
        other => panic!("the item was expected: {other:?}"),
    }
}

async fn attach(
    session: &mut Box<dyn Session>,
    item: &RemoteKey,
    name: &str,
    content: &[u8],
) -> (String, RemoteVersion) {
    let file = File { name, media_type: "text/plain" };
    let done = port(session).attach(item, file, Box::pin(content), &deadline()).await;
    let done = done.unwrap_or_else(|fault| panic!("an answer was expected: {fault}"));
    done.unwrap_or_else(|why| panic!("it was expected to be attached: {why:?}"))
}

async fn content(session: &mut Box<dyn Session>, id: &str) -> Vec<u8> {
    let mut content = Vec::new();
    let deadline = deadline();
    let reader = port(session).attachment(id, &deadline).await;
    let mut reader = reader.unwrap_or_else(|fault| panic!("the content was expected: {fault}"));
    reader.read_to_end(&mut content).await.unwrap();
    content
}

/// Two may have one name. Each adding and each taking away gives the item another version, lists it, and leaves its values
/// alone.
async fn what_is_attached_is_listed_read_and_taken_away(world: &dyn World) {
    let (_, mut session) = fresh(world).await;
    let made = done(&mut session, create(Kind::Appointment, sample(Kind::Appointment).0, mark())).await;
    let (version, nothing) = attached(&mut session, &made.key).await;
    assert_eq!((Some(&version), nothing), (made.version.as_ref(), vec![]));
    let before = item(&mut session, Folder::Calendar, &made.key).await;
    let (first, _) = listed(&mut session, Folder::Calendar, &Cursor::default(), 10).await;

    let bytes: Vec<u8> = (0..=255).cycle().take(200_001).collect();
    let mut ids = Vec::new();
    let mut last = version;
    for (name, bytes) in [("plan <1> & Ä.bin", &bytes[..]), ("same.txt", b"one"), ("same.txt", b"two"), ("empty", b"")]
    {
        let (id, version) = attach(&mut session, &made.key, name, bytes).await;
        assert_ne!(version, last, "an attachment is a change of its item");
        assert_eq!(content(&mut session, &id).await, bytes, "{name}");
        (last, ids) = (version, [ids, vec![id]].concat());
    }
    let (version, there) = attached(&mut session, &made.key).await;
    assert_eq!(version, last, "the state that was answered is the one that is listed");
    let seen: Vec<_> = there.iter().map(|one| (one.id.clone(), one.name.as_str(), one.inline, one.apart)).collect();
    let names = ["plan <1> & Ä.bin", "same.txt", "same.txt", "empty"];
    let expected: Vec<_> = ids.iter().cloned().zip(names).map(|(id, name)| (id, name, false, None)).collect();
    assert_eq!(seen, expected);
    let (changed, _) = listed(&mut session, Folder::Calendar, &first.cursor, 10).await;
    let heads: Vec<_> = changed.changed.iter().map(|head| (&head.key, &head.version)).collect();
    assert_eq!(heads, [(&made.key, &last)], "it is listed as changed");
    let now = item(&mut session, Folder::Calendar, &made.key).await;
    assert_eq!(now.fields, before.fields);

    let gone = port(&mut session).detach(&ids[1], &deadline()).await.unwrap().unwrap();
    assert_ne!(gone, last);
    let (version, there) = attached(&mut session, &made.key).await;
    assert_eq!(version, gone);
    let left: Vec<_> = there.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(left, [&ids[0], &ids[2], &ids[3]], "the others keep their ids");
    assert_eq!(content(&mut session, &ids[2]).await, b"two");
    assert_eq!(port(&mut session).detach(&ids[1], &deadline()).await.unwrap(), Err(NotDone::Gone));
    close(session).await;
}

async fn what_is_not_there_is_said_so(world: &dyn World) {
    let (_, mut session) = fresh(world).await;
    assert_eq!(port(&mut session).attachments(&[], &deadline()).await.unwrap(), []);
    let [gone, here] = [mark(), mark()].map(|mark| create(Kind::Appointment, sample(Kind::Appointment).0, mark));
    let (gone, here) = (done(&mut session, gone).await.key, done(&mut session, here).await.key);
    let (id, _) = attach(&mut session, &gone, "a.txt", b"a").await;
    let there = item(&mut session, Folder::Calendar, &gone).await;
    done(&mut session, delete(&there)).await;
    let both = listings(&mut session, &[gone.clone(), here]).await;
    assert!(matches!(both.as_slice(), [Listing::Gone, Listing::Here(_, none)] if none.is_empty()), "{both:?}");
    let file = File { name: "b.txt", media_type: "" };
    let refused = port(&mut session).attach(&gone, file, Box::pin(&b"b"[..]), &deadline()).await.unwrap();
    assert_eq!(refused.err(), Some(NotDone::Gone));
    let deadline = deadline();
    let fault = port(&mut session).attachment(&id, &deadline).await.err();
    let fault = fault.unwrap_or_else(|| panic!("what is gone has no content"));
    assert_eq!((fault.scope, fault.class), (FaultScope::Item, FaultClass::Gone), "{fault}");
    close(session).await;
}

/// Attachments of series are never synchronised: a series is known by its listing.
async fn series_stand_apart(world: &dyn World) {
    let (_, mut session) = fresh(world).await;
    let values = sample(Kind::RecurringAppointment).0;
    assert!(values.get(Field::Recurrence).is_some());
    let made = done(&mut session, create(Kind::RecurringAppointment, values, mark())).await;
    let listing = listings(&mut session, &[made.key]).await.remove(0);
    assert!(matches!(listing, Listing::Apart(_)), "{listing:?}");
    close(session).await;
}
