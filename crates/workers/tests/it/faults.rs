//! A page the database will not take: the offender is set aside, the others are written; collisions set nobody aside.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::FutureExt;
use lockstep_model::{clock::Clock, fault::FaultScope, mailbox::TrackOption, remote::RemoteKey};
use lockstep_store::{
    PoolOptions, Store,
    item_failures::{self, Decided},
};
use lockstep_wire::Outcome;

use crate::{
    seed::{options, vault},
    server::{Action, Call},
    stage::{ANNA, Stage, item_fault, lost, mail, plain},
};

/// Makes the database refuse emails whose subject holds the word, with an error of this class.
async fn refuse(stage: &Stage, word: &str, code: &str) {
    stage
        .world
        .sql(&format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF NEW.subject LIKE '%{word}%' THEN RAISE EXCEPTION 'refused' USING ERRCODE = '{code}'; END IF;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON emails FOR EACH ROW EXECUTE FUNCTION refuse()"
        ))
        .await;
}

#[tokio::test]
async fn an_item_the_database_refuses_is_set_aside_alone() {
    for code in ["22023", "23514", "54000"] {
        let (stage, anna) = Stage::with_anna().await;
        refuse(&stage, "poison", code).await;
        for key in ["k0", "poison", "k2"] {
            stage.server.put(ANNA, key, plain(key));
        }
        let report = stage.run(anna).await;
        assert_eq!((report.outcome, report.counts.tracked, report.counts.failed), (Outcome::Completed, 2, 1), "{code}");
        assert_eq!(stage.items(anna).await, ["k0 tracked", "k2 tracked", "poison quarantined ItemUnwritable"]);
        assert!(stage.has_cursor(anna).await);
        assert_eq!(stage.world.open_alerts().await, ["ItemQuarantined warning ×1"]);
    }
}

/// Deadlocks and waits that took too long are nobody's fault: the page is tried again, and later, whole.
#[tokio::test]
async fn a_collision_sets_nobody_aside() {
    for code in ["40P01", "40001", "55P03", "57014"] {
        let (stage, anna) = Stage::with_anna().await;
        refuse(&stage, "collides", code).await;
        for key in ["k0", "collides", "k2"] {
            stage.server.put(ANNA, key, plain(key));
        }
        let report = stage.run(anna).await;
        assert_eq!((report.outcome, report.counts.failed), (Outcome::Failed, 0), "{code}");
        let fault = report.fault.unwrap();
        assert!(fault.may_heal() && fault.code == "PageCollided", "{code}: {fault}");
        assert!(stage.items(anna).await.iter().all(|item| !item.contains("quarantined")), "{code}");
        assert!(!stage.has_cursor(anna).await);
        stage.world.sql("DROP TRIGGER refuse ON emails").await;
        assert_eq!(stage.run(anna).await.outcome, Outcome::Completed);
        assert_eq!(stage.emails().await, 3, "{code}");
    }
}

/// M8: what the database says that nobody has thought of is a mistake of ours: told as one, and nothing is lost by it.
#[tokio::test]
async fn m8_what_nobody_has_thought_of_is_told() {
    let (stage, anna) = Stage::with_anna().await;
    refuse(&stage, "odd", "P0001").await;
    stage.server.put(ANNA, "odd", plain("odd"));
    let report = stage.run(anna).await;
    let fault = report.fault.unwrap();
    assert_eq!((report.outcome, fault.code.as_str(), fault.local), (Outcome::Failed, "InternalError", true));
    assert!(stage.items(anna).await.is_empty() && !stage.has_cursor(anna).await);
    stage.world.sql("DROP TRIGGER refuse ON emails").await;
    assert_eq!(stage.run(anna).await.counts.tracked, 1);
}

/// M8: a database that is there, and does not answer in time what a listing asks it.
#[tokio::test]
async fn m8_a_database_that_does_not_answer_in_time_is_told() {
    let (mut stage, anna) = Stage::with_anna().await;
    stage.server.put(ANNA, "k0", plain("k0"));
    let hurried = PoolOptions { statement_timeout: Duration::from_millis(500), ..options(4) };
    stage.context.store =
        Store::open(stage.world.database.url(), &hurried, stage.world.clock.clone(), vault()).unwrap();
    let (pool, holder) = (stage.world.pool().clone(), Arc::new(Mutex::new(None)));
    let held = Arc::clone(&holder);
    stage.server.meanwhile(Call::Pull, move || {
        async move {
            let mut lock = pool.begin().await.unwrap();
            sqlx::query("LOCK TABLE remote_items").execute(&mut *lock).await.unwrap();
            *held.lock().unwrap() = Some(lock);
        }
        .boxed()
    });
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.fault.unwrap().code.as_str()), (Outcome::Failed, "DatabaseUnavailable"));
    let lock = holder.lock().unwrap().take().unwrap();
    lock.rollback().await.unwrap();
    assert_eq!(stage.run(anna).await.counts.tracked, 1);
}

