//! J1, K1: the two-way engine against people and servers that do as they like, in histories nobody thought of.
//!
//! Each history is a list of events: people edit, delete, copy and track on both sides, cycles run into every fault a
//! server or a crash can bring. After it, cycles without faults must bring peace: nothing lost, nothing doubled,
//! nothing deleted that nobody deleted, nothing left to write. `PROPTEST_CASES` asks for more of them.

mod oracle;
mod run;
mod world;

use proptest::{collection::vec, prelude::*};

use world::{Event, World};

fn play(setting: u32, events: &[u32]) -> World {
    let mut world = World::new(setting);
    for event in events {
        world.happens(Event::decode(*event));
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_history_ends_in_peace(setting in any::<u32>(), events in vec(any::<u32>(), 0..40)) {
        let mut world = play(setting, &events);
        world.quiet_cycles(4);
        let told: Vec<_> = events.iter().map(|event| Event::decode(*event)).collect();
        if let Err(wrong) = world.judge() {
            return Err(TestCaseError::fail(format!("{wrong}\n{told:?}\n{world:?}")));
        }
    }
}

/// The histories do meet what they are made to meet.
#[test]
fn the_histories_are_not_harmless() {
    let mut met = world::Met::default();
    let mut state = 1_u64;
    for _ in 0..2_000 {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u32::try_from(state >> 32).unwrap()
        };
        let setting = next();
        let events: Vec<_> = (0..40).map(|_| next()).collect();
        let mut world = play(setting, &events);
        world.quiet_cycles(4);
        met.add(&world.met);
    }
    for (what, times) in met.counts() {
        assert!(times >= 20, "{what}: only {times} times");
    }
}
