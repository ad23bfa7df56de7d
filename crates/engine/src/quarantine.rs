//! An item during whose reading a worker ended without a word: when it is read again.
//!
//! A worker that reads with caution notes the one item it is about to touch. Found again, the note means that it did
//! not live to tell: the item may have killed it, but a hard stop or a lost machine looks the same. So the item is
//! read once more at once, and set aside only when it happens again; and it is never given up.

use std::time::Duration;

use crate::retry::{self, Schedule};

/// So many deaths over one item may be chance. They are of cautious runs only, so of this item only.
pub const DEATHS_BORNE: u32 = 1;

/// Waits between attempts at an item that was set aside: 1, 2, 4, 8, 16 and then every 24 hours. One attempt may cost
/// a worker.
const SCHEDULE: Schedule =
    Schedule { base: Duration::from_secs(60 * 60), cap: Duration::from_secs(24 * 60 * 60), max_attempts: u32::MAX };

/// What follows when a worker has ended over an item for the `deaths`-th time (from 1): how long it is set aside, or
/// `None` when it is read again at once.
pub fn after_death(deaths: u32, jitter: f64) -> Option<Duration> {
    let set_aside = deaths.checked_sub(DEATHS_BORNE).filter(|times| *times > 0)?;
    retry::backoff(set_aside, &SCHEDULE, jitter).or(Some(SCHEDULE.cap))
}
