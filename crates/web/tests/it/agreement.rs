//! What a request says has to agree with itself and with what there is: records that are named, accounts that are used,
//! tasks that are done or not, people who are there once, dates that make sense.

use lockstep_store::access::Role;
use serde_json::{Value, json};

use crate::world::{Answer, World};

fn one(field: &str, rule: &str) -> Vec<(String, String)> {
    vec![(field.to_owned(), rule.to_owned())]
}

/// What an email or an activity is about is there, for whoever writes it. A record that is not there and one that may not
/// be read are told alike; kinds of other systems are theirs.
#[tokio::test]
async fn what_a_record_is_about_is_there() {
    let world = World::new().await;
    let (ann, mailbox) = world.sign_in("ann").await;
    let (bob, _) = world.user("bob").await;
    let time = json!({ "first": "2027-03-31" });
    let queue = world.post("/queues", json!({ "name": "Q", "address": "q@x.test" })).await.expect(201).id();
    let of = async |path: &str, mut body: Value, owner: &str| {
        body["owner_user_id"] = json!(owner);
        world.post(path, body).await.expect(201).id()
    };
    let mail = async |from: &str| world.post("/emails", json!({ "from": { "user_id": from } })).await.expect(201).id();
    let theirs = of("/contacts", json!({ "name": "C" }), &bob).await;
    let ours = [
        ("contact", of("/contacts", json!({ "name": "C" }), &ann).await),
        ("account", of("/accounts", json!({ "name": "A" }), &ann).await),
        ("lead", of("/leads", json!({ "name": "L" }), &ann).await),
        ("task", of("/tasks", json!({ "subject": "T" }), &ann).await),
        ("appointment", of("/appointments", json!({ "subject": "T", "time": time }), &ann).await),
        ("email", mail(&ann).await),
        ("user", ann.clone()),
        ("mailbox", mailbox),
        ("queue", queue),
    ];
    let mut writes = vec![("/emails", json!({ "from": { "user_id": ann } }))];
    for path in ["/tasks", "/phone-calls", "/letters", "/faxes"] {
        writes.push((path, json!({ "subject": "s" })));
    }
    for path in ["/appointments", "/service-activities"] {
        writes.push((path, json!({ "subject": "s", "time": time })));
    }
    let about = |kind: &str, id: &str| json!({ "kind": kind, "id": id });
    for (path, mut body) in writes {
        let mut post = async |role: Role, regarding: Value| -> Answer {
            body["regarding"] = regarding;
            world.call(Some(role), "POST", path, Some(&body), &[]).await
        };
        for (kind, id) in &ours {
            // A user's own things are its own; the queue is one it may read only where a team has it.
            let role = if *kind == "queue" { Role::Administrator } else { Role::User };
            let made = post(role, about(kind, &id.to_uppercase())).await.expect(201);
            assert_eq!(made.body["regarding"], about(kind, id), "{path}");
        }
        let nobody = uuid::Uuid::nil().to_string();
        let mut told = Vec::new();
        for (role, kind, id) in [
            (Role::User, "contact", theirs.as_str()),
            (Role::User, "contact", nobody.as_str()),
            (Role::User, "contact", "4711"),
            (Role::Administrator, "contact", nobody.as_str()),
            (Role::Service, "task", ours[0].1.as_str()),
            (Role::Administrator, "user", theirs.as_str()),
        ] {
            let refused = post(role, about(kind, id)).await.expect(422);
            assert_eq!(refused.complaints(), one("regarding.id", "exists"), "{path} {kind}");
            if kind == "contact" {
                told.push(refused.body["errors"].clone());
            }
        }
        assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
        post(Role::Administrator, about("contact", &theirs)).await.expect(201);
        let foreign = post(Role::User, about("opportunity", "4711")).await.expect(201);
        post(Role::User, about("organisation", "4711")).await.expect(201);
        let path = format!("{path}/{}", foreign.id());
        let patch = async |regarding: Value| {
            world.call(Some(Role::User), "PATCH", &path, Some(&json!({ "regarding": regarding })), &[]).await
        };
        assert_eq!(patch(about("contact", &theirs)).await.expect(422).complaints(), one("regarding.id", "exists"));
        patch(about("contact", &ours[0].1)).await.expect(200);
    }

    // What a record was about may go; the record can be changed nevertheless.
    let gone = world.post("/contacts", json!({ "name": "G" })).await.expect(201).id();
    let task = world.post("/tasks", json!({ "subject": "s", "regarding": about("contact", &gone) })).await.expect(201);
    let email = json!({ "from": { "user_id": ann }, "regarding": about("contact", &gone) });
    let email = world.post("/emails", email).await.expect(201);
    world.delete(&format!("/contacts/{gone}")).await.expect(204);
    for path in [format!("/tasks/{}", task.id()), format!("/emails/{}", email.id())] {
        let left = json!({ "subject": "t", "regarding": about("contact", &gone) });
        assert_eq!(world.patch(&path, left).await.expect(200).body["regarding"], about("contact", &gone));
        world.patch(&path, json!({ "regarding": null })).await.expect(200);
        world.patch(&path, json!({ "regarding": about("contact", &gone) })).await.expect(422);
    }
}

