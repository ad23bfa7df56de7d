//! Alerts.

use lockstep_model::id::MailboxId;
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
