//! Texts of one line stay on one line, in every body of every route.

use lockstep_store::access::Role;
use serde_json::{Map, Value, json};

use crate::{
    hostile::{routes_with_body, with_words},
    world::World,
};

/// Texts of many lines, and secrets, in which everything may stand.
const NOT_OF_ONE_LINE: &[&str] = &[
    "description",
    "body_text",
    "body_html",
    "content",
    "password",
    "outgoing_password",
    "client_secret",
    "street",
    "expression",
];

/// A schema, without the reference to it.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(name) = schema["$ref"].as_str() {
        return resolved(document, document.pointer(name.trim_start_matches('#')).unwrap());
    }
    let some = |choice: &&Value| choice["type"] != "null";
    match schema["oneOf"].as_array().and_then(|choices| choices.iter().find(some)) {
        Some(choice) => resolved(document, choice),
        None => schema,
    }
}

fn is_a(schema: &Value, kind: &str) -> bool {
    schema["type"] == kind || schema["type"].as_array().is_some_and(|kinds| kinds.contains(&json!(kind)))
}

/// The least that a schema asks for.
fn least(document: &Value, name: &str, schema: &Value) -> Value {
    let schema = resolved(document, schema);
    match name {
        "address" => return json!(format!("a{}@x.test", uuid::Uuid::new_v4().simple())),
        "name" => return json!(uuid::Uuid::new_v4().to_string()),
        "url" => return json!("https://x.test/h"),
        "host" => return json!("h.x.test"),
        "incoming" => return json!({ "protocol": "pop3", "host": "h.x.test" }),
        "outgoing" => return json!({ "protocol": "smtp", "host": "h.x.test" }),
        "credentials" => return json!("mailbox"),
        "privilege" => return json!("read"),
        "encoding_code_page" => return json!("windows-1251"),
        "time" => return json!({ "first": "2027-01-01" }),
        "record_kind" => return json!("task"),
        "expression" => return json!({ "all": [] }),
        "start" | "original" => return json!("2027-01-04T09:00:00"),
        "zone" => return json!("UTC"),
        "rule" => return json!({ "frequency": "daily" }),
        "length" => return json!({ "minutes": 5 }),
        _ => {}
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    if is_a(schema, "object") {
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let names = required.iter().filter_map(Value::as_str);
        return names
            .map(|name| (name.to_owned(), least(document, name, &schema["properties"][name])))
            .collect::<Map<_, _>>()
            .into();
    }
    match schema["type"].as_str() {
        Some("array") => json!([]),
        Some("integer") => json!(1),
        Some("boolean") => json!(false),
        _ if schema["format"] == "uuid" => json!(uuid::Uuid::nil()),
        _ => json!("x"),
    }
}

/// Where texts of one line stand in a schema, each as the names and places that lead there.
fn lines(document: &Value, schema: &Value, at: &[String], found: &mut Vec<Vec<String>>) {
    let schema = resolved(document, schema);
    let deeper = |name: &str| [at, &[name.to_owned()]].concat();
    if is_a(schema, "array") {
        lines(document, &schema["items"], &deeper("0"), found);
    } else if let Some(properties) = schema["properties"].as_object() {
        for (name, property) in properties.iter().filter(|(name, _)| !NOT_OF_ONE_LINE.contains(&name.as_str())) {
            lines(document, property, &deeper(name), found);
        }
    } else if is_a(schema, "string") && schema.get("enum").is_none() && schema["format"] != "uuid" {
        found.push(at.to_vec());
    }
}

/// Puts a text into a body, with the least that must stand around it.
fn put(document: &Value, schema: &Value, at: &[String], body: &mut Value, text: &str) {
    let Some((name, rest)) = at.split_first() else {
        *body = json!(text);
        return;
    };
    let schema = resolved(document, schema);
    if is_a(schema, "array") {
        let mut item = least(document, "", &schema["items"]);
        put(document, &schema["items"], rest, &mut item, text);
        *body = json!([item]);
        return;
    }
    let property = &schema["properties"][name.as_str()];
    if body.get(name).is_none_or(|there| there == &json!([])) {
        body[name] = least(document, name, property);
    }
    put(document, property, rest, &mut body[name], text);
}

/// One rule for every text of one line, of every resource, whether it is made or changed: no separator of lines, nothing
/// that turns the direction of writing, also not at an end where white space is trimmed. The problem names the field.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_line_is_one_line_everywhere() {
    let world = World::new().await;
    let document = serde_json::to_value(lockstep_web::openapi()).unwrap();
    let (user, mailbox) = world.user("ann").await;
    let (mut tried, mut without) = (0, Vec::new());
    for (method, path) in routes_with_body(&document) {
        // Signing in stores nothing; a takeover looks for the account first, and then writes it as a change does, and so
        // does a change by another id. An answer is one of a few words.
        if ["/sessions", "/takeover", "by-external-id/{source}/{external_id}", "/answer"]
            .iter()
            .any(|end| path.ends_with(end))
        {
            continue;
        }
        let schema = &document["paths"][&path][method.to_lowercase()]["requestBody"]["content"]["application/json"];
        let schema = resolved(&document, &schema["schema"]);
        let mut places = Vec::new();
        lines(&document, schema, &[], &mut places);
        let base = |path: &str| {
            let mut body = least(&document, "", schema);
            if path.ends_with("/emails") {
                body["from"] = json!({ "user_id": user });
            }
            if path.ends_with("/synchronization-filters") {
                body["user_id"] = json!(user);
            }
            if path.ends_with("/mailboxes") {
                body["is_forward_mailbox"] = json!(true);
            }
            body
        };
        let mut short = with_words(path.trim_start_matches("/api/v1"));
        if let Some((collection, _)) = short.split_once("/{id}") {
            let id = match collection {
                "/mailboxes" => mailbox.clone(),
                "/users" => user.clone(),
                collection => {
                    let of_new = format!("/api/v1{collection}");
                    let made =
                        &document["paths"][&of_new]["post"]["requestBody"]["content"]["application/json"]["schema"];
                    let mut body = least(&document, "", resolved(&document, made));
                    if collection == "/emails" {
                        body["from"] = json!({ "user_id": user });
                    }
                    if collection == "/synchronization-filters" {
                        body["user_id"] = json!(user);
                    }
                    world.post(collection, body).await.expect(201).id()
                }
            };
            short = short.replace("{id}", &id);
        }
        for place in places {
            let name = place.iter().rfind(|name| *name != "0").unwrap();
            let right = least(&document, name, &Value::Null).as_str().unwrap_or("x").to_owned();
            let odd = ["x\u{202e}x", "x\u{2066}x", "x\u{2028}x", "x\u{2029}", "\u{200f}x", "x\n"].map(str::to_owned);
            for odd in odd.into_iter().chain([format!("{right}\u{2028}"), format!("\u{202e}{right}")]) {
                let mut body = if method == "PATCH" { json!({}) } else { base(&path) };
                put(&document, schema, &place, &mut body, &odd);
                let answer = world.call(Some(Role::Administrator), &method, &short, Some(&body), &[]).await;
                let named = answer.status.as_u16() == 422
                    && answer.complaints().iter().any(|(field, rule)| {
                        let field: Vec<&str> = field.split('.').collect();
                        rule != "not-used" && place.iter().map(String::as_str).zip(&field).all(|(a, b)| a == *b)
                    });
                if !named {
                    without.push(format!(
                        "{method} {short} {} {odd:?}: {} {}",
                        place.join("."),
                        answer.status,
                        answer.body
                    ));
                }
                tried += 1;
            }
        }
    }
    assert!(without.is_empty(), "{}", without.join("\n"));
    assert!(tried > 500, "only {tried}");
}
