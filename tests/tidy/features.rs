//! Features: the ids that tests cite, and the page that says what they mean and where they are proved.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use crate::{files, root};

fn is_id(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(|letter| matches!(letter, 'A'..='O'))
        && (2..=3).contains(&word.len())
        && letters.all(|digit| digit.is_ascii_digit())
}

/// Ids that a line cites: `/// A7, A8: …`, or `fn a7_a8_…`.
fn cited(line: &str) -> Vec<String> {
    let line = line.trim_start();
    let first = line.strip_prefix("/// ").or(line.strip_prefix("//! ")).and_then(|text| text.split_once(':'));
    if let Some((before, _)) = first {
        let words: Vec<_> = before.split([',', ' ']).filter(|word| !word.is_empty() && *word != "and").collect();
        if words.iter().all(|word| is_id(word)) {
            return words.into_iter().map(str::to_owned).collect();
        }
    }
    let Some((_, name)) = line.split_once("fn ") else { return Vec::new() };
    // The last part has no underscore behind it and is never an id.
    let parts = name.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()).next().unwrap_or_default().split('_');
    parts.map(str::to_ascii_uppercase).take_while(|part| is_id(part)).collect()
}

/// The files that cite each id.
fn citations() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files("rs") {
        let path = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        if path.ends_with("tidy/features.rs") {
            continue; // Its citations are samples.
        }
        for id in fs::read_to_string(&file).unwrap().lines().flat_map(cited) {
            found.entry(id).or_default().insert(path.clone());
        }
    }
    found
}

/// The rows of `docs/features.md`: an id, and the files that prove it.
fn rows() -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(root().join("docs/features.md")).unwrap();
    let mut rows = BTreeMap::new();
    for row in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| id")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        assert!(is_id(cells[1]) && !cells[2].is_empty(), "features.md: {row}");
        let files = cells[3].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        assert!(rows.insert(cells[1].to_owned(), files).is_none(), "features.md has {} twice", cells[1]);
    }
    rows
}

#[test]
fn ids_are_told_from_other_words() {
    assert_eq!(cited("    /// A7, A8 and N10: as often"), ["A7", "A8", "N10"]);
    assert_eq!(cited("async fn h10_n4_nothing_twice() {"), ["H10", "N4"]);
    assert_eq!(cited("fn b15() {"), ["B15"]);
    for line in
        ["/// SHA1: a hash", "fn u16_of()", "fn e2e_run()", "fn base64_of()", "/// See A7.", "let a7_x = 1;", "/// : x"]
    {
        assert!(cited(line).iter().all(String::is_empty), "{line}");
    }
}

/// Whatever a test cites can be looked up.
#[test]
fn every_cited_id_is_explained() {
    let rows = rows();
    for (id, files) in citations() {
        assert!(rows.contains_key(&id), "{files:?} cite {id}, which docs/features.md does not have");
    }
}

/// What is said to prove a feature is there, and cites it.
#[test]
fn every_row_is_proved_where_it_says() {
    let (rows, citations) = (rows(), citations());
    assert!(rows.len() > 50, "only {} rows were read", rows.len());
    for (id, files) in rows {
        assert!(!files.is_empty(), "features.md names no test of {id}");
        for file in files {
            let cites = citations.get(&id).is_some_and(|citing| citing.contains(&file));
            assert!(cites, "features.md says that {file} proves {id}, which it does not cite");
        }
    }
}
