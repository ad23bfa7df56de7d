//! One round: claim what is due, publish a hint for each. Mailboxes, outgoing email and operations alike.

use std::time::Duration;

use lockstep_engine::{
    breaker::Breaker,
    dispatch::{self, Load},
};
use lockstep_model::{crashpoint::CrashPoint, id::MessageId};
use lockstep_queue::PublisherExt;
use lockstep_store::{deliveries, operations, schedules, settings};
use lockstep_wire::{Envelope, Message, RunOperation, SendEmail, SyncLane};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{Context, reports::stored_breaker};

/// Rounds until `stop`. When the database is away it waits, longer each time.
pub async fn run(context: Context, stop: CancellationToken) {
    let mut failures = 0_u32;
    loop {
        let begun = Instant::now();
        let pause = match round(&context).await {
            Ok(full) => {
                failures = 0;
                // A full round means that more is due: look again at once.
                if full { Duration::ZERO } else { context.config.poll_interval() }
            }
            Err(error) => {
                tracing::warn!(%error, "nothing could be claimed");
                failures = failures.saturating_add(1);
                context.config.poll_interval() * 2_u32.pow(failures.min(4))
            }
        };
        context.metrics.round_seconds.observe(begun.elapsed().as_secs_f64());
        tokio::select! {
            () = stop.cancelled() => return,
            () = context.wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// One round; `true` when a limit was reached, so that more may be due.
///
/// # Errors
/// When the database is away. What was claimed before is handed out again when the claim ends.
pub async fn round(context: &Context) -> lockstep_store::Result<bool> {
    let lanes = claim_lanes(context).await?;
    let sends = claim_sends(context).await?;
    let operations = claim_operations(context).await?;
    let (sends, sends_full) = sends;
    if !(lanes.is_empty() && sends.is_empty() && operations.is_empty()) {
        CrashPoint::CLAIMED.reach();
    }
    let full = sends_full || operations.len() >= context.config.operations_per_round as usize;
    publish(context, lanes).await;
    publish(context, sends).await;
    publish(context, operations).await;
    Ok(full)
}

async fn claim_lanes(context: &Context) -> lockstep_store::Result<Vec<SyncLane>> {
    let mut tx = context.store.begin().await?;
    let now = tx.now();
    let loads = schedules::lock_due_profiles(&mut tx, i64::from(context.config.profiles_per_round)).await?;
    let allowances: Vec<_> = loads
        .iter()
        .map(|load| {
            let breaker = stored_breaker(load.breaker).at(now);
            let allowance = dispatch::allowance(&Load {
                caps: load.caps,
                max_in_flight: load.max_in_flight,
                claimed: load.claimed,
                breaker,
            });
            (load.profile, allowance, matches!(breaker, Breaker::Open { .. }))
        })
        .filter(|(_, allowance, open)| *allowance > 0 && !open)
        .map(|(profile, allowance, _)| (profile, allowance))
        .collect();
    if allowances.is_empty() {
        return Ok(Vec::new());
    }
    let claims = schedules::claim(&mut tx, &allowances, context.config.claim_lifetime()).await?;
    tx.commit().await?;
    for claim in &claims {
        let lag = (now - claim.due_at).to_std().unwrap_or_default();
        context.metrics.lag_seconds.observe(lag.as_secs_f64());
    }
    let hints = claims.into_iter().map(|c| SyncLane { mailbox: c.mailbox, lane: c.lane, generation: c.generation });
    Ok(hints.collect())
}

/// The emails of this round, and whether there may be more.
async fn claim_sends(context: &Context) -> lockstep_store::Result<(Vec<SendEmail>, bool)> {
    let mut tx = context.store.begin().await?;
    let limit = settings::read(&mut tx).await?.activities_dequeued_per_event();
    let claimed = deliveries::claim(&mut tx, limit.into(), context.config.claim_lifetime()).await?;
    tx.commit().await?;
    let full = claimed.len() >= limit as usize;
    Ok((claimed.into_iter().map(|(email, attempt)| SendEmail { email, attempt }).collect(), full))
}

async fn claim_operations(context: &Context) -> lockstep_store::Result<Vec<RunOperation>> {
    let mut tx = context.store.begin().await?;
    let limit = i64::from(context.config.operations_per_round);
    let claimed = operations::claim(&mut tx, limit, context.config.claim_lifetime()).await?;
    tx.commit().await?;
    Ok(claimed.into_iter().map(|(operation, generation)| RunOperation { operation, generation }).collect())
}

/// Publishes a hint for each claim, all confirms on their way at once. What cannot be published is left to its
/// claim's end. Each hint begins a trace: the cycle's.
async fn publish<M: Message>(context: &Context, hints: Vec<M>) {
    let publishing = hints.into_iter().map(|body| {
        let span = tracing::info_span!(parent: None, "scheduler.dispatch", kind = M::KIND, hint = ?body);
        async move {
            let envelope = Envelope {
                id: MessageId::new(),
                organisation: context.organisation,
                issued_at: context.clock().now(),
                traceparent: None,
                body,
            };
            let published = context.publisher.publish(&envelope).await;
            let result = published.as_ref().err().map_or("confirmed", |error| error.name());
            context.metrics.hints.with_label_values(&[M::KIND, result]).inc();
            if let Err(error) = published {
                tracing::warn!(%error, "a hint was not published; it follows when its claim ends");
            }
        }
        .instrument(span)
    });
    let published = futures::future::join_all(publishing).await;
    if !published.is_empty() {
        CrashPoint::PUBLISHED.reach();
    }
}
