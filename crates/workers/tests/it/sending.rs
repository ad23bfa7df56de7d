//! Sending as the profile says: with which account, what is told while an email waits, and what a lost outcome leads to.

use std::time::Duration;

use lockstep_coord::{Admission, Coord};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    id::{EmailId, MailboxId, RunId},
    mailbox::Account,
};
use lockstep_store::lanes;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::{
    server::{Action, Call},
    stage::{Stage, lost},
};

const CARLA: &str = "carla@kunde.example";

async fn stage() -> (Stage, MailboxId, EmailId) {
    let (stage, anna) = Stage::with_anna().await;
    let email = stage.world.outgoing(anna, &[CARLA]).await;
    (stage, anna, email)
}

async fn state(stage: &Stage, email: EmailId) -> String {
    let (state, attempt, status) = stage.world.delivery(email).await;
    format!("{state} {attempt} {status}")
}

/// From now on the profile's mailboxes send as `relay`.
async fn send_as_relay(stage: &Stage) {
    let sealed =
        stage.world.store.vault().seal(&lanes::outgoing_identity(stage.profile), &SecretString::from("geheim"));
    sqlx::query(
        "UPDATE email_server_profiles SET same_settings_for_outgoing = false, outgoing_login = 'relay',
             sealed_outgoing_secret = $1",
    )
    .bind(sealed.unwrap())
    .execute(stage.world.pool())
    .await
    .unwrap();
}

fn opened(stage: &Stage) -> Vec<String> {
    stage.server.calls().iter().filter_map(|call| call.strip_prefix("open ").map(str::to_owned)).collect()
}

/// B14: outgoing follows incoming, or has an account of its own; reading goes on with the other one.
#[tokio::test]
async fn b14_sending_uses_its_own_account_where_it_has_one() {
    let (stage, anna, email) = stage().await;
    stage.send(email, 1).await;
    assert_eq!(opened(&stage), ["anna@muster.example"]);
    send_as_relay(&stage).await;
    let second = stage.world.outgoing(anna, &[CARLA]).await;
    stage.send(second, 1).await;
    assert_eq!(state(&stage, second).await, "sent 1 sent");
    assert_eq!(opened(&stage), ["relay"]);
    stage.run(anna).await;
    assert_eq!(opened(&stage), ["anna@muster.example"]);
}

/// B21: connections that send count under the account that sends: while that has none left, email waits and mailboxes
/// are read.
#[tokio::test]
async fn b21_connections_count_under_the_account_that_is_used() {
    let (stage, anna, email) = stage().await;
    send_as_relay(&stage).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let one = Admission { account: Account::of_outgoing(), run: RunId::new(), ..stage.admission(anna, false) };
        stage.coord.admit(&one).await.unwrap();
        held.push(one);
    }
    stage.send(email, 1).await;
    assert_eq!(state(&stage, email).await, "pending 0 pending-send", "both connections of the account are in use");
    stage.run(anna).await;
    stage.coord.release(&held[0]).await.unwrap();
    stage.send(email, 1).await;
    assert_eq!(state(&stage, email).await, "sent 1 sent");
    assert_eq!(stage.coord.usage(stage.profile, &Account::of_outgoing()).await.unwrap(), 1, "given back");
}

fn fault(scope: FaultScope, class: FaultClass, code: &str) -> Fault {
    Fault::new(scope, class, code, "452 4.2.2 over quota")
}

/// H8: while an email waits for a quota or a rule of the server, somebody is told; it is kept, and the alert ends when it is
/// sent. What stops the account is in `stopped`.
#[tokio::test]
async fn h8_what_an_email_waits_for_is_told() {
    for found in [
        fault(FaultScope::Item, FaultClass::Transient, "ServerStorageFull"),
        fault(FaultScope::Item, FaultClass::Transient, "RefusedByPolicy"),
        fault(FaultScope::Mailbox, FaultClass::Throttled, "ErrorSubmissionQuotaExceeded"),
    ] {
        let (stage, _, email) = stage().await;
        let code = found.code.clone();
        stage.server.at(Call::Send, Action::Fail(found));
        stage.send(email, 1).await;
        assert!(state(&stage, email).await.starts_with("retry"), "{code}: it is kept");
        assert_eq!(stage.world.open_alerts().await, [format!("{code} warning ×1")]);
        let about = "SELECT CASE WHEN email_id IS NULL THEN 'mailbox' ELSE 'email' END FROM alerts";
        assert_eq!(stage.world.text(about).await, "email", "{code}");
        stage.send(email, 2).await;
        assert!(state(&stage, email).await.starts_with("sent"), "{code}");
        assert!(stage.world.open_alerts().await.is_empty(), "{code}: it ended");
    }
}

