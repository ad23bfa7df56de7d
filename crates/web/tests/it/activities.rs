//! Tasks, phone calls, letters, faxes, appointments and series: one shape, each with the fields and rules of its kind.

use lockstep_store::access::Role;
use serde_json::{Value, json};

use crate::world::{Answer, World};

fn time() -> Value {
    json!({ "start": "2027-03-31T09:00:00", "end": "2027-03-31T10:30:00", "zone": "Europe/Berlin" })
}

fn series() -> Value {
    json!({
        "zone": "Europe/Berlin",
        "start": "2027-03-01T09:00:00",
        "length": { "minutes": 30 },
        "rule": { "frequency": "weekly", "every": 1, "days": ["monday", "thursday"], "week_start": "monday" },
        "count": 10,
        "exceptions": [
            { "original": "2027-03-04T09:00:00", "cancelled": true },
            { "original": "2027-03-08T09:00:00", "start": "2027-03-09T14:00:00", "length": { "minutes": 60 },
              "fields": { "location": "Room 2" } },
        ],
    })
}

fn task() -> Value {
    json!({
        "subject": "Call back",
        "description": "Two\nlines",
        "start_date": "2027-03-01T08:00:00Z",
        "due_date": "2027-03-05T15:00:00Z",
        "importance": "high",
        "status": "in-progress",
        "regarding": { "kind": "opportunity", "id": "4711" },
    })
}

