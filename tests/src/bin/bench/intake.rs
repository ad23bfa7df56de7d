//! How long it takes until many messages are durable: records in our database, against files of `mpop` in a Maildir.
//! Same server, equal mailboxes, one after the other, each first in turn.

use std::{
    fmt::Write,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lockstep_e2e::{Cluster, Service, TestMailbox, TrackOption, mail::Draft};
use lockstep_test_support::mail::{MailAccount, deliver_maildir};
use serde::Serialize;
use serde_json::json;
use tokio::{process::Command, time::timeout};

use super::{as_shipped, median};

const MESSAGES: usize = 5_000;
const ROUNDS: usize = 5;
const ENDS_WITHIN: Duration = Duration::from_secs(900);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// Median of the rounds' ratios: our time, divided by that of mpop.
    pub(crate) ratio: f64,
    messages: usize,
    megabytes: f64,
    rounds: Vec<Round>,
}

#[derive(Debug, Serialize)]
struct Round {
    lockstep_seconds: f64,
    mpop_seconds: f64,
    lockstep_messages_a_second: f64,
    mpop_messages_a_second: f64,
    ratio: f64,
}

/// Measures.
pub(crate) async fn measure() -> Result<Figures> {
    let cluster = as_shipped().start().await;
    make_durable(&cluster).await?;
    let mut rounds = Vec::new();
    let mut bytes = 0;
    println!("\nintake of {MESSAGES} messages");
    for number in 0..ROUNDS {
        let (mailbox, account) = (prepared(&cluster).await?, cluster.account("mpop"));
        let services = cluster.services(Service::Dovecot);
        bytes = 0;
        for at in 0..MESSAGES {
            let raw = message(at, number);
            bytes += raw.len();
            deliver_maildir(services, &mailbox.account, &raw);
            deliver_maildir(services, &account, &raw);
        }
        let (ours, theirs) = if number % 2 == 0 {
            let ours = lockstep(&cluster, &mailbox).await?;
            (ours, mpop(&cluster, &account).await?)
        } else {
            let theirs = mpop(&cluster, &account).await?;
            (lockstep(&cluster, &mailbox).await?, theirs)
        };
        // It goes on being polled otherwise, while the next round is measured.
        cluster.api().patch(&format!("/mailboxes/{}", mailbox.mailbox), &json!({ "active": false })).await;
        let (ours, theirs) = (ours.as_secs_f64(), theirs.as_secs_f64());
        println!("  lockstep {ours:.1} s, mpop {theirs:.1} s, ratio {:.2}", ours / theirs);
        rounds.push(Round {
            lockstep_seconds: ours,
            mpop_seconds: theirs,
            lockstep_messages_a_second: MESSAGES as f64 / ours,
            mpop_messages_a_second: MESSAGES as f64 / theirs,
            ratio: ours / theirs,
        });
    }
    let ratio = median(rounds.iter().map(|round| round.ratio).collect());
    Ok(Figures { ratio, messages: MESSAGES, megabytes: bytes as f64 / 1e6, rounds })
}

/// The private servers forgo safety against power cuts; what is called durable here is to be that.
pub(crate) async fn make_durable(cluster: &Cluster) -> Result<()> {
    for statement in
        ["ALTER SYSTEM SET fsync = on", "ALTER SYSTEM SET full_page_writes = on", "SELECT pg_reload_conf()"]
    {
        sqlx::query(statement).execute(cluster.pool()).await?;
    }
    cluster
        .wait_until(10, "PostgreSQL syncs", async || {
            let setting: Result<String, sqlx::Error> = sqlx::query_scalar("SHOW fsync").fetch_one(cluster.pool()).await;
            setting.is_ok_and(|value| value == "on")
        })
        .await;
    Ok(())
}

/// Small and mixed: seven in ten are short texts, two long ones, one has a file.
fn message(at: usize, round: usize) -> Vec<u8> {
    let draft = Draft::new("writer@outside.test", &["reader@mail.test"], &format!("Message {at} of round {round}"));
    let text = |lines: usize| {
        (0..lines).fold(String::new(), |mut text, line| {
            let _ = write!(text, "Line {line} of message {at}: the quick brown fox jumps over the lazy dog.\r\n");
            text
        })
    };
    let draft = match at % 10 {
        0..7 => draft.body(&text(10 + at % 40)),
        7..9 => draft.body(&text(200)),
        _ => {
            let file: Vec<u8> = (0..20_000_usize).map(|byte| (byte * 31 + at * 7 + byte / 251) as u8).collect();
            draft.body(&text(10)).attachment("data.bin", file)
        }
    };
    draft.to_bytes()
}

