//! The airlock: nobody connects without a permit, nobody works on a lane without its lease, and both are given back
//! in one place, after the socket is closed.

use std::{pin::Pin, time::Duration};

use lockstep_connector::Deadline;
use lockstep_coord::{Admission, Admitted};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    id::{MailboxId, RunId},
    mailbox::Lane,
};
use lockstep_store::lanes::{self, Access};
use tokio::{task::JoinHandle, time::Instant};

use crate::Context;

/// Pause before another attempt when nobody tells whether there is a permit.
const COORDINATION_AWAY: Duration = Duration::from_secs(2);

/// A run that has not ended by then says that it lives.
const FIRST_SIGN: Duration = Duration::from_secs(2);

/// What is called after each renewal, and once before, to tell others that the run lives.
pub type Heartbeat = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Who wants to enter, and for what.
pub struct Request<'a> {
    /// The server and the account.
    pub access: &'a Access,
    /// The lane, for work on one.
    pub lease: Option<(MailboxId, Lane)>,
    /// The run.
    pub run: RunId,
    /// May take an account's last permit: sending and tests.
    pub reserve: bool,
    /// Called after each renewal.
    pub heartbeat: Heartbeat,
}

/// The answer.
pub enum Entry {
    /// Permit and lease are held.
    Open(Box<Airlock>),
    /// Not now; ask again after this long.
    Deferred(Duration),
    /// Another run works on the lane.
    Busy,
}

/// A permit, perhaps a lease, and the deadline that ends with them.
pub struct Airlock {
    context: Context,
    admission: Admission,
    /// Ends when the lease is lost or the run's budget is spent.
    pub deadline: Deadline,
    renewal: JoinHandle<()>,
    given_back: bool,
}

/// Asks for entry: one round trip.
///
/// # Errors
/// When the database is away. It is asked only when this profile's counters have never been opened.
pub async fn enter(context: &Context, request: Request<'_>) -> lockstep_store::Result<Entry> {
    let access = request.access;
    let admission = Admission {
        profile: access.profile.id,
        account: access.account.clone(),
        cap: access.profile.max_connections,
        lease: request.lease,
        run: request.run,
        permit_ttl: context.config.permit_ttl(),
        lease_ttl: context.config.lease_ttl(),
        reserve: request.reserve,
        opening: !access.slot_opened,
    };
    // Trust counts from before the question: the answer may have travelled long.
    let asked = Instant::now();
    match context.coord.admit(&admission).await {
        Ok(Admitted::Granted) => {
            let airlock = Airlock::hold(context, admission, asked, request.heartbeat);
            // Noted only now that the counters are there: whoever reads the note earlier and finds none takes them for
            // lost, and everybody would wait until permits that never were have expired.
            if !access.slot_opened
                && let Err(error) = note_opened(context, access).await
            {
                airlock.leave().await;
                return Err(error);
            }
            Ok(Entry::Open(Box::new(airlock)))
        }
        Ok(Admitted::CoolingDown { wait }) => Ok(Entry::Deferred(wait)),
        Ok(Admitted::NoPermit { hint }) => Ok(Entry::Deferred(hint)),
        Ok(Admitted::LeaseBusy) => Ok(Entry::Busy),
        Err(error) => {
            tracing::warn!(%error, "no permit can be asked for");
            // It may have been granted without our hearing of it.
            let _ = context.coord.release(&admission).await;
            Ok(Entry::Deferred(COORDINATION_AWAY))
        }
    }
}

async fn note_opened(context: &Context, access: &Access) -> lockstep_store::Result<()> {
    let mut tx = context.store.begin().await?;
    lanes::open_slot(&mut tx, access.profile.id).await?;
    tx.commit().await
}

impl Airlock {
    /// The run that holds permit and lease.
    pub fn run(&self) -> RunId {
        self.admission.run
    }

    fn hold(context: &Context, admission: Admission, asked: Instant, heartbeat: Heartbeat) -> Self {
        let held_for = context.config.lease_ttl().min(context.config.permit_ttl());
        let deadline = Deadline::new(held_for, context.config.run_budget());
        deadline.renew(asked + held_for);
        let renewal = tokio::spawn(renew(context.clone(), admission.clone(), deadline.clone(), held_for, heartbeat));
        Self { context: context.clone(), admission, deadline, renewal, given_back: false }
    }

    /// Tells the whole cluster to leave this server alone for a while, where a fault asks for it.
    pub async fn obey(&self, fault: &Fault) {
        let (FaultClass::Throttled, Some(wait)) = (fault.class, fault.retry_after) else { return };
        if fault.scope == FaultScope::Profile {
            let cooled = self.context.coord.cool_down(self.admission.profile, wait).await;
            if let Err(error) = cooled {
                tracing::warn!(%error, "the server's wish to be left alone could not be shared");
            }
        }
    }

    /// Gives permit and lease back. Call it when the socket is closed.
    pub async fn leave(mut self) {
        self.renewal.abort();
        give_back(&self.context, &self.admission).await;
        self.given_back = true;
    }
}

impl Drop for Airlock {
    fn drop(&mut self) {
        self.renewal.abort();
        if self.given_back {
            return;
        }
        // A run that panicked or was dropped (a hard stop): its socket went with it, so the next one need not wait
        // until permit and lease have expired.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (context, admission) = (self.context.clone(), self.admission.clone());
            runtime.spawn(async move { give_back(&context, &admission).await });
        }
    }
}

async fn give_back(context: &Context, admission: &Admission) {
    if let Err(error) = context.coord.release(admission).await {
        tracing::warn!(%error, "permit and lease could not be given back; they expire by themselves");
    }
}

/// Renews until aborted. Lost: everything the run waits for ends at once, so that it closes its socket. Not answered:
/// the deadline passes by itself.
async fn renew(context: Context, admission: Admission, deadline: Deadline, held_for: Duration, heartbeat: Heartbeat) {
    let begun = Instant::now();
    // Most runs are over by then; of the others it is known early who has them.
    tokio::time::sleep_until(begun + FIRST_SIGN.min(held_for / 4)).await;
    heartbeat().await;
    let mut tick = tokio::time::interval_at(begun + held_for / 3, held_for / 3);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let asked = Instant::now();
        match context.coord.renew(&admission).await {
            Ok(renewed) if renewed.permit_held && renewed.lease_held => {
                deadline.renew(asked + held_for);
                heartbeat().await;
            }
            Ok(renewed) => {
                let what = if renewed.permit_held { "lease" } else { "permit" };
                let message = format!("the {what} of this run has lapsed");
                deadline.cancel(Fault::new(FaultScope::Mailbox, FaultClass::Transient, "LeaseLost", message).local());
                return;
            }
            Err(error) => tracing::warn!(%error, "permit and lease could not be renewed"),
        }
    }
}
