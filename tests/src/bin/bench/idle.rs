//! What a cycle costs that finds nothing: processor time of the mailbox worker for one, against the bare loop.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lockstep_e2e::{Cluster, Role, Service, TestMailbox, TrackOption};
use lockstep_test_support::mail::MailAccount;
use serde::Serialize;
use tokio::time::sleep;

use super::{as_shipped, bare_loop, cpu, median};

const MAILBOXES: usize = 20;
/// Messages that lie in each mailbox, long known.
const KNOWN: usize = 10;
/// The longest interval, twelve minutes, becomes 1.4 seconds.
const SCALE: f64 = 0.002;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(60);
/// Enough for the kernel's hundredths of a second to tell.
const PASSES: usize = 2_000;

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// Median of the rounds' ratios: processor time of a cycle, divided by that of a pass of the loop.
    pub(crate) ratio: f64,
    mailboxes: usize,
    messages_in_each: usize,
    rounds: Vec<Round>,
}

#[derive(Debug, Serialize)]
struct Round {
    cycles: u64,
    cycles_a_second: f64,
    cycle_ms: f64,
    bare_loop_ms: f64,
    ratio: f64,
}

/// Measures.
pub(crate) async fn measure() -> Result<Figures> {
    println!("\na cycle that finds nothing: {MAILBOXES} mailboxes with {KNOWN} known messages each");
    let cluster = as_shipped().scale(SCALE).start().await;
    let mut mailboxes = Vec::new();
    for _ in 0..MAILBOXES {
        let mailbox = cluster.mailbox_for_new_user(TrackOption::All).await;
        cluster.drop_many(&mailbox, KNOWN);
        mailboxes.push(mailbox);
    }
    cluster.wait_received(MAILBOXES * KNOWN, 120).await;
    let accounts: Vec<MailAccount> = mailboxes.iter().map(|mailbox: &TestMailbox| mailbox.account.clone()).collect();
    let services = cluster.services(Service::Dovecot);
    let (port, ca) = (services.pop3s_port(), services.ca_file().display().to_string());
    // Until everybody has been found idle a few times, intervals still grow.
    sleep(Duration::from_secs(10)).await;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (cycles, cycle, rate) = cycles(&cluster).await?;
        let bare = bare_loop::measure(port, &ca, &accounts, PASSES).await?;
        let round = Round {
            cycles,
            cycles_a_second: rate,
            cycle_ms: cycle * 1e3,
            bare_loop_ms: bare * 1e3,
            ratio: cycle / bare,
        };
        println!(
            "  {} cycles, {:.1} a second: {:.2} ms of processor time each; bare loop {:.2} ms; ratio {:.2}",
            round.cycles, round.cycles_a_second, round.cycle_ms, round.bare_loop_ms, round.ratio
        );
        rounds.push(round);
    }
    let ratio = median(rounds.iter().map(|round| round.ratio).collect());
    Ok(Figures { ratio, mailboxes: MAILBOXES, messages_in_each: KNOWN, rounds })
}

/// Cycles of one round, the worker's processor time for each in seconds, and cycles a second.
async fn cycles(cluster: &Cluster) -> Result<(u64, f64, f64)> {
    const CYCLES: &str = "SELECT sum(cycles)::bigint FROM lane_schedules WHERE lane = 'incoming'";
    let worker = cluster.process(Role::MailboxWorker).pid().to_string();
    let (begun, counted, used) = (Instant::now(), cluster.number(CYCLES).await, cpu::seconds(&worker)?);
    sleep(ROUND).await;
    let (counted, used) = (cluster.number(CYCLES).await - counted, cpu::seconds(&worker)? - used);
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(counted > 0, "no cycle has ended in {seconds:.0} s");
    Ok((u64::try_from(counted)?, used / counted as f64, counted as f64 / seconds))
}
