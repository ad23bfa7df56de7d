//! What a test of a mailbox came to, and what follows from it.

use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    id::MailboxId,
};
use lockstep_store::{
    mailbox_tests::{self, Tested},
    mailboxes,
    profiles::SecretChange,
};

use crate::seed::World;

async fn record(world: &World, mailbox: MailboxId, incoming: &Tested, outgoing: &Tested) {
    let mut tx = world.store.begin().await.unwrap();
    mailbox_tests::record(&mut tx, mailbox, "test", incoming, outgoing).await.unwrap();
    tx.commit().await.unwrap();
}

const ROW: &str =
    "SELECT concat_ws('|', incoming_test, outgoing_test, incoming_enabled, outgoing_enabled) FROM mailboxes";

/// C10: what was found by whose test is in the audit.
#[tokio::test]
async fn what_works_is_enabled_and_what_fails_is_not() {
    let world = World::new().await;
    let mailbox = world.user_mailbox(world.profile(1).await, "anna").await;
    world
        .sql("UPDATE mailboxes SET incoming_enabled = false, outgoing_enabled = false, incoming_test = 'not-run'")
        .await;
    world.realign(&[mailbox]).await;
    let lane = || world.number("SELECT enabled::int FROM lane_schedules");
    assert_eq!(lane().await, 0);
    let before = world.lane(mailbox).await;

    record(&world, mailbox, &Tested::Works, &Tested::Works).await;
    assert_eq!(world.text(ROW).await, "success|success|t|t");
    assert_eq!(lane().await, 1);
    assert_eq!(world.lane(mailbox).await, (before.0 + 1, before.1 + 1), "whatever was under way is stale");
    assert_eq!(world.open_alerts().await, ["MailboxConnected information ×1"]);

    let refused = Fault::new(FaultScope::Mailbox, FaultClass::Auth, "LoginRefused", "-ERR no");
    record(&world, mailbox, &Tested::Fails(refused), &Tested::Works).await;
    assert_eq!(world.text(ROW).await, "failure|success|f|t", "each workload by itself");
    assert_eq!(lane().await, 0);
    assert!(world.open_alerts().await.contains(&"LoginRefused error ×1".to_owned()));

    record(&world, mailbox, &Tested::Works, &Tested::NotConfigured).await;
    assert_eq!(world.text(ROW).await, "success|not-run|t|f");
    assert_eq!(lane().await, 1);
    assert!(!world.open_alerts().await.iter().any(|alert| alert.starts_with("LoginRefused")), "mended");

    // Each result is in the audit, under the name of who asked.
    let noted = "SELECT concat_ws(' ', actor, detail->>'incoming', detail->>'incoming_code', detail->>'outgoing')
         FROM audit_entries WHERE action = 'test-ended' ORDER BY id";
    let expected = ["test success success", "test failure LoginRefused success", "test success not-run"];
    assert_eq!(world.texts(noted).await, expected);
}

/// Each workload's alert ends with its own success.
#[tokio::test]
async fn a_workload_that_works_ends_its_own_alerts_only() {
    let world = World::new().await;
    let mailbox = world.user_mailbox(world.profile(1).await, "anna").await;
    let fails = || Tested::Fails(Fault::new(FaultScope::Mailbox, FaultClass::Auth, "LoginRefused", "no"));
    let open =
        "SELECT split_part(key, '/', 4) FROM alerts WHERE resolved_at IS NULL AND code = 'LoginRefused' ORDER BY 1";
    record(&world, mailbox, &fails(), &fails()).await;
    assert_eq!(world.texts(open).await, ["incoming", "outgoing"]);
    record(&world, mailbox, &Tested::Works, &fails()).await;
    assert_eq!(world.texts(open).await, ["outgoing"]);
    record(&world, mailbox, &fails(), &Tested::Works).await;
    assert_eq!(world.texts(open).await, ["incoming"]);
    record(&world, mailbox, &Tested::NotConfigured, &Tested::Works).await;
    assert!(world.texts(open).await.is_empty(), "what is not wanted any more is not at fault");
}

