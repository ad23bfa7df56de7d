//! Taking a mailbox over from another organisation, where users are, and how deactivated contacts are known.

use lockstep_store::access::Role;
use serde_json::{Value, json};

use crate::world::World;

fn one(field: &str, rule: &str) -> Vec<(String, String)> {
    vec![(field.to_owned(), rule.to_owned())]
}

/// D9: an administrator takes a mailbox over, where there is something to take; that stands in the operation and in the
/// audit. Nobody else does, and what is no boolean is not taken for one.
#[tokio::test]
async fn d9_an_administrator_takes_a_mailbox_over() {
    let world = World::new().await;
    let mut exchange = crate::world::profile("exchange");
    for endpoint in ["incoming", "outgoing"] {
        exchange[endpoint]["protocol"] = json!("ews");
    }
    let profile = world.post("/email-server-profiles", exchange).await.expect(201).id();
    let (_, mailbox) = world.sign_in("ann").await;
    let path = format!("/mailboxes/{mailbox}");
    let account = json!({ "profile_id": profile, "allow_credentials": true, "login": "ann", "password": "geheim-456" });
    world.patch(&path, account).await.expect(200);
    let test = format!("{path}/test-and-enable");
    let body = json!({ "take_over_items": true });
    let ask = async |role: Role, body: &Value| world.call(Some(role), "POST", &test, Some(body), &[]).await;
    let refused = ask(Role::Administrator, &body).await.expect(422);
    assert_eq!(refused.complaints(), one("take_over_items", "act-method"), "it has no items");
    assert_eq!(world.count("SELECT count(*) FROM operations").await, 0);
    world.patch(&path, json!({ "act_method": "server-side" })).await.expect(200);
    ask(Role::Operator, &body).await.expect(403);
    ask(Role::User, &body).await.expect(403);
    ask(Role::Administrator, &json!({ "take_over_items": "yes" })).await.expect(422);
    ask(Role::Administrator, &body).await.expect(202);
    ask(Role::Administrator, &json!({ "take_over_items": false })).await.expect(202);
    let asked = world.texts("SELECT arguments->>'take_over_items' FROM operations WHERE arguments ? 'take_over_items'");
    assert_eq!(asked.await, ["true"]);
    let noted = "SELECT count(*) FROM audit_entries WHERE action = 'tested' AND (detail->>'take_over_items')::boolean";
    assert_eq!(world.count(noted).await, 1);
}

/// J15: users and the organisation say where they are, by a name that is known; users do so for themselves.
#[tokio::test]
async fn j15_where_users_are() {
    let world = World::new().await;
    let (ann, _) = world.sign_in("ann").await;
    let user = format!("/users/{ann}");
    let shown = world.get(&user).await.expect(200).body;
    assert!(shown.get("time_zone").is_none(), "the organisation's: {shown}");
    assert_eq!(world.get("/organisation").await.expect(200).body["time_zone"], "UTC");
    for path in [user.as_str(), "/organisation"] {
        for wrong in ["", "Berlin", "europe/berlin", "W. Europe Standard Time", " Europe/Berlin", "+01:00"] {
            let refused = world.patch(path, json!({ "time_zone": wrong })).await.expect(422);
            assert_eq!(refused.complaints(), one("time_zone", "time-zone"), "{path} {wrong:?}");
        }
        world.patch(path, json!({ "time_zone": 1 })).await.expect(422);
        let set = world.patch(path, json!({ "time_zone": "America/Argentina/Buenos_Aires" })).await.expect(200);
        assert_eq!(set.body["time_zone"], "America/Argentina/Buenos_Aires");
    }
    world.patch("/organisation", json!({ "time_zone": null })).await.expect(422);
    let own = world.key_of(&ann).await;
    let chosen = json!({ "time_zone": "Asia/Tokyo" });
    let set = world.call_with(Some(&own), "PATCH", &user, Some(&chosen), &[]).await.expect(200);
    assert_eq!(set.body["time_zone"], "Asia/Tokyo");
    let back = world.patch(&user, json!({ "time_zone": null })).await.expect(200);
    assert!(back.body.get("time_zone").is_none());
    let new = json!({ "name": "Bob", "address": "bob@example.test", "time_zone": "Europe/Berlin" });
    assert_eq!(world.post("/users", new).await.expect(201).body["time_zone"], "Europe/Berlin");
}

/// K4: the category of deactivated contacts is a name of its own.
#[tokio::test]
async fn k4_how_deactivated_contacts_are_known() {
    let world = World::new().await;
    assert_eq!(world.get("/organisation").await.expect(200).body["inactive_category"], "Inactive in CRM");
    for (wrong, rule) in [(json!(" "), "length"), (json!("a\nb"), "characters"), (json!("Tracked to CRM"), "differs")] {
        let refused = world.patch("/organisation", json!({ "inactive_category": wrong })).await.expect(422);
        assert_eq!(refused.complaints(), one("inactive_category", rule));
    }
    let longest = "x".repeat(100);
    let set = world.patch("/organisation", json!({ "inactive_category": longest })).await.expect(200);
    assert_eq!(set.body["inactive_category"], json!(longest));
    world.patch("/organisation", json!({ "inactive_category": "x".repeat(101) })).await.expect(422);
}
