//! Who may know whom: the table in `docs/architecture.md` against what Cargo says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use serde_json::Value;

use crate::root;

const ALL: &str = "all";

/// The crate's name as the table has it.
fn short(package: &str) -> Option<&str> {
    match package {
        "lockstep" => Some(package),
        _ => package.strip_prefix("lockstep-"),
    }
}

/// What each crate may use, by the documentation.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let rows = text.lines().skip_while(|line| !line.starts_with("| Crate | May use (ours)")).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            let used = cells[2].split([',', ' ']).map(str::trim).filter(|name| !name.is_empty() && *name != "—");
            (cells[1].to_owned(), used.map(str::to_owned).collect())
        })
        .collect()
}

/// The crates of ours that each crate depends on; the second set only for its tests.
fn dependencies() -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(root());
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut found = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let Some(name) = short(package["name"].as_str().unwrap()) else { continue };
        let (mut always, mut in_tests) = (BTreeSet::new(), BTreeSet::new());
        for dependency in package["dependencies"].as_array().unwrap() {
            let Some(used) = short(dependency["name"].as_str().unwrap()) else { continue };
            let set = if dependency["kind"] == "dev" { &mut in_tests } else { &mut always };
            set.insert(used.to_owned());
        }
        found.insert(name.to_owned(), (always, in_tests));
    }
    found
}

#[test]
fn crates_use_only_what_the_table_allows() {
    let (table, found) = (table(), dependencies());
    assert!(table.len() > 10 && found.len() > 10, "nothing was read");
    for (name, (always, _)) in found.iter().filter(|(name, _)| *name != "e2e") {
        let allowed = table.get(name).unwrap_or_else(|| panic!("{name} is missing in the table"));
        let forbidden: Vec<_> = always.iter().filter(|used| !allowed.contains(*used)).collect();
        assert!(allowed.contains(ALL) || forbidden.is_empty(), "{name} uses {forbidden:?}, which the table forbids");
    }
    for name in table.keys() {
        assert!(found.contains_key(name), "{name} stands in the table and does not exist");
    }
}

#[test]
fn no_crate_leads_back_to_itself_even_in_tests() {
    let found = dependencies();
    for start in found.keys() {
        let mut reached: BTreeSet<&String> = BTreeSet::new();
        let mut next: Vec<&String> =
            found[start].0.iter().chain(&found[start].1).filter(|used| *used != start).collect();
        while let Some(name) = next.pop() {
            assert!(name != start, "{start} leads back to itself");
            if reached.insert(name) {
                next.extend(found[name].0.iter().filter(|used| *used != name));
            }
        }
    }
}
