//! Migrations: numbered in a row, and each tells the database its number.

use std::fs;

use crate::root;

#[test]
fn migrations_follow_one_another_and_tell_their_number() {
    let mut names: Vec<String> = fs::read_dir(root().join("crates/store/migrations"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(!names.is_empty());
    for (number, name) in (1..).zip(&names) {
        let words = name.strip_prefix(&format!("{number:04}_")).and_then(|rest| rest.strip_suffix(".sql"));
        let well_named = words.is_some_and(|w| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        assert!(well_named, "{name}: migration {number} is expected here, as {number:04}_some_words.sql");
        let sql = fs::read_to_string(root().join("crates/store/migrations").join(name)).unwrap();
        let told = match number {
            1 => sql.contains("INSERT INTO schema_state (version, oldest_code) VALUES (1, 1);"),
            _ => sql.contains(&format!("UPDATE schema_state SET version = greatest(version, {number});")),
        };
        assert!(told, "{name} does not set schema_state.version to {number}");
    }
    let code = fs::read_to_string(root().join("crates/store/src/schema.rs")).unwrap();
    let newest = format!("pub const SCHEMA_VERSION: i32 = {};", names.len());
    assert!(code.contains(&newest), "schema.rs does not say `{newest}`");
}
