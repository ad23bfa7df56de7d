//! A worker's slots, shared fairly: no server takes more than half of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use lockstep_model::id::ProfileId;

/// How many runs of each profile this process has under way. Holds an entry only for profiles that have one.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    taken: Arc<Mutex<HashMap<ProfileId, u16>>>,
    per_profile: u16,
}

/// A run's slot, given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
    profile: ProfileId,
}

impl Slots {
    /// Slots of a process that runs `concurrency` at a time.
    pub(crate) fn of(concurrency: u16) -> Self {
        Self { taken: Arc::default(), per_profile: (concurrency / 2).max(1) }
    }

    /// A slot for a run at this profile, or `None` when its share is used up.
    pub(crate) fn take(&self, profile: ProfileId) -> Option<Slot> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(profile).or_default();
        if *count >= self.per_profile {
            return None;
        }
        *count += 1;
        Some(Slot { slots: self.clone(), profile })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.profile) {
            *count = count.saturating_sub(1);
            if *count == 0 {
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
}