/// M8: a profile whose protocol this installation does not speak.
#[tokio::test]
async fn m8_a_protocol_nobody_speaks_is_told() {
    let (stage, anna) = Stage::with_anna().await;
    stage.world.sql("UPDATE email_server_profiles SET incoming_protocol = 'other'").await;
    let fault = stage.run(anna).await.fault.unwrap();
    assert_eq!((fault.scope, fault.code.as_str()), (FaultScope::Profile, "UnknownProtocol"));
    assert!(stage.server.calls().is_empty());
}

/// A collision that passes is not even noticed.
#[tokio::test]
async fn a_page_that_collided_once_is_written_again() {
    let (stage, anna) = Stage::with_anna().await;
    stage
        .world
        .sql(
            "CREATE SEQUENCE tries;
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF nextval('tries') < 3 THEN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END IF;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON emails FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .await;
    stage.server.put(ANNA, "k0", plain("k0"));
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.counts.tracked), (Outcome::Completed, 1));
}

/// Every fault of a session is reported as the connector made it.
#[tokio::test]
async fn faults_are_reported_as_they_were_made() {
    for call in [Call::Open, Call::Pull, Call::Fetch("k0".to_owned())] {
        let (stage, anna) = Stage::with_anna().await;
        stage.server.put(ANNA, "k0", plain("k0"));
        stage.server.at(call.clone(), Action::Fail(lost()));
        let report = stage.run(anna).await;
        assert_eq!((report.outcome, report.fault), (Outcome::Failed, Some(lost())), "at {call:?}");
        assert_eq!(report.ended_at, stage.world.clock.now());
    }
}

#[tokio::test]
async fn missing_credentials_are_a_fault_of_the_mailbox() {
    let (stage, anna) = Stage::with_anna().await;
    stage.world.sql("UPDATE mailboxes SET allow_credentials = false").await;
    let fault = stage.run(anna).await.fault.unwrap();
    assert_eq!((fault.code.as_str(), fault.local), ("CredentialsMissing", true), "it says nothing of the server");
    stage.world.sql("UPDATE mailboxes SET allow_credentials = true, sealed_secret = '\\x00'").await;
    let fault = stage.run(anna).await.fault.unwrap();
    assert_eq!((fault.code.as_str(), fault.local), ("CredentialsUnreadable", true));
    stage.world.sql("UPDATE email_server_profiles SET incoming_protocol = 'other'").await;
    assert!(stage.server.calls().is_empty());
}

/// F21: what is too large is refused by its announced size; one that lied is set aside when it has come too far.
#[tokio::test]
async fn what_is_too_large_is_never_read_to_its_end() {
    let (stage, anna) = Stage::with_anna().await;
    stage.world.sql("UPDATE organisations SET max_message_bytes = 4000").await;
    stage.server.put(ANNA, "honest", mail("honest", "a@b.example", ANNA, "", &"x".repeat(5_000)));
    stage.server.put(ANNA, "liar", mail("liar", "a@b.example", ANNA, "", &"x".repeat(50_000)));
    stage.server.change(ANNA, "liar", |m| m.announced = Some(100));
    stage.server.put(ANNA, "small", plain("small"));
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.counts.tracked), (Outcome::Completed, 1));
    assert_eq!(stage.items(anna).await, ["honest refused TooLarge", "liar quarantined EmailTooLarge", "small tracked"]);
    assert!(!stage.server.calls().contains(&"fetch honest".to_owned()));
    stage.world.advance(86_400);
    assert_eq!(stage.run(anna).await.counts.seen, 0, "it will not get smaller");
}

/// Gone between listing and reading: set aside, and forgotten when listings no longer show it.
#[tokio::test]
async fn an_item_that_vanishes_stops_nobody() {
    let stage = Stage::new().await;
    let anna = stage.user("anna", TrackOption::InResponse).await;
    stage.server.put(ANNA, "k0", plain("k0"));
    stage.server.put(ANNA, "k1", plain("k1"));
    stage.server.change(ANNA, "k0", |m| m.vanished = true);
    let report = stage.run(anna).await;
    assert_eq!((report.counts.failed, report.counts.refused), (1, 1));
    assert_eq!(stage.items(anna).await, ["k0 quarantined ItemGone", "k1 refused NoCorrelationMatch"]);
}

