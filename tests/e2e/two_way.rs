//! Contacts, tasks and appointments on an Exchange server, both ways.

use std::time::Duration;

use chrono::{DateTime, Utc};
use exchange_sim::{
    clock,
    world::{
        item::{Class, Content, Item, ItemId, Touch},
        mailbox::Mailbox,
        value::Value as There,
    },
};
use lockstep_e2e::Cluster;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::exchange::{Exchange, id};

impl Exchange {
    /// Looks at somebody's mailbox, or works in it as its owner does.
    pub(crate) fn in_mailbox<T>(&self, of: &str, work: impl FnOnce(&mut Mailbox) -> T) -> T {
        let mut state = self.server.state();
        let number = state.world.find(of).unwrap();
        work(state.world.mailbox_mut(number).unwrap())
    }

    /// The items of a folder.
    pub(crate) fn items(&self, of: &str, folder: &'static str) -> Vec<Item> {
        self.in_mailbox(of, |mailbox| {
            let ids = mailbox.items_in(mailbox.home(folder));
            ids.into_iter().map(|id| mailbox.item(id).unwrap().clone()).collect()
        })
    }

    pub(crate) fn change(&self, of: &str, item: ItemId, change: impl FnOnce(&mut Content)) {
        self.in_mailbox(of, |mailbox| {
            let done = mailbox.change(item, Touch::Content, clock::now(), |item| {
                change(&mut item.content);
                Ok(())
            });
            done.unwrap();
        });
    }
}

/// A user with contacts, tasks and appointments on this server.
pub(crate) async fn user(exchange: &Exchange, cluster: &Cluster, name: &str, profile: Uuid) -> (Uuid, Uuid) {
    let mailbox = json!({
        "profile_id": profile, "allow_credentials": true, "login": format!("{name}@exchange.test"), "password": "secret",
        "act_method": "server-side",
    });
    exchange.user(cluster, name, mailbox).await
}

pub(crate) fn at(text: &str) -> There {
    There::Instant(text.parse::<DateTime<Utc>>().unwrap())
}

pub(crate) const ANN: &str = "ann@exchange.test";

