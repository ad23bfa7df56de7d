//! Test & enable: what works is enabled, what fails is told.

use lockstep_coord::Coord;
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    id::{MailboxId, OperationId},
};
use lockstep_queue::Outcome as Settled;
use serde_json::{Value, json};

use crate::{
    server::{Action, Call},
    stage::Stage,
};

async fn ask(stage: &Stage, kind: &str, arguments: Value) -> OperationId {
    let mut tx = stage.world.store.begin().await.unwrap();
    let id = lockstep_store::operations::create(&mut tx, kind, &arguments, "anna").await.unwrap();
    tx.commit().await.unwrap();
    id
}

async fn untested() -> (Stage, MailboxId, OperationId) {
    let (stage, anna) = Stage::with_anna().await;
    stage
        .world
        .sql("UPDATE mailboxes SET incoming_enabled = false, outgoing_enabled = false, incoming_test = 'not-run', outgoing_test = 'not-run'")
        .await;
    stage.world.realign(&[anna]).await;
    stage.server.deliver();
    let operation = ask(&stage, "test-and-enable-mailbox", json!({ "mailbox": anna })).await;
    (stage, anna, operation)
}

const MAILBOX: &str =
    "SELECT concat_ws(' ', m.incoming_test, m.outgoing_test, m.incoming_enabled, m.outgoing_enabled, s.enabled)
                       FROM mailboxes m JOIN lane_schedules s ON s.mailbox_id = m.id";
const STATE: &str = "SELECT concat_ws(' ', state, generation, attempts) FROM operations";

fn refused() -> Fault {
    Fault::new(FaultScope::Mailbox, FaultClass::Auth, "LoginRefused", "-ERR no")
}

/// C11, C13, C14: both directions are tried; what works is enabled.
#[tokio::test]
async fn a_mailbox_that_works_is_enabled() {
    let (stage, anna, operation) = untested().await;
    assert_eq!(stage.operate(operation, 1).await, Settled::Done);
    assert_eq!(stage.world.text(STATE).await, "done 2 0");
    assert_eq!(stage.world.text(MAILBOX).await, "success success t t t");
    assert_eq!(stage.world.open_alerts().await, ["MailboxConnected information ×1"]);
    assert_eq!(stage.server.calls().iter().filter(|call| call.starts_with("open")).count(), 2);
    stage.assert_free(anna).await;
    assert_eq!(stage.operate(operation, 1).await, Settled::Done);
    assert!(stage.server.calls().is_empty(), "a hint that comes again is stale");
}

/// C10: who asked for the test stands at the mailbox with its result; who enabled it stays when a later test fails, and
/// the operation's end changes nothing of it.
#[tokio::test]
async fn c10_who_tested_and_enabled_is_kept() {
    let who = "SELECT concat_ws('|', tested_by, enabled_by, tested_at = enabled_at, incoming_tested_at = tested_at,
                   outgoing_tested_at = tested_at) FROM mailboxes";
    let (stage, anna, operation) = untested().await;
    stage.operate(operation, 1).await;
    assert_eq!(stage.world.text(who).await, "anna|anna|t|t|t");
    stage.world.advance(60);
    stage.world.sql("UPDATE mailboxes SET outgoing_method = 'none'; DELETE FROM operations").await;
    let mut tx = stage.world.store.begin().await.unwrap();
    let arguments = json!({ "mailbox": anna });
    let again = lockstep_store::operations::create(&mut tx, "test-and-enable-mailbox", &arguments, "bert");
    let again = again.await.unwrap();
    tx.commit().await.unwrap();
    stage.server.at(Call::Open, Action::Fail(refused()));
    stage.operate(again, 1).await;
    assert_eq!(stage.world.text(who).await, "bert|anna|f|t|f", "the one direction was tested, and not enabled");
}

/// C13, C15: one direction fails: the other is enabled, the owner hears why, in the server's own words, and so does
/// whoever answers for the profile.
#[tokio::test]
async fn a_direction_that_fails_is_not_enabled() {
    for (nth, expected) in [(1, "success failure t f t"), (2, "failure success f t f")] {
        let (stage, anna, operation) = untested().await;
        stage.server.at_nth(Call::Open, nth, Action::Fail(refused()));
        stage.operate(operation, 1).await;
        assert_eq!(stage.world.text(MAILBOX).await, expected);
        let alerts = stage.world.open_alerts().await;
        let expected = ["LoginRefused error ×1", "MailboxConnected information ×1", "MailboxTestFailed error ×1"];
        assert_eq!(alerts, expected, "connected in the other direction");
        let of_profile = "SELECT profile_id || ' ' || (parameters->>'mailboxes') FROM alerts WHERE scope = 'profile'";
        assert_eq!(stage.world.text(of_profile).await, format!("{} 1", stage.profile));
        let result: Value = serde_json::from_str(&stage.world.text("SELECT result FROM operations").await).unwrap();
        let direction = if nth == 1 { "outgoing" } else { "incoming" };
        assert_eq!(result[direction], json!({ "status": "failure", "code": "LoginRefused", "message": "-ERR no" }));
        stage.assert_free(anna).await;
        // Mended and tested again.
        let again = ask(&stage, "test-and-enable-mailbox", json!({ "mailbox": anna })).await;
        stage.operate(again, 1).await;
        assert_eq!(stage.world.text(MAILBOX).await, "success success t t t");
        assert_eq!(stage.world.open_alerts().await, ["MailboxConnected information ×2"], "in both directions now");
    }
}

