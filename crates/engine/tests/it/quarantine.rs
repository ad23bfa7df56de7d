//! Items over which workers have died.

use lockstep_engine::quarantine::{DEATHS_BORNE, after_death};
use proptest::prelude::*;

use crate::values::{minutes, seconds};

#[test]
fn one_death_may_be_chance_and_nothing_is_given_up() {
    let waits: Vec<_> = (0..=9).map(|deaths| after_death(deaths, 0.0).map(|wait| wait.as_secs() / 3600)).collect();
    let expected = [None, None, Some(1), Some(2), Some(4), Some(8), Some(16), Some(24), Some(24), Some(24)];
    assert_eq!(waits, expected, "hours after deaths 0 to 9");
    assert_eq!(after_death(u32::MAX, 0.0), Some(minutes(24 * 60)));
    assert_eq!(after_death(DEATHS_BORNE + 1, 1.0), Some(minutes(54)), "jitter takes a tenth at most");
}

proptest! {
    #[test]
    fn waits_are_bounded(deaths in any::<u32>(), jitter in proptest::num::f64::ANY) {
        if let Some(wait) = after_death(deaths, jitter) {
            prop_assert!(wait >= minutes(54) && wait <= seconds(24 * 3600));
        } else {
            prop_assert!(deaths <= DEATHS_BORNE);
        }
    }
}
