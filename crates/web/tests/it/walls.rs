//! Who is shown which alerts, and how they are taken down.

use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    id::{EmailId, MailboxId, ProfileId, WebhookEndpointId},
    remote::RemoteKey,
};
use lockstep_store::{
    access::Role,
    alerts::{self, Part, Severity, Subject},
    mailbox_tests::{self, Tested},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::World;

fn id(text: &str) -> Uuid {
    text.parse().unwrap()
}

fn mailbox(text: &str) -> MailboxId {
    MailboxId(id(text))
}

async fn raise(world: &World, code: &str, severity: Severity, subject: Subject<'_>) {
    let mut tx = world.store.begin().await.unwrap();
    let parameters = json!({ "message": "the server said so", "name": "CRM", "reason": "gone", "next": "tomorrow",
        "address": "x@example.test", "mailboxes": 1 });
    alerts::raise(&mut tx, code, severity, subject, parameters).await.unwrap();
    tx.commit().await.unwrap();
}

async fn resolve(world: &World, code: &str, subject: Subject<'_>) {
    let mut tx = world.store.begin().await.unwrap();
    assert!(alerts::resolve(&mut tx, code, subject).await.unwrap());
    tx.commit().await.unwrap();
}

/// What a key is shown.
async fn seen(world: &World, key: &str, query: &str) -> Vec<Value> {
    let path = format!("/alerts{query}");
    let answer = world.call_with(Some(key), "GET", &path, None, &[]).await.expect(200);
    answer.body["items"].as_array().unwrap().clone()
}

/// The codes a key is shown, in order of the alphabet.
async fn codes(world: &World, key: &str, query: &str) -> Vec<String> {
    let mut codes: Vec<_> =
        seen(world, key, query).await.iter().map(|alert| alert["code"].as_str().unwrap().to_owned()).collect();
    codes.sort();
    codes
}

/// A profile of Olga's with the mailboxes of Ann and Bert, a queue of Ann's, an email of Ann's; and an alert about each
/// of them, about an item of Ann's mailbox, and about the organisation.
struct Scene {
    world: World,
    ann: String,
    bert: String,
    olga: String,
    profile: String,
    anns: String,
    berts: String,
    queues: String,
    email: String,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let (ann, anns) = world.user("ann").await;
        let (bert, berts) = world.user("bert").await;
        let (olga, _) = world.user("olga").await;
        let profile = world.profile("Servers").await;
        world.patch(&format!("/email-server-profiles/{profile}"), json!({ "owner_user_id": olga })).await.expect(200);
        let queue = json!({ "name": "Help", "address": "help@example.test", "owner_user_id": ann });
        let queue = world.post("/queues", queue).await.expect(201).id();
        let queues = world.mailbox_of(&queue).await;
        for one in [&anns, &berts] {
            world.patch(&format!("/mailboxes/{one}"), json!({ "profile_id": profile })).await.expect(200);
        }
        let email = world.post("/emails", json!({ "from": { "user_id": ann } })).await.expect(201).id();
        let key = RemoteKey::new("k1").unwrap();
        raise(&world, "ItemQuarantined", Severity::Error, Subject::Item(mailbox(&anns), &key)).await;
        raise(&world, "Unauthorized", Severity::Error, Subject::Part(mailbox(&anns), Part::Incoming)).await;
        raise(&world, "HeadersMissing", Severity::Error, Subject::Mailbox(mailbox(&queues))).await;
        raise(&world, "DeliveryFailed", Severity::Error, Subject::Email(EmailId(id(&email)), mailbox(&anns))).await;
        raise(&world, "ServerUnreachable", Severity::Error, Subject::Profile(ProfileId(id(&profile)))).await;
        raise(&world, "MailboxTestFailed", Severity::Error, Subject::Profile(ProfileId(id(&profile)))).await;
        let endpoint = Subject::WebhookEndpoint(WebhookEndpointId::new());
        raise(&world, "WebhookEndpointDisabled", Severity::Error, endpoint).await;
        let [ann, bert, olga] = [world.key_of(&ann).await, world.key_of(&bert).await, world.key_of(&olga).await];
        Self { world, ann, bert, olga, profile, anns, berts, queues, email }
    }

    async fn codes(&self, key: &str) -> Vec<String> {
        codes(&self.world, key, "").await
    }
}

