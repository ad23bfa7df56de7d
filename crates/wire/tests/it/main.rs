//! Every message ever sent can still be read; everything else is refused with a reason.
#![allow(clippy::unwrap_used, clippy::panic)]

mod hostile;

use std::{collections::BTreeSet, fs, path::Path};

use lockstep_wire::{CycleReport, DecodeError, Envelope, Message, RunOperation, SendEmail, SyncLane};

fn samples(kind: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(kind);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

fn reads_every_version_and_writes_the_newest<M: Message + PartialEq>() {
    let samples = samples(M::KIND);
    assert_eq!(samples.len(), M::VERSION as usize, "one frozen sample for each version of {}", M::KIND);
    for sample in &samples {
        let envelope = Envelope::<M>::decode(sample).unwrap();
        let again = Envelope::<M>::decode(&envelope.encode().unwrap()).unwrap();
        assert_eq!(again, envelope);
    }
    let newest: serde_json::Value = serde_json::from_slice(samples.last().unwrap()).unwrap();
    let written = Envelope::<M>::decode(samples.last().unwrap()).unwrap().encode().unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&written).unwrap(), newest, "the wire format is frozen");
}

#[test]
fn frozen_samples() {
    reads_every_version_and_writes_the_newest::<SyncLane>();
    reads_every_version_and_writes_the_newest::<SendEmail>();
    reads_every_version_and_writes_the_newest::<RunOperation>();
    reads_every_version_and_writes_the_newest::<CycleReport>();
}

#[test]
fn every_sample_folder_belongs_to_a_message() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    let found: BTreeSet<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    let known = [SyncLane::KIND, SendEmail::KIND, RunOperation::KIND, CycleReport::KIND].map(String::from);
    assert_eq!(found, BTreeSet::from(known));
}

#[test]
fn what_is_not_an_envelope_is_refused_with_the_reason() {
    let good = String::from_utf8(samples("sync-lane").remove(0)).unwrap();
    type Expected = fn(&DecodeError) -> bool;
    let cases: Vec<(Vec<u8>, Expected)> = vec![
        (b"\xff\xfe".to_vec(), |e| matches!(e, DecodeError::NotAnEnvelope(_))),
        (b"{}".to_vec(), |e| matches!(e, DecodeError::NotAnEnvelope(_))),
        (vec![b' '; 20_000], |e| matches!(e, DecodeError::TooLarge(20_000))),
        (good.replace("sync-lane", "other").into_bytes(), |e| matches!(e, DecodeError::WrongKind { .. })),
        (good.replace("\"version\":1", "\"version\":9").into_bytes(), |e| {
            matches!(e, DecodeError::TooNew { found: 9, .. })
        }),
        (good.replace("\"generation\":7", "\"generation\":\"x\"").into_bytes(), |e| {
            matches!(e, DecodeError::Body { .. })
        }),
    ];
    for (bytes, expected) in cases {
        let error = Envelope::<SyncLane>::decode(&bytes).unwrap_err();
        assert!(expected(&error), "{error}");
    }
}