/// A mailbox with everything set but the last step.
async fn prepared(cluster: &Cluster) -> Result<TestMailbox> {
    let profile = cluster.profile().await;
    let account = cluster.account("intake");
    let fields =
        json!({ "name": account.address(), "address": account.address(), "track_option": TrackOption::All.as_str() });
    let owner = id(&cluster.api().post("/users", &fields).await)?;
    let found = cluster.api().list(&format!("/mailboxes?owner={owner}")).await;
    let mailbox = id(found.first().context("no mailbox")?)?;
    let fields = json!({
        "profile_id": profile,
        "incoming_method": "server-side",
        "outgoing_method": "none",
        "allow_credentials": true,
        "login": account.address(),
        "password": account.password(),
        "process_email_from": "2000-01-01T00:00:00Z",
    });
    cluster.api().patch(&format!("/mailboxes/{mailbox}"), &fields).await;
    cluster.api().act(&format!("/mailboxes/{mailbox}/approve")).await;
    Ok(TestMailbox { account, mailbox, owner })
}

fn id(record: &serde_json::Value) -> Result<uuid::Uuid> {
    record["id"].as_str().and_then(|text| text.parse().ok()).with_context(|| format!("no id in {record}"))
}

/// From the request to test and enable the mailbox until every message is a committed record.
async fn lockstep(cluster: &Cluster, mailbox: &TestMailbox) -> Result<Duration> {
    let begun = Instant::now();
    cluster.api().act(&format!("/mailboxes/{}/test-and-enable", mailbox.mailbox)).await;
    loop {
        let records: i64 =
            sqlx::query_scalar("SELECT count(DISTINCT email_id) FROM email_mailboxes WHERE mailbox_id = $1")
                .bind(mailbox.mailbox)
                .fetch_one(cluster.pool())
                .await?;
        if usize::try_from(records)? >= MESSAGES {
            return Ok(begun.elapsed());
        }
        ensure!(begun.elapsed() < ENDS_WITHIN, "only {records} of {MESSAGES} messages are records");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// From the start of mpop to its end.
async fn mpop(cluster: &Cluster, account: &MailAccount) -> Result<Duration> {
    let services = cluster.services(Service::Dovecot);
    let dir = tempfile::Builder::new().prefix("lockstep-mpop-").tempdir()?;
    let boxes = dir.path().join("mail");
    for folder in ["tmp", "new", "cur"] {
        fs::create_dir_all(boxes.join(folder))?;
    }
    let settings = dir.path().join("mpoprc");
    let text = format!(
        "account bench\nhost 127.0.0.1\nport {}\ntls on\ntls_starttls off\ntls_trust_file {}\nauth user\nuser {}\n\
         password {}\nkeep on\ndelivery maildir {}\nuidls_file {}\n",
        services.pop3s_port(),
        services.ca_file().display(),
        account.address(),
        account.password(),
        boxes.display(),
        dir.path().join("uidls").display(),
    );
    fs::write(&settings, text)?;
    // It refuses a file with passwords that others can read.
    fs::set_permissions(&settings, fs::Permissions::from_mode(0o600))?;
    let begun = Instant::now();
    let child = Command::new("mpop")
        .args(["--quiet", "--file"])
        .arg(&settings)
        .arg("bench")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let output = timeout(ENDS_WITHIN, child).await.context("mpop does not end")?.context("mpop cannot be started")?;
    let took = begun.elapsed();
    ensure!(output.status.success(), "mpop: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    let fetched = count_files(&boxes.join("new"))?;
    ensure!(fetched == MESSAGES, "mpop fetched {fetched} of {MESSAGES} messages");
    Ok(took)
}

fn count_files(dir: &Path) -> Result<usize> {
    Ok(fs::read_dir(dir)?.count())
}
