//! Which way fields flow, and what else an organisation chooses about contacts, tasks and appointments.

use lockstep_model::record::{
    Kind,
    schema::{self, Direction},
};
use lockstep_store::{access::Role, item_options};
use serde_json::{Value, json};

use crate::world::{Answer, World};

async fn as_user(world: &World, method: &str, path: &str, body: Option<Value>) -> Answer {
    world.call(Some(Role::User), method, path, body.as_ref(), &[]).await
}

fn one(field: &str, rule: &str) -> Vec<(String, String)> {
    vec![(field.to_owned(), rule.to_owned())]
}

/// L11: administrators choose the direction of a free field, kind by kind; null brings the default back; who changed what
/// from which to which is kept, and the feed tells.
#[tokio::test]
async fn l11_administrators_choose_directions() {
    let world = World::new().await;
    let before = world.get("/field-directions/contact").await.expect(200);
    assert_eq!((&before.body["description"], &before.body["record_kind"]), (&json!("both"), &json!("contact")));
    for direction in Direction::ALL {
        for kind in Kind::ALL {
            for row in schema::fields(kind).iter().filter(|row| row.settable) {
                let (path, body) =
                    (format!("/field-directions/{}", kind.name()), json!({ row.field.name(): direction.name() }));
                let after = world.patch(&path, body).await.expect(200);
                assert_eq!(after.body[row.field.name()], direction.name(), "{path}");
            }
        }
    }
    let path = "/field-directions/task";
    let chosen = world.get(path).await.expect(200);
    assert_eq!((&chosen.body["description"], &chosen.body["due_date"]), (&json!("neither"), &json!("neither")));
    assert_eq!((&chosen.body["importance"], &chosen.body["percent_complete"]), (&json!("both"), &json!("neither")));
    let after =
        world.patch(path, json!({ "description": null, "due_date": "to-crm", "importance": null })).await.expect(200);
    assert_eq!((&after.body["description"], &after.body["due_date"]), (&json!("both"), &json!("to-crm")));
    let same = world.patch(path, json!({ "due_date": "to-crm", "description": "both" })).await.expect(200);
    assert_eq!(same.etag(), after.etag(), "nothing changes");
    let stale = chosen.etag();
    let body = json!({ "due_date": "both" });
    let refused =
        world.call(Some(Role::Administrator), "PATCH", path, Some(&body), &[("if-match", stale.as_str())]).await;
    assert_eq!(refused.status.as_u16(), 412, "{}", refused.body);
    assert_eq!(world.get(path).await.expect(200).body["due_date"], "to-crm");

    let audited = world.get("/audit?record_kind=field-directions&limit=1").await.expect(200).body;
    let last = &audited["items"][0];
    assert_eq!((&last["action"], &last["record_id"]), (&json!("updated"), &after.body["id"]));
    assert_eq!(
        last["detail"],
        json!({ "record_kind": "task", "changes": {
            "description": { "from": "neither", "to": null }, "due_date": { "from": "neither", "to": "to-crm" } } })
    );
    let told: Vec<Vec<String>> = sqlx::query_scalar(
        "SELECT fields FROM feed_entries WHERE record_kind = 'field-directions' AND record_id = $1::uuid ORDER BY sequence",
    )
    .bind(after.id().parse::<uuid::Uuid>().unwrap())
    .fetch_all(world.database.pool())
    .await
    .unwrap();
    assert_eq!(told.last().unwrap(), &["description", "due_date"]);
}

