//! What becomes no record is found by its Message-ID, and what a person decides about it stands.

use lockstep_model::{mailbox::TrackOption, remote::RemoteKey};
use lockstep_store::item_failures::{self, Decided};

use crate::{
    server::{Action, Call},
    stage::{ANNA, Stage, item_fault, plain},
};

async fn named(stage: &Stage) -> Vec<String> {
    let named = "SELECT concat_ws(' ', convert_from(remote_key, 'UTF8'), disposition, COALESCE(message_id, '-'))
         FROM remote_items ORDER BY 1";
    stage.world.texts(named).await
}

/// Refused by its header, or set aside after it: the Message-ID is known. What is too large is not looked at, and a
/// record has its own.
#[tokio::test]
async fn what_is_no_record_keeps_its_message_id() {
    let stage = Stage::new().await;
    let anna = stage.user("anna", TrackOption::InResponse).await;
    stage.world.sql("UPDATE organisations SET max_message_bytes = 20000").await;
    stage
        .world
        .sql(
            "INSERT INTO emails (id, direction, status, message_id, created_at, updated_at)
             VALUES (gen_random_uuid(), 'outgoing', 'sent', 'angebot@muster.example', now(), now())",
        )
        .await;
    let reply = |id: &str| {
        let text = String::from_utf8(plain(id)).unwrap();
        text.replace("Subject:", "In-Reply-To: <angebot@muster.example>\r\nSubject:").into_bytes()
    };
    for key in ["broken", "tracked"] {
        stage.server.put(ANNA, key, reply(key));
    }
    stage.server.put(ANNA, "stranger", plain("stranger"));
    stage.server.put(ANNA, "vast", plain("vast"));
    stage.server.change(ANNA, "vast", |m| m.announced = Some(50_000));
    stage.server.at(Call::Fetch("broken".to_owned()), Action::Fail(item_fault()));
    stage.run(anna).await;
    assert_eq!(
        named(&stage).await,
        [
            "broken quarantined broken@kunde.example",
            "stranger refused stranger@kunde.example",
            "tracked tracked -",
            "vast refused -",
        ]
    );
    stage.world.advance(900);
    stage.run(anna).await;
    assert_eq!(named(&stage).await[0], "broken tracked -", "the record has it now");
}

/// F22: a message that was given up is read again when a person wants it; one that was dropped never is.
#[tokio::test]
async fn released_is_read_again_and_dropped_is_not() {
    let (stage, anna) = Stage::with_anna().await;
    for key in ["dropped", "released"] {
        stage.server.put(ANNA, key, plain(key));
    }
    for _ in 0..6 {
        for key in ["dropped", "released"] {
            stage.server.at(Call::Fetch(key.to_owned()), Action::Fail(item_fault()));
        }
        stage.run(anna).await;
        stage.world.advance(900);
    }
    assert_eq!(stage.run(anna).await.counts.seen, 0, "given up");
    let key = |name: &str| RemoteKey::new(name).unwrap();
    let mut tx = stage.world.store.begin().await.unwrap();
    let dropped = item_failures::drop_item(&mut tx, anna, &key("dropped"), "test").await.unwrap();
    let released = item_failures::release(&mut tx, anna, &key("released"), "test").await.unwrap();
    assert_eq!((dropped, released), (Decided::Done, Decided::Done));
    tx.commit().await.unwrap();
    let report = stage.run(anna).await;
    assert_eq!((report.counts.seen, report.counts.tracked), (1, 1));
    assert_eq!(stage.items(anna).await, ["dropped refused DroppedByHand", "released tracked"]);
    assert!(stage.world.open_alerts().await.is_empty());
    stage.world.advance(100_000);
    assert_eq!(stage.run(anna).await.counts.seen, 0);
}
