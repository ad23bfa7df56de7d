//! Which columns a list shows, and how a record is laid out.

use serde_json::{Map, Value};

use super::table::{harmless, table};

/// Columns of the tables, by path of the API; dots lead into objects.
const COLUMNS: &[(&str, &[&str])] = &[
    ("users", &["id", "name", "address", "active", "version"]),
    ("queues", &["id", "name", "address", "active", "version"]),
    ("contacts", &["id", "name", "address", "active", "version"]),
    ("accounts", &["id", "name", "address", "active", "version"]),
    ("leads", &["id", "name", "address", "active", "version"]),
    ("email-server-profiles", &["id", "name", "incoming.protocol", "incoming.host", "outgoing.host", "version"]),
    ("mailboxes", &["id", "name", "address", "state", "address_status", "incoming_test", "outgoing_test"]),
    ("emails", &["id", "direction", "status", "subject", "created_at"]),
    ("audit", &["done_at", "actor", "action", "record_kind", "record_id", "detail"]),
    ("mailboxes/actions", &["mailbox_id", "outcome", "detail"]),
    ("alerts", &["id", "severity", "scope", "title", "occurrences", "last_at"]),
    ("synchronization-history", &["lost_at", "field", "side", "value", "mailbox_id"]),
    ("changes", &["position", "record_kind", "record_id", "change", "record_version", "changed_at"]),
    ("webhook-endpoints", &["id", "name", "url", "state", "position", "failures", "last_status"]),
    ("security-roles", &["id", "name", "description", "version"]),
    ("teams", &["id", "name", "description", "security_role_ids", "version"]),
    ("members", &["user_id", "name", "address", "active"]),
    ("secured-fields", &["record_kind", "field"]),
    ("field-directions", &["record_kind", "field", "direction", "default", "settable"]),
    ("api-keys", &["id", "name", "role", "user_id", "created_at", "expires_at", "revoked_at"]),
    ("api-keys/revoked", &["id", "name", "outcome"]),
];

/// Columns when none are known.
const MOST_COLUMNS: usize = 6;

/// A list as a table. Columns that no item has are left out; without known columns, the first ones of the first item.
pub(super) fn list(path: &str, items: &[Value]) -> String {
    let Some(Value::Object(first)) = items.first() else { return "Nothing.\n".to_owned() };
    let known = COLUMNS.iter().find(|(name, _)| *name == path).map_or(&[][..], |(_, columns)| columns);
    let mut columns: Vec<&str> =
        known.iter().copied().filter(|column| items.iter().any(|item| find(item, column).is_some())).collect();
    if columns.is_empty() {
        columns = first.iter().filter(|(_, value)| !value.is_object()).map(|(key, _)| key.as_str()).collect();
        columns.truncate(MOST_COLUMNS);
    }
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|item| columns.iter().map(|column| find(item, column).map(cell).unwrap_or_default()).collect())
        .collect();
    table(&columns, &rows)
}

/// A record, one key a line.
pub(super) fn record(value: &Value) -> String {
    match value {
        Value::Null => "Done.\n".to_owned(),
        Value::Object(fields) => {
            let mut lines = Vec::new();
            flatten("", fields, &mut lines);
            let width = lines.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0);
            lines.iter().map(|(key, value)| format!("{key:width$}  {value}\n")).collect()
        }
        other => format!("{}\n", cell(other)),
    }
}

fn flatten(prefix: &str, fields: &Map<String, Value>, lines: &mut Vec<(String, String)>) {
    for (key, value) in fields {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Object(inner) if !inner.is_empty() => flatten(&key, inner, lines),
            other => lines.push((harmless(&key), cell(other))),
        }
    }
}

fn find<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, key| value.get(key))
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => harmless(text),
        other => harmless(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_show_known_columns_and_records_every_key() {
        let items = [json!({ "id": "1", "name": "Ann", "address": null, "more": { "x": 1 } })];
        assert_eq!(list("users", &items), "id  name  address\n1   Ann   -\n");
        assert_eq!(list("unknown", &items), "address  id  name\n-        1   Ann\n");
        assert_eq!(list("users", &[]), "Nothing.\n");
        assert_eq!(record(&items[0]), "address  -\nid       1\nmore.x   1\nname     Ann\n");
        assert_eq!(record(&Value::Null), "Done.\n");
    }
}
