//! `lockstep doctor`: everything an installation needs, looked at once, with what to do where it fails.

use std::{sync::Arc, time::Duration};

use clap::Args;
use lockstep_model::clock::SystemClock;
use lockstep_service::Failure;
use lockstep_store::{
    Store, Vault, rotation,
    schema::{SCHEMA_VERSION, SchemaState},
    vault::SealError,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};
use url::Url;

use super::{Done, Result, RoleName};
use crate::{
    config::{
        AllSettings, AsyncWorkerSettings, Database, MailboxWorkerSettings, OutgoingWorkerSettings, Redis,
        SchedulerSettings, Secrets, Source, WebSettings,
    },
    roles::RoleSettings,
    startup,
};

/// How long each service is tried.
const PATIENCE: Duration = Duration::from_secs(5);
/// Clocks further apart than this confuse people who compare logs; Lockstep itself follows the database's.
const CLOCK_APART: chrono::TimeDelta = chrono::TimeDelta::seconds(30);
/// Longest answer of Redis about its memory, in bytes.
const MAX_INFO: usize = 64 << 10;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Looks only at what this role needs.
    #[arg(long, value_enum, default_value_t = RoleName::All)]
    role: RoleName,
}

/// What was looked at, and how it is.
#[derive(Default)]
struct Findings {
    lines: Vec<(String, std::result::Result<String, String>)>,
}

impl Findings {
    fn add(&mut self, what: impl Into<String>, how: std::result::Result<String, String>) {
        self.lines.push((what.into(), how));
    }

    /// A line for each finding; what to do stands below a failure.
    fn text(&self) -> String {
        let width = self.lines.iter().map(|(what, _)| what.len()).max().unwrap_or(0);
        self.lines
            .iter()
            .map(|(what, how)| match how {
                Ok(text) => format!("ok      {what:width$}  {text}\n"),
                Err(text) => format!("FAILED  {what:width$}  {}\n", text.replace('\n', "\n        ")),
            })
            .collect()
    }

    fn done(self) -> Done {
        Done { code: u8::from(self.lines.iter().any(|(_, how)| how.is_err())), text: self.text() }
    }
}

/// `lockstep doctor`
pub(super) async fn run(source: &Source, arguments: Arguments) -> Result {
    let done = match arguments.role {
        RoleName::All => look::<AllSettings>(source, |s| Some(&s.secrets)).await,
        RoleName::Scheduler => look::<SchedulerSettings>(source, |_| None).await,
        RoleName::MailboxWorker => look::<MailboxWorkerSettings>(source, |s| Some(&s.secrets)).await,
        RoleName::OutgoingWorker => look::<OutgoingWorkerSettings>(source, |s| Some(&s.secrets)).await,
        RoleName::AsyncWorker => look::<AsyncWorkerSettings>(source, |s| Some(&s.secrets)).await,
        RoleName::Web => look::<WebSettings>(source, |s| Some(&s.secrets)).await,
    };
    Ok(done)
}

async fn look<S: RoleSettings>(source: &Source, secrets: impl Fn(&S) -> Option<&Secrets>) -> Done {
    let mut findings = Findings::default();
    let read = source.load::<S>().and_then(|settings| settings.check(source).map(|()| settings));
    let settings = match read {
        Ok(settings) => settings,
        Err(failure) => {
            findings.add("settings", Err(failure.message));
            return findings.done();
        }
    };
    findings.add("settings", Ok(format!("read from {}", source.place())));
    let secrets = secrets(&settings);
    if let Some(secrets) = secrets {
        findings.add("sealing keys", seals(secrets));
    }
    look_at_database(&mut findings, settings.database(), secrets.map(|secrets| secrets.keys.vault())).await;
    if let Some(broker) = settings.broker() {
        for role in settings.broker_roles() {
            let reached = startup::broker(broker, *role, Instant::now() + PATIENCE).await;
            let queue = role.reads().name();
            let fine = format!("logged in; {queue} and its exchanges are declared");
            findings.add(format!("rabbitmq, {}", role.name()), reached.map(|()| fine).map_err(message));
        }
    }
    if let Some(redis) = settings.redis() {
        look_at_redis(&mut findings, redis).await;
    }
    findings.done()
}

fn message(failure: Failure) -> String {
    failure.message
}

