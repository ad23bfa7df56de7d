//! What goes wrong while items are listed, read and written, and how far it reaches.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lockstep_connector::{
    Connector, Deadline, Session,
    items::{Folder, NotDone, Reading, Tell},
};
use lockstep_model::{
    fault::{FaultClass, FaultScope},
    profile::{AuthMethod, TlsMode},
    record::{Field, Kind},
    remote::{Cursor, RemoteKey},
};

use crate::{
    act::{MARK, create, port, read, session, update},
    records::{fields, somebody, something_to_do, text},
    scripted::{answer, connector, envelope, serve_by},
    simulator::{Sim, deadline, target},
};

async fn against(port: u16) -> Box<dyn Session> {
    let mut to = target(port, TlsMode::Plain, "ann@example.test");
    to.endpoint.auth = AuthMethod::Plain;
    connector().open(&to, &deadline()).await.unwrap()
}

const XML: &str = "Content-Type: text/xml\r\n";

fn fault(code: &str) -> String {
    let fault = format!(
        r#"<s:Fault xmlns:s="x"><faultcode>{code}</faultcode><faultstring>no</faultstring><detail><e:ResponseCode xmlns:e="e">{code}</e:ResponseCode></detail></s:Fault>"#
    );
    answer(500, XML, &envelope(&fault))
}

fn messages(operation: &str, inside: &str) -> String {
    let body = format!("<{operation}Response><ResponseMessages>{inside}</ResponseMessages></{operation}Response>");
    answer(200, XML, &envelope(&body))
}

fn made(id: &str) -> String {
    format!(
        r#"<CreateItemResponseMessage ResponseClass="Success"><ResponseCode>NoError</ResponseCode><Items><Contact><ItemId Id="{id}" ChangeKey="k"/></Contact></Items></CreateItemResponseMessage>"#
    )
}

fn shown(id: &str) -> String {
    format!(
        r#"<GetItemResponseMessage ResponseClass="Success"><ResponseCode>NoError</ResponseCode><Items><Contact><ItemId Id="{id}" ChangeKey="k"/><LastModifiedTime>2027-01-01T00:00:00Z</LastModifiedTime><CompanyName>{id}</CompanyName></Contact></Items></GetItemResponseMessage>"#
    )
}

fn refused(operation: &str, code: &str) -> String {
    format!(
        r#"<{operation}ResponseMessage ResponseClass="Error"><MessageText>no</MessageText><ResponseCode>{code}</ResponseCode></{operation}ResponseMessage>"#
    )
}

fn keys(ids: &[&str]) -> Vec<RemoteKey> {
    ids.iter().map(|id| RemoteKey::new(*id).unwrap()).collect()
}