/// A mailbox is connected in the directions that were tested and work, and in no other.
#[tokio::test]
async fn only_what_was_enabled_is_connected() {
    let world = World::new().await;
    let mailbox = world.user_mailbox(world.profile(1).await, "anna").await;
    let fails = || Tested::Fails(Fault::new(FaultScope::Mailbox, FaultClass::Auth, "LoginRefused", "no"));
    let connected = async || {
        let open = "SELECT parameters::text FROM alerts WHERE code = 'MailboxConnected' AND resolved_at IS NULL";
        world.text(open).await
    };
    record(&world, mailbox, &Tested::NotConfigured, &Tested::NotConfigured).await;
    assert_eq!(connected().await, "", "nothing was enabled");
    for (incoming, outgoing, methods) in [
        (Tested::Works, Tested::Works, r#"["incoming", "outgoing"]"#),
        (Tested::Works, Tested::NotConfigured, r#"["incoming"]"#),
        (fails(), Tested::Works, r#"["outgoing"]"#),
    ] {
        record(&world, mailbox, &incoming, &outgoing).await;
        let expected = format!(r#"{{"address": "anna@muster.example", "methods": {methods}}}"#);
        assert_eq!(connected().await, expected);
    }
    record(&world, mailbox, &fails(), &fails()).await;
    assert_eq!(connected().await, "", "nor is it any more");
}

#[tokio::test]
async fn a_mailbox_that_has_gone_is_no_error() {
    let world = World::new().await;
    record(&world, MailboxId::new(), &Tested::Works, &Tested::Works).await;
    assert!(world.open_alerts().await.is_empty());
    let mut tx = world.store.begin().await.unwrap();
    assert_eq!(mailbox_tests::wanted(&mut tx, MailboxId::new()).await.unwrap(), None);
}

/// B17, B18: a mailbox without a start of its own gets its profile's when it is enabled, else that very moment, to the
/// second; one that has a start keeps it, wherever the profile's moves.
#[tokio::test]
async fn b17_b18_processing_starts_when_the_mailbox_is_enabled() {
    let world = World::new().await;
    let (with_start, without) = (world.profile(1).await, world.profile(1).await);
    world
        .sql(&format!(
            "UPDATE email_server_profiles SET process_emails_from = '2026-01-01T00:00:00Z' WHERE id = '{with_start}'"
        ))
        .await;
    let (old, new) = (world.user_mailbox(with_start, "anna").await, world.user_mailbox(without, "bert").await);
    world.sql("UPDATE mailboxes SET process_email_from = NULL").await;
    let start = async |mailbox| {
        world.texts(&format!("SELECT process_email_from::text FROM mailboxes WHERE id = '{mailbox}'")).await
    };
    let record = async |incoming: Tested| {
        for mailbox in [old, new] {
            let mut tx = world.store.begin().await.unwrap();
            mailbox_tests::record(&mut tx, mailbox, "test", &incoming, &Tested::NotConfigured).await.unwrap();
            tx.commit().await.unwrap();
        }
    };
    record(Tested::NotConfigured).await;
    assert_eq!(world.number("SELECT count(process_email_from) FROM mailboxes").await, 0, "nothing is read yet");
    record(Tested::Works).await;
    assert_eq!(start(old).await, ["2026-01-01 00:00:00+00"]);
    assert_eq!(start(new).await, ["2026-11-23 09:00:00+00"]);
    world.sql("UPDATE email_server_profiles SET process_emails_from = '2020-01-01T00:00:00Z'").await;
    world.clock.advance(std::time::Duration::from_secs(3600));
    record(Tested::Works).await;
    assert_eq!(start(old).await, ["2026-01-01 00:00:00+00"]);
    assert_eq!(start(new).await, ["2026-11-23 09:00:00+00"]);
}

/// M7: an alert is open as long as its cause: another fault takes the place of the one before, and a mailbox that is made
/// inactive, or moves to another profile, leaves none behind, neither with itself nor with the profile.
#[tokio::test]
async fn m7_alerts_end_with_their_cause() {
    let world = World::new().await;
    let profile = world.profile(1).await;
    let mailbox = world.user_mailbox(profile, "anna").await;
    let fails = |code: &str| Tested::Fails(Fault::new(FaultScope::Mailbox, FaultClass::Auth, code, "no"));
    record(&world, mailbox, &fails("Unauthorized"), &Tested::NotConfigured).await;
    assert_eq!(world.open_alerts().await, ["MailboxTestFailed error ×1", "Unauthorized error ×1"]);
    record(&world, mailbox, &fails("ConnectFailure"), &Tested::NotConfigured).await;
    assert_eq!(world.open_alerts().await, ["ConnectFailure error ×1", "MailboxTestFailed error ×2"]);
    record(&world, mailbox, &fails("ConnectFailure"), &Tested::NotConfigured).await;
    assert_eq!(
        world.open_alerts().await,
        ["ConnectFailure error ×2", "MailboxTestFailed error ×3"],
        "the same goes on"
    );

    let other = world.profile(1).await;
    for moved in [false, true] {
        record(&world, mailbox, &fails("ConnectFailure"), &Tested::NotConfigured).await;
        let mut tx = world.store.begin().await.unwrap();
        let before = mailboxes::lock(&mut tx, mailbox, None).await.unwrap().unwrap();
        let (after, fields) = if moved {
            (mailboxes::MailboxRecord { profile_id: Some(other.0), ..before }, ["profile_id"])
        } else {
            (mailboxes::MailboxRecord { active: false, ..before }, ["active"])
        };
        mailboxes::save(&mut tx, &after, &SecretChange::Keep, &fields, "anna").await.unwrap();
        tx.commit().await.unwrap();
        assert!(world.open_alerts().await.is_empty(), "moved: {moved}, {:?}", world.open_alerts().await);
        world.sql("UPDATE mailboxes SET active = true").await;
    }
}
