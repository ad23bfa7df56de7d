//! Attachments of appointments on an Exchange server, both ways.

use exchange_sim::{
    clock,
    world::item::{Attached, Attachment},
};
use lockstep_e2e::{Cluster, Role};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    crash_points::{self, VARIABLE, dies_there, points},
    exchange::{Exchange, id},
    two_way::{ANN, quiet, user},
    two_way_rules::peace,
};

const MIB: usize = 1024 * 1024;
/// A worker with its code, its pools and a few pieces in transit; far below a file in base64.
const MEMORY: u64 = 120 * 1024 * 1024;

type Files = Vec<(String, [u8; 32])>;

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn file(name: &str, bytes: &[u8]) -> (String, [u8; 32]) {
    (name.to_owned(), digest(bytes))
}

/// Bytes without any order that chunks could repeat.
fn noise(length: usize) -> Vec<u8> {
    let mut seed = 88_172_645_463_325_252_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        bytes.extend_from_slice(&seed.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

impl Exchange {
    /// The owner attaches a file to the appointment with this subject.
    fn attach(&self, subject: &str, name: &str, bytes: &[u8], inline: bool) {
        let item = self.named(ANN, "calendar", subject)[0].id;
        let fresh = self.in_mailbox(ANN, exchange_sim::world::mailbox::Mailbox::fresh_attachment);
        let one = Attachment {
            id: fresh,
            name: name.to_owned(),
            content_type: "application/octet-stream".to_owned(),
            content_id: inline.then(|| "picture".to_owned()),
            inline,
            modified_at: clock::now(),
            attached: Attached::File(bytes.to_vec()),
        };
        self.change(ANN, item, |content| content.attachments.push(one));
    }

    /// And takes it away.
    fn detach(&self, subject: &str, name: &str) {
        let item = self.named(ANN, "calendar", subject)[0].id;
        self.change(ANN, item, |content| content.attachments.retain(|one| one.name != name));
    }

    /// What is attached to it, pictures of the body aside.
    fn attached(&self, subject: &str) -> Files {
        let item = self.named(ANN, "calendar", subject).remove(0);
        let files = item.content.attachments.into_iter().filter(|one| !one.inline).map(|one| match one.attached {
            Attached::File(bytes) => file(&one.name, &bytes),
            Attached::Item(_) => file(&one.name, b""),
        });
        let mut files: Files = files.collect();
        files.sort();
        files
    }
}

async fn upload(cluster: &Cluster, appointment: Uuid, name: &str, bytes: &[u8]) -> Value {
    let path = format!("/appointments/{appointment}/attachments?name={name}");
    cluster.api().upload(&path, bytes.to_vec()).await
}

/// The files of a record.
async fn recorded(cluster: &Cluster, appointment: Uuid) -> Files {
    let list = cluster.api().get(&format!("/appointments/{appointment}/attachments")).await;
    let files = list["items"].as_array().unwrap().iter().map(|one| {
        let digest = hex::decode(one["digest"].as_str().unwrap()).unwrap();
        (one["name"].as_str().unwrap().to_owned(), digest.try_into().unwrap())
    });
    let mut files: Files = files.collect();
    files.sort();
    files
}

/// Waits until both sides have these.
async fn both(
    exchange: &Exchange,
    cluster: &Cluster,
    (appointment, subject): (Uuid, &str),
    expected: &[(String, [u8; 32])],
) {
    let mut expected = expected.to_vec();
    expected.sort();
    cluster
        .wait_until(120, &format!("both sides have {} files", expected.len()), async || {
            let sides = (recorded(cluster, appointment).await, exchange.attached(subject));
            if sides == (expected.clone(), expected.clone()) { Ok(()) } else { Err(format!("{sides:?}")) }
        })
        .await;
}

async fn appointment(cluster: &Cluster, owner: Uuid, subject: &str) -> Uuid {
    let body = json!({
        "subject": subject, "owner_user_id": owner, "organiser": [{ "address": ANN }],
        "time": { "start": "2027-03-02T09:00:00", "end": "2027-03-02T10:00:00", "zone": "Europe/Berlin" },
    });
    id(&cluster.api().post("/appointments", &body).await)
}

/// J11: off, nothing flows; on, files flow both ways, of any name and of 40 MB in bounded memory, and what is removed on one
/// side is removed on the other; series have none; and then nothing is written any more.
#[tokio::test]
async fn j11_attachments_flow_both_ways_in_bounded_memory() {
    let exchange = Exchange::start().await;
    let cluster = Cluster::builder().setting("mailbox_worker", "lease_ttl_ms", "10000");
    let cluster = cluster.setting("mailbox_worker", "permit_ttl_ms", "10000").start().await;
    let profile = exchange.profile(&cluster, json!({ "credentials": "mailbox" })).await;
    let (ann, mailbox) = user(&exchange, &cluster, "ann", profile).await;
    let api = cluster.api();
    let review = appointment(&cluster, ann, "Review").await;
    let series = json!({
        "subject": "Weekly", "owner_user_id": ann, "organiser": [{ "address": ANN }],
        "recurrence": { "zone": "Europe/Berlin", "start": "2027-03-01T09:00:00", "length": { "minutes": 30 },
            "rule": { "frequency": "weekly", "every": 1, "days": ["monday"], "week_start": "monday" }, "count": 5 },
    });
    api.post("/recurring-appointments", &series).await;
    cluster.wait_until(60, "both are there", async || exchange.items(ANN, "calendar").len() == 2).await;

    upload(&cluster, review, "agenda.txt", b"agenda").await;
    exchange.attach("Review", "map.txt", b"map", false);
    exchange.attach("Weekly", "minutes.txt", b"minutes", false);
    let next = async |more| {
        api.act(&format!("/mailboxes/{mailbox}/sync-now")).await;
        cluster.wait_until(60, "cycles go by", async || quiet(&cluster, mailbox, more).await).await;
    };
    next(3).await;
    assert_eq!(recorded(&cluster, review).await, [file("agenda.txt", b"agenda")], "off");
    assert_eq!(exchange.attached("Review"), [file("map.txt", b"map")], "off");

    let on = json!({ "appointment_attachments": true, "max_attachment_bytes": 64 * MIB });
    api.patch("/organisation", &on).await;
    let pair = (review, "Review");
    let mut expected = vec![file("agenda.txt", b"agenda"), file("map.txt", b"map")];
    both(&exchange, &cluster, pair, &expected).await;

    let (ours, theirs) = (noise(40 * MIB), noise(40 * MIB + 1));
    upload(&cluster, review, "ours.bin", &ours).await;
    exchange.attach("Review", "theirs.bin", &theirs, false);
    exchange.attach("Review", "logo.png", b"png", true);
    expected.extend([file("ours.bin", &ours), file("theirs.bin", &theirs)]);
    drop((ours, theirs));
    both(&exchange, &cluster, pair, &expected).await;
    let peak = cluster.process(Role::MailboxWorker).peak_memory().unwrap();
    assert!(peak < MEMORY, "{} MiB resident at the peak", peak / 1024 / 1024);

    let agenda = api.get(&format!("/appointments/{review}/attachments")).await["items"][0]["id"].clone();
    api.delete(&format!("/appointments/{review}/attachments/{}", agenda.as_str().unwrap())).await;
    exchange.detach("Review", "theirs.bin");
    expected.retain(|(name, _)| !["agenda.txt", "theirs.bin"].contains(&name.as_str()));
    both(&exchange, &cluster, pair, &expected).await;

    // The server keeps what it was given, whatever it is called; here it has a harmless name.
    exchange.attach("Review", "../../etc/passwd", b"root", false);
    exchange.attach("Review", &format!("{}.txt", "x".repeat(10_000)), b"long", false);
    cluster.wait_until(60, "they are here", async || recorded(&cluster, review).await.len() == 4).await;
    let names: Vec<_> = recorded(&cluster, review).await.into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&".._.._etc_passwd".to_owned()), "{names:?}");
    assert!(names.iter().all(|name| name.len() <= 255), "{names:?}");

    peace(&exchange, &cluster, &[(mailbox, ANN)]).await;
    assert_eq!((recorded(&cluster, review).await.len(), exchange.attached("Review").len()), (4, 4));
    assert_eq!(exchange.attached("Weekly"), [file("minutes.txt", b"minutes")]);
    assert_eq!(cluster.number("SELECT count(*) FROM activity_attachments").await, 4, "a series has none");
    let alerts = cluster.api().alert_codes().await;
    assert!(!alerts.iter().any(|code| code.starts_with("Appointment") || code.starts_with("Item")), "{alerts:?}");
    // Nothing is deleted when it is switched off.
    api.patch("/organisation", &json!({ "appointment_attachments": false })).await;
    upload(&cluster, review, "later.txt", b"later").await;
    next(4).await;
    assert_eq!((recorded(&cluster, review).await.len(), exchange.attached("Review").len()), (5, 4));
}

