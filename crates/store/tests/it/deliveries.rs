//! Every step of a delivery compares state, attempt and run; whatever does not fit changes nothing.

use std::time::Duration;

use lockstep_model::{
    email::{DeliveryState, PartyRole},
    fault::{Fault, FaultClass, FaultScope},
    id::{EmailId, MailboxId, RunId},
};
use lockstep_store::deliveries::{self, Ended};

use crate::seed::World;

const LIFETIME: Duration = Duration::from_secs(60);

async fn world() -> (World, MailboxId) {
    let world = World::new().await;
    let mailbox = world.user_mailbox(world.profile(1).await, "anna").await;
    (world, mailbox)
}

async fn claim(world: &World, limit: i64) -> Vec<(EmailId, i32)> {
    let mut tx = world.store.begin().await.unwrap();
    let claims = deliveries::claim(&mut tx, limit, LIFETIME).await.unwrap();
    tx.commit().await.unwrap();
    claims
}

fn fault() -> Fault {
    Fault::new(FaultScope::Item, FaultClass::Transient, "Greylisted", "451 later")
}

/// A step of a run at an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Begin,
    Cross,
    Sent,
    Retry,
    Failed,
    Unknown,
    /// The scheduler's side ends an attempt whose run has died.
    Bury,
    Extend,
    Defer,
}

const CALLS: [Call; 9] = [
    Call::Begin,
    Call::Cross,
    Call::Sent,
    Call::Retry,
    Call::Failed,
    Call::Unknown,
    Call::Bury,
    Call::Extend,
    Call::Defer,
];

/// Whether the step is legal for a run at its own attempt. For `Begin` and `Defer` the attempt is the next one.
fn is_legal(call: Call, state: DeliveryState) -> bool {
    use DeliveryState::{InFlight, Pending, Retry, Sending, Unknown};
    match call {
        Call::Begin | Call::Defer => matches!(state, Pending | Retry),
        Call::Cross => state == Sending,
        Call::Sent => matches!(state, Sending | InFlight | Unknown),
        Call::Retry | Call::Failed | Call::Unknown | Call::Bury | Call::Extend => matches!(state, Sending | InFlight),
    }
}

/// Makes the call and tells what it answered, where it answers.
async fn make(world: &World, call: Call, email: EmailId, attempt: i32, run: RunId) -> Option<bool> {
    let mut tx = world.store.begin().await.unwrap();
    let next = attempt + 1;
    let end =
        async |tx: &mut _, run, ended| Some(deliveries::end(tx, email, attempt, run, &ended).await.unwrap().is_some());
    let answer = match call {
        Call::Begin => Some(deliveries::begin(&mut tx, email, next, run, "worker-1", LIFETIME).await.unwrap()),
        Call::Cross => Some(deliveries::cross(&mut tx, email, attempt, run).await.unwrap()),
        Call::Sent => end(&mut tx, Some(run), Ended::Sent("250 ok".to_owned())).await,
        Call::Retry => end(&mut tx, Some(run), Ended::Retry(LIFETIME, fault())).await,
        Call::Failed => end(&mut tx, Some(run), Ended::Failed(fault())).await,
        Call::Unknown => end(&mut tx, Some(run), Ended::Unknown(fault())).await,
        Call::Bury => end(&mut tx, None, Ended::Unknown(fault())).await,
        Call::Extend => {
            deliveries::extend(&mut tx, email, attempt, run, LIFETIME * 10).await.unwrap();
            None
        }
        Call::Defer => {
            deliveries::defer(&mut tx, email, next, LIFETIME).await.unwrap();
            None
        }
    };
    tx.commit().await.unwrap();
    answer
}

/// H2: every state, every step, by the right run and attempt and by wrong ones. An illegal step leaves every row of
/// the database as it was; a legal one changes the delivery.
#[tokio::test]
async fn only_legal_steps_change_anything() {
    let (world, mailbox) = world().await;
    let (run, stranger) = (RunId::new(), RunId::new());
    for state in DeliveryState::ALL {
        for call in CALLS {
            for (attempt, who) in [(3, run), (3, stranger), (2, run), (4, run)] {
                world.sql("DELETE FROM alerts; DELETE FROM emails").await;
                let email = world.outgoing(mailbox, &["carla@kunde.example"]).await;
                world.reach(email, state.status()).await;
                world
                    .sql(&format!(
                        "UPDATE deliveries SET state = '{state}', attempt = 3, run_id = '{run}', claims = 1,
                             claimed_until = due_at"
                    ))
                    .await;
                let before = world.imprint().await;
                let answer = make(&world, call, email, attempt, who).await;
                let changed = world.imprint().await != before;
                let anybody = matches!(call, Call::Begin | Call::Defer | Call::Bury);
                let legal = is_legal(call, *state) && attempt == 3 && (who == run || anybody);
                let seen = format!("{call:?} in {state} by attempt {attempt}, own run {}", who == run);
                assert_eq!(changed, legal, "{seen}");
                assert!(answer.is_none_or(|answer| answer == legal), "{seen} answered {answer:?}");
            }
        }
    }
}