#[tokio::test]
async fn what_is_not_configured_is_not_tested() {
    let (stage, _, operation) = untested().await;
    stage.world.sql("UPDATE mailboxes SET outgoing_method = 'none'").await;
    stage.operate(operation, 1).await;
    assert_eq!(stage.world.text(MAILBOX).await, "success not-run t f t");
    assert_eq!(stage.server.calls().iter().filter(|call| call.starts_with("open")).count(), 1);
}

/// A test takes the last permit, which scheduled work leaves free; with none at all it waits, and that is no attempt.
#[tokio::test]
async fn a_test_waits_for_a_permit() {
    let (stage, anna, operation) = untested().await;
    let (one, two) = (stage.admission(anna, false), stage.admission(anna, false));
    stage.coord.admit(&one).await.unwrap();
    stage.coord.admit(&two).await.unwrap();
    stage.operate(operation, 1).await;
    assert_eq!(stage.world.text(STATE).await, "pending 2 0");
    assert!(stage.server.calls().is_empty());
    stage.coord.release(&two).await.unwrap();
    stage.operate(operation, 2).await;
    assert_eq!(stage.world.text(STATE).await, "done 3 0");
    stage.coord.release(&one).await.unwrap();
    stage.assert_free(anna).await;
}

#[tokio::test]
async fn operations_that_cannot_be_run_fail_and_say_why() {
    let (stage, _) = Stage::with_anna().await;
    for (kind, arguments, code) in [
        ("no-such-kind", json!({}), "UnknownOperation"),
        ("test-and-enable-mailbox", json!({ "mailbox": 5 }), "InvalidArguments"),
        ("test-and-enable-mailbox", json!({ "mailbox": MailboxId::new() }), "MailboxGone"),
    ] {
        let operation = ask(&stage, kind, arguments).await;
        assert_eq!(stage.operate(operation, 1).await, Settled::Done);
        let row = format!("SELECT state || ' ' || (result->>'code') FROM operations WHERE id = '{operation}'");
        assert_eq!(stage.world.text(&row).await, format!("failed {code}"));
    }
    stage.world.sql("UPDATE mailboxes SET profile_id = NULL").await;
    let anna = stage.world.text("SELECT id FROM mailboxes").await;
    let operation = ask(&stage, "test-and-enable-mailbox", json!({ "mailbox": anna })).await;
    stage.operate(operation, 1).await;
    let row = format!("SELECT result->>'code' FROM operations WHERE id = '{operation}'");
    assert_eq!(stage.world.text(&row).await, "InvalidIncomingEmailServerProfile");
}

/// A run that fails on our side is tried again, later each time, and given up after five.
#[tokio::test]
async fn a_run_that_fails_on_our_side_is_repeated() {
    let (stage, _, operation) = untested().await;
    stage.world.sql("UPDATE email_server_profiles SET incoming_protocol = 'NOT A NAME'").await;
    for attempt in 1..=4_i64 {
        stage.operate(operation, attempt).await;
        assert_eq!(stage.world.text(STATE).await, format!("pending {} {attempt}", attempt + 1));
    }
    stage.operate(operation, 5).await;
    assert_eq!(stage.world.text(STATE).await, "failed 6 5");
}

/// A connector that panics in a test keeps no permit.
#[tokio::test]
async fn a_panic_in_a_test_gives_the_permit_back() {
    let (stage, anna, operation) = untested().await;
    stage.server.at(Call::Open, Action::Panic);
    let handler = lockstep_workers::operations::Handler::new(stage.context.clone());
    let envelope = stage.envelope(lockstep_wire::RunOperation { operation, generation: 1 });
    let ended =
        tokio::spawn(async move { lockstep_queue::Handler::handle(&handler, envelope, Default::default()).await });
    assert!(ended.await.is_err());
    let account = lockstep_model::mailbox::Account::of_mailbox(anna);
    lockstep_test_support::eventually(
        std::time::Duration::from_secs(5),
        async || stage.coord.usage(stage.profile, &account).await.unwrap() == 0,
        "the permit is given back",
    )
    .await;
}

