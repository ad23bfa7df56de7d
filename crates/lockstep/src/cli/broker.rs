//! Users and rights on the broker, and dead letters, through RabbitMQ's management API.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use futures::StreamExt;
use lockstep_queue::topology::{all_permissions, permissions};
use lockstep_service::config::SecretUrl;
use lockstep_wire::{Queue, Role};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use url::Url;

use super::{
    Done, Error, Result,
    table::{harmless, table},
};
use crate::config::{BrokerSettings, Source};

/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 << 20;
/// Most dead letters one command touches.
const MOST_LETTERS: u16 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Prints the rights each role's user needs.
    Permissions,
    /// Makes the users of the role addresses in the settings (`broker.scheduler_url` and so on) and gives them exactly
    /// their rights.
    Apply {
        #[command(flatten)]
        management: Management,
        /// Virtual host; without, the one in the addresses.
        #[arg(long)]
        vhost: Option<String>,
    },
}

/// Where the management API is.
#[derive(Debug, Clone, Args)]
pub(super) struct Management {
    /// Address with an administrator's name and password, such as `http://admin:password@host:15672`.
    #[arg(long, env = "LOCKSTEP_BROKER_API_URL", hide_env_values = true, value_name = "URL", value_parser = address)]
    api_url: SecretUrl,
}

