//! The administrator's command line.

use std::{io::Write, process::ExitCode};

use clap::Parser;
use lockstep::cli::{self, Cli};

fn main() -> ExitCode {
    match cli::run(Cli::parse()) {
        Ok(done) => {
            // A reader that went away (`| head`) is no failure of the command.
            let _ = std::io::stdout().lock().write_all(done.text.as_bytes());
            ExitCode::from(done.code)
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "lockstep: {}", error.message);
            ExitCode::from(error.code)
        }
    }
}
