//! How much one run may take: time, items and bytes.

use std::time::Duration;

/// After so long a cycle or a slice of an operation stops at the next page and is due again at once.
pub const RUN_BUDGET: Duration = Duration::from_secs(4 * 60);

/// Items of a page.
pub const PAGE_ITEMS: usize = 50;

/// Bytes of a page, as the server states them.
pub const PAGE_BYTES: u64 = 8 * MIB;

/// The largest message that becomes a record, attachments included.
pub const MAX_MESSAGE_BYTES: u64 = 150 * MIB;

/// The largest text kept of a message's body; what is longer is cut, and the record says so.
pub const MAX_TEXT_BYTES: usize = 1024 * 1024;

/// So many claims in a row that ended without a word mean that some item kills whoever touches it.
pub const SILENT_EXPIRIES: u32 = 2;

const MIB: u64 = 1024 * 1024;

/// The limits of one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimits {
    /// Most items.
    pub items: usize,
    /// Most bytes; an item larger than this makes a page of its own.
    pub bytes: u64,
}

/// The limits of the next page. After [`SILENT_EXPIRIES`], and while an item is due over which a worker has died
/// before (`suspect`), a page is one item, whose id is committed before it is touched, so that the next run knows
/// which one it was.
pub fn page_limits(silent_expiries: u32, suspect: bool) -> PageLimits {
    let cautious = suspect || silent_expiries >= SILENT_EXPIRIES;
    PageLimits { items: if cautious { 1 } else { PAGE_ITEMS }, bytes: PAGE_BYTES }
}