/// A2, J1, K1, K6: a contact, a task and an appointment of the CRM appear on the server, and what is changed there comes
/// back; what is changed in the CRM follows; and then nothing is written any more.
#[tokio::test]
async fn a2_j1_k1_k6_records_and_items_are_kept_in_step() {
    let exchange = Exchange::start().await;
    let cluster = Cluster::builder().start().await;
    let profile = exchange.profile(&cluster, json!({ "credentials": "mailbox" })).await;
    let (ann, mailbox) = user(&exchange, &cluster, "ann", profile).await;
    let api = cluster.api();
    let contact = json!({
        "name": "Vera Lang", "address": "vera@customer.test", "owner_user_id": ann, "job_title": "Buyer",
        "full_name": { "first": "Vera", "last": "Lang" },
    });
    let contact = id(&api.post("/contacts", &contact).await);
    let task = json!({ "subject": "Call back", "owner_user_id": ann, "due_date": "2027-03-01T10:00:00Z" });
    let task = id(&api.post("/tasks", &task).await);
    let appointment = json!({
        "subject": "Review", "owner_user_id": ann, "organiser": [{ "address": ANN }],
        "time": { "start": "2027-03-02T09:00:00", "end": "2027-03-02T10:00:00", "zone": "Europe/Berlin" },
    });
    let appointment = id(&api.post("/appointments", &appointment).await);

    cluster
        .wait_until(60, "all three are there", async || {
            ["contacts", "tasks", "calendar"].iter().all(|folder| exchange.items(ANN, folder).len() == 1)
        })
        .await;
    let there = |folder| exchange.items(ANN, folder).remove(0);
    assert_eq!(there("contacts").content.text("JobTitle"), "Buyer");
    assert_eq!(there("tasks").content.text("Subject"), "Call back");
    assert_eq!(there("calendar").content.values.get("Start"), Some(&at("2027-03-02T08:00:00Z")));

    // The owner works in the mailbox.
    exchange.change(ANN, there("contacts").id, |content| content.set_text("JobTitle", "Head buyer"));
    exchange.change(ANN, there("tasks").id, |content| content.set_text("Subject", "Call back tomorrow"));
    exchange.change(ANN, there("calendar").id, |content| {
        content.values.insert("Start", at("2027-03-02T13:00:00Z"));
        content.values.insert("End", at("2027-03-02T14:00:00Z"));
    });
    api.act(&format!("/mailboxes/{mailbox}/sync-now")).await;
    cluster
        .wait_until(60, "it is seen in the CRM", async || {
            let contact = api.get(&format!("/contacts/{contact}")).await;
            let task = api.get(&format!("/tasks/{task}")).await;
            let appointment = api.get(&format!("/appointments/{appointment}")).await;
            contact["job_title"] == "Head buyer"
                && task["subject"] == "Call back tomorrow"
                && appointment["starts_at"] == "2027-03-02T13:00:00Z"
        })
        .await;

    // And somebody in the CRM.
    api.patch(&format!("/tasks/{task}"), &json!({ "state": "completed" })).await;
    api.patch(&format!("/contacts/{contact}"), &json!({ "address": "vera.lang@customer.test" })).await;
    cluster
        .wait_until(60, "it is seen on the server", async || {
            there("tasks").content.text("Status") == "Completed"
                && format!("{:?}", there("contacts").content.values).contains("vera.lang@customer.test")
        })
        .await;

    // Nobody changes anything: nobody writes anything.
    let versions = || -> Vec<_> {
        ["contacts", "tasks", "calendar"]
            .iter()
            .flat_map(|folder| exchange.items(ANN, folder))
            .map(|item| item.version)
            .collect()
    };
    cluster.wait_until(60, "it is quiet", async || quiet(&cluster, mailbox, 2).await).await;
    let (before, records) = (versions(), api.get(&format!("/contacts/{contact}")).await["version"].clone());
    cluster.wait_until(90, "two more cycles", async || quiet(&cluster, mailbox, 4).await).await;
    assert_eq!(versions(), before);
    assert_eq!(api.get(&format!("/contacts/{contact}")).await["version"], records);
}

/// Asks for another cycle, and says whether so many have found nothing.
pub(crate) async fn quiet(cluster: &Cluster, mailbox: Uuid, cycles: u64) -> bool {
    cluster.api().act(&format!("/mailboxes/{mailbox}/sync-now")).await;
    let status: Value = cluster.api().get(&format!("/mailboxes/{mailbox}")).await;
    let lanes = status["lanes"].as_array().cloned().unwrap_or_default();
    let act = lanes.iter().find(|lane| lane["lane"] == "act");
    act.is_some_and(|lane| lane["empty_cycles"].as_u64().unwrap_or_default() >= cycles)
}

/// J2: what nobody asked for stays where it is; what carries the category comes into the CRM, and is kept in step.
#[tokio::test]
async fn j2_only_what_is_tracked_becomes_a_record() {
    let exchange = Exchange::start().await;
    let cluster = Cluster::builder().start().await;
    let profile = exchange.profile(&cluster, json!({ "credentials": "mailbox" })).await;
    let (ann, mailbox) = user(&exchange, &cluster, "ann", profile).await;
    let put = |folder: &'static str, class, subject: &str, tracked: bool| {
        exchange.in_mailbox(ANN, |mailbox| {
            let mut content = Content::new(class);
            content.set_text("Subject", subject);
            if tracked {
                content.values.insert("Categories", There::Strings(vec!["Tracked to CRM".to_owned()]));
            }
            mailbox.put(mailbox.home(folder), content, clock::now()).unwrap()
        })
    };
    for number in 0..30 {
        put("tasks", Class::Task, &format!("Private {number}"), false);
    }
    let tracked = put("tasks", Class::Task, "For everybody", true);
    cluster.api().act(&format!("/mailboxes/{mailbox}/sync-now")).await;
    let tasks = async || cluster.api().list("/tasks").await;
    cluster.wait_until(60, "it is a record", async || !tasks().await.is_empty()).await;
    let found = tasks().await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["subject"], "For everybody");
    assert_eq!(found[0]["owner_user_id"], ann.to_string());

    let task = id(&found[0]);
    cluster.api().patch(&format!("/tasks/{task}"), &json!({ "subject": "For all of us" })).await;
    cluster
        .wait_until(60, "the item follows", async || {
            exchange
                .in_mailbox(ANN, |mailbox| mailbox.item(tracked).unwrap().content.text("Subject") == "For all of us")
        })
        .await;
    assert_eq!(tasks().await.len(), 1);
    assert_eq!(exchange.items(ANN, "tasks").len(), 31);
}

