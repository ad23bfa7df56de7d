//! The description of the API, with what the code generator cannot know: errors, patches, sign-in.

use std::sync::OnceLock;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use super::PREFIX;
use crate::auth::{Access, RULES};

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "about", responses((status = 200, description = "OpenAPI 3.1")))]
pub(crate) async fn read() -> Response {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| super::openapi().to_json().unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], text.as_str()).into_response()
}

/// Answers that any request may get.
const REFUSALS: &[(&str, &str)] = &[
    ("400", "The request cannot be read"),
    ("401", "No valid key"),
    ("403", "The key's role does not allow it"),
    ("404", "No such record or path"),
    ("405", "The path does not take this method"),
    ("503", "Try again shortly"),
];
/// Further answers of requests that carry something.
const WRITE_REFUSALS: &[(&str, &str)] = &[
    ("409", "It does not fit the present state, or a value is taken"),
    ("412", "The record is at another version than If-Match says"),
    ("413", "The body is too large"),
    ("415", "The body is not announced as JSON"),
    ("422", "Fields are not accepted; errors names them"),
];

/// Completes what was generated.
pub(crate) fn complete(described: OpenApi) -> OpenApi {
    completed(&described).unwrap_or(described)
}

fn completed(described: &OpenApi) -> serde_json::Result<OpenApi> {
    serde_json::from_value(document(described)?)
}

fn document(described: &OpenApi) -> serde_json::Result<Value> {
    let mut document = serde_json::to_value(described)?;
    document["openapi"] = json!("3.1.0");
    document["info"] = json!({
        "title": "Lockstep",
        "summary": "Server-side synchronization between a CRM and its mailboxes",
        "description": "Lists are read in pages: limit, and after with the next of the page before. Records carry an \
            ETag; a PATCH with If-Match fails with 412 when somebody else was faster. A POST with an Idempotency-Key \
            has one effect, however often it is sent within a day. Every refusal is application/problem+json.",
        "version": env!("CARGO_PKG_VERSION"),
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    });
    document["servers"] = json!([{ "url": "/", "description": "this installation" }]);
    let scheme = json!({ "type": "http", "scheme": "bearer", "description": "An API key" });
    document["components"]["securitySchemes"] = json!({ "key": scheme });
    document["security"] = json!([{ "key": [] }]);
    add_problem(&mut document);
    complete_operations(&mut document);
    add_patches(&mut document);
    inline_all_of(&mut document);
    Ok(document)
}

fn add_problem(document: &mut Value) {
    document["components"]["schemas"]["FieldError"] = json!({
        "type": "object", "required": ["field", "rule", "remedy"],
        "properties": {
            "field": { "type": "string", "description": "Path of the field in the request" },
            "rule": { "type": "string", "description": "The rule that is broken" },
            "remedy": { "type": "string", "description": "What would be accepted" },
        },
    });
    document["components"]["schemas"]["Problem"] = json!({
        "type": "object", "required": ["type", "title", "status", "detail"],
        "description": "A problem document (RFC 9457)",
        "properties": {
            "type": { "type": "string" }, "title": { "type": "string" }, "status": { "type": "integer" },
            "detail": { "type": "string" },
            "errors": { "type": "array", "items": { "$ref": "#/components/schemas/FieldError" } },
        },
    });
}

fn complete_operations(document: &mut Value) {
    for rule in RULES {
        let operation = &mut document["paths"][rule.path][rule.method.to_ascii_lowercase()];
        let Value::Object(operation) = operation else { continue };
        let id = format!("{} {}", rule.method, rule.path.trim_start_matches(PREFIX));
        operation.insert("operationId".into(), operation_id(&id).into());
        match rule.access {
            Access::Public => operation.insert("security".into(), json!([])),
            Access::Roles(roles) => {
                let roles: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
                operation.insert("x-roles".into(), json!(roles))
            }
        };
        let writes = rule.method != "GET";
        let refusals = REFUSALS.iter().chain(WRITE_REFUSALS.iter().filter(|_| writes));
        if let Some(Value::Object(responses)) = operation.get_mut("responses") {
            for (status, description) in refusals {
                responses.entry(*status).or_insert_with(|| {
                    let schema = json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
                    json!({ "description": description, "content": { "application/problem+json": schema } })
                });
            }
        }
    }
}

