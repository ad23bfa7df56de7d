//! A restored backup: what was on its way waits for a person, the feed begins anew, and the second run changes nothing.

use std::time::Duration;

use lockstep_model::{
    id::{EmailId, MailboxId, RunId, WebhookEndpointId},
    mailbox::Lane,
};
use lockstep_store::{
    deliveries::{self, Ended},
    emails::sending::Decision,
    feed, lanes,
    restores::{self, Decided, Restored},
    webhooks::{
        self, Settings,
        runs::{self, Taking},
    },
};

use crate::seed::{World, options, vault};

const TO: &str = "carla@kunde.example";

async fn restored(world: &World, again: bool) -> Option<Restored> {
    let mut tx = world.store.begin().await.unwrap();
    let done = restores::restored(&mut tx, again, "test").await.unwrap();
    tx.commit().await.unwrap();
    done
}

async fn decide(world: &World, decision: Decision, mailbox: Option<MailboxId>) -> Decided {
    let mut tx = world.store.begin().await.unwrap();
    let done = restores::decide(&mut tx, decision, mailbox, "test").await.unwrap();
    tx.commit().await.unwrap();
    done
}

async fn claimed(world: &World) -> usize {
    let mut tx = world.store.begin().await.unwrap();
    deliveries::claim(&mut tx, 100, Duration::from_secs(60)).await.unwrap().len()
}

async fn anna() -> (World, MailboxId) {
    let world = World::new().await;
    let anna = world.user_mailbox(world.profile(1).await, "anna").await;
    (world, anna)
}

/// An email whose delivery has come so far, in the hands of `run` where an attempt is under way.
async fn at(world: &World, mailbox: MailboxId, state: &str, run: RunId) -> EmailId {
    let email = world.outgoing(mailbox, &[TO]).await;
    world
        .sql(&format!(
            "UPDATE deliveries SET state = '{state}', attempt = 1, run_id = '{run}' WHERE email_id = '{email}'"
        ))
        .await;
    let steps: &[&str] = match state {
        "sending" | "in-flight" | "unknown" => &["sending"],
        "sent" | "failed" => &["sending", state],
        _ => &[],
    };
    for status in steps {
        world.sql(&format!("UPDATE emails SET status = '{status}' WHERE id = '{email}'")).await;
    }
    email
}

/// Everything that a second run could change.
async fn everything(world: &World) -> Vec<String> {
    let mut rows = Vec::new();
    for table in
        ["feed_state", "feed_entries", "deliveries", "emails", "alerts", "lanes", "lane_schedules", "audit_entries"]
    {
        rows.extend(world.texts(&format!("SELECT r::text FROM {table} r ORDER BY 1")).await);
    }
    rows
}

