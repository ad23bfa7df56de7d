//! The rules of appointments, contacts and tasks on an Exchange server: who is invited, what leaves, what may flow, and
//! what a death amid all this leaves behind.

use chrono::{DateTime, Utc};
use exchange_sim::{
    clock,
    world::{
        item::{Class, Content, Exception, Item, ItemId},
        meeting::Notice,
    },
};
use lockstep_e2e::{Cluster, Role};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    crash_points::{self, VARIABLE, dies_there, points},
    exchange::{Exchange, id},
    two_way::{ANN, at, quiet, user},
};

const BOB: &str = "bob@exchange.test";
const CUSTOMER: &str = "customer@exchange.test";
const FOLDERS: [&str; 3] = ["contacts", "tasks", "calendar"];

impl Exchange {
    /// The items of a folder with this subject, or contacts with this name.
    pub(crate) fn named(&self, of: &str, folder: &'static str, name: &str) -> Vec<Item> {
        let mut items = self.items(of, folder);
        items.retain(|item| [item.content.text("Subject"), item.content.text("DisplayName")].contains(&name));
        items
    }

    /// The invitations in an inbox, of all meetings.
    fn invitations(&self, of: &str) -> usize {
        self.items(of, "inbox").iter().filter(|item| item.content.class == Class::MeetingRequest).count()
    }