/// M1: a fault of a message, of a mailbox and of a profile are each on the walls of those whom they concern: an owner's,
/// also for queues and emails, the profile's owner's, and the administrators' and operators', who see all.
#[tokio::test]
async fn m1_one_fault_of_each_scope_lands_in_the_right_places() {
    let scene = Scene::new().await;
    let anns = ["DeliveryFailed", "HeadersMissing", "ItemQuarantined", "Unauthorized"];
    assert_eq!(scene.codes(&scene.ann).await, anns);
    assert_eq!(scene.codes(&scene.bert).await, [""; 0], "nobody else's");
    assert_eq!(scene.codes(&scene.olga).await, ["MailboxTestFailed", "ServerUnreachable"]);
    for role in [Role::Administrator, Role::Operator, Role::Service] {
        assert_eq!(scene.codes(scene.world.key(role)).await.len(), 7, "{role:?}");
    }
    let of = async |key: &str, query: &str| codes(&scene.world, key, query).await;
    assert_eq!(of(&scene.ann, "?scope=item").await, ["DeliveryFailed", "ItemQuarantined"]);
    assert_eq!(of(&scene.ann, "?scope=mailbox").await, ["HeadersMissing", "Unauthorized"]);
    assert_eq!(of(&scene.ann, &format!("?mailbox={}", scene.queues)).await, ["HeadersMissing"]);
    assert_eq!(of(&scene.ann, &format!("?email={}", scene.email)).await, ["DeliveryFailed"]);
    assert_eq!(of(&scene.bert, &format!("?mailbox={}", scene.anns)).await, [""; 0]);
    let key = scene.world.key(Role::Administrator);
    assert_eq!(of(key, &format!("?profile={}", scene.profile)).await, ["MailboxTestFailed", "ServerUnreachable"]);
    assert_eq!(of(key, &format!("?mailbox={}", scene.berts)).await, [""; 0]);
    // A colleague in the team that a queue is handed to sees the queue's mailbox, and Ann no longer does.
    let team = scene.world.post("/teams", json!({ "name": "Support" })).await.expect(201).id();
    let bert = scene.world.get("/users").await.body["items"][1]["id"].as_str().unwrap().to_owned();
    let path = format!("/teams/{team}/members/{bert}");
    let put = scene.world.call(Some(Role::Administrator), "PUT", &path, None, &[]).await;
    assert!(put.status.is_success(), "{}", put.body);
    let queue = scene.world.get("/queues").await.body["items"][0]["id"].as_str().unwrap().to_owned();
    let handed = json!({ "owner_user_id": null, "owner_team_id": team });
    scene.world.patch(&format!("/queues/{queue}"), handed).await.expect(200);
    assert_eq!(scene.codes(&scene.bert).await, ["HeadersMissing"]);
    assert!(!scene.codes(&scene.ann).await.contains(&"HeadersMissing".to_owned()));
}

/// M5, E10: a profile's fault is on the walls of the owners of its mailboxes only where the organisation has them told,
/// and asks nothing of them; what speaks of other people's mailboxes is not.
#[tokio::test]
async fn m5_e10_owners_of_mailboxes_are_told_of_the_profile_and_asked_for_nothing() {
    let scene = Scene::new().await;
    assert_eq!(scene.world.get("/organisation").await.body["notify_mailbox_owner"], false);
    assert_eq!(scene.codes(&scene.bert).await, [""; 0]);
    scene.world.patch("/organisation", json!({ "notify_mailbox_owner": true })).await.expect(200);
    let told = seen(&scene.world, &scene.bert, "").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0]["code"].as_str(), told[0]["action_asked"].as_bool()), (Some("ServerUnreachable"), Some(false)));
    assert!(told[0]["remedy"].as_str().unwrap().starts_with("No action is asked of you"), "{told:?}");
    assert!(scene.codes(&scene.ann).await.contains(&"ServerUnreachable".to_owned()));
    for alert in seen(&scene.world, &scene.olga, "").await {
        assert_eq!(alert["action_asked"], true, "the profile's owner answers for it");
    }
    scene.world.patch(&format!("/mailboxes/{}", scene.berts), json!({ "active": false })).await.expect(200);
    assert_eq!(scene.codes(&scene.bert).await, [""; 0], "an inactive mailbox is not affected");
    scene.world.patch("/organisation", json!({ "notify_mailbox_owner": false })).await.expect(200);
    assert!(!scene.codes(&scene.ann).await.contains(&"ServerUnreachable".to_owned()));
}

