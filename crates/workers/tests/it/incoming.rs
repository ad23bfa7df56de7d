//! Page by page: what is committed when, and what a next run finds.

use futures::FutureExt;
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    mailbox::Lane,
};
use lockstep_queue::Outcome as Settled;
use lockstep_wire::{Outcome, SyncLane};

use crate::{
    server::{Action, Call},
    stage::{ANNA, Stage, item_fault, lost, plain},
};

fn fill(stage: &Stage, count: usize) {
    for at in 0..count {
        stage.server.put(ANNA, &format!("k{at:03}"), plain(&format!("m{at:03}")));
    }
}

/// Pages of fifty, each committed by itself; the cursor with the last one only.
#[tokio::test]
async fn pages_are_committed_one_by_one_and_the_cursor_with_the_last() {
    let (stage, anna) = Stage::with_anna().await;
    fill(&stage, 120);
    stage.server.at_nth(Call::Pull, 3, Action::Fail(lost()));
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.counts.seen, report.counts.tracked), (Outcome::Failed, 100, 100));
    assert_eq!(report.fault.unwrap().code, "ConnectionLost");
    assert_eq!((stage.emails().await, stage.has_cursor(anna).await), (100, false));

    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.counts.seen, report.counts.tracked), (Outcome::Completed, 20, 20));
    assert_eq!((stage.emails().await, stage.has_cursor(anna).await), (120, true));
    assert_eq!(
        stage
            .world
            .number("SELECT count(*) FROM feed_entries WHERE record_kind = 'email' AND change = 'created'")
            .await,
        120
    );
    assert_eq!(stage.world.number("SELECT count(*) FROM email_mailboxes").await, 120);
}

/// A cycle that finds nothing writes nothing at all.
#[tokio::test]
async fn nothing_new_writes_nothing() {
    let (stage, anna) = Stage::with_anna().await;
    fill(&stage, 3);
    stage.run(anna).await;
    stage.server.calls();
    let before = stage.world.imprint().await;
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.counts.seen), (Outcome::Completed, 0));
    assert_eq!(stage.server.calls(), ["open anna@muster.example", "pull", "close"]);
    assert!(stage.world.imprint().await == before, "some row was written");
}

/// Found again under the same keys, nothing is imported twice: not after a lost cursor, not over runs.
#[tokio::test]
async fn a_lost_cursor_doubles_nothing() {
    let (stage, anna) = Stage::with_anna().await;
    fill(&stage, 5);
    stage.run(anna).await;
    stage.world.sql("UPDATE lanes SET cursor = ''").await;
    stage.server.calls();
    let report = stage.run(anna).await;
    assert_eq!((report.counts.seen, stage.emails().await), (0, 5));
    assert!(!stage.server.calls().iter().any(|call| call.starts_with("fetch")));
    stage.server.put(ANNA, "new", plain("new"));
    assert_eq!(stage.run(anna).await.counts.tracked, 1);
    assert_eq!(stage.emails().await, 6);
}

/// The connection is lost in the middle of message k: what came before it stays, without the cursor.
#[tokio::test]
async fn a_lost_connection_costs_only_what_was_not_read() {
    let (stage, anna) = Stage::with_anna().await;
    fill(&stage, 6);
    stage.server.at(Call::Fetch("k003".to_owned()), Action::BreakOff(60, lost()));
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.counts.tracked), (Outcome::Failed, 3));
    let items = ["k000 tracked", "k001 tracked", "k002 tracked", "k003 quarantined ConnectionLost"];
    assert_eq!(stage.items(anna).await, items);
    assert!(!stage.has_cursor(anna).await);
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.counts.tracked), (Outcome::Completed, 3));
    assert_eq!((stage.emails().await, stage.has_cursor(anna).await), (6, true));
}