/// H1: the public status follows, and each change of it is told once.
#[tokio::test]
async fn the_public_status_follows_the_delivery() {
    let (world, mailbox) = world().await;
    let email = world.outgoing(mailbox, &["carla@kunde.example"]).await;
    let run = RunId::new();
    let entries_told = format!("SELECT count(*) FROM feed_entries WHERE record_id = '{email}'");
    let steps = [
        (Call::Begin, 0, "sending", "sending", 1),
        (Call::Cross, 1, "in-flight", "sending", 1),
        (Call::Retry, 1, "retry", "pending-send", 2),
        (Call::Begin, 1, "sending", "sending", 3),
        (Call::Cross, 2, "in-flight", "sending", 3),
        (Call::Bury, 2, "unknown", "sending", 3),
        (Call::Sent, 2, "sent", "sent", 4),
    ];
    for (call, attempt, state, status, entries) in steps {
        assert_eq!(make(&world, call, email, attempt, run).await, Some(true), "{call:?}");
        let (is, _, public) = world.delivery(email).await;
        assert_eq!((is.as_str(), public.as_str()), (state, status), "after {call:?}");
        assert_eq!(world.number(&entries_told).await, entries, "after {call:?}");
    }
    assert_eq!(world.text("SELECT reply FROM deliveries").await, "250 ok");
    assert_eq!(
        world.number("SELECT count(*) FROM deliveries WHERE fault_code IS NULL AND claimed_until IS NULL").await,
        1
    );
    assert_eq!(world.number("SELECT count(*) FROM emails WHERE sent_at IS NOT NULL AND version = 5").await, 1);
}

/// Two workers got the same hint: one begins.
#[tokio::test]
async fn one_run_begins_an_attempt() {
    let (world, mailbox) = world().await;
    let email = world.outgoing(mailbox, &["carla@kunde.example"]).await;
    let begun = (0..4).map(|_| make(&world, Call::Begin, email, 0, RunId::new()));
    let begun = futures::future::join_all(begun).await;
    assert_eq!(begun.iter().filter(|answer| **answer == Some(true)).count(), 1);
}

/// H3: what is due waits in the database while its mailbox may not send, and goes when it may.
#[tokio::test]
async fn mail_of_a_mailbox_that_may_not_send_is_not_claimed() {
    let (world, mailbox) = world().await;
    let email = world.outgoing(mailbox, &["carla@kunde.example"]).await;
    for (spoilt, mended) in [
        ("UPDATE mailboxes SET active = false", "UPDATE mailboxes SET active = true"),
        ("UPDATE email_server_profiles SET active = false", "UPDATE email_server_profiles SET active = true"),
        ("UPDATE mailboxes SET outgoing_method = 'none'", "UPDATE mailboxes SET outgoing_method = 'server-side'"),
        ("UPDATE mailboxes SET outgoing_enabled = false", "UPDATE mailboxes SET outgoing_enabled = true"),
        ("UPDATE mailboxes SET address_status = 'rejected'", "UPDATE mailboxes SET address_status = 'approved'"),
        ("UPDATE mailboxes SET address_status = 'pending'", "UPDATE organisations SET approve_users = false"),
    ] {
        world.sql(spoilt).await;
        assert!(claim(&world, 9).await.is_empty(), "{spoilt}");
        world.sql(mended).await;
        assert_eq!(claim(&world, 9).await, [(email, 1)], "{mended}");
        world.sql("UPDATE deliveries SET claimed_until = NULL, claims = 0").await;
    }
}

