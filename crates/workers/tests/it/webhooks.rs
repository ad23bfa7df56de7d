//! Webhooks to a real receiver: in order, signed, at least once, whatever happens in between.

use std::{collections::HashMap, sync::Arc, time::Duration};

use lockstep_connector::{AddressRules, TlsTrust};
use lockstep_model::{
    clock::Clock,
    id::{OperationId, WebhookEndpointId},
};
use lockstep_queue::{DeliveryInfo, Handler as Handles, Outcome as Settled};
use lockstep_store::{
    feed::{self, Change},
    operations,
    webhooks::{self, Settings, runs},
};
use lockstep_wire::RunOperation;
use lockstep_workers::{
    operations::Handler,
    webhooks::{Limits, Webhooks},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    receiver::{Order, Receiver},
    stage::{self, Stage},
};

struct Hooks {
    stage: Stage,
    receiver: Receiver,
    endpoint: WebhookEndpointId,
    secret: SecretString,
    records: Vec<Uuid>,
}

const CLAIM: Duration = Duration::from_secs(65);

impl Hooks {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(record_kinds: &[&str]) -> Self {
        let mut stage = Stage::new().await;
        let limits = Limits { request: Duration::from_millis(1500), ..Limits::default() };
        stage.context.webhooks = stage::webhooks(limits);
        let receiver = Receiver::start().await;
        number(&stage).await;
        let (endpoint, secret) = register(&stage, &receiver.url(), record_kinds).await;
        number(&stage).await;
        // Its own making stands in the feed, after the place it begins at.
        stage.world.sql("UPDATE webhook_endpoints SET position = (SELECT last_position FROM feed_state)").await;
        let records = (0..3).map(|_| Uuid::now_v7()).collect();
        Self { stage, receiver, endpoint, secret, records }
    }

    /// So many changes of three records in turn; returns their positions.
    async fn change(&self, kind: &str, count: i64) -> Vec<i64> {
        number(&self.stage).await;
        let from = self.stage.world.number("SELECT last_position FROM feed_state").await;
        let mut tx = self.stage.world.store.begin().await.unwrap();
        for nth in 1..=count {
            let record = self.records[usize::try_from(nth).unwrap() % self.records.len()];
            feed::tell(&mut tx, kind, record, Change::Updated, &["subject"], from + nth).await.unwrap();
        }
        tx.commit().await.unwrap();
        number(&self.stage).await;
        (from + 1..=from + count).collect()
    }

    async fn claimed(&self) -> Vec<(OperationId, i64)> {
        let mut tx = self.stage.world.store.begin().await.unwrap();
        runs::wake(&mut tx).await.unwrap();
        let claimed = operations::claim(&mut tx, 10, CLAIM).await.unwrap();
        tx.commit().await.unwrap();
        claimed
    }

    /// What scheduler and worker do: wakes, claims, runs. Returns how many runs there were.
    async fn round(&self) -> usize {
        let claimed = self.claimed().await;
        for (operation, generation) in &claimed {
            assert_eq!(self.stage.operate(*operation, *generation).await, Settled::Done);
        }
        claimed.len()
    }

    /// Rounds until nothing is due; no time passes.
    async fn settle(&self) {
        for _ in 0..50 {
            if self.round().await == 0 {
                return;
            }
        }
        panic!("there is always something due");
    }

    /// Rounds until the endpoint has caught up; time passes.
    async fn catch_up(&self) {
        for _ in 0..200 {
            self.settle().await;
            if self.text("position = (SELECT last_position FROM feed_state)").await == "true" {
                return;
            }
            self.stage.world.advance(600);
        }
        panic!("it never catches up: {}", self.text("concat_ws(' ', last_status, last_error, disabled_code)").await);
    }

    async fn text(&self, column: &str) -> String {
        self.stage.world.text(&format!("SELECT {column} FROM webhook_endpoints")).await
    }

