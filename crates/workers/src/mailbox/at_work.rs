//! The occasions this process is at work at: a hint that is delivered twice ends here, with nothing to report. Its report
//! would end the occasion before the run that works tells what it has done. A hint for another occasion of the same lane is
//! no copy; which of the two is stale the database says.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use lockstep_model::{id::MailboxId, mailbox::Lane};

/// A lane, and its generation.
type Occasion = (MailboxId, Lane, i64);

/// Occasions at which runs of this process are.
#[derive(Clone, Debug, Default)]
pub(super) struct AtWork(Arc<Mutex<HashSet<Occasion>>>);

/// A run's place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    of: AtWork,
    occasion: Occasion,
}

impl AtWork {
    /// A place at an occasion, or `None` where a run is already.
    pub(super) fn enter(&self, mailbox: MailboxId, lane: Lane, generation: i64) -> Option<Place> {
        let mut occasions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let occasion = (mailbox, lane, generation);
        occasions.insert(occasion).then(|| Place { of: self.clone(), occasion })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.occasion);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_an_occasion() {
        let (at_work, mailbox) = (AtWork::default(), MailboxId::new());
        let place = at_work.enter(mailbox, Lane::Incoming, 7);
        assert!(place.is_some() && at_work.enter(mailbox, Lane::Incoming, 7).is_none());
        assert!(at_work.enter(mailbox, Lane::Incoming, 8).is_some(), "another occasion is no copy");
        assert!(at_work.enter(MailboxId::new(), Lane::Incoming, 7).is_some(), "another mailbox");
        drop(place);
        assert!(at_work.enter(mailbox, Lane::Incoming, 7).is_some());
    }
}
