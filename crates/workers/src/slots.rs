//! A worker's slots, shared fairly: no server takes more than half of them, and of a server's mailboxes none keeps a slot
//! for long while others ask for one.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lockstep_model::id::ProfileId;

/// Pause for a run whose server already has its share of this process.
pub(crate) const NO_SLOT: Duration = Duration::from_secs(1);

/// Pause for a run that gave way: longer than for those that were turned away, so that they come first.
pub(crate) const AFTER_YOU: Duration = Duration::from_secs(2);

/// What this process has under way at one server.
#[derive(Debug, Default)]
struct Share {
    runs: u16,
    /// Somebody was turned away since a run gave way.
    asked: Arc<AtomicBool>,
}

/// How many runs of each profile this process has under way. Holds an entry only for profiles that have one.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    taken: Arc<Mutex<HashMap<ProfileId, Share>>>,
    per_profile: u16,
}

/// A run's slot, given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
    profile: ProfileId,
    asked: Arc<AtomicBool>,
}

impl Slots {
    /// Slots of a process that runs `concurrency` at a time.
    pub(crate) fn of(concurrency: u16) -> Self {
        Self { taken: Arc::default(), per_profile: (concurrency / 2).max(1) }
    }

    /// A slot for a run at this profile, or `None` when its share is used up; whoever has had one for long hears of it.
    pub(crate) fn take(&self, profile: ProfileId) -> Option<Slot> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let share = taken.entry(profile).or_default();
        if share.runs >= self.per_profile {
            share.asked.store(true, Ordering::Relaxed);
            return None;
        }
        share.runs += 1;
        Some(Slot { slots: self.clone(), profile, asked: Arc::clone(&share.asked) })
    }
}

impl Slot {
    /// Whether a run that may end here should, because another one was turned away. One run gives way to each that asks.
    pub(crate) fn gives_way(&self) -> bool {
        self.asked.swap(false, Ordering::Relaxed)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = taken.get_mut(&self.profile) {
            share.runs = share.runs.saturating_sub(1);
            if share.runs == 0 {
                taken.remove(&self.profile);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_takes_half_and_gives_it_back() {
        let slots = Slots::of(4);
        let (one, other) = (ProfileId::new(), ProfileId::new());
        let first = slots.take(one);
        let second = slots.take(one);
        assert!(first.is_some() && second.is_some() && slots.take(one).is_none());
        assert!(slots.take(other).is_some(), "another server is not concerned");
        drop(first);
        assert!(slots.take(one).is_some());
        assert!(Slots::of(1).take(one).is_some(), "one slot is better than none");
    }

    #[test]
    fn one_gives_way_to_one_that_asks() {
        let slots = Slots::of(4);
        let (one, other) = (ProfileId::new(), ProfileId::new());
        let (first, second, third) = (slots.take(one).unwrap(), slots.take(one).unwrap(), slots.take(other).unwrap());
        assert!(!first.gives_way(), "nobody has asked");
        assert!(slots.take(one).is_none());
        assert!(!third.gives_way(), "another server is not concerned");
        assert!(second.gives_way());
        assert!(!first.gives_way(), "one is enough");
    }
}
