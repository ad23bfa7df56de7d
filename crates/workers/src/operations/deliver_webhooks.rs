//! Delivers the change feed to one webhook endpoint: event after event, each accepted before the next is sent.
//!
//! At least once: an event whose answer could not be noted is sent again, under the same id. The operation is done when
//! the endpoint has caught up; the scheduler makes it due again when the feed goes on.

use std::time::{Duration, Instant};

use lockstep_engine::webhook::{self, Verdict};
use lockstep_model::id::{RunId, WebhookEndpointId};
use lockstep_store::{
    feed::Entry,
    operations::{Operation, Step},
    webhooks::runs::{self, Answer, Disabled, Held, Stretch, Taking},
};
use secrecy::SecretString;
use serde_json::json;

use crate::{
    Context,
    webhooks::{Sent, of_entry},
};

/// The kind under which the operation is stored.
pub(crate) const KIND: &str = lockstep_store::webhooks::DELIVER;

/// Pause before another look at an endpoint that another run holds.
const WHILE_BUSY: Duration = Duration::from_secs(1);

/// Changes read at one time.
const PAGE: u16 = 50;

/// Runs the delivery until the endpoint has caught up, fails, or has had its share of time.
pub(crate) async fn run(context: &Context, operation: &Operation) -> lockstep_store::Result<Step> {
    let id = WebhookEndpointId(operation.id.0);
    let Some(_slot) = context.webhooks.slot() else { return Ok(later(WHILE_BUSY)) };
    let (run, begun) = (RunId::new(), Instant::now());
    let mut tx = context.store.begin().await?;
    let now = tx.now();
    let taking = runs::take(&mut tx, id, run, context.webhooks.limits.hold).await?;
    tx.commit().await?;
    let held = match taking {
        Taking::Taken(held) => *held,
        Taking::Busy => return Ok(later(WHILE_BUSY)),
        Taking::Later(at) => return Ok(later((at - now).to_std().unwrap_or_default())),
        Taking::Gone | Taking::Resting | Taking::CursorLost => return Ok(Step::Done(json!({ "state": "resting" }))),
    };
    let mut delivery = Delivery { context, held, run, begun, renewed: begun, sent: 0 };
    let done = delivery.work().await;
    let mut tx = context.store.begin().await?;
    runs::give_back(&mut tx, id, run).await?;
    tx.commit().await?;
    done
}

fn later(after: Duration) -> Step {
    Step::Later { after, position: json!({}), failed: false, so_far: None }
}

/// One run at an endpoint.
struct Delivery<'a> {
    context: &'a Context,
    held: Held,
    run: RunId,
    begun: Instant,
    renewed: Instant,
    sent: u32,
}