/// An attempt whose worker died is picked up when its claim ends, whatever became of the mailbox.
#[tokio::test]
async fn dead_attempts_are_claimed_even_of_a_disabled_mailbox() {
    let (world, mailbox) = world().await;
    let email = world.outgoing(mailbox, &["carla@kunde.example"]).await;
    let run = RunId::new();
    assert_eq!(claim(&world, 9).await, [(email, 1)]);
    make(&world, Call::Begin, email, 0, run).await;
    world.sql("UPDATE mailboxes SET outgoing_enabled = false, active = false").await;
    for state in ["sending", "in-flight"] {
        world.sql(&format!("UPDATE deliveries SET state = '{state}', claims = 0, claimed_until = NULL")).await;
        assert_eq!(claim(&world, 9).await, [(email, 2)], "{state}");
    }
    for state in ["unknown", "sent", "failed"] {
        world.sql(&format!("UPDATE deliveries SET state = '{state}', claims = 0, claimed_until = NULL")).await;
        assert!(claim(&world, 9).await.is_empty(), "{state} is over, or a person's");
    }
}

#[tokio::test]
async fn the_oldest_are_claimed_first_each_once() {
    let (world, mailbox) = world().await;
    let mut emails = Vec::new();
    for _ in 0..8 {
        emails.push(world.outgoing(mailbox, &["carla@kunde.example"]).await);
        world.advance(1);
    }
    let mut first: Vec<_> = claim(&world, 3).await.iter().map(|(email, _)| *email).collect();
    first.sort();
    assert_eq!(first, emails[..3]);
    world.nested_loops_only().await;
    let mut rest = futures::future::join_all((0..3).map(|_| claim(&world, 2))).await.concat();
    assert!(rest.len() <= 6);
    rest.extend(claim(&world, 9).await);
    rest.sort();
    assert_eq!(rest, emails[3..].iter().map(|email| (*email, 1)).collect::<Vec<_>>());
    for minutes in [1_u64, 2, 4, 4] {
        world.advance(minutes * 60);
        assert_eq!(claim(&world, 9).await.len(), 8, "handed out again, later each time");
        assert!(claim(&world, 9).await.is_empty());
    }
}

#[tokio::test]
async fn a_deferral_is_no_attempt() {
    let (world, mailbox) = world().await;
    let email = world.outgoing(mailbox, &["carla@kunde.example"]).await;
    assert_eq!(claim(&world, 1).await, [(email, 1)]);
    make(&world, Call::Defer, email, 0, RunId::new()).await;
    world.advance(59);
    assert!(claim(&world, 1).await.is_empty());
    world.advance(1);
    assert_eq!(claim(&world, 1).await, [(email, 1)]);
}

/// H10: who has accepted is never sent to again, whatever is noted later.
#[tokio::test]
async fn an_accepted_recipient_stays_accepted() {
    let (world, mailbox) = world().await;
    let email = world.outgoing(mailbox, &["a@k.example", "b@k.example", "c@k.example"]).await;
    let mut tx = world.store.begin().await.unwrap();
    let note = |address: &str, state, reply: &str| (address.to_owned(), state, reply.to_owned());
    let first = [note("a@k.example", "accepted", "250"), note("b@k.example", "pending", "451")];
    deliveries::note_recipients(&mut tx, email, &first).await.unwrap();
    let second = [note("a@k.example", "refused", "550"), note("b@k.example", "refused", "550")];
    deliveries::note_recipients(&mut tx, email, &second).await.unwrap();
    deliveries::note_recipients(&mut tx, EmailId::new(), &[note("c@k.example", "refused", "550")]).await.unwrap();
    let states: Vec<_> =
        deliveries::recipients(&mut tx, email).await.unwrap().into_iter().map(|r| (r.address, r.state)).collect();
    let state = |address: &str, state: &str| (address.to_owned(), state.to_owned());
    assert_eq!(
        states,
        [state("a@k.example", "accepted"), state("b@k.example", "refused"), state("c@k.example", "pending")]
    );
}

#[tokio::test]
async fn an_outgoing_email_is_read_as_it_was_written() {
    let (world, mailbox) = world().await;
    let email = world.outgoing(mailbox, &["b@k.example", "a@k.example"]).await;
    let mut tx = world.store.begin().await.unwrap();
    let delivery = deliveries::lock(&mut tx, email).await.unwrap().unwrap();
    assert_eq!((delivery.state, delivery.attempt, delivery.mailbox), (DeliveryState::Pending, 0, mailbox));
    let outgoing = deliveries::outgoing(&mut tx, email).await.unwrap().unwrap();
    let parties: Vec<_> = outgoing.parties.iter().map(|(role, _, address)| (*role, address.as_str())).collect();
    assert_eq!(
        parties,
        [(PartyRole::From, "anna@muster.example"), (PartyRole::To, "b@k.example"), (PartyRole::To, "a@k.example")]
    );
    assert!(deliveries::lock(&mut tx, EmailId::new()).await.unwrap().is_none());
    assert!(deliveries::outgoing(&mut tx, EmailId::new()).await.unwrap().is_none());
}
