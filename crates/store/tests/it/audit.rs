//! The audit: what it keeps of those who are not let in, and of those who are made.

use lockstep_store::audit;
use serde_json::{Value, json};

use crate::seed::World;

async fn fail(world: &World, administrator: Option<&str>, source: &str) {
    let mut tx = world.store.begin().await.unwrap();
    audit::sign_in_failed(&mut tx, administrator, Some(source)).await.unwrap();
    tx.commit().await.unwrap();
}

/// Each entry about failed attempts: whose name, from where, how many.
async fn failures(world: &World) -> Vec<(Value, Value, Value)> {
    let query = "SELECT detail FROM audit_entries WHERE action = 'sign-in-failed' ORDER BY id";
    let details = world.texts(query).await.into_iter().map(|text| serde_json::from_str::<Value>(&text).unwrap());
    details
        .map(|detail| [&detail["administrator"], &detail["source"], &detail["attempts"]].map(Clone::clone).into())
        .collect()
}

/// Attempts are counted by administrator and source, in a new entry after ten minutes.
#[tokio::test]
async fn failed_attempts_are_counted_together() {
    let world = World::new().await;
    for (administrator, source) in [(Some("root"), "192.0.2.1"), (None, "192.0.2.1"), (Some("root"), "192.0.2.2")] {
        for _ in 0..3 {
            fail(&world, administrator, source).await;
        }
    }
    world.advance(599);
    fail(&world, Some("root"), "192.0.2.1").await;
    let mut expected = vec![
        (json!("root"), json!("192.0.2.1"), json!(4)),
        (json!(null), json!("192.0.2.1"), json!(3)),
        (json!("root"), json!("192.0.2.2"), json!(3)),
    ];
    assert_eq!(failures(&world).await, expected);
    world.advance(1);
    fail(&world, Some("root"), "192.0.2.1").await;
    expected.push((json!("root"), json!("192.0.2.1"), json!(1)));
    assert_eq!(failures(&world).await, expected);
    let actors =
        "SELECT DISTINCT concat_ws(' ', actor, object_kind) FROM audit_entries WHERE action = 'sign-in-failed'";
    assert_eq!(world.texts(actors).await, ["unknown administrator"]);
}

/// Whoever comes from everywhere fills no table: after sixty entries within an hour the rest is counted together.
#[tokio::test]
async fn failed_attempts_from_everywhere_are_bounded() {
    let world = World::new().await;
    for n in 0..200 {
        fail(&world, None, &format!("198.51.100.{n}")).await;
    }
    let entries = failures(&world).await;
    assert_eq!(entries.len(), 61);
    assert_eq!(entries[60], (json!(null), json!("others"), json!(140)));
    world.advance(600);
    fail(&world, None, "203.0.113.1").await;
    assert_eq!(failures(&world).await.last(), Some(&(json!(null), json!("others"), json!(1))));
    world.advance(3_600);
    fail(&world, None, "203.0.113.1").await;
    assert_eq!(failures(&world).await.last(), Some(&(json!(null), json!("203.0.113.1"), json!(1))), "an hour later");
}

/// The words that can be asked for are in order, each once.
#[test]
fn words_are_sorted() {
    for words in [audit::ACTIONS, audit::RECORD_KINDS] {
        assert!(words.is_sorted_by(|one, next| one < next), "{words:?}");
    }
}
