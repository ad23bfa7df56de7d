//! H7: Anna sends in Bert's name. What allows it is asked again when the email leaves.

use std::{sync::Arc, time::Duration};

use futures::FutureExt;
use lockstep_model::{
    id::{EmailId, MailboxId},
    mailbox::{Owner, TrackOption},
};
use tokio::sync::Mutex;

use crate::{
    server::{Action, Call},
    stage::{Stage, item_fault},
};

const CARLA: &str = "carla@kunde.example";
const DORA: &str = "dora@kunde.example";

/// A role that lets Anna send as anybody who agrees, or read every queue.
const GRANT: &str = "
    INSERT INTO security_roles (id, name, description, created_at, updated_at)
        VALUES ('01930000-0000-7000-8000-0000000000aa', 'Delegate', '', now(), now());
    INSERT INTO security_role_privileges (role_id, record_kind, privilege, depth)
        VALUES ('01930000-0000-7000-8000-0000000000aa', 'user', 'send-as-another', 'all'),
               ('01930000-0000-7000-8000-0000000000aa', 'queue', 'read', 'all');
    INSERT INTO user_security_roles (user_id, role_id)
        SELECT id, '01930000-0000-7000-8000-0000000000aa' FROM users WHERE name = 'anna'";
const TAKE: &str = "DELETE FROM user_security_roles WHERE role_id = '01930000-0000-7000-8000-0000000000aa'";
const AGREE: &str = "UPDATE users SET allow_send_on_behalf = true WHERE name = 'bert'";
const WITHDRAW: &str = "UPDATE users SET allow_send_on_behalf = false WHERE name = 'bert'";

/// An email of this mailbox that Anna sends.
async fn sent_by_anna(stage: &Stage, mailbox: MailboxId, to: &[&str]) -> EmailId {
    let email = stage.world.outgoing(mailbox, to).await;
    for statement in [
        "UPDATE emails SET sender_user_id = (SELECT id FROM users WHERE name = 'anna') WHERE id = 'EMAIL'",
        "UPDATE email_parties p SET record_kind = CASE WHEN m.owner_user_id IS NULL THEN 'queue' ELSE 'user' END,
             record_id = COALESCE(m.owner_user_id, m.owner_queue_id)
         FROM emails e JOIN mailboxes m ON m.id = e.from_mailbox_id
         WHERE p.email_id = e.id AND e.id = 'EMAIL' AND p.role = 'from'",
    ] {
        stage.world.sql(&statement.replace("EMAIL", &email.to_string())).await;
    }
    email
}

/// Anna, Bert, and an email in Bert's name that Anna may send.
async fn scene(to: &[&str]) -> (Stage, EmailId) {
    let (stage, _) = Stage::with_anna().await;
    let bert = stage.user("bert", TrackOption::All).await;
    for statement in GRANT.split(';').chain([AGREE]) {
        stage.world.sql(statement).await;
    }
    let email = sent_by_anna(&stage, bert, to).await;
    (stage, email)
}

async fn state(stage: &Stage, email: EmailId) -> String {
    let (state, attempt, status) = stage.world.delivery(email).await;
    format!("{state} {attempt} {status}")
}

/// The email is given up, and its alert says why, in these words.
async fn assert_refused(stage: &Stage, words: &str) {
    assert_eq!(stage.world.open_alerts().await, ["DeliveryFailed error ×1"]);
    stage.world.assert_raised("SendAsWithdrawn").await;
    let told = stage.world.text("SELECT parameters->>'message' FROM alerts").await;
    assert!(told.contains(words), "{told}");
    assert_eq!(stage.world.text("SELECT fault_code FROM deliveries").await, "SendAsWithdrawn");
    assert!(stage.server.given().iter().all(|given| !given.taken), "nothing has left");
}