    fn handler(&self) -> Arc<Handler> {
        Arc::new(Handler::new(self.stage.context.clone()))
    }

    /// A run in a task of its own.
    fn spawn(&self, (operation, generation): (OperationId, i64)) -> tokio::task::JoinHandle<Settled> {
        let (handler, envelope) = (self.handler(), self.stage.envelope(RunOperation { operation, generation }));
        tokio::spawn(async move { handler.handle(envelope, DeliveryInfo::default()).await })
    }

    /// Each event once, in this order; what came twice came with the same name and body.
    fn assert_told(&self, positions: &[i64]) {
        let mut seen: HashMap<String, bytes::Bytes> = HashMap::new();
        let mut order = Vec::new();
        for got in self.receiver.got() {
            match seen.get(got.id()) {
                Some(body) => assert_eq!(*body, got.body, "the same event says the same"),
                None => {
                    order.push(got.position());
                    seen.insert(got.id().to_owned(), got.body.clone());
                }
            }
        }
        assert_eq!(order, positions);
        assert_eq!(self.receiver.most_at_once(), 1, "nothing is sent beside something else");
    }
}

async fn number(stage: &Stage) {
    let mut tx = stage.world.store.begin().await.unwrap();
    feed::number(&mut tx, 10_000).await.unwrap();
    tx.commit().await.unwrap();
}

async fn register(stage: &Stage, url: &str, record_kinds: &[&str]) -> (WebhookEndpointId, SecretString) {
    let id = WebhookEndpointId::new();
    let secret = webhooks::new_secret().unwrap();
    let sealed = stage.world.store.vault().seal(&webhooks::secret_identity(id), &secret).unwrap();
    let kinds: Vec<String> = record_kinds.iter().map(|kind| (*kind).to_owned()).collect();
    let mut tx = stage.world.store.begin().await.unwrap();
    let span = webhooks::span(&mut tx).await.unwrap().unwrap();
    let name = format!("crm {id}");
    let settings = Settings { name: &name, description: "", url, record_kinds: &kinds, active: true };
    webhooks::create(&mut tx, id, settings, &sealed, (span.epoch, span.newest), &[], "test").await.unwrap();
    tx.commit().await.unwrap();
    (id, secret)
}

