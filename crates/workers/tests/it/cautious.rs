//! An item that kills whoever touches it is found and set aside.

use lockstep_model::id::MailboxId;
use lockstep_wire::Outcome;

use crate::{
    server::{Action, Call},
    stage::{ANNA, Stage, plain},
};

/// What `lanes.touching` names.
async fn touching(stage: &Stage) -> String {
    stage.world.text("SELECT COALESCE(convert_from(touching, 'UTF8'), '-') FROM lanes").await
}

async fn claimed(stage: &Stage, claims: u32) {
    stage.world.sql(&format!("UPDATE lane_schedules SET claims = {claims}")).await;
}

/// The scheduler has folded the report of the last run: its next hint is the first claim of the next occasion.
async fn folded(stage: &Stage) {
    stage.world.sql("UPDATE lane_schedules SET claims = 1, generation = generation + 1").await;
}

/// A worker that dies whenever it reads k1 and was read with caution twice.
async fn with_a_killer() -> (Stage, MailboxId) {
    let (stage, anna) = Stage::with_anna().await;
    for key in ["k0", "k1", "k2"] {
        stage.server.put(ANNA, key, plain(key));
    }
    for claims in 1..=4 {
        claimed(&stage, claims).await;
        stage.server.at(Call::Fetch("k1".to_owned()), Action::Panic);
        assert!(stage.handle(stage.hint(anna).await).await.is_err());
        assert_eq!(touching(&stage).await, if claims < 3 { "-" } else { "k1" }, "after claim {claims}");
        assert_eq!(stage.emails().await, if claims < 3 { 0 } else { 1 }, "a page of one had been written before");
        assert!(stage.world.open_alerts().await.is_empty(), "one death may be chance");
    }
    (stage, anna)
}

/// Two claims in a row ended without a word: from now on one item a page, its name committed before it is touched.
/// Two deaths over the same one: it is set aside.
#[tokio::test]
async fn the_item_that_kills_is_set_aside() {
    let (stage, anna) = with_a_killer().await;
    claimed(&stage, 5).await;
    stage.server.calls();
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.counts.tracked), (Outcome::Completed, 1));
    assert_eq!(stage.items(anna).await, ["k0 tracked", "k1 quarantined WorkerDied", "k2 tracked"]);
    assert!(!stage.server.calls().contains(&"fetch k1".to_owned()), "not touched again");
    assert_eq!(stage.world.open_alerts().await, ["ItemQuarantined warning ×1"]);
    assert!(stage.has_cursor(anna).await);
    assert_eq!(stage.world.number("SELECT attempts * 10 + deaths FROM remote_items WHERE remote_key = 'k1'").await, 2);
}

/// Set aside, it is read again after an hour, two, four …, each time with caution from the start, so that one more
/// death is enough; and never given up.
#[tokio::test]
async fn an_item_that_killed_is_tried_again_slowly_and_for_ever() {
    let (stage, anna) = with_a_killer().await;
    claimed(&stage, 5).await;
    stage.run(anna).await;
    let mut hours = 1;
    for deaths in 3..=9 {
        folded(&stage).await;
        stage.world.advance(hours * 3240 - 60);
        assert_eq!(stage.run(anna).await.counts.seen, 0, "not before its time");
        folded(&stage).await;
        stage.world.advance(hours * 360 + 60);
        stage.server.at(Call::Fetch("k1".to_owned()), Action::Panic);
        assert!(stage.handle(stage.hint(anna).await).await.is_err(), "due, and deadly");
        assert_eq!(touching(&stage).await, "k1");
        claimed(&stage, 2).await;
        assert_eq!(stage.run(anna).await.counts.seen, 0);
        assert_eq!(stage.world.number("SELECT deaths FROM remote_items WHERE remote_key = 'k1'").await, deaths);
        hours = (hours * 2).min(24);
    }
    stage.world.advance(24 * 3600);
    folded(&stage).await;
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.counts.tracked), (Outcome::Completed, 1), "mended in the end");
    assert!(stage.world.open_alerts().await.is_empty());
    assert_eq!(stage.world.number("SELECT max(deaths) FROM remote_items").await, 0, "and forgiven");
}

/// A hard stop in a cautious run looks like a death, and does no harm to the item that was being read.
#[tokio::test]
async fn a_hard_stop_sets_nothing_aside() {
    let (stage, anna) = Stage::with_anna().await;
    for key in ["k0", "k1"] {
        stage.server.put(ANNA, key, plain(key));
    }
    claimed(&stage, 3).await;
    stage.server.at(Call::Fetch("k0".to_owned()), Action::Panic);
    assert!(stage.handle(stage.hint(anna).await).await.is_err());
    assert_eq!(touching(&stage).await, "k0");
    claimed(&stage, 4).await;
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.counts.tracked), (Outcome::Completed, 2));
    assert_eq!(stage.items(anna).await, ["k0 tracked", "k1 tracked"]);
    assert_eq!(stage.world.number("SELECT count(*) FROM alerts").await, 0);
}

/// A run that ended badly and said so did not die: what it was about to touch is nobody's killer.
#[tokio::test]
async fn a_run_that_reported_did_not_die() {
    let (stage, anna) = Stage::with_anna().await;
    stage.server.put(ANNA, "k0", plain("k0"));
    for _ in 0..3 {
        stage.world.sql("UPDATE lanes SET touching = 'k0'").await;
        folded(&stage).await;
        stage.run(anna).await;
        assert_eq!(touching(&stage).await, "-");
    }
    assert_eq!(stage.items(anna).await, ["k0 tracked"]);
    assert_eq!(stage.world.number("SELECT count(*) FROM alerts").await, 0);
}

#[tokio::test]
async fn an_innocent_mailbox_is_read_through_with_caution() {
    let (stage, anna) = Stage::with_anna().await;
    for at in 0..5 {
        stage.server.put(ANNA, &format!("k{at}"), plain(&format!("m{at}")));
    }
    stage.world.sql("UPDATE lane_schedules SET claims = 3").await;
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.counts.tracked), (Outcome::Completed, 5));
    assert_eq!(stage.server.calls().iter().filter(|call| *call == "pull").count(), 5, "one item a page");
    assert_eq!(stage.world.number("SELECT count(*) FROM lanes WHERE touching IS NULL").await, 1);
}
