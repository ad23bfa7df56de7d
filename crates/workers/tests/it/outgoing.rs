//! Sending: one attempt after the other, each recipient by itself, never twice to who has accepted.

use std::time::Duration;

use futures::FutureExt;
use lockstep_coord::Coord;
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    id::{EmailId, MailboxId},
};
use lockstep_queue::Outcome as Settled;
use lockstep_store::contents::Writer;

use crate::{
    server::{Action, Call},
    stage::{Stage, lost},
};

const CARLA: &str = "carla@kunde.example";
const DORA: &str = "dora@kunde.example";

async fn stage(to: &[&str]) -> (Stage, MailboxId, EmailId) {
    let (stage, anna) = Stage::with_anna().await;
    let email = stage.world.outgoing(anna, to).await;
    (stage, anna, email)
}

fn refused() -> Fault {
    Fault::new(FaultScope::Item, FaultClass::Refused, "RecipientRefused", "550 no such user")
}

fn greylisted() -> Fault {
    Fault::new(FaultScope::Item, FaultClass::Transient, "Greylisted", "451 try again later")
}

async fn state(stage: &Stage, email: EmailId) -> String {
    let (state, attempt, status) = stage.world.delivery(email).await;
    format!("{state} {attempt} {status}")
}

async fn recipients(stage: &Stage) -> Vec<String> {
    stage.world.texts("SELECT concat_ws(' ', address, state, reply) FROM delivery_recipients ORDER BY 1").await
}

/// Seconds until the delivery is due.
async fn due_in(stage: &Stage) -> i64 {
    let now = lockstep_model::clock::Clock::now(&*stage.world.clock);
    stage.world.number(&format!("SELECT extract(epoch FROM due_at - '{now}'::timestamptz) FROM deliveries")).await
}

/// H2: from Pending Send by Sending to Sent; the record keeps the server's words.
#[tokio::test]
async fn an_email_is_sent_once() {
    let (stage, anna, email) = stage(&[CARLA]).await;
    let pool = stage.world.pool().clone();
    stage.server.meanwhile(Call::Written, move || {
        async move {
            let state: String = sqlx::query_scalar("SELECT state FROM deliveries").fetch_one(&pool).await.unwrap();
            assert_eq!(state, "sending", "nothing irrevocable has happened yet");
        }
        .boxed()
    });
    let pool = stage.world.pool().clone();
    stage.server.meanwhile(Call::Passed, move || {
        async move {
            let state: String = sqlx::query_scalar("SELECT state FROM deliveries").fetch_one(&pool).await.unwrap();
            assert_eq!(state, "in-flight", "committed before the step is taken");
        }
        .boxed()
    });
    assert_eq!(stage.send(email, 1).await, Settled::Done);
    assert_eq!(state(&stage, email).await, "sent 1 sent");
    assert_eq!(recipients(&stage).await, ["carla@kunde.example accepted "]);
    assert_eq!(stage.world.text("SELECT reply FROM deliveries").await, "250 2.0.0 queued as 4711");
    stage.assert_free(anna).await;

    let given = stage.server.given();
    let text = String::from_utf8(given[0].bytes.clone()).unwrap();
    assert_eq!((given[0].to.as_slice(), given[0].size), (&[CARLA.to_owned()][..], Some(text.len() as u64)));
    for line in [
        format!("Message-ID: <{email}@muster.example>\r\n"),
        "From: <anna@muster.example>\r\n".to_owned(),
        "To: <carla@kunde.example>\r\n".to_owned(),
        "Subject: Angebot\r\n".to_owned(),
        format!("{}: {}\r\n", lockstep_mime::header::LOOP_HEADER, stage.world.organisation),
    ] {
        assert!(text.contains(&line), "{line:?} in {text}");
    }
    // The hint comes again, and a later attempt's hint without a claim: nothing happens.
    for attempt in [0, 1, 2, 3] {
        assert_eq!(stage.send(email, attempt).await, Settled::Done);
    }
    assert_eq!(stage.server.given().len(), 1);
}

/// Two workers get the same hint.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn doubled_hints_send_once() {
    let (stage, _, email) = stage(&[CARLA]).await;
    let handler = std::sync::Arc::new(lockstep_workers::outgoing::Handler::new(stage.context.clone()));
    let sending = (0..6).map(|_| {
        let (handler, envelope) = (handler.clone(), stage.envelope(lockstep_wire::SendEmail { email, attempt: 1 }));
        tokio::spawn(async move { lockstep_queue::Handler::handle(&*handler, envelope, Default::default()).await })
    });
    futures::future::join_all(sending).await;
    lockstep_test_support::eventually(
        Duration::from_secs(10),
        async || {
            stage.send(email, 1).await;
            state(&stage, email).await == "sent 1 sent"
        },
        "it is sent",
    )
    .await;
    assert_eq!(stage.server.given().len(), 1);
}