/// H8: a server that asks for less is obeyed as often as it asks: no attempt is used up, and the mailbox goes on.
#[tokio::test]
async fn h8_asking_for_less_uses_up_no_attempts() {
    let (stage, _, email) = stage().await;
    for attempt in 1..=12 {
        let limit = fault(FaultScope::Mailbox, FaultClass::Throttled, "ErrorSubmissionQuotaExceeded");
        stage.server.at(Call::Send, Action::Fail(limit));
        stage.send(email, attempt).await;
        stage.world.advance(3_600);
    }
    stage.server.at(Call::Send, Action::Fail(fault(FaultScope::Item, FaultClass::Transient, "ServerStorageFull")));
    stage.send(email, 13).await;
    assert_eq!(state(&stage, email).await, "retry 13 pending-send");
    assert_eq!(stage.world.number("SELECT uncounted FROM deliveries").await, 12);
    assert_eq!(stage.world.text("SELECT outgoing_enabled::text FROM mailboxes").await, "true");
    stage.send(email, 14).await;
    assert_eq!(state(&stage, email).await, "sent 14 sent");
}

/// H8: a recipient whose mailbox is full is told of and tried again; given up, only that counts.
#[tokio::test]
async fn h8_a_full_mailbox_of_a_recipient_is_told() {
    let (stage, _, email) = stage().await;
    stage.server.answer(CARLA, Some(fault(FaultScope::Item, FaultClass::Transient, "RecipientMailboxFull")));
    stage.send(email, 1).await;
    assert_eq!(state(&stage, email).await, "retry 1 pending-send");
    assert_eq!(stage.world.open_alerts().await, ["RecipientMailboxFull warning ×1"]);
    stage.server.answer(CARLA, Some(fault(FaultScope::Item, FaultClass::Refused, "RecipientMailboxFull")));
    stage.send(email, 2).await;
    assert_eq!(state(&stage, email).await, "failed 2 failed");
    assert_eq!(stage.world.open_alerts().await, ["DeliveryFailed error ×1"]);
}

/// H8: what does not fit one envelope follows in the next, without using up attempts.
#[tokio::test]
async fn h8_recipients_that_are_too_many_follow() {
    let (stage, anna) = Stage::with_anna().await;
    let email = stage.world.outgoing(anna, &[CARLA, "dora@kunde.example"]).await;
    let full = fault(FaultScope::Item, FaultClass::Throttled, "TooManyRecipients").after(Duration::from_secs(1));
    stage.server.answer("dora@kunde.example", Some(full));
    stage.send(email, 1).await;
    let now = lockstep_model::clock::Clock::now(&*stage.world.clock);
    let due = format!("SELECT extract(epoch FROM due_at - '{now}'::timestamptz) FROM deliveries");
    assert_eq!(stage.world.number(&due).await, 1, "at once");
    assert!(stage.world.open_alerts().await.is_empty());
    stage.server.answer("dora@kunde.example", None);
    let attempt = i32::try_from(stage.world.delivery(email).await.1).unwrap() + 1;
    stage.send(email, attempt).await;
    let to: Vec<_> = stage.server.given().into_iter().map(|given| given.to.len()).collect();
    assert_eq!((state(&stage, email).await.starts_with("sent"), to), (true, vec![2, 1]));
}

/// H10: by default a lost outcome waits for a person. Where the profile says so, it is sent again by itself, with the same
/// Message-ID, as long as attempts are left; then a person is asked after all.
#[tokio::test]
async fn h10_a_profile_may_send_again_what_nobody_knows_of() {
    for policy in [false, true] {
        let (stage, anna, email) = stage().await;
        stage.world.sql(&format!("UPDATE email_server_profiles SET resend_unknown = {policy}")).await;
        stage.server.at(Call::Passed, Action::Fail(Fault { class: FaultClass::Unclear, ..lost() }));
        stage.send(email, 1).await;
        if !policy {
            assert_eq!(state(&stage, email).await, "unknown 1 sending");
            assert_eq!(stage.world.open_alerts().await, ["OutcomeUnknown error ×1"]);
            stage.send(email, 2).await;
            assert_eq!(stage.server.given().len(), 1, "nothing is sent twice by itself");
            continue;
        }
        assert_eq!(state(&stage, email).await, "retry 1 pending-send");
        assert!(stage.world.open_alerts().await.is_empty());
        let noted =
            "SELECT count(*) FROM audit_entries WHERE actor = 'profile policy' AND action = 'delivery-resolved'";
        assert_eq!(stage.world.number(noted).await, 1);
        stage.send(email, 2).await;
        assert_eq!(state(&stage, email).await, "sent 2 sent");
        let ids: Vec<_> = stage.server.given().iter().map(|g| String::from_utf8(g.bytes.clone()).unwrap()).collect();
        assert_eq!(ids[0], ids[1], "the same message");
        // The last attempt's outcome is a person's to decide.
        let attempts = stage.world.number("SELECT max(attempt) FROM deliveries").await;
        assert_eq!(attempts, 2);
        let email = stage.world.outgoing(anna, &[CARLA]).await;
        stage
            .world
            .sql(&format!("UPDATE deliveries SET state = 'retry', attempt = 9 WHERE email_id = '{email}'"))
            .await;
        stage.server.at(Call::Passed, Action::Fail(Fault { class: FaultClass::Unclear, ..lost() }));
        stage.send(email, 10).await;
        assert_eq!(state(&stage, email).await, "unknown 10 sending");
        assert_eq!(stage.world.open_alerts().await, ["OutcomeUnknown error ×1"]);
    }
}

