//! Cycle reports, folded in batches: next due times, counters, faults, breakers and alerts. A report for an occasion
//! that is over changes nothing, so a doubled one does no harm.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use lockstep_engine::{
    breaker::{Breaker, Transition},
    cadence::{self, Activity, Cycle},
    health::{self, Health, Verdict},
};
use lockstep_model::{crashpoint::CrashPoint, fault::FaultScope, id::ProfileId, settings::Settings};
use lockstep_queue::{BatchHandler, DeliveryInfo, Outcome as Settled};
use lockstep_store::{
    alerts::{self, Part, Severity, Subject},
    schedules::{self, BreakerRow, Folded, Occasion, Schedule},
    settings,
};
use lockstep_wire::{CycleReport, Envelope, Outcome};
use serde_json::json;

use crate::Context;

/// Folds reports into the database.
pub struct Fold {
    context: Context,
}

impl Fold {
    /// A fold over this context.
    pub fn new(context: Context) -> Self {
        Self { context }
    }

    /// Folds a batch in one transaction.
    ///
    /// # Errors
    /// When the database is away; nothing was folded.
    pub async fn fold(&self, reports: &[CycleReport]) -> lockstep_store::Result<()> {
        let (running, ended): (Vec<_>, Vec<_>) = reports.iter().partition(|r| r.outcome == Outcome::Running);
        let ended = one_an_occasion(ended);
        let running: BTreeSet<Occasion> =
            running.into_iter().map(occasion).filter(|r| !ended.contains_key(r)).collect();
        let mut tx = self.context.store.begin().await?;
        let now = tx.now();
        // Once a batch, so that a change of the settings needs no restart (N7).
        let settings = settings::read(&mut tx).await?;
        // Profiles first, then lanes, each in id order: as whoever writes a profile locks them.
        let breakers = self.lock_breakers(&mut tx, &ended).await?;
        let keys: Vec<_> = ended.keys().chain(&running).copied().collect();
        let mut current = schedules::lock_reported(&mut tx, &keys).await?;
        if !running.is_empty() {
            let on = |key: &Occasion| {
                let report = reports.iter().find(|r| r.outcome == Outcome::Running && occasion(r) == *key);
                report.and_then(host)
            };
            let running: Vec<_> = running.iter().map(|key| (*key, on(key))).collect();
            schedules::extend_claims(&mut tx, &running, self.context.config.claim_lifetime()).await?;
        }
        current.retain(|s| ended.contains_key(&(s.mailbox, s.lane, s.generation)));
        let stale = i64::try_from(ended.len().saturating_sub(current.len())).unwrap_or(0);
        self.context.metrics.stale_reports.add(stale);
        let mut folded = Vec::with_capacity(current.len());
        let mut per_profile: BTreeMap<ProfileId, Vec<&CycleReport>> = BTreeMap::new();
        for schedule in &current {
            let Some(report) = ended.get(&(schedule.mailbox, schedule.lane, schedule.generation)) else { continue };
            let decided = self.decide(&settings, schedule, report, now);
            self.tell(&mut tx, schedule, report, &decided).await?;
            per_profile.entry(schedule.profile).or_default().push(report);
            folded.push(decided);
            self.context.metrics.reports.with_label_values(&[report.outcome.as_str()]).inc();
        }
        schedules::write_folded(&mut tx, &folded).await?;
        self.fold_breakers(&mut tx, breakers, &per_profile, now).await?;
        tx.commit().await?;
        // Whoever had to stop in the midst of his work goes on without waiting for the next look.
        if folded.iter().any(|lane| lane.due_at.is_some_and(|due| due <= now) && lane.not_before.is_none()) {
            self.context.wake.notify_one();
        }
        Ok(())
    }

