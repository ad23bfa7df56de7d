//! What is due is handed out once, oldest first, within its server's allowance; a fold counts once.

use std::{collections::HashSet, time::Duration};

use chrono::TimeDelta;
use lockstep_model::{
    clock::Clock,
    id::{MailboxId, ProfileId},
    mailbox::{Lane, Owner, TrackOption},
};
use lockstep_store::schedules::{self, Folded, LaneClaim};
use uuid::Uuid;

use crate::seed::{World, morning};

const LIFETIME: Duration = Duration::from_secs(60);

async fn claim(world: &World, allowances: &[(ProfileId, u32)]) -> Vec<LaneClaim> {
    let mut tx = world.store.begin().await.unwrap();
    let claims = schedules::claim(&mut tx, allowances, LIFETIME).await.unwrap();
    tx.commit().await.unwrap();
    claims
}

/// `count` mailboxes of one profile, due one second after the other, the first one longest ago.
async fn mailboxes(world: &World, profile: ProfileId, count: usize) -> Vec<MailboxId> {
    let mut mailboxes = Vec::new();
    for at in 0..count {
        let mailbox = world.user_mailbox(profile, &format!("u{at}-{}", Uuid::now_v7().simple())).await;
        let ago = count - at;
        world
            .sql(&format!(
                "UPDATE lane_schedules SET due_at = due_at - interval '{ago} s' WHERE mailbox_id = '{mailbox}'"
            ))
            .await;
        mailboxes.push(mailbox);
    }
    mailboxes
}

fn folded(claim: &LaneClaim, world: &World) -> Folded {
    let now = world.clock.now();
    Folded {
        mailbox_id: claim.mailbox.0,
        lane: claim.lane,
        due_at: Some(now + TimeDelta::minutes(5)),
        not_before: None,
        interval_seconds: Some(300.0),
        activity: 1.5,
        empty_cycles: 0,
        transient_failures: 0,
        fault_code: None,
        fault_class: None,
        fault_message: None,
        disabled_code: None,
        succeeded: true,
        informed: true,
        run: Uuid::now_v7(),
        started_at: now,
        ended_at: now,
        worker: None,
        outcome: "completed".to_owned(),
        seen: 3,
        tracked: 2,
        refused: 1,
        failed: 0,
    }
}

/// Folds like the scheduler: lock what is current, write that. Returns how many lanes were current.
async fn fold(world: &World, claim: &LaneClaim, decision: Folded) -> usize {
    let mut tx = world.store.begin().await.unwrap();
    let key = (claim.mailbox, claim.lane, claim.generation);
    let current = schedules::lock_reported(&mut tx, &[key]).await.unwrap();
    if !current.is_empty() {
        schedules::write_folded(&mut tx, &[decision]).await.unwrap();
    }
    tx.commit().await.unwrap();
    current.len()
}

/// The oldest first, no more than the allowance; also where the planner has many rows to choose from.
#[tokio::test]
async fn the_oldest_are_claimed_first_up_to_the_allowance() {
    let world = World::new().await;
    let (one, other) = (world.profile(10).await, world.profile(10).await);
    let due = mailboxes(&world, one, 12).await;
    let foreign = mailboxes(&world, other, 3).await;
    for plan in ["first", "analysed", "nested loops"] {
        match plan {
            "analysed" => world.sql("ANALYZE lane_schedules").await,
            "nested loops" => world.nested_loops_only().await,
            _ => {}
        }
        world.sql("UPDATE lane_schedules SET claimed_until = NULL, claims = 0").await;
        let mut claimed: Vec<_> = claim(&world, &[(one, 5), (other, 2)]).await.iter().map(|c| c.mailbox).collect();
        claimed.sort();
        let mut expected = [&due[..5], &foreign[..2]].concat();
        expected.sort();
        assert_eq!(claimed, expected, "with plan {plan:?}");
    }
    assert!(claim(&world, &[(other, 0)]).await.is_empty());
}

