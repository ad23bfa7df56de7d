//! Faults of sending that reach beyond one email: the account of a mailbox, and the server of a profile.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_model::{
    clock::Clock,
    fault::{Fault, FaultClass, FaultScope},
    id::{EmailId, MailboxId, ProfileId, UserId},
    mailbox::TrackOption,
};
use lockstep_store::{
    alerts::{self, Filter},
    deliveries, explain, lanes,
    mailbox_tests::{self, Tested},
    profiles::{self, SecretChange},
};
use lockstep_wire::Outcome;
use secrecy::SecretString;

use crate::{
    figures::status,
    server::{Action, Call},
    stage::{Stage, lost},
};

const CARLA: &str = "carla@kunde.example";
const LIFETIME: Duration = Duration::from_secs(60);

fn refused_password() -> Fault {
    let words = "535 5.7.8 bad credentials";
    Fault::new(FaultScope::Mailbox, FaultClass::Auth, "OutgoingEmailAuthenticationError", words)
}

fn no_connection() -> Fault {
    Fault::new(FaultScope::Profile, FaultClass::Unreachable, "ConnectFailure", "connection refused")
}

async fn claim(stage: &Stage) -> Vec<(EmailId, i32)> {
    let mut tx = stage.world.store.begin().await.unwrap();
    let mut claimed = deliveries::claim(&mut tx, 100, LIFETIME).await.unwrap();
    tx.commit().await.unwrap();
    claimed.sort();
    claimed
}

/// Sends what may be sent now; how many hints there were.
async fn round(stage: &Stage) -> usize {
    let claimed = claim(stage).await;
    for (email, attempt) in &claimed {
        stage.send(*email, *attempt).await;
    }
    claimed.len()
}

/// As `round`, of a server that fails everybody who opens a session, which is told of by how many did.
async fn failing_round(stage: &Stage, fault: &Fault) -> (usize, usize) {
    let claimed = claim(stage).await;
    let mut asked = 0;
    for (email, attempt) in &claimed {
        stage.server.at(Call::Open, Action::Fail(fault.clone()));
        stage.send(*email, *attempt).await;
        asked += opened(stage);
        stage.server.disarm();
    }
    (claimed.len(), asked)
}

fn opened(stage: &Stage) -> usize {
    stage.server.calls().iter().filter(|call| call.starts_with("open ")).count()
}

/// How the deliveries stand, as `state counted-attempts status`, sorted.
async fn deliveries_of(stage: &Stage, mailbox: MailboxId) -> Vec<String> {
    stage
        .world
        .texts(&format!(
            "SELECT concat_ws(' ', d.state, d.attempt - d.uncounted, e.status) FROM deliveries d
             JOIN emails e ON e.id = d.email_id WHERE d.mailbox_id = '{mailbox}' ORDER BY 1"
        ))
        .await
}

async fn enabled(stage: &Stage, mailbox: MailboxId) -> String {
    let enabled = "SELECT concat_ws(' ', incoming_enabled, outgoing_enabled) FROM mailboxes";
    stage.world.text(&format!("{enabled} WHERE id = '{mailbox}'")).await
}

async fn test_and_enable(stage: &Stage, mailbox: MailboxId) {
    let mut tx = stage.world.store.begin().await.unwrap();
    mailbox_tests::record(&mut tx, mailbox, "root", &Tested::Works, &Tested::Works).await.unwrap();
    tx.commit().await.unwrap();
}

async fn open_until(stage: &Stage) -> Option<DateTime<Utc>> {
    sqlx::query_scalar("SELECT open_until FROM sending_breakers").fetch_one(stage.world.pool()).await.unwrap()
}

async fn owner(stage: &Stage, mailbox: MailboxId) -> UserId {
    UserId(
        sqlx::query_scalar("SELECT owner_user_id FROM mailboxes WHERE id = $1")
            .bind(mailbox.0)
            .fetch_one(stage.world.pool())
            .await
            .unwrap(),
    )
}