/// L12: fixed fields keep their direction, and the answer names the field and the direction it keeps; what there is not is
/// refused with what there is; of such a request nothing is written.
#[tokio::test]
async fn l12_fixed_and_unknown_are_refused() {
    let world = World::new().await;
    for kind in Kind::ALL {
        let path = format!("/field-directions/{}", kind.name());
        for row in schema::fields(kind).iter().filter(|row| !row.settable) {
            let name = row.field.name();
            for wanted in Direction::ALL.into_iter().filter(|wanted| *wanted != row.default) {
                let refused = world.patch(&path, json!({ name: wanted.name() })).await.expect(422);
                assert_eq!(refused.complaints(), one(name, "fixed"), "{path}");
                let remedy = refused.body["errors"][0]["remedy"].as_str().unwrap();
                assert!(
                    remedy.contains(name) && remedy.contains("fixed") && remedy.contains(row.default.name()),
                    "{remedy}"
                );
            }
            world.patch(&path, json!({ name: row.default.name() })).await.expect(200);
        }
        assert_eq!(world.get(&path).await.expect(200).body["version"], 1, "nothing was written");
    }
    let path = "/field-directions/appointment";
    for (body, field, rule, word) in [
        (json!({ "colour": "both" }), "colour", "unknown", "show_as"),
        (json!({ "due_date": "both" }), "due_date", "unknown", "location"),
        (json!({ "version": 1 }), "version", "unknown", "location"),
        (json!({ "location": "up" }), "location", "choice", "both, to-crm, to-server, neither"),
        (json!({ "location": "Both" }), "location", "choice", "null for the default"),
        (json!({ "location": 1 }), "location", "type", "to-crm"),
        (json!({ "location": ["both"] }), "location", "type", "to-crm"),
    ] {
        let refused = world.patch(path, body).await.expect(422);
        assert_eq!(refused.complaints(), one(field, rule));
        assert!(refused.body["errors"][0]["remedy"].as_str().unwrap().contains(word), "{}", refused.body);
    }
    let both = json!({ "location": "to-crm", "time": "neither", "colour": "both" });
    let refused = world.patch(path, both).await.expect(422);
    assert_eq!(refused.complaints().len(), 2, "all at once: {}", refused.body);
    assert_eq!(world.get(path).await.expect(200).body["location"], "both");
    for kind in ["email", "Contact", "account", "x"] {
        for refused in [
            world.get(&format!("/field-directions/{kind}")).await,
            world.patch(&format!("/field-directions/{kind}"), json!({})).await,
        ] {
            let refused = refused.expect(422);
            assert_eq!(refused.complaints(), one("record_kind", "choice"));
            assert!(refused.body["errors"][0]["remedy"].as_str().unwrap().contains("service-activity"));
        }
    }
}

/// L13: users, and whoever else has a key, see the map with what is settable, and only administrators write it.
#[tokio::test]
async fn l13_users_see_the_map_and_do_not_write_it() {
    let world = World::new().await;
    world.sign_in("ann").await;
    world.patch("/field-directions/contact", json!({ "job_title": "to-server" })).await.expect(200);
    let map = as_user(&world, "GET", "/field-directions", None).await.expect(200).body;
    let items = map["items"].as_array().unwrap();
    assert_eq!(items.len(), Kind::ALL.iter().map(|kind| schema::fields(*kind).len()).sum::<usize>());
    let of = |kind: &str, field: &str| {
        let found = items.iter().find(|item| item["record_kind"] == kind && item["field"] == field);
        let item = found.unwrap();
        (item["direction"].clone(), item["default"].clone(), item["settable"].clone())
    };
    assert_eq!(of("contact", "job_title"), (json!("to-server"), json!("both"), json!(true)));
    assert_eq!(of("contact", "full_name"), (json!("both"), json!("both"), json!(false)));
    assert_eq!(of("contact", "home_address"), (json!("neither"), json!("neither"), json!(false)));
    assert_eq!(of("service-activity", "subject"), (json!("to-server"), json!("to-server"), json!(false)));
    let contact = as_user(&world, "GET", "/field-directions/contact", None).await.expect(200);
    assert_eq!(contact.body["job_title"], "to-server");
    let body = json!({ "job_title": "both" });
    for role in [Role::User, Role::Operator, Role::Service] {
        world.call(Some(role), "PATCH", "/field-directions/contact", Some(&body), &[]).await.expect(403);
        world.call(Some(role), "GET", "/field-directions", None, &[]).await.expect(200);
    }
    world.call(None, "GET", "/field-directions", None, &[]).await.expect(401);
    assert_eq!(world.get("/field-directions/contact").await.expect(200).body["job_title"], "to-server");
}

