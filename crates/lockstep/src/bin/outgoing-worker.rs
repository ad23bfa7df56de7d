//! The `outgoing-worker` role as a process of its own.

use std::path::PathBuf;

use clap::Parser;
use lockstep::{config::OutgoingWorkerSettings, startup::launch};
use lockstep_service::Exit;

/// Sends email.
#[derive(Parser)]
#[command(name = "outgoing-worker", version)]
struct Arguments {
    /// Settings file (TOML); without it LOCKSTEP_CONFIG, and LOCKSTEP__SECTION__KEY over both.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn main() -> Exit {
    launch::<OutgoingWorkerSettings>(Arguments::parse().config)
}