/// Schedulers that look at the same moment never hand out one lane twice, and together hand out everything.
#[tokio::test]
async fn schedulers_at_once_never_claim_one_lane_twice() {
    let world = World::new().await;
    let profile = world.profile(100).await;
    let due = mailboxes(&world, profile, 40).await;
    let allowances = [(profile, 9)];
    let claims = futures::future::join_all((0..6).map(|_| claim(&world, &allowances))).await;
    let mut seen = HashSet::new();
    for claim in claims.iter().flatten() {
        assert!(seen.insert(claim.mailbox), "{} was claimed twice", claim.mailbox);
    }
    assert!(claims.iter().all(|claims| claims.len() <= 9));
    let mut rest = claim(&world, &[(profile, 100)]).await;
    rest.retain(|claim| seen.insert(claim.mailbox));
    assert_eq!(seen.len(), due.len(), "whatever was skipped is still there");
}

/// Two schedulers that look at one profile at once do not both count on the same free places.
#[tokio::test]
async fn a_profile_is_judged_by_one_scheduler_at_a_time() {
    let world = World::new().await;
    let profile = world.profile(4).await;
    mailboxes(&world, profile, 10).await;
    let mut first = world.store.begin().await.unwrap();
    let loads = schedules::lock_due_profiles(&mut first, 10).await.unwrap();
    assert_eq!((loads.len(), loads[0].profile, loads[0].claimed), (1, profile, 0));
    assert_eq!(loads[0].caps, 40, "ten accounts of four connections each");
    let mut second = world.store.begin().await.unwrap();
    assert!(schedules::lock_due_profiles(&mut second, 10).await.unwrap().is_empty(), "held by the first one");
    assert_eq!(schedules::claim(&mut first, &[(profile, 3)], LIFETIME).await.unwrap().len(), 3);
    first.commit().await.unwrap();
    let loads = schedules::lock_due_profiles(&mut second, 10).await.unwrap();
    assert_eq!(loads[0].claimed, 3, "what the first one took is counted");
}

#[tokio::test]
async fn profiles_with_nothing_to_do_or_an_open_breaker_are_not_looked_at() {
    let world = World::new().await;
    let (idle, open, probing, inactive, busy) = (
        world.profile(4).await,
        world.profile(4).await,
        world.profile(4).await,
        world.profile(4).await,
        world.profile(4).await,
    );
    for profile in [open, probing, inactive, busy] {
        mailboxes(&world, profile, 2).await;
    }
    world.user_mailbox(idle, "idle").await;
    world
        .sql(&format!(
            "UPDATE lane_schedules SET due_at = due_at + interval '1 s' WHERE profile_id = '{idle}';
             UPDATE email_server_profiles SET breaker_open_until = '{0}'::timestamptz + interval '1 s' WHERE id = '{open}';
             UPDATE email_server_profiles SET breaker_open_until = '{0}' WHERE id = '{probing}';
             UPDATE email_server_profiles SET active = false WHERE id = '{inactive}';
             UPDATE email_server_profiles SET credentials = 'profile' WHERE id = '{busy}'",
            morning()
        ))
        .await;
    let mut tx = world.store.begin().await.unwrap();
    let loads = schedules::lock_due_profiles(&mut tx, 10).await.unwrap();
    let mut found: Vec<_> = loads.iter().map(|load| load.profile).collect();
    found.sort();
    assert_eq!(found, [probing, busy], "one bad server takes no other server's turn");
    assert_eq!(loads.iter().find(|load| load.profile == busy).unwrap().caps, 4, "one account for all mailboxes");
}

#[tokio::test]
async fn nothing_is_handed_out_before_its_time() {
    let world = World::new().await;
    let profile = world.profile(10).await;
    let [later, postponed, disabled, taken, due] = mailboxes(&world, profile, 5).await[..] else { panic!() };
    world
        .sql(&format!(
            "UPDATE lane_schedules SET due_at = '{0}'::timestamptz + interval '1 ms' WHERE mailbox_id = '{later}';
             UPDATE lane_schedules SET not_before = '{0}'::timestamptz + interval '1 ms' WHERE mailbox_id = '{postponed}';
             UPDATE lane_schedules SET enabled = false WHERE mailbox_id = '{disabled}';
             UPDATE lane_schedules SET claimed_until = '{0}'::timestamptz + interval '1 ms' WHERE mailbox_id = '{taken}'",
            morning()
        ))
        .await;
    let claimed: Vec<_> = claim(&world, &[(profile, 10)]).await.iter().map(|c| c.mailbox).collect();
    assert_eq!(claimed, [due]);
    world.advance(1);
    let claimed: HashSet<_> = claim(&world, &[(profile, 10)]).await.iter().map(|c| c.mailbox).collect();
    assert_eq!(claimed, HashSet::from([later, postponed, taken]));
}

