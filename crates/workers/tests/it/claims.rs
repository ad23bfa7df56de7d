//! Whose a mailbox is, of two organisations with a database each and one mail server.

use std::sync::Arc;

use lockstep_connector::{Connector, Registry, items::Claim};
use lockstep_model::{
    clock::Clock,
    fault::{Fault, FaultClass, FaultScope},
    id::{MailboxId, OperationId, OrganisationId, UserId},
    mailbox::{Lane, Owner, TrackOption},
};
use lockstep_store::{lanes, mailbox_tests::waiting};
use lockstep_wire::{CycleReport, Outcome, SyncLane};
use uuid::Uuid;

use crate::{
    server::{Action, Call, Server},
    stage::{ANNA, Stage},
};

const ANOTHERS: &str = "MailboxOfAnotherOrganization";

/// One organisation, and the mailbox that both want.
struct Office {
    stage: Stage,
    user: UserId,
    mailbox: MailboxId,
}

impl Office {
    async fn new() -> Self {
        Self::of(Stage::new().await).await
    }

    /// Another one, on the same server.
    async fn at(server: &Server) -> Self {
        let mut stage = Stage::new().await;
        stage.server = server.clone();
        stage.context.connectors = Registry::of([Arc::new(server.clone()) as Arc<dyn Connector>]);
        Self::of(stage).await
    }

    async fn of(stage: Stage) -> Self {
        let user = stage.world.user("anna", TrackOption::All).await;
        let mailbox = stage.world.mailbox(stage.profile, Owner::User(user)).await;
        stage
            .world
            .sql(&format!(
                "UPDATE mailboxes SET act_method = 'server-side', outgoing_method = 'none', incoming_enabled = false,
                     incoming_test = 'not-run';
                 INSERT INTO synchronization_filters (id, scope, user_id, record_kind, name, expression, created_at, updated_at)
                 VALUES (gen_random_uuid(), 'user', '{user}', 'task', 'everything',
                     '{{\"attribute\": \"subject\", \"test\": \"not-empty\"}}', now(), now())"
            ))
            .await;
        stage.world.realign(&[mailbox]).await;
        Self { stage, user, mailbox }
    }

    fn organisation(&self) -> OrganisationId {
        self.stage.world.organisation
    }

    async fn ask(&self, take_over: bool) -> OperationId {
        let mut tx = self.stage.world.store.begin().await.unwrap();
        let operation = waiting::ask_and(&mut tx, self.mailbox, take_over, "anna").await.unwrap().unwrap();
        tx.commit().await.unwrap();
        operation
    }

    /// Tests and enables; tells how incoming email and items went, and what is enabled.
    async fn test(&self, take_over: bool) -> String {
        let operation = self.ask(take_over).await;
        self.stage.operate(operation, 1).await;
        self.stands().await
    }

    async fn stands(&self) -> String {
        let stands = "SELECT concat_ws(' ', incoming_test, act_test, incoming_enabled, act_enabled) FROM mailboxes";
        self.stage.world.text(stands).await
    }

    async fn task(&self, subject: &str) {
        let (id, user) = (Uuid::now_v7(), self.user);
        self.stage
            .world
            .sql(&format!(
                "INSERT INTO activities (id, kind, owner_user_id, fields, created_at, updated_at)
                 VALUES ('{id}', 'task', '{user}', '{{\"subject\": \"{subject}\"}}', now(), now())"
            ))
            .await;
    }

    async fn cycle(&self) -> CycleReport {
        let (stage, mailbox) = (&self.stage, self.mailbox);
        let mut tx = stage.world.store.begin().await.unwrap();
        let generation = lanes::open(&mut tx, mailbox, Lane::Act).await.unwrap().unwrap().generation;
        drop(tx);
        stage.handle(SyncLane { mailbox, lane: Lane::Act, generation }).await.unwrap();
        stage.reports().pop().unwrap()
    }

    fn claim(&self) -> Claim {
        let now = Clock::now(&*self.stage.world.clock);
        Claim { organisation: self.organisation(), synchronised_at: Some(now) }
    }
}

fn whose(server: &Server) -> Option<OrganisationId> {
    server.claim(ANNA).map(|claim| claim.organisation)
}

