//! One account on a server, one mailbox; and what happens when another one takes it over.

use lockstep_model::{id::MailboxId, mailbox::Lane};
use lockstep_store::{access::Role, lanes};
use serde_json::{Value, json};

use crate::world::{Answer, World, profile};

struct Two {
    world: World,
    ann: String,
    bert: String,
}

/// Ann's mailbox holds the account; Bert's is on the same server.
async fn two() -> Two {
    let world = World::new().await;
    let server = world.post("/email-server-profiles", profile("server")).await.expect(201).id();
    let ((_, ann), (_, bert)) = (world.user("ann").await, world.user("bert").await);
    let account =
        json!({ "profile_id": server, "login": "Box@mail.test", "password": "hush", "allow_credentials": true });
    world.patch(&format!("/mailboxes/{ann}"), account).await.expect(200);
    world.patch(&format!("/mailboxes/{bert}"), json!({ "profile_id": server })).await.expect(200);
    let on = format!("UPDATE mailboxes SET incoming_enabled = true, address_status = 'approved' WHERE id = '{ann}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(on)).execute(world.database.pool()).await.unwrap();
    let mut tx = world.store.begin().await.unwrap();
    lanes::realign(&mut tx, &[id(&ann)]).await.unwrap();
    tx.commit().await.unwrap();
    Two { world, ann, bert }
}

fn id(text: &str) -> MailboxId {
    MailboxId(text.parse().unwrap())
}

impl Two {
    async fn take_over(&self, mailbox: &str, body: Value) -> Answer {
        let path = format!("/mailboxes/{mailbox}/takeover");
        self.world.call(Some(Role::Administrator), "POST", &path, Some(&body), &[]).await
    }

    async fn mailbox(&self, mailbox: &str) -> Value {
        self.world.get(&format!("/mailboxes/{mailbox}")).await.expect(200).body
    }
}

/// D2, D3, D6: a second mailbox for an account is refused, and the holder named; nothing changes by asking.
#[tokio::test]
async fn d2_d3_d6_a_second_mailbox_is_refused_and_the_holder_named() {
    let two = two().await;
    let before = two.mailbox(&two.ann).await;
    let wanted = json!({ "login": "box@MAIL.test", "password": "hush", "allow_credentials": true });
    let refused = two.world.patch(&format!("/mailboxes/{}", two.bert), wanted).await.expect(409).body;
    assert_eq!(refused["holder"]["mailbox_id"], json!(two.ann));
    assert_eq!(two.mailbox(&two.ann).await, before);
    assert!(two.mailbox(&two.bert).await["login"].is_null());
}

/// D4, D5, D7: the takeover breaks the old mapping; the old owner's run is fenced at its next write and no further one
/// starts; it is audited. The new owner's mailbox waits for its test.
#[tokio::test]
async fn d4_d5_d7_a_takeover_ends_the_old_mapping_and_fences_its_run() {
    let two = two().await;
    let mut tx = two.world.store.begin().await.unwrap();
    let run = lanes::open(&mut tx, id(&two.ann), Lane::Incoming).await.unwrap().unwrap();
    assert!(run.enabled && lanes::still(&mut tx, id(&two.ann), Lane::Incoming, run.version).await.unwrap());
    drop(tx);

    let taken =
        two.take_over(&two.bert, json!({ "login": "box@mail.test", "password": "hush2" })).await.expect(200).body;
    assert_eq!((taken["login"].as_str(), taken["password_set"].as_bool()), (Some("box@mail.test"), Some(true)));
    assert_eq!((taken["incoming_test"].as_str(), taken["incoming_enabled"].as_bool()), (Some("not-run"), Some(false)));
    let old = two.mailbox(&two.ann).await;
    assert!(old["login"].is_null());
    assert_eq!((&old["password_set"], &old["incoming_enabled"]), (&json!(false), &json!(false)));

    let mut tx = two.world.store.begin().await.unwrap();
    assert!(
        !lanes::fence(&mut tx, id(&two.ann), Lane::Incoming, run.version, None).await.unwrap(),
        "its run is fenced"
    );
    let now = lanes::open(&mut tx, id(&two.ann), Lane::Incoming).await.unwrap().unwrap();
    assert!(!now.enabled && now.generation > run.generation, "and no further one starts");
    drop(tx);
    let audited =
        "SELECT count(*) FROM audit_entries WHERE action = 'taken-over' AND detail->>'from_mailbox' IS NOT NULL";
    assert_eq!(two.world.count(audited).await, 1);
}

/// D3: what cannot be taken over says so, and nothing changes.
#[tokio::test]
async fn d3_what_nobody_else_holds_is_not_taken_over() {
    let two = two().await;
    let free = json!({ "login": "free@mail.test", "password": "x" });
    assert!(
        two.take_over(&two.bert, free.clone()).await.expect(409).body["type"].as_str().unwrap().ends_with("not-held")
    );
    let own = json!({ "login": "box@mail.test", "password": "x" });
    two.take_over(&two.ann, own.clone()).await.expect(409);
    let (_, carl) = two.world.user("carl").await;
    two.take_over(&carl, own).await.expect(409);
    two.take_over(&uuid::Uuid::now_v7().to_string(), free.clone()).await.expect(404);
    two.take_over(&two.bert, json!({ "login": "box@mail.test" })).await.expect(422);
    let path = format!("/mailboxes/{}/takeover", two.bert);
    two.world.call(Some(Role::Operator), "POST", &path, Some(&free), &[]).await.expect(403);
    assert_eq!(two.mailbox(&two.ann).await["login"], "Box@mail.test");
}