/// H7: the author in From, who sends in Sender (RFC 5322 §3.6.2), and the envelope of the mailbox that sends, so that
/// what cannot be delivered comes back to it. One's own email and a queue's have no Sender.
#[tokio::test]
async fn h7_the_message_says_who_sends() {
    let (stage, email) = scene(&[CARLA]).await;
    stage.send(email, 1).await;
    assert_eq!(state(&stage, email).await, "sent 1 sent");
    let queue = stage.world.queue("help", TrackOption::All).await;
    let help = stage.world.mailbox(stage.profile, Owner::Queue(queue)).await;
    let of_queue = sent_by_anna(&stage, help, &[CARLA]).await;
    stage.send(of_queue, 1).await;
    assert_eq!(state(&stage, of_queue).await, "sent 1 sent");
    let given = stage.server.given();
    let head = |at: usize| String::from_utf8(given[at].bytes.clone()).unwrap().replace("\r\n ", " ");
    assert!(head(0).contains("From: <bert@muster.example>\r\n"), "{}", head(0));
    assert!(head(0).contains("Sender: anna <anna@muster.example>\r\n"), "{}", head(0));
    assert_eq!(given[0].from, "bert@muster.example");
    assert_eq!(given[0].to, [CARLA]);
    assert!(!head(1).contains("Sender:"), "{}", head(1));
    assert_eq!(given[1].from, stage.world.text("SELECT address FROM mailboxes WHERE owner_queue_id IS NOT NULL").await);
}

/// H7: the privilege and the consent, each there or not, at the moment of delivery: only both together send.
#[tokio::test]
async fn h7_only_privilege_and_consent_together_deliver() {
    for (privileged, consents) in [(false, false), (false, true), (true, false), (true, true)] {
        let (stage, email) = scene(&[CARLA]).await;
        if !privileged {
            stage.world.sql(TAKE).await;
        }
        if !consents {
            stage.world.sql(WITHDRAW).await;
        }
        stage.send(email, 1).await;
        if privileged && consents {
            assert_eq!(state(&stage, email).await, "sent 1 sent");
            continue;
        }
        assert_eq!(state(&stage, email).await, "failed 1 failed", "privilege {privileged}, consent {consents}");
        assert!(stage.server.calls().is_empty(), "no server is bothered");
        assert_refused(&stage, if privileged { "no longer lets others" } else { "the privilege" }).await;
    }
}

/// H7: consent that is withdrawn while the email waits for another attempt stops it; given again, it may be sent again,
/// which ends the alert.
#[tokio::test]
async fn h7_consent_withdrawn_between_attempts_stops_the_email() {
    for withdrawal in [WITHDRAW, "UPDATE users SET active = false WHERE name = 'bert'"] {
        let (stage, email) = scene(&[CARLA]).await;
        stage.server.at(Call::Open, Action::Fail(item_fault()));
        stage.send(email, 1).await;
        assert_eq!(state(&stage, email).await, "retry 1 pending-send");
        stage.world.sql(withdrawal).await;
        stage.send(email, 2).await;
        assert_eq!(state(&stage, email).await, "failed 2 failed");
        assert_refused(&stage, "no longer lets others").await;
        for again in [
            "UPDATE users SET active = true, allow_send_on_behalf = true",
            "UPDATE emails SET status = 'pending-send'",
            "UPDATE delivery_recipients SET state = 'pending'",
            "UPDATE deliveries SET state = 'pending', attempt = 0",
        ] {
            stage.world.sql(again).await;
        }
        stage.send(email, 1).await;
        assert_eq!(state(&stage, email).await, "sent 1 sent");
        stage.world.assert_cleared("SendAsWithdrawn").await;
    }
}

/// H7: withdrawn when the message is written and only the last step is left: the step is not taken.
#[tokio::test]
async fn h7_consent_withdrawn_at_the_last_moment_stops_the_email() {
    for (withdrawal, words) in [(WITHDRAW, "no longer lets others"), (TAKE, "the privilege")] {
        let (stage, email) = scene(&[CARLA, DORA]).await;
        let pool = stage.world.pool().clone();
        stage.server.meanwhile(Call::Written, move || {
            async move {
                sqlx::query(withdrawal).execute(&pool).await.unwrap();
            }
            .boxed()
        });
        stage.send(email, 1).await;
        assert_eq!(state(&stage, email).await, "failed 1 failed");
        assert_eq!(stage.server.given().len(), 1, "it was on its way");
        assert_refused(&stage, words).await;
        stage
            .assert_free(MailboxId(stage.world.text("SELECT mailbox_id FROM deliveries").await.parse().unwrap()))
            .await;
    }
}