/// H10: whatever was not over in the backup is not sent before a person has decided, whatever the profile says of lost
/// outcomes; what was over stays so. Whoever was at work learns that it counts no more, but for an answer it has.
#[tokio::test]
async fn h10_what_was_on_its_way_in_a_backup_waits_for_a_person() {
    let (world, anna) = anna().await;
    world.sql("UPDATE email_server_profiles SET resend_unknown = true").await;
    let run = RunId::new();
    let mut emails = Vec::new();
    for state in ["pending", "retry", "sending", "in-flight", "unknown", "sent", "failed"] {
        emails.push(at(&world, anna, state, run).await);
    }
    assert_ne!(claimed(&world).await, 0);
    let found = restores::survey(&mut world.store.begin().await.unwrap()).await.unwrap().unwrap();
    assert_eq!((found.emails, found.undecided, found.last, found.untouched), (4, 0, None, false));

    assert_eq!(restored(&world, false).await.unwrap().emails, 4);
    world.advance(1_000_000);
    assert_eq!(claimed(&world).await, 0, "nothing is sent by itself");
    for (at, email) in emails.iter().enumerate() {
        let (state, _, status) = world.delivery(*email).await;
        let expected = match at {
            0..=4 => ("unknown", "sending"),
            5 => ("sent", "sent"),
            _ => ("failed", "failed"),
        };
        assert_eq!((state.as_str(), status.as_str()), expected, "{at}");
    }
    let asked = "SELECT count(*) FROM alerts WHERE code = 'OutcomeUnknown' AND resolved_at IS NULL
        AND parameters ->> 'cause' = 'RestoredBackup'";
    assert_eq!(world.number(asked).await, 4);
    let told =
        "SELECT count(*) FROM feed_entries f JOIN emails e ON e.id = f.record_id AND e.version = f.record_version
        WHERE f.fields = '{status}'";
    assert_eq!(world.number(told).await, 2, "those whose status has changed are in the feed");
    let noted = "SELECT count(*) FROM audit_entries WHERE action = 'restored' AND (detail ->> 'emails')::int = 4";
    assert_eq!(world.number(noted).await, 1);

    // A run of before that is still there goes no further, but what it knows counts.
    let mut tx = world.store.begin().await.unwrap();
    assert!(!deliveries::cross(&mut tx, emails[2], 1, run).await.unwrap());
    let fault = lockstep_model::fault::Fault::new(
        lockstep_model::fault::FaultScope::Item,
        lockstep_model::fault::FaultClass::Transient,
        "Greylisted",
        "451 later",
    );
    let later = Ended::Retry(Duration::ZERO, fault);
    assert!(deliveries::end(&mut tx, emails[2], 1, Some(run), &later).await.unwrap().is_none());
    let sent = Ended::Sent("250 ok".to_owned());
    assert!(deliveries::end(&mut tx, emails[3], 1, Some(run), &sent).await.unwrap().is_some());
    tx.commit().await.unwrap();
}

/// H10: asking twice asks for nothing new; unless something has happened since, or somebody insists.
#[tokio::test]
async fn h10_a_second_run_changes_nothing() {
    let (world, anna) = anna().await;
    at(&world, anna, "pending", RunId::new()).await;
    let first = restored(&world, false).await.unwrap();
    let before = everything(&world).await;
    assert_eq!(restored(&world, false).await, None);
    assert_eq!(everything(&world).await, before);
    let insisted = restored(&world, true).await.unwrap();
    assert_eq!(insisted.emails, 0, "nobody is asked about the same email twice");
    assert_ne!(insisted.epoch, first.epoch);
    assert_eq!(world.number("SELECT count(*) FROM alerts WHERE resolved_at IS NULL").await, 1);
    // What is written since may be in a later backup.
    at(&world, anna, "pending", RunId::new()).await;
    assert_eq!(restored(&world, false).await.unwrap().emails, 1);
}

/// H10: one decision for all that a restore has left open, a page at a time, or for one mailbox's; an outcome that was
/// lost otherwise is not among them.
#[tokio::test]
async fn h10_one_decision_for_many() {
    let (world, anna) = anna().await;
    let profile = world.profile(1).await;
    let otto = world.user_mailbox(profile, "otto").await;
    let run = RunId::new();
    let lost = at(&world, anna, "unknown", run).await;
    let (first, second) = (at(&world, anna, "in-flight", run).await, at(&world, otto, "pending", run).await);
    for _ in 0..restores::DECIDED_AT_ONCE {
        world.outgoing(anna, &[TO]).await;
    }
    restored(&world, false).await.unwrap();
    assert_eq!(decide(&world, Decision::SendAgain, Some(otto)).await, Decided { emails: 1, more: false });
    assert_eq!(world.delivery(second).await, ("pending".to_owned(), 0, "pending-send".to_owned()));
    assert_eq!(claimed(&world).await, 1, "only what was decided on is sent");
    let page = u64::try_from(restores::DECIDED_AT_ONCE).unwrap();
    assert_eq!(decide(&world, Decision::Failed, None).await, Decided { emails: page, more: true });
    assert_eq!(decide(&world, Decision::Failed, None).await, Decided { emails: 1, more: false });
    assert_eq!(decide(&world, Decision::Failed, None).await, Decided { emails: 0, more: false });
    assert_eq!(world.delivery(first).await.2, "failed");
    assert_eq!(world.delivery(lost).await.0, "unknown");
    assert_eq!(world.number("SELECT count(*) FROM alerts WHERE resolved_at IS NULL").await, 0);
}