/// C6: an account that may not be used is not kept: what is new of one is refused, and what is there goes with the leave to
/// use it.
#[tokio::test]
async fn c6_an_account_is_kept_where_it_is_used() {
    let world = World::new().await;
    let (_, mailbox) = world.user("ann").await;
    let own = world.profile("own").await;
    let path = format!("/mailboxes/{mailbox}");
    let unused = |fields: &[&str]| fields.iter().map(|field| one(field, "not-used").remove(0)).collect::<Vec<_>>();
    for profile in [Value::Null, json!(own)] {
        if !profile.is_null() {
            world.patch(&path, json!({ "profile_id": profile })).await.expect(200);
        }
        for (given, fields) in [
            (json!({ "login": "l" }), &["login"][..]),
            (json!({ "password": "p" }), &["password"]),
            (json!({ "login": "l", "password": "p", "allow_credentials": false }), &["login", "password"]),
        ] {
            let refused = world.patch(&path, given).await.expect(422);
            assert_eq!(refused.complaints(), unused(fields));
            assert!(refused.body["errors"][0]["remedy"].as_str().unwrap().contains("allow_credentials"));
        }
    }
    let account = json!({ "login": "l", "password": "p", "allow_credentials": true });
    let on = world.patch(&path, account.clone()).await.expect(200).body;
    assert_eq!((&on["login"], &on["password_set"]), (&json!("l"), &json!(true)));
    world.patch(&path, json!({ "login": null, "allow_credentials": false })).await.expect(200);
    for off in [json!({ "allow_credentials": false }), json!({ "allow_credentials": false, "login": "l" })] {
        world.patch(&path, account.clone()).await.expect(200);
        let off = world.patch(&path, off).await.expect(200).body;
        assert_eq!((&off["login"], &off["password_set"]), (&Value::Null, &json!(false)));
        assert_eq!(world.count("SELECT count(*) FROM mailboxes WHERE sealed_secret IS NOT NULL").await, 0);
        let told = "SELECT array_to_string(ARRAY(SELECT unnest(fields) ORDER BY 1), ' ') FROM feed_entries
             WHERE record_kind = 'mailbox' ORDER BY record_version DESC LIMIT 1";
        assert_eq!(world.texts(told).await, ["allow_credentials login password"]);
    }
    let forward = json!({
        "is_forward_mailbox": true, "name": "f", "address": "f@x.test", "profile_id": own, "login": "f", "password": "p",
    });
    assert_eq!(world.post("/mailboxes", forward).await.expect(422).complaints(), unused(&["login", "password"]));
}

