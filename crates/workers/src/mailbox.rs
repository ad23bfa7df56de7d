//! Synchronising mailboxes: the way of one cycle, page by page.

mod at_work;
mod detail;
mod facts;
mod handler;
mod known;
mod look;
mod moves;
mod page;
mod plan;
mod receive;
mod report;
mod sync;
mod unwrap;

pub use handler::Handler;
pub(crate) use page::Stopped;
pub(crate) use receive::broken;
pub(crate) use sync::{MARGIN, Way, hold};
