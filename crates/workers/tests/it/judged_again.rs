//! C16, F25: messages that were refused are judged again: when a start date is moved back, and when somebody asks for it.

use lockstep_model::{id::MailboxId, mailbox::TrackOption, remote::RemoteKey};
use lockstep_store::item_failures::{self, Decided, JudgedAgain};
use lockstep_wire::Outcome;

use crate::{
    server::{Action, Call},
    stage::{ANNA, Stage, plain},
};

const START: &str = "UPDATE mailboxes SET process_email_from = '2026-11-23 09:00+00'";
const EARLIER: &str = "UPDATE mailboxes SET process_email_from = '2026-11-23 07:00+00'";

async fn again(stage: &Stage, mailbox: MailboxId, which: JudgedAgain<'_>) -> u64 {
    let mut tx = stage.world.store.begin().await.unwrap();
    let marked = item_failures::judge_again(&mut tx, mailbox, which, "test").await.unwrap();
    tx.commit().await.unwrap();
    marked
}

/// Anna tracks all email received after nine; what is in her mailbox came at eight.
async fn too_old(count: usize) -> (Stage, MailboxId) {
    let (stage, anna) = Stage::with_anna().await;
    stage.world.sql(START).await;
    for n in 0..count {
        let key = format!("k{n:03}");
        stage.server.put(ANNA, &key, plain(&key));
    }
    assert_eq!(stage.run(anna).await.counts.refused as usize, count);
    stage.server.calls();
    (stage, anna)
}

const ALL: JudgedAgain<'static> = JudgedAgain { reason: None, seen_since: None, without_record: true };

/// C16: with an earlier start all of it is judged again, headers first, in pages; nothing becomes two records, and
/// afterwards a cycle is as quiet as before.
#[tokio::test]
async fn c16_an_earlier_start_brings_what_was_too_old() {
    let (stage, anna) = too_old(120).await;
    assert_eq!(stage.run(anna).await.counts.seen, 0);
    assert_eq!(again(&stage, anna, ALL).await, 120);
    let report = stage.run(anna).await;
    assert_eq!((report.counts.seen, report.counts.refused), (120, 120), "the same rules, the same result");
    let calls = stage.server.calls();
    assert!(
        calls.contains(&"headers 50".to_owned()) && !calls.iter().any(|call| call.starts_with("fetch")),
        "{calls:?}"
    );

    stage.world.sql(EARLIER).await;
    assert_eq!(stage.run(anna).await.counts.seen, 0, "a rule alone moves nothing");
    again(&stage, anna, ALL).await;
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.counts.tracked, stage.emails().await), (Outcome::Completed, 120, 120));
    let left = "SELECT count(*) FROM remote_items WHERE next_attempt_at IS NOT NULL OR reason IS NOT NULL";
    assert_eq!(stage.world.number(left).await, 0);
    assert_eq!(again(&stage, anna, ALL).await, 0, "what is a record stays one");
    let before = stage.world.imprint().await;
    assert_eq!(stage.run(anna).await.counts.seen, 0);
    assert_eq!(stage.world.imprint().await, before, "a quiet cycle writes nothing");
}

/// Broken off in the middle, what was judged is written and what was not is still to be judged.
#[tokio::test]
async fn c16_a_break_in_the_middle_loses_and_doubles_nothing() {
    let (stage, anna) = too_old(60).await;
    stage.world.sql(EARLIER).await;
    again(&stage, anna, ALL).await;
    stage.server.at(Call::Fetch("k030".to_owned()), Action::Panic);
    assert!(stage.handle(stage.hint(anna).await).await.is_err());
    let open = "SELECT count(*) FROM remote_items WHERE next_attempt_at IS NOT NULL AND disposition = 'refused'";
    assert_eq!(stage.world.number(open).await, 60 - stage.emails().await);
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, stage.emails().await), (Outcome::Completed, 60));
    assert_eq!(stage.world.number("SELECT count(*) FROM email_mailboxes").await, 60);
}

