//! The first synchronization of a large address book and calendar, against `exchangelib` making equal items on the same
//! server; then a change to many of them there. Memory, and statements that PostgreSQL was asked for an item.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use exchange_sim::{clock, world::item::Touch};
use futures::{StreamExt, TryStreamExt, stream};
use lockstep_e2e::{Cluster, Exchange, Role};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};
use uuid::Uuid;

use super::{
    mailbox_of, profile,
    statements::{self, Statements},
};
use crate::{as_shipped, intake::make_durable};

const CONTACTS: usize = 10_000;
const APPOINTMENTS: usize = 2_000;
/// One in so many is made by `exchangelib`, in the same proportion; time is compared for an item.
const PORTION: usize = 10;
/// Contacts that are changed on the server afterwards.
const CHANGED: usize = 2_000;
const ENDS_WITHIN: Duration = Duration::from_secs(900);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const OWNER: &str = "ann@exchange.test";
/// Records made at one time.
const TOGETHER: usize = 8;

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// Our time for an item of the first synchronization, divided by that of exchangelib.
    pub(crate) ratio: f64,
    contacts: usize,
    appointments: usize,
    first: Phase,
    exchangelib_items_a_second: f64,
    changed: Phase,
    memory_before_mib: u64,
    memory_peak_mib: u64,
}

#[derive(Debug, Serialize)]
struct Phase {
    items: usize,
    seconds: f64,
    items_a_second: f64,
    reads_an_item: f64,
    writes_an_item: f64,
    most: Vec<(String, i64)>,
}

impl Phase {
    fn of(items: usize, took: Duration, statements: Statements) -> Self {
        let seconds = took.as_secs_f64();
        let an_item = |count: i64| count as f64 / items as f64;
        Self {
            items,
            seconds,
            items_a_second: items as f64 / seconds,
            reads_an_item: an_item(statements.reads),
            writes_an_item: an_item(statements.writes),
            most: statements.most,
        }
    }

    fn tell(&self, what: &str) {
        println!(
            "  {what}: {} items in {:.1} s, {:.0} a second; statements an item: {:.2} reads, {:.2} writes",
            self.items, self.seconds, self.items_a_second, self.reads_an_item, self.writes_an_item
        );
        for (name, calls) in &self.most {
            println!("    {calls:>8}  {name}");
        }
    }
}

/// Measures.
pub(crate) async fn measure() -> Result<Figures> {
    println!("\nfirst synchronization of {CONTACTS} contacts and {APPOINTMENTS} appointments");
    let exchange = Exchange::start(&["ann", "bob"]).await;
    let cluster = as_shipped().start().await;
    make_durable(&cluster).await?;
    statements::counted(&cluster).await?;
    let profile = profile(&exchange, &cluster, exchange.port).await;
    let (ann, mailbox) = exchange.approved(&cluster, "ann", mailbox_of("ann", profile)).await;
    fill(&cluster, ann).await?;
    let theirs = exchangelib(&exchange).await?;
    let worker = cluster.process(Role::MailboxWorker);
    let before = worker.peak_memory().context("no memory figure")?;
    statements::begin(&cluster).await?;
    let begun = Instant::now();
    cluster.api().act(&format!("/mailboxes/{mailbox}/test-and-enable")).await;
    let all = (CONTACTS + APPOINTMENTS) as i64;
    until(begun, "first synchronization", async || cluster.number("SELECT count(*) FROM links").await >= all).await?;
    let first = Phase::of(CONTACTS + APPOINTMENTS, begun.elapsed(), statements::read(&cluster).await?);
    first.tell("first synchronization");
    ensure!(exchange.items(OWNER, "contacts").len() == CONTACTS, "not every contact is there once");
    ensure!(exchange.items(OWNER, "calendar").len() == APPOINTMENTS, "not every appointment is there once");
    let settled = async || cluster.number("SELECT count(*) FROM links WHERE settled_record IS NULL").await == 0;
    until(begun, "settling", settled).await?;
    let changed = change(&exchange, &cluster, mailbox).await?;
    changed.tell("changed there");
    let peak = worker.peak_memory().context("no memory figure")?;
    println!("  memory: {} MiB before, {} MiB at most", before >> 20, peak >> 20);
    println!("  exchangelib: {theirs:.0} items a second; ratio of time {:.2}", theirs / first.items_a_second);
    Ok(Figures {
        ratio: theirs / first.items_a_second,
        contacts: CONTACTS,
        appointments: APPOINTMENTS,
        first,
        exchangelib_items_a_second: theirs,
        changed,
        memory_before_mib: before >> 20,
        memory_peak_mib: peak >> 20,
    })
}

