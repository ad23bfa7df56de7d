//! What came of it: for programs as JSON, for people as text.
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use lockstep_e2e::{Cluster, Role, TrackOption};
use serde::Serialize;
use sqlx::{PgPool, Row};

use super::{
    counts::{Counts, MailboxCounts},
    exchange::Appointment,
    world::{HOLDERS, World},
};

/// What the demonstration leaves in `target/demo/report.json`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Messages in the mailboxes' folders on the mail server; one in two mailboxes counts twice.
    delivered: usize,
    /// Of these, linked to a record.
    tracked: usize,
    /// Of these, declined by rule.
    refused: usize,
    /// Emails the CRM sent that lie in the recipient's folder.
    sent: usize,
    /// Delivered, but neither linked, nor declined, nor set aside; and messages hidden behind another one's record.
    lost: usize,
    /// Records beyond one for each message.
    duplicated: usize,
    /// What became of the appointment on the simulated Exchange.
    appointment: Appointment,
    /// From the first process to the last count.
    seconds: f64,
    breakdown: Breakdown,
}

#[derive(Debug, Serialize)]
struct Breakdown {
    /// Different messages that the demonstration handed over.
    messages: usize,
    /// Places they were handed over to; equal to `delivered` when the mail server did its part.
    addressed: usize,
    /// Set aside after failures.
    quarantined: usize,
    /// Different messages that share one record.
    merged: usize,
    /// Records of received mail.
    records: usize,
    refused_by_reason: BTreeMap<String, usize>,
    /// Answers to the CRM's email that were recognised by it alone.
    correlated: i64,
    open_alerts: Vec<Alert>,
    /// Seconds at which each part was done.
    parts: Vec<(String, f64)>,
    mailboxes: Vec<MailboxReport>,
}

#[derive(Debug, Serialize)]
struct MailboxReport {
    name: &'static str,
    address: String,
    track_option: &'static str,
    #[serde(flatten)]
    counts: MailboxCounts,
    /// Before the time scale.
    interval_minutes: f64,
    cycles: i64,
}

#[derive(Debug, Serialize)]
struct Alert {
    code: String,
    severity: String,
    alerts: i64,
}

/// What the demonstration gave to the mail server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HandedOver {
    /// Different messages.
    pub(crate) messages: usize,
    /// Mailboxes they were for, together.
    pub(crate) addressed: usize,
}

impl Report {
    pub(crate) async fn of(
        pool: &PgPool,
        world: &World,
        counts: &Counts,
        handed_over: HandedOver,
        sent: usize,
        appointment: Appointment,
        parts: Vec<(String, f64)>,
    ) -> Result<Self> {
        let mut refused_by_reason = BTreeMap::new();
        let mut mailboxes = Vec::new();
        for ((holder, mailbox), counts) in HOLDERS.iter().zip(&world.mailboxes).zip(&counts.mailboxes) {
            for (reason, count) in &counts.refused {
                *refused_by_reason.entry(reason.clone()).or_default() += count;
            }
            let lane = sqlx::query(
                "SELECT interval_seconds, cycles FROM lane_schedules WHERE mailbox_id = $1 AND lane = 'incoming'",
            )
            .bind(mailbox.mailbox)
            .fetch_one(pool)
            .await
            .with_context(|| format!("the schedule of {}", mailbox.address()))?;
            mailboxes.push(MailboxReport {
                name: holder.name,
                address: mailbox.address().to_owned(),
                track_option: holder.track.as_str(),
                counts: counts.clone(),
                interval_minutes: lane.try_get::<f64, _>("interval_seconds")? / 60.0,
                cycles: lane.try_get("cycles")?,
            });
        }
        let correlated = sqlx::query_scalar(
            "SELECT count(*) FROM emails WHERE direction = 'incoming' AND correlation_method = 'in-reply-to'",
        )
        .fetch_one(pool)
        .await?;
        let open_alerts = sqlx::query(
            "SELECT code, severity, count(*) AS alerts FROM alerts WHERE resolved_at IS NULL
             GROUP BY code, severity ORDER BY code",
        )
        .fetch_all(pool)
        .await?
        .into_iter()
        .map(|row| {
            let (code, severity) = (row.try_get("code")?, row.try_get("severity")?);
            Ok(Alert { code, severity, alerts: row.try_get("alerts")? })
        })
        .collect::<Result<_>>()?;
        Ok(Self {
            delivered: counts.sum(|mailbox| mailbox.delivered),
            tracked: counts.sum(|mailbox| mailbox.tracked),
            refused: counts.refused(),
            sent,
            lost: counts.waiting() + counts.merged,
            duplicated: counts.duplicated,
            appointment,
            seconds: parts.last().map_or(0.0, |(_, seconds)| *seconds),
            breakdown: Breakdown {
                messages: handed_over.messages,
                addressed: handed_over.addressed,
                quarantined: counts.sum(|mailbox| mailbox.quarantined),
                merged: counts.merged,
                records: counts.records,
                refused_by_reason,
                correlated,
                open_alerts,
                parts,
                mailboxes,
            },
        })
    }