/// A page of before commits nothing, not even one that had gone on after the backup was taken.
#[tokio::test]
async fn whoever_is_at_work_is_fenced() {
    let (world, anna) = anna().await;
    let version = world.number("SELECT version FROM lanes").await;
    let generation = world.number("SELECT generation FROM lane_schedules").await;
    restored(&world, false).await.unwrap();
    let mut tx = world.store.begin().await.unwrap();
    for past in 0..10 {
        assert!(!lanes::fence(&mut tx, anna, Lane::Incoming, version + past, None).await.unwrap());
    }
    drop(tx);
    assert!(world.number("SELECT generation FROM lane_schedules").await > generation + 10);
}

/// Places of the epoch before have lost their meaning: a webhook endpoint stops and says so, and what follows is
/// numbered on.
#[tokio::test]
async fn places_of_the_epoch_before_are_lost() {
    let world = World::new().await;
    let id = WebhookEndpointId::new();
    let mut tx = world.store.begin().await.unwrap();
    let span = webhooks::span(&mut tx).await.unwrap().unwrap();
    let settings =
        Settings { name: "crm", description: "", url: "https://crm.example/", record_kinds: &[], active: true };
    let sealed = world.store.vault().seal(&webhooks::secret_identity(id), &webhooks::new_secret().unwrap()).unwrap();
    webhooks::create(&mut tx, id, settings, &sealed, (span.epoch, span.newest), &[], "test").await.unwrap();
    tx.commit().await.unwrap();

    let done = restored(&world, false).await.unwrap();
    let mut tx = world.store.begin().await.unwrap();
    feed::number(&mut tx, 100).await.unwrap();
    let (epoch, last) = feed::head(&mut tx).await.unwrap().unwrap();
    assert_eq!((epoch, last > span.newest), (done.epoch, true));
    let taking = runs::take(&mut tx, id, RunId::new(), Duration::from_secs(60)).await.unwrap();
    assert!(matches!(taking, Taking::CursorLost), "{taking:?}");
    tx.commit().await.unwrap();
    assert_eq!(world.text("SELECT disabled_code FROM webhook_endpoints").await, "cursor-lost");
}

/// The first who asks notes where the database is; elsewhere it is a copy, until somebody has said what of it.
#[tokio::test]
async fn a_copy_is_recognised() {
    let world = World::new().await;
    let recognised = async || {
        let mut tx = world.store.begin().await.unwrap();
        let known = restores::recognise(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        known
    };
    assert!(recognised().await && recognised().await);
    let elsewhere = "UPDATE feed_state SET database_identity = '1/1'";
    world.sql(elsewhere).await;
    assert!(!recognised().await && !recognised().await);
    restored(&world, false).await.unwrap();
    assert!(recognised().await);
    world.sql(elsewhere).await;
    let (epoch, mut tx) = (world.text("SELECT epoch FROM feed_state").await, world.store.begin().await.unwrap());
    restores::moved(&mut tx, "test").await.unwrap();
    tx.commit().await.unwrap();
    assert!(recognised().await);
    assert_eq!(world.text("SELECT epoch FROM feed_state").await, epoch, "moving loses nothing");

    // Who may not look is not stopped.
    world.sql(elsewhere).await;
    let role = world.database.name().replace("lockstep_test_", "nosy_");
    world
        .sql(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'nosy'; GRANT SELECT ON feed_state TO {role};
             REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC"
        ))
        .await;
    let url = world.database.url_as(&role, "nosy");
    let store = lockstep_store::Store::open(&url, &options(1), world.clock.clone(), vault()).unwrap();
    let known = restores::recognise(&mut store.begin().await.unwrap()).await;
    store.close().await;
    world.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    assert!(known.unwrap());
}