/// K7: what one request says of a task is one thing; both members that contradict each other are named.
#[tokio::test]
async fn k7_a_request_does_not_contradict_itself() {
    let world = World::new().await;
    let both = |fields: [&str; 2]| fields.map(|field| (field.to_owned(), "contradiction".to_owned())).to_vec();
    let task = world.post("/tasks", json!({ "subject": "s", "percent_complete": 40 })).await.expect(201).id();
    let path = format!("/tasks/{task}");
    let (past, future) = ("2020-01-01T00:00:00Z", "2199-01-01T00:00:00Z");
    for (said, fields) in [
        (json!({ "state": "completed", "status": "in-progress" }), ["state", "status"]),
        (json!({ "state": "open", "status": "completed" }), ["status", "state"]),
        (json!({ "state": "canceled", "status": "completed" }), ["status", "state"]),
        (json!({ "status": "completed", "percent_complete": 10 }), ["status", "percent_complete"]),
        (json!({ "status": "in-progress", "percent_complete": 100 }), ["percent_complete", "status"]),
        (json!({ "status": "not-started", "percent_complete": 10 }), ["status", "percent_complete"]),
        (json!({ "completed_date": past, "percent_complete": 10 }), ["completed_date", "percent_complete"]),
        (json!({ "state": "completed", "completed_date": future }), ["state", "completed_date"]),
    ] {
        let complaints = both(fields);
        assert_eq!(world.patch(&path, said.clone()).await.expect(422).complaints(), complaints, "{said}");
        let mut new = said.clone();
        new["subject"] = json!("s");
        assert_eq!(world.post("/tasks", new).await.expect(422).complaints(), complaints, "{said}");
    }
    let kept = world.get(&path).await.expect(200).body;
    assert_eq!((&kept["state"], &kept["percent_complete"]), (&json!("open"), &json!(40)));
    // What is said once is followed; what agrees may be said four times.
    assert_eq!(world.patch(&path, json!({ "state": "completed" })).await.expect(200).body["percent_complete"], 100);
    assert_eq!(world.patch(&path, json!({ "status": "waiting" })).await.expect(200).body["state"], "open");
    let whole = json!({ "state": "completed", "status": "completed", "percent_complete": 100, "completed_date": past });
    world.patch(&path, whole).await.expect(200);
    let call = json!({ "subject": "s", "state": "completed", "status": "in-progress" });
    world.post("/phone-calls", call).await.expect(422);
}

/// Whoever is in a list is there once, and the second place is named; another role is another place.
#[tokio::test]
async fn people_are_in_a_list_once() {
    let world = World::new().await;
    let (ann, _) = world.user("ann").await;
    let people = |addresses: &[&str]| json!(addresses.iter().map(|a| json!({ "address": a })).collect::<Vec<_>>());
    let twice = people(&["b@x.test", "c@x.test", "B@X.test"]);
    let appointment =
        |role: &str, list: &Value| json!({ "subject": "s", "time": { "first": "2027-03-31" }, role: list });
    for role in ["organiser", "required_attendees", "optional_attendees"] {
        let refused = world.post("/appointments", appointment(role, &twice)).await.expect(422);
        assert_eq!(refused.complaints(), one(&format!("{role}.2.address"), "value"));
    }
    let mut both = appointment("required_attendees", &people(&["b@x.test"]));
    both["optional_attendees"] = people(&["b@x.test"]);
    world.post("/appointments", both).await.expect(201);
    let series = json!({ "subject": "s", "recurrence": {
        "zone": "UTC", "start": "2027-03-01T09:00:00", "length": { "minutes": 30 }, "count": 3,
        "rule": { "frequency": "daily" },
        "exceptions": [{ "original": "2027-03-02T09:00:00", "fields": { "required_attendees": twice } }],
    } });
    let refused = world.post("/recurring-appointments", series).await.expect(422);
    let place = "recurrence.exceptions.0.fields.required_attendees.2.address";
    assert_eq!(refused.complaints(), one(place, "value"));
    for list in ["to", "cc", "bcc"] {
        let refused = world.post("/emails", json!({ "from": { "user_id": ann }, list: twice })).await.expect(422);
        assert_eq!(refused.complaints(), one(&format!("{list}.2.address"), "duplicate"));
    }
    let lists = json!({ "from": { "user_id": ann }, "to": people(&["b@x.test"]), "cc": people(&["b@x.test"]) });
    let email = world.post("/emails", lists).await.expect(201).id();
    let path = format!("/emails/{email}");
    assert_eq!(
        world.patch(&path, json!({ "to": twice })).await.expect(422).complaints(),
        one("to.2.address", "duplicate")
    );
    world.patch(&path, json!({ "subject": "t" })).await.expect(200);
}