/// The ids that a request names.
fn ids(request: &str) -> Vec<String> {
    request.split("<t:ItemId Id=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
}

fn told(read: &[Reading]) -> Vec<String> {
    let word = |reading: &Reading| match reading {
        Reading::Here(item) => format!("here {}", item.head.key),
        Reading::Gone => "gone".to_owned(),
        Reading::Apart(why) => (*why).to_owned(),
        Reading::Unreadable(fault) => format!("{} {} {}", fault.scope, fault.class, fault.code),
    };
    read.iter().map(word).collect()
}

/// One item that the server chokes on, however it does, does not keep its neighbours from being read.
#[tokio::test]
async fn a_poisoned_item_does_not_spoil_its_batch() {
    for (expected, way) in [
        ("item transient ItemUnavailable", fault("ErrorInternalServerError")),
        ("item refused MessageRefused", fault("ErrorSchemaValidation")),
        ("item transient ItemUnavailable", answer(200, XML, "<s:Envelope><s:Body><broken")),
        ("item transient ItemUnavailable", messages("GetItem", "")),
    ] {
        let server = serve_by(move |request| {
            let ids = ids(request);
            if ids.iter().any(|id| id == "bad") {
                return way.clone();
            }
            let answer = |id: &String| if id == "gone" { refused("GetItem", "ErrorItemNotFound") } else { shown(id) };
            messages("GetItem", &ids.iter().map(answer).collect::<String>())
        });
        let mut session = against(server.await).await;
        let read = port(&mut session).read(Folder::Contacts, &keys(&["a", "bad", "gone", "b"]), &deadline()).await;
        assert_eq!(told(&read.unwrap()), ["here a", expected, "gone", "here b"]);
    }
}

/// A mailbox that shows none of several items has a trouble of its own; a single one is told apart by looking.
#[tokio::test]
async fn a_server_that_shows_nothing_is_no_items_fault() {
    let server = serve_by(|_| fault("ErrorInternalServerError")).await;
    let mut session = against(server).await;
    let fault = port(&mut session).read(Folder::Tasks, &keys(&["a", "b"]), &deadline()).await.unwrap_err();
    assert_eq!((fault.scope, fault.code.as_str()), (FaultScope::Mailbox, "ServerTemporaryFailure"));
    let read = port(&mut session).read(Folder::Tasks, &keys(&["a"]), &deadline()).await.unwrap();
    assert_eq!(told(&read), ["item transient ItemUnavailable"]);
}

/// A fault that strikes a batch once costs nothing.
#[tokio::test]
async fn a_batch_that_fails_once_is_read_item_by_item() {
    let sim = Sim::start().await;
    let (_, target) = sim.fresh();
    let mut session = session(&sim, &target).await;
    let writes: Vec<_> = (0..3).map(|_| create(Kind::Task, something_to_do(), Tell::Nobody)).collect();
    let made = port(&mut session).write(&writes, &deadline()).await.done;
    let keys: Vec<_> = made.into_iter().map(|answer| answer.unwrap().key).collect();
    for mood in [
        r#"[{"mood":"internal","operation":"GetItem","times":1}]"#,
        r#"[{"mood":"cut","after":300,"operation":"GetItem","times":1}]"#,
    ] {
        sim.moods(mood);
        let read = port(&mut session).read(Folder::Tasks, &keys, &deadline()).await.unwrap();
        assert!(read.iter().all(|reading| matches!(reading, Reading::Here(_))), "{mood}: {read:?}");
    }
    sim.moods(r#"[{"mood":"gone","operation":"GetItem","times":1}]"#);
    let read = port(&mut session).read(Folder::Tasks, &keys, &deadline()).await.unwrap();
    assert!(matches!(read.as_slice(), [Reading::Gone, Reading::Here(_), Reading::Here(_)]), "{read:?}");
}

/// A busy server ends the session with its wish to be left alone, and what was answered before stays answered.
#[tokio::test]
async fn a_busy_server_breaks_off_with_its_wish() {
    let sim = Sim::start().await;
    let (_, target) = sim.fresh();
    let mut session = session(&sim, &target).await;
    let task = || create(Kind::Task, something_to_do(), Tell::Nobody);
    let first = port(&mut session).write(&[task()], &deadline()).await.done.remove(0).unwrap();
    let Reading::Here(there) = read(&mut session, Folder::Tasks, &first.key).await else { panic!("it is there") };
    sim.moods(r#"[{"mood":"busy","back_off_ms":2500,"operation":"UpdateItem"}]"#);
    let change = update(&there, &[(Field::Subject, text("other"))], Tell::Nobody);
    let written = port(&mut session).write(&[task(), change, task()], &deadline()).await;
    assert_eq!(written.done.len(), 1, "{written:?}");
    assert!(written.done[0].is_ok());
    let broken = written.broken.unwrap();
    let is = (broken.scope, broken.class, broken.retry_after);
    assert_eq!(is, (FaultScope::Mailbox, FaultClass::Throttled, Some(Duration::from_millis(2_500))));
    sim.moods(r#"[{"mood":"busy","back_off_ms":700,"operation":"GetItem"}]"#);
    let fault = port(&mut session).read(Folder::Tasks, &[first.key], &deadline()).await.unwrap_err();
    assert_eq!((fault.class, fault.retry_after), (FaultClass::Throttled, Some(Duration::from_millis(700))));
    sim.moods(r#"[{"mood":"busy","back_off_ms":600,"operation":"SyncFolderItems"}]"#);
    let listed = port(&mut session).changes(Folder::Tasks, &Cursor::default(), 5, &deadline()).await;
    assert_eq!(listed.unwrap_err().retry_after, Some(Duration::from_millis(600)));
}

/// Where the answer to a creation is lost, nothing is said of it, and the mark finds what was made.
#[tokio::test]
async fn a_lost_answer_is_found_by_its_mark() {
    let sim = Sim::start().await;
    let (_, target) = sim.fresh();
    for writes in [1, 3] {
        let mut session = session(&sim, &target).await;
        sim.moods(r#"[{"mood":"cut","after":10,"operation":"CreateItem","times":1}]"#);
        let all: Vec<_> = (0..writes).map(|_| create(Kind::Contact, somebody(), Tell::Nobody)).collect();
        let before = port(&mut session).find(Folder::Contacts, MARK, &deadline()).await.unwrap().len();
        let written = port(&mut session).write(&all, &deadline()).await;
        assert_eq!(written.done, []);
        assert_eq!(written.broken.unwrap().code, "ConnectionLost");
        let _ = session.close(&deadline()).await;
        let mut session = self::session(&sim, &target).await;
        let found = port(&mut session).find(Folder::Contacts, MARK, &deadline()).await.unwrap();
        assert_eq!(found.len() - before, writes, "whatever is not answered may have been done");
    }
}

/// After its end nothing more is begun.
#[tokio::test]
async fn nothing_is_begun_after_the_deadline() {
    let sim = Sim::start().await;
    let (_, target) = sim.fresh();
    let mut session = session(&sim, &target).await;
    let over = Deadline::within(Duration::ZERO);
    let written = port(&mut session).write(&[create(Kind::Contact, somebody(), Tell::Nobody)], &over).await;
    assert_eq!((written.done.len(), written.broken.unwrap().code.as_str()), (0, "DeadlineExceeded"));
    let read = port(&mut session).read(Folder::Contacts, &keys(&["a", "b"]), &over).await.unwrap_err();
    assert_eq!(read.code, "DeadlineExceeded");
    assert_eq!(port(&mut session).find(Folder::Contacts, MARK, &deadline()).await.unwrap(), []);
    sim.moods(r#"[{"mood":"hang","seconds":30,"operation":"CreateItem"}]"#);
    let soon = Deadline::within(Duration::from_millis(300));
    let begun = std::time::Instant::now();
    let written = port(&mut session).write(&[create(Kind::Contact, somebody(), Tell::Nobody)], &soon).await;
    assert_eq!(written.broken.unwrap().code, "DeadlineExceeded");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

/// One contact that spoils a request for several is refused alone, and the others are made, each once.
#[tokio::test]
async fn a_contact_that_spoils_the_request_is_refused_alone() {
    let created = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&created);
    let server = serve_by(move |request| {
        if request.contains("poison") {
            return fault("ErrorSchemaValidation");
        }
        let contacts = request.matches("<t:Contact>").count();
        counted.fetch_add(contacts, Ordering::Relaxed);
        messages("CreateItem", &(0..contacts).map(|n| made(&format!("new{n}"))).collect::<String>())
    });
    let mut session = against(server.await).await;
    let named = |name: &str| create(Kind::Contact, fields(&[(Field::Company, text(name))]), Tell::Nobody);
    let written = port(&mut session).write(&[named("a"), named("poison"), named("b")], &deadline()).await;
    assert_eq!(written.broken, None);
    let [Ok(_), Err(NotDone::Refused(fault)), Ok(_)] = written.done.as_slice() else { panic!("{written:?}") };
    assert_eq!((fault.scope, fault.class), (FaultScope::Item, FaultClass::Refused));
    assert_eq!(created.load(Ordering::Relaxed), 2);
}

/// Among several contacts made at once each has its own answer, up to the one that ends the session.
#[tokio::test]
async fn answers_of_one_request_are_kept_apart() {
    let server = serve_by(|request| {
        let answers = [
            made("a"),
            refused("CreateItem", "ErrorItemSave"),
            refused("CreateItem", "ErrorAccessDenied"),
            refused("CreateItem", "ErrorQuotaExceeded"),
            made("e"),
        ];
        messages("CreateItem", &answers[..request.matches("<t:Contact>").count()].concat())
    })
    .await;
    let mut session = against(server).await;
    let contacts: Vec<_> = (0..5).map(|_| create(Kind::Contact, somebody(), Tell::Nobody)).collect();
    let written = port(&mut session).write(&contacts, &deadline()).await;
    let [Ok(_), Err(NotDone::Refused(save)), Err(NotDone::Refused(denied))] = written.done.as_slice() else {
        panic!("{written:?}")
    };
    assert_eq!((save.class, denied.class), (FaultClass::Transient, FaultClass::Refused));
    assert_eq!(written.broken.unwrap().code, "ErrorQuotaExceeded");
}

/// An answer that leaves items out, or does not say what was written, ends the session instead of being guessed at.
#[tokio::test]
async fn answers_that_leave_something_out_are_not_guessed_at() {
    let short = serve_by(|request| {
        let operation = if request.contains("CreateItem") { "CreateItem" } else { "GetItem" };
        messages(operation, &if operation == "CreateItem" { made("a") } else { shown("a") })
    });
    let mut session = against(short.await).await;
    let contact = || create(Kind::Contact, somebody(), Tell::Nobody);
    let written = port(&mut session).write(&[contact(), contact()], &deadline()).await;
    assert_eq!((written.done.len(), written.broken.unwrap().code.as_str()), (1, "ProtocolViolation"));
    let mut session = against(serve_by(|_| messages("CreateItem", &made(&"x".repeat(600)))).await).await;
    let written = port(&mut session).write(&[contact()], &deadline()).await;
    assert_eq!((written.done.len(), written.broken.unwrap().code.as_str()), (0, "ProtocolViolation"));
}

/// An item with the mark that cannot be read is not passed over: its place would look free.
#[tokio::test]
async fn what_carries_the_mark_and_cannot_be_read_is_not_passed_over() {
    let server = serve_by(|request| {
        if request.contains("FindItem") {
            let found = r#"<FindItemResponseMessage ResponseClass="Success"><ResponseCode>NoError</ResponseCode><RootFolder IncludesLastItemInRange="true"><Items><Contact><ItemId Id="a" ChangeKey="k"/></Contact></Items></RootFolder></FindItemResponseMessage>"#;
            return messages("FindItem", found);
        }
        messages("GetItem", &refused("GetItem", "ErrorItemCorrupt"))
    });
    let mut session = against(server.await).await;
    let fault = port(&mut session).find(Folder::Contacts, MARK, &deadline()).await.unwrap_err();
    assert_eq!((fault.scope, fault.class), (FaultScope::Item, FaultClass::Transient));
}
