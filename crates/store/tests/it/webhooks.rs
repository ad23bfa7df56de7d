//! Webhook endpoints: one run at a time, a place that moves with its note, and nobody forgotten.

use std::time::Duration;

use lockstep_model::id::{RunId, WebhookEndpointId};
use lockstep_store::{
    Error, Tx,
    feed::{self, Change},
    operations::{self, Step},
    webhooks::{
        self, Settings, Span,
        runs::{self, Answer, Disabled, Taking},
    },
};
use secrecy::ExposeSecret;
use serde_json::json;
use uuid::Uuid;

use crate::seed::World;

const HOLD: Duration = Duration::from_secs(60);
const CLAIM: Duration = Duration::from_secs(65);

async fn register(world: &World, name: &str) -> WebhookEndpointId {
    let id = WebhookEndpointId::new();
    let mut tx = world.store.begin().await.unwrap();
    let span = webhooks::span(&mut tx).await.unwrap().unwrap();
    let settings = Settings { name, description: "", url: "https://crm.example/", record_kinds: &[], active: true };
    let sealed = world.store.vault().seal(&webhooks::secret_identity(id), &webhooks::new_secret().unwrap()).unwrap();
    webhooks::create(&mut tx, id, settings, &sealed, (span.epoch, span.newest), &[], "test").await.unwrap();
    tx.commit().await.unwrap();
    id
}

async fn change(world: &World, count: i64) {
    let mut tx = world.store.begin().await.unwrap();
    for version in 1..=count {
        feed::tell(&mut tx, "email", Uuid::now_v7(), Change::Created, &[], version).await.unwrap();
    }
    feed::number(&mut tx, 1_000).await.unwrap();
    tx.commit().await.unwrap();
}

/// Wakes and claims, as the scheduler does.
async fn claimed(world: &World) -> Vec<(Uuid, i64)> {
    let mut tx = world.store.begin().await.unwrap();
    runs::wake(&mut tx).await.unwrap();
    let claimed = operations::claim(&mut tx, 10, CLAIM).await.unwrap();
    tx.commit().await.unwrap();
    claimed.into_iter().map(|(id, generation)| (id.0, generation)).collect()
}

async fn take(tx: &mut Tx, id: WebhookEndpointId, run: RunId) -> &'static str {
    match runs::take(tx, id, run, HOLD).await.unwrap() {
        Taking::Gone => "gone",
        Taking::Resting => "resting",
        Taking::CursorLost => "cursor-lost",
        Taking::Busy => "busy",
        Taking::Later(_) => "later",
        Taking::Taken(_) => "taken",
    }
}

