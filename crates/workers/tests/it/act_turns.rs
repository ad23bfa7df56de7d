//! How much of contacts, tasks and appointments one cycle takes in.

use lockstep_model::record::{Field, Fields, Kind, Value};
use lockstep_wire::Outcome;

use crate::{
    item_codes::{anna, run},
    stage::ANNA,
};

/// N6: a backlog of ten times the cap takes ten cycles; each says that there is more, until there is none.
#[tokio::test]
async fn n6_a_backlog_of_items_takes_ten_cycles() {
    let (stage, _, mailbox) = anna().await;
    stage.world.setting("act", "maximum_items_per_cycle", 7).await;
    for number in 0..70 {
        let mut fields = Fields::default();
        fields.set(Field::Subject, Value::Text(format!("Task {number}"))).unwrap();
        stage.server.put_item(ANNA, &format!("k{number:02}"), Kind::Task, fields, true);
    }
    let records = async || stage.world.number("SELECT count(*) FROM activities WHERE kind = 'task'").await;
    for cycle in 1..=10 {
        let report = run(&stage, mailbox).await;
        assert_eq!((report.outcome, report.counts.seen), (Outcome::Yielded, 7), "cycle {cycle}");
        assert_eq!(records().await, 7 * cycle);
    }
    assert_eq!(run(&stage, mailbox).await.outcome, Outcome::Completed);
    assert_eq!(records().await, 70);
}

/// N6: a review that had to give way goes on where it stopped, and each record is made in the mailbox once.
#[tokio::test]
async fn n6_a_review_goes_on_where_it_stopped() {
    let (stage, user, mailbox) = anna().await;
    stage.world.setting("act", "maximum_items_per_cycle", 5).await;
    stage
        .world
        .sql(&format!(
            "INSERT INTO activities (id, kind, owner_user_id, fields, created_at, updated_at)
             SELECT gen_random_uuid(), 'task', '{user}', jsonb_build_object('subject', 'Task ' || number), now(), now()
             FROM generate_series(1, 23) AS number"
        ))
        .await;
    let mut cycles = 0;
    while run(&stage, mailbox).await.outcome == Outcome::Yielded {
        cycles += 1;
        assert!(cycles < 20, "it does not come to an end");
    }
    assert!(cycles >= 5, "{cycles} cycles of five");
    let subjects = stage.server.subjects(ANNA);
    assert_eq!(subjects.len(), 23, "{subjects:?}");
    assert!(subjects.windows(2).all(|pair| pair[0] != pair[1]), "{subjects:?}");
    assert_eq!(stage.world.number("SELECT count(*) FROM links").await, 23);
}
