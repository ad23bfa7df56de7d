//! Contacts with everything an address book knows.

use lockstep_store::access::Role;
use serde_json::{Value, json};

use crate::world::World;

fn contact() -> Value {
    json!({
        "name": "Carla Kunde",
        "address": "carla@x.test",
        "full_name": { "first": "Carla", "last": "Kunde" },
        "job_title": "Buyer",
        "company": "Kunde & Söhne",
        "birthday": "1980-02-29",
        "mobile_phone": "+49 170 1",
        "email_2": "c.kunde@x.test",
        "mailing_address": { "street": "Am Dom 1\nHinterhaus", "city": "Köln", "postal_code": "50667" },
        "description": "Two\nlines",
    })
}

/// K1: what an address book knows of a contact is written, read, changed and cleared; a postal address is one value.
#[tokio::test]
async fn k1_a_contact_has_every_field() {
    let world = World::new().await;
    let made = world.post("/contacts", contact()).await.expect(201);
    for (name, value) in contact().as_object().unwrap() {
        assert_eq!(&made.body[name], value, "{name}");
    }
    let path = format!("/contacts/{}", made.id());
    assert_eq!(world.get(&path).await.expect(200).body, made.body);
    assert_eq!(world.get("/contacts").await.expect(200).body["items"], json!([made.body]));
    assert_eq!(world.patch(&path, contact()).await.expect(200).etag(), made.etag(), "the same again is no change");
    let moved =
        world.patch(&path, json!({ "mailing_address": { "city": "Bonn" }, "job_title": null })).await.expect(200);
    assert_eq!(moved.body["mailing_address"], json!({ "city": "Bonn" }));
    assert!(moved.body.get("job_title").is_none(), "{}", moved.body);
    assert_eq!(moved.body["mobile_phone"], "+49 170 1", "what is not said stays");
}

/// Fields are judged by name, and only contacts have them.
#[tokio::test]
async fn bad_fields_are_refused() {
    let world = World::new().await;
    for (name, value, field) in [
        ("birthday", json!("29.2.1980"), "birthday"),
        ("mailing_address", json!({ "town": "Köln" }), "mailing_address.town"),
        ("full_name", json!("Carla"), "full_name"),
        ("mobile_phone", json!("1\n2"), "mobile_phone"),
        ("email_1", json!("a@x.test"), "email_1"),
        ("email_2", json!("nobody"), "email_2"),
        ("shoe_size", json!(38), "shoe_size"),
    ] {
        let mut body = contact();
        body[name] = value;
        let refused = world.post("/contacts", body).await.expect(422);
        assert_eq!(refused.complaints()[0].0, field, "{}", refused.body);
    }
    let lead = world.post("/leads", json!({ "name": "Lea", "job_title": "Buyer" })).await.expect(422);
    assert_eq!(lead.complaints(), [("job_title".into(), "unknown".into())]);
}

/// L1: a filter on the city gives the contacts there. L14: a withheld field is neither read, nor written, nor asked for.
#[tokio::test]
async fn l1_l14_by_city_and_by_right() {
    let world = World::new().await;
    world.sign_in("ann").await;
    let call = async |method: &str, path: &str, body: Option<Value>| {
        world.call(Some(Role::User), method, path, body.as_ref(), &[]).await
    };
    let made = call("POST", "/contacts", Some(contact())).await.expect(201).id();
    let mut other = contact();
    other["mailing_address"]["city"] = json!("Bonn");
    call("POST", "/contacts", Some(other)).await.expect(201);
    let body = json!({ "record_kind": "contact", "name": "Köln",
        "expression": { "attribute": "mailing_address.city", "test": "equals", "value": "köln" } });
    let filter = call("POST", "/synchronization-filters", Some(body)).await.expect(201).id();
    let passing = format!("/synchronization-filters/{filter}/records");
    let found = call("GET", &passing, None).await.expect(200).body;
    assert_eq!(found["items"], json!([{ "id": made, "record_kind": "contact" }]));
    let secured = "/secured-fields/contact/mailing_address";
    world.call(Some(Role::Administrator), "PUT", secured, None, &[]).await.expect(204);
    assert_eq!(call("GET", &passing, None).await.expect(200).body["items"], json!([]));
    let path = format!("/contacts/{made}");
    let shown = call("GET", &path, None).await.expect(200).body;
    assert!(shown.get("mailing_address").is_none() && shown["mobile_phone"].is_string(), "{shown}");
    let refused = call("PATCH", &path, Some(json!({ "mailing_address": { "city": "Bonn" } }))).await.expect(403);
    assert_eq!(refused.complaints(), [("mailing_address".into(), "not-permitted".into())]);
    call("PATCH", &path, Some(json!({ "job_title": "Head" }))).await.expect(200);
    assert_eq!(world.get(&path).await.expect(200).body["mailing_address"]["city"], "Köln", "it is still there");
}

/// F16: any address of a contact resolves to it, whatever its letters' case.
#[tokio::test]
async fn f16_every_address_resolves() {
    let world = World::new().await;
    let (user, _) = world.user("ann").await;
    let mut body = contact();
    body["email_3"] = json!("Carla@Home.test");
    let contact = world.post("/contacts", body).await.expect(201).id();
    let to: Vec<_> = ["CARLA@x.test", "c.kunde@x.test", "carla@home.test", "carla@elsewhere.test"]
        .map(|address| json!({ "address": address }))
        .into();
    let email = world.post("/emails", json!({ "from": { "user_id": user }, "to": to })).await.expect(201).body;
    let found: Vec<_> = email["parties"].as_array().unwrap().iter().skip(1).map(|party| &party["record_id"]).collect();
    assert_eq!(found, [&json!(contact), &json!(contact), &json!(contact), &Value::Null]);
}
