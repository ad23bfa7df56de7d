//! What is logged of the runs of a mailbox that is watched closely (C20): states, counts, sizes, times and the server's
//! own names of items. Nothing of a message, no address of a correspondent, no secret.

use lockstep_connector::Delta;
use lockstep_model::fault::Fault;
use lockstep_store::{items::Disposition, lanes::Run};
use lockstep_wire::Counts;
use tokio::time::Instant;

use crate::mailbox::plan::Planned;

/// A run begins.
pub(crate) fn begins(run: &Run) {
    if run.access.verbose {
        tracing::info!(
            mailbox.id = %run.mailbox.id,
            generation = run.generation,
            handed_out = run.claims,
            items_per_cycle = run.items_per_cycle,
            item_due_again = run.attempt_due,
            deletions_wanted = run.deletions_wanted,
            "detail: a run begins"
        );
    }
}

/// The server was asked for a session.
pub(crate) fn connected(run: &Run, since: Instant, fault: Option<&Fault>) {
    if run.access.verbose {
        tracing::info!(
            mailbox.id = %run.mailbox.id,
            host = run.access.profile.incoming.host,
            port = run.access.profile.incoming.port,
            milliseconds = milliseconds(since),
            fault = fault.map(|fault| fault.code.as_str()),
            "detail: the server was asked for a session"
        );
    }
}

/// A page was listed.
pub(crate) fn listed(run: &Run, delta: &Delta, since: Instant) {
    if run.access.verbose {
        tracing::info!(
            mailbox.id = %run.mailbox.id,
            new = delta.heads.len(),
            absent = delta.absent.len(),
            more = delta.more,
            warning = delta.warning.as_ref().map(|warning| warning.code.as_str()),
            milliseconds = milliseconds(since),
            "detail: what is new was asked for"
        );
    }
}

/// What became of the items of a page.
pub(crate) fn judged(run: &Run, page: &[Planned]) {
    if !run.access.verbose {
        return;
    }
    for planned in page {
        let disposition = match planned.item.disposition {
            Disposition::Quarantined(_) => "set aside",
            Disposition::Refused => "refused",
            Disposition::Tracked(_) => "tracked",
        };
        tracing::info!(
            mailbox.id = %run.mailbox.id,
            item = %planned.item.key,
            size = planned.item.size_bytes,
            disposition,
            reason = planned.item.reason.as_deref(),
            "detail: an item was judged"
        );
    }
}

/// A run has ended.
pub(crate) fn ended(run: &Run, outcome: &str, counts: &Counts, fault: Option<&Fault>, since: Instant) {
    if run.access.verbose {
        tracing::info!(
            mailbox.id = %run.mailbox.id,
            outcome,
            seen = counts.seen,
            tracked = counts.tracked,
            refused = counts.refused,
            failed = counts.failed,
            bytes = counts.bytes,
            fault = fault.map(|fault| fault.code.as_str()),
            milliseconds = milliseconds(since),
            "detail: a run has ended"
        );
    }
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
