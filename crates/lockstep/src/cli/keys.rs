//! The keys that seal stored passwords: which are in use, and putting a new one in the place of all others.

use std::{fmt::Write as _, sync::Arc};

use clap::Subcommand;
use lockstep_model::clock::SystemClock;
use lockstep_store::{Store, rotation};
use tokio::time::Instant;

use super::{Done, Result, table::table};
use crate::{
    config::{KeysSettings, Source},
    startup,
};

/// Who is noted in the audit.
const ACTOR: &str = "command line";

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Tells how many stored passwords each key seals.
    List,
    /// Seals every stored password anew with the first key of `secrets.keys`. Give every program the new key first,
    /// in front of the old ones; take the old ones away when this has ended without complaint.
    Rotate,
}

/// `lockstep keys`
pub(super) async fn run(source: &Source, command: Keys) -> Result {
    let store = open(source).await?;
    match command {
        Keys::List => list(&store).await,
        Keys::Rotate => rotate(&store).await,
    }
}

async fn open(source: &Source) -> Result<Store> {
    let settings: KeysSettings = source.load()?;
    let mut findings = source.findings();
    findings.database(&settings.database);
    findings.conclude()?;
    startup::database(&settings.database, Instant::now() + settings.startup.patience.get()).await?;
    startup::schema(&settings.database, Instant::now()).await?;
    let clock = Arc::new(SystemClock::default());
    let store = startup::open_store(&settings.database, "keys", 2, Arc::clone(&clock), settings.secrets.keys.vault())?;
    clock.keep_in_step(&store.compare_clocks(&clock).await?);
    Ok(store)
}

async fn list(store: &Store) -> Result {
    let usage = rotation::usage(&mut store.begin().await?).await?;
    let sealing = store.vault().sealing_key();
    let mut rows: Vec<_> = usage
        .iter()
        .map(|(key, secrets)| {
            let does = match (key == sealing, store.vault().opens(key)) {
                (true, _) => "seals",
                (false, true) => "opens",
                (false, false) => "MISSING in secrets.keys",
            };
            vec![key.clone(), secrets.to_string(), does.to_owned()]
        })
        .collect();
    if usage.iter().all(|(key, _)| key != sealing) {
        rows.insert(0, vec![sealing.to_owned(), "0".to_owned(), "seals".to_owned()]);
    }
    let missing = usage.iter().any(|(key, _)| !store.vault().opens(key));
    Ok(Done { text: table(&["key", "passwords", "it"], &rows), code: u8::from(missing) })
}

async fn rotate(store: &Store) -> Result {
    let done = rotation::rotate(store, ACTOR).await?;
    let key = store.vault().sealing_key();
    let mut text = format!("{} stored passwords are sealed anew with key {key:?}.\n", done.rotated);
    if done.unreadable.is_empty() {
        text.push_str("No other key is needed any more.\n");
    }
    for (record, problem) in &done.unreadable {
        let _ = writeln!(text, "{record}: {problem}; give its key to `secrets.keys`, or set the password anew");
    }
    Ok(Done { text, code: u8::from(!done.unreadable.is_empty()) })
}