/// K3: with all addresses, home and other address flow both ways and cannot be chosen otherwise; the map is another one.
#[tokio::test]
async fn k3_all_addresses_decide_the_map() {
    let world = World::new().await;
    let before = world.get("/field-directions/contact").await.expect(200);
    let of =
        |answer: &Answer| ["mailing_address", "home_address", "other_address"].map(|name| answer.body[name].clone());
    assert_eq!(of(&before), ["both", "neither", "neither"]);
    world.patch("/organisation", json!({ "all_addresses": true })).await.expect(200);
    let after = world.get("/field-directions/contact").await.expect(200);
    assert_eq!(of(&after), ["both", "both", "both"]);
    assert_ne!(after.etag(), before.etag());
    let refused = world.patch("/field-directions/contact", json!({ "home_address": "neither" })).await.expect(422);
    assert_eq!(refused.complaints(), one("home_address", "fixed"));
    let remedy = refused.body["errors"][0]["remedy"].as_str().unwrap();
    assert!(remedy.contains("both") && remedy.contains("all_addresses"), "{remedy}");
}

/// K3, K8, L8, J12: the organisation's choices have the documented defaults, are written like its other settings, and reach
/// whoever synchronises.
#[tokio::test]
async fn k3_k8_l8_j12_choices_are_settings_of_the_organisation() {
    let world = World::new().await;
    let before = world.get("/organisation").await.expect(200);
    for (name, default) in [
        ("all_addresses", json!(false)),
        ("leaving_deletes", json!(false)),
        ("tasks_are_deleted_in_crm", json!(true)),
        ("cancelling_spreads", json!(false)),
        ("past_meeting_updates", json!(false)),
        ("appointment_attachments", json!(false)),
        ("tracked_category", json!("Tracked to CRM")),
    ] {
        assert_eq!(before.body[name], default, "{name}");
    }
    let switches =
        ["all_addresses", "leaving_deletes", "tasks_are_deleted_in_crm", "cancelling_spreads", "past_meeting_updates"];
    for name in switches {
        let turned = !before.body[name].as_bool().unwrap();
        let after = world.patch("/organisation", json!({ name: turned })).await.expect(200);
        assert_eq!(after.body[name], turned);
        for wrong in [json!("yes"), json!(1), json!(null)] {
            let refused = world.patch("/organisation", json!({ name: wrong })).await;
            assert!(matches!(refused.status.as_u16(), 400 | 422), "{name} {wrong}: {}", refused.body);
        }
    }
    let after = world.patch("/organisation", json!({ "tracked_category": " Ins CRM übernehmen " })).await.expect(200);
    assert_eq!(after.body["tracked_category"], "Ins CRM übernehmen");
    for (wrong, rule) in [(" ".to_owned(), "length"), ("é".repeat(101), "length"), ("a\nb".to_owned(), "characters")] {
        let refused = world.patch("/organisation", json!({ "tracked_category": wrong })).await.expect(422);
        assert_eq!(refused.complaints(), one("tracked_category", rule));
    }
    world.patch("/organisation", json!({ "tracked_category": "é".repeat(100) })).await.expect(200);
    world.patch("/organisation", json!({ "tracked_category": "Ins CRM" })).await.expect(200);
    let options = item_options::read(&mut world.store.begin().await.unwrap()).await.unwrap();
    let read = [
        options.all_addresses,
        options.leaving_deletes,
        options.tasks_are_deleted_in_crm,
        options.cancelling_spreads,
        options.past_meeting_updates,
    ];
    assert_eq!((read, options.tracked_category.as_str()), ([true, true, false, true, true], "Ins CRM"));
    let body = json!({ "leaving_deletes": false });
    world.call(Some(Role::Operator), "PATCH", "/organisation", Some(&body), &[]).await.expect(403);
    let told: Vec<Vec<String>> =
        sqlx::query_scalar("SELECT fields FROM feed_entries WHERE record_kind = 'organisation' AND change = 'updated' ORDER BY sequence LIMIT 5")
            .fetch_all(world.database.pool())
            .await
            .unwrap();
    assert_eq!(told.concat(), switches);
}