    /// Locks the profiles whose breakers these reports may move. A server that answers and always did is left alone,
    /// so that claims go on meanwhile.
    async fn lock_breakers(
        &self,
        tx: &mut lockstep_store::Tx,
        ended: &BTreeMap<Occasion, &CycleReport>,
    ) -> lockstep_store::Result<Vec<(ProfileId, BreakerRow)>> {
        let telling: Vec<_> = ended.iter().filter(|(_, r)| speaks_of_the_server(r)).map(|(key, _)| *key).collect();
        if telling.is_empty() {
            return Ok(Vec::new());
        }
        let moved = |(key, profile, row): ((_, _, _), ProfileId, BreakerRow)| {
            let fault = ended.get(&key).and_then(|report| report.fault.as_ref());
            let failed = fault.is_some_and(|fault| fault.scope == FaultScope::Profile);
            (failed || row != BreakerRow::default()).then_some(profile)
        };
        let found = schedules::profiles_of(tx, &telling).await?;
        let concerned: BTreeSet<_> = found.into_iter().filter_map(moved).collect();
        if concerned.is_empty() {
            return Ok(Vec::new());
        }
        schedules::lock_breakers(tx, &concerned.into_iter().collect::<Vec<_>>()).await
    }

    /// What one report means for its lane. Pure but for the draw of jitter.
    fn decide(&self, settings: &Settings, schedule: &Schedule, report: &CycleReport, now: DateTime<Utc>) -> Folded {
        let scale = self.context.scale;
        let jitter = rand::random::<f64>();
        let mut folded = Folded {
            mailbox_id: schedule.mailbox.0,
            lane: schedule.lane,
            due_at: None,
            not_before: None,
            interval_seconds: None,
            activity: schedule.activity,
            empty_cycles: i64::from(schedule.empty_cycles),
            transient_failures: i64::from(schedule.transient_failures),
            fault_code: report.fault.as_ref().map(|f| f.code.clone()),
            fault_class: report.fault.as_ref().map(|f| f.class.as_str().to_owned()),
            fault_message: report.fault.as_ref().map(|f| f.message.clone()),
            disabled_code: None,
            succeeded: matches!(report.outcome, Outcome::Completed | Outcome::Yielded),
            informed: speaks_of_the_mailbox(report),
            run: report.run.0,
            started_at: report.started_at,
            ended_at: report.ended_at,
            outcome: report.outcome.as_str().to_owned(),
            worker: host(report),
            seen: i64::from(report.counts.seen),
            tracked: i64::from(report.counts.tracked),
            refused: i64::from(report.counts.refused),
            failed: i64::from(report.counts.failed),
        };
        match report.outcome {
            Outcome::Deferred => {
                folded.not_before = Some(now + report.wait.unwrap_or_default());
            }
            Outcome::Yielded => {
                folded.due_at = Some(now);
                folded.not_before = report.wait.map(|wait| now + wait);
                let next = cadence(settings, schedule, report, false, jitter);
                folded.activity = next.activity.ewma;
                folded.empty_cycles = i64::from(next.activity.empty_cycles);
                folded.transient_failures = 0;
            }
            // Somebody else works there and will report; look again soon in case it dies.
            Outcome::LeaseLost | Outcome::Running => folded.due_at = Some(now + self.context.config.poll_interval()),
            Outcome::Completed | Outcome::Failed => {
                let health = Health { transient_failures: schedule.transient_failures };
                let numbers = health::Settings::of(settings, schedule.lane);
                match health::judge(report.fault.as_ref(), health, &numbers, jitter) {
                    Verdict::Healthy => {
                        let next = cadence(settings, schedule, report, true, jitter);
                        self.context.metrics.interval_seconds.observe(next.interval.as_secs_f64());
                        folded.due_at = Some(report.ended_at + scale.apply(next.interval));
                        folded.interval_seconds = Some(next.interval.as_secs_f64());
                        folded.activity = next.activity.ewma;
                        folded.empty_cycles = i64::from(next.activity.empty_cycles);
                        folded.transient_failures = 0;
                    }
                    Verdict::Postpone { after, failures } => {
                        let after = after.max(schedule.min_polling_interval);
                        folded.due_at = Some(report.ended_at + scale.apply(after));
                        folded.transient_failures = i64::from(failures);
                    }
                    Verdict::Disable => {
                        folded.disabled_code = Some(report.fault.as_ref().map_or("Unknown", |f| &f.code).to_owned());
                    }
                }
            }
        }
        folded
    }