async fn until(begun: Instant, what: &str, done: impl AsyncFn() -> bool) -> Result<()> {
    while !done().await {
        ensure!(begun.elapsed() < ENDS_WITHIN, "{what} does not end");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Somebody's records, made over the API.
async fn fill(cluster: &Cluster, owner: Uuid) -> Result<()> {
    let contact = |number: usize| {
        let contact = json!({
            "name": format!("First{number} Last{number}"), "address": format!("person{number}@customer.test"),
            "full_name": { "first": format!("First{number}"), "last": format!("Last{number}") },
            "job_title": "Buyer", "business_phone": format!("+49 30 {number:06}"), "owner_user_id": owner,
        });
        ("/contacts", contact)
    };
    let appointment = |number: usize| {
        let day = 1 + number % 28;
        let (month, year) = (1 + number / 28 % 12, 2027 + number / 336);
        let appointment = json!({
            "subject": format!("Meeting {number}"), "owner_user_id": owner, "organiser": [{ "address": OWNER }],
            "location": format!("Room {}", number % 40),
            "time": {
                "start": format!("{year}-{month:02}-{day:02}T09:00:00"),
                "end": format!("{year}-{month:02}-{day:02}T10:00:00"), "zone": "Europe/Berlin",
            },
        });
        ("/appointments", appointment)
    };
    let records: Vec<(&str, Value)> = (0..CONTACTS).map(contact).chain((0..APPOINTMENTS).map(appointment)).collect();
    stream::iter(records)
        .map(|(path, record)| async move {
            let answer = cluster.api().try_send(reqwest::Method::POST, path, Some(&record)).await?;
            answer.expect(201);
            Ok::<_, anyhow::Error>(())
        })
        .buffer_unordered(TOGETHER)
        .try_collect::<Vec<_>>()
        .await?;
    Ok(())
}

/// Items a second that exchangelib makes.
async fn exchangelib(exchange: &Exchange) -> Result<f64> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let fetched = Command::new(root.join("../deploy/dev/exchangelib")).output().await?;
    let python = String::from_utf8(fetched.stdout)?;
    let python = python.trim().lines().last().context("exchangelib cannot be had")?.to_owned();
    let run = Command::new(python)
        .arg(root.join("src/bin/bench/act/make_items.py"))
        .args([(CONTACTS / PORTION).to_string(), (APPOINTMENTS / PORTION).to_string()])
        .env("EWS_URL", exchange.url())
        .env("EWS_USER", "bob@exchange.test")
        .env("EWS_PASSWORD", "secret")
        .kill_on_drop(true)
        .output();
    let done = timeout(ENDS_WITHIN, run).await.context("exchangelib does not end")??;
    ensure!(done.status.success(), "exchangelib: {}", String::from_utf8_lossy(&done.stderr));
    let seconds: f64 = String::from_utf8(done.stdout)?.trim().parse()?;
    ensure!(exchange.items("bob@exchange.test", "contacts").len() == CONTACTS / PORTION, "exchangelib made others");
    Ok(((CONTACTS + APPOINTMENTS) / PORTION) as f64 / seconds)
}

/// Many contacts are changed on the server, and come back.
async fn change(exchange: &Exchange, cluster: &Cluster, mailbox: Uuid) -> Result<Phase> {
    exchange.in_mailbox(OWNER, |mailbox| -> Result<()> {
        for id in mailbox.items_in(mailbox.home("contacts")).into_iter().take(CHANGED) {
            let done = mailbox.change(id, Touch::Content, clock::now(), |item| {
                item.content.set_text("JobTitle", "Head buyer");
                Ok(())
            });
            done.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        }
        Ok(())
    })?;
    statements::begin(cluster).await?;
    let begun = Instant::now();
    cluster.api().act(&format!("/mailboxes/{mailbox}/sync-now")).await;
    const WRITTEN: &str = "SELECT count(*) FROM people WHERE fields ->> 'job_title' = 'Head buyer'";
    until(begun, "the change", async || cluster.number(WRITTEN).await >= CHANGED as i64).await?;
    Ok(Phase::of(CHANGED, begun.elapsed(), statements::read(cluster).await?))
}
