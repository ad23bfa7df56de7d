//! Named points at which a test build kills its own process, as if the machine had lost power there.
//!
//! Without the cargo feature `crashpoints` every call is empty. With it, `LOCKSTEP_CRASH_AT=name` (or `name:3` for
//! the third visit) ends the process by SIGKILL, so no destructor and no flush runs.

/// A named point. Tests iterate [`CrashPoint::ALL`], so a new point is tested by being listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashPoint(&'static str);

macro_rules! points {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        impl CrashPoint {
            $($(#[$doc])* pub const $name: Self = Self($text);)+
            /// Every point, in the order of a message's way through the system.
            pub const ALL: &[Self] = &[$(Self::$name),+];
        }
    };
}

points! {
    /// Scheduler: claims are committed, nothing is published yet.
    CLAIMED = "scheduler.claimed",
    /// Scheduler: the hint is published and confirmed.
    PUBLISHED = "scheduler.published",
    /// Mailbox worker: permit and lease are held, no connection yet.
    ADMITTED = "mailbox.admitted",
    /// Mailbox worker: new items are listed, none fetched.
    LISTED = "mailbox.listed",
    /// Mailbox worker: bodies and attachments are stored, the page is not committed.
    STORED = "mailbox.stored",
    /// Mailbox worker: the page is committed, the remote side does not know yet.
    PAGE_COMMITTED = "mailbox.page_committed",
    /// Mailbox worker: steps on the server are written down, none is done.
    INTENDED = "items.intended",
    /// Mailbox worker: steps on the server are done, nothing of them is recorded.
    CARRIED_OUT = "items.carried_out",
    /// Mailbox worker: a file that is to be attached on the server is written down, and not attached.
    ATTACHMENT_INTENDED = "attachments.intended",
    /// Mailbox worker: a file is attached on the server, and that is not recorded.
    ATTACHED = "attachments.attached",
    /// Mailbox worker: processed messages are marked deleted, the session has not said QUIT.
    DELETED = "mailbox.deleted",
    /// Mailbox worker: the session is closed, permit and lease not given back.
    CLOSED = "mailbox.closed",
    /// Mailbox worker: permit and lease are given back, no report sent.
    RELEASED = "mailbox.released",
    /// Mailbox worker: the report is confirmed, the delivery is not acknowledged.
    REPORTED = "mailbox.reported",
    /// Scheduler: reports are folded and committed, the deliveries not acknowledged.
    FOLDED = "scheduler.folded",
    /// Outgoing worker: the attempt is begun (Sending), nothing is connected.
    SENDING = "outgoing.sending",
    /// Outgoing worker: the body is written, *in flight* is not committed.
    BODY_WRITTEN = "outgoing.body_written",
    /// Outgoing worker: *in flight* is committed, the final dot not sent.
    IN_FLIGHT = "outgoing.in_flight",
    /// Outgoing worker: the server has accepted, the result is not committed.
    ACCEPTED = "outgoing.accepted",
    /// Outgoing worker: the result is committed, the delivery not acknowledged.
    SENT = "outgoing.sent",
}

impl CrashPoint {
    /// The name given in `LOCKSTEP_CRASH_AT`.
    pub fn name(self) -> &'static str {
        self.0
    }

    /// Marks that the process stands at this point.
    #[cfg(not(feature = "crashpoints"))]
    #[inline]
    pub fn reach(self) {}

    /// Kills the process if the environment asks for this point.
    #[cfg(feature = "crashpoints")]
    pub fn reach(self) {
        use std::sync::atomic::{AtomicU32, Ordering};
        static VISITS: AtomicU32 = AtomicU32::new(0);
        let Ok(wanted) = std::env::var("LOCKSTEP_CRASH_AT") else { return };
        let (name, visit) = match wanted.split_once(':') {
            Some((name, visit)) => (name, visit.parse().unwrap_or(1)),
            None => (wanted.as_str(), 1),
        };
        if name == self.0 && VISITS.fetch_add(1, Ordering::SeqCst) + 1 == visit {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            std::process::abort();
        }
    }
}