/// A hint that got lost comes again as the same occasion, later each time.
#[tokio::test]
async fn an_expired_claim_is_handed_out_again_as_the_same_occasion() {
    let world = World::new().await;
    let profile = world.profile(10).await;
    let mailbox = mailboxes(&world, profile, 1).await[0];
    let first = claim(&world, &[(profile, 1)]).await.remove(0);
    assert_eq!((first.mailbox, first.claims), (mailbox, 1));
    for (minutes, claims) in [(1_u64, 2), (2, 3), (4, 4), (4, 5)] {
        world.advance(minutes * 60 - 1);
        assert!(claim(&world, &[(profile, 1)]).await.is_empty(), "claim {} lasts {minutes} minutes", claims - 1);
        world.advance(1);
        let again = claim(&world, &[(profile, 1)]).await.remove(0);
        assert_eq!((again.generation, again.claims, again.due_at), (first.generation, claims, first.due_at));
    }
}

#[tokio::test]
async fn a_sign_of_life_extends_the_claim_of_its_own_occasion_only() {
    let world = World::new().await;
    let profile = world.profile(10).await;
    mailboxes(&world, profile, 1).await;
    let first = claim(&world, &[(profile, 1)]).await.remove(0);
    world.advance(50);
    let mut tx = world.store.begin().await.unwrap();
    let stale = (first.mailbox, first.lane, first.generation - 1);
    schedules::extend_claims(&mut tx, &[(stale, None)], LIFETIME).await.unwrap();
    tx.commit().await.unwrap();
    world.advance(10);
    let again = claim(&world, &[(profile, 1)]).await;
    assert_eq!(again.len(), 1, "an old occasion's sign of life means nothing");
    let mut tx = world.store.begin().await.unwrap();
    let own = (first.mailbox, first.lane, first.generation);
    schedules::extend_claims(&mut tx, &[(own, None)], Duration::from_secs(1)).await.unwrap();
    schedules::extend_claims(&mut tx, &[(own, None)], Duration::from_secs(300)).await.unwrap();
    schedules::extend_claims(&mut tx, &[(own, None)], Duration::from_secs(1)).await.unwrap();
    tx.commit().await.unwrap();
    world.advance(299);
    assert!(claim(&world, &[(profile, 1)]).await.is_empty(), "extended, and never shortened");
}

/// A report that comes twice, or late, changes nothing.
#[tokio::test]
async fn a_fold_counts_once() {
    let world = World::new().await;
    let profile = world.profile(10).await;
    mailboxes(&world, profile, 1).await;
    let claimed = claim(&world, &[(profile, 1)]).await.remove(0);
    assert_eq!(fold(&world, &claimed, folded(&claimed, &world)).await, 1);
    assert_eq!(fold(&world, &claimed, folded(&claimed, &world)).await, 0, "seen before");
    assert_eq!(world.number("SELECT cycles FROM lane_schedules").await, 1);
    assert_eq!(world.number("SELECT seen * 100 + tracked * 10 + refused FROM lane_schedules").await, 321);
    assert_eq!(world.number("SELECT generation FROM lane_schedules").await, claimed.generation + 1);
    assert_eq!(world.number("SELECT claims FROM lane_schedules WHERE claimed_until IS NULL").await, 0);
    world.advance(5 * 60);
    let next = claim(&world, &[(profile, 1)]).await.remove(0);
    assert_eq!((next.generation, next.claims), (claimed.generation + 1, 1));
}

/// Two schedulers get the same report: one counts it, the other waits and then finds it counted.
#[tokio::test]
async fn two_folds_of_one_report_count_once() {
    let world = World::new().await;
    let profile = world.profile(10).await;
    mailboxes(&world, profile, 1).await;
    let claimed = claim(&world, &[(profile, 1)]).await.remove(0);
    let folds = (0..4).map(|_| fold(&world, &claimed, folded(&claimed, &world)));
    let current: usize = futures::future::join_all(folds).await.into_iter().sum();
    assert_eq!(current, 1);
    assert_eq!(world.number("SELECT cycles FROM lane_schedules").await, 1);
}

