//! Items that became no record, of all mailboxes.

use lockstep_store::access::Role;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::world::World;

async fn put(world: &World, mailbox: &str, key: &str, disposition: &str, reason: &str, minute: u32) {
    let sql = format!(
        "INSERT INTO remote_items
             (mailbox_id, remote_key, message_id, size_bytes, disposition, reason, detail, attempts, seen_at)
         VALUES ('{mailbox}', '{key}', '{key}@kunde.example', 10, '{disposition}', '{reason}', '-ERR Anfrage Meier', 1,
             '2026-11-23T08:{minute:02}:00Z')"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(world.database.pool()).await.unwrap();
}

fn keys(body: &Value) -> Vec<String> {
    let items = body["items"].as_array().unwrap();
    let key = |item: &Value| String::from_utf8(hex::decode(item["key"].as_str().unwrap()).unwrap()).unwrap();
    items.iter().map(key).collect()
}

/// M11: one list across mailboxes, the newest first, by mailbox, code, state and time, page by page. Our own test's
/// message is no failure of anything.
#[tokio::test]
async fn m11_items_of_all_mailboxes_are_listed() {
    let world = World::new().await;
    let (_, ann) = world.user("ann").await;
    let (_, bert) = world.user("bert").await;
    for (mailbox, key, disposition, reason, minute) in [
        (&ann, "a1", "quarantined", "ItemUnavailable", 1),
        (&ann, "a2", "refused", "NoCorrelationMatch", 3),
        (&ann, "a3", "tracked", "", 3),
        (&ann, "a4", "refused", "TestMessage", 4),
        (&bert, "b1", "refused", "NoCorrelationMatch", 2),
        (&bert, "b2", "quarantined", "ItemUnavailable", 3),
    ] {
        put(&world, mailbox, key, disposition, reason, minute).await;
    }
    let list = async |query: &str| keys(&world.get(&format!("/item-failures?{query}")).await.expect(200).body);
    let all = list("").await;
    assert_eq!((all.len(), &all[2..]), (4, &["b1".to_owned(), "a1".to_owned()][..]), "{all:?}");
    assert_eq!(list(&format!("mailbox={ann}")).await, ["a2", "a1"]);
    assert_eq!(list("disposition=quarantined").await, ["b2", "a1"]);
    assert_eq!(list("reason=NoCorrelationMatch").await, ["a2", "b1"]);
    assert_eq!(list("seen_since=2026-11-23T08:02:00Z&seen_before=2026-11-23T08:03:00Z").await, ["b1"]);
    let (mut read, mut after) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("/item-failures?limit=1{after}")).await.expect(200).body;
        read.extend(keys(&page));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(read, all, "each once, also of one instant");
    let own = world.get(&format!("/mailboxes/{ann}/items")).await.expect(200).body;
    let test = own["items"].as_array().unwrap().iter().find(|item| item["reason"] == "TestMessage").unwrap();
    assert!(test["sentence"].as_str().unwrap().contains("Lockstep itself"), "{test}");
    for (query, complaint) in [
        ("after=7", ("after", "format")),
        ("disposition=tracked", ("disposition", "choice")),
        ("reason=", ("reason", "length")),
        ("seen_since=0001-01-01T00:00:00Z", ("seen_since", "range")),
        ("code=x", ("code", "unknown")),
    ] {
        let complaints = world.get(&format!("/item-failures?{query}")).await.expect(422).complaints();
        assert_eq!(complaints, [(complaint.0.to_owned(), complaint.1.to_owned())], "{query}");
    }
}

/// M11: three roles. What a server says of a message, and its Message-ID, are for administrators and for the mailbox's
/// own user; operators see the code, what it means, and the mailbox, wherever items are shown.
#[tokio::test]
async fn m11_operators_are_shown_codes_and_nothing_of_messages() {
    let world = World::new().await;
    let (_, ann) = world.sign_in("ann").await;
    let (bert, berts) = world.user("bert").await;
    put(&world, &ann, "a1", "quarantined", "ItemUnavailable", 1).await;
    put(&world, &berts, "b1", "quarantined", "ItemUnavailable", 2).await;
    let get = async |role: Role, path: &str| world.call(Some(role), "GET", path, None, &[]).await.expect(200).body;
    let items = format!("/mailboxes/{ann}/items");
    let about = "/explanations/messages?message_id=a1@kunde.example";
    for path in ["/item-failures", &items] {
        let shown = get(Role::Operator, path).await;
        assert!(!shown.to_string().contains("kunde.example") && !shown.to_string().contains("Meier"), "{shown}");
        let item = shown["items"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((item["reason"].as_str(), item["attempts"].as_i64()), (Some("ItemUnavailable"), Some(1)));
        assert!(!item["sentence"].as_str().unwrap().is_empty());
        for role in [Role::Administrator, Role::User] {
            let item = get(role, path).await["items"].as_array().unwrap().last().unwrap().clone();
            assert_eq!(item["message_id"], "a1@kunde.example", "{role:?}");
            assert_eq!(item["detail"], "-ERR Anfrage Meier", "{role:?}");
        }
    }
    assert!(!get(Role::Operator, about).await.to_string().contains("Meier"));
    assert!(get(Role::Administrator, about).await.to_string().contains("Meier"));
    let released = format!("/mailboxes/{ann}/items/{}/release", hex::encode("a1"));
    let released = world.call(Some(Role::Operator), "POST", &released, None, &[]).await.expect(200).body;
    assert!(released["detail"].is_null() && released["message_id"].is_null(), "{released}");
    let all = get(Role::Operator, "/item-failures").await;
    let address = |item: &Value| item["address"].as_str().unwrap().to_owned();
    let addresses: Vec<_> = all["items"].as_array().unwrap().iter().map(address).collect();
    assert_eq!(addresses, ["bert@example.test", "ann@example.test"]);
    // Users see their own mailboxes.
    assert_eq!(keys(&get(Role::User, "/item-failures").await), ["a1"]);
    let bert = world.key_of(&bert).await;
    let berts = world.call_with(Some(&bert), "GET", "/item-failures", None, &[]).await.expect(200).body;
    assert_eq!(keys(&berts), ["b1"]);
    let other = format!("/item-failures?mailbox={ann}");
    let none = world.call_with(Some(&bert), "GET", &other, None, &[]).await.expect(200).body;
    assert!(keys(&none).is_empty());
    world.call(Some(Role::Service), "GET", "/item-failures", None, &[]).await.expect(403);
}