/// J11, N10: a worker that dies when a file is about to be attached on the server, or is attached and that is not recorded:
/// it is there once.
#[tokio::test]
async fn j11_n10_a_worker_that_dies_amid_an_upload_doubles_nothing() {
    let exchange = Exchange::start().await;
    let cluster = crash_points::builder().start().await;
    let profile = exchange.profile(&cluster, json!({ "credentials": "mailbox" })).await;
    let (ann, mailbox) = user(&exchange, &cluster, "ann", profile).await;
    cluster.api().patch("/organisation", &json!({ "appointment_attachments": true })).await;
    let review = appointment(&cluster, ann, "Review").await;
    cluster.wait_until(60, "it is there", async || exchange.items(ANN, "calendar").len() == 1).await;
    let mut expected = Vec::new();
    for point in points("attachments.") {
        cluster.wait_until(60, "it is quiet", async || quiet(&cluster, mailbox, 2).await).await;
        cluster.kill(Role::MailboxWorker).await;
        for n in 0..2 {
            let name = format!("{point}-{n}.txt");
            upload(&cluster, review, &name, name.as_bytes()).await;
            expected.push(file(&name, name.as_bytes()));
        }
        dies_there(&cluster.spawn(Role::MailboxWorker, &[(VARIABLE, point)]), point).await;
        cluster.start(Role::MailboxWorker).await;
        both(&exchange, &cluster, (review, "Review"), &expected).await;
    }
    peace(&exchange, &cluster, &[(mailbox, ANN)]).await;
    both(&exchange, &cluster, (review, "Review"), &expected).await;
}
