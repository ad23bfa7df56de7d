//! What people are asked before an item of an Exchange mailbox becomes a record.

use exchange_sim::{
    clock,
    world::{
        item::{Class, Content},
        value::Value as There,
    },
};
use lockstep_e2e::Cluster;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    exchange::{Exchange, id},
    two_way::{ANN, at, user},
    two_way_rules::peace,
};

impl Exchange {
    /// The owner puts an item into the mailbox, and tracks it by its category.
    fn put_tracked(&self, of: &str, folder: &'static str, class: Class, fill: impl FnOnce(&mut Content)) {
        let mut content = Content::new(class);
        content.values.insert("Categories", There::Strings(vec!["Tracked to CRM".to_owned()]));
        fill(&mut content);
        self.in_mailbox(of, |mailbox| mailbox.put(mailbox.home(folder), content, clock::now()).unwrap());
    }
}

/// J9: an appointment of the mailbox that clashes with one of the CRM waits; after a yes it is a record, and both are kept in
/// step. One that was answered with no is none.
#[tokio::test]
async fn j9_a_clash_is_answered() {
    let exchange = Exchange::start().await;
    let cluster = Cluster::builder().start().await;
    let profile = exchange.profile(&cluster, json!({ "credentials": "mailbox" })).await;
    let (ann, mailbox) = user(&exchange, &cluster, "ann", profile).await;
    let api = cluster.api();
    let review = json!({
        "subject": "Review", "owner_user_id": ann, "organiser": [{ "address": ANN }], "show_as": "busy",
        "time": { "start": "2027-03-02T09:00:00", "end": "2027-03-02T10:00:00", "zone": "Europe/Berlin" },
    });
    let review = id(&api.post("/appointments", &review).await);
    cluster.wait_until(60, "it has its item", async || exchange.items(ANN, "calendar").len() == 1).await;
    for subject in ["Dentist", "Lunch"] {
        exchange.put_tracked(ANN, "calendar", Class::CalendarItem, |content| {
            content.set_text("Subject", subject);
            content.values.insert("Start", at("2027-03-02T08:30:00Z"));
            content.values.insert("End", at("2027-03-02T09:30:00Z"));
        });
    }
    let asked = async || -> Vec<Value> {
        api.act(&format!("/mailboxes/{mailbox}/sync-now")).await;
        api.alerts().await.into_iter().filter(|alert| alert["code"] == "SchedulingConflict").collect()
    };
    cluster.wait_until(60, "both are asked about", async || asked().await.len() == 2).await;
    assert_eq!(api.list("/appointments").await.len(), 1);
    let questions = asked().await;
    for question in &questions {
        assert_eq!(question["question"]["answers"], json!(["yes", "no"]));
        assert_eq!(question["question"]["record"], json!({ "kind": "appointment", "id": review }));
    }
    let answer = async |alert: &Value, answer: &str| {
        let path = format!("/alerts/{}/answer", alert["id"].as_str().unwrap());
        api.send(Method::POST, &path, Some(&json!({ "answer": answer }))).await
    };
    answer(&questions[0], "perhaps").await.expect(422);
    answer(&questions[0], "yes").await.expect(200);
    answer(&questions[0], "no").await.expect(409);
    answer(&questions[1], "no").await.expect(200);
    cluster.wait_until(60, "it is a record", async || api.list("/appointments").await.len() == 2).await;
    peace(&exchange, &cluster, &[(mailbox, ANN)]).await;
    let records = api.list("/appointments").await;
    assert_eq!(records.len(), 2, "{records:?}");
    assert!(asked().await.is_empty());
    assert_eq!(exchange.items(ANN, "calendar").len(), 3);
}

/// K10: a contact of the mailbox that the CRM has already waits; after `create` there are two, each with its item.
#[tokio::test]
async fn k10_a_duplicate_is_answered() {
    let exchange = Exchange::start().await;
    let cluster = Cluster::builder().start().await;
    let profile = exchange.profile(&cluster, json!({ "credentials": "mailbox" })).await;
    let (ann, mailbox) = user(&exchange, &cluster, "ann", profile).await;
    let api = cluster.api();
    let vera = json!({
        "name": "Vera Lang", "address": "vera@customer.test", "owner_user_id": ann, "business_phone": "030 123456",
        "full_name": { "first": "Vera", "last": "Lang" },
    });
    let vera = id(&api.post("/contacts", &vera).await);
    cluster.wait_until(60, "she has her item", async || exchange.items(ANN, "contacts").len() == 1).await;
    exchange.put_tracked(ANN, "contacts", Class::Contact, |content| {
        content.set_text("DisplayName", "Vera Lang");
        content.set_text("GivenName", "Vera");
        content.set_text("Surname", "Lang");
        let known = exchange.items(ANN, "contacts").remove(0).content;
        for (name, value) in known.values.iter().filter(|(name, _)| name.contains("Phone") || name.contains("Email")) {
            content.values.insert(name, value.clone());
        }
    });
    let asked = async || -> Vec<Value> {
        api.act(&format!("/mailboxes/{mailbox}/sync-now")).await;
        api.alerts().await.into_iter().filter(|alert| alert["code"] == "DuplicateContact").collect()
    };
    cluster.wait_until(60, "it is asked about", async || asked().await.len() == 1).await;
    assert_eq!(api.list("/contacts").await.len(), 1);
    let question = asked().await.remove(0);
    assert_eq!(question["question"]["record"], json!({ "kind": "contact", "id": vera }));
    assert_eq!(question["question"]["answers"], json!(["create", "ignore"]), "she has an item already");
    let path = format!("/alerts/{}/answer", question["id"].as_str().unwrap());
    api.send(Method::POST, &path, Some(&json!({ "answer": "link" }))).await.expect(422);
    api.send(Method::POST, &path, Some(&json!({ "answer": "create" }))).await.expect(200);
    cluster.wait_until(60, "there are two", async || api.list("/contacts").await.len() == 2).await;
    peace(&exchange, &cluster, &[(mailbox, ANN)]).await;
    assert_eq!((api.list("/contacts").await.len(), exchange.items(ANN, "contacts").len()), (2, 2));
    assert!(asked().await.is_empty());
}
