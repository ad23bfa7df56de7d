//! `make demo`: Lockstep as it is operated, on real servers, shown to somebody who has never seen it.
//!
//! Starts every role as a process of its own, makes an organisation with six mailboxes, delivers the corpus of the
//! tests and one large message, answers one from the CRM, and counts what came of it without asking the roles.
//! With a terminal it stays up until Ctrl-C.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod counts;
mod exchange;
mod messages;
mod progress;
mod report;
mod story;
mod world;

use std::{
    fs,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, anyhow, ensure};
use futures::{FutureExt, future::join_all};
use lockstep_e2e::{Cluster, Role};
use tokio::signal::unix::{Signal, SignalKind, signal};

use progress::Progress;
use report::Report;
use story::Story;

/// Five minutes become three seconds.
const SCALE: f64 = 0.01;

#[tokio::main]
async fn main() -> ExitCode {
    // What cannot be set up panics with a sentence that says why; the place in our source would only hide it.
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
        eprintln!("\nThe demonstration cannot go on: {}", text.unwrap_or("nobody said why"));
    }));
    match AssertUnwindSafe(run()).catch_unwind().await {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("\nThe demonstration failed: {error:#}");
            ExitCode::FAILURE
        }
        Err(_) => ExitCode::FAILURE,
    }
}

async fn run() -> Result<()> {
    let mut stop = Stop { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? };
    let folder = folder()?;
    let mut progress = Progress::new();
    let cluster = tokio::select! {
        cluster = start(&mut progress) => cluster,
        () = stop.asked() => return Err(anyhow!("stopped before it was up")),
    };
    let told = tokio::select! {
        told = tell(&cluster, &mut progress) => told,
        () = stop.asked() => Err(anyhow!("stopped before its end")),
    };
    progress.end_line();
    let judged = judge(&cluster, &mut progress, told, &folder, &mut stop).await;
    let ended = end(&cluster).await;
    let kept = keep_logs(&cluster, &folder.join("logs"));
    if judged.is_err() {
        eprintln!("\nLogs: {}", folder.join("logs").display());
    }
    judged.and(ended).and(kept)
}

/// Writes and shows the report; with a terminal, waits for Ctrl-C.
async fn judge(
    cluster: &Cluster,
    progress: &mut Progress,
    told: Result<Report>,
    folder: &Path,
    stop: &mut Stop,
) -> Result<()> {
    let report = told?;
    let path = folder.join("report.json");
    report.write(&path)?;
    report.print();
    let complaints = report.complaints();
    for complaint in &complaints {
        println!("  NOT AS IT SHOULD BE: {complaint}.");
    }
    if progress.terminal() {
        report::print_places(cluster);
        println!("  Report: {}. Everything keeps running; Ctrl-C ends all of it.", path.display());
        stop.asked().await;
        println!("\n  Stopping.");
    } else {
        println!("  Report: {}; logs: {}.", path.display(), folder.join("logs").display());
        println!("  On a terminal it would stay up now and show its API, metrics and logs; without one it ends here.");
    }
    ensure!(complaints.is_empty(), "{}", complaints.join("; "));
    Ok(())
}

async fn start(progress: &mut Progress) -> Cluster {
    progress.step("starting scheduler, mailbox-worker, outgoing-worker, async-worker and web, each as a process");
    let builder = Cluster::builder().scale(SCALE).unbounded();
    builder.setting("telemetry", "log_format", "\"json\"").start().await
}

/// The whole story, to its report.
async fn tell(cluster: &Cluster, progress: &mut Progress) -> Result<Report> {
    let mut parts = Vec::new();
    let mut part = |progress: &mut Progress, done: &str, next: &str| {
        parts.push((done.to_owned(), progress.elapsed().as_secs_f64()));
        progress.step(next);
    };
    part(
        progress,
        "processes ready",
        "making an organisation: a queue, five users, their mailboxes (approve, test, enable)",
    );
    let world = world::set_up(cluster).await?;
    let mut story = Story::new(cluster, &world, progress);
    let text = format!("delivering {} messages by SMTP and as files, one with a file of 30 MB", story.posts.len());
    part(story.progress, "mailboxes enabled", &text);
    story.deliver().await?;
    part(story.progress, "delivered", "reading them: each becomes a record, or is declined by rule");
    story.settle(0).await?;
    part(story.progress, "read", "Cora answers one of them from the CRM, with a copy to herself");
    let message_id = story.answer().await?;
    part(story.progress, "answered", "Anna answers Cora, who tracks nothing but answers");
    story.answer_back(&message_id).await?;
    // Besides the posts, the copy of the CRM's own email lies in Cora's mailbox.
    let counts = story.settle(1).await?;
    let (sent, handed_over) = (story.copies(&message_id)?, story.handed_over(1));
    part(story.progress, "settled", "Finn's appointment goes to a simulated Exchange, is moved there, and comes back");
    let appointment = exchange::tell(cluster).await?;
    part(story.progress, "appointment back", "counting");
    Report::of(cluster.pool(), &world, &counts, handed_over, sent, appointment, parts).await
}

/// Ends every process as an operator would.
async fn end(cluster: &Cluster) -> Result<()> {
    let running = Role::SEPARATE.into_iter().filter(|role| !cluster.processes(*role).is_empty());
    let exits = join_all(running.map(async |role| (role, cluster.stop(role).await))).await;
    let wrong: Vec<String> = exits
        .into_iter()
        .filter(|(_, exit)| exit.code() != Some(0))
        .map(|(role, exit)| format!("{} ended with {}", role.name(), exit.status))
        .collect();
    ensure!(wrong.is_empty(), "{}", wrong.join(", "));
    Ok(())
}

fn keep_logs(cluster: &Cluster, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for process in cluster.every_process() {
        let name = process.log().file_name().unwrap_or_default();
        fs::copy(process.log(), to.join(name)).with_context(|| process.log().display().to_string())?;
    }
    Ok(())
}

/// `target/demo`, without what an earlier run left.
fn folder() -> Result<PathBuf> {
    let program = std::env::current_exe().context("where this program is")?;
    let target = program.parent().and_then(Path::parent).context("this program lies in no target folder")?;
    let folder = target.join("demo");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for old in ["report.json", "logs"] {
        let old = folder.join(old);
        let removed = if old.is_dir() { fs::remove_dir_all(&old) } else { fs::remove_file(&old) };
        drop(removed);
    }
    Ok(folder)
}

/// Ctrl-C, or a polite kill.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