/// F22: one bad item never stops a mailbox: it is set aside, told of, tried again when due, and given up in the end.
#[tokio::test]
async fn a_bad_item_is_set_aside_and_tried_again() {
    let (stage, anna) = Stage::with_anna().await;
    fill(&stage, 4);
    for attempt in 1..=6_u32 {
        stage.server.at(Call::Fetch("k001".to_owned()), Action::Fail(item_fault()));
        let report = stage.run(anna).await;
        assert_eq!((report.outcome, report.counts.failed), (Outcome::Completed, 1), "attempt {attempt}");
        assert_eq!(report.counts.tracked, if attempt == 1 { 3 } else { 0 });
        assert_eq!(
            stage.items(anna).await,
            ["k000 tracked", "k001 quarantined ItemUnavailable", "k002 tracked", "k003 tracked"]
        );
        assert_eq!(stage.world.open_alerts().await, [format!("ItemQuarantined warning ×{attempt}")]);
        let report = stage.run(anna).await;
        assert_eq!((report.counts.seen, report.counts.failed), (0, 0), "not before its time");
        stage.world.advance(900);
    }
    let report = stage.run(anna).await;
    assert_eq!(report.counts.seen, 0, "given up");
    assert_eq!(stage.world.number("SELECT attempts FROM remote_items WHERE disposition = 'quarantined'").await, 6);
}

/// An item's alert ends with what was wrong with that very item: it was read, refused, or is gone from the server.
#[tokio::test]
async fn the_alert_about_an_item_ends_with_its_cause() {
    let (stage, anna) = Stage::with_anna().await;
    stage.world.sql("UPDATE organisations SET max_message_bytes = 20000").await;
    fill(&stage, 4);
    let open =
        "SELECT parameters->>'item' FROM alerts WHERE code = 'ItemQuarantined' AND resolved_at IS NULL ORDER BY 1";
    for key in ["k000", "k001", "k002"] {
        stage.server.at(Call::Fetch(key.to_owned()), Action::Fail(item_fault()));
    }
    stage.run(anna).await;
    assert_eq!(stage.world.texts(open).await, ["k000", "k001", "k002"], "one an item");
    let words = "SELECT DISTINCT concat_ws('|', scope, mailbox_id, parameters->>'message') FROM alerts";
    assert_eq!(stage.world.text(words).await, format!("item|{anna}|-ERR cannot read this one"));

    stage.server.put(ANNA, "k9", plain("k9"));
    stage.run(anna).await;
    assert_eq!(stage.world.texts(open).await.len(), 3, "that the others are read ends nothing");
    stage.world.advance(900);
    stage.server.at(Call::Fetch("k000".to_owned()), Action::Fail(item_fault()));
    stage.server.change(ANNA, "k001", |m| m.announced = Some(50_000));
    stage.server.remove(ANNA, "k002");
    stage.run(anna).await;
    assert_eq!(stage.items(anna).await[..2], ["k000 quarantined ItemUnavailable", "k001 refused TooLarge"]);
    assert_eq!(stage.world.texts(open).await, ["k000", "k002"], "k001 is refused");
    stage.world.advance(900);
    stage.run(anna).await;
    assert!(stage.world.texts(open).await.is_empty(), "k000 was read, and k002 is gone for good");
    assert_eq!(stage.world.number("SELECT max(occurrences) FROM alerts").await, 2);
}

/// What a listing warns of stands until a later listing is without it.
#[tokio::test]
async fn a_warning_of_the_listing_ends_with_a_listing_without_it() {
    let (stage, anna) = Stage::with_anna().await;
    fill(&stage, 60);
    let reset = Fault::new(FaultScope::Mailbox, FaultClass::Transient, "UidlReset", "renamed");
    stage.server.warn(Some(reset));
    assert_eq!(stage.run(anna).await.counts.tracked, 60);
    assert_eq!(stage.world.open_alerts().await, ["UidlReset warning ×1"], "pages after the first say nothing of it");
    stage.server.warn(None);
    stage.run(anna).await;
    assert_eq!(stage.world.open_alerts().await, ["UidlReset warning ×1"], "nothing was listed");
    stage.server.put(ANNA, "new", plain("new"));
    stage.run(anna).await;
    assert!(stage.world.open_alerts().await.is_empty());
}

