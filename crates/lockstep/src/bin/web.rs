//! The `web` role as a process of its own.

use std::path::PathBuf;

use clap::Parser;
use lockstep::{config::WebSettings, startup::launch};
use lockstep_service::Exit;

/// Serves the REST API.
#[derive(Parser)]
#[command(name = "web", version)]
struct Arguments {
    /// Settings file (TOML); without it LOCKSTEP_CONFIG, and LOCKSTEP__SECTION__KEY over both.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn main() -> Exit {
    launch::<WebSettings>(Arguments::parse().config)
}
