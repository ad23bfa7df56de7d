//! Whole days, and how a time is shown, on both sides.

use exchange_sim::{
    clock,
    world::{
        item::{Class, Content},
        value::Value as There,
    },
};
use lockstep_e2e::Cluster;
use serde_json::{Value, json};

use crate::{
    exchange::{Exchange, id},
    two_way::{ANN, at, user},
    two_way_rules::peace,
};

/// J15: a whole day is the same day on both sides, in whatever zone. J8: how a time is shown.
#[tokio::test]
async fn j8_j15_whole_days_and_how_a_time_is_shown() {
    let exchange = Exchange::start().await;
    let cluster = Cluster::builder().start().await;
    let profile = exchange.profile(&cluster, json!({ "credentials": "mailbox" })).await;
    let (ann, mailbox) = user(&exchange, &cluster, "ann", profile).await;
    let api = cluster.api();
    let appointment = async |subject: &str, time: Value, show_as: &str| {
        let body = json!({ "subject": subject, "owner_user_id": ann, "organiser": [{ "address": ANN }], "time": time,
            "show_as": show_as });
        id(&api.post("/appointments", &body).await)
    };
    let hour = json!({ "start": "2027-03-02T09:00:00", "end": "2027-03-02T10:00:00", "zone": "Europe/Berlin" });
    let table = [
        ("free", "Free"),
        ("tentative", "Tentative"),
        ("busy", "Busy"),
        ("out-of-office", "OOF"),
        ("working-elsewhere", "WorkingElsewhere"),
    ];
    let mut shown = Vec::new();
    for (word, _) in table {
        shown.push(appointment(word, hour.clone(), word).await);
    }
    let whole = appointment("Fair", json!({ "first": "2027-03-02", "days": 2 }), "free").await;
    // Days made in mailboxes of people in three zones.
    let zones = [
        ("W. Europe Standard Time", "2027-04-05T22:00:00Z", "2027-04-06T22:00:00Z"),
        ("Pacific Standard Time", "2027-04-06T07:00:00Z", "2027-04-07T07:00:00Z"),
        ("Tokyo Standard Time", "2027-04-05T15:00:00Z", "2027-04-06T15:00:00Z"),
    ];
    for (zone, start, end) in zones {
        exchange.in_mailbox(ANN, |mailbox| {
            let mut content = Content::new(Class::CalendarItem);
            content.set_text("Subject", zone);
            for name in ["StartTimeZone", "EndTimeZone"] {
                content.set_text(name, zone);
            }
            content.values.insert("IsAllDayEvent", There::Bool(true));
            content.values.insert("Organizer", There::Person(mailbox.owner.clone()));
            content.set_text("MyResponseType", "Organizer");
            content.set_text("LegacyFreeBusyStatus", "Free");
            content.set_text("UID", format!("uid-{zone}"));
            content.values.insert("Start", at(start));
            content.values.insert("End", at(end));
            content.values.insert("Categories", There::Strings(vec!["Tracked to CRM".to_owned()]));
            mailbox.put(mailbox.home("calendar"), content, clock::now()).unwrap();
        });
    }
    api.act(&format!("/mailboxes/{mailbox}/sync-now")).await;
    cluster
        .wait_until(60, "all is on both sides", async || {
            let now = (exchange.items(ANN, "calendar").len(), api.list("/appointments").await.len());
            if now == (9, 9) { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await;
    peace(&exchange, &cluster, &[(mailbox, ANN)]).await;
    let records = api.list("/appointments").await;
    for (zone, ..) in zones {
        let record = records.iter().find(|record| record["subject"] == zone).unwrap();
        assert_eq!(record["time"], json!({ "first": "2027-04-06", "days": 1 }), "{zone}");
    }
    let fair = exchange.named(ANN, "calendar", "Fair").remove(0);
    assert!(fair.content.is("IsAllDayEvent"));
    let zone = fair.content.zone();
    let local = |name: &str| fair.content.instant(name).unwrap().with_timezone(&zone).naive_local().to_string();
    assert_eq!((local("Start"), local("End")), ("2027-03-02 00:00:00".to_owned(), "2027-03-04 00:00:00".to_owned()));
    let status = |name: &str| exchange.named(ANN, "calendar", name)[0].content.text("LegacyFreeBusyStatus").to_owned();
    for (word, there) in table {
        assert_eq!(status(word), there);
    }

    // A day later in the mailbox; and every status the next one there.
    exchange.change(ANN, fair.id, |content| {
        for name in ["Start", "End"] {
            let later = content.instant(name).unwrap() + chrono::TimeDelta::days(1);
            content.values.insert(name, There::Instant(later));
        }
    });
    for (n, (word, _)) in table.iter().enumerate() {
        let item = exchange.named(ANN, "calendar", word)[0].id;
        exchange.set_text(ANN, item, "LegacyFreeBusyStatus", table[(n + 1) % 5].1);
    }
    api.act(&format!("/mailboxes/{mailbox}/sync-now")).await;
    cluster
        .wait_until(60, "the records follow", async || {
            let mut found = vec![api.get(&format!("/appointments/{whole}")).await["time"].clone()];
            for record in &shown {
                found.push(api.get(&format!("/appointments/{record}")).await["show_as"].clone());
            }
            let mut expected = vec![json!({ "first": "2027-03-03", "days": 2 })];
            expected.extend((0..5).map(|n| json!(table[(n + 1) % 5].0)));
            if found == expected { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
    // What is over and done is free time.
    api.patch(&format!("/appointments/{}", shown[1]), &json!({ "state": "completed" })).await;
    cluster.wait_until(60, "it is free", async || status("tentative") == "Free").await;
    peace(&exchange, &cluster, &[(mailbox, ANN)]).await;
}