fn seals(secrets: &Secrets) -> std::result::Result<String, String> {
    let (vault, secret) = (secrets.keys.vault(), SecretString::from("trial"));
    let opened = vault.seal("doctor", &secret).and_then(|sealed| vault.open("doctor", &sealed));
    match opened {
        Ok(opened) if opened.expose_secret() == "trial" => {
            Ok("the first one seals, and opens what it sealed".to_owned())
        }
        Ok(_) => Err("what was sealed does not open".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

async fn look_at_database(findings: &mut Findings, database: &Database, vault: Option<Vault>) {
    if let Err(failure) = startup::database(database, Instant::now() + PATIENCE).await {
        return findings.add("postgresql", Err(failure.message));
    }
    findings.add("postgresql", Ok(format!("answers at {}", database.url)));
    let clock = Arc::new(SystemClock::default());
    let opens_secrets = vault.is_some();
    let store = vault
        .map_or_else(startup::no_vault, Ok)
        .and_then(|vault| startup::open_store(database, "doctor", 1, Arc::clone(&clock), vault));
    let store = match store {
        Ok(store) => store,
        Err(failure) => return findings.add("postgresql", Err(failure.message)),
    };
    if let Ok(samples) = store.compare_clocks(&clock).await {
        clock.keep_in_step(&samples);
    }
    let apart = clock.offset();
    findings.add(
        "clocks",
        if apart.abs() < CLOCK_APART {
            Ok(format!("the database's is {} ms ahead of this machine's", apart.num_milliseconds()))
        } else {
            Err(format!(
                "the database's is {} s ahead of this machine's; let both follow a time server (NTP)",
                apart.num_seconds()
            ))
        },
    );
    match startup::schema(database, Instant::now()).await {
        Ok(SchemaState { version, .. }) => {
            findings.add("schema", Ok(format!("is number {version}; this program knows {SCHEMA_VERSION}")));
            findings.add("organisation", organisation(&store).await);
            let same = startup::same_database(database).await;
            findings
                .add("place", same.map(|()| "is where the roles work".to_owned()).map_err(|failure| failure.message));
            if opens_secrets {
                findings.add("stored secrets", stored_secrets(&store).await);
            }
        }
        Err(failure) => findings.add("schema", Err(failure.message)),
    }
    store.close().await;
}

async fn organisation(store: &Store) -> std::result::Result<String, String> {
    let read = async { lockstep_store::organisations::get(&mut store.begin().await?).await };
    match read.await {
        Ok(Some(organisation)) => Ok(format!("{:?}", organisation.name)),
        Ok(None) => Err("is not set up; run `lockstep migrate --organisation NAME`".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether what is stored can be opened with the keys that are given: one secret of each key is tried.
async fn stored_secrets(store: &Store) -> std::result::Result<String, String> {
    let trials = rotation::trial(store).await.map_err(|error| error.to_string())?;
    let secrets: i64 = trials.iter().map(|trial| trial.secrets).sum();
    let problems: Vec<_> = trials.iter().filter_map(not_opened).collect();
    if problems.is_empty() {
        Ok(format!("{secrets}, sealed with {} of the keys; one of each was opened", trials.len()))
    } else {
        Err(problems.join("\n"))
    }
}

fn not_opened(trial: &rotation::Trial) -> Option<String> {
    let (key, secrets) = (&trial.key, trial.secrets);
    match &trial.opened {
        Ok(()) => None,
        Err(SealError::UnknownKey(_)) => Some(format!(
            "secrets.keys lacks the key {key:?}, which {secrets} of them need; add it behind the first one, or set them anew"
        )),
        Err(_) => Some(format!(
            "one of the {secrets} sealed with the key {key:?} does not open: that id stands for other bytes now than \
             those that sealed it, or it was damaged; give secrets.keys the right bytes, or set it anew"
        )),
    }
}

async fn look_at_redis(findings: &mut Findings, redis: &Redis) {
    if let Err(failure) = startup::redis(redis, Instant::now() + PATIENCE).await {
        return findings.add("redis", Err(failure.message));
    }
    findings.add("redis", Ok(format!("answers at {}", redis.url)));
    let policy = match timeout(PATIENCE, memory_policy(redis.url.expose())).await {
        Ok(Ok(Some(policy))) if policy == "noeviction" => Ok(policy),
        Ok(Ok(Some(policy))) => {
            Err(format!("is {policy}: permits and leases may be evicted; set maxmemory-policy noeviction"))
        }
        Ok(Ok(None)) => Ok("not told by this server, or not looked at (TLS); must be noeviction".to_owned()),
        Ok(Err(error)) => Err(format!("cannot be asked for: {error}; must be noeviction")),
        Err(_) => Err("no answer in time; must be noeviction".to_owned()),
    };
    findings.add("redis maxmemory-policy", policy);
}

/// `maxmemory_policy` as `INFO memory` tells it: two requests in Redis's protocol, which is all that is needed of it
/// here. `None` when it is not told.
async fn memory_policy(url: &Url) -> std::io::Result<Option<String>> {
    let host = url.host_str().unwrap_or("localhost").trim_start_matches('[').trim_end_matches(']');
    if url.scheme() != "redis" {
        return Ok(None);
    }
    let mut stream = TcpStream::connect((host, url.port().unwrap_or(6379))).await?;
    let mut request = Vec::new();
    if let Some(password) = url.password() {
        let (user, password) = (super::broker::decoded(url.username()), super::broker::decoded(password));
        let mut words = vec!["AUTH".to_owned()];
        words.extend(user.filter(|user| !user.is_empty()));
        words.extend(password);
        command(&mut request, &words);
    }
    command(&mut request, &["INFO".to_owned(), "memory".to_owned()]);
    stream.write_all(&request).await?;
    let mut answer = Vec::new();
    let mut part = [0_u8; 4096];
    while answer.len() < MAX_INFO {
        let read = stream.read(&mut part).await?;
        answer.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&answer);
        let found = text.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"));
        // Only a whole line counts: the rest may still be on its way.
        if let Some(policy) = found.filter(|policy| text.contains(&format!("{policy}\r\n"))) {
            return Ok(Some(policy.trim().to_owned()));
        }
        if read == 0 || text.starts_with('-') || text.contains("\r\n-") {
            return Ok(None);
        }
    }
    Ok(None)
}

fn command(request: &mut Vec<u8>, words: &[String]) {
    request.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        request.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_show_and_decide_the_exit_code() {
        let mut findings = Findings::default();
        findings.add("settings", Ok("read".to_owned()));
        assert_eq!(findings.text(), "ok      settings  read\n");
        findings.add("redis", Err("away\nstart it".to_owned()));
        let done = findings.done();
        assert_eq!(done.code, 1);
        assert_eq!(done.text, "ok      settings  read\nFAILED  redis     away\n        start it\n");
    }
}
