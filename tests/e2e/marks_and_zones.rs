//! Small rules of synchronised items: the category of deactivated contacts, reminders, and where times are that name no
//! zone.

use chrono::{DateTime, TimeDelta, Utc};
use exchange_sim::{
    clock,
    world::{
        item::{Class, Content, Item},
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

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn categories(item: &Item) -> Vec<String> {
    match item.content.values.get("Categories") {
        Some(There::Strings(names)) => names.clone(),
        _ => Vec::new(),
    }
}

/// K4: the item of a deactivated contact gets the category and loses it when the contact is active again; people's own
/// categories stay, and then nothing is written any more. So for whom inactive contacts are no longer for, and for whom
/// they still are.
#[tokio::test]
async fn k4_items_of_inactive_contacts_are_marked() {
    for everybody in [false, true] {
        let exchange = Exchange::start().await;
        let cluster = Cluster::builder().start().await;
        let api = cluster.api();
        api.patch("/organisation", &json!({ "inactive_category": "Ruht" })).await;
        let same =
            api.send(Method::PATCH, "/organisation", Some(&json!({ "inactive_category": "Tracked to CRM" }))).await;
        assert_eq!((same.status, &same.body["errors"][0]["field"]), (422, &json!("inactive_category")));
        let profile = exchange.profile(&cluster, json!({ "credentials": "mailbox" })).await;
        let (ann, mailbox) = user(&exchange, &cluster, "ann", profile).await;
        if everybody {
            let all = json!({ "user_id": ann, "record_kind": "contact", "name": "all of mine",
                "expression": { "attribute": "owner", "test": "current-user" } });
            api.post("/synchronization-filters", &all).await;
        }
        let contact = json!({ "name": "Vera Lang", "address": "vera@customer.test", "owner_user_id": ann });
        let contact = id(&api.post("/contacts", &contact).await);
        cluster.wait_until(60, "it is there", async || exchange.items(ANN, "contacts").len() == 1).await;
        let there = || exchange.items(ANN, "contacts").remove(0);
        let own: Vec<_> = (0..55).map(|n| format!("own {n}")).collect();
        exchange.change(ANN, there().id, |content| {
            content.values.insert("Categories", There::Strings(own.clone()));
        });
        peace(&exchange, &cluster, &[(mailbox, ANN)]).await;
        assert_eq!(categories(&there()), own);

        api.patch(&format!("/contacts/{contact}"), &json!({ "active": false })).await;
        let marked: Vec<_> = own.iter().cloned().chain(["Ruht".to_owned()]).collect();
        cluster.wait_until(60, "it is marked", async || categories(&there()) == marked).await;
        peace(&exchange, &cluster, &[(mailbox, ANN)]).await;
        assert_eq!(categories(&there()), marked);

        // What a person gives it meanwhile stays.
        let more: Vec<_> = marked.iter().cloned().chain(["later".to_owned()]).collect();
        exchange.change(ANN, there().id, |content| {
            content.values.insert("Categories", There::Strings(more));
        });
        api.patch(&format!("/contacts/{contact}"), &json!({ "active": true })).await;
        let unmarked: Vec<_> = own.iter().cloned().chain(["later".to_owned()]).collect();
        cluster
            .wait_until(60, "it is not marked", async || {
                let now = categories(&there());
                if now == unmarked { Ok(()) } else { Err(format!("{now:?}")) }
            })
            .await;
        peace(&exchange, &cluster, &[(mailbox, ANN)]).await;
        assert_eq!((categories(&there()), exchange.items(ANN, "contacts").len()), (unmarked, 1));
        assert_eq!(api.get(&format!("/contacts/{contact}")).await["active"], true);
    }
}

/// J10: nobody is reminded of appointments older than seven days, nor of free time; else the mailbox's own reminder stands.
#[tokio::test]
async fn j10_what_is_old_or_free_reminds_nobody() {
    let exchange = Exchange::start().await;
    let cluster = Cluster::builder().start().await;
    let profile = exchange.profile(&cluster, json!({ "credentials": "mailbox" })).await;
    let (ann, mailbox) = user(&exchange, &cluster, "ann", profile).await;
    let api = cluster.api();
    let now = clock::now();
    let appointment = async |subject: &str, days: i64, show_as: &str| {
        let local = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%M:%S").to_string();
        let start = now + TimeDelta::days(days);
        let body = json!({ "subject": subject, "owner_user_id": ann, "organiser": [{ "address": ANN }], "show_as": show_as,
            "time": { "start": local(start), "end": local(start + TimeDelta::hours(1)), "zone": "Etc/UTC" } });
        id(&api.post("/appointments", &body).await)
    };
    let busy = appointment("busy", 3, "busy").await;
    for (subject, days, show_as) in [("free", 3, "free"), ("recent", -6, "busy"), ("old", -8, "busy")] {
        appointment(subject, days, show_as).await;
    }
    cluster.wait_until(60, "they are there", async || exchange.items(ANN, "calendar").len() == 4).await;
    let reminds = |subject: &str| exchange.named(ANN, "calendar", subject)[0].content.is("ReminderIsSet");
    let all = || ["busy", "free", "recent", "old"].map(reminds);
    assert_eq!(all(), [true, false, true, false]);
    peace(&exchange, &cluster, &[(mailbox, ANN)]).await;

    // It becomes free; and what a person sets for the others is left alone.
    exchange.change(ANN, exchange.named(ANN, "calendar", "recent")[0].id, |content| {
        content.values.insert("ReminderIsSet", There::Bool(false));
    });
    api.patch(&format!("/appointments/{busy}"), &json!({ "show_as": "free" })).await;
    cluster.wait_until(60, "it reminds nobody", async || !reminds("busy")).await;
    peace(&exchange, &cluster, &[(mailbox, ANN)]).await;
    assert_eq!(all(), [false; 4]);
}

/// J15: what names no zone is where its user is, or where the organisation says: whole days are the days they are there,
/// and hours are those of its clocks. In UTC all of this would be a day earlier or hours off.
#[tokio::test]
async fn j15_times_without_a_zone_are_where_the_user_is() {
    let exchange = Exchange::start().await;
    let cluster = Cluster::builder().start().await;
    let api = cluster.api();
    for (path, zone) in [("/organisation", "Mars/Olympus"), ("/organisation", ""), ("/organisation", "europe")] {
        let refused = api.send(Method::PATCH, path, Some(&json!({ "time_zone": zone }))).await;
        assert_eq!((refused.status, &refused.body["errors"][0]["field"]), (422, &json!("time_zone")), "{zone}");
    }
    assert_eq!(api.get("/organisation").await["time_zone"], "UTC");
    api.patch("/organisation", &json!({ "time_zone": "Asia/Tokyo" })).await;
    let profile = exchange.profile(&cluster, json!({ "credentials": "mailbox" })).await;
    let (ann, mailbox) = user(&exchange, &cluster, "ann", profile).await;
    // The calendar's owner, then who follows the organisation.
    let cases = [
        ("Honolulu", json!("Pacific/Honolulu"), "2027-04-06T10:00:00Z", "2027-04-20T20:00:00Z", "Pacific/Honolulu"),
        ("Tokyo", Value::Null, "2027-04-07T15:00:00Z", "2027-04-22T20:00:00Z", "Asia/Tokyo"),
    ];
    for (n, (subject, zone, day, hour, shown)) in cases.into_iter().enumerate() {
        let changed = api.patch(&format!("/users/{ann}"), &json!({ "time_zone": zone })).await;
        assert_eq!(changed["time_zone"], zone);
        for (what, whole, start, hours) in
            [(format!("{subject} day"), true, instant(day), 24), (format!("{subject} hour"), false, instant(hour), 1)]
        {
            exchange.in_mailbox(ANN, |mailbox| {
                let mut content = Content::new(Class::CalendarItem);
                content.set_text("Subject", &what);
                // A zone of somebody's own making is none that anybody knows.
                content.set_text("StartTimeZone", "Customized Time Zone");
                content.set_text("EndTimeZone", "Customized Time Zone");
                content.values.insert("IsAllDayEvent", There::Bool(whole));
                content.values.insert("Organizer", There::Person(mailbox.owner.clone()));
                content.set_text("MyResponseType", "Organizer");
                content.set_text("UID", format!("uid-{what}"));
                content.values.insert("Start", There::Instant(start));
                content.values.insert("End", There::Instant(start + TimeDelta::hours(hours)));
                content.values.insert("Categories", There::Strings(vec!["Tracked to CRM".to_owned()]));
                mailbox.put(mailbox.home("calendar"), content, clock::now()).unwrap();
            });
        }
        // And one that goes the other way.
        let from_here = ["2027-05-06", "2027-05-10"][n];
        let body = json!({ "subject": format!("{subject} from here"), "owner_user_id": ann,
            "organiser": [{ "address": ANN }], "time": { "first": from_here, "days": 1 } });
        api.post("/appointments", &body).await;
        api.act(&format!("/mailboxes/{mailbox}/sync-now")).await;
        cluster
            .wait_until(60, "all is on both sides", async || {
                let now = (exchange.items(ANN, "calendar").len(), api.list("/appointments").await.len());
                if now == (3 * (n + 1), 3 * (n + 1)) { Ok(()) } else { Err(format!("{now:?}")) }
            })
            .await;
        peace(&exchange, &cluster, &[(mailbox, ANN)]).await;
        let records = api.list("/appointments").await;
        let time = |what: &str| records.iter().find(|row| row["subject"] == what).unwrap()["time"].clone();
        let first = ["2027-04-06", "2027-04-08"][n];
        assert_eq!(time(&format!("{subject} day")), json!({ "first": first, "days": 1 }));
        let hour = time(&format!("{subject} hour"));
        let local = ["2027-04-20T10:00:00", "2027-04-23T05:00:00"][n];
        assert_eq!((&hour["start"], &hour["zone"]), (&json!(local), &json!(shown)));
        let item = exchange.named(ANN, "calendar", &format!("{subject} from here")).remove(0);
        let midnight = at(["2027-05-06T10:00:00Z", "2027-05-09T15:00:00Z"][n]);
        assert_eq!(item.content.values.get("Start"), Some(&midnight), "it begins at midnight there");
    }
    let refused = api.send(Method::PATCH, &format!("/users/{ann}"), Some(&json!({ "time_zone": "Moon" }))).await;
    assert_eq!((refused.status, &refused.body["errors"][0]["rule"]), (422, &json!("time-zone")));
}
