//! What stops a contact, a task or an appointment is told under its name, and ends when it is synchronised after all.

use lockstep_connector::items::NotDone;
use lockstep_model::{
    id::{AlertId, MailboxId, UserId},
    mailbox::{Lane, Owner, TrackOption},
    record::Field,
};
use lockstep_store::{
    alerts::{self, Filter},
    lanes, links,
};
use lockstep_wire::{CycleReport, Outcome, SyncLane};
use uuid::Uuid;

use crate::{
    server::items::Answer,
    stage::{ANNA, Stage},
};

/// So long after a cycle everything is looked at again.
const HOUR: u64 = 3_601;

/// Anna, who has her tasks and appointments in her mailbox.
pub(crate) async fn anna() -> (Stage, UserId, MailboxId) {
    let stage = Stage::new().await;
    let user = stage.world.user("anna", TrackOption::All).await;
    let mailbox = stage.world.mailbox(stage.profile, Owner::User(user)).await;
    stage
        .world
        .sql(&format!(
            "UPDATE mailboxes SET act_method = 'server-side', act_test = 'success', act_enabled = true
             WHERE id = '{mailbox}';
             INSERT INTO synchronization_filters (id, scope, user_id, record_kind, name, expression, created_at, updated_at)
             SELECT gen_random_uuid(), 'user', '{user}', kind, 'everything',
                 '{{\"attribute\": \"subject\", \"test\": \"not-empty\"}}', now(), now()
             FROM unnest(ARRAY['task', 'appointment']) AS kinds(kind)"
        ))
        .await;
    stage.world.realign(&[mailbox]).await;
    (stage, user, mailbox)
}

pub(crate) async fn activity(stage: &Stage, user: UserId, kind: &str, fields: &str) -> Uuid {
    let id = Uuid::now_v7();
    stage
        .world
        .sql(&format!(
            "INSERT INTO activities (id, kind, owner_user_id, fields, created_at, updated_at)
             VALUES ('{id}', '{kind}', '{user}', '{fields}', now(), now())"
        ))
        .await;
    id
}

async fn task(stage: &Stage, user: UserId, subject: &str) -> Uuid {
    activity(stage, user, "task", &format!("{{\"subject\": \"{subject}\"}}")).await
}

/// One cycle of the lane of contacts, tasks and appointments.
pub(crate) async fn run(stage: &Stage, mailbox: MailboxId) -> CycleReport {
    let mut tx = stage.world.store.begin().await.unwrap();
    let generation = lanes::open(&mut tx, mailbox, Lane::Act).await.unwrap().unwrap().generation;
    drop(tx);
    stage.handle(SyncLane { mailbox, lane: Lane::Act, generation }).await.unwrap();
    stage.reports().pop().unwrap()
}

/// M8: a record that cannot be written is told with its reason, and the alert ends when it can.
#[tokio::test]
async fn m8_an_item_that_is_not_synchronised_is_told_and_ends() {
    let (stage, user, mailbox) = anna().await;
    task(&stage, user, "Rueckruf").await;
    stage.server.answer_write(Answer::Not(NotDone::Unwritable { field: Field::Subject, why: "no such letter" }));
    assert_eq!(run(&stage, mailbox).await.outcome, Outcome::Completed);
    stage.world.assert_raised("ItemNotSynchronized").await;
    stage.world.assert_raised("ItemUnwritableThere").await;
    assert!(stage.server.subjects(ANNA).is_empty());
    stage.world.advance(HOUR);
    run(&stage, mailbox).await;
    assert_eq!(stage.server.subjects(ANNA).len(), 1);
    stage.world.assert_cleared("ItemNotSynchronized").await;
    stage.world.assert_cleared("ItemUnwritableThere").await;
}

/// M8: an appointment without an organiser is nobody's, until it has one.
#[tokio::test]
async fn m8_an_appointment_without_organiser_is_told_and_ends() {
    let (stage, user, mailbox) = anna().await;
    let time = r#""time": {"start": "2027-03-02T09:00:00", "end": "2027-03-02T10:00:00", "zone": "Europe/Berlin"}"#;
    let id = activity(&stage, user, "appointment", &format!("{{\"subject\": \"Review\", {time}}}")).await;
    run(&stage, mailbox).await;
    stage.world.assert_raised("AppointmentWithoutOrganiser").await;
    assert!(stage.server.subjects(ANNA).is_empty());
    let organiser = format!("{{\"organiser\": [{{\"address\": \"{ANNA}\"}}]}}");
    stage
        .world
        .sql(&format!(
            "UPDATE activities SET fields = fields || '{organiser}', version = version + 1 WHERE id = '{id}';
             INSERT INTO activity_parties VALUES ('{id}', 'organiser', '{ANNA}')"
        ))
        .await;
    stage.world.advance(HOUR);
    run(&stage, mailbox).await;
    assert_eq!(stage.server.subjects(ANNA).len(), 1);
    stage.world.assert_cleared("AppointmentWithoutOrganiser").await;
}

/// M8: a write that was done twice leaves one item; that it happened is told, and a person takes note.
#[tokio::test]
async fn m8_a_doubled_item_is_collapsed_and_told() {
    let (stage, user, mailbox) = anna().await;
    task(&stage, user, "Rueckruf").await;
    stage.server.answer_write(Answer::TwiceAndLost);
    run(&stage, mailbox).await;
    assert_eq!(stage.server.subjects(ANNA).len(), 2, "its answer was lost");
    stage.world.advance(HOUR);
    run(&stage, mailbox).await;
    stage.world.assert_raised("DuplicateItemCollapsed").await;
    assert_eq!(stage.server.subjects(ANNA).len(), 1);
    let open = "SELECT id::text FROM alerts WHERE resolved_at IS NULL AND code = 'DuplicateItemCollapsed'";
    let alert = AlertId(stage.world.text(open).await.parse().unwrap());
    let mut tx = stage.world.store.begin().await.unwrap();
    assert!(!alerts::list(&mut tx, &Filter::default(), None, 10).await.unwrap().is_empty());
    assert!(alerts::dismiss(&mut tx, alert, None, "test").await.unwrap());
    tx.commit().await.unwrap();
    stage.world.assert_cleared("DuplicateItemCollapsed").await;
}

/// M8: a mailbox that is suddenly empty deletes nothing until a person has agreed.
#[tokio::test]
async fn m8_deletions_are_held_and_told_until_somebody_agrees() {
    let (stage, user, mailbox) = anna().await;
    for n in 0..4 {
        task(&stage, user, &format!("Rueckruf {n}")).await;
    }
    run(&stage, mailbox).await;
    stage.world.advance(600);
    run(&stage, mailbox).await;
    assert_eq!(stage.server.subjects(ANNA).len(), 4);
    stage.server.remove_items(ANNA);
    stage.world.advance(600);
    run(&stage, mailbox).await;
    stage.world.assert_raised("DeletionsHeld").await;
    let here = "SELECT count(*) FROM activities";
    assert_eq!(stage.world.number(here).await, 4);
    let mut tx = stage.world.store.begin().await.unwrap();
    assert_eq!(links::held(&mut tx, mailbox).await.unwrap(), 4);
    links::agree_to_deletions(&mut tx, mailbox).await.unwrap();
    tx.commit().await.unwrap();
    stage.world.advance(600);
    run(&stage, mailbox).await;
    assert_eq!(stage.world.number(here).await, 0);
    stage.world.assert_cleared("DeletionsHeld").await;
}