/// A deferral is no attempt: the lane keeps its place in the order, and what stood against it stands.
#[tokio::test]
async fn a_deferral_moves_no_due_time_and_forgets_no_fault() {
    let world = World::new().await;
    let profile = world.profile(10).await;
    mailboxes(&world, profile, 1).await;
    world
        .sql(
            "UPDATE lane_schedules SET fault_code = 'LoginFailed', fault_class = 'transient', fault_message = 'try later',
                 fault_at = '2026-11-22 00:00+00', transient_failures = 3, last_outcome = 'failed'",
        )
        .await;
    for outcome in ["deferred", "lease_lost"] {
        let claimed = claim(&world, &[(profile, 1)]).await.remove(0);
        let due_at = (outcome == "lease_lost").then_some(claimed.due_at);
        let decision = Folded {
            due_at,
            not_before: Some(world.clock.now() + TimeDelta::seconds(2)),
            interval_seconds: None,
            succeeded: false,
            informed: false,
            transient_failures: 3,
            outcome: outcome.to_owned(),
            ..folded(&claimed, &world)
        };
        assert_eq!(fold(&world, &claimed, decision).await, 1);
        world.advance(1);
        assert!(claim(&world, &[(profile, 1)]).await.is_empty());
        world.advance(1);
        let again = claim(&world, &[(profile, 1)]).await.remove(0);
        assert_eq!((again.due_at, again.generation, again.claims), (claimed.due_at, claimed.generation + 1, 1));
        let fault = world
            .text("SELECT concat_ws('|', fault_code, fault_class, fault_message, fault_at::date) FROM lane_schedules");
        assert_eq!(fault.await, "LoginFailed|transient|try later|2026-11-22", "after {outcome}");
        world.advance(60);
    }
    assert_eq!(world.number("SELECT cycles FROM lane_schedules").await, 0);
}

#[tokio::test]
async fn a_fault_may_disable_the_lane_and_says_so() {
    let world = World::new().await;
    let profile = world.profile(10).await;
    mailboxes(&world, profile, 1).await;
    let claimed = claim(&world, &[(profile, 1)]).await.remove(0);
    let decision = Folded {
        due_at: None,
        fault_code: Some("LoginRefused".to_owned()),
        fault_class: Some("auth".to_owned()),
        fault_message: Some("-ERR no".to_owned()),
        disabled_code: Some("LoginRefused".to_owned()),
        succeeded: false,
        outcome: "failed".to_owned(),
        ..folded(&claimed, &world)
    };
    fold(&world, &claimed, decision).await;
    let row =
        "SELECT concat_ws('|', enabled, disabled_code, fault_code, fault_class, fault_message) FROM lane_schedules";
    assert_eq!(world.text(row).await, "f|LoginRefused|LoginRefused|auth|-ERR no");
    world.advance(86_400);
    assert!(claim(&world, &[(profile, 1)]).await.is_empty());
    world.realign(&[claimed.mailbox]).await;
    assert!(claim(&world, &[(profile, 1)]).await.is_empty(), "an edit is no reason to believe that it works again");
    world.tested(claimed.mailbox).await;
    assert_eq!(claim(&world, &[(profile, 1)]).await.len(), 1, "enabled anew, and due at once");
    assert_eq!(world.text("SELECT COALESCE(disabled_code, '-') FROM lane_schedules").await, "-");
}

/// Whoever is at work is fenced, whatever is queued is stale, and the lane is due at once.
#[tokio::test]
async fn realigning_outdates_everything_under_way() {
    let world = World::new().await;
    let profile = world.profile(10).await;
    let mailbox = mailboxes(&world, profile, 1).await[0];
    let claimed = claim(&world, &[(profile, 1)]).await.remove(0);
    let before = world.lane(mailbox).await;
    world.advance(10);
    world.realign(&[mailbox, mailbox]).await;
    assert_eq!(world.lane(mailbox).await, (before.0 + 1, before.1 + 1));
    assert_eq!(fold(&world, &claimed, folded(&claimed, &world)).await, 0, "the old occasion's report is stale");
    let again = claim(&world, &[(profile, 1)]).await.remove(0);
    assert_eq!((again.generation, again.claims, again.due_at), (before.1 + 1, 1, world.clock.now()));
}

