//! What a cycle costs that finds nothing on Exchange: processor time of the mailbox worker for one, against the same
//! requests replayed; and what goes over the wire.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lockstep_e2e::{Cluster, Exchange, Role};
use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;

use super::{mailbox_of, meter::Meter, profile, replay};
use crate::{as_shipped, cpu, median};

const MAILBOXES: usize = 20;
/// Contacts in each, in step.
const KNOWN: usize = 5;
/// The longest interval, twelve minutes, becomes 1.4 seconds.
const SCALE: f64 = 0.002;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(60);
/// Enough for the kernel's hundredths of a second to tell.
const PASSES: usize = 3_000;

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// Median of the rounds' ratios: processor time of a cycle, divided by that of a pass of the replay.
    pub(crate) ratio: f64,
    mailboxes: usize,
    contacts_in_each: usize,
    rounds: Vec<Round>,
}

#[derive(Debug, Serialize)]
struct Round {
    cycles: u64,
    cycle_ms: f64,
    replay_ms: f64,
    ratio: f64,
    requests_a_cycle: f64,
    bytes_sent_a_cycle: f64,
    bytes_received_a_cycle: f64,
}

/// Measures.
pub(crate) async fn measure() -> Result<Figures> {
    println!("\na cycle on Exchange that finds nothing: {MAILBOXES} mailboxes with {KNOWN} contacts in step");
    let names: Vec<String> = (0..MAILBOXES).map(|number| format!("user{number}")).collect();
    let exchange = Exchange::start(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let meter = Meter::in_front_of(exchange.port).await?;
    let cluster = as_shipped().scale(SCALE).start().await;
    let profile = profile(&exchange, &cluster, meter.port).await;
    for name in &names {
        let (user, _) = exchange.user(&cluster, name, mailbox_of(name, profile)).await;
        for number in 0..KNOWN {
            let contact = json!({ "name": format!("Contact {number}"), "owner_user_id": user });
            cluster.api().post("/contacts", &contact).await;
        }
    }
    cluster
        .wait_until(120, "everything is in step", async || {
            cluster.number("SELECT count(*) FROM links WHERE settled_record IS NOT NULL").await
                == (MAILBOXES * KNOWN) as i64
        })
        .await;
    // Until everybody has been found idle a few times, intervals still grow.
    sleep(Duration::from_secs(10)).await;
    meter.keep();
    sleep(Duration::from_secs(3)).await;
    let requests = usual(meter.kept())?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let before = meter.read();
        let (cycles, cycle) = cycles(&cluster).await?;
        let after = meter.read();
        let replayed = replay::measure(exchange.port, &requests, PASSES).await?;
        let a_cycle = |before: u64, after: u64| (after - before) as f64 / cycles as f64;
        let round = Round {
            cycles,
            cycle_ms: cycle * 1e3,
            replay_ms: replayed * 1e3,
            ratio: cycle / replayed,
            requests_a_cycle: a_cycle(before.requests, after.requests),
            bytes_sent_a_cycle: a_cycle(before.sent, after.sent),
            bytes_received_a_cycle: a_cycle(before.received, after.received),
        };
        println!(
            "  {} cycles: {:.2} ms of processor time each, {:.1} requests, {:.0} bytes there and {:.0} back; replay \
             {:.2} ms; ratio {:.2}",
            round.cycles,
            round.cycle_ms,
            round.requests_a_cycle,
            round.bytes_sent_a_cycle,
            round.bytes_received_a_cycle,
            round.replay_ms,
            round.ratio
        );
        rounds.push(round);
    }
    let ratio = median(rounds.iter().map(|round| round.ratio).collect());
    Ok(Figures { ratio, mailboxes: MAILBOXES, contacts_in_each: KNOWN, rounds })
}

/// The requests of a cycle such as most are.
fn usual(mut kept: Vec<Vec<u8>>) -> Result<Vec<u8>> {
    kept.sort_by_key(Vec::len);
    let middle = kept.len() / 2;
    let requests = kept.into_iter().nth(middle).context("no cycle was seen")?;
    replay::apart(&requests)?;
    Ok(requests)
}

/// Cycles of one round, and the worker's processor time for each in seconds.
async fn cycles(cluster: &Cluster) -> Result<(u64, f64)> {
    const CYCLES: &str = "SELECT sum(cycles)::bigint FROM lane_schedules WHERE lane = 'act'";
    let worker = cluster.process(Role::MailboxWorker).pid().to_string();
    let (begun, counted, used) = (Instant::now(), cluster.number(CYCLES).await, cpu::seconds(&worker)?);
    sleep(ROUND).await;
    let (counted, used) = (cluster.number(CYCLES).await - counted, cpu::seconds(&worker)? - used);
    ensure!(counted > 0, "no cycle has ended in {:.0} s", begun.elapsed().as_secs_f64());
    Ok((u64::try_from(counted)?, used / counted as f64))
}