fn appointment() -> Value {
    json!({
        "subject": "Review",
        "location": "Room 1",
        "time": time(),
        "show_as": "busy",
        "organiser": [{ "address": "ann@own.test", "name": "Ann" }],
        "required_attendees": [{ "address": "bob@x.test", "name": "Bob" }, { "address": "cem@x.test" }],
        "optional_attendees": [{ "address": "dora@x.test" }],
    })
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

fn kinds() -> [(&'static str, Value, &'static str); 7] {
    let recurring = json!({ "subject": "Weekly", "recurrence": series() });
    [
        ("tasks", with(task(), "percent_complete", json!(40)), "task"),
        ("phone-calls", task(), "phone-call"),
        ("letters", task(), "letter"),
        ("faxes", task(), "fax"),
        ("appointments", appointment(), "appointment"),
        ("recurring-appointments", recurring, "recurring-appointment"),
        ("service-activities", appointment(), "service-activity"),
    ]
}

/// Made, read, listed, changed, found by the caller's id and removed; what was written is what is read, and the feed tells
/// of each write.
#[tokio::test]
async fn every_kind_lives_through_the_api() {
    let world = World::new().await;
    let mut told = Vec::new();
    for (plural, body, kind) in kinds() {
        let path = format!("/{plural}/by-external-id/erp/{plural}");
        let put = async |body: &Value| world.call(Some(Role::Service), "PATCH", &path, Some(body), &[]).await;
        let made = put(&body).await.expect(201);
        let read = world.get(&format!("/{plural}/{}", made.id())).await.expect(200);
        assert_eq!(read.body, made.body);
        for (name, value) in body.as_object().unwrap() {
            assert_eq!(&read.body[name], value, "{plural}: {name}");
        }
        assert_eq!((&read.body["state"], &read.body["source"]), (&json!("open"), &json!("erp")));
        assert_eq!(put(&body).await.expect(200).etag(), made.etag(), "the same again is no change");
        let changed = put(&json!({ "subject": "Other", "importance": "low" })).await.expect(200);
        assert_eq!((changed.etag().as_str(), &changed.body["subject"]), ("\"2\"", &json!("Other")));
        let cleared = put(&json!({ "importance": null })).await.expect(200);
        assert!(cleared.body.get("importance").is_none(), "{}", cleared.body);
        assert_eq!(world.get(&path).await.expect(200).body, cleared.body);
        let one = format!("/{plural}/{}", made.id());
        let stale = [("if-match", "\"2\"")];
        world.call(Some(Role::Service), "PATCH", &one, Some(&json!({ "subject": "X" })), &stale).await.expect(412);
        let listed = world.get(&format!("/{plural}?state=open")).await.expect(200).body;
        assert_eq!(listed["items"], json!([cleared.body]));
        assert_eq!(world.get(&format!("/{plural}?state=completed")).await.expect(200).body["items"], json!([]));
        world.get(&format!("/{plural}?state=done")).await.expect(422);
        world.delete(&one).await.expect(204);
        world.get(&one).await.expect(404);
        told.extend(["created", "updated", "updated", "deleted"].map(|change| format!("{kind} {change}")));
    }
    let all = "SELECT record_kind || ' ' || change FROM feed_entries WHERE record_kind <> 'organisation'
         ORDER BY changed_at, record_version";
    assert_eq!(world.texts(all).await, told);
}

/// J15: an appointment is at an instant by its own zone; whole days are days everywhere. J7: a series ends with its last
/// occurrence.
#[tokio::test]
async fn j15_j7_instants_are_derived() {
    let world = World::new().await;
    let at = async |plural: &str, body: Value| {
        let made = world.post(&format!("/{plural}"), body).await.expect(201).body;
        (made["starts_at"].clone(), made["ends_at"].clone())
    };
    let timed = at("appointments", appointment()).await;
    assert_eq!(timed, (json!("2027-03-31T07:00:00Z"), json!("2027-03-31T08:30:00Z")), "summer time in Berlin");
    let whole = with(appointment(), "time", json!({ "first": "2027-12-24", "days": 3 }));
    assert_eq!(at("appointments", whole).await, (json!("2027-12-24T00:00:00Z"), json!("2027-12-27T00:00:00Z")));
    let recurring = json!({ "subject": "Weekly", "recurrence": series() });
    assert_eq!(
        at("recurring-appointments", recurring).await,
        (json!("2027-03-01T08:00:00Z"), json!("2027-04-01T22:00:00Z"))
    );
    let mut endless = json!({ "subject": "Weekly", "recurrence": series() });
    endless["recurrence"].as_object_mut().unwrap().remove("count");
    assert_eq!(at("recurring-appointments", endless).await, (json!("2027-03-01T08:00:00Z"), Value::Null));
    assert_eq!(at("tasks", task()).await, (json!("2027-03-01T08:00:00Z"), json!("2027-03-05T15:00:00Z")));
    let parties = "SELECT role || ' ' || address_key FROM activity_parties
         WHERE activity_id = (SELECT min(activity_id::text)::uuid FROM activity_parties) ORDER BY role, address_key";
    assert_eq!(
        world.texts(parties).await,
        ["optional dora@x.test", "organiser ann@own.test", "required bob@x.test", "required cem@x.test"]
    );
}

/// K7: state, status, percentage and completion follow each other; a closed record is read-only until it is opened.
#[tokio::test]
async fn k7_a_task_is_done_and_opened_again() {
    let world = World::new().await;
    let id = world.post("/tasks", with(task(), "percent_complete", json!(40))).await.expect(201).id();
    let path = format!("/tasks/{id}");
    let done = world.patch(&path, json!({ "status": "completed" })).await.expect(200).body;
    assert_eq!((&done["state"], &done["percent_complete"]), (&json!("completed"), &json!(100)));
    assert!(done["completed_date"].is_string(), "{done}");
    let refused = world.patch(&path, json!({ "subject": "New", "importance": "low" })).await.expect(422);
    assert_eq!(refused.complaints(), [("importance".into(), "closed".into()), ("subject".into(), "closed".into())]);
    world.patch(&path, json!({ "regarding": { "kind": "opportunity", "id": "7" } })).await.expect(200);
    let open = world.patch(&path, json!({ "state": "open", "subject": "New" })).await.expect(200).body;
    assert_eq!((&open["status"], &open["subject"]), (&json!("not-started"), &json!("New")));
    assert!(open.get("completed_date").is_none() && open.get("percent_complete").is_none(), "{open}");
    let called_off = world.patch(&path, json!({ "state": "canceled" })).await.expect(200).body;
    assert_eq!(called_off["status"], "not-started");
    let call = world.post("/phone-calls", task()).await.expect(201).id();
    let done = world.patch(&format!("/phone-calls/{call}"), json!({ "state": "completed" })).await.expect(200).body;
    assert!(done.get("percent_complete").is_none(), "a phone call has no percentage: {done}");
}

/// J13: what others were told of is no draft again; only appointments have drafts.
#[tokio::test]
async fn j13_a_draft_is_sent_once() {
    let world = World::new().await;
    let made = world.post("/appointments", with(appointment(), "draft", json!(true))).await.expect(201);
    assert_eq!(made.body["draft"], true);
    let path = format!("/appointments/{}", made.id());
    assert!(world.patch(&path, json!({ "draft": false })).await.expect(200).body.get("draft").is_none());
    let back = world.patch(&path, json!({ "draft": true })).await.expect(422);
    assert_eq!(back.complaints(), [("draft".into(), "one-way".into())]);
    let whole_day = world.patch(&path, json!({ "time": { "first": "2027-04-01" } })).await.expect(200).body;
    assert_eq!(whole_day["time"], json!({ "first": "2027-04-01", "days": 1 }), "a time is one value");
    let half = world.patch(&path, json!({ "time": { "start": "2027-04-01T09:00:00" } })).await.expect(422);
    assert_eq!(half.complaints(), [("time.end".into(), "value".into())]);
    let none = world.patch(&path, json!({ "state": null })).await.expect(422);
    assert_eq!(none.complaints(), [("state".into(), "required".into())]);
    let task = world.post("/tasks", with(task(), "draft", json!(true))).await.expect(422);
    assert_eq!(task.complaints(), [("draft".into(), "not-used".into())]);
}

/// Each rule names its field and what to do.
#[tokio::test]
async fn bad_input_is_refused_by_field() {
    let world = World::new().await;
    let recurring = |recurrence: Value| json!({ "subject": "s", "recurrence": recurrence });
    let changed = |name: &str, value: Value| recurring(with(series(), name, value));
    let cases = [
        ("tasks", json!({}), "subject", "required"),
        ("tasks", json!({ "subject": " " }), "subject", "length"),
        ("tasks", json!({ "subject": "s".repeat(201) }), "subject", "length"),
        ("tasks", json!({ "subject": 5 }), "subject", "value"),
        ("tasks", with(task(), "percent_complete", json!(101)), "percent_complete", "value"),
        ("tasks", with(task(), "due_date", json!("2027-02-01T00:00:00Z")), "due_date", "order"),
        ("tasks", with(task(), "location", json!("here")), "location", "unknown"),
        ("tasks", with(task(), "owner_user_id", json!("me")), "owner_user_id", ""),
        ("tasks", with(task(), "state", json!("done")), "state", ""),
        ("tasks", with(task(), "regarding", json!({ "kind": "", "id": "1" })), "regarding.kind", "length"),
        ("phone-calls", with(task(), "percent_complete", json!(5)), "percent_complete", "unknown"),
        ("appointments", json!({ "subject": "s" }), "time", "required"),
        ("appointments", with(appointment(), "time", json!({ "first": "2027-02-30" })), "time.first", "value"),
        (
            "appointments",
            with(appointment(), "organiser", json!([{ "address": "a@x.test" }, { "address": "b@x.test" }])),
            "organiser",
            "one-of",
        ),
        (
            "appointments",
            with(appointment(), "required_attendees", json!([{ "address": "nobody" }])),
            "required_attendees.0.address",
            "value",
        ),
        ("appointments", with(appointment(), "attachments", json!(["0"])), "attachments", "unknown"),
        ("appointments", with(appointment(), "recurrence", series()), "recurrence", "unknown"),
        ("recurring-appointments", json!({ "subject": "s" }), "recurrence", "required"),
        ("recurring-appointments", changed("zone", json!("Mars/Olympus")), "recurrence.zone", "value"),
        ("recurring-appointments", changed("until", json!("2027-12-31")), "recurrence.until", "value"),
        (
            "recurring-appointments",
            changed("exceptions", json!([{ "original": "2027-03-02T09:00:00", "cancelled": true }])),
            "recurrence.exceptions",
            "occurrence",
        ),
        (
            "recurring-appointments",
            recurring(json!({ "zone": "UTC", "start": "2027-01-01T09:00:00", "length": { "minutes": 5 },
                "rule": { "frequency": "yearly", "month": 2, "day": 30, "short_month": "skipped" } })),
            "recurrence.rule",
            "occurrence",
        ),
    ];
    for (plural, body, field, rule) in cases {
        let refused = world.post(&format!("/{plural}"), body.clone()).await.expect(422);
        let complaints = refused.complaints();
        assert_eq!(complaints[0].0, field, "{body}: {}", refused.body);
        assert!(rule.is_empty() || complaints[0].1 == rule, "{body}: {}", refused.body);
        assert!(!refused.body["errors"][0]["remedy"].as_str().unwrap().is_empty());
    }
}

/// Users see and write their own, and fields that are withheld take what is derived from them along.
#[tokio::test]
async fn users_have_their_own() {
    let world = World::new().await;
    let (ann, _) = world.sign_in("ann").await;
    let other = world.user("bob").await.0;
    let call = async |method: &str, path: &str, body: Option<Value>| -> Answer {
        world.call(Some(Role::User), method, path, body.as_ref(), &[]).await
    };
    let own = call("POST", "/appointments", Some(appointment())).await.expect(201);
    assert_eq!(own.body["owner_user_id"], json!(ann));
    call("POST", "/appointments", Some(with(appointment(), "owner_user_id", json!(other)))).await.expect(403);
    let foreign =
        world.post("/appointments", with(appointment(), "owner_user_id", json!(other))).await.expect(201).id();
    call("GET", &format!("/appointments/{foreign}"), None).await.expect(404);
    call("PATCH", &format!("/appointments/{foreign}"), Some(json!({ "subject": "x" }))).await.expect(404);
    assert_eq!(call("GET", "/appointments", None).await.expect(200).body["items"].as_array().unwrap().len(), 1);
    let admin = Some(Role::Administrator);
    world.call(admin, "PUT", "/secured-fields/appointment/time", None, &[]).await.expect(204);
    let path = format!("/appointments/{}", own.id());
    let shown = call("GET", &path, None).await.expect(200).body;
    for hidden in ["time", "starts_at", "ends_at"] {
        assert!(shown.get(hidden).is_none(), "{hidden}: {shown}");
    }
    let refused = call("PATCH", &path, Some(json!({ "time": time() }))).await.expect(403);
    assert_eq!(refused.complaints(), [("time".into(), "not-permitted".into())]);
    call("PATCH", &path, Some(json!({ "subject": "Mine" }))).await.expect(200);
}