/// M6: alerts are listed by level, and dismissed one by one or all that match; a user's own wall only, until it is raised
/// again, and for all by who administers.
#[tokio::test]
async fn m6_walls_are_filtered_and_cleared() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let subject = Subject::Part(mailbox(&scene.anns), Part::Incoming);
    raise(world, "MailboxConnected", Severity::Information, subject).await;
    assert_eq!(codes(world, &scene.ann, "?severity=information").await, ["MailboxConnected"]);
    let faults = seen(world, &scene.ann, "?severity=error&scope=mailbox").await;
    let path =
        format!("/alerts/{}", faults.iter().find(|a| a["code"] == "Unauthorized").unwrap()["id"].as_str().unwrap());

    let delete = async |key: &str| world.call_with(Some(key), "DELETE", &path, None, &[]).await;
    delete(&scene.bert).await.expect(404);
    delete(&scene.ann).await.expect(204);
    delete(&scene.ann).await.expect(404);
    assert!(!scene.codes(&scene.ann).await.contains(&"Unauthorized".to_owned()));
    let administrator = world.key(Role::Administrator);
    assert!(scene.codes(administrator).await.contains(&"Unauthorized".to_owned()), "others keep it");
    raise(world, "Unauthorized", Severity::Error, subject).await;
    assert!(scene.codes(&scene.ann).await.contains(&"Unauthorized".to_owned()), "its cause lasts");

    let dismiss =
        async |key: &str, body: Value| world.call_with(Some(key), "POST", "/alerts/dismiss", Some(&body), &[]).await;
    let refused = dismiss(&scene.ann, json!({})).await.expect(422);
    assert_eq!(refused.complaints(), [("all".to_owned(), "required".to_owned())]);
    assert_eq!(dismiss(&scene.ann, json!({ "severity": "fatal" })).await.expect(422).complaints()[0].0, "severity");
    assert_eq!(dismiss(&scene.bert, json!({ "all": true })).await.expect(200).body["dismissed"], 0);
    let done = dismiss(&scene.ann, json!({ "severity": "error", "scope": "item" })).await.expect(200).body;
    assert_eq!(done, json!({ "dismissed": 2, "more": false }));
    assert_eq!(scene.codes(&scene.ann).await, ["HeadersMissing", "MailboxConnected", "Unauthorized"]);
    assert_eq!(dismiss(&scene.ann, json!({ "all": true })).await.expect(200).body["dismissed"], 3);
    assert_eq!(scene.codes(&scene.ann).await, [""; 0]);
    assert_eq!(scene.codes(administrator).await.len(), 8);

    world.call(Some(Role::Service), "POST", "/alerts/dismiss", Some(&json!({ "all": true })), &[]).await.expect(403);
    let operator = world.key(Role::Operator);
    let of_profile = json!({ "profile_id": scene.profile });
    assert_eq!(dismiss(operator, of_profile).await.expect(200).body["dismissed"], 2);
    assert_eq!(scene.codes(&scene.olga).await, [""; 0], "closed for all");
    assert_eq!(dismiss(administrator, json!({ "all": true })).await.expect(200).body["dismissed"], 6);
    assert_eq!(scene.codes(administrator).await, [""; 0]);
    assert_eq!(world.count("SELECT count(*) FROM alerts WHERE resolved_at IS NULL").await, 0);
    let audited = "SELECT count(*) FROM audit_entries WHERE action = 'dismissed' AND object_kind = 'alert'";
    assert_eq!(world.count(audited).await, 5, "one entry for each request that did something");
}

