//! The `mailbox-worker` role as a process of its own.

use std::path::PathBuf;

use clap::Parser;
use lockstep::{config::MailboxWorkerSettings, startup::launch};
use lockstep_service::Exit;

/// Synchronises mailboxes.
#[derive(Parser)]
#[command(name = "mailbox-worker", version)]
struct Arguments {
    /// Settings file (TOML); without it LOCKSTEP_CONFIG, and LOCKSTEP__SECTION__KEY over both.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn main() -> Exit {
    launch::<MailboxWorkerSettings>(Arguments::parse().config)
}
