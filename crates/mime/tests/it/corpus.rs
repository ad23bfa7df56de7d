//! Every message of the corpus against what expect.json says of it.

use std::path::{Path, PathBuf};

use lockstep_mime::{Limits, message};
use serde_json::Value;

use crate::recorder::{collect, record};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus")
}

fn expectations() -> Value {
    serde_json::from_slice(&std::fs::read(folder().join("expect.json")).unwrap()).unwrap()
}

fn limits(expected: &Value) -> Limits {
    Limits { default_charset: expected["default_charset"].as_str().map(str::to_owned), ..Limits::default() }
}

#[test]
fn every_file_is_expected_and_listed() {
    let expected = expectations();
    let index = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let mut found: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".eml"))
        .collect();
    found.sort();
    assert!(found.len() >= 32);
    let files: Vec<&String> = expected["files"].as_object().unwrap().keys().collect();
    assert_eq!(found.iter().collect::<Vec<_>>(), files);
    for name in &found {
        assert!(index.contains(name.as_str()), "{name} is missing in the index");
        let size = std::fs::metadata(folder().join(name)).unwrap().len();
        assert!(size < 300 * 1024, "{name} is too large");
    }
}

#[test]
fn every_message_is_read_as_expected() {
    let mut failures = Vec::new();
    for (name, expected) in expectations()["files"].as_object().unwrap() {
        let raw = std::fs::read(folder().join(name)).unwrap();
        let (parsed, contents) = collect(&raw, 8_192, &limits(expected));
        let found = describe(&parsed, &contents);
        for (key, value) in expected.as_object().unwrap() {
            let ok = match key.as_str() {
                "default_charset" => true,
                "text_contains" => contains(&parsed.body_text, value),
                "html_contains" => contains(&parsed.body_html, value),
                "anomalies" => {
                    value.as_array().unwrap().iter().all(|a| found["anomalies"].as_array().unwrap().contains(a))
                }
                "report" => value.as_object().unwrap().iter().all(|(k, v)| &found["report"][k] == v),
                _ => &found[key.as_str()] == value,
            };
            if !ok {
                failures.push(format!("{name}: {key}: expected {value}, found {found:#}"));
            }
        }
        // What is not said must not be.
        if expected.get("unparsable").is_none() && parsed.unparsable.is_some() {
            failures.push(format!("{name}: unparsable {:?}", parsed.unparsable));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn contains(text: &Option<String>, part: &Value) -> bool {
    text.as_deref().unwrap_or_default().contains(part.as_str().unwrap())
}

fn describe(parsed: &message::ParsedMessage, contents: &[Vec<u8>]) -> Value {
    let headers = &parsed.headers;
    assert_eq!(contents.len(), parsed.attachments.len());
    let attachments: Vec<Value> =
        parsed.attachments.iter().map(|a| serde_json::json!([a.name, a.media_type, a.size])).collect();
    let inline: Vec<&str> = parsed.attachments.iter().filter(|a| a.inline).map(|a| a.name.as_str()).collect();
    let anomalies: Vec<&str> = parsed.anomalies.as_slice().iter().map(|a| a.code()).collect();
    let report = parsed.report.as_ref().map(|report| {
        let recipient = report.recipients.first();
        serde_json::json!({
            "original_message_id": report.original_message_id,
            "recipient": recipient.map(|r| r.recipient.as_str()),
            "action": recipient.and_then(|r| r.action.as_deref()),
            "status": recipient.and_then(|r| r.status.as_deref()),
        })
    });
    serde_json::json!({
        "subject": headers.subject,
        "from": headers.from.iter().map(|a| a.address.as_str()).collect::<Vec<_>>(),
        "from_name": headers.from.first().and_then(|a| a.name.as_deref()),
        "to_count": headers.to.len(),
        "references_count": headers.references.len(),
        "message_id": headers.message_id,
        "date": headers.date.map(|d| d.format("%Y-%m-%dT%H:%M:%SZ").to_string()),
        "auto_submitted": headers.auto_submitted,
        "is_list": headers.is_list,
        "loop": headers.loop_organisation,
        "text": parsed.body_text,
        "text_length": parsed.body_text.as_deref().map(str::len),
        "attachments": attachments,
        "inline": inline,
        "signed": parsed.is_signed,
        "encrypted": parsed.is_encrypted,
        "calendar_method": parsed.calendar_method,
        "report": report,
        "anomalies": anomalies,
        "unparsable": parsed.unparsable.map(|u| u.code()),
    })
}

#[test]
fn chunking_changes_nothing() {
    for (name, expected) in expectations()["files"].as_object().unwrap() {
        let raw = std::fs::read(folder().join(name)).unwrap();
        let limits = limits(expected);
        let whole = record(&raw, usize::MAX, &limits);
        for step in [1, 7, 1_000] {
            assert!(record(&raw, step, &limits) == whole, "{name} in chunks of {step}");
        }
    }
}
