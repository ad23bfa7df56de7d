//! `make bench`: four ratios, each of two programs that do the same work in one run on the same servers. It reports and
//! does not judge; how to read the numbers is in docs/benchmarks.md.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod act;
mod bare_loop;
mod cpu;
mod idle;
mod intake;

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Context, Result};
use lockstep_e2e::{Builder, Cluster, Service};
use serde::Serialize;

#[derive(Debug, Serialize)]
struct Report {
    /// `release` or `debug`.
    build: &'static str,
    processors: usize,
    idle_cycle: idle::Figures,
    intake: intake::Figures,
    act_idle_cycle: act::idle::Figures,
    act_first: act::first::Figures,
}

/// The middle one of an odd number of figures.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A deployment with the settings as they are shipped, in place of the tests' short times, and with a PostgreSQL of its
/// own. The time scale stays.
fn as_shipped() -> Builder {
    let shipped = [
        ("database", "max_connections", "10"),
        ("scheduler", "poll_interval_ms", "1000"),
        ("scheduler", "claim_lifetime_ms", "65000"),
        ("mailbox_worker", "concurrency", "16"),
        ("mailbox_worker", "lease_ttl_ms", "60000"),
        ("mailbox_worker", "permit_ttl_ms", "60000"),
    ];
    let builder = Cluster::builder().unbounded().private([Service::Postgres]);
    shipped.into_iter().fold(builder, |builder, (section, key, value)| builder.setting(section, key, value))
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some(bare_loop::COMMAND) => bare_loop::run(&arguments[1..]).await,
        Some(act::replay::COMMAND) => act::replay::run(&arguments[1..]).await,
        None => measure().await,
        Some("act-idle-cycle") => act::idle::measure().await.map(|_| ()),
        Some("act-first") => act::first::measure().await.map(|_| ()),
        Some(other) => {
            Err(anyhow::anyhow!("unknown argument {other:?}; \"act-idle-cycle\" and \"act-first\" are known, or none"))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> Result<()> {
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let processors = std::thread::available_parallelism()?.get();
    println!("{build} build, {processors} processors");
    let idle_cycle = idle::measure().await.context("a cycle that finds nothing")?;
    let intake = intake::measure().await.context("intake")?;
    let act_idle_cycle = act::idle::measure().await.context("a cycle on Exchange that finds nothing")?;
    let act_first = act::first::measure().await.context("first synchronization")?;
    let report = Report { build, processors, idle_cycle, intake, act_idle_cycle, act_first };
    println!("\nidle cycle / bare loop, processor time: {:.2}", report.idle_cycle.ratio);
    println!("durable intake / mpop, elapsed time:     {:.2}", report.intake.ratio);
    println!("idle cycle on Exchange / replay, processor time: {:.2}", report.act_idle_cycle.ratio);
    println!("first synchronization / exchangelib, time an item: {:.2}", report.act_first.ratio);
    write(&report)
}

fn write(report: &Report) -> Result<()> {
    let program = std::env::current_exe()?;
    let target = program.parent().and_then(Path::parent).context("this program lies in no target folder")?;
    let path = target.join("bench/report.json");
    fs::create_dir_all(target.join("bench"))?;
    fs::write(&path, serde_json::to_string_pretty(report)? + "\n").with_context(|| path.display().to_string())?;
    println!("report: {}", path.display());
    Ok(())
}