/// C16: dates that would stop everything for years are refused, with the limit in words; appointments may be far away.
#[tokio::test]
async fn c16_dates_far_away_are_refused_where_they_make_no_sense() {
    let world = World::new().await;
    let (_, mailbox) = world.user("ann").await;
    let own = world.profile("own").await;
    let far = "2999-01-01T00:00:00Z";
    for (method, path, body, field) in [
        ("PATCH", format!("/mailboxes/{mailbox}"), json!({ "process_email_from": far }), "process_email_from"),
        (
            "POST",
            format!("/mailboxes/{mailbox}/test-and-enable"),
            json!({ "process_email_from": far }),
            "process_email_from",
        ),
        (
            "PATCH",
            format!("/email-server-profiles/{own}"),
            json!({ "process_emails_from": far }),
            "process_emails_from",
        ),
        ("POST", "/api-keys".to_owned(), json!({ "name": "k", "role": "service", "expires_at": far }), "expires_at"),
    ] {
        let refused = world.call(Some(Role::Administrator), method, &path, Some(&body), &[]).await.expect(422);
        assert_eq!(refused.complaints(), one(field, "too-far-ahead"), "{path}");
        let remedy = refused.body["errors"][0]["remedy"].as_str().unwrap();
        assert!(remedy.contains(" or earlier") && remedy.contains("ahead"), "{remedy}");
    }
    let soon = (lockstep_model::clock::Clock::now(&lockstep_model::clock::SystemClock::default())
        + chrono::TimeDelta::days(300))
    .to_rfc3339();
    world.patch(&format!("/mailboxes/{mailbox}"), json!({ "process_email_from": soon })).await.expect(200);
    for (date, status) in [("2999-01-01", 201), ("4501-01-01", 422), ("1600-12-31", 422)] {
        let appointment = json!({ "subject": "s", "time": { "first": date } });
        let answer = world.post("/appointments", appointment).await.expect(status);
        if status == 422 {
            assert!(answer.body["errors"][0]["remedy"].as_str().unwrap().contains("1601 to 4500"), "{}", answer.body);
        }
    }
}

/// Filters that name a person are found with the person.
#[tokio::test]
async fn filters_that_name_a_person_are_found() {
    let world = World::new().await;
    let filter = |name: &str, condition: Value| json!({ "scope": "system", "record_kind": "appointment", "name": name, "expression": { "all": [condition] } });
    let party = json!({ "attribute": "party", "test": "equals", "value": "Cara@x.test" });
    let subject = |value: &str| json!({ "attribute": "subject", "test": "contains", "value": value });
    for (name, condition) in
        [("a", party), ("b", subject("Cara Kundin")), ("c", subject("Cara")), ("cara@x.test", subject("x"))]
    {
        world.post("/synchronization-filters", filter(name, condition)).await.expect(201);
    }
    let preview = async || world.post("/erasures/preview", json!({ "address": "cara@x.test" })).await.expect(200).body;
    assert_eq!(preview().await["filters"], 2, "nobody knows the name");
    world.post("/contacts", json!({ "name": "Cara Kundin", "address": "cara@x.test" })).await.expect(201);
    assert_eq!(preview().await["filters"], 3);
}
