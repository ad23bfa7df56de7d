//! The order in which a page's items are worked on: what brings something comes before what takes something away, so
//! that a page that ends early has deleted nothing it had not yet copied.

use super::{ItemPlan, Step};

/// Where a plan stands in its page: lower ones come first, equals stay as they were.
pub fn rank(plan: &ItemPlan) -> u8 {
    plan.steps.iter().map(of_step).max().unwrap_or(0)
}

const fn of_step(step: &Step) -> u8 {
    match step {
        Step::Look { .. } | Step::Agree { .. } | Step::Link { .. } | Step::Relink => 0,
        Step::CreateItem { .. } => 1,
        Step::CreateRecord { .. } => 2,
        Step::UpdateItem { .. } => 3,
        Step::UpdateRecord { .. } => 4,
        Step::Unlink { .. } | Step::Hold { .. } => 5,
        Step::DeleteItem { .. } => 6,
        Step::DeleteRecord { .. } => 7,
        Step::Forget => 8,
    }
}