/// H7: a withdrawal that is not committed yet is waited for, so that no order of events lets an email leave after it.
#[tokio::test]
async fn h7_a_withdrawal_under_way_is_waited_for() {
    let (stage, email) = scene(&[CARLA]).await;
    let (pool, begun) = (stage.world.pool().clone(), Arc::new(Mutex::new(None)));
    let withdrawing = begun.clone();
    stage.server.meanwhile(Call::Written, move || {
        async move {
            let mut tx = pool.begin().await.unwrap();
            sqlx::query(WITHDRAW).execute(&mut *tx).await.unwrap();
            *withdrawing.lock().await = Some(tx);
        }
        .boxed()
    });
    let waits = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
         WHERE NOT l.granted AND a.datname = current_database()";
    let withdrawn = async {
        let held = async || stage.world.number(waits).await > 0;
        lockstep_test_support::eventually(Duration::from_secs(10), held, "the gate waits").await;
        begun.lock().await.take().unwrap().commit().await.unwrap();
    };
    tokio::join!(stage.send(email, 1), withdrawn);
    assert_eq!(state(&stage, email).await, "failed 1 failed");
    assert_refused(&stage, "no longer lets others").await;
}

/// H7: who has it already keeps it; the rest is given up, and told of.
#[tokio::test]
async fn h7_who_has_accepted_before_keeps_the_email() {
    let (stage, email) = scene(&[CARLA, DORA]).await;
    let put_off = lockstep_model::fault::Fault::new(
        lockstep_model::fault::FaultScope::Item,
        lockstep_model::fault::FaultClass::Transient,
        "Greylisted",
        "451 try again later",
    );
    stage.server.answer(DORA, Some(put_off));
    stage.send(email, 1).await;
    assert_eq!(state(&stage, email).await, "retry 1 pending-send");
    stage.server.answer(DORA, None);
    stage.world.sql(WITHDRAW).await;
    stage.send(email, 2).await;
    assert_eq!(state(&stage, email).await, "sent 2 sent");
    assert_eq!(stage.server.given().len(), 1, "no second envelope");
    assert_eq!(stage.world.open_alerts().await, ["PartlyRefused error ×1"]);
}

/// H7: sending as a queue needs that it may still be read.
#[tokio::test]
async fn h7_a_queue_that_may_no_longer_be_read_sends_nothing() {
    let (stage, _) = scene(&[CARLA]).await;
    let queue = stage.world.queue("help", TrackOption::All).await;
    let help = stage.world.mailbox(stage.profile, Owner::Queue(queue)).await;
    let email = sent_by_anna(&stage, help, &[CARLA]).await;
    stage.world.sql("DELETE FROM user_security_roles").await;
    stage.send(email, 1).await;
    assert_eq!(state(&stage, email).await, "failed 1 failed");
    stage.world.assert_raised("SendAsWithdrawn").await;
    assert!(stage.server.calls().is_empty());
}

/// B1: an attempt that was handed out before its profile was switched off is not begun, uses up nothing, and follows
/// when the profile is switched on.
#[tokio::test]
async fn b1_a_profile_switched_off_sends_nothing() {
    let (stage, anna) = Stage::with_anna().await;
    let email = stage.world.outgoing(anna, &[CARLA]).await;
    stage.world.sql("UPDATE email_server_profiles SET active = false").await;
    stage.send(email, 1).await;
    assert_eq!(state(&stage, email).await, "pending 0 pending-send");
    assert!(stage.server.calls().is_empty());
    stage.world.sql("UPDATE email_server_profiles SET active = true").await;
    stage.send(email, 1).await;
    assert_eq!(state(&stage, email).await, "sent 1 sent");
}