fn address(text: &str) -> std::result::Result<SecretUrl, String> {
    match SecretUrl::parse(text) {
        Ok(url) if matches!(url.expose().scheme(), "http" | "https") && url.expose().has_host() => Ok(url),
        // Clap quotes the value it was given; what it says must at least not come from here.
        _ => Err("expected an address such as http://admin:password@host:15672".to_owned()),
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum DeadLetters {
    /// Shows them, oldest first; they stay.
    List(Letters),
    /// Sends them to their queue again.
    Requeue(Letters),
    /// Deletes them.
    Drop(Letters),
}

#[derive(Debug, Args)]
pub(super) struct Letters {
    /// The queue they died in.
    #[arg(value_enum)]
    queue: QueueName,
    /// Most of them.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_LETTERS)))]
    count: u16,
    #[command(flatten)]
    management: Management,
    /// Virtual host.
    #[arg(long, default_value = "/")]
    vhost: String,
}

/// A queue, on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum QueueName {
    /// Mailboxes to synchronise.
    #[value(name = "mailbox.sync")]
    MailboxSync,
    /// Emails to send.
    #[value(name = "outgoing.send")]
    OutgoingSend,
    /// Operations to run.
    #[value(name = "operation.run")]
    OperationRun,
    /// Reports for the scheduler.
    #[value(name = "scheduler.report")]
    SchedulerReport,
}

impl QueueName {
    fn queue(self) -> Queue {
        match self {
            Self::MailboxSync => Queue::MailboxSync,
            Self::OutgoingSend => Queue::OutgoingSend,
            Self::OperationRun => Queue::OperationRun,
            Self::SchedulerReport => Queue::SchedulerReport,
        }
    }
}

/// `lockstep broker`
pub(super) async fn run(source: &Source, command: Command) -> Result {
    match command {
        Command::Permissions => {
            let rows: Vec<Vec<String>> = all_permissions()
                .into_iter()
                .flat_map(|(name, rights)| {
                    [("configure", rights.configure), ("write", rights.write), ("read", rights.read)]
                        .map(|(what, pattern)| format!("{name:16} {what:10} {pattern}"))
                })
                .map(|line| vec![line])
                .collect();
            // Not as a table: patterns must not be cut.
            let lines: String = rows.into_iter().flatten().map(|line| format!("{line}\n")).collect();
            Ok(Done::ok(lines))
        }
        Command::Apply { management, vhost } => apply(source, &management, vhost.as_deref()).await,
    }
}

async fn apply(source: &Source, management: &Management, vhost: Option<&str>) -> Result {
    let settings: BrokerSettings = source.load()?;
    let api = Api::new(management)?;
    let mut rows = Vec::new();
    for role in Role::ALL {
        let key = crate::config::Broker::own_key(*role);
        let Some(url) = settings.broker.own_url(*role) else {
            return Err(Error::new(format!(
                "`{key}` is missing; set it to amqp://{}:password@host:5672/vhost, since every role has a user of its own",
                role.name()
            )));
        };
        let url = url.expose();
        let decode = |text: &str| decoded(text).ok_or_else(|| Error::new(format!("`{key}` is not UTF-8")));
        let (user, password) = (decode(url.username())?, decode(url.password().unwrap_or_default())?);
        if user.is_empty() || password.is_empty() {
            return Err(Error::new(format!("`{key}` needs a user and a password, amqp://user:password@…")));
        }
        let in_url = decode(url.path().trim_start_matches('/'))?;
        let vhost = vhost.unwrap_or(if in_url.is_empty() { "/" } else { &in_url }).to_owned();
        api.expect(Method::PUT, &["vhosts", &vhost], Some(json!({}))).await?;
        api.expect(Method::PUT, &["users", &user], Some(json!({ "password": password, "tags": "" }))).await?;
        let rights = permissions(*role);
        let body = json!({ "configure": rights.configure, "write": rights.write, "read": rights.read });
        api.expect(Method::PUT, &["permissions", &vhost, &user], Some(body)).await?;
        rows.push(vec![role.name().to_owned(), user, vhost, "applied".to_owned()]);
    }
    Ok(Done::ok(table(&["role", "user", "vhost", "rights"], &rows)))
}

/// `lockstep dead-letters`
pub(super) async fn dead_letters(_: &Source, command: DeadLetters) -> Result {
    match command {
        DeadLetters::List(letters) => {
            let api = Api::new(&letters.management)?;
            let found = take(&api, &letters, letters.count, "ack_requeue_true").await?;
            Ok(Done::ok(shown(&found)))
        }
        DeadLetters::Drop(letters) => {
            let api = Api::new(&letters.management)?;
            let found = take(&api, &letters, letters.count, "ack_requeue_false").await?;
            Ok(Done::ok(format!("{}{} deleted.\n", shown(&found), found.len())))
        }
        DeadLetters::Requeue(letters) => requeue(&letters).await,
    }
}

async fn take(api: &Api, letters: &Letters, count: u16, mode: &str) -> Result<Vec<Value>> {
    let dead = letters.queue.queue().dead();
    let body = json!({ "count": count, "ackmode": mode, "encoding": "auto", "truncate": 1_000_000 });
    let answer = api.expect(Method::POST, &["queues", &letters.vhost, &dead, "get"], Some(body)).await?;
    match answer {
        Value::Array(found) => Ok(found),
        _ => Err(Error::new("the management API's answer is not a list")),
    }
}

/// One after the other: taken from the dead-letter queue, then published. A message lost in between is a hint lost:
/// its claim expires and the scheduler gives it again.
async fn requeue(letters: &Letters) -> Result {
    let api = Api::new(&letters.management)?;
    let queue = letters.queue.queue();
    let mut sent = 0;
    while sent < letters.count {
        let Some(letter) = take(&api, letters, 1, "ack_requeue_false").await?.pop() else { break };
        let body = json!({
            "routing_key": queue.name(),
            "payload": letter.get("payload"),
            "payload_encoding": letter.get("payload_encoding"),
            "properties": { "delivery_mode": 2, "content_type": "application/json" },
        });
        let answer =
            api.expect(Method::POST, &["exchanges", &letters.vhost, &queue.exchange(), "publish"], Some(body)).await;
        if !matches!(&answer, Ok(value) if value.get("routed") == Some(&Value::Bool(true))) {
            let why = answer.err().map_or_else(|| "no queue takes it".to_owned(), |error| error.message);
            return Err(Error::new(format!(
                "{sent} sent again; one could not be and is gone from the dead-letter queue ({why}): {}",
                letter.get("payload").and_then(Value::as_str).map(harmless).unwrap_or_default()
            )));
        }
        sent += 1;
    }
    Ok(Done::ok(format!("{sent} sent to {} again.\n", queue.name())))
}

fn shown(letters: &[Value]) -> String {
    if letters.is_empty() {
        return "No dead letters.\n".to_owned();
    }
    let rows: Vec<Vec<String>> = letters
        .iter()
        .map(|letter| {
            let death = letter.pointer("/properties/headers/x-death/0");
            let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("-").to_owned();
            vec![text(death.and_then(|death| death.get("reason"))), text(letter.get("payload"))]
        })
        .collect();
    table(&["reason", "message"], &rows)
}

struct Api {
    client: Client,
    base: Url,
}

impl Api {
    fn new(management: &Management) -> Result<Self> {
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Error::new(format!("the HTTP client cannot start: {error}")))?;
        Ok(Self { client, base: management.api_url.expose().clone() })
    }

    /// One request that must succeed; `Null` without an answer's body.
    async fn expect(&self, method: Method, path: &[&str], body: Option<Value>) -> Result<Value> {
        let mut url = self.base.clone();
        let (user, password) = (decoded(url.username()), url.password().and_then(decoded));
        let _ = url.set_username("");
        let _ = url.set_password(None);
        {
            let mut segments = url.path_segments_mut().map_err(|()| Error::new("--api-url cannot have a path"))?;
            segments.pop_if_empty();
            if !self.base.path().trim_end_matches('/').ends_with("/api") {
                segments.push("api");
            }
            segments.extend(path);
        }
        let place = url.origin().ascii_serialization();
        let mut request = self.client.request(method, url).basic_auth(user.unwrap_or_default(), password);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let failed = |error: reqwest::Error| {
            Error::new(format!("the management API at {place} cannot be reached: {}", error.without_url()))
        };
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let mut bytes = Vec::new();
        let mut stream = response.bytes_stream();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.map_err(failed)?);
            if bytes.len() > MAX_ANSWER {
                return Err(Error::new("the management API's answer is too large; ask for fewer"));
            }
        }
        if !status.is_success() {
            let why = match status {
                StatusCode::UNAUTHORIZED => {
                    "the user or the password in --api-url is wrong, or lacks the tag administrator"
                }
                StatusCode::NOT_FOUND => "there is no such virtual host or queue",
                _ => "see RabbitMQ's log",
            };
            return Err(Error::new(format!("the management API at {place} answers {status}: {why}")));
        }
        Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }
}

/// Percent-decoded; `None` when that is not UTF-8.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (first, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_undone() {
        assert_eq!(decoded("a%2fb%20c").as_deref(), Some("a/b c"));
        assert_eq!(decoded("100%").as_deref(), Some("100%"));
        assert_eq!(decoded("%ff"), None);
    }

    #[test]
    fn the_address_is_not_shown() {
        assert!(!format!("{:?}", address("http://a:hunter2@h").unwrap()).contains("hunter2"));
        assert!(!address("hunter2").unwrap_err().contains("hunter2"));
    }
}
