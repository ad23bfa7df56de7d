//! One more mailbox, on a simulated Exchange: an appointment of the CRM goes there, is moved by another program, and comes
//! back.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use exchange_sim::{
    auth::{Account, Accounts, Schemes},
    server::Server,
};
use lockstep_e2e::Cluster;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, process::Command, time::timeout};
use uuid::Uuid;

use super::world::id;

const OWNER: &str = "finn@exchange.test";
const PASSWORD: &str = "demonstration";
const SUBJECT: &str = "Walk through the lamp works";
/// Longest wait for one side to show what the other one did.
const WITHIN: Duration = Duration::from_secs(60);
/// Longest wait for the program that moves it; the first time it is fetched.
const FETCHED_WITHIN: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What became of the appointment.
#[derive(Debug, Serialize)]
pub(crate) struct Appointment {
    /// Seconds from its making in the CRM to its appearance on the server.
    pub(crate) there_after: f64,
    /// Who moved it there; nothing where that program could not be had.
    pub(crate) moved_by: Option<String>,
    /// Seconds from its move to the record's.
    pub(crate) back_after: Option<f64>,
    /// Why nobody moved it.
    pub(crate) not_moved: Option<String>,
}

/// Tells the chapter.
pub(crate) async fn tell(cluster: &Cluster) -> Result<Appointment> {
    let (server, url, port) = start().await?;
    let api = cluster.api();
    let (user, mailbox) = join(cluster, port).await?;
    let appointment = json!({
        "subject": SUBJECT, "owner_user_id": user, "organiser": [{ "address": OWNER }], "location": "Gate 2",
        "time": { "start": "2027-04-06T09:00:00", "end": "2027-04-06T10:00:00", "zone": "Europe/Berlin" },
    });
    let begun = Instant::now();
    let appointment = id(&api.post("/appointments", &appointment).await)?;
    let there = || {
        let state = server.state();
        let mailbox = state.world.find(OWNER).and_then(|number| state.world.mailbox(number).ok());
        mailbox.is_some_and(|mailbox| {
            let mut items = mailbox.items_in(mailbox.home("calendar")).into_iter();
            items.any(|id| mailbox.item(id).is_ok_and(|item| item.content.text("Subject") == SUBJECT))
        })
    };
    wait("the appointment is on the server", async || there()).await?;
    let there_after = begun.elapsed().as_secs_f64();
    let moved = by_exchangelib(&url).await;
    let (moved_by, not_moved) = match moved {
        Ok(()) => (Some("exchangelib".to_owned()), None),
        Err(why) => (None, Some(format!("{why:#}"))),
    };
    let mut back_after = None;
    if moved_by.is_some() {
        let begun = Instant::now();
        api.act(&format!("/mailboxes/{mailbox}/sync-now")).await;
        wait("the record has moved", async || {
            let record: Value = api.get(&format!("/appointments/{appointment}")).await;
            record["starts_at"] == "2027-04-06T08:00:00Z"
        })
        .await?;
        back_after = Some(begun.elapsed().as_secs_f64());
    }
    Ok(Appointment { there_after, moved_by, back_after, not_moved })
}

async fn wait(what: &str, mut done: impl AsyncFnMut() -> bool) -> Result<()> {
    let until = Instant::now() + WITHIN;
    while !done().await {
        if Instant::now() > until {
            bail!("not within {} s: {what}", WITHIN.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// The simulator, in this process.
async fn start() -> Result<(Arc<Server>, String, u16)> {
    let mut accounts = Accounts::default();
    let account = Account::read(&format!("finn:{PASSWORD}"), "exchange.test", false);
    accounts.add(account.map_err(|error| anyhow::anyhow!("{error}"))?);
    let listener = TcpListener::bind("127.0.0.1:0").await.context("a port for the simulated Exchange")?;
    let address = listener.local_addr()?;
    let base = format!("http://{address}");
    let server = Arc::new(Server::new(accounts, Schemes { basic: true, ntlm: true }, base.clone(), None));
    tokio::spawn(Arc::clone(&server).run(listener));
    Ok((server, format!("{base}/EWS/Exchange.asmx"), address.port()))
}

/// Finn, whose mailbox is there.
async fn join(cluster: &Cluster, port: u16) -> Result<(Uuid, Uuid)> {
    let api = cluster.api();
    let endpoint = json!({ "protocol": "ews", "host": "127.0.0.1", "port": port, "tls": "plain" });
    let profile = json!({
        "name": "Exchange", "credentials": "mailbox", "incoming": endpoint, "outgoing": endpoint,
    });
    let profile = id(&api.post("/email-server-profiles", &profile).await)?;
    let user = json!({ "name": "Finn Oda", "address": OWNER, "track_option": "none" });
    let user = id(&api.post("/users", &user).await)?;
    let found = api.list(&format!("/mailboxes?owner={user}")).await;
    let mailbox = id(found.first().context("Finn has no mailbox")?)?;
    let fields = json!({
        "profile_id": profile, "incoming_method": "server-side", "outgoing_method": "server-side",
        "act_method": "server-side", "allow_credentials": true, "login": OWNER, "password": PASSWORD,
    });
    api.patch(&format!("/mailboxes/{mailbox}"), &fields).await;
    api.act(&format!("/mailboxes/{mailbox}/approve")).await;
    let operation = api.test_and_enable(mailbox, WITHIN).await;
    ensure!(operation["state"] == "done", "the mailbox on Exchange was not tested: {operation}");
    Ok((user, mailbox))
}

/// Moves it with exchangelib, a client that nobody here wrote.
async fn by_exchangelib(url: &str) -> Result<()> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let fetch = Command::new(root.join("../deploy/dev/exchangelib")).output();
    let fetched = timeout(FETCHED_WITHIN, fetch).await.context("fetching exchangelib takes too long")??;
    let last = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().lines().last().unwrap_or_default().to_owned();
    ensure!(fetched.status.success(), "exchangelib cannot be had: {}", last(&fetched.stderr));
    let run = Command::new(last(&fetched.stdout))
        .arg(root.join("src/bin/demo/move_appointment.py"))
        .arg(SUBJECT)
        .env("EWS_URL", url)
        .env("EWS_USER", OWNER)
        .env("EWS_PASSWORD", PASSWORD)
        .output();
    let done = timeout(WITHIN, run).await.context("exchangelib takes too long")??;
    ensure!(done.status.success(), "exchangelib could not move it: {}", last(&done.stderr));
    Ok(())
}