/// A run that had read the old rules is fenced, so that it cannot undo what was asked for.
#[tokio::test]
async fn a_run_under_way_does_not_answer_for_the_new_rules() {
    let (stage, anna) = too_old(1).await;
    stage.world.sql(EARLIER).await;
    again(&stage, anna, ALL).await;
    let store = stage.world.store.clone();
    stage.server.meanwhile(Call::Headers, move || {
        Box::pin(async move {
            let mut tx = store.begin().await.unwrap();
            item_failures::judge_again(&mut tx, anna, ALL, "test").await.unwrap();
            tx.commit().await.unwrap();
        })
    });
    assert_eq!(stage.run(anna).await.outcome, Outcome::LeaseLost);
    assert_eq!(stage.emails().await, 0);
    assert_eq!(stage.run(anna).await.counts.tracked, 1);
}

/// C16: mail whose record is gone comes back with an earlier start, and only then; what a person dropped does not.
#[tokio::test]
async fn c16_a_deleted_record_comes_back_and_what_was_dropped_does_not() {
    let (stage, anna) = Stage::with_anna().await;
    for key in ["dropped", "deleted", "kept"] {
        stage.server.put(ANNA, key, plain(key));
    }
    stage.server.at(Call::Fetch("dropped".to_owned()), Action::Fail(crate::stage::item_fault()));
    stage.run(anna).await;
    let key = RemoteKey::new("dropped").unwrap();
    let mut tx = stage.world.store.begin().await.unwrap();
    item_failures::drop_item(&mut tx, anna, &key, "test").await.unwrap();
    tx.commit().await.unwrap();
    stage.world.sql("DELETE FROM emails WHERE message_id = 'deleted@kunde.example'").await;
    assert_eq!(again(&stage, anna, JudgedAgain::default()).await, 0, "records that are gone only with a start date");
    assert_eq!(stage.run(anna).await.counts.seen, 0);
    assert_eq!(again(&stage, anna, ALL).await, 1);
    assert_eq!(stage.run(anna).await.counts.tracked, 1);
    assert_eq!(stage.emails().await, 2);
    assert_eq!(stage.items(anna).await, ["deleted tracked", "dropped refused DroppedByHand", "kept tracked"]);
    let which = JudgedAgain { reason: Some(item_failures::DROPPED), ..JudgedAgain::default() };
    assert_eq!(again(&stage, anna, which).await, 1, "named, it is judged again, too");
    assert_eq!(stage.run(anna).await.counts.tracked, 1);
}

/// F25: one refused message is judged again by the rules of now; refused again, it is left alone again.
#[tokio::test]
async fn f25_one_message_is_released_after_its_rule_was_changed() {
    let stage = Stage::new().await;
    let anna = stage.user("anna", TrackOption::InResponse).await;
    for key in ["k0", "k1"] {
        stage.server.put(ANNA, key, plain(key));
    }
    stage.run(anna).await;
    let release = async || {
        let mut tx = stage.world.store.begin().await.unwrap();
        let key = RemoteKey::new("k0").unwrap();
        assert_eq!(item_failures::release(&mut tx, anna, &key, "test").await.unwrap(), Decided::Done);
        tx.commit().await.unwrap();
    };
    release().await;
    assert_eq!(stage.run(anna).await.counts.refused, 1);
    assert_eq!(stage.run(anna).await.counts.seen, 0);
    stage.world.sql("UPDATE users SET track_option = 'all'").await;
    assert_eq!(stage.run(anna).await.counts.seen, 0, "a rule alone moves nothing");
    release().await;
    assert_eq!(stage.run(anna).await.counts.tracked, 1);
    assert_eq!(stage.items(anna).await, ["k0 tracked", "k1 refused NoCorrelationMatch"]);
}

/// A message that kills whoever judges it again is set aside like a new one.
#[tokio::test]
async fn a_killer_among_the_refused_is_found() {
    let (stage, anna) = too_old(3).await;
    stage.world.sql(EARLIER).await;
    again(&stage, anna, ALL).await;
    for claims in 1..=4 {
        stage.world.sql(&format!("UPDATE lane_schedules SET claims = {claims}")).await;
        stage.server.at(Call::Fetch("k001".to_owned()), Action::Panic);
        assert!(stage.handle(stage.hint(anna).await).await.is_err(), "claim {claims}");
    }
    stage.world.sql("UPDATE lane_schedules SET claims = 5").await;
    assert_eq!(stage.run(anna).await.outcome, Outcome::Completed);
    assert_eq!(stage.items(anna).await, ["k000 tracked", "k001 quarantined WorkerDied", "k002 tracked"]);
}