    pub(crate) fn set_text(&self, of: &str, item: ItemId, name: &'static str, text: &str) {
        self.change(of, item, |content| content.set_text(name, text));
    }
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn number_of(rows: &[Value], subject: &str) -> usize {
    rows.iter().filter(|row| row["subject"] == subject).count()
}

/// Nobody changes anything: nobody writes anything, on either side, for two more cycles of each mailbox.
pub(crate) async fn peace(exchange: &Exchange, cluster: &Cluster, mailboxes: &[(Uuid, &str)]) {
    let look = async || {
        let items = mailboxes.iter().flat_map(|(_, of)| FOLDERS.map(|folder| exchange.items(of, folder)));
        let items: Vec<_> = items.flatten().map(|item| (item.id, item.version)).collect();
        let mut records = Vec::new();
        for kind in ["contacts", "tasks", "appointments", "recurring-appointments"] {
            let rows = cluster.api().list(&format!("/{kind}")).await;
            records.extend(rows.iter().map(|row| format!("{} {}", row["id"], row["version"])));
        }
        (items, records)
    };
    let all = async |cycles| {
        for (mailbox, of) in mailboxes {
            cluster.wait_until(60, &format!("{of} is quiet"), async || quiet(cluster, *mailbox, cycles).await).await;
        }
    };
    all(2).await;
    let before = look().await;
    all(4).await;
    assert_eq!(look().await, before);
}

/// N10: a mailbox worker that dies when steps on the server are written down, or done and not yet recorded: there is one
/// item of each record, linked, and one invitation.
#[tokio::test]
async fn n10_a_worker_that_dies_amid_its_steps_doubles_nothing() {
    let exchange = Exchange::start().await;
    let cluster = crash_points::builder().start().await;
    let profile = exchange.profile(&cluster, json!({ "credentials": "mailbox" })).await;
    let (ann, mailbox) = user(&exchange, &cluster, "ann", profile).await;
    let api = cluster.api();
    for (n, point) in points("items.").into_iter().enumerate() {
        cluster.wait_until(60, "it is quiet", async || quiet(&cluster, mailbox, 1).await).await;
        cluster.kill(Role::MailboxWorker).await;
        let contact = json!({ "name": point, "address": format!("{point}@customer.test"), "owner_user_id": ann,
            "full_name": { "last": point } });
        let contact = id(&api.post("/contacts", &contact).await);
        let task = id(&api.post("/tasks", &json!({ "subject": point, "owner_user_id": ann })).await);
        let appointment = json!({
            "subject": point, "owner_user_id": ann, "organiser": [{ "address": ANN }],
            "required_attendees": [{ "address": CUSTOMER }],
            "time": { "start": "2027-03-02T09:00:00", "end": "2027-03-02T10:00:00", "zone": "Europe/Berlin" },
        });
        let appointment = id(&api.post("/appointments", &appointment).await);
        dies_there(&cluster.spawn(Role::MailboxWorker, &[(VARIABLE, point)]), point).await;
        cluster.start(Role::MailboxWorker).await;

        let links = i64::try_from(3 * (n + 1)).unwrap();
        cluster
            .wait_until(60, &format!("{point}: all is linked"), async || {
                let linked = "SELECT count(*) FROM links WHERE unlinked IS NULL";
                let intents = cluster.number("SELECT count(*) FROM intents").await;
                let found = cluster.number(linked).await;
                if (found, intents) == (links, 0) { Ok(()) } else { Err(format!("{found} links, {intents} intents")) }
            })
            .await;
        let counts = || FOLDERS.map(|folder| exchange.items(ANN, folder).len());
        assert_eq!(counts(), [n + 1; 3], "{point}");
        let invited = exchange.items(CUSTOMER, "inbox").into_iter();
        let invited = invited.filter(|item| item.content.text("Subject") == point).count();
        assert_eq!((invited, exchange.items(CUSTOMER, "calendar").len()), (1, n + 1), "{point}");

        // What is changed later flows, both ways.
        let later = format!("{point} later");
        api.patch(&format!("/tasks/{task}"), &json!({ "subject": later })).await;
        api.patch(&format!("/appointments/{appointment}"), &json!({ "subject": later })).await;
        exchange.set_text(ANN, exchange.named(ANN, "contacts", point)[0].id, "JobTitle", "Buyer");
        api.act(&format!("/mailboxes/{mailbox}/sync-now")).await;
        cluster
            .wait_until(60, &format!("{point}: changes flow"), async || {
                exchange.named(ANN, "tasks", &later).len() == 1
                    && exchange.named(ANN, "calendar", &later).len() == 1
                    && api.get(&format!("/contacts/{contact}")).await["job_title"] == "Buyer"
            })
            .await;
        assert_eq!(counts(), [n + 1; 3], "{point}");
    }
    peace(&exchange, &cluster, &[(mailbox, ANN)]).await;
    for kind in ["contacts", "tasks", "appointments"] {
        assert_eq!(api.list(&format!("/{kind}")).await.len(), 2, "{kind}");
    }
}

/// J3, J4, J13: a meeting is in the calendars of its organiser and of those invited once, and is one record; a draft is
/// nowhere; without an organiser there is an alert until one is named.
#[tokio::test]
async fn j3_j4_j13_a_meeting_is_one_record_whoever_takes_part() {
    let exchange = Exchange::start().await;
    let cluster = Cluster::builder().start().await;
    let profile = exchange.profile(&cluster, json!({ "credentials": "mailbox" })).await;
    let (ann, of_ann) = user(&exchange, &cluster, "ann", profile).await;
    let (_, of_bob) = user(&exchange, &cluster, "bob", profile).await;
    let api = cluster.api();
    let time = json!({ "start": "2027-03-02T09:00:00", "end": "2027-03-02T10:00:00", "zone": "Europe/Berlin" });
    let meeting = json!({
        "subject": "Review", "owner_user_id": ann, "time": time, "organiser": [{ "address": ANN }],
        "required_attendees": [{ "address": BOB }],
    });
    let record = id(&api.post("/appointments", &meeting).await);
    let mut draft = meeting.clone();
    draft["subject"] = json!("Draft");
    draft["draft"] = json!(true);
    let draft = id(&api.post("/appointments", &draft).await);
    let nobodys = json!({ "subject": "Nobody's", "owner_user_id": ann, "time": time, "required_attendees": [{ "address": ANN }] });
    let nobodys = id(&api.post("/appointments", &nobodys).await);

    let both = async |name: &str| {
        for mailbox in [of_ann, of_bob] {
            api.act(&format!("/mailboxes/{mailbox}/sync-now")).await;
        }
        [ANN, BOB].map(|of| exchange.named(of, "calendar", name).len()) == [1, 1]
    };
    cluster.wait_until(60, "it is in both calendars", async || both("Review").await).await;
    cluster
        .wait_until(60, "both are linked with the record", async || {
            both("Review").await;
            cluster.number("SELECT count(*) FROM links WHERE unlinked IS NULL").await == 2
        })
        .await;
    let items = || [ANN, BOB].map(|of| exchange.named(of, "calendar", "Review").remove(0));
    let uids = items().map(|item| item.content.text("UID").to_owned());
    assert_eq!(uids[0], uids[1]);
    assert_eq!(cluster.number("SELECT count(DISTINCT record_id) FROM links").await, 1);
    assert_eq!(exchange.invitations(BOB), 1);
    assert_eq!(exchange.invitations(ANN), 0);

    // The alert, and the draft that is nowhere.
    let unsynchronised = async || {
        let alerts = api.alerts().await.into_iter().filter(|alert| alert["code"] == "ItemNotSynchronized");
        alerts.map(|alert| alert.to_string()).collect::<Vec<_>>()
    };
    cluster.wait_until(60, "the alert is there", async || !unsynchronised().await.is_empty()).await;
    let alerts = unsynchronised().await;
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert!(
        alerts[0].contains("AppointmentWithoutOrganiser") && alerts[0].contains(&nobodys.to_string()),
        "{alerts:?}"
    );
    for of in [ANN, BOB] {
        assert!(
            exchange.named(of, "calendar", "Draft").is_empty() && exchange.named(of, "calendar", "Nobody's").is_empty()
        );
    }
    api.patch(
        &format!("/appointments/{nobodys}"),
        &json!({ "organiser": [{ "address": ANN }], "required_attendees": [] }),
    )
    .await;
    api.patch(&format!("/appointments/{draft}"), &json!({ "draft": false })).await;
    cluster
        .wait_until(60, "both are synchronised now", async || {
            let named = exchange.named(ANN, "calendar", "Nobody's").len();
            both("Draft").await && named == 1 && unsynchronised().await.is_empty()
        })
        .await;
    assert_eq!(exchange.invitations(BOB), 2);

    // The organiser moves the meeting and tells of it, as her mail client does.
    let change = |content: &mut Content| {
        content.values.insert("Start", at("2027-03-02T13:00:00Z"));
        content.values.insert("End", at("2027-03-02T14:00:00Z"));
    };
    exchange.change(ANN, items()[0].id, change);
    {
        let moved = items()[0].content.clone();
        let mut state = exchange.server.state();
        let number = state.world.find(ANN).unwrap();
        state.world.notify(number, &moved, Notice::Request, clock::now()).unwrap();
    }
    for mailbox in [of_bob, of_ann] {
        api.act(&format!("/mailboxes/{mailbox}/sync-now")).await;
    }
    cluster
        .wait_until(60, "the record follows", async || {
            api.get(&format!("/appointments/{record}")).await["starts_at"] == "2027-03-02T13:00:00Z"
        })
        .await;
    // Who is only invited changes nothing for the others.
    exchange.set_text(BOB, items()[1].id, "Location", "My desk");
    peace(&exchange, &cluster, &[(of_ann, ANN), (of_bob, BOB)]).await;
    assert!(api.get(&format!("/appointments/{record}")).await.get("location").is_none_or(Value::is_null));
    assert_eq!(exchange.invitations(BOB), 3, "hers, and none of ours");
    let records = api.list("/appointments").await;
    assert_eq!((records.len(), number_of(&records, "Review")), (3, 1));
    assert_eq!([ANN, BOB].map(|of| exchange.items(of, "calendar").len()), [3, 2]);

    // Moved in the CRM: those invited hear of it once.
    let time = json!({ "start": "2027-03-03T09:00:00", "end": "2027-03-03T10:00:00", "zone": "Europe/Berlin" });
    api.patch(&format!("/appointments/{record}"), &json!({ "time": time })).await;
    let start = || items().map(|item| item.content.instant("Start").unwrap().to_rfc3339());
    let later = ["2027-03-03T08:00:00+00:00"; 2];
    cluster.wait_until(60, "it is moved in both calendars", async || start() == later).await;
    peace(&exchange, &cluster, &[(of_ann, ANN), (of_bob, BOB)]).await;
    assert_eq!(exchange.invitations(BOB), 4);
}

/// J7: a series with a moved and a cancelled occurrence round-trips, and so do those moved and deleted on the server.
#[tokio::test]
async fn j7_a_series_and_its_exceptions_round_trip() {
    let exchange = Exchange::start().await;
    let cluster = Cluster::builder().start().await;
    let profile = exchange.profile(&cluster, json!({ "credentials": "mailbox" })).await;
    let (ann, mailbox) = user(&exchange, &cluster, "ann", profile).await;
    let api = cluster.api();
    let recurrence = json!({
        "zone": "Europe/Berlin", "start": "2027-03-01T09:00:00", "length": { "minutes": 30 }, "count": 10,
        "rule": { "frequency": "weekly", "every": 1, "days": ["monday"], "week_start": "monday" },
        "exceptions": [
            { "original": "2027-03-08T09:00:00", "cancelled": true },
            { "original": "2027-03-15T09:00:00", "start": "2027-03-16T14:00:00", "length": { "minutes": 60 } },
        ],
    });
    let series = json!({
        "subject": "Weekly", "owner_user_id": ann, "organiser": [{ "address": ANN }], "recurrence": recurrence,
    });
    let series = id(&api.post("/recurring-appointments", &series).await);
    let path = format!("/recurring-appointments/{series}");
    let there = || exchange.items(ANN, "calendar").remove(0);
    let starts = || {
        let one = there();
        let all = one.occurrences(instant("2027-03-01T00:00:00Z"), instant("2027-06-01T00:00:00Z"));
        all.iter().map(|one| one.start.format("%m-%dT%H:%M").to_string()).collect::<Vec<_>>()
    };
    let mut expected = vec![
        "03-01T08:00",
        "03-16T13:00",
        "03-22T08:00",
        "03-29T07:00",
        "04-05T07:00",
        "04-12T07:00",
        "04-19T07:00",
        "04-26T07:00",
        "05-03T07:00",
    ];
    cluster
        .wait_until(60, "the series is there with its exceptions", async || {
            if exchange.items(ANN, "calendar").is_empty() {
                return Err(Vec::new());
            }
            let found = starts();
            if found == expected { Ok(()) } else { Err(found) }
        })
        .await;
    assert_eq!(there().exceptions.get(&instant("2027-03-08T08:00:00Z")), Some(&Exception::Deleted));

    // One is moved and one deleted in the mailbox.
    exchange.in_mailbox(ANN, |mailbox| {
        let id = mailbox.items_in(mailbox.home("calendar"))[0];
        let change = |content: &mut Content| {
            content.values.insert("Start", at("2027-03-22T10:00:00Z"));
            content.values.insert("End", at("2027-03-22T10:30:00Z"));
            Ok(())
        };
        mailbox.change_occurrence(id, instant("2027-03-22T08:00:00Z"), clock::now(), change).unwrap();
        mailbox.delete_occurrence(id, instant("2027-04-05T07:00:00Z"), clock::now()).unwrap();
    });
    api.act(&format!("/mailboxes/{mailbox}/sync-now")).await;
    let exceptions = async || {
        let record = api.get(&path).await;
        let all = record["recurrence"]["exceptions"].as_array().cloned().unwrap_or_default();
        let word = |one: &Value| if one["cancelled"] == true { "none".into() } else { one["start"].clone() };
        all.iter().map(|one| format!("{} {}", one["original"], word(one)).replace('"', "")).collect::<Vec<_>>()
    };
    let mut known = vec![
        "2027-03-08T09:00:00 none",
        "2027-03-15T09:00:00 2027-03-16T14:00:00",
        "2027-03-22T09:00:00 2027-03-22T11:00:00",
        "2027-04-05T09:00:00 none",
    ];
    cluster
        .wait_until(60, "the record has them", async || {
            let found = exceptions().await;
            if found == known { Ok(()) } else { Err(found) }
        })
        .await;
    (expected[2], known[2]) = ("03-22T10:00", "2027-03-22T09:00:00 2027-03-22T11:00:00");
    expected.remove(4);
    peace(&exchange, &cluster, &[(mailbox, ANN)]).await;
    assert_eq!(starts(), expected);

    // And one more is moved in the CRM.
    let mut after = api.get(&path).await["recurrence"].clone();
    let moved = json!({ "original": "2027-05-03T09:00:00", "start": "2027-05-04T09:00:00" });
    after["exceptions"].as_array_mut().unwrap().push(moved);
    api.patch(&path, &json!({ "recurrence": after })).await;
    *expected.last_mut().unwrap() = "05-04T07:00";
    cluster
        .wait_until(60, "it is moved on the server", async || {
            let found = starts();
            if found == expected { Ok(()) } else { Err(found) }
        })
        .await;
    known.push("2027-05-03T09:00:00 2027-05-04T09:00:00");
    peace(&exchange, &cluster, &[(mailbox, ANN)]).await;
    assert_eq!(
        (starts(), exceptions().await),
        (expected.iter().map(ToString::to_string).collect(), known.iter().map(ToString::to_string).collect())
    );
    assert_eq!((exchange.items(ANN, "calendar").len(), api.list("/recurring-appointments").await.len()), (1, 1));
    assert!(api.list("/appointments").await.is_empty());
}

/// K5: a contact that is given to somebody else changes mailboxes. L8, L9: one that leaves the filters, or may no longer
/// be read, stays and is no longer kept in step until it comes back; with the switch it goes.
#[tokio::test]
async fn k5_l8_l9_contacts_that_come_and_go() {
    let exchange = Exchange::start().await;
    let cluster = Cluster::builder().start().await;
    let profile = exchange.profile(&cluster, json!({ "credentials": "mailbox" })).await;
    let (ann, of_ann) = user(&exchange, &cluster, "ann", profile).await;
    let (bob, of_bob) = user(&exchange, &cluster, "bob", profile).await;
    let api = cluster.api();
    let contact = async |name: &str, owner: Uuid| {
        let body = json!({ "name": name, "address": format!("{name}@customer.test"), "owner_user_id": owner,
            "full_name": { "last": name }, "job_title": "Buyer" });
        id(&api.post("/contacts", &body).await)
    };
    let counts = |name: &str| [ANN, BOB].map(|of| exchange.named(of, "contacts", name).len());
    let given = contact("Given", ann).await;
    cluster.wait_until(60, "it is with Ann", async || counts("Given") == [1, 0]).await;
    api.patch(&format!("/contacts/{given}"), &json!({ "owner_user_id": bob })).await;
    cluster.wait_until(60, "it is with Bob alone", async || counts("Given") == [0, 1]).await;

    // Ann wants buyers, whosever they are.
    for filter in api.list(&format!("/synchronization-filters?user={ann}&record_kind=contact")).await {
        api.delete(&format!("/synchronization-filters/{}", id(&filter))).await;
    }
    let expression = json!({ "attribute": "job_title", "test": "contains", "value": "buyer" });
    let filter = json!({ "user_id": ann, "record_kind": "contact", "name": "Buyers", "expression": expression });
    api.post("/synchronization-filters", &filter).await;
    let privilege = json!({ "record_kind": "contact", "privilege": "read", "depth": "all" });
    let role = json!({ "name": "Reads contacts", "privileges": [privilege] });
    let role = id(&api.post("/security-roles", &role).await);
    let (left, lost) = (contact("Left", ann).await, contact("Lost", bob).await);
    let assigned = format!("/users/{ann}/security-roles/{role}");
    api.send(Method::PUT, &assigned, None).await.expect(204);
    cluster
        .wait_until(60, "both are with Ann", async || {
            let now = (counts("Left"), counts("Lost"), counts("Given"));
            if now == ([1, 0], [1, 1], [1, 1]) { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await;
    api.patch(&format!("/contacts/{left}"), &json!({ "job_title": "Seller" })).await;
    api.send(Method::DELETE, &assigned, None).await.expect(204);
    // Of the two that may no longer be read, and the one that is no buyer.
    let gone = async || cluster.number("SELECT count(*) FROM links WHERE unlinked = 'left-filters'").await;
    cluster.wait_until(60, "three are unlinked", async || gone().await == 3).await;
    for id in [left, lost] {
        api.patch(&format!("/contacts/{id}"), &json!({ "department": "Office" })).await;
    }
    let department =
        |of: &str, name: &str| exchange.named(of, "contacts", name)[0].content.text("Department").to_owned();
    cluster.wait_until(60, "Bob has it", async || department(BOB, "Lost") == "Office").await;
    peace(&exchange, &cluster, &[(of_ann, ANN), (of_bob, BOB)]).await;
    assert_eq!((department(ANN, "Left"), department(ANN, "Lost")), (String::new(), String::new()));
    assert_eq!((counts("Left"), counts("Lost"), counts("Given")), ([1, 0], [1, 1], [1, 1]), "they stay");

    // They come back.
    api.patch(&format!("/contacts/{left}"), &json!({ "job_title": "Head buyer" })).await;
    api.send(Method::PUT, &assigned, None).await.expect(204);
    cluster
        .wait_until(60, "they are kept in step again", async || {
            let now = (department(ANN, "Left"), department(ANN, "Lost"));
            if now == ("Office".to_owned(), "Office".to_owned()) { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await;
    assert_eq!((counts("Left"), counts("Lost"), counts("Given")), ([1, 0], [1, 1], [1, 1]), "none twice");
    exchange.set_text(ANN, exchange.named(ANN, "contacts", "Left")[0].id, "Department", "Shop");
    api.act(&format!("/mailboxes/{of_ann}/sync-now")).await;
    cluster
        .wait_until(60, "also from the server", async || {
            api.get(&format!("/contacts/{left}")).await["department"] == "Shop"
        })
        .await;

    // With the switch, what leaves goes; but not from its owner's mailbox.
    api.patch("/organisation", &json!({ "leaving_deletes": true })).await;
    for id in [left, lost] {
        api.patch(&format!("/contacts/{id}"), &json!({ "job_title": "Seller" })).await;
    }
    cluster.wait_until(60, "Bob's is gone from Ann", async || counts("Lost") == [0, 1]).await;
    peace(&exchange, &cluster, &[(of_ann, ANN), (of_bob, BOB)]).await;
    assert_eq!((counts("Left"), counts("Lost"), counts("Given")), ([1, 0], [0, 1], [1, 1]));
    assert_eq!(api.list("/contacts").await.len(), 3, "no record was deleted");
}

/// L14: what the mailbox's user may not read never reaches the server; what may not be written is put back there.
#[tokio::test]
async fn l14_secured_fields_are_respected() {
    let exchange = Exchange::start().await;
    let cluster = Cluster::builder().start().await;
    let profile = exchange.profile(&cluster, json!({ "credentials": "mailbox" })).await;
    let api = cluster.api();
    for field in ["job_title", "department"] {
        api.send(Method::PUT, &format!("/secured-fields/contact/{field}"), None).await.expect(204);
    }
    let (ann, mailbox) = user(&exchange, &cluster, "ann", profile).await;
    let field = json!({ "record_kind": "contact", "field": "department", "read": true, "write": false });
    let role = id(&api.post("/security-roles", &json!({ "name": "Departments", "fields": [field] })).await);
    api.send(Method::PUT, &format!("/users/{ann}/security-roles/{role}"), None).await.expect(204);
    let contact = json!({ "name": "Vera", "address": "vera@customer.test", "owner_user_id": ann,
        "full_name": { "last": "Vera" }, "job_title": "Secret", "department": "Office", "nickname": "V" });
    let contact = format!("/contacts/{}", id(&api.post("/contacts", &contact).await));
    cluster.wait_until(60, "it is there", async || exchange.items(ANN, "contacts").len() == 1).await;
    let there = || exchange.items(ANN, "contacts").remove(0);
    assert_eq!(there().content.text("Department"), "Office");

    exchange.change(ANN, there().id, |content| {
        content.set_text("Department", "Own word");
        content.set_text("Nickname", "Vee");
    });
    api.act(&format!("/mailboxes/{mailbox}/sync-now")).await;
    cluster
        .wait_until(60, "the one is put back, the other taken", async || {
            there().content.text("Department") == "Office" && api.get(&contact).await["nickname"] == "Vee"
        })
        .await;
    assert_eq!(api.get(&contact).await["department"], "Office");
    // What the user writes where nothing may be read stays in the mailbox.
    exchange.set_text(ANN, there().id, "JobTitle", "Guess");
    peace(&exchange, &cluster, &[(mailbox, ANN)]).await;
    assert_eq!((there().content.text("JobTitle"), &api.get(&contact).await["job_title"]), ("Guess", &json!("Secret")));
    // Somebody who may writes them.
    api.patch(&contact, &json!({ "department": "Shop", "job_title": "More secret" })).await;
    cluster.wait_until(60, "what may be read follows", async || there().content.text("Department") == "Shop").await;
    peace(&exchange, &cluster, &[(mailbox, ANN)]).await;
    assert_eq!(
        (there().content.text("JobTitle"), &api.get(&contact).await["job_title"]),
        ("Guess", &json!("More secret"))
    );
}

/// K8: an item deleted at once takes its record along; many deletions wait for a person: an emptied folder deletes none.
#[tokio::test]
async fn k8_an_emptied_folder_deletes_no_record() {
    let exchange = Exchange::start().await;
    let cluster = Cluster::builder().start().await;
    let profile = exchange.profile(&cluster, json!({ "credentials": "mailbox" })).await;
    let (ann, mailbox) = user(&exchange, &cluster, "ann", profile).await;
    let api = cluster.api();
    // Deleted as soon as it is there, before any listing can have shown it: no listing will ever tell of its end.
    api.post("/tasks", &json!({ "subject": "Fleeting", "owner_user_id": ann })).await;
    let links = async || cluster.number("SELECT count(*) FROM links").await;
    cluster.wait_until(60, "it is linked", async || links().await == 1).await;
    exchange.in_mailbox(ANN, |mailbox| {
        let item = mailbox.items_in(mailbox.home("tasks"))[0];
        mailbox.remove(item, clock::now()).unwrap();
    });
    api.act(&format!("/mailboxes/{mailbox}/sync-now")).await;
    cluster.wait_until(60, "its record goes too", async || api.list("/tasks").await.is_empty()).await;

    for number in 0..30 {
        api.post("/tasks", &json!({ "subject": format!("Task {number}"), "owner_user_id": ann })).await;
    }
    let linked = async || cluster.number("SELECT count(*) FROM links WHERE settled_record IS NOT NULL").await;
    cluster.wait_until(60, "all are linked", async || linked().await == 30).await;
    exchange.in_mailbox(ANN, |mailbox| {
        for item in mailbox.items_in(mailbox.home("tasks")) {
            mailbox.remove(item, clock::now()).unwrap();
        }
    });
    api.act(&format!("/mailboxes/{mailbox}/sync-now")).await;
    let codes = async || api.alert_codes().await;
    let held = |codes: &[String]| codes.iter().any(|code| code == "DeletionsHeld");
    cluster.wait_until(60, "they are held", async || held(&codes().await)).await;
    assert_eq!(api.list("/tasks").await.len(), 30);
    assert!(exchange.items(ANN, "tasks").is_empty(), "nor is anything made anew");
}