/// C12: the test sends a real message from the mailbox to itself, marked as ours and as nobody's, and finds it there. It
/// stays where mail stays, is deleted where processed mail is, and becomes no record.
#[tokio::test]
async fn c12_the_test_message_is_sent_and_found() {
    for deletes in [false, true] {
        let stage = Stage::new().await;
        let queue = stage.world.queue("help", lockstep_model::mailbox::TrackOption::All).await;
        let help = stage.world.mailbox(stage.profile, lockstep_model::mailbox::Owner::Queue(queue)).await;
        stage.world.sql(&format!("UPDATE mailboxes SET delete_after_processing = {deletes}")).await;
        stage.server.deliver();
        let login = "help@muster.example";
        for n in 0..60 {
            stage.server.put(
                login,
                &format!("old-{n}"),
                crate::stage::mail(&n.to_string(), "a@b.example", login, "", "x"),
            );
        }
        let operation = ask(&stage, "test-and-enable-mailbox", json!({ "mailbox": help })).await;
        stage.operate(operation, 1).await;
        assert_eq!(stage.world.text(STATE).await, "done 2 0");
        let given = stage.server.given();
        assert_eq!((given.len(), given[0].to.as_slice()), (1, &[login.to_owned()][..]));
        let text = String::from_utf8(given[0].bytes.clone()).unwrap();
        for line in [
            format!("Message-ID: <test-{operation}@muster.example>\r\n"),
            "From: <help@muster.example>\r\n".to_owned(),
            "Auto-Submitted: auto-generated\r\n".to_owned(),
            format!("{}: {}\r\n", lockstep_mime::header::LOOP_HEADER, stage.world.organisation),
        ] {
            assert!(text.contains(&line), "{line:?} in {text}");
        }
        assert_eq!(stage.server.keys(login).contains(&"given-0".to_owned()), !deletes);
        assert_eq!(stage.server.keys(login).len(), 60 + usize::from(!deletes));
        assert!(stage.server.calls().contains(&"headers 50".to_owned()), "a bounded look at the newest");
        stage.run(help).await;
        let own = stage.items(help).await.into_iter().filter(|item| item.starts_with("given")).collect::<Vec<_>>();
        assert_eq!(own, if deletes { vec![] } else { vec!["given-0 refused TestMessage"] });
        assert_eq!(stage.emails().await, 0, "it is no record; the others are older than the mailbox is enabled");
    }
}

/// C12: what does not arrive within two minutes fails the incoming test; it is looked for again and again until then,
/// without holding a worker, and sent once. A mailbox that somebody else has open is looked into later.
#[tokio::test]
async fn c12_a_test_message_that_does_not_arrive_fails_the_test() {
    let (stage, anna, _) = untested().await;
    stage.world.sql("DELETE FROM operations").await;
    let astray = stage.user("bert", lockstep_model::mailbox::TrackOption::None).await;
    stage.world.sql(&format!("UPDATE mailboxes SET login = 'other' WHERE id = '{astray}'")).await;
    let operation = ask(&stage, "test-and-enable-mailbox", json!({ "mailbox": astray })).await;
    let in_use = Fault::new(FaultScope::Mailbox, FaultClass::Transient, "MailboxInUse", "-ERR [IN-USE]");
    stage.server.at_nth(Call::Open, 2, Action::Fail(in_use));
    let mut generation = 1;
    while stage.world.text("SELECT state FROM operations").await == "pending" {
        assert!(generation < 20, "it ends");
        stage.operate(operation, generation).await;
        stage.world.advance(15);
        generation += 1;
    }
    assert!(generation > 5, "it was looked for more than once");
    assert_eq!(stage.server.given().len(), 1, "sent once");
    let result: Value = serde_json::from_str(&stage.world.text("SELECT result FROM operations").await).unwrap();
    assert_eq!(
        (&result["outgoing"]["status"], &result["incoming"]["code"]),
        (&json!("success"), &json!("TestMessageNotFound"))
    );
    let enabled =
        format!("SELECT concat_ws(' ', incoming_enabled, outgoing_enabled) FROM mailboxes WHERE id = '{astray}'");
    assert_eq!(stage.world.text(&enabled).await, "f t");
    let alerts = stage.world.open_alerts().await;
    assert!(alerts.contains(&"TestMessageNotFound error ×1".to_owned()), "{alerts:?}");
    stage.assert_free(anna).await;
    // Found at the first look, the alerts end.
    stage.world.sql(&format!("UPDATE mailboxes SET login = address WHERE id = '{astray}'")).await;
    let again = ask(&stage, "test-and-enable-mailbox", json!({ "mailbox": astray })).await;
    stage.operate(again, 1).await;
    assert_eq!(stage.world.open_alerts().await, ["MailboxConnected information ×2"]);
}

/// C12: who may not send to itself fails the outgoing test, with the server's words.
#[tokio::test]
async fn c12_a_refused_test_message_fails_the_outgoing_test() {
    let (stage, _, operation) = untested().await;
    let no = Fault::new(FaultScope::Item, FaultClass::Refused, "RecipientRefused", "550 no such user");
    stage.server.answer("anna@muster.example", Some(no));
    stage.operate(operation, 1).await;
    assert_eq!(stage.world.text(MAILBOX).await, "success failure t f t");
}
