//! A bound on how often the same place in the code may warn.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tracing::Metadata;
use tracing::callsite::Identifier;

/// Lines of one place in one window; more are counted, not written.
const BURST: u32 = 20;
const WINDOW: Duration = Duration::from_secs(1);

/// Counts lines by callsite; callsites are as many as the program's text has, so the table is bounded.
#[derive(Default)]
pub(super) struct RateLimit {
    sites: HashMap<Identifier, Site>,
}

struct Site {
    window: Instant,
    written: u32,
    suppressed: u64,
}

impl RateLimit {
    /// `None`: do not write. `Some(n)`: write, and tell that `n` lines of this place were left out before.
    pub(super) fn admit(&mut self, metadata: &Metadata<'_>, now: Instant) -> Option<u64> {
        let fresh = Site { window: now, written: 0, suppressed: 0 };
        let site = self.sites.entry(metadata.callsite()).or_insert(fresh);
        if now.duration_since(site.window) >= WINDOW {
            site.window = now;
            site.written = 0;
        }
        if site.written >= BURST {
            site.suppressed += 1;
            return None;
        }
        site.written += 1;
        Some(std::mem::take(&mut site.suppressed))
    }
}
