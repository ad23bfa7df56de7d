//! An item that kills whoever touches it is found and set aside.

use lockstep_wire::Outcome;

use crate::{
    server::{Action, Call},
    stage::{ANNA, Stage, plain},
};

/// Two claims in a row ended without a word: from now on one item a page, its name committed before it is touched.
#[tokio::test]
async fn the_item_that_kills_is_set_aside() {
    let (stage, anna) = Stage::with_anna().await;
    for key in ["k0", "k1", "k2"] {
        stage.server.put(ANNA, key, plain(key));
    }
    for claims in 1..=3 {
        stage.world.sql(&format!("UPDATE lane_schedules SET claims = {claims}")).await;
        stage.server.at(Call::Fetch("k1".to_owned()), Action::Panic);
        assert!(stage.handle(stage.hint(anna).await).await.is_err());
        let touching = "SELECT COALESCE(convert_from(touching, 'UTF8'), '-') FROM lanes";
        assert_eq!(stage.world.text(touching).await, if claims < 3 { "-" } else { "k1" }, "after claim {claims}");
        assert_eq!(stage.emails().await, if claims < 3 { 0 } else { 1 }, "a page of one had been written before");
    }
    stage.world.sql("UPDATE lane_schedules SET claims = 4").await;
    stage.server.calls();
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.counts.tracked), (Outcome::Completed, 1));
    assert_eq!(stage.items(anna).await, ["k0 tracked", "k1 quarantined WorkerDied", "k2 tracked"]);
    assert!(!stage.server.calls().contains(&"fetch k1".to_owned()), "never touched again");
    assert_eq!(stage.world.open_alerts().await, ["ItemQuarantined warning ×1"]);
    assert!(stage.has_cursor(anna).await);
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