/// E9: of levels that are switched off nothing is shown, warnings by default; it is kept, and what is still open when the
/// level is switched on is there. Who administers can ask for it all the same.
#[tokio::test]
async fn e9_levels_are_switched_on_and_off() {
    let world = World::new().await;
    let (_, own) = world.sign_in("ann").await;
    let ann = world.key(Role::User);
    let subject = Subject::Part(mailbox(&own), Part::Incoming);
    raise(&world, "Unauthorized", Severity::Error, subject).await;
    raise(&world, "ConnectionLost", Severity::Warning, subject).await;
    raise(&world, "LoginDelay", Severity::Warning, subject).await;
    raise(&world, "MailboxConnected", Severity::Information, Subject::Mailbox(mailbox(&own))).await;
    resolve(&world, "LoginDelay", subject).await;
    let administrator = world.key(Role::Administrator);
    for key in [ann, administrator, world.key(Role::Operator)] {
        assert_eq!(codes(&world, key, "").await, ["MailboxConnected", "Unauthorized"]);
        assert_eq!(codes(&world, key, "?severity=warning").await, [""; 0]);
    }
    assert_eq!(codes(&world, administrator, "?severity=warning&switched_off=true").await, ["ConnectionLost"]);
    let refused = world.call_with(Some(ann), "GET", "/alerts?switched_off=true", None, &[]).await.expect(403);
    assert_eq!(refused.complaints()[0].0, "switched_off");
    let hidden = seen(&world, administrator, "?severity=warning&switched_off=true").await[0]["id"].clone();
    let path = format!("/alerts/{}", hidden.as_str().unwrap());
    world.call_with(Some(ann), "DELETE", &path, None, &[]).await.expect(404);
    let all = json!({ "severity": "warning" });
    let done = world.call_with(Some(administrator), "POST", "/alerts/dismiss", Some(&all), &[]).await.expect(200);
    assert_eq!(done.body["dismissed"], 0, "what is not shown is not cleared by the way");

    world.patch("/organisation", json!({ "alert_warnings": true })).await.expect(200);
    for key in [ann, administrator] {
        assert_eq!(codes(&world, key, "?severity=warning").await, ["ConnectionLost"], "kept; what ended stays ended");
    }
    world.patch("/organisation", json!({ "alert_errors": false, "alert_information": false })).await.expect(200);
    assert_eq!(codes(&world, ann, "").await, ["ConnectionLost"]);
    assert_eq!(codes(&world, administrator, "?switched_off=true").await.len(), 3);
}

/// M7: mailbox, profile and email tell how many alerts they have, and lists and single records agree.
#[tokio::test]
async fn m7_records_count_their_alerts() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let errors = |count: i64| json!({ "error": count, "warning": 0, "information": 0 });
    let anns = format!("/mailboxes/{}", scene.anns);
    assert_eq!(world.get(&anns).await.body["alerts"], errors(3), "its own, an item's and an email's");
    assert_eq!(world.get(&format!("/mailboxes/{}", scene.berts)).await.body["alerts"], errors(0));
    let profile = format!("/email-server-profiles/{}", scene.profile);
    assert_eq!(world.get(&profile).await.body["alerts"], errors(2));
    assert_eq!(world.get("/email-server-profiles").await.body["items"][0]["alerts"], errors(2));
    assert_eq!(world.get(&format!("/emails/{}", scene.email)).await.body["alerts"], errors(1));
    let list = world.get("/mailboxes").await.body["items"].clone();
    let listed = list.as_array().unwrap().iter().find(|m| m["id"] == json!(scene.anns)).unwrap();
    assert_eq!(listed["alerts"], errors(3));
    let own = world.call_with(Some(&scene.ann), "GET", &anns, None, &[]).await.expect(200).body;
    assert_eq!(own["alerts"], errors(3));
    let all = json!({ "mailbox_id": scene.anns });
    world.call_with(Some(&scene.ann), "POST", "/alerts/dismiss", Some(&all), &[]).await.expect(200);
    let own = world.call_with(Some(&scene.ann), "GET", &anns, None, &[]).await.expect(200).body;
    assert_eq!((own["alerts"].clone(), world.get(&anns).await.body["alerts"].clone()), (errors(0), errors(3)));
}