/// `GET /users/{id}` becomes `get_users_id`.
fn operation_id(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_ascii_lowercase()
}

/// A PATCH takes the same members as the POST, all of them optional.
fn add_patches(document: &mut Value) {
    let mut patches = Map::new();
    let Some(Value::Object(paths)) = document.get_mut("paths") else { return };
    for item in paths.values_mut() {
        let Some(content) = item.pointer_mut("/patch/requestBody/content") else { continue };
        let Some(reference) = content.pointer("/application~1json/schema/$ref").and_then(Value::as_str) else {
            continue;
        };
        let reference = reference.to_owned();
        let Some(name) = reference.rsplit('/').next() else { continue };
        let patch = format!("{name}Patch");
        let schema = json!({ "schema": { "$ref": format!("#/components/schemas/{patch}") } });
        *content = json!({ "application/json": schema, "application/merge-patch+json": schema });
        patches.insert(patch, name.into());
    }
    for (patch, name) in patches {
        let mut schema = document["components"]["schemas"][name.as_str().unwrap_or_default()].clone();
        if let Value::Object(schema) = &mut schema {
            schema.remove("required");
            schema.insert("description".into(), "A merge patch (RFC 7396): null clears a member".into());
        }
        document["components"]["schemas"][patch.as_str()] = schema;
    }
}

/// Schemas made of parts become one: a part that allows no further members would contradict the others.
fn inline_all_of(document: &mut Value) {
    let Some(Value::Object(schemas)) = document["components"].get("schemas").cloned() else { return };
    for (name, schema) in &schemas {
        if schema.get("allOf").is_some() {
            document["components"]["schemas"][name.as_str()] = inlined(schema, &schemas);
        }
    }
    // Pages hold their items' schemas in place.
    for (name, schema) in &schemas {
        if let Some(items) = schema.pointer("/properties/items/items")
            && items.get("allOf").is_some()
        {
            document["components"]["schemas"][name.as_str()]["properties"]["items"]["items"] = inlined(items, &schemas);
        }
    }
}

fn inlined(schema: &Value, schemas: &Map<String, Value>) -> Value {
    let mut whole = schema.clone();
    let Value::Object(members) = &mut whole else { return whole };
    let Some(Value::Array(parts)) = members.remove("allOf") else { return whole };
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for part in parts {
        let part = match part["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
            Some(name) => schemas.get(name).map(|part| inlined(part, schemas)).unwrap_or_default(),
            None => part,
        };
        if let Some(Value::Object(more)) = part.get("properties") {
            properties.extend(more.clone());
        }
        if let Some(Value::Array(more)) = part.get("required") {
            required.extend(more.clone());
        }
    }
    properties.retain(|_, property| property.get("writeOnly") != Some(&Value::Bool(true)));
    members.insert("type".into(), "object".into());
    members.insert("properties".into(), Value::Object(properties));
    members.insert("required".into(), Value::Array(required));
    whole
}

#[cfg(test)]
mod tests {
    use utoipa_axum::router::OpenApiRouter;

    use super::*;
    use crate::api::routes;

    /// What was generated is never served as it came for want of a completion.
    #[test]
    fn it_can_be_completed() {
        let (_, described) = OpenApiRouter::new().nest(PREFIX, routes()).split_for_parts();
        let document = document(&described).unwrap();
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            let read = serde_json::from_value::<utoipa::openapi::RefOr<utoipa::openapi::Schema>>(schema.clone());
            assert!(read.is_ok(), "{name}: {schema}");
        }
        completed(&described).unwrap();
    }
}