/// M2, M4, H8, H3: a refused password and a full account are permanent: an error is told, sending from this mailbox stops
/// at once, everything else goes on, and its emails wait without using up attempts. After Test & Enable they go by
/// themselves.
#[tokio::test]
async fn m4_h8_a_permanent_fault_disables_the_sending_of_its_mailbox() {
    let full = Fault::new(FaultScope::Mailbox, FaultClass::Refused, "ErrorQuotaExceeded", "552 5.2.2 mailbox full");
    for (call, fault) in [(Call::Open, refused_password()), (Call::Send, full)] {
        let (stage, anna) = Stage::with_anna().await;
        let bert = stage.user("bert", TrackOption::All).await;
        for _ in 0..3 {
            stage.world.outgoing(anna, &[CARLA]).await;
        }
        let hints = claim(&stage).await;
        assert_eq!(hints.len(), 3);
        stage.server.at(call, Action::Fail(fault.clone()));
        for (email, attempt) in &hints {
            stage.send(*email, *attempt).await;
        }
        assert_eq!(opened(&stage), 1, "the hints that were out are of no use any more");
        let waits = ["pending 0 pending-send", "pending 0 pending-send", "retry 0 pending-send"];
        assert_eq!(deliveries_of(&stage, anna).await, waits, "no attempt counts");
        assert_eq!(stage.world.open_alerts().await, [format!("{} error ×1", fault.code)]);
        assert_eq!(
            stage.world.text("SELECT key FROM alerts").await,
            format!("{}/mailbox/{anna}/outgoing", fault.code),
            "of its outgoing part"
        );
        assert_eq!(enabled(&stage, anna).await, "t f");
        assert_eq!(enabled(&stage, bert).await, "t t");
        let now = status(&stage, anna).await;
        assert_eq!((now.state.as_str(), now.sending.disabled_code.as_deref()), ("disabled", Some(fault.code.as_str())));
        assert_eq!(now.sending.waiting, 3);
        let noted = "SELECT count(*) FROM audit_entries WHERE actor = 'outgoing-worker' AND action = 'updated'";
        assert_eq!(stage.world.number(noted).await, 1);
        let told = "SELECT count(*) FROM feed_entries WHERE record_kind = 'mailbox' AND fields = '{outgoing_enabled}'";
        assert_eq!(stage.world.number(told).await, 1);

        // Reading goes on, and so does the sending of others; here nothing is tried however long it takes.
        assert_eq!(stage.run(anna).await.outcome, Outcome::Completed);
        stage.world.outgoing(bert, &[CARLA]).await;
        assert_eq!(round(&stage).await, 1);
        assert_eq!(deliveries_of(&stage, bert).await, ["sent 1 sent"]);
        stage.world.advance(30 * 86_400);
        assert!(claim(&stage).await.is_empty());
        assert_eq!(deliveries_of(&stage, anna).await, waits);

        test_and_enable(&stage, anna).await;
        assert_eq!(round(&stage).await, 3);
        assert_eq!(deliveries_of(&stage, anna).await, ["sent 1 sent"; 3]);
        stage.world.assert_cleared(&fault.code).await;
        let now = status(&stage, anna).await;
        assert_eq!((now.state.as_str(), now.sending.disabled_code), ("healthy", None));
    }
}

/// H3: what has met the fault is due as soon as the mailbox is enabled again, and a test that fails enables nothing.
#[tokio::test]
async fn h3_what_has_waited_for_the_account_is_due_when_it_works() {
    let (stage, anna) = Stage::with_anna().await;
    let email = stage.world.outgoing(anna, &[CARLA]).await;
    stage.server.at(Call::Open, Action::Fail(refused_password()));
    assert_eq!(round(&stage).await, 1);
    let mut tx = stage.world.store.begin().await.unwrap();
    let fails = Tested::Fails(refused_password());
    mailbox_tests::record(&mut tx, anna, "root", &Tested::Works, &fails).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(enabled(&stage, anna).await, "t f");
    stage.world.advance(86_400);
    assert!(claim(&stage).await.is_empty());
    test_and_enable(&stage, anna).await;
    assert_eq!(claim(&stage).await, [(email, 2)]);

    // At once, and not after the pause that an attempt is followed by.
    stage.server.at(Call::Open, Action::Fail(refused_password()));
    stage.send(email, 2).await;
    test_and_enable(&stage, anna).await;
    assert_eq!(claim(&stage).await, [(email, 3)]);
    stage.send(email, 3).await;
    assert_eq!(deliveries_of(&stage, anna).await, ["sent 1 sent"]);
}