impl Delivery<'_> {
    async fn work(&mut self) -> lockstep_store::Result<Step> {
        let secrets = match self.held.secrets(&self.context.store) {
            Ok(secrets) => secrets,
            Err(error) => {
                let words = format!("the secret cannot be opened: {error}");
                return self.failed(&Sent { status: None, retry_after: None, words }).await;
            }
        };
        loop {
            let Some(stretch) = self.next().await? else {
                return Ok(Step::Done(json!({ "state": "cursor-lost" })));
            };
            for entry in &stretch.entries {
                if self.had_its_share() || !self.hold().await? {
                    return Ok(later(Duration::ZERO));
                }
                if let Some(step) = self.tell(entry, &secrets).await? {
                    return Ok(step);
                }
            }
            if !self.pass_over(stretch.end).await? {
                return Ok(later(Duration::ZERO));
            }
            if !stretch.more {
                return Ok(Step::Done(json!({ "position": self.held.position })));
            }
            if self.had_its_share() || !self.hold().await? {
                return Ok(later(Duration::ZERO));
            }
        }
    }

    /// What comes next; `None` when the place has lost its meaning, which disables the endpoint.
    async fn next(&self) -> lockstep_store::Result<Option<Stretch>> {
        let held = &self.held;
        let mut tx = self.context.store.begin().await?;
        let stretch = runs::next(&mut tx, held.epoch, held.position, &held.record_kinds, PAGE).await?;
        if stretch.is_none() && runs::renew(&mut tx, held.id, self.run, self.context.webhooks.limits.hold).await? {
            let message = "the change feed began anew, or was swept, while it was delivered";
            runs::disable(&mut tx, held.id, Disabled::CursorLost, message).await?;
        }
        tx.commit().await?;
        Ok(stretch)
    }

    fn had_its_share(&self) -> bool {
        let limits = &self.context.webhooks.limits;
        self.sent >= limits.events || self.begun.elapsed() >= limits.run
    }

    /// Makes sure that the endpoint is held for longer than one request takes.
    async fn hold(&mut self) -> lockstep_store::Result<bool> {
        let hold = self.context.webhooks.limits.hold;
        if self.renewed.elapsed() < hold / 3 {
            return Ok(true);
        }
        let at = Instant::now();
        let mut tx = self.context.store.begin().await?;
        let held = runs::renew(&mut tx, self.held.id, self.run, hold).await?;
        tx.commit().await?;
        self.renewed = at;
        Ok(held)
    }

    /// Sends one event and notes what came of it; a step when the run is over.
    async fn tell(&mut self, entry: &Entry, secrets: &[SecretString]) -> lockstep_store::Result<Option<Step>> {
        let event = of_entry(self.held.epoch, entry);
        let now = self.context.store.clock().now();
        let sent = self.context.webhooks.send(&self.held.url, &event, secrets, now).await;
        self.sent += 1;
        match sent.status {
            Some(status) if webhook::verdict(status) == Verdict::Accepted => {
                self.context.metrics.webhooks.with_label_values(&["accepted"]).inc();
                let mut tx = self.context.store.begin().await?;
                let place = (self.held.position, entry.position);
                let ours = runs::accepted(&mut tx, self.held.id, self.run, place, status).await?;
                tx.commit().await?;
                self.held.position = entry.position;
                Ok(if ours { None } else { Some(later(Duration::ZERO)) })
            }
            _ => self.failed(&sent).await.map(Some),
        }
    }

    /// Notes a failed attempt: when the next one is, or that there is none.
    async fn failed(&self, sent: &Sent) -> lockstep_store::Result<Step> {
        let (id, context) = (self.held.id, self.context);
        context.metrics.webhooks.with_label_values(&[if sent.status.is_some() { "refused" } else { "failed" }]).inc();
        let attempt = self.held.failures.unsigned_abs().saturating_add(1);
        // What was accepted in this run ended the failures before.
        let attempt = if self.sent > 1 { 1 } else { attempt };
        let after = context.scale.apply(webhook::wait(attempt, sent.retry_after, rand::random()));
        let gone = sent.status.is_some_and(|status| webhook::verdict(status) == Verdict::Gone);
        let mut tx = context.store.begin().await?;
        let now = tx.now();
        let answer = Answer { status: sent.status, error: Some(&sent.words) };
        let Some(since) = runs::failed(&mut tx, id, self.run, &answer, Some(now + after)).await? else {
            return Ok(later(Duration::ZERO));
        };
        let step = if gone {
            runs::disable(&mut tx, id, Disabled::Gone, &sent.words).await?;
            Step::Done(json!({ "state": "gone" }))
        } else if webhook::gives_up(since, now, context.scale.apply(webhook::FAILING_FOR)) {
            runs::disable(&mut tx, id, Disabled::Failing, &sent.words).await?;
            Step::Done(json!({ "state": "failing" }))
        } else {
            later(after)
        };
        tx.commit().await?;
        tracing::info!(endpoint.id = %id, status = sent.status, attempt, "a webhook was not accepted");
        Ok(step)
    }

    /// Moves the endpoint to the end of what was looked at.
    async fn pass_over(&mut self, end: i64) -> lockstep_store::Result<bool> {
        if end == self.held.position {
            return Ok(true);
        }
        let mut tx = self.context.store.begin().await?;
        let ours = runs::passed_over(&mut tx, self.held.id, self.run, (self.held.position, end)).await?;
        tx.commit().await?;
        self.held.position = end;
        Ok(ours)
    }
}
