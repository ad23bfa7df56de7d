//! Files of appointments: streamed in and out, each once, and as private as the appointment.

use axum::{body::Body, http::Request};
use lockstep_store::access::Role;
use serde_json::{Value, json};

use crate::world::{Answer, World};

async fn send(world: &World, role: Role, id: &str, query: &str, headers: &[(&str, &str)], bytes: Vec<u8>) -> Answer {
    let mut request = Request::builder()
        .method("POST")
        .uri(format!("/api/v1/appointments/{id}/attachments{query}"))
        .header("authorization", format!("Bearer {}", world.key(role)));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world.send(request.body(Body::from(bytes)).unwrap()).await
}

async fn upload(world: &World, id: &str, name: &str, bytes: &[u8]) -> Answer {
    send(world, Role::Service, id, &format!("?name={name}"), &[("content-type", "text/plain")], bytes.to_vec()).await
}

fn appointment(owner: &str) -> Value {
    json!({
        "subject": "Review", "owner_user_id": owner, "organiser": [{ "address": "ann@example.test" }],
        "time": { "start": "2027-03-31T09:00:00", "end": "2027-03-31T10:30:00", "zone": "Europe/Berlin" },
    })
}

fn names(list: &Answer) -> Vec<&str> {
    list.body["items"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect()
}

/// J11: a file comes back as it went in, is a change of its appointment that the feed tells, is there once however often it
/// is sent, and goes.
#[tokio::test]
async fn j11_files_go_in_and_out() {
    let world = World::new().await;
    let (ann, _) = world.user("ann").await;
    let id = world.post("/appointments", appointment(&ann)).await.expect(201).id();
    let files = format!("/appointments/{id}/attachments");
    assert_eq!(world.get(&files).await.expect(200).body, json!({ "items": [] }));
    let large: Vec<u8> = (0..600_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    let added = upload(&world, &id, "r%C3%A9sum%C3%A9.pdf", &large).await.expect(201);
    assert_eq!((&added.body["name"], &added.body["media_type"]), (&json!("résumé.pdf"), &json!("text/plain")));
    assert_eq!((&added.body["size_bytes"], added.etag().as_str()), (&json!(2_400_000), "\"2\""));
    let location = added.headers["location"].to_str().unwrap().trim_start_matches("/api/v1").to_owned();
    let read = world.get(&location).await.expect(200);
    assert!(read.bytes == large, "the same bytes in several chunks");
    assert_eq!(read.headers["content-type"], "application/octet-stream");
    assert!(read.headers["content-disposition"].to_str().unwrap().starts_with("attachment;"));

    let again = upload(&world, &id, "r%C3%A9sum%C3%A9.pdf", &large).await.expect(201);
    assert_eq!((again.id(), again.etag().as_str()), (added.id(), "\"2\""), "it is there already");
    let other = upload(&world, &id, "r%C3%A9sum%C3%A9.pdf", b"another content").await.expect(201);
    assert_ne!(other.id(), added.id());
    upload(&world, &id, "empty", b"").await.expect(201);
    assert_eq!(names(&world.get(&files).await), ["résumé.pdf", "résumé.pdf", "empty"]);
    assert_eq!(world.get(&format!("/appointments/{id}")).await.body["version"], 4);
    let told = "SELECT count(*) FROM feed_entries WHERE record_kind = 'appointment' AND fields = '{attachments}'";
    assert_eq!(world.count(told).await, 3);

    world.delete(&format!("{files}/{}", added.id())).await.expect(204);
    world.delete(&format!("{files}/{}", added.id())).await.expect(404);
    world.get(&location).await.expect(404);
    assert_eq!(world.get(&files).await.body["items"].as_array().unwrap().len(), 2);
    // A file is found under its own appointment only.
    let another = world.post("/appointments", appointment(&ann)).await.expect(201).id();
    world.get(&format!("/appointments/{another}/attachments/{}/content", other.id())).await.expect(404);
    world.delete(&format!("/appointments/{another}/attachments/{}", other.id())).await.expect(404);
    // With the appointment its files go.
    world.delete(&format!("/appointments/{id}")).await.expect(204);
    assert_eq!(world.count("SELECT count(*) FROM activity_attachments").await, 0);
    world.get(&files).await.expect(404);
    upload(&world, &id, "late.txt", b"late").await.expect(404);
}

/// J11: what is wrong with a file is said with the field, the rule and the remedy, before anything is kept.
#[tokio::test]
async fn j11_bad_files_are_refused() {
    let world = World::new().await;
    let (ann, _) = world.user("ann").await;
    let id = world.post("/appointments", appointment(&ann)).await.expect(201).id();
    let limits = json!({ "max_attachment_bytes": 1000, "blocked_extensions": ["exe"] });
    world.patch("/organisation", limits).await.expect(200);
    let one = |field: &str, rule: &str| vec![(field.to_owned(), rule.to_owned())];
    let long = "x".repeat(256);
    for (name, rule) in [
        ("..%2F..%2Fetc%2Fpasswd", "form"),
        ("a%5Cb.txt", "form"),
        ("..", "form"),
        ("a%00b.txt", "characters"),
        ("a%0Ab.txt", "characters"),
        ("%20", "length"),
        (long.as_str(), "length"),
        ("setup.EXE", "blocked"),
    ] {
        let refused = upload(&world, &id, name, b"x").await.expect(422);
        assert_eq!(refused.complaints(), one("name", rule), "{name}");
    }
    // Short in characters, too long in bytes.
    let refused = upload(&world, &id, &"%C3%BC".repeat(200), b"x").await.expect(422);
    assert_eq!(refused.complaints(), one("name", "form"));
    let odd = send(&world, Role::Service, &id, "?name=a.txt", &[("content-type", "text")], vec![1]).await.expect(422);
    assert_eq!(odd.complaints(), one("media_type", "form"));
    assert_eq!(upload(&world, &id, "a.txt", &[0; 1001]).await.expect(413).body["limit_bytes"], 1000);
    upload(&world, &id, "a.txt", &[0; 1000]).await.expect(201);
    let missing = send(&world, Role::Service, &id, "", &[], vec![1]).await;
    assert!(missing.status.is_client_error(), "{}", missing.body);
    let unknown = send(&world, Role::Service, &id, "?name=b.txt&size=1", &[], vec![1]).await;
    assert!(unknown.status.is_client_error(), "{}", unknown.body);
    send(&world, Role::Service, &id, "?name=b.txt", &[("if-match", "\"1\"")], vec![1]).await.expect(412);
    send(&world, Role::Service, "nothing", "?name=b.txt", &[], vec![1]).await.expect(400);
    for kind in ["recurring-appointments", "service-activities"] {
        world.get(&format!("/{kind}/{id}/attachments")).await.expect(404);
    }
    for n in 0..99 {
        let name = format!("{n}.txt");
        upload(&world, &id, &name, name.as_bytes()).await.expect(201);
    }
    assert_eq!(upload(&world, &id, "one-more.txt", b"x").await.expect(409).body["type"], "/problems/too-many-files");
    upload(&world, &id, "7.txt", b"7.txt").await.expect(201);
    assert_eq!(
        world.get(&format!("/appointments/{id}/attachments")).await.body["items"].as_array().unwrap().len(),
        100
    );
}

/// J11: files of closed appointments are not changed, those of drafts are; and nobody sees or changes files of an
/// appointment that is not theirs.
#[tokio::test]
async fn j11_files_follow_their_appointment() {
    let world = World::new().await;
    world.sign_in("ann").await;
    let (bob, _) = world.user("bob").await;
    let mut draft = appointment(&bob);
    draft["draft"] = json!(true);
    let id = world.post("/appointments", draft).await.expect(201).id();
    let file = upload(&world, &id, "a.txt", b"secret").await.expect(201).id();
    world.patch(&format!("/appointments/{id}"), json!({ "state": "completed" })).await.expect(200);
    let closed = upload(&world, &id, "b.txt", b"b").await.expect(422);
    assert_eq!(closed.complaints(), [("attachments".to_owned(), "closed".to_owned())]);
    world.delete(&format!("/appointments/{id}/attachments/{file}")).await.expect(422);
    world.patch(&format!("/appointments/{id}"), json!({ "state": "open" })).await.expect(200);
    let base = format!("/appointments/{id}/attachments");
    for (method, path) in
        [("GET", base.clone()), ("GET", format!("{base}/{file}/content")), ("DELETE", format!("{base}/{file}"))]
    {
        let refused = world.call(Some(Role::User), method, &path, None, &[]).await.expect(404);
        assert!(!String::from_utf8_lossy(&refused.bytes).contains("secret"), "{method} {path}");
        world.call(Some(Role::Operator), method, &path, None, &[]).await.expect(403);
    }
    send(&world, Role::User, &id, "?name=b.txt", &[], vec![1]).await.expect(404);
    assert_eq!(names(&world.get(&base).await), ["a.txt"]);
}