async fn rest(world: &World, id: WebhookEndpointId) {
    let mut tx = world.store.begin().await.unwrap();
    let operation = operations::get(&mut tx, lockstep_model::id::OperationId(id.0)).await.unwrap().unwrap();
    assert!(operations::step(&mut tx, operation.id, operation.version, &Step::Done(json!({}))).await.unwrap());
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn who_has_something_to_tell_is_woken_and_nobody_else() {
    let world = World::new().await;
    let id = register(&world, "crm").await;
    assert_eq!(claimed(&world).await.len(), 1, "a new endpoint is looked at");
    assert!(claimed(&world).await.is_empty(), "a claim lasts");
    rest(&world, id).await;
    // Its own making is in the feed.
    change(&world, 0).await;
    assert_eq!(claimed(&world).await.len(), 1);
    rest(&world, id).await;
    world.sql("UPDATE webhook_endpoints SET position = (SELECT last_position FROM feed_state)").await;
    assert!(claimed(&world).await.is_empty(), "it has caught up");
    change(&world, 1).await;
    for hidden in ["active = false", "disabled_code = 'gone', disabled_at = now()"] {
        world.sql(&format!("UPDATE webhook_endpoints SET {hidden}")).await;
        assert!(claimed(&world).await.is_empty(), "{hidden}");
        world.sql("UPDATE webhook_endpoints SET active = true, disabled_code = NULL, disabled_at = NULL").await;
    }
    assert_eq!(claimed(&world).await.len(), 1);
    // Every queue was wiped: the claim ends, and the same occasion is handed out again.
    world.advance(CLAIM.as_secs());
    assert_eq!(claimed(&world).await.len(), 1);
    // A program that does not know this kind of operation fails it: it is tried again, but not at once.
    world
        .sql("UPDATE operations SET state = 'failed', ended_at = '2026-11-23 09:01:00+00', claimed_until = NULL")
        .await;
    assert!(claimed(&world).await.is_empty());
    world.advance(120);
    assert_eq!(claimed(&world).await.len(), 1);
}

#[tokio::test]
async fn one_run_holds_an_endpoint_until_its_time_is_over() {
    let world = World::new().await;
    let id = register(&world, "crm").await;
    change(&world, 3).await;
    let (first, second) = (RunId::new(), RunId::new());
    let mut tx = world.store.begin().await.unwrap();
    assert_eq!(take(&mut tx, id, first).await, "taken");
    assert_eq!(take(&mut tx, id, second).await, "busy");
    tx.commit().await.unwrap();
    world.advance(40);
    let mut tx = world.store.begin().await.unwrap();
    assert!(runs::renew(&mut tx, id, first, HOLD).await.unwrap());
    assert!(!runs::renew(&mut tx, id, second, HOLD).await.unwrap());
    tx.commit().await.unwrap();
    world.advance(40);
    let mut tx = world.store.begin().await.unwrap();
    assert_eq!(take(&mut tx, id, second).await, "busy");
    assert!(runs::accepted(&mut tx, id, first, (0, 1), 200).await.unwrap());
    assert!(!runs::accepted(&mut tx, id, first, (0, 1), 200).await.unwrap(), "it does not stand there any more");
    assert!(!runs::accepted(&mut tx, id, second, (1, 2), 200).await.unwrap(), "another run holds it");
    assert!(runs::passed_over(&mut tx, id, first, (1, 2)).await.unwrap());
    runs::give_back(&mut tx, id, second).await.unwrap();
    assert_eq!(take(&mut tx, id, second).await, "busy");
    runs::give_back(&mut tx, id, first).await.unwrap();
    assert_eq!(take(&mut tx, id, second).await, "taken");
    tx.commit().await.unwrap();
    assert_eq!(world.text("SELECT concat_ws(' ', position, delivered) FROM webhook_endpoints").await, "2 1");
    world.advance(61);
    let mut tx = world.store.begin().await.unwrap();
    assert_eq!(take(&mut tx, id, first).await, "taken", "its time is over");
    assert_eq!(take(&mut tx, WebhookEndpointId::new(), first).await, "gone");
}

/// Whatever a person writes fences the run at work; that nobody sends beside it lasts until it gives back.
#[tokio::test]
async fn writes_fence_the_run_at_work() {
    let world = World::new().await;
    let id = register(&world, "crm").await;
    change(&world, 3).await;
    for write in ["save", "resume", "rotate"] {
        let run = RunId::new();
        let mut tx = world.store.begin().await.unwrap();
        assert_eq!(take(&mut tx, id, run).await, "taken", "{write}");
        let found = webhooks::lock(&mut tx, id, None).await.unwrap().unwrap();
        let settings =
            Settings { name: "crm", description: "", url: "https://other.example/", record_kinds: &[], active: true };
        match write {
            "save" => webhooks::save(&mut tx, id, settings, &["url"], "test").await.unwrap(),
            "resume" => webhooks::resume(&mut tx, id, (found.epoch, found.position), "test").await.unwrap(),
            _ => webhooks::rotate(&mut tx, id, b"sealed", "test").await.unwrap(),
        };
        let place = (found.position, found.position + 1);
        assert!(!runs::accepted(&mut tx, id, run, place, 200).await.unwrap(), "{write}");
        assert!(!runs::passed_over(&mut tx, id, run, place).await.unwrap(), "{write}");
        assert!(!runs::renew(&mut tx, id, run, HOLD).await.unwrap(), "{write}");
        let answer = Answer { status: Some(500), error: None };
        assert_eq!(runs::failed(&mut tx, id, run, &answer, None).await.unwrap(), None, "{write}");
        assert_eq!(take(&mut tx, id, RunId::new()).await, "busy", "{write}");
        runs::give_back(&mut tx, id, run).await.unwrap();
        tx.commit().await.unwrap();
    }
    let mut tx = world.store.begin().await.unwrap();
    assert!(matches!(webhooks::lock(&mut tx, id, Some(1)).await, Err(Error::Stale { current: 4 })));
    let name = webhooks::create(
        &mut tx,
        WebhookEndpointId::new(),
        Settings { name: "crm", description: "", url: "https://x.example/", record_kinds: &[], active: true },
        b"sealed",
        (Uuid::now_v7(), 0),
        &[],
        "test",
    );
    assert!(matches!(name.await, Err(Error::Conflict(_))));
}

#[tokio::test]
async fn a_stretch_ends_where_the_next_one_begins() {
    let world = World::new().await;
    change(&world, 10).await;
    let mut tx = world.store.begin().await.unwrap();
    let Span { epoch, oldest, newest } = webhooks::span(&mut tx).await.unwrap().unwrap();
    let all = runs::next(&mut tx, epoch, oldest, &[], 100).await.unwrap().unwrap();
    assert_eq!((all.end, all.more), (newest, false));
    let mut position = oldest;
    let mut read = Vec::new();
    loop {
        let stretch = runs::next(&mut tx, epoch, position, &[], 3).await.unwrap().unwrap();
        position = stretch.end;
        read.extend(stretch.entries);
        if !stretch.more {
            break;
        }
    }
    assert_eq!(read, all.entries);
    let none = runs::next(&mut tx, epoch, oldest, &["lead".to_owned()], 3).await.unwrap().unwrap();
    assert_eq!((none.entries.len(), none.end, none.more), (0, newest, false));
    for (epoch, position) in [(Uuid::now_v7(), newest), (epoch, newest + 1), (epoch, oldest - 1)] {
        assert_eq!(runs::next(&mut tx, epoch, position, &[], 3).await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_endpoint_is_disabled_once() {
    let world = World::new().await;
    let id = register(&world, "crm").await;
    let mut tx = world.store.begin().await.unwrap();
    runs::disable(&mut tx, id, Disabled::Gone, "410 Gone").await.unwrap();
    runs::disable(&mut tx, id, Disabled::Failing, "again").await.unwrap();
    assert_eq!(take(&mut tx, id, RunId::new()).await, "resting");
    tx.commit().await.unwrap();
    assert_eq!(world.open_alerts().await, ["WebhookEndpointDisabled error ×1"]);
    assert_eq!(world.text("SELECT disabled_code FROM webhook_endpoints").await, "gone");
    assert_eq!(world.text("SELECT scope FROM alerts").await, "organisation");
    let mut tx = world.store.begin().await.unwrap();
    let found = webhooks::lock(&mut tx, id, None).await.unwrap().unwrap();
    webhooks::delete(&mut tx, &found, "test").await.unwrap();
    tx.commit().await.unwrap();
    assert!(world.open_alerts().await.is_empty());
    assert_eq!(world.number("SELECT count(*) FROM operations").await, 0);
}

#[test]
fn secrets_differ_and_are_not_shown() {
    let (one, other) = (webhooks::new_secret().unwrap(), webhooks::new_secret().unwrap());
    assert_ne!(one.expose_secret(), other.expose_secret());
    assert!(!format!("{one:?}").contains(&one.expose_secret()[6..]));
}