/// H9: who is refused is noted and the others get it; hidden copies stand in no header.
#[tokio::test]
async fn recipients_are_answered_one_by_one() {
    let (stage, _, email) = stage(&[CARLA, DORA]).await;
    stage.world.sql("UPDATE email_parties SET role = 'bcc' WHERE address = 'dora@kunde.example'").await;
    stage.server.answer(CARLA, Some(refused()));
    stage.send(email, 1).await;
    assert_eq!(state(&stage, email).await, "sent 1 sent");
    assert_eq!(
        recipients(&stage).await,
        ["carla@kunde.example refused 550 no such user", "dora@kunde.example accepted "]
    );
    let text = String::from_utf8(stage.server.given()[0].bytes.clone()).unwrap();
    assert!(!text.to_lowercase().contains("dora") && !text.to_lowercase().contains("bcc"));
    // It is sent, and yet somebody has to look at it.
    assert_eq!(stage.world.open_alerts().await, ["PartlyRefused error ×1"]);
    let told = "SELECT concat_ws(' ', scope, email_id, parameters->>'refused', parameters->>'recipients',
         parameters->'addresses'->>0) FROM alerts";
    assert_eq!(stage.world.text(told).await, format!("item {email} 1 2 {CARLA}"));
}

/// Who was refused stays so while another is put off: the alert comes with the end, and counts them all.
#[tokio::test]
async fn an_early_refusal_is_told_of_in_the_end() {
    let (stage, _, email) = stage(&[CARLA, DORA]).await;
    stage.server.answer(CARLA, Some(refused()));
    stage.server.answer(DORA, Some(greylisted()));
    stage.send(email, 1).await;
    assert_eq!(state(&stage, email).await, "retry 1 pending-send");
    assert!(stage.world.open_alerts().await.is_empty());
    stage.server.answer(DORA, None);
    stage.send(email, 2).await;
    assert_eq!(state(&stage, email).await, "sent 2 sent");
    assert_eq!(stage.world.open_alerts().await, ["PartlyRefused error ×1"]);
}

/// Who was put off is tried again alone; who has accepted is never in an envelope again.
#[tokio::test]
async fn only_who_was_put_off_is_tried_again() {
    let (stage, _, email) = stage(&[CARLA, DORA]).await;
    stage.server.answer(CARLA, Some(greylisted()));
    stage.send(email, 1).await;
    assert_eq!(state(&stage, email).await, "retry 1 pending-send");
    assert_eq!(
        recipients(&stage).await,
        ["carla@kunde.example pending 451 try again later", "dora@kunde.example accepted "]
    );
    stage.server.answer(CARLA, None);
    stage.send(email, 2).await;
    assert_eq!(state(&stage, email).await, "sent 2 sent");
    let given = stage.server.given();
    assert_eq!(given[1].to, [CARLA]);
    assert_eq!(given[0].bytes, given[1].bytes);
}

/// N8: the setting says how many attempts are made. The rest is given up in the end; the email was sent all the same, because somebody has it.
#[tokio::test]
async fn a_rest_that_never_accepts_is_given_up() {
    let (stage, _, email) = stage(&[CARLA, DORA]).await;
    stage.world.setting("email", "maximum_email_delivery_attempts", 3).await;
    stage.server.answer(CARLA, Some(greylisted()));
    for attempt in 1..=3 {
        stage.send(email, attempt).await;
    }
    assert_eq!(state(&stage, email).await, "sent 3 sent");
    assert_eq!(recipients(&stage).await[0], "carla@kunde.example refused 451 try again later");
    assert_eq!(stage.server.given().iter().filter(|given| given.to.contains(&DORA.to_owned())).count(), 1);
}

/// H4: ten attempts, pauses that double, then Failed with the server's words and an alert.
#[tokio::test]
async fn attempts_are_spread_and_end() {
    let (stage, _, email) = stage(&[CARLA]).await;
    let minutes = [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 390.0, 390.0];
    for (attempt, pause) in (1..).zip(minutes) {
        stage.server.at(Call::Open, Action::Fail(greylisted()));
        stage.send(email, attempt).await;
        assert_eq!(state(&stage, email).await, format!("retry {attempt} pending-send"));
        let due = due_in(&stage).await as f64 / 60.0;
        assert!((pause * 0.9 - 0.1..=pause + 0.1).contains(&due), "{due} minutes after attempt {attempt}");
        assert!(stage.world.open_alerts().await.is_empty());
    }
    stage.server.at(Call::Open, Action::Fail(greylisted()));
    stage.send(email, 10).await;
    assert_eq!(state(&stage, email).await, "failed 10 failed");
    assert_eq!(stage.world.open_alerts().await, ["DeliveryFailed error ×1"]);
    assert_eq!(stage.world.text("SELECT fault_message FROM deliveries").await, "451 try again later");
    assert!(stage.server.given().is_empty());
}

