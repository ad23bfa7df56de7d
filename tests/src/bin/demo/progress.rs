//! What a person sees while the demonstration works.
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

/// One line each second: on a terminal over the one before, elsewhere below it.
#[derive(Debug)]
pub(crate) struct Progress {
    start: Instant,
    terminal: bool,
    shown_at: Option<Instant>,
    live: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), terminal: std::io::stdout().is_terminal(), shown_at: None, live: false }
    }

    /// Whether somebody watches.
    pub(crate) fn terminal(&self) -> bool {
        self.terminal
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Begins another part.
    pub(crate) fn step(&mut self, text: &str) {
        self.end_line();
        println!("{:>5.1} s  {text}", self.start.elapsed().as_secs_f64());
        self.shown_at = None;
    }

    /// The state of the part, shown once a second at most.
    pub(crate) fn state(&mut self, text: &str) {
        if self.shown_at.is_some_and(|shown| shown.elapsed() < Duration::from_secs(1)) {
            return;
        }
        self.shown_at = Some(Instant::now());
        let seconds = self.start.elapsed().as_secs_f64();
        if self.terminal {
            print!("\r\x1b[2K{seconds:>5.1} s    {text}");
            let _ = std::io::stdout().flush();
            self.live = true;
        } else {
            println!("{seconds:>5.1} s    {text}");
        }
    }

    /// Ends the live line, so that other text may follow.
    pub(crate) fn end_line(&mut self) {
        if std::mem::take(&mut self.live) {
            println!();
        }
    }
}