/// C7, C14, C15: a tested mailbox whose address is not approved says so until it is; a success is news for the owner, a
/// failure is on the walls of the mailbox's owner and of the profile's.
#[tokio::test]
async fn c7_c14_c15_tests_and_approval_are_told_to_owners() {
    let world = World::new().await;
    let (olga, _) = world.user("olga").await;
    let profile = world.profile("Servers").await;
    world.patch(&format!("/email-server-profiles/{profile}"), json!({ "owner_user_id": olga })).await.expect(200);
    let (_, own) = world.sign_in("ann").await;
    let (olga, ann) = (world.key_of(&olga).await, world.key(Role::User));
    world.patch(&format!("/mailboxes/{own}"), json!({ "profile_id": profile })).await.expect(200);
    assert_eq!(codes(&world, ann, "").await, [""; 0], "never tested, it waits for more than an approval");
    let record = async |incoming: Tested| {
        let mut tx = world.store.begin().await.unwrap();
        mailbox_tests::record(&mut tx, mailbox(&own), "test", &incoming, &Tested::Works).await.unwrap();
        tx.commit().await.unwrap();
    };
    let refused = Fault::new(FaultScope::Mailbox, FaultClass::Auth, "Unauthorized", "-ERR no");
    record(Tested::Fails(refused)).await;
    assert_eq!(codes(&world, ann, "").await, ["AddressNotApproved", "MailboxConnected", "Unauthorized"]);
    assert_eq!(codes(&world, &olga, "").await, ["MailboxTestFailed"]);
    record(Tested::Works).await;
    assert_eq!(codes(&world, ann, "").await, ["AddressNotApproved", "MailboxConnected"]);
    assert_eq!(codes(&world, &olga, "").await, [""; 0]);
    let enabled = "SELECT count(*) FROM lane_schedules WHERE enabled";
    assert_eq!(world.count(enabled).await, 0, "unapproved, nothing is processed");

    let text = async || seen(&world, ann, "?severity=error").await[0]["text"].as_str().unwrap().to_owned();
    assert!(text().await.contains("ann@example.test is not approved yet"), "{}", text().await);
    let path = format!("/mailboxes/{own}");
    world.post(&format!("{path}/reject"), json!({})).await.expect(200);
    assert!(text().await.contains("is rejected"), "{}", text().await);
    world.post(&format!("{path}/approve"), json!({})).await.expect(200);
    assert_eq!(codes(&world, ann, "").await, ["MailboxConnected"]);
    assert_eq!(world.count(enabled).await, 1);
    world.patch(&path, json!({ "address": "ann.new@example.test" })).await.expect(200);
    assert_eq!(codes(&world, ann, "").await, ["AddressNotApproved", "MailboxConnected"], "another address");
    world.patch("/organisation", json!({ "approve_users": false })).await.expect(200);
    assert_eq!(codes(&world, ann, "").await, ["MailboxConnected"], "none is asked for any more");
}