/// C3, C9: a lane is worked only when all of this holds.
#[tokio::test]
async fn a_lane_is_enabled_by_all_conditions_together() {
    let world = World::new().await;
    let profile = world.profile(10).await;
    let user = world.user("anna", TrackOption::All).await;
    let mailbox = world.mailbox(profile, Owner::User(user)).await;
    let enabled = || world.number("SELECT enabled::int FROM lane_schedules");
    assert_eq!(enabled().await, 1);
    for (spoilt, mended) in [
        ("UPDATE mailboxes SET active = false", "UPDATE mailboxes SET active = true"),
        ("UPDATE email_server_profiles SET active = false", "UPDATE email_server_profiles SET active = true"),
        ("UPDATE mailboxes SET incoming_method = 'none'", "UPDATE mailboxes SET incoming_method = 'server-side'"),
        ("UPDATE mailboxes SET incoming_enabled = false", "UPDATE mailboxes SET incoming_enabled = true"),
        ("UPDATE mailboxes SET address_status = 'rejected'", "UPDATE mailboxes SET address_status = 'approved'"),
        ("UPDATE mailboxes SET address_status = 'pending'", "UPDATE organisations SET approve_users = false"),
        ("UPDATE mailboxes SET address_status = 'empty'", "UPDATE mailboxes SET address_status = 'approved'"),
    ] {
        world.sql(spoilt).await;
        world.realign(&[mailbox]).await;
        assert_eq!(enabled().await, 0, "{spoilt}");
        world.sql(mended).await;
        world.realign(&[mailbox]).await;
        assert_eq!(enabled().await, 1, "{mended}");
    }
}

/// A mailbox whose profile was taken away has nowhere to connect to.
#[tokio::test]
async fn a_lane_without_a_profile_is_not_handed_out() {
    let world = World::new().await;
    let profile = world.profile(10).await;
    let mailbox = mailboxes(&world, profile, 1).await[0];
    let claimed = claim(&world, &[(profile, 1)]).await.remove(0);
    world.sql("UPDATE mailboxes SET profile_id = NULL").await;
    world.realign(&[mailbox]).await;
    world.advance(3600);
    assert!(claim(&world, &[(profile, 1)]).await.is_empty());
    assert_eq!(fold(&world, &claimed, folded(&claimed, &world)).await, 0);
    world.sql(&format!("UPDATE mailboxes SET profile_id = '{profile}'")).await;
    world.realign(&[mailbox]).await;
    assert_eq!(claim(&world, &[(profile, 1)]).await.len(), 1, "with a profile it is due at once");
}

/// Changes to two profiles that share mailboxes, made at once in opposite orders, end without a deadlock.
#[tokio::test]
async fn realigning_in_any_order_never_deadlocks() {
    let world = World::new().await;
    let profile = world.profile(10).await;
    let forth = mailboxes(&world, profile, 30).await;
    let back: Vec<_> = forth.iter().rev().copied().collect();
    let realigning = (0..8).map(|at| {
        let (world, ids) = (&world, if at % 2 == 0 { &forth } else { &back });
        async move {
            for _ in 0..5 {
                world.realign(ids).await;
            }
        }
    });
    futures::future::join_all(realigning).await;
    assert_eq!(world.lane(forth[0]).await, (41, 41), "40 times realigned");
}

#[tokio::test]
async fn breakers_are_stored_as_they_were_written() {
    let world = World::new().await;
    let (one, other) = (world.profile(1).await, world.profile(1).await);
    let row = schedules::BreakerRow { failures: 2, step: 3, open_until: Some(morning()) };
    let mut tx = world.store.begin().await.unwrap();
    schedules::write_breaker(&mut tx, other, row).await.unwrap();
    let read = schedules::lock_breakers(&mut tx, &[other, one]).await.unwrap();
    assert_eq!(read, [(one, schedules::BreakerRow::default()), (other, row)]);
}

#[test]
fn lanes_are_named_as_the_database_names_them() {
    assert_eq!(serde_json::to_value(Lane::Incoming).unwrap(), "incoming");
}