/// K2, K8, J5: a deletion at its source is carried out on the other side where the rules say so.
#[tokio::test]
async fn k8_j5_what_is_deleted_on_one_side() {
    let exchange = Exchange::start().await;
    let cluster = Cluster::builder().start().await;
    let profile = exchange.profile(&cluster, json!({ "credentials": "mailbox" })).await;
    let (ann, mailbox) = user(&exchange, &cluster, "ann", profile).await;
    let api = cluster.api();
    let mut tasks = Vec::new();
    for subject in ["first", "second", "third", "fourth", "fifth"] {
        tasks.push(id(&api.post("/tasks", &json!({ "subject": subject, "owner_user_id": ann })).await));
    }
    cluster.wait_until(60, "the tasks are there", async || exchange.items(ANN, "tasks").len() == 5).await;
    api.delete(&format!("/tasks/{}", tasks[0])).await;
    cluster.wait_until(60, "its item goes too", async || exchange.items(ANN, "tasks").len() == 4).await;
    assert!(exchange.items(ANN, "tasks").iter().all(|item| item.content.text("Subject") != "first"));

    let second =
        exchange.items(ANN, "tasks").into_iter().find(|item| item.content.text("Subject") == "second").unwrap();
    exchange.in_mailbox(ANN, |mailbox| mailbox.remove(second.id, clock::now()).unwrap());
    api.act(&format!("/mailboxes/{mailbox}/sync-now")).await;
    cluster.wait_until(60, "its record goes too", async || api.list("/tasks").await.len() == 3).await;
    let _ = Duration::ZERO;
}

/// J2: a program asks for an item by its id, and it becomes a record; one that is not there is not looked for for ever.
#[tokio::test]
async fn j2_an_item_is_tracked_by_the_api() {
    let exchange = Exchange::start().await;
    let cluster = Cluster::builder().start().await;
    let profile = exchange.profile(&cluster, json!({ "credentials": "mailbox" })).await;
    let (_, mailbox) = user(&exchange, &cluster, "ann", profile).await;
    let api = cluster.api();
    let task = json!({ "subject": "Known", "owner_user_id": api.list("/users").await[0]["id"] });
    api.post("/tasks", &task).await;
    cluster.wait_until(60, "the item is there", async || exchange.items(ANN, "tasks").len() == 1).await;
    let track = async |item: &str| {
        let fields = json!({ "folder": "tasks", "item_id": item });
        api.send(reqwest::Method::POST, &format!("/mailboxes/{mailbox}/track"), Some(&fields)).await
    };
    let key = async || -> String {
        let newest = "SELECT convert_from(remote_key, 'UTF8') FROM links ORDER BY created_at DESC LIMIT 1";
        sqlx::query_scalar(newest).fetch_one(cluster.pool()).await.unwrap()
    };
    track(&key().await).await.expect(409);
    track("").await.expect(422);
    let other =
        id(&api.post("/tasks", &json!({ "subject": "Short-lived", "owner_user_id": task["owner_user_id"] })).await);
    let links = async || cluster.number("SELECT count(*) FROM links").await;
    cluster.wait_until(60, "it is linked", async || links().await == 2).await;
    let gone = key().await;
    api.delete(&format!("/tasks/{other}")).await;
    cluster.wait_until(60, "it is gone", async || links().await == 1).await;
    track(&gone).await.expect(200);
    let waiting = "SELECT count(*) FROM item_retries";
    cluster.wait_until(60, "it is not looked for any more", async || cluster.number(waiting).await == 0).await;
    assert_eq!(api.list("/tasks").await.len(), 1);
}