/// M9: mailboxes that a permanent error has stopped are listed, and made inactive by one action, each noted in the audit;
/// others are left alone.
#[tokio::test]
async fn m9_stopped_mailboxes_are_made_inactive_at_once() {
    let world = World::new().await;
    let profile = world.profile("Servers").await;
    let mut mailboxes = Vec::new();
    for name in ["ann", "bert", "cara", "dan"] {
        let (_, own) = world.user(name).await;
        world.patch(&format!("/mailboxes/{own}"), json!({ "profile_id": profile })).await.expect(200);
        world.post(&format!("/mailboxes/{own}/approve"), json!({})).await.expect(200);
        let mut tx = world.store.begin().await.unwrap();
        mailbox_tests::record(&mut tx, mailbox(&own), "test", &Tested::Works, &Tested::Works).await.unwrap();
        tx.commit().await.unwrap();
        mailboxes.push(own);
    }
    // One that only reads: its sending did not pass the test, and nothing permanent has stopped it.
    let (_, half) = world.user("eva").await;
    world.patch(&format!("/mailboxes/{half}"), json!({ "profile_id": profile })).await.expect(200);
    world.post(&format!("/mailboxes/{half}/approve"), json!({})).await.expect(200);
    let fault = Fault::new(FaultScope::Profile, FaultClass::Unreachable, "ConnectFailure", "refused");
    let mut tx = world.store.begin().await.unwrap();
    mailbox_tests::record(&mut tx, mailbox(&half), "test", &Tested::Works, &Tested::Fails(fault)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.get(&format!("/mailboxes/{half}")).await.expect(200).body["state"], "failing");
    let run = |sql: String| async move { sql };
    for (at, sql) in [
        (0, "enabled = false, disabled_code = 'Unauthorized', last_succeeded_at = '2026-01-01'"),
        (1, "enabled = false, disabled_code = 'Unauthorized', last_succeeded_at = now()"),
        (2, "transient_failures = 3"),
    ] {
        let sql = run(format!("UPDATE lane_schedules SET {sql} WHERE mailbox_id = '{}'", mailboxes[at])).await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(world.database.pool()).await.unwrap();
    }
    let names = async |query: &str| {
        let list = world.get(&format!("/mailboxes?{query}")).await.expect(200).body["items"].clone();
        list.as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("state=disabled").await, ["ann", "bert"]);
    assert_eq!(names("state=disabled&idle_since=2026-06-01T00:00:00Z").await, ["ann"]);
    let act = async |body: Value| world.post("/mailboxes/actions", body).await;
    let since = json!({ "action": "deactivate-failing", "idle_since": "2026-06-01T00:00:00Z" });
    let done = act(since.clone()).await.expect(200).body;
    assert_eq!(done, json!({ "results": [{ "mailbox_id": mailboxes[0], "outcome": "done" }] }));
    assert_eq!(act(since).await.expect(200).body["results"], json!([]), "done is done");
    let named = json!({ "action": "deactivate-failing", "mailbox_ids": [mailboxes[0], mailboxes[2]] });
    let done = act(named).await.expect(200).body["results"].clone();
    assert_eq!((done[0]["outcome"].as_str(), done[1]["outcome"].as_str()), (Some("done"), Some("refused")));
    assert!(done[1]["detail"].as_str().unwrap().contains("it is failing"), "{done}");
    let of_profile = json!({ "action": "deactivate-failing", "profile_id": profile });
    assert_eq!(act(of_profile).await.expect(200).body["results"].as_array().unwrap().len(), 1);
    assert_eq!(names("state=inactive").await, ["ann", "bert"]);
    assert_eq!(names("state=failing").await, ["cara", "eva"]);
    assert_eq!(names("state=healthy").await, ["dan"]);
    let audited = "SELECT count(*) FROM audit_entries
         WHERE action = 'updated' AND object_kind = 'mailbox' AND detail->'fields' ? 'active'";
    assert_eq!(world.count(audited).await, 2);
    let deactivated = world.get("/audit?action=deactivated&record_kind=mailbox").await.expect(200).body;
    let deactivated: Vec<_> = deactivated["items"].as_array().unwrap().iter().map(|e| &e["record_id"]).collect();
    assert_eq!(deactivated, [&json!(mailboxes[1]), &json!(mailboxes[0])], "in a word of its own");
    for (body, field) in [
        (json!({ "action": "approve" }), "mailbox_ids"),
        (json!({ "action": "approve", "mailbox_ids": mailboxes, "idle_since": "2026-06-01T00:00:00Z" }), "idle_since"),
    ] {
        assert_eq!(act(body).await.expect(422).complaints()[0].0, field);
    }
    let body = json!({ "action": "deactivate-failing" });
    world.call(Some(Role::Operator), "POST", "/mailboxes/actions", Some(&body), &[]).await.expect(403);
}

/// M11: items that became no record are seen by the mailbox's owner and no other user, and by administrators and operators
/// in every mailbox; of other people's mail they are shown no subject and no sender, since neither is kept.
#[tokio::test]
async fn m11_item_failures_by_role() {
    let world = World::new().await;
    let (_, own) = world.sign_in("ann").await;
    let (bert, _) = world.user("bert").await;
    let (bert, ann) = (world.key_of(&bert).await, world.key(Role::User));
    let sql = format!(
        "INSERT INTO remote_items (mailbox_id, remote_key, message_id, size_bytes, disposition, reason, detail, attempts, seen_at)
         VALUES ('{own}', 'k1', 'm1@example.test', 10, 'quarantined', 'ItemUnavailable', '-ERR no such message', 1, now())"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(world.database.pool()).await.unwrap();
    let path = format!("/mailboxes/{own}/items");
    let get = async |key: &str| world.call_with(Some(key), "GET", &path, None, &[]).await;
    let owner = get(ann).await.expect(200).body["items"][0].clone();
    assert_eq!(
        (owner["reason"].as_str(), owner["detail"].as_str()),
        (Some("ItemUnavailable"), Some("-ERR no such message"))
    );
    assert!(!owner["sentence"].as_str().unwrap().is_empty());
    get(&bert).await.expect(404);
    for role in [Role::Administrator, Role::Operator] {
        let item = get(world.key(role)).await.expect(200).body["items"][0].clone();
        assert_eq!(item["reason"], "ItemUnavailable", "{role:?}");
        for withheld in ["subject", "sender", "from"] {
            assert_eq!(item.get(withheld), None, "{role:?}");
        }
    }
    get(world.key(Role::Service)).await.expect(403);
}