async fn resume(hooks: &Hooks, position: Option<i64>) {
    let mut tx = hooks.stage.world.store.begin().await.unwrap();
    let endpoint = webhooks::lock(&mut tx, hooks.endpoint, None).await.unwrap().unwrap();
    let span = webhooks::span(&mut tx).await.unwrap().unwrap();
    let place = (span.epoch, position.unwrap_or(endpoint.position));
    webhooks::resume(&mut tx, hooks.endpoint, place, "test").await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn events_are_signed_and_hold_no_content() {
    let hooks = Hooks::new().await;
    let told = hooks.change("email", 2).await;
    hooks.settle().await;
    hooks.assert_told(&told);
    let now = hooks.stage.world.clock.now();
    for got in hooks.receiver.got() {
        assert_eq!(got.signed_by(hooks.secret.expose_secret()), 1);
        assert_eq!(got.header("webhook-signature").split(' ').count(), 1);
        assert_eq!(got.header("webhook-timestamp"), now.timestamp().to_string());
        assert_eq!(got.header("content-type"), "application/json");
        assert!(got.header("user-agent").starts_with("Lockstep/"));
    }
    let first = &hooks.receiver.got()[0];
    let epoch = hooks.text("epoch").await;
    let body = first.json();
    assert_eq!(body["type"], "email.updated");
    assert!(body["timestamp"].as_str().unwrap().starts_with("2026-11-23T09:00:00"));
    let data = json!({ "id": hooks.records[1], "version": told[0], "fields": ["subject"], "position": told[0], "epoch": epoch });
    assert_eq!(body["data"], data);
    assert_eq!(body.as_object().unwrap().len(), 3);
    assert_eq!(first.id(), format!("evt_{}_{}", epoch.replace('-', ""), told[0]));
    assert_eq!(hooks.text("concat_ws(' ', delivered, last_status, failures)").await, "2 204 0");
    assert_eq!(hooks.text("(SELECT state FROM operations WHERE operations.id = webhook_endpoints.id)").await, "done");
    assert_eq!(hooks.round().await, 0, "who has caught up is left alone");
}

/// Whatever the receiver answers, each event arrives and none overtakes another.
#[tokio::test]
async fn a_receiver_that_fails_gets_everything_once_and_in_order() {
    let hooks = Hooks::new().await;
    let mut told = hooks.change("email", 40).await;
    let slow = Order::Late(Duration::from_millis(60));
    for nth in 0..60_u16 {
        hooks.receiver.order([match nth % 7 {
            0 => Order::status(500),
            1 => slow.clone(),
            2 => Order::Cut,
            3 => Order::status(302),
            4 => Order::status(429),
            _ => Order::status(202),
        }]);
    }
    hooks.catch_up().await;
    told.extend(hooks.change("contact", 5).await);
    hooks.catch_up().await;
    hooks.assert_told(&told);
    assert_eq!(hooks.text("concat_ws(' ', delivered, failures, failing_since)").await, "45 0");
}

#[tokio::test]
async fn too_slow_an_answer_counts_as_none() {
    let hooks = Hooks::new().await;
    let told = hooks.change("email", 2).await;
    hooks.receiver.order([Order::Late(Duration::from_secs(8))]);
    hooks.settle().await;
    assert_eq!(hooks.receiver.positions(), told[..1]);
    assert_eq!(hooks.text("concat_ws(' ', failures, last_status, last_error ~ 'timed out')").await, "1 t");
    hooks.catch_up().await;
    let ids: Vec<_> = hooks.receiver.got().iter().map(|got| got.id().to_owned()).collect();
    assert_eq!((ids.len(), &ids[0]), (3, &ids[1]));
    let (first, second) = (&hooks.receiver.got()[0], &hooks.receiver.got()[1]);
    assert_ne!(first.header("webhook-timestamp"), second.header("webhook-timestamp"), "each attempt is signed anew");
    assert_eq!(second.signed_by(hooks.secret.expose_secret()), 1);
}

#[tokio::test]
async fn a_receiver_that_is_away_gets_everything_when_it_is_back() {
    let hooks = Hooks::new().await;
    let mut told = hooks.change("email", 3).await;
    hooks.settle().await;
    hooks.receiver.stop().await;
    told.extend(hooks.change("email", 3).await);
    hooks.settle().await;
    assert_eq!(hooks.receiver.got().len(), 3);
    assert_eq!(hooks.text("concat_ws(' ', failures, position)").await, format!("1 {}", told[2]));
    // The first wait is 5 s, less a tenth at most.
    hooks.stage.world.advance(4);
    assert_eq!(hooks.round().await, 0, "it waits");
    hooks.receiver.again().await;
    hooks.stage.world.advance(2);
    hooks.settle().await;
    hooks.assert_told(&told);
}

/// The worker dies between the receiver's answer and its note: the event comes again under the same id, and nothing of
/// it was lost with the broker, which was told nothing.
#[tokio::test]
async fn a_worker_killed_in_mid_delivery_is_followed_by_another() {
    let hooks = Hooks::new().await;
    let told = hooks.change("email", 5).await;
    hooks.receiver.order([Order::status(200), Order::status(200), Order::Hold]);
    let claimed = hooks.claimed().await;
    let run = hooks.spawn(claimed[0]);
    hooks.receiver.until_got(3).await;
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
    hooks.receiver.release();
    assert_eq!(hooks.text("position").await, told[1].to_string(), "what was not noted is not over");
    // While its time lasts nobody takes its place; afterwards the claim has ended and is handed out again.
    let (operation, generation) = claimed[0];
    assert_eq!(hooks.stage.operate(operation, generation).await, Settled::Done);
    assert_eq!(hooks.receiver.got().len(), 3, "the dead run might still send");
    hooks.stage.world.advance(70);
    hooks.settle().await;
    assert_eq!(hooks.receiver.positions(), [told[0], told[1], told[2], told[2], told[3], told[4]]);
    hooks.assert_told(&told);
}

#[tokio::test]
async fn two_runs_at_one_endpoint_do_not_send_at_once() {
    let hooks = Hooks::new().await;
    let told = hooks.change("email", 3).await;
    hooks.receiver.order([Order::Hold]);
    let claimed = hooks.claimed().await[0];
    let first = hooks.spawn(claimed);
    hooks.receiver.until_got(1).await;
    // The same hint twice, as a broker may deliver it.
    assert_eq!(hooks.stage.operate(claimed.0, claimed.1).await, Settled::Done);
    assert_eq!(hooks.receiver.got().len(), 1);
    hooks.receiver.release();
    assert_eq!(first.await.unwrap(), Settled::Done);
    hooks.stage.world.advance(2);
    hooks.settle().await;
    hooks.assert_told(&told);
    assert_eq!(hooks.receiver.got().len(), 3);
}

/// A person moves the place while an event is on its way: what the run notes afterwards does not count.
#[tokio::test]
async fn a_run_that_is_overtaken_notes_nothing() {
    let hooks = Hooks::new().await;
    let told = hooks.change("email", 4).await;
    hooks.receiver.order([Order::Hold]);
    let run = hooks.spawn(hooks.claimed().await[0]);
    hooks.receiver.until_got(1).await;
    resume(&hooks, Some(told[2])).await;
    hooks.receiver.release();
    run.await.unwrap();
    assert_eq!(hooks.text("position").await, told[2].to_string());
    assert_eq!(hooks.text("run_id").await, "", "it has given the endpoint back");
    hooks.settle().await;
    assert_eq!(hooks.receiver.positions(), [told[0], told[3]]);
}

#[tokio::test]
async fn a_receiver_may_ask_for_patience() {
    let hooks = Hooks::new().await;
    hooks.change("email", 1).await;
    hooks.receiver.order([Order::Status(503, vec![("retry-after", "120".to_owned())])]);
    hooks.settle().await;
    assert_eq!(
        hooks.text("concat_ws(' ', last_status, last_error)").await,
        "503 503 Service Unavailable: no [31m, thank you"
    );
    hooks.stage.world.advance(119);
    hooks.settle().await;
    assert_eq!(hooks.receiver.got().len(), 1);
    hooks.stage.world.advance(2);
    hooks.settle().await;
    assert_eq!(hooks.receiver.got().len(), 2);
    // Longer than an hour is not waited.
    hooks.change("email", 1).await;
    hooks.receiver.order([Order::Status(503, vec![("retry-after", "999999999".to_owned())])]);
    hooks.settle().await;
    hooks.stage.world.advance(3601);
    hooks.settle().await;
    assert_eq!(hooks.receiver.got().len(), 4);
}

#[tokio::test]
async fn redirections_are_not_followed_and_answers_not_read_to_the_end() {
    let hooks = Hooks::new().await;
    let elsewhere = Receiver::start().await;
    let told = hooks.change("email", 3).await;
    hooks.receiver.order([
        Order::Status(307, vec![("location", elsewhere.url())]),
        Order::Endless(200),
        Order::Endless(500),
    ]);
    let within = tokio::time::timeout(Duration::from_secs(20), hooks.catch_up());
    within.await.unwrap();
    assert!(elsewhere.got().is_empty());
    assert_eq!(hooks.receiver.positions(), [told[0], told[0], told[1], told[1], told[2]]);
}

#[tokio::test]
async fn gone_is_believed_at_once_and_resumed_by_a_person() {
    let hooks = Hooks::new().await;
    let told = hooks.change("email", 3).await;
    hooks.receiver.order([Order::status(200), Order::status(410)]);
    hooks.catch_up_to_disabled("gone").await;
    assert_eq!(hooks.text("concat_ws(' ', position, last_status)").await, format!("{} 410", told[0]));
    assert_eq!(hooks.stage.world.open_alerts().await, ["WebhookEndpointDisabled error ×1"]);
    let more = hooks.change("email", 2).await;
    hooks.stage.world.advance(86_400);
    hooks.settle().await;
    assert_eq!(hooks.receiver.got().len(), 2, "nothing is sent to it");
    resume(&hooks, None).await;
    hooks.settle().await;
    assert!(hooks.stage.world.open_alerts().await.is_empty());
    // What the endpoint's own records say of it stands in the feed too.
    let positions = hooks.receiver.positions();
    assert_eq!(positions[..4], [told[0], told[1], told[1], told[2]]);
    assert!(more.iter().all(|position| positions.contains(position)));
}

impl Hooks {
    async fn catch_up_to_disabled(&self, code: &str) {
        for _ in 0..200 {
            self.settle().await;
            if self.text("disabled_code").await == code {
                return;
            }
            self.stage.world.advance(3_600);
        }
        panic!("it is not disabled");
    }
}

#[tokio::test]
async fn three_days_of_failures_disable() {
    let hooks = Hooks::new().await;
    hooks.change("email", 1).await;
    hooks.receiver.stop().await;
    let before = hooks.stage.world.clock.now();
    hooks.catch_up_to_disabled("failing").await;
    let days = (hooks.stage.world.clock.now() - before).num_hours();
    assert!((72..=74).contains(&days), "{days} h");
    let failures: u32 = hooks.text("failures").await.parse().unwrap();
    assert!((70..90).contains(&failures), "{failures} attempts");
    assert_eq!(hooks.stage.world.open_alerts().await, ["WebhookEndpointDisabled error ×1"]);
    let audit = "SELECT concat_ws(' ', actor, action, detail) FROM audit_entries ORDER BY id DESC LIMIT 1";
    assert_eq!(hooks.stage.world.text(audit).await, r#"webhook delivery updated {"fields": ["state"]}"#);
}

/// N12: a receiver that fails holds up its own events and nothing else: mailboxes are read, and the others are told.
#[tokio::test]
async fn n12_a_failing_receiver_fails_alone() {
    let hooks = Hooks::new().await;
    let stage = &hooks.stage;
    let other = Receiver::start().await;
    register(stage, &other.url(), &["email"]).await;
    number(stage).await;
    hooks.receiver.stop().await;
    let anna = stage.user("anna", lockstep_model::mailbox::TrackOption::All).await;
    for number_of_mails in 1..=2 {
        stage.server.put(stage::ANNA, &format!("k{number_of_mails}"), stage::plain(&format!("m{number_of_mails}")));
        assert_eq!(stage.run(anna).await.counts.tracked, 1);
        number(stage).await;
        hooks.settle().await;
        assert_eq!(other.got().len(), number_of_mails, "the other receiver is up to date");
    }
    let failing = format!("SELECT failures FROM webhook_endpoints WHERE id = '{}'", hooks.endpoint);
    assert!(stage.world.number(&failing).await >= 1);
    assert!(hooks.receiver.got().is_empty());
}

/// After a restored backup positions mean something else: it stops and says so.
#[tokio::test]
async fn a_place_that_has_lost_its_meaning_stops_the_endpoint() {
    for damage in [
        "UPDATE feed_state SET epoch = gen_random_uuid()",
        "DELETE FROM feed_entries WHERE position <= (SELECT last_position - 1 FROM feed_state)",
        "UPDATE webhook_endpoints SET position = 1000000",
    ] {
        let hooks = Hooks::new().await;
        hooks.change("email", 3).await;
        hooks.stage.world.sql(damage).await;
        resume_due(&hooks).await;
        hooks.settle().await;
        assert_eq!(hooks.text("disabled_code").await, "cursor-lost", "{damage}");
        assert!(hooks.receiver.got().is_empty());
        assert_eq!(hooks.stage.world.open_alerts().await, ["WebhookEndpointDisabled error ×1"]);
        let now = hooks.stage.world.number("SELECT last_position FROM feed_state").await;
        resume(&hooks, Some(now)).await;
        let told = hooks.change("email", 1).await;
        hooks.settle().await;
        assert_eq!(hooks.receiver.positions().last(), told.last());
    }
}

/// Makes the operation due though no condition says so.
async fn resume_due(hooks: &Hooks) {
    hooks.stage.world.sql("UPDATE operations SET state = 'pending', generation = generation + 1").await;
}

#[tokio::test]
async fn only_wanted_records_are_told_of() {
    let hooks = Hooks::with(&["contact", "lead"]).await;
    hooks.change("email", 120).await;
    let told = hooks.change("contact", 2).await;
    hooks.change("email", 3).await;
    hooks.settle().await;
    hooks.assert_told(&told);
    assert_eq!(
        hooks.text("position = (SELECT last_position FROM feed_state)").await,
        "true",
        "the rest is passed over"
    );
    hooks.stage.world.sql("UPDATE webhook_endpoints SET active = false").await;
    hooks.change("contact", 1).await;
    resume_due(&hooks).await;
    hooks.settle().await;
    assert_eq!(hooks.receiver.got().len(), 2);
}

#[tokio::test]
async fn a_run_has_its_share_and_no_more() {
    let mut hooks = Hooks::new().await;
    hooks.stage.context.webhooks = stage::webhooks(Limits { events: 7, ..Limits::default() });
    let told = hooks.change("email", 20).await;
    hooks.round().await;
    assert_eq!(hooks.receiver.got().len(), 7);
    hooks.round().await;
    assert_eq!(hooks.receiver.got().len(), 14);
    hooks.settle().await;
    hooks.assert_told(&told);
}

#[tokio::test]
async fn both_secrets_sign_for_a_day_after_a_rotation() {
    let hooks = Hooks::new().await;
    let newer = webhooks::new_secret().unwrap();
    let sealed = hooks.stage.world.store.vault().seal(&webhooks::secret_identity(hooks.endpoint), &newer).unwrap();
    let mut tx = hooks.stage.world.store.begin().await.unwrap();
    webhooks::rotate(&mut tx, hooks.endpoint, &sealed, "test").await.unwrap();
    tx.commit().await.unwrap();
    // The rotation itself is told of.
    number(&hooks.stage).await;
    hooks.settle().await;
    hooks.stage.world.advance(24 * 3600 + 1);
    hooks.change("email", 1).await;
    hooks.settle().await;
    let got = hooks.receiver.got();
    assert_eq!(got.len(), 2);
    let (old, new) = (hooks.secret.expose_secret(), newer.expose_secret());
    assert_eq!((got[0].signed_by(old), got[0].signed_by(new)), (1, 1));
    assert!(got[0].header("webhook-signature").matches("v1,").count() == 2);
    assert_eq!((got[1].signed_by(old), got[1].signed_by(new)), (0, 1), "the old one is no longer valid");
}

#[tokio::test]
async fn a_secret_of_another_endpoint_does_not_open() {
    let hooks = Hooks::new().await;
    let (other, _) = register(&hooks.stage, &hooks.receiver.url(), &["lead"]).await;
    hooks.stage.world.sql(&format!("UPDATE webhook_endpoints SET sealed_secret = (SELECT sealed_secret FROM webhook_endpoints WHERE id = '{other}')")).await;
    hooks.change("email", 1).await;
    hooks.settle().await;
    assert!(hooks.receiver.got().is_empty());
    let row = format!("SELECT last_error FROM webhook_endpoints WHERE id = '{}'", hooks.endpoint);
    assert!(hooks.stage.world.text(&row).await.contains("does not belong to this record"));
}

/// Private and link-local addresses are not connected to, by name or by number, unless the installation allows it.
#[tokio::test]
async fn addresses_are_judged_when_they_are_connected_to() {
    let mut hooks = Hooks::new().await;
    let trust = TlsTrust::load(None).unwrap();
    let closed = Webhooks::new(&trust, AddressRules { allow_private: false }, Limits::default(), 4).unwrap();
    let open = hooks.stage.context.webhooks.clone();
    let port = hooks.receiver.address.port();
    hooks.change("email", 1).await;
    for (webhooks, url) in [
        (&closed, hooks.receiver.url()),
        (&closed, format!("http://localhost:{port}/")),
        (&closed, format!("http://[::ffff:127.0.0.1]:{port}/")),
        (&open, format!("http://169.254.169.254:{port}/latest/meta-data")),
        (&open, format!("http://[fe80::1]:{port}/")),
        (&open, "not a url".to_owned()),
    ] {
        hooks.stage.context.webhooks = webhooks.clone();
        hooks.stage.world.sql(&format!("UPDATE webhook_endpoints SET url = '{url}'")).await;
        hooks.stage.world.advance(3601);
        hooks.settle().await;
        assert!(hooks.receiver.got().is_empty(), "{url}");
        let error = hooks.text("last_error").await;
        assert!(error.contains("not connected to") || error.contains("cannot be used"), "{url}: {error}");
        assert!(!error.contains("meta-data"), "the URL is not repeated: {error}");
    }
}

#[tokio::test]
async fn a_test_sends_a_ping_and_tells_the_answer() {
    let hooks = Hooks::new().await;
    hooks.receiver.order([Order::status(200), Order::status(401)]);
    for (state, status) in [("done", 200), ("failed", 401)] {
        let mut tx = hooks.stage.world.store.begin().await.unwrap();
        let arguments = json!({ "endpoint": hooks.endpoint });
        let operation = operations::create(&mut tx, webhooks::TEST, &arguments, "test").await.unwrap();
        tx.commit().await.unwrap();
        hooks.stage.operate(operation, 1).await;
        let row = format!("SELECT json_build_array(state, result) FROM operations WHERE id = '{operation}'");
        let row: Value = serde_json::from_str(&hooks.stage.world.text(&row).await).unwrap();
        assert_eq!((row[0].as_str(), row[1]["status"].as_i64()), (Some(state), Some(status)), "{row}");
        let got = hooks.receiver.got().pop().unwrap();
        assert_eq!((got.json()["type"].as_str(), got.id()), (Some("ping"), row[1]["webhook_id"].as_str().unwrap()));
        assert_eq!(got.json()["data"], json!({ "id": hooks.endpoint }));
        assert_eq!(got.signed_by(hooks.secret.expose_secret()), 1);
    }
    assert_eq!(hooks.text("concat_ws(' ', failures, delivered)").await, "0 0", "a test is no delivery");
}

#[tokio::test]
async fn a_removed_endpoint_is_told_nothing() {
    let hooks = Hooks::new().await;
    hooks.change("email", 2).await;
    hooks.receiver.order([Order::Hold]);
    let claimed = hooks.claimed().await[0];
    let run = hooks.spawn(claimed);
    hooks.receiver.until_got(1).await;
    let mut tx = hooks.stage.world.store.begin().await.unwrap();
    let endpoint = webhooks::lock(&mut tx, hooks.endpoint, None).await.unwrap().unwrap();
    webhooks::delete(&mut tx, &endpoint, "test").await.unwrap();
    tx.commit().await.unwrap();
    hooks.receiver.release();
    assert_eq!(run.await.unwrap(), Settled::Done);
    hooks.settle().await;
    assert_eq!(hooks.receiver.got().len(), 1);
    assert_eq!(hooks.stage.operate(claimed.0, claimed.1).await, Settled::Done, "its hint is stale");
}