/// A header that the server refuses to show, of a message that it lists: in its own words, tried again as one whose body
/// it refuses is, and given up in the end. F22: five more attempts after the first, then it is kept, with a way to release
/// it.
#[tokio::test]
async fn f22_a_header_that_is_refused_is_asked_for_again() {
    let stage = Stage::new().await;
    let anna = stage.user("anna", TrackOption::InResponse).await;
    stage.server.put(ANNA, "k0", plain("k0"));
    stage.server.change(ANNA, "k0", |m| m.withheld = Some(item_fault()));
    let text = "SELECT concat_ws('|', code, parameters->>'message', parameters->>'next') FROM alerts";
    for attempt in 1..=6_u32 {
        assert_eq!(stage.run(anna).await.counts.failed, 1, "attempt {attempt}");
        assert_eq!(stage.items(anna).await, ["k0 quarantined ItemUnavailable"]);
        let next = if attempt < 6 { "it is tried again by itself" } else { "it is not tried again by itself" };
        assert_eq!(stage.world.text(text).await, format!("ItemQuarantined|-ERR cannot read this one|{next}"));
        stage.world.advance(900);
    }
    assert_eq!(stage.run(anna).await.counts.seen, 0, "given up");
    stage.server.change(ANNA, "k0", |m| m.withheld = None);
    let key = RemoteKey::new("k0").unwrap();
    let mut tx = stage.world.store.begin().await.unwrap();
    assert_eq!(item_failures::release(&mut tx, anna, &key, "test").await.unwrap(), Decided::Done);
    tx.commit().await.unwrap();
    stage.run(anna).await;
    assert_eq!(stage.items(anna).await, ["k0 refused NoCorrelationMatch"]);
    assert!(stage.world.open_alerts().await.is_empty());
}

/// The session ends over a header as it may over a body: what was read before stays decided, and the message over which
/// it ended is set aside after its second try, so that its neighbours are read.
#[tokio::test]
async fn a_header_that_ends_sessions_does_not_stop_the_mailbox() {
    let stage = Stage::new().await;
    let anna = stage.user("anna", TrackOption::InResponse).await;
    for key in ["k0", "k1", "k2"] {
        stage.server.put(ANNA, key, plain(key));
    }
    for (before, refused) in [(1, 1), (0, 0)] {
        stage.server.at(Call::Headers, Action::BreakOff(before, lost()));
        let broken = stage.run(anna).await;
        assert_eq!((broken.outcome, broken.counts.refused, broken.counts.failed), (Outcome::Failed, refused, 1));
    }
    let items = ["k0 refused NoCorrelationMatch", "k1 quarantined ConnectionLost", "k2 refused NoCorrelationMatch"];
    assert_eq!(stage.run(anna).await.outcome, Outcome::Completed);
    assert_eq!(stage.items(anna).await, items);
    stage.world.advance(15 * 60);
    assert_eq!(stage.run(anna).await.counts.refused, 1, "the server has healed");
    // What ends our own time counts against nobody.
    stage.server.put(ANNA, "k3", plain("k3"));
    stage.server.at(Call::Headers, Action::BreakOff(0, lost().local()));
    assert_eq!(stage.run(anna).await.counts.failed, 0);
}

/// A connector that gives fewer headers than it was asked for: no item falls through.
#[tokio::test]
async fn a_missing_header_loses_no_item() {
    let stage = Stage::new().await;
    let anna = stage.user("anna", TrackOption::InResponse).await;
    stage.server.put(ANNA, "k0", plain("k0"));
    stage.server.put(ANNA, "k1", plain("k1"));
    stage.server.forget_a_header(true);
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.fault.unwrap().code.as_str()), (Outcome::Failed, "HeadersMissing"));
    assert!(!stage.has_cursor(anna).await);
    stage.server.forget_a_header(false);
    assert_eq!(stage.run(anna).await.counts.refused, 2);
}

/// A message over which the server ends every session is set aside after its second try, so that what stands behind it is
/// read; it is tried again later.
#[tokio::test]
async fn a_message_that_ends_sessions_does_not_stop_the_mailbox() {
    let (stage, anna) = Stage::with_anna().await;
    for key in ["k0", "k1", "k2", "k3"] {
        stage.server.put(ANNA, key, plain(key));
    }
    for tracked in [1, 0] {
        stage.server.at(Call::Fetch("k1".to_owned()), Action::Fail(lost()));
        let broken = stage.run(anna).await;
        assert_eq!((broken.outcome, broken.counts.tracked, broken.counts.failed), (Outcome::Failed, tracked, 1));
    }
    let next = stage.run(anna).await;
    assert_eq!((next.outcome, next.counts.tracked), (Outcome::Completed, 2), "its neighbours are read");
    assert_eq!(stage.items(anna).await[1], "k1 quarantined ConnectionLost");
    stage.world.advance(15 * 60);
    assert_eq!(stage.run(anna).await.counts.tracked, 1, "the server has healed");
    assert_eq!(stage.emails().await, 4);
    assert_eq!(stage.world.open_alerts().await, [""; 0], "and nothing is left to tell");
}