/// An attempt that began with the old password disables nothing that was mended meanwhile.
#[tokio::test]
async fn an_attempt_of_before_disables_nothing_that_was_mended() {
    let (stage, anna) = Stage::with_anna().await;
    let email = stage.world.outgoing(anna, &[CARLA]).await;
    let (store, clock) = (stage.world.store.clone(), stage.world.clock.clone());
    stage.server.meanwhile(Call::Send, move || {
        Box::pin(async move {
            clock.advance(Duration::from_secs(1));
            let mut tx = store.begin().await.unwrap();
            mailbox_tests::record(&mut tx, anna, "root", &Tested::Works, &Tested::Works).await.unwrap();
            tx.commit().await.unwrap();
        })
    });
    stage.server.at(Call::Written, Action::Fail(refused_password()));
    stage.send(email, 1).await;
    assert_eq!(deliveries_of(&stage, anna).await, ["retry 0 pending-send"]);
    assert_eq!(enabled(&stage, anna).await, "t t");
}

/// M4: one account for all: each mailbox stops when it meets the refusal itself, as in reading, and none loses attempts.
#[tokio::test]
async fn m4_with_one_account_for_all_each_mailbox_stops_by_itself() {
    let (stage, anna) = Stage::with_anna().await;
    let bert = stage.user("bert", TrackOption::All).await;
    let sealed = stage.world.store.vault().seal(&lanes::profile_identity(stage.profile), &SecretString::from("geheim"));
    sqlx::query("UPDATE email_server_profiles SET credentials = 'profile', login = 'all', sealed_secret = $1")
        .bind(sealed.unwrap())
        .execute(stage.world.pool())
        .await
        .unwrap();
    for mailbox in [anna, bert] {
        for _ in 0..2 {
            stage.world.outgoing(mailbox, &[CARLA]).await;
        }
    }
    assert_eq!(failing_round(&stage, &refused_password()).await, (4, 2), "each has asked once");
    for mailbox in [anna, bert] {
        assert_eq!(enabled(&stage, mailbox).await, "t f");
        assert_eq!(deliveries_of(&stage, mailbox).await, ["pending 0 pending-send", "retry 0 pending-send"]);
    }
    assert_eq!(stage.world.open_alerts().await, ["OutgoingEmailAuthenticationError error ×1"; 2]);
}

/// M2, M3: a transient fault of the mailbox is a warning; so many in a row as the deployment says, a pause apart, are a
/// permanent one with the same code, and the email it has happened to waits though its attempts are over. Emails that
/// fail together have met one fault, and a success forgets.
#[tokio::test]
async fn m3_transient_faults_of_sending_become_permanent() {
    let (stage, anna) = Stage::with_anna().await;
    stage.world.setting("email", "max_mailbox_transient_failures", 3).await;
    stage.world.setting("email", "maximum_email_delivery_attempts", 3).await;
    let email = stage.world.outgoing(anna, &[CARLA]).await;
    let other = stage.world.outgoing(anna, &[CARLA]).await;
    let fail = async |email, attempt| {
        stage.server.at(Call::Open, Action::Fail(lost()));
        stage.send(email, attempt).await;
    };
    let counted = "SELECT counted_failures FROM mailbox_sending";
    for attempt in 1..=2 {
        fail(email, attempt).await;
        assert_eq!(stage.world.number(counted).await, i64::from(attempt));
        if attempt == 1 {
            fail(other, 1).await;
            assert_eq!(stage.world.number(counted).await, 1, "together");
        }
        assert_eq!(enabled(&stage, anna).await, "t t");
        let open = stage.world.open_alerts().await;
        assert!(open.len() == 1 && open[0].starts_with("ConnectionLost warning"), "{open:?}");
        stage.world.advance(300);
    }
    stage.send(other, 2).await;
    assert_eq!(stage.world.number(counted).await, 0, "it works");
    assert!(stage.world.open_alerts().await.is_empty());

    let email = stage.world.outgoing(anna, &[CARLA]).await;
    for attempt in 1..=3 {
        fail(email, attempt).await;
        stage.world.advance(300);
    }
    assert_eq!(stage.world.delivery(email).await, ("retry".to_owned(), 3, "pending-send".to_owned()));
    assert_eq!(stage.world.open_alerts().await, ["ConnectionLost error ×3"], "the same code");
    assert_eq!(enabled(&stage, anna).await, "t f");
    assert_eq!(status(&stage, anna).await.sending.disabled_code.as_deref(), Some("ConnectionLost"));
    stage.world.advance(86_400);
    assert!(claim(&stage).await.is_empty());
    test_and_enable(&stage, anna).await;
    assert_eq!(stage.world.number(counted).await, 0, "forgotten");
    round(&stage).await;
    assert_eq!(stage.world.delivery(email).await.0, "sent");
}

