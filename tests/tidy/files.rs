//! Files: their size, the protocols they name, the places they point at.

use std::fs;

use crate::{files, root};

/// From here on a file has more than one subject.
const ALARM: usize = 600;

#[test]
fn no_file_is_long() {
    for file in files("rs") {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= ALARM, "{} has {lines} lines; split it by subject", file.display());
    }
}

/// A new protocol is a new crate and one line: nobody else decides by a protocol's name.
#[test]
fn only_protocols_know_protocols() {
    let at_home = ["crates/protocols/", "crates/lockstep/", "crates/test-support/", "tests/", "/tests/"];
    for file in files("rs") {
        let path = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        if at_home.iter().any(|home| path.contains(home)) {
            continue;
        }
        let source = fs::read_to_string(&file).unwrap();
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let named =
                ["\"pop3\"", "\"smtp\"", "lockstep_pop3", "lockstep_smtp"].iter().find(|name| line.contains(**name));
            assert!(named.is_none(), "{path}:{} names a protocol", number + 1);
        }
    }
}

/// Links inside the documents lead to files that are there.
#[test]
fn documents_point_at_what_exists() {
    let mut checked = 0;
    for file in files("md") {
        let text = fs::read_to_string(&file).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next()) {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
                continue;
            }
            assert!(file.parent().unwrap().join(path).exists(), "{} points at {target}", file.display());
            checked += 1;
        }
    }
    assert!(checked > 10, "only {checked} links were found");
}