/// H10: an email that was waiting in a restored backup is not sent, by whichever hint, though its profile sends again what
/// nobody knows of; when a person has decided, it is sent once.
#[tokio::test]
async fn h10_what_a_backup_had_waiting_is_not_sent_by_itself() {
    let (stage, _, email) = stage().await;
    stage.world.sql("UPDATE email_server_profiles SET resend_unknown = true").await;
    let mut tx = stage.world.store.begin().await.unwrap();
    lockstep_store::restores::restored(&mut tx, false, "test").await.unwrap().unwrap();
    tx.commit().await.unwrap();
    assert_eq!(stage.world.open_alerts().await, ["OutcomeUnknown error ×1"]);
    for attempt in [1, 2] {
        stage.send(email, attempt).await;
    }
    assert_eq!(state(&stage, email).await, "unknown 0 sending");
    assert!(stage.server.given().is_empty(), "nothing has left");
    let mut tx = stage.world.store.begin().await.unwrap();
    let decision = lockstep_store::emails::sending::Decision::SendAgain;
    lockstep_store::restores::decide(&mut tx, decision, None, "anna").await.unwrap();
    tx.commit().await.unwrap();
    for attempt in [1, 2] {
        stage.send(email, attempt).await;
    }
    assert_eq!((state(&stage, email).await, stage.server.given().len()), ("sent 1 sent".to_owned(), 1));
    assert!(stage.world.open_alerts().await.is_empty());
}

async fn test_connection(stage: &Stage) -> Value {
    let mut tx = stage.world.store.begin().await.unwrap();
    let arguments = json!({ "profile": stage.profile });
    let id = lockstep_store::operations::create(&mut tx, "test-profile-connection", &arguments, "anna").await.unwrap();
    tx.commit().await.unwrap();
    stage.operate(id, 1).await;
    let kept = stage.world.text("SELECT last_test FROM email_server_profiles").await;
    let result = stage.world.text(&format!("SELECT result FROM operations WHERE id = '{id}'")).await;
    assert_eq!(kept, result, "the profile keeps it");
    serde_json::from_str(&result).unwrap()
}

fn statuses(told: &Value) -> Vec<String> {
    let part = |part: &str| told[part]["status"].as_str().unwrap().to_owned();
    ["location", "authorisation", "execution"].map(part).to_vec()
}

/// B25: without an account of the profile's the servers are looked at; with one it logs in and lists. Each direction tells
/// where it stopped, in the server's words; no permit is kept and nothing is recorded of what is there.
#[tokio::test]
async fn b25_a_profile_is_tested() {
    let (stage, anna) = Stage::with_anna().await;
    let told = test_connection(&stage).await;
    assert_eq!(told["status"], "success");
    assert_eq!(statuses(&told["incoming"]), ["success", "not-run", "not-run"]);
    assert_eq!(told["incoming"]["location"]["steps"][0]["said"], "scripted server ready");
    assert!(opened(&stage).is_empty(), "nobody's account is guessed");
    send_as_relay(&stage).await;
    let told = test_connection(&stage).await;
    assert_eq!(statuses(&told["outgoing"]), ["success", "success", "success"]);
    assert_eq!(opened(&stage), ["relay"]);
    let sealed = stage.world.store.vault().seal(&lanes::profile_identity(stage.profile), &SecretString::from("geheim"));
    sqlx::query("UPDATE email_server_profiles SET credentials = 'profile', login = 'all', sealed_secret = $1")
        .bind(sealed.unwrap())
        .execute(stage.world.pool())
        .await
        .unwrap();
    stage.server.put("all", "k0", crate::stage::plain("m"));
    let told = test_connection(&stage).await;
    assert_eq!(statuses(&told["incoming"]), ["success", "success", "success"]);
    assert_eq!(stage.server.keys("all"), ["k0"]);
    assert_eq!(stage.emails().await, 0);
    let refused = Fault::new(FaultScope::Mailbox, FaultClass::Auth, "Unauthorized", "-ERR no");
    stage.server.at(Call::Open, Action::Fail(refused));
    let told = test_connection(&stage).await;
    assert_eq!(told["status"], "failure");
    assert_eq!(statuses(&told["incoming"]), ["success", "failure", "not-run"]);
    assert_eq!(
        (&told["incoming"]["authorisation"]["code"], &told["incoming"]["authorisation"]["message"]),
        (&json!("Unauthorized"), &json!("-ERR no"))
    );
    assert!(!told.to_string().contains("geheim"));
    stage.assert_free(anna).await;
}