/// M8, M5, H8: a server that cannot be reached is told once, of its profile, to the owner of the profile and to those of its
/// mailboxes, who are asked for nothing. Nothing is disabled and reading goes on; emails wait, whatever it takes, without
/// using up attempts, and one at a time finds out whether it is back. Then all go, and the alert ends.
#[tokio::test]
async fn m8_m5_a_dead_outgoing_server_is_told_once_and_ends() {
    let (stage, anna) = Stage::with_anna().await;
    let bert = stage.user("bert", TrackOption::All).await;
    let (answers_for_it, reader) = (owner(&stage, anna).await, owner(&stage, bert).await);
    stage.world.sql("UPDATE organisations SET notify_mailbox_owner = true").await;
    stage.world.sql(&format!("UPDATE email_server_profiles SET owner_user_id = '{answers_for_it}'")).await;
    for mailbox in [anna, anna, anna, bert, bert] {
        stage.world.outgoing(mailbox, &[CARLA]).await;
    }
    assert_eq!(failing_round(&stage, &no_connection()).await, (5, 3), "after the third nobody asks");
    assert_eq!(stage.world.open_alerts().await, ["OutgoingServerUnreachable error ×1"]);
    stage.world.assert_raised("ConnectFailure").await;
    let about = "SELECT concat_ws(' ', scope, profile_id) FROM alerts";
    assert_eq!(stage.world.text(about).await, format!("profile {}", stage.profile));
    let mut tx = stage.world.store.begin().await.unwrap();
    for (reader, asked) in [(answers_for_it, true), (reader, false)] {
        let on_wall = Filter { reader: Some(reader), ..Filter::default() };
        let wall = alerts::list(&mut tx, &on_wall, None, 10).await.unwrap();
        let wall: Vec<_> = wall.iter().map(|alert| (alert.code.as_str(), alert.action_asked)).collect();
        assert_eq!(wall, [("OutgoingServerUnreachable", asked)]);
    }
    let facts = explain::mailbox(&mut tx, bert).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    assert_eq!(facts.profile.unwrap().sending_open_until, open_until(&stage).await);
    for mailbox in [anna, bert] {
        assert_eq!(enabled(&stage, mailbox).await, "t t");
        assert_eq!(stage.run(mailbox).await.outcome, Outcome::Completed, "reading goes on");
    }
    stage.server.calls();

    let mut longest = TimeDelta::zero();
    for probe in 0..15 {
        let until = open_until(&stage).await.unwrap();
        let wait = until - stage.world.clock.now();
        assert!(wait > TimeDelta::zero() && wait <= TimeDelta::minutes(10), "{wait} before probe {probe}");
        longest = longest.max(wait);
        assert!(claim(&stage).await.is_empty(), "nothing is asked before");
        stage.world.advance(u64::try_from(wait.num_seconds()).unwrap() + 1);
        let probes = claim(&stage).await;
        assert_eq!(probes.len(), 1, "probe {probe}");
        assert!(claim(&stage).await.is_empty(), "one at a time");
        stage.server.at(Call::Open, Action::Fail(no_connection()));
        stage.send(probes[0].0, probes[0].1).await;
        assert_eq!(opened(&stage), 1);
    }
    assert!(longest > TimeDelta::minutes(8), "{longest}");
    assert_eq!(stage.world.number("SELECT count(*) FROM deliveries WHERE attempt > uncounted").await, 0);
    assert_eq!(stage.world.number("SELECT count(*) FROM emails WHERE status = 'pending-send'").await, 5);
    assert_eq!(stage.world.open_alerts().await, ["OutgoingServerUnreachable error ×1"]);

    stage.world.advance(601);
    assert_eq!(round(&stage).await, 1, "one finds out that it is back");
    stage.world.assert_cleared("OutgoingServerUnreachable").await;
    assert_eq!(round(&stage).await, 4, "and the others follow");
    assert_eq!(stage.world.number("SELECT count(*) FROM emails WHERE status = 'sent'").await, 5);
    assert_eq!(stage.world.number("SELECT count(*) FROM sending_breakers").await, 0);
}