/// What the server will never take fails at once.
#[tokio::test]
async fn a_permanent_refusal_fails_at_once() {
    let (stage, anna, email) = stage(&[CARLA]).await;
    stage.server.answer(CARLA, Some(refused()));
    stage.send(email, 1).await;
    assert_eq!(state(&stage, email).await, "failed 1 failed");
    assert_eq!(recipients(&stage).await, ["carla@kunde.example refused 550 no such user"]);
    assert_eq!(stage.world.open_alerts().await, ["DeliveryFailed error ×1"]);
    assert_eq!(stage.world.text("SELECT parameters->>'message' FROM alerts").await, "550 no such user");
    stage.assert_free(anna).await;
}

/// M8: an email whose author is gone cannot be sent by anybody; nothing is opened for it.
#[tokio::test]
async fn m8_an_email_without_an_author_fails() {
    let (stage, anna, email) = stage(&[CARLA]).await;
    stage.world.sql("DELETE FROM email_parties WHERE role = 'from'").await;
    stage.send(email, 1).await;
    assert_eq!(state(&stage, email).await, "failed 1 failed");
    stage.world.assert_raised("NoSender").await;
    assert!(stage.server.given().is_empty());
    stage.assert_free(anna).await;
}

/// Taken over between the body and the point of no return: the gate refuses, and nothing is sent.
#[tokio::test]
async fn the_gate_refuses_an_attempt_that_was_taken_over() {
    for theft in ["run_id = gen_random_uuid()", "attempt = 2", "state = 'retry'", "state = 'unknown'"] {
        let (stage, anna, email) = stage(&[CARLA]).await;
        let pool = stage.world.pool().clone();
        let statement = sqlx::AssertSqlSafe(format!("UPDATE deliveries SET {theft}"));
        stage.server.meanwhile(Call::Written, move || {
            async move {
                sqlx::query(statement).execute(&pool).await.unwrap();
            }
            .boxed()
        });
        stage.send(email, 1).await;
        assert!(!stage.server.given()[0].taken, "{theft}");
        let row = "SELECT concat_ws(' ', state, attempt, COALESCE(fault_code, '-')) FROM deliveries";
        let after = stage.world.text(row).await;
        let expected = match theft {
            "attempt = 2" => "sending 2 -",
            "state = 'retry'" => "retry 1 -",
            "state = 'unknown'" => "unknown 1 -",
            _ => "sending 1 -",
        };
        assert_eq!(after, expected, "it is no longer this run's to end");
        stage.assert_free(anna).await;
    }
}

/// After the point of no return the answer is lost: unknown, a person is asked, and never a second send by itself.
#[tokio::test]
async fn a_lost_answer_is_unknown() {
    let (stage, _, email) = stage(&[CARLA]).await;
    let unclear = Fault::new(FaultScope::Mailbox, FaultClass::Unclear, "AnswerLost", "no answer to the final dot");
    stage.server.at(Call::Passed, Action::Fail(unclear));
    stage.send(email, 1).await;
    assert_eq!(state(&stage, email).await, "unknown 1 sending");
    assert_eq!(stage.world.open_alerts().await, ["OutcomeUnknown error ×1"]);
    stage.world.advance(86_400);
    let mut tx = stage.world.store.begin().await.unwrap();
    let claimed = lockstep_store::deliveries::claim(&mut tx, 10, Duration::from_secs(60)).await.unwrap();
    assert!(claimed.is_empty());
    tx.commit().await.unwrap();
    stage.send(email, 1).await;
    stage.send(email, 2).await;
    assert_eq!(stage.server.given().len(), 1);
}

/// The server's own refusal after the final dot is an answer, and not an unknown.
#[tokio::test]
async fn a_refusal_after_the_body_is_no_unknown() {
    let (stage, _, email) = stage(&[CARLA]).await;
    let full = Fault::new(FaultScope::Item, FaultClass::Transient, "MailboxFull", "452 full");
    stage.server.at(Call::Passed, Action::Fail(full));
    stage.send(email, 1).await;
    assert_eq!(state(&stage, email).await, "retry 1 pending-send");
    let spam = Fault::new(FaultScope::Item, FaultClass::Refused, "ContentRefused", "554 spam");
    stage.server.at(Call::Passed, Action::Fail(spam));
    stage.send(email, 2).await;
    assert_eq!(state(&stage, email).await, "failed 2 failed");
}