    /// Raises and resolves the lane's own alerts. Those about other parts of the mailbox, and about its items, stand.
    async fn tell(
        &self,
        tx: &mut lockstep_store::Tx,
        schedule: &Schedule,
        report: &CycleReport,
        folded: &Folded,
    ) -> lockstep_store::Result<()> {
        let part = Part::from(schedule.lane);
        let subject = Subject::Part(schedule.mailbox, part);
        match &report.fault {
            // A fault of the server is told of once, by its breaker; one of our own has nobody else to tell of it.
            Some(fault) if (fault.scope == FaultScope::Mailbox || fault.local) && report.outcome == Outcome::Failed => {
                let severity = if folded.disabled_code.is_some() { Severity::Error } else { Severity::Warning };
                let parameters = json!({ "message": fault.message, "failures": folded.transient_failures });
                alerts::raise(tx, &fault.code, severity, subject, parameters).await
            }
            None if folded.succeeded && schedule.fault_code.is_some() => {
                alerts::resolve_part(tx, schedule.mailbox, part).await.map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// Folds what the reports say about their servers: one alert when a server fails, none per mailbox.
    async fn fold_breakers(
        &self,
        tx: &mut lockstep_store::Tx,
        breakers: Vec<(ProfileId, BreakerRow)>,
        reports: &BTreeMap<ProfileId, Vec<&CycleReport>>,
        now: DateTime<Utc>,
    ) -> lockstep_store::Result<()> {
        for (profile, row) in breakers {
            let before = stored_breaker(row);
            let mut breaker = before;
            for report in reports.get(&profile).into_iter().flatten().filter(|r| speaks_of_the_server(r)) {
                let settings = self.context.config.breaker();
                let (after, transition) = breaker.observe(report.fault.as_ref(), now, &settings, rand::random());
                breaker = after;
                let subject = Subject::Profile(profile);
                match (transition, &report.fault) {
                    (Transition::Opened, Some(fault)) => {
                        let parameters = json!({ "cause": fault.code, "message": fault.message });
                        alerts::raise(tx, "ServerUnreachable", Severity::Error, subject, parameters).await?;
                    }
                    (Transition::Closed, _) => {
                        alerts::resolve(tx, "ServerUnreachable", subject).await?;
                    }
                    _ => {}
                }
            }
            let scaled = scaled_breaker(breaker, now, self.context.scale);
            if breaker != before {
                schedules::write_breaker(tx, profile, scaled).await?;
            }
        }
        Ok(())
    }
}

/// What the cadence says after this cycle.
fn cadence(
    settings: &Settings,
    schedule: &Schedule,
    report: &CycleReport,
    drained: bool,
    jitter: f64,
) -> cadence::Next {
    let duration = (report.ended_at - report.started_at).to_std().unwrap_or_default();
    cadence::next(
        &cadence::Policy::of(&settings.backoffs(schedule.lane)),
        schedule.min_polling_interval,
        Activity { ewma: schedule.activity, empty_cycles: schedule.empty_cycles },
        Cycle { items: report.counts.seen, drained, duration },
        jitter,
    )
}

/// The longest name of a host that is kept, in bytes (RFC 1035 §2.3.4).
const MAX_HOST: usize = 255;

/// The host a report comes from.
fn host(report: &CycleReport) -> Option<String> {
    let name = report.worker.as_deref()?;
    let name = name.get(..name.floor_char_boundary(MAX_HOST)).unwrap_or_default();
    (!name.is_empty()).then(|| name.chars().filter(|c| !c.is_control()).collect())
}

fn occasion(report: &CycleReport) -> Occasion {
    (report.mailbox, report.lane, report.generation)
}

/// Whether a report tells anything of the mailbox: a run that was not begun, or was overtaken, does not. What stood
/// against the mailbox then stands.
fn speaks_of_the_mailbox(report: &CycleReport) -> bool {
    matches!(report.outcome, Outcome::Completed | Outcome::Yielded | Outcome::Failed)
}

/// There is more than one report for an occasion only when its hint was delivered twice. The one that tells most counts:
/// the run that came too late has found nothing, was deferred or lost the lane. Of equals the first, as across batches.
fn one_an_occasion(reports: Vec<&CycleReport>) -> BTreeMap<Occasion, &CycleReport> {
    let telling = |report: &CycleReport| {
        let outcome = match report.outcome {
            Outcome::Deferred | Outcome::Running => 0,
            Outcome::LeaseLost => 1,
            Outcome::Completed | Outcome::Yielded | Outcome::Failed => 2,
        };
        (outcome, report.counts.seen)
    };
    let mut kept = BTreeMap::new();
    for report in reports {
        let best = kept.entry(occasion(report)).or_insert(report);
        if telling(report) > telling(best) {
            *best = report;
        }
    }
    kept
}

/// Whether a report tells anything of the server: a run that never connected does not, nor does one that was ended by
/// something on our own side.
fn speaks_of_the_server(report: &CycleReport) -> bool {
    speaks_of_the_mailbox(report) && !report.fault.as_ref().is_some_and(|fault| fault.local)
}

/// The breaker that a row stores.
pub(crate) fn stored_breaker(row: BreakerRow) -> Breaker {
    match row.open_until {
        Some(until) => Breaker::Open { until, opened_at: until, step: row.step },
        None => Breaker::Closed { failures: row.failures },
    }
}

fn scaled_breaker(breaker: Breaker, now: DateTime<Utc>, scale: lockstep_model::clock::TimeScale) -> BreakerRow {
    match breaker {
        Breaker::Closed { failures } => BreakerRow { failures, step: 0, open_until: None },
        Breaker::Open { until, step, .. } => {
            let wait = scale.apply((until - now).to_std().unwrap_or_default());
            BreakerRow { failures: 0, step, open_until: Some(now + wait) }
        }
        Breaker::HalfOpen { step, .. } => BreakerRow { failures: 0, step, open_until: Some(now) },
    }
}

fn fold_span(envelope: &Envelope<CycleReport>) -> tracing::Span {
    let report = &envelope.body;
    let span = tracing::info_span!(
        parent: None,
        "scheduler.fold",
        mailbox.id = %report.mailbox,
        run.id = %report.run,
        outcome = report.outcome.as_str()
    );
    if let Some(traceparent) = &envelope.traceparent {
        lockstep_queue::trace::continue_trace(&span, traceparent);
    }
    span
}

#[async_trait]
impl BatchHandler<CycleReport> for Fold {
    async fn handle(&self, batch: Vec<(Envelope<CycleReport>, DeliveryInfo)>) -> Settled {
        // One span for each report, so that a cycle's trace ends where it began: in the scheduler.
        let _spans: Vec<_> = batch.iter().map(|(envelope, _)| fold_span(envelope)).collect();
        let reports: Vec<_> = batch.into_iter().map(|(envelope, _)| envelope.body).collect();
        for _ in 0..3 {
            match self.fold(&reports).await {
                Ok(()) => {
                    CrashPoint::FOLDED.reach();
                    return Settled::Done;
                }
                Err(lockstep_store::Error::Collided(_)) => {}
                Err(error) if error.is_unavailable() => return Settled::Unavailable,
                Err(error) => {
                    tracing::error!(%error, "reports could not be folded");
                    return Settled::Refused { reason: "the fold failed; see the log".to_owned() };
                }
            }
        }
        Settled::Unavailable
    }
}