    /// What did not happen as it should; empty when all is well.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut ask = |holds: bool, text: String| {
            if !holds {
                complaints.push(text);
            }
        };
        ask(self.lost == 0, format!("{} messages are lost", self.lost));
        ask(self.duplicated == 0, format!("{} records too many", self.duplicated));
        let (delivered, addressed) = (self.delivered, self.breakdown.addressed);
        ask(delivered == addressed, format!("of {addressed} messages {delivered} lie in their folders"));
        let quarantined = self.breakdown.quarantined;
        ask(quarantined == 0, format!("{quarantined} messages are set aside after failures"));
        ask(self.sent == 1, format!("the answer lies {} times in the customer's mailbox", self.sent));
        ask(self.breakdown.correlated > 0, "the customer's answer was not recognised as one".to_owned());
        for reason in ["NoCorrelationMatch", "OwnMessage"] {
            let found = self.breakdown.refused_by_reason.contains_key(reason);
            ask(found, format!("no message was declined as {reason}"));
        }
        complaints
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, serde_json::to_string_pretty(self)? + "\n").with_context(|| path.display().to_string())
    }

    /// For people.
    pub(crate) fn print(&self) {
        println!();
        println!(
            "  mailbox   address                    tracks              mail records looked  next in  declined (why)"
        );
        for mailbox in &self.breakdown.mailboxes {
            let declined: usize = mailbox.counts.refused.values().sum();
            let reasons: Vec<_> = mailbox.counts.refused.iter().map(|(why, count)| format!("{count} {why}")).collect();
            let reasons = if reasons.is_empty() { String::new() } else { format!("({})", reasons.join(", ")) };
            println!(
                "  {:<9} {:<26} {:<19} {:>4} {:>7} {:>4} x  {:>3.1} min  {declined} {reasons}",
                mailbox.name,
                mailbox.address,
                mailbox.track_option,
                mailbox.counts.delivered,
                mailbox.counts.tracked,
                mailbox.cycles,
                mailbox.interval_minutes,
            );
        }
        println!("  (looked: cycles so far; next in: the interval chosen, here a hundred times faster)");
        for mailbox in &self.breakdown.mailboxes {
            if mailbox.track_option == TrackOption::None.as_str() && mailbox.counts.tracked > 0 {
                println!(
                    "  ({} tracks none: the {} records are emails that another addressee accepted, linked to this mailbox too)",
                    mailbox.name, mailbox.counts.tracked
                );
            }
        }
        println!();
        println!(
            "  {} messages lie {} times in mailboxes: {} times as one of {} records, {} times declined by rule.",
            self.breakdown.messages, self.delivered, self.tracked, self.breakdown.records, self.refused
        );
        println!(
            "  Lost: {}. Records too many: {}. Sent from the CRM and arrived: {}. All in {:.0} s.",
            self.lost, self.duplicated, self.sent, self.seconds
        );
        let Appointment { there_after, moved_by, back_after, not_moved } = &self.appointment;
        println!("  An appointment of the CRM lay in the calendar on the simulated Exchange after {there_after:.1} s.");
        match (moved_by, back_after, not_moved) {
            (Some(who), Some(after), _) => println!("  {who} moved it there; the record had moved {after:.1} s later."),
            (.., Some(why)) => println!("  Nobody moved it there: {why}."),
            _ => {}
        }
        if self.breakdown.open_alerts.is_empty() {
            println!("  No open alerts.");
        }
        for alert in &self.breakdown.open_alerts {
            println!("  Open alerts: {} {} ({})", alert.alerts, alert.code, alert.severity);
        }
        println!();
    }
}

/// Where to look, while everything runs.
pub(crate) fn print_places(cluster: &Cluster) {
    let (url, key) = (cluster.web_url(), cluster.api().key());
    println!("  REST API   {url}/api/v1   described in {url}/api/v1/openapi.json");
    println!("  API key    {key}   (administrator, for this demonstration only)");
    println!("             curl -H 'Authorization: Bearer {key}' {url}/api/v1/mailboxes");
    for role in Role::SEPARATE {
        for process in cluster.processes(role) {
            let url = process.probes_url();
            println!("  {:<16} {url}/metrics   {url}/readyz   log {}", role.name(), process.log().display());
        }
    }
    println!("  settings         {}", cluster.config_file().display());
    println!("  database         {}", cluster.database().url());
    println!();
}