/// Only what the server itself has said counts: an email that nobody can send says nothing of it, a refused password does.
/// Others' servers are others' matter.
#[tokio::test]
async fn what_says_that_an_outgoing_server_is_back() {
    let (stage, anna) = Stage::with_anna().await;
    let elsewhere: ProfileId = stage.world.profile(2).await;
    let user = stage.world.user("cara", TrackOption::All).await;
    let cara = stage.world.mailbox(elsewhere, lockstep_model::mailbox::Owner::User(user)).await;
    for _ in 0..4 {
        stage.world.outgoing(anna, &[CARLA]).await;
    }
    assert_eq!(failing_round(&stage, &no_connection()).await, (4, 3));
    stage.world.outgoing(cara, &[CARLA]).await;
    assert_eq!(round(&stage).await, 1, "another profile's");
    assert_eq!(deliveries_of(&stage, cara).await, ["sent 1 sent"]);
    stage.server.calls();

    stage.world.advance(300);
    let probes = claim(&stage).await;
    assert_eq!(probes.len(), 1);
    stage.world.sql(&format!("DELETE FROM email_parties WHERE role = 'from' AND email_id = '{}'", probes[0].0)).await;
    stage.send(probes[0].0, probes[0].1).await;
    assert_eq!((stage.world.delivery(probes[0].0).await.0, opened(&stage)), ("failed".to_owned(), 0));
    assert_eq!(stage.world.number("SELECT count(*) FROM sending_breakers").await, 1, "nobody was asked");

    let probes = claim(&stage).await;
    assert_eq!(probes.len(), 1, "so the next one asks");
    stage.server.at(Call::Open, Action::Fail(refused_password()));
    stage.send(probes[0].0, probes[0].1).await;
    stage.world.assert_cleared("OutgoingServerUnreachable").await;
    assert_eq!(enabled(&stage, anna).await, "t f", "it answers, though not as one would like");
}

/// Who has put the profile right need not wait for the next probe, and a test that works ends the alert.
#[tokio::test]
async fn a_changed_profile_is_probed_at_once_and_a_test_ends_the_alert() {
    let (stage, anna) = Stage::with_anna().await;
    for _ in 0..4 {
        stage.world.outgoing(anna, &[CARLA]).await;
    }
    assert_eq!(failing_round(&stage, &no_connection()).await, (4, 3));
    stage.world.advance(1);
    assert!(claim(&stage).await.is_empty());
    let mut tx = stage.world.store.begin().await.unwrap();
    let mut profile = profiles::lock(&mut tx, stage.profile, None).await.unwrap().unwrap();
    profile.outgoing_host = "smtp2.muster.example".to_owned();
    profiles::save(&mut tx, &profile, &SecretChange::Keep, &["outgoing"], "root").await.unwrap();
    tx.commit().await.unwrap();
    stage.world.sql("UPDATE deliveries SET due_at = created_at, claimed_until = NULL").await;
    assert_eq!(claim(&stage).await.len(), 1);
    stage.world.assert_raised("OutgoingServerUnreachable").await;
    test_and_enable(&stage, anna).await;
    stage.world.assert_cleared("OutgoingServerUnreachable").await;
    assert_eq!(claim(&stage).await.len(), 3, "and the others go");
}
