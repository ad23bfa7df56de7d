//! The brake: many deletions at once, or a side that is suddenly empty, wait for a person.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{ItemPlan, Side, Step};
use crate::guard::{self, Limits, Verdict};

/// From so many links on, all of them gone at once is an emptied side and not a tidy person.
pub const EMPTY_FROM: u64 = 4;

/// How long a deletion waits for a person. Then the pair is unlinked, not deleted.
pub const HELD_FOR: Duration = Duration::from_secs(14 * 24 * 3600);

/// What a cycle has seen of one mailbox and kind so far, this page included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tally {
    /// Links before the cycle.
    pub known: u64,
    /// Of those, items the server reports as deleted.
    pub items_gone: u64,
    /// Of those, records that are deleted or no longer belong into the mailbox.
    pub records_gone: u64,
    /// A person has agreed to this cycle's deletions.
    pub agreed: bool,
}

impl Tally {
    /// Whether deletions may be carried out on a side. They come from the other one.
    pub fn judge(&self, on: Side) -> Verdict {
        let gone = match on {
            Side::Crm => self.items_gone,
            Side::Server => self.records_gone,
        };
        let emptied = gone >= self.known && self.known >= EMPTY_FROM;
        match guard::judge(gone, self.known, Limits::DELETES) {
            _ if self.agreed => Verdict::Go,
            Verdict::Go if !emptied => Verdict::Go,
            _ => Verdict::Hold,
        }
    }

    /// Puts a plan's deletion on hold if it may not be carried out. Returns whether it did.
    pub fn apply(&self, plan: &mut ItemPlan) -> bool {
        let mut held = false;
        for step in &mut plan.steps {
            if let Some(side) = step.deletes()
                && self.judge(side) == Verdict::Hold
            {
                *step = Step::Hold { side };
                held = true;
            }
        }
        held
    }
}

/// Whether a deletion that waits since `held` is given up.
pub fn has_expired(held: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - held >= TimeDelta::from_std(HELD_FOR).unwrap_or(TimeDelta::MAX)
}
