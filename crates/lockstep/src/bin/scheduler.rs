//! The `scheduler` role as a process of its own.

use std::path::PathBuf;

use clap::Parser;
use lockstep::{config::SchedulerSettings, startup::launch};
use lockstep_service::Exit;

/// Hands out what is due and folds what came of it.
#[derive(Parser)]
#[command(name = "scheduler", version)]
struct Arguments {
    /// Settings file (TOML); without it LOCKSTEP_CONFIG, and LOCKSTEP__SECTION__KEY over both.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn main() -> Exit {
    launch::<SchedulerSettings>(Arguments::parse().config)
}
