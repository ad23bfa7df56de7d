//! Whatever lies on a queue is a message, or is refused with a reason: nothing panics.

use lockstep_wire::{CycleReport, Envelope, Message, RunOperation, SendEmail, SyncLane};
use proptest::prelude::*;

use crate::samples;

/// Decodes; what is accepted is written as it can be read again.
fn survives<M: Message + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    match Envelope::<M>::decode(bytes) {
        Ok(envelope) => assert_eq!(Envelope::<M>::decode(&envelope.encode().unwrap()).unwrap(), envelope),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn every_kind(bytes: &[u8]) {
    survives::<SyncLane>(bytes);
    survives::<SendEmail>(bytes);
    survives::<RunOperation>(bytes);
    survives::<CycleReport>(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        every_kind(&bytes);
    }

    /// A real message with some of its bytes replaced, taken out or doubled.
    #[test]
    fn any_damage(
        kind in prop::sample::select(vec!["sync-lane", "send-email", "run-operation", "cycle-report"]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..6),
    ) {
        let mut bytes = samples(kind).pop().unwrap();
        for (at, byte, how) in damage {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[at]),
            }
        }
        every_kind(&bytes);
    }
}