/// D8: the first organisation's test claims the mailbox; the second one's fails for items, with the alert, and its email
/// goes on. D9: with takeover the second has it; the first writes nothing any more and stops with the alert.
#[tokio::test]
async fn d8_d9_a_mailbox_is_one_organisations() {
    let a = Office::new().await;
    let server = &a.stage.server;
    let b = Office::at(server).await;
    assert_eq!(whose(server), None);
    assert_eq!(a.test(false).await, "success success t t");
    assert_eq!(server.claim(ANNA), Some(a.claim()));

    assert_eq!(b.test(false).await, "success failure t f");
    b.stage.world.assert_raised("MailboxOfAnotherOrganization").await;
    assert!(b.stage.world.open_alerts().await.contains(&format!("{ANOTHERS} error ×1")));
    let told = format!("SELECT parameters->>'message' FROM alerts WHERE code = '{ANOTHERS}'");
    let told = b.stage.world.text(&told).await;
    assert!(told.contains(&a.organisation().to_string()), "{told}");
    assert_eq!(whose(server), Some(a.organisation()), "nothing was written");
    a.task("Rueckruf").await;
    assert_eq!(a.cycle().await.outcome, Outcome::Completed);
    assert_eq!(server.subjects(ANNA).len(), 1, "the first one works on");

    assert_eq!(b.test(true).await, "success success t t");
    b.stage.world.assert_cleared("MailboxOfAnotherOrganization").await;
    assert_eq!(whose(server), Some(b.organisation()));
    a.task("Zu spaet").await;
    a.stage.world.advance(3_601);
    let report = a.cycle().await;
    assert_eq!(report.outcome, Outcome::Failed);
    let fault = report.fault.unwrap();
    assert_eq!((fault.code.as_str(), fault.scope, fault.class), (ANOTHERS, FaultScope::Mailbox, FaultClass::Refused));
    assert_eq!(server.subjects(ANNA).len(), 1, "nothing is written by it any more");
    assert_eq!(a.stage.world.number("SELECT count(*) FROM intents").await, 0, "nor intended");
    assert_eq!(whose(server), Some(b.organisation()));

    b.task("Besuch").await;
    assert_eq!(b.cycle().await.outcome, Outcome::Completed);
    assert_eq!(server.subjects(ANNA).len(), 2, "the second one works");
    assert_eq!(a.test(false).await, "success failure t f", "and does not give it back");
}

/// D8: of two who claim at once the later one has it; the earlier one sees that when it reads again.
#[tokio::test]
async fn d8_of_two_who_claim_at_once_one_has_it() {
    let a = Office::new().await;
    let server = &a.stage.server;
    let b = Office::at(server).await;
    server.claimed_right_after(b.claim());
    assert_eq!(a.test(false).await, "success failure t f");
    assert_eq!(whose(server), Some(b.organisation()));
    assert_eq!(b.test(false).await, "success success t t");
}

/// D8: a mailbox that was enabled before anybody claimed one is claimed with the first write; cycles that write nothing
/// do not ask whose it is, and the last synchronisation is told anew once an hour at most.
#[tokio::test]
async fn d8_only_who_writes_asks() {
    let a = Office::new().await;
    let server = &a.stage.server;
    a.stage.world.sql("UPDATE mailboxes SET act_test = 'success', act_enabled = true").await;
    a.stage.world.realign(&[a.mailbox]).await;
    assert_eq!(a.cycle().await.outcome, Outcome::Completed);
    assert_eq!((server.asked_whose(), whose(server)), (0, None));
    a.task("Rueckruf").await;
    a.stage.world.advance(3_601);
    a.cycle().await;
    let first = a.claim();
    assert_eq!((server.subjects(ANNA).len(), server.claim(ANNA)), (1, Some(first)));
    let asked = server.asked_whose();
    a.stage.world.advance(3_601);
    a.cycle().await;
    assert_eq!((server.asked_whose(), server.claim(ANNA)), (asked, Some(first)));
    a.task("Besuch").await;
    a.stage.world.advance(3_601);
    a.cycle().await;
    assert_eq!(server.claim(ANNA), Some(a.claim()), "the hour is over");
    assert_eq!(server.asked_whose(), asked + 1);
}

/// D9: a test that is tried again takes the mailbox over once: who has taken it back since keeps it.
#[tokio::test]
async fn d9_a_test_takes_over_once() {
    let a = Office::new().await;
    let server = &a.stage.server;
    let b = Office::at(server).await;
    server.claimed(ANNA, b.claim());
    let gone = Fault::new(FaultScope::Profile, FaultClass::Unreachable, "ConnectFailure", "connection refused");
    server.at(Call::Open, Action::Fail(gone));
    let operation = a.ask(true).await;
    a.stage.operate(operation, 1).await;
    assert_eq!(a.stands().await, "failure success f t", "incoming email is tried again");
    assert_eq!(whose(server), Some(a.organisation()));
    assert_eq!(b.test(true).await, "success success t t");
    a.stage.world.advance(3_601);
    a.stage.operate(operation, 2).await;
    assert_eq!(a.stands().await, "success failure t f");
    assert_eq!(whose(server), Some(b.organisation()));
}