/// The same bytes at every attempt, attachments from storage included.
#[tokio::test]
async fn every_attempt_sends_the_same_bytes() {
    let (stage, _, email) = stage(&[CARLA]).await;
    let file: Vec<u8> = (0..700_001_u32).map(|at| at.to_le_bytes()[(at % 3) as usize]).collect();
    let mut writer = Writer::new(&stage.world.store);
    writer.write(&file).await.unwrap();
    let content = writer.finish().await.unwrap();
    sqlx::query(
        "INSERT INTO email_attachments (id, email_id, position, name, media_type, size_bytes, content_digest)
         VALUES (gen_random_uuid(), $1, 0, 'Grüße.bin', 'application/octet-stream', $2, $3)",
    )
    .bind(email.0)
    .bind(i64::try_from(file.len()).unwrap())
    .bind(content.digest.as_slice())
    .execute(stage.world.pool())
    .await
    .unwrap();
    for attempt in 1..=2 {
        stage.server.at(Call::Written, Action::Fail(lost()));
        stage.send(email, attempt).await;
        stage.world.advance(3_600);
    }
    stage.send(email, 3).await;
    let given = stage.server.given();
    assert_eq!(given.iter().map(|given| given.taken).collect::<Vec<_>>(), [false, false, true]);
    assert!(given[0].bytes == given[1].bytes && given[1].bytes == given[2].bytes);
    assert!(given.iter().all(|given| given.size == Some(given.bytes.len() as u64)), "SIZE is exact");
    let parsed = lockstep_mime::message::parse(&given[0].bytes, &lockstep_mime::Limits::default());
    assert_eq!((parsed.attachments.len(), parsed.attachments[0].size), (1, file.len() as u64));
    assert_eq!(parsed.attachments[0].name, "Grüße.bin");
}

/// The database is away just when the server has accepted: only this run knows it, so it is patient.
#[tokio::test]
async fn the_result_is_recorded_with_patience() {
    let (stage, _, email) = stage(&[CARLA]).await;
    stage
        .world
        .sql(
            "CREATE SEQUENCE tries;
             CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF NEW.state = 'sent' AND nextval('tries') < 4 THEN
                     RAISE EXCEPTION 'starting up' USING ERRCODE = '57P03';
                 END IF;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER away BEFORE UPDATE ON deliveries FOR EACH ROW EXECUTE FUNCTION away()",
        )
        .await;
    assert_eq!(stage.send(email, 1).await, Settled::Done);
    assert_eq!(state(&stage, email).await, "sent 1 sent");
    assert_eq!(stage.world.number("SELECT last_value FROM tries").await, 4);
    assert_eq!(stage.server.given().len(), 1);
}

/// No permit: not an attempt, and no connection.
#[tokio::test]
async fn without_a_permit_the_send_waits() {
    let (stage, anna, email) = stage(&[CARLA]).await;
    let (one, two) = (stage.admission(anna, false), stage.admission(anna, false));
    stage.coord.admit(&one).await.unwrap();
    stage.coord.admit(&two).await.unwrap();
    assert_eq!(stage.send(email, 1).await, Settled::Done);
    assert_eq!(state(&stage, email).await, "pending 0 pending-send");
    assert!(stage.server.calls().is_empty());
    stage.coord.release(&two).await.unwrap();
    stage.send(email, 1).await;
    assert_eq!(state(&stage, email).await, "sent 1 sent", "the last permit is kept for sending");
}

/// A late answer of a run that was given up: what was accepted stays accepted, whatever else has happened since.
#[tokio::test]
async fn a_late_acceptance_is_not_forgotten() {
    let (stage, _, email) = stage(&[CARLA]).await;
    let pool = stage.world.pool().clone();
    stage.server.meanwhile(Call::Passed, move || {
        async move {
            sqlx::query("UPDATE deliveries SET state = 'unknown'").execute(&pool).await.unwrap();
        }
        .boxed()
    });
    stage.send(email, 1).await;
    assert_eq!(state(&stage, email).await, "sent 1 sent", "the very run that was given up has learnt it after all");

    let (stage, _, email) = self::stage(&[CARLA, DORA]).await;
    stage.server.answer(DORA, Some(refused()));
    let pool = stage.world.pool().clone();
    stage.server.meanwhile(Call::Passed, move || {
        async move {
            sqlx::query("UPDATE deliveries SET state = 'retry', run_id = NULL").execute(&pool).await.unwrap();
        }
        .boxed()
    });
    stage.send(email, 1).await;
    assert_eq!(state(&stage, email).await, "retry 1 sending");
    let rows = recipients(&stage).await;
    assert!(rows[0].starts_with("carla@kunde.example accepted"), "never in an envelope again: {rows:?}");
    assert!(rows[1].starts_with("dora@kunde.example pending"), "a stranger's refusal does not count: {rows:?}");
}
