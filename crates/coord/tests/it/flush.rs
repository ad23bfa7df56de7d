//! Invariant 5: after everything was forgotten, holders are counted again before anything new is granted.

use std::time::Duration;

use lockstep_coord::{Admission, Admitted, Coord};
use lockstep_model::{id::MailboxId, mailbox::Account};
use lockstep_test_support::{eventually, redis::Reply};

use crate::world::{Asking, Real, SOON};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holders_come_back_and_newcomers_wait_one_lifetime() {
    let real = Real::start().await;
    let coord = &real.coord;
    let asking = Asking { ttl: Duration::from_secs(2), ..Asking::with_cap(3) };
    let holders: Vec<_> = (0..3).map(|_| asking.run_at(MailboxId::new())).collect();
    for holder in &holders {
        assert_eq!(coord.admit(holder).await.unwrap(), Admitted::Granted);
    }
    real.redis.flush().await;
    let newcomer = Admission { opening: false, ..asking.run() };
    assert!(matches!(coord.admit(&newcomer).await.unwrap(), Admitted::NoPermit { .. }));
    for holder in &holders {
        let renewed = coord.renew(holder).await.unwrap();
        assert!(renewed.permit_held && renewed.lease_held, "{renewed:?}");
    }
    assert_eq!(coord.usage(asking.profile, &Account::of_profile()).await.unwrap(), 3);
    // A fourth that claims to have been there finds the cap reached.
    assert!(!coord.renew(&asking.run()).await.unwrap().permit_held);
    // Two holders live on, one is dead: its permit goes to the newcomer, and the cap holds all the time.
    let replaced = async || {
        for holder in &holders[..2] {
            assert!(coord.renew(holder).await.unwrap().permit_held);
        }
        assert!(coord.usage(asking.profile, &Account::of_profile()).await.unwrap() <= 3);
        coord.admit(&newcomer).await.unwrap() == Admitted::Granted
    };
    eventually(SOON, replaced, "settling ends and the dead holder lapses").await;
    assert!(!coord.renew(&holders[2]).await.unwrap().permit_held, "put back only while settling");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_comes_first_makes_the_profile_settle() {
    let real = Real::start().await;
    let asking = Asking::with_cap(3);
    let holder = asking.run();
    assert_eq!(real.coord.admit(&holder).await.unwrap(), Admitted::Granted);
    real.redis.flush().await;
    assert!(real.coord.renew(&holder).await.unwrap().permit_held);
    // Even one that says the profile was never used: the marker is there.
    assert!(matches!(real.coord.admit(&asking.run()).await.unwrap(), Admitted::NoPermit { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_has_a_time_to_live_and_one_slot() {
    let real = Real::start().await;
    let asking = Asking::with_cap(3);
    assert_eq!(real.coord.admit(&asking.run_at(MailboxId::new())).await.unwrap(), Admitted::Granted);
    real.coord.cool_down(asking.profile, Duration::from_secs(30)).await.unwrap();
    let Reply::List(keys) = real.redis.command(&["KEYS", "*"]).await.unwrap() else { panic!("no list") };
    assert_eq!(keys.len(), 4, "{keys:?}");
    for key in keys {
        let Reply::Text(key) = key else { panic!("{key:?}") };
        assert!(key.starts_with("lockstep:") && key.contains(&format!(":{{{}}}:", asking.profile)), "{key}");
        let Reply::Integer(ttl) = real.redis.command(&["PTTL", &key]).await.unwrap() else { panic!("no number") };
        assert!(ttl > 0, "{key} lives for ever");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_connection_costs_one_retry_nobody_sees() {
    let real = Real::start().await;
    let asking = Asking::with_cap(3);
    assert_eq!(real.coord.admit(&asking.run()).await.unwrap(), Admitted::Granted);
    let Reply::Text(list) = real.redis.command(&["CLIENT", "LIST", "TYPE", "normal"]).await.unwrap() else {
        panic!("no list")
    };
    let database = real.redis.url().rsplit('/').next().unwrap();
    let mine = list.lines().filter(|line| line.contains(&format!(" db={database} ")) && line.contains("cmd=evalsha"));
    let ids: Vec<_> = mine.filter_map(|line| line.strip_prefix("id=")?.split(' ').next()).collect();
    assert_eq!(ids.len(), 1, "{list}");
    real.redis.command(&["CLIENT", "KILL", "ID", ids[0]]).await.unwrap();
    assert_eq!(real.coord.admit(&asking.run()).await.unwrap(), Admitted::Granted);
}
