//! Every code has a test that raises it and one that ends it. What counts is what tests assert against the database, in
//! their code: a comment proves nothing, and neither does a name that stands there for something else.

use std::{collections::BTreeMap, fs, ops::Range};

use lockstep_model::catalogue;

use crate::files;

/// A source without what is no code: comments blanked, and in the second text the insides of literals too. Both are as
/// long as the source, so that places agree.
fn stripped(source: &str) -> (Vec<u8>, Vec<u8>) {
    let bytes = source.as_bytes();
    let (mut code, mut bare) = (bytes.to_vec(), bytes.to_vec());
    let blank = |text: &mut Vec<u8>, range: Range<usize>| text[range].fill(b' ');
    let find =
        |from: usize, what: &str| source.as_bytes()[from..].windows(what.len()).position(|w| w == what.as_bytes());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let raw = rest[0] == b'r' && !at.checked_sub(1).is_some_and(|before| bytes[before].is_ascii_alphanumeric());
        let hashes = rest.iter().skip(1).take_while(|b| **b == b'#').count();
        if rest.starts_with(b"//") {
            let end = at + find(at, "\n").unwrap_or(rest.len());
            blank(&mut code, at..end);
            blank(&mut bare, at..end);
            at = end;
        } else if rest.starts_with(b"/*") {
            let end = at + find(at, "*/").map_or(rest.len(), |length| length + 2);
            blank(&mut code, at..end);
            blank(&mut bare, at..end);
            at = end;
        } else if raw && rest.get(1 + hashes) == Some(&b'"') {
            let begin = at + hashes + 2;
            let end = begin + find(begin, &format!("\"{}", "#".repeat(hashes))).unwrap_or(bytes.len() - begin);
            blank(&mut bare, begin..end);
            at = end + 1 + hashes;
        } else if rest[0] == b'"' {
            let mut end = at + 1;
            while end < bytes.len() && bytes[end] != b'"' {
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            let end = end.min(bytes.len());
            blank(&mut bare, at + 1..end);
            at = end + 1;
        } else if rest[0] == b'\'' && (rest.get(2) == Some(&b'\'') || rest.get(1) == Some(&b'\\')) {
            // A character; a lifetime has no second quote so near.
            let inside = at + if rest.get(1) == Some(&b'\\') { 3 } else { 2 };
            let end = inside + bytes[inside..].iter().position(|b| *b == b'\'').unwrap_or(0);
            blank(&mut bare, at + 1..end);
            at = end + 1;
        } else {
            at += 1;
        }
    }
    (code, bare)
}

/// A test: its code without literals, and its literals.
struct Test {
    code: String,
    literals: Vec<String>,
}

fn tests(source: &str) -> Vec<Test> {
    let (code, bare) = stripped(source);
    let text = String::from_utf8_lossy(&bare);
    let mut found = Vec::new();
    for (at, _) in text.match_indices("test]").chain(text.match_indices("test(flavor")) {
        let attribute = text[..at].rfind("#[").is_some_and(|begin| !text[begin..at].contains(['\n', '(']));
        let Some(begin) = text[at..].find('{').map(|length| at + length).filter(|_| attribute) else { continue };
        let mut depth = 0_usize;
        let end = bare[begin..].iter().position(|b| {
            depth = match b {
                b'{' => depth + 1,
                b'}' => depth - 1,
                _ => depth,
            };
            depth == 0
        });
        let end = begin + end.unwrap_or(0);
        let quotes: Vec<_> = (begin..end).filter(|at| bare[*at] == b'"').collect();
        let literal = |pair: &[usize]| String::from_utf8_lossy(&code[pair[0] + 1..pair[1]]).into_owned();
        let literals = quotes.chunks_exact(2).map(literal).collect();
        found.push(Test { code: text[begin..end].to_owned(), literals });
    }
    found
}

impl Test {
    /// It compares the open alerts with a list in which the code stands, as `Code error ×1`.
    fn lists(&self, code: &str) -> bool {
        let listed =
            |rest: &str| ["error", "warning", "information"].iter().any(|l| rest.starts_with(&format!(" {l} ×")));
        self.code.contains("open_alerts()") && self.literals.iter().any(|l| l.strip_prefix(code).is_some_and(listed))
    }

    fn names(&self, code: &str) -> bool {
        self.literals.iter().any(|literal| literal == code)
    }

    fn raises(&self, code: &str) -> bool {
        self.lists(code) || self.code.contains(".assert_raised(") && self.names(code)
    }

    fn clears(&self, code: &str) -> bool {
        let empty = ["open_alerts().await.is_empty()", "open_alerts().await, [\"\"; 0]"];
        self.lists(code) && empty.iter().any(|assertion| self.code.contains(assertion))
            || self.code.contains(".assert_cleared(") && self.names(code)
    }
}

/// M8: each code of the catalogue is raised by a test, and ended by one.
#[test]
fn m8_every_code_is_raised_and_ended_by_a_test() {
    let mut proofs: BTreeMap<&str, (bool, bool)> = catalogue::entries().map(|e| (e.code, (false, false))).collect();
    for file in files("rs") {
        if file.ends_with("tidy/proofs.rs") || !file.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        for test in tests(&fs::read_to_string(&file).unwrap()) {
            for (code, (raised, cleared)) in &mut proofs {
                *raised |= test.raises(code);
                *cleared |= test.clears(code);
            }
        }
    }
    let without = |proved: fn(&(bool, bool)) -> bool| {
        proofs.iter().filter(|(_, proof)| !proved(proof)).map(|(code, _)| *code).collect::<Vec<_>>()
    };
    let (unraised, uncleared) = (without(|proof| proof.0), without(|proof| proof.1));
    assert!(unraised.is_empty(), "no test raises {unraised:?}: use assert_raised of the tests' World");
    assert!(uncleared.is_empty(), "no test ends {uncleared:?}: use assert_cleared of the tests' World");
}

/// Only code proves: not a comment, not a name without an assertion, not an assertion without the name.
#[test]
fn comments_prove_nothing() {
    let proofs = |body: &str| {
        let source = format!("use x;\n#[tokio::test]\nasync fn t() {{\n{body}\n}}\nfn other() {{ \"Other\"; }}");
        let tests = tests(&source);
        assert_eq!(tests.len(), 1, "{body}");
        (tests[0].raises("CodeA"), tests[0].clears("CodeA"))
    };
    assert_eq!(proofs(r#"w.assert_raised("CodeA").await; w.assert_cleared("CodeA").await;"#), (true, true));
    assert_eq!(proofs(r#"for code in ["CodeA", "CodeB"] { let c = '"'; w.assert_raised(code); }"#), (true, false));
    assert_eq!(proofs("// w.assert_raised(\"CodeA\")\n/* w.assert_cleared(\"CodeA\") */"), (false, false));
    assert_eq!(proofs("w.assert_raised(code); // \"CodeA\""), (false, false));
    assert_eq!(proofs(r#"let a = "CodeA"; let b = "w.assert_raised(";"#), (false, false));
    assert_eq!(proofs(r##"let a = r#"CodeA"#; let b = "CodeAB";"##), (false, false));
    let listed = r#"assert_eq!(w.open_alerts().await, ["CodeA error ×1"]);"#;
    assert_eq!(proofs(listed), (true, false));
    assert_eq!(proofs(&format!("{listed} assert!(w.open_alerts().await.is_empty());")), (true, true));
    assert_eq!(proofs(r#"assert!(w.open_alerts().await.is_empty(), "CodeA");"#), (false, false));
}
