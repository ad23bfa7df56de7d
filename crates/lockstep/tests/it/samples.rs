//! The samples in `deploy/config`, and the shape of the command line.

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use lockstep::{
    cli::Cli,
    config::{
        AllSettings, AsyncWorkerSettings, MailboxWorkerSettings, OutgoingWorkerSettings, SchedulerSettings, Source,
        WebSettings,
    },
    roles::RoleSettings,
};
use lockstep_service::config::effective;

use crate::process;

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/config").join(format!("{name}.toml"))
}

/// Parses, keeps the rules, says every key, and says the true defaults.
fn check<S: RoleSettings>() {
    let path = sample(S::NAME);
    let source = Source::new(Some(path.clone()));
    let settings: S = source.load().unwrap_or_else(|failure| panic!("{failure}"));
    settings.check(&source).unwrap_or_else(|failure| panic!("{failure}"));
    let shown = effective(&settings).unwrap();

    let text = std::fs::read_to_string(&path).unwrap();
    for key in shown.lines().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key) {
        let said = text.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{key} = ")));
        assert!(said, "{}: {key} is not mentioned", path.display());
    }

    // With the commented defaults written out, nothing changes.
    let is_default = |line: &str| line.contains(" = ") && !line.contains("no default") && !line.contains("# url = ");
    let spelled: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if is_default(line) && rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => rest,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    assert_ne!(spelled, text, "{} shows no defaults", path.display());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), spelled).unwrap();
    let spelled: S = Source::new(Some(file.path().into())).load().unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(effective(&spelled).unwrap(), shown, "{}", path.display());
}

#[test]
fn samples_parse_and_say_the_true_defaults() {
    check::<SchedulerSettings>();
    check::<MailboxWorkerSettings>();
    check::<OutgoingWorkerSettings>();
    check::<AsyncWorkerSettings>();
    check::<WebSettings>();
    check::<AllSettings>();
}

/// N4: one file may serve every role; each reads its own part.
#[test]
fn n4_every_role_reads_the_file_of_all() {
    let source = Source::new(Some(sample("all")));
    source.load::<SchedulerSettings>().unwrap();
    source.load::<MailboxWorkerSettings>().unwrap();
    source.load::<OutgoingWorkerSettings>().unwrap();
    source.load::<AsyncWorkerSettings>().unwrap();
    source.load::<WebSettings>().unwrap();
}

#[test]
fn commands_are_well_formed() {
    Cli::command().debug_assert();
}

#[tokio::test]
async fn every_program_tells_how_it_is_used() {
    for name in ["scheduler", "mailbox-worker", "outgoing-worker", "async-worker", "web", "lockstep"] {
        let (code, out, _) = process::run(name, &["--help"], &[]).await;
        assert_eq!(code, Some(0), "{name}");
        assert!(out.contains("--config"), "{name}: {out}");
    }
}

#[tokio::test]
async fn config_print_shows_what_is_in_force_and_hides_secrets() {
    let path = sample("mailbox-worker");
    let arguments = ["config", "print", "--role", "mailbox-worker", "--config", path.to_str().unwrap()];
    let env = [("LOCKSTEP__MAILBOX_WORKER__CONCURRENCY", "7")];
    let (code, out, err) = process::run("lockstep", &arguments, &env).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("concurrency = 7") && out.contains("patience = \"30s\""), "{out}");
    assert!(!out.contains("change-me") && !out.contains("00000000"), "{out}");
    assert!(!out.contains("[scheduler]"), "sections of other roles are not read: {out}");
}
