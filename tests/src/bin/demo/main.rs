//! `make demo`: Lockstep as it is operated, on real servers, shown to somebody who has never seen it.
//!
//! Starts every role as a process of its own, makes an organisation with six mailboxes, delivers the corpus of the
//! tests and one large message, answers one from the CRM, and counts what came of it without asking the roles.
//! With a terminal it stays up until Ctrl-C.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod counts;
mod messages;
mod progress;
mod report;
mod story;
mod world;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use lockstep_e2e::{Cluster, Role};

use progress::Progress;
use report::Report;
use story::Story;

/// Five minutes become three seconds.
const SCALE: f64 = 0.01;

#[tokio::main]
async fn main() -> ExitCode {
    // What cannot be set up panics with a sentence that says why; a backtrace would hide it.
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
        eprintln!("\nThe demonstration cannot go on: {}", text.unwrap_or("for an unknown reason"));
    }));
    let mut progress = Progress::new();
    // A task of its own, so that a panic ends it and not this function.
    let (code, _) = tokio::join!(async { tokio::spawn(demonstrate_to_the_end()).await.unwrap_or(ExitCode::FAILURE) }, async { progress.end_line() });
    code
}