#[tokio::test]
async fn an_item_that_heals_becomes_a_record() {
    let (stage, anna) = Stage::with_anna().await;
    fill(&stage, 2);
    stage.server.at(Call::Fetch("k000".to_owned()), Action::BreakOff(80, item_fault()));
    assert_eq!(stage.run(anna).await.counts.failed, 1);
    stage.world.advance(900);
    let report = stage.run(anna).await;
    assert_eq!((report.counts.seen, report.counts.tracked), (1, 1));
    assert_eq!(stage.items(anna).await, ["k000 tracked", "k001 tracked"]);
    assert_eq!(stage.emails().await, 2);
    let before = stage.world.imprint().await;
    stage.run(anna).await;
    assert!(stage.world.imprint().await == before, "and that is that");
}

/// The fence: somebody changed the mailbox while a page was read. Nothing of the page is written.
#[tokio::test]
async fn a_run_that_was_overtaken_writes_nothing() {
    let (stage, anna) = Stage::with_anna().await;
    fill(&stage, 60);
    let store = stage.world.store.clone();
    stage.server.meanwhile(Call::Fetch("k055".to_owned()), move || {
        async move {
            let mut tx = store.begin().await.unwrap();
            lockstep_store::lanes::realign(&mut tx, &[anna]).await.unwrap();
            tx.commit().await.unwrap();
        }
        .boxed()
    });
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.counts.tracked, report.fault), (Outcome::LeaseLost, 50, None));
    assert_eq!((stage.emails().await, stage.has_cursor(anna).await), (50, false), "the first page stays");
    assert_eq!(stage.run(anna).await.counts.tracked, 10);
    assert_eq!(stage.emails().await, 60);
}

#[tokio::test]
async fn a_stale_hint_opens_no_connection() {
    let (stage, anna) = Stage::with_anna().await;
    fill(&stage, 1);
    let hint = stage.hint(anna).await;
    for stale in [hint.generation - 1, hint.generation + 1] {
        let settled = stage.handle(SyncLane { generation: stale, ..hint.clone() }).await.unwrap();
        assert_eq!(settled, Settled::Done);
    }
    let nobody = SyncLane { mailbox: lockstep_model::id::MailboxId::new(), lane: Lane::Incoming, generation: 1 };
    assert_eq!(stage.handle(nobody).await.unwrap(), Settled::Done);
    stage.world.sql("UPDATE lane_schedules SET enabled = false").await;
    assert_eq!(stage.handle(hint).await.unwrap(), Settled::Done);
    assert!(stage.server.calls().is_empty() && stage.reports().is_empty());
}

/// A long mailbox stops at its budget and says that there is more.
#[tokio::test]
async fn a_run_at_its_budget_yields() {
    let (mut stage, anna) = Stage::with_anna().await;
    stage.context.config.run_budget_s = 4;
    fill(&stage, 60);
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.counts.tracked), (Outcome::Yielded, 50));
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.counts.tracked), (Outcome::Completed, 10));
}

/// Items that two complete listings in a row do not show are forgotten; their records stay.
#[tokio::test]
async fn what_has_gone_from_the_server_is_forgotten() {
    let (stage, anna) = Stage::with_anna().await;
    fill(&stage, 3);
    stage.run(anna).await;
    stage.server.remove(ANNA, "k001");
    stage.run(anna).await;
    assert_eq!(stage.items(anna).await.len(), 3, "once may be a mistake");
    stage.server.put(ANNA, "new", plain("new"));
    stage.run(anna).await;
    assert_eq!(stage.items(anna).await, ["k000 tracked", "k002 tracked", "new tracked"]);
    assert_eq!(stage.emails().await, 4);
}
