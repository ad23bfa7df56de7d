//! Alerts.

use lockstep_model::{
    id::{MailboxId, ProfileId},
    remote::RemoteKey,
};
use lockstep_store::{
    access::Role,
    alerts::{self, Severity, Subject},
};
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn alerts_are_listed_with_their_texts_and_dismissed() {
    let world = World::new().await;
    let (_, mailbox) = world.user("ann").await;
    let subject = Subject::Mailbox(MailboxId(mailbox.parse().unwrap()));
    let mut tx = world.store.begin().await.unwrap();
    let parameters = json!({ "message": "-ERR bad password" });
    alerts::raise(&mut tx, "Unauthorized", Severity::Error, subject, parameters.clone()).await.unwrap();
    alerts::raise(&mut tx, "Unauthorized", Severity::Error, subject, parameters).await.unwrap();
    alerts::raise(
        &mut tx,
        "MailboxConnected",
        Severity::Information,
        subject,
        json!({ "address": "ann@example.test" }),
    )
    .await
    .unwrap();
    tx.commit().await.unwrap();

    let errors = world.get("/alerts?severity=error").await.expect(200).body["items"].clone();
    assert_eq!(errors.as_array().unwrap().len(), 1);
    assert_eq!(errors[0]["occurrences"], 2);
    assert!(errors[0]["text"].as_str().unwrap().contains("-ERR bad password"));
    assert!(!errors[0]["remedy"].as_str().unwrap().is_empty());
    assert_eq!(world.get(&format!("/alerts?mailbox={mailbox}")).await.body["items"].as_array().unwrap().len(), 2);
    assert_eq!(world.get("/alerts?scope=profile").await.body["items"], json!([]));

    for (query, parameter) in [("severity=fatal", "severity"), ("scope=planet", "scope"), ("colour=red", "colour")] {
        let refused = world.get(&format!("/alerts?{query}")).await.expect(422);
        assert_eq!(refused.complaints()[0].0, parameter, "{query}");
    }
    let refused = world.get("/alerts?severity=x").await.body;
    assert_eq!(refused["errors"][0]["remedy"], "one of: error, warning, information");

    let path = format!("/alerts/{}", errors[0]["id"].as_str().unwrap());
    world.call(Some(Role::Operator), "DELETE", &path, None, &[]).await.expect(204);
    world.delete(&path).await.expect(204);
    assert_eq!(world.get("/alerts?severity=error").await.body["items"], json!([]));
    assert_eq!(world.get("/alerts?severity=error&open=false").await.body["items"].as_array().unwrap().len(), 1);
    world.delete(&format!("/alerts/{mailbox}")).await.expect(404);
}

/// M8, M11: operators read every text whole, but for what a server has said of one message.
#[tokio::test]
async fn m8_m11_operators_read_texts_without_the_words_about_a_message() {
    let world = World::new().await;
    let (_, mailbox) = world.user("ann").await;
    let mailbox = MailboxId(mailbox.parse().unwrap());
    let profile = ProfileId(world.profile("main").await.parse().unwrap());
    let key = RemoteKey::new("k1").unwrap();
    let mut tx = world.store.begin().await.unwrap();
    let short =
        json!({ "profile": "main", "busy": "4.0", "slots": 5, "limit": "connections", "load": 80, "needed": 6 });
    alerts::raise(&mut tx, "CapacityShort", Severity::Error, Subject::Profile(profile), short).await.unwrap();
    let said = json!({ "message": "-ERR Anfrage Meier", "next": "it is tried again by itself" });
    alerts::raise(&mut tx, "ItemQuarantined", Severity::Error, Subject::Item(mailbox, &key), said).await.unwrap();
    let said = json!({ "message": "-ERR bad password" });
    alerts::raise(&mut tx, "Unauthorized", Severity::Error, Subject::Mailbox(mailbox), said).await.unwrap();
    tx.commit().await.unwrap();
    let texts = async |role: Role| {
        let list = world.call(Some(role), "GET", "/alerts", None, &[]).await.expect(200).body;
        let text = |alert: &serde_json::Value| alert["text"].as_str().unwrap().to_owned();
        (list["items"].as_array().unwrap().iter().map(text).collect::<Vec<_>>(), list.to_string())
    };
    let (shown, whole) = texts(Role::Operator).await;
    assert!(shown[0].contains("takes 4.0 runs") && !whole.contains("(not known)"), "{shown:?}");
    assert!(shown[1].ends_with("it is tried again by itself: not shown to operators"), "{shown:?}");
    assert!(shown[2].ends_with("-ERR bad password") && !whole.contains("Meier"), "{shown:?}");
    let (shown, _) = texts(Role::Administrator).await;
    assert!(shown[1].ends_with("-ERR Anfrage Meier"), "{shown:?}");
}
