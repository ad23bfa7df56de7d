//! Answers to what alerts ask, and the history of a record's synchronisation.

use lockstep_model::{
    id::MailboxId,
    record::{Field, Kind, RecordId, Value as There},
    remote::RemoteKey,
};
use lockstep_store::{
    access::Role,
    alerts::{self, Severity, Subject},
    links::{self, LostValue},
    questions::{self, DUPLICATE_CONTACT, Question, SCHEDULING_CONFLICT},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{Answer, World};

const KEY: &str = "k1";

/// Asks something of this mailbox's item, as a worker does.
async fn ask(world: &World, mailbox: &str, code: &str, record: Uuid, answers: &[&str]) {
    let mailbox = MailboxId(mailbox.parse().unwrap());
    let mut tx = world.store.begin().await.unwrap();
    let question = Question {
        item: RemoteKey::new(KEY).unwrap(),
        folder: if code == DUPLICATE_CONTACT { "contacts" } else { "calendar" }.to_owned(),
        code: code.to_owned(),
        about: Some(vec![1]),
        record: Some((Kind::Contact, RecordId(record))),
        answers: answers.iter().map(|&answer| answer.to_owned()).collect(),
        by_hand: false,
        answer: None,
    };
    let later = tx.now();
    questions::ask(&mut tx, mailbox, &question, later).await.unwrap();
    let parameters = json!({ "record": format!("contact {record}"), "starts": "soon", "answers": answers.join(", ") });
    alerts::raise(&mut tx, code, Severity::Error, Subject::Item(mailbox, &question.item), parameters).await.unwrap();
    tx.commit().await.unwrap();
}

async fn answer(world: &World, key: &str, alert: &str, answer: &str) -> Answer {
    let body = json!({ "answer": answer });
    world.call_with(Some(key), "POST", &format!("/alerts/{alert}/answer"), Some(&body), &[]).await
}

async fn alert(world: &World, code: &str) -> Value {
    let open = world.get("/alerts").await.expect(200).body["items"].as_array().unwrap().clone();
    open.into_iter().find(|alert| alert["code"] == code).unwrap()
}

fn kind(answer: &Answer) -> &str {
    answer.body["type"].as_str().unwrap().trim_start_matches("/problems/")
}

/// J9, K10: what is asked is listed with its answers; the owner of the mailbox or an administrator answers once, and only
/// what is offered.
#[tokio::test]
async fn j9_k10_questions_are_answered_once() {
    let world = World::new().await;
    let (user, mailbox) = world.sign_in("ann").await;
    let (other, _) = world.user("bert").await;
    let (ann, bert) = (world.key(Role::User), world.key_of(&other).await);
    let administrator = world.key(Role::Administrator);
    let record = Uuid::now_v7();
    ask(&world, &mailbox, DUPLICATE_CONTACT, record, &["create", "ignore"]).await;
    let found = alert(&world, DUPLICATE_CONTACT).await;
    let question = json!({
        "answers": ["create", "ignore"], "record": { "kind": "contact", "id": record }, "answer": null, "answered_at": null,
    });
    assert_eq!(found["question"], question);
    assert!(found["text"].as_str().unwrap().contains("create, ignore"), "{found}");
    let id = found["id"].as_str().unwrap();

    // What is no answer.
    let refused = answer(&world, ann, id, "link").await.expect(422);
    assert_eq!(refused.complaints(), [("answer".to_owned(), "choice".to_owned())]);
    assert!(refused.body["errors"][0]["remedy"].as_str().unwrap().contains("create, ignore"));
    for wrong in ["", &"x".repeat(21), "a\u{0}b", "a\nb"] {
        assert!([400, 422].contains(&answer(&world, ann, id, wrong).await.status.as_u16()), "{wrong:?}");
    }
    for wrong in
        [json!({}), json!({ "answer": 1 }), json!({ "answer": null }), json!({ "answer": "create", "more": 1 })]
    {
        world.post(&format!("/alerts/{id}/answer"), wrong).await.expect(422);
    }
    // Who may not.
    answer(&world, &bert, id, "create").await.expect(404);
    answer(&world, world.key(Role::Operator), id, "create").await.expect(403);
    answer(&world, world.key(Role::Service), id, "create").await.expect(403);
    answer(&world, administrator, &Uuid::now_v7().to_string(), "create").await.expect(404);
    answer(&world, administrator, "x", "create").await.expect(400);

    // Taken off the own wall it can be answered still.
    world.call_with(Some(ann), "DELETE", &format!("/alerts/{id}"), None, &[]).await.expect(204);
    let answered = answer(&world, ann, id, "create").await.expect(200);
    assert_eq!(answered.body["question"]["answer"], "create");
    assert!(answered.body["resolved_at"].is_string() && answered.body["question"]["answered_at"].is_string());
    let again = answer(&world, administrator, id, "ignore").await.expect(409);
    assert_eq!(kind(&again), "answered");
    assert!(again.body["detail"].as_str().unwrap().contains("create"), "{}", again.body);
    let audited = world.get(&format!("/audit?record_kind=alert&record_id={id}&action=answered")).await.expect(200);
    let entry = &audited.body["items"][0];
    assert!(entry["actor"].as_str().unwrap().contains(&user), "{entry}");
    assert_eq!((&entry["detail"]["answer"], &entry["detail"]["code"]), (&json!("create"), &json!(DUPLICATE_CONTACT)));
    assert_eq!(
        world.count("SELECT count(*) FROM questions WHERE answer = 'create' AND look_at = answered_at").await,
        1
    );

    // Done with, it is over.
    let mut tx = world.store.begin().await.unwrap();
    let item = RemoteKey::new(KEY).unwrap();
    questions::forget(&mut tx, MailboxId(mailbox.parse().unwrap()), &[item]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(kind(&answer(&world, ann, id, "create").await.expect(409)), "over");
    // Asked again it is another alert, and the old one answers nothing.
    ask(&world, &mailbox, DUPLICATE_CONTACT, record, &["create", "ignore"]).await;
    assert_eq!(kind(&answer(&world, ann, id, "create").await.expect(409)), "over");
    let newer = alert(&world, DUPLICATE_CONTACT).await["id"].as_str().unwrap().to_owned();
    answer(&world, administrator, &newer, "ignore").await.expect(200);
}

/// An alert that asks nothing, of a mailbox or of the organisation, is not answered.
#[tokio::test]
async fn j9_what_asks_nothing_is_not_answered() {
    let world = World::new().await;
    let (_, mailbox) = world.sign_in("ann").await;
    let mut tx = world.store.begin().await.unwrap();
    let of = Subject::Mailbox(MailboxId(mailbox.parse().unwrap()));
    alerts::raise(&mut tx, "HeadersMissing", Severity::Error, of, json!({ "message": "x" })).await.unwrap();
    let parameters = json!({ "message": "x" });
    alerts::raise(&mut tx, "InternalError", Severity::Error, Subject::Organisation, parameters).await.unwrap();
    tx.commit().await.unwrap();
    let of_mailbox = alert(&world, "HeadersMissing").await;
    assert_eq!(of_mailbox["question"], Value::Null);
    let id = of_mailbox["id"].as_str().unwrap();
    assert_eq!(kind(&answer(&world, world.key(Role::User), id, "yes").await.expect(409)), "nothing-asked");
    let id = alert(&world, "InternalError").await["id"].as_str().unwrap().to_owned();
    answer(&world, world.key(Role::User), &id, "yes").await.expect(404);
    answer(&world, world.key(Role::Administrator), &id, "yes").await.expect(409);
}

/// J9, K10: tracking an appointment by the API answers yes; tracking a contact asks anew.
#[tokio::test]
async fn j9_k10_tracking_by_the_api() {
    let world = World::new().await;
    let (_, mailbox) = world.user("ann").await;
    let ready = format!("UPDATE mailboxes SET act_enabled = true WHERE id = '{mailbox}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(ready)).execute(world.database.pool()).await.unwrap();
    for (code, folder, kept) in [(SCHEDULING_CONFLICT, "calendar", 1), (DUPLICATE_CONTACT, "contacts", 0)] {
        ask(&world, &mailbox, code, Uuid::now_v7(), &["yes", "no"]).await;
        let body = json!({ "folder": folder, "item_id": KEY });
        world.post(&format!("/mailboxes/{mailbox}/track"), body).await.expect(200);
        assert_eq!(world.get("/alerts").await.body["items"], json!([]), "{code}");
        let waived = "SELECT count(*) FROM questions WHERE answer = 'yes' AND about IS NULL";
        assert_eq!(world.count(waived).await, kept, "{code}");
        let mut tx = world.store.begin().await.unwrap();
        let item = RemoteKey::new(KEY).unwrap();
        questions::forget(&mut tx, MailboxId(mailbox.parse().unwrap()), &[item]).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// Values that gave way are read with the rights on the record and its fields, page by page, the newest first.
#[tokio::test]
async fn the_history_of_synchronisation_is_read() {
    let world = World::new().await;
    let (user, mailbox) = world.sign_in("ann").await;
    let (bert, _) = world.user("bert").await;
    let ann = world.key(Role::User);
    let contact = world
        .post("/contacts", json!({ "name": "Vera", "address": "vera@customer.test", "owner_user_id": user }))
        .await
        .expect(201)
        .id();
    let record = RecordId(contact.parse().unwrap());
    let lost = |field, side, value: Option<&str>| LostValue {
        record,
        kind: Kind::Contact,
        field,
        side,
        value: value.map(|text| There::Text(text.to_owned())),
    };
    let lost = [
        lost(Field::JobTitle, "server", Some("Buyer")),
        lost(Field::Email1, "crm", Some("old@customer.test")),
        lost(Field::GovernmentId, "crm", None),
    ];
    for one in &lost {
        let mut tx = world.store.begin().await.unwrap();
        links::keep_lost(&mut tx, MailboxId(mailbox.parse().unwrap()), std::slice::from_ref(one)).await.unwrap();
        tx.commit().await.unwrap();
    }
    let path = format!("/synchronization-history/contact/{contact}");
    let first = world.get(&format!("{path}?limit=2")).await.expect(200).body;
    let shown = |page: &Value| {
        let items = page["items"].as_array().unwrap();
        items.iter().map(|lost| format!("{} {} {}", lost["field"], lost["side"], lost["value"])).collect::<Vec<_>>()
    };
    assert_eq!(shown(&first), [r#""government_id" "crm" null"#, r#""address" "crm" "old@customer.test""#]);
    assert_eq!(first["items"][0]["mailbox_id"], mailbox);
    let next = first["next"].as_str().unwrap();
    let second = world.get(&format!("{path}?limit=2&after={next}")).await.expect(200).body;
    assert_eq!(shown(&second), [r#""job_title" "server" "Buyer""#]);
    assert!(second.get("next").is_none());

    // Rights on the record, on its fields, and what is no such thing.
    let of = async |key: &str, path: &str| world.call_with(Some(key), "GET", path, None, &[]).await;
    assert_eq!(shown(&of(ann, &path).await.expect(200).body).len(), 3);
    of(&world.key_of(&bert).await, &path).await.expect(404);
    of(world.key(Role::Operator), &path).await.expect(403);
    of(world.key(Role::Service), &path).await.expect(200);
    for field in ["address", "government_id"] {
        world
            .call(Some(Role::Administrator), "PUT", &format!("/secured-fields/contact/{field}"), None, &[])
            .await
            .expect(204);
    }
    assert_eq!(shown(&of(ann, &path).await.expect(200).body), [r#""job_title" "server" "Buyer""#]);
    assert_eq!(shown(&world.get(&path).await.expect(200).body).len(), 3, "others are not asked for rights");
    world.get(&format!("/synchronization-history/task/{contact}")).await.expect(404);
    world.get(&format!("/synchronization-history/contact/{}", Uuid::now_v7())).await.expect(404);
    let refused = world.get(&format!("/synchronization-history/email/{contact}")).await.expect(422);
    assert_eq!(refused.complaints(), [("record_kind".to_owned(), "choice".to_owned())]);
    for query in ["limit=0", "limit=201", "after=x", "before=1"] {
        world.get(&format!("{path}?{query}")).await.expect(422);
    }
    world.get("/synchronization-history/contact/x").await.expect(400);
    world.delete(&format!("/contacts/{contact}")).await.expect(204);
    world.get(&path).await.expect(404);
}
