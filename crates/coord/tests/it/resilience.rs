//! N3: a process without Redis opens nothing new for a lifetime, then keeps to its share, and comes back by itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use lockstep_coord::{
    Admission, Admitted, Config, Coord, Error, MemoryCoord, Metrics, RedisCoord, Released, Renewed, Resilient,
};
use lockstep_model::{
    id::{OrganisationId, ProfileId},
    mailbox::Account,
};
use lockstep_test_support::{
    chaos::{ChaosProxy, Mode},
    eventually,
    redis::TestRedis,
};
use prometheus::Registry;
use tokio::time::advance;

use crate::world::{Asking, SOON};

/// A service that can be taken away.
#[derive(Debug)]
struct Switched {
    twin: MemoryCoord,
    away: AtomicBool,
}

impl Switched {
    fn check(&self) -> Result<(), Error> {
        if self.away.load(Ordering::Relaxed) { Err(Error::Unavailable("switched off".to_owned())) } else { Ok(()) }
    }
}

#[async_trait]
impl Coord for Switched {
    async fn admit(&self, admission: &Admission) -> Result<Admitted, Error> {
        self.check()?;
        self.twin.admit(admission).await
    }
    async fn renew(&self, admission: &Admission) -> Result<Renewed, Error> {
        self.check()?;
        self.twin.renew(admission).await
    }
    async fn release(&self, admission: &Admission) -> Result<Released, Error> {
        self.check()?;
        self.twin.release(admission).await
    }
    async fn cool_down(&self, profile: ProfileId, cool_down_for: Duration) -> Result<Duration, Error> {
        self.check()?;
        self.twin.cool_down(profile, cool_down_for).await
    }
    async fn usage(&self, profile: ProfileId, account: &Account) -> Result<u32, Error> {
        self.check()?;
        self.twin.usage(profile, account).await
    }
    async fn ping(&self) -> Result<(), Error> {
        self.check()
    }
}

fn resilient(live: u32) -> (Arc<Switched>, Resilient<Arc<Switched>>) {
    let service = Arc::new(Switched { twin: MemoryCoord::new(), away: AtomicBool::new(false) });
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let coord = Resilient::new(Arc::clone(&service), Arc::new(AtomicU32::new(live)), metrics);
    (service, coord)
}

#[tokio::test(start_paused = true)]
async fn n3_nothing_new_for_a_lifetime_then_a_share_then_back() {
    let (service, coord) = resilient(2);
    let asking = Asking::with_cap(5);
    let old = asking.run();
    assert_eq!(coord.admit(&old).await.unwrap(), Admitted::Granted);
    service.away.store(true, Ordering::Relaxed);

    let newcomer = asking.run();
    assert!(matches!(coord.admit(&newcomer).await.unwrap(), Admitted::NoPermit { .. }));
    assert!(coord.is_degraded());
    // The old holder goes on, and counts towards the share of two.
    for _ in 0..3 {
        advance(asking.ttl / 3).await;
        assert!(coord.renew(&old).await.unwrap().permit_held);
    }
    assert_eq!(coord.admit(&newcomer).await.unwrap(), Admitted::Granted);
    assert!(matches!(coord.admit(&asking.run()).await.unwrap(), Admitted::NoPermit { .. }));

    // Redis is back, and remembers nobody: whoever was admitted here joins again at the next renewal.
    service.away.store(false, Ordering::Relaxed);
    advance(Duration::from_secs(2)).await;
    for run in [&old, &newcomer] {
        let renewed = coord.renew(run).await.unwrap();
        assert!(renewed.permit_held && renewed.lease_held);
    }
    assert!(!coord.is_degraded());
    assert_eq!(service.twin.usage(asking.profile, &Account::of_profile()).await.unwrap(), 2);
}

/// B20, N3: whatever roles the replicas play, on one account they stay within its cap together.
#[tokio::test(start_paused = true)]
async fn b20_n3_the_shares_of_all_replicas_never_add_up_to_more_than_the_cap() {
    for cap in 1..=11 {
        for live in 1..=5_u32 {
            let replicas: Vec<_> = (0..live).map(|_| resilient(live)).collect();
            let asking = Asking::with_cap(cap);
            let mut out = 0;
            for (service, coord) in &replicas {
                service.away.store(true, Ordering::Relaxed);
                assert!(matches!(coord.admit(&asking.run()).await.unwrap(), Admitted::NoPermit { .. }));
            }
            advance(asking.ttl).await;
            for (_, coord) in &replicas {
                for _ in 0..=cap {
                    // As those who send do: the account's last permit is open to them.
                    let run = Admission { reserve: true, ..asking.run() };
                    out += u32::from(coord.admit(&run).await.unwrap() == Admitted::Granted);
                }
            }
            assert_eq!(out, cap / live * live, "cap {cap}, {live} replicas");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn before_the_first_heartbeat_nothing_is_granted_locally() {
    let (service, coord) = resilient(0);
    let asking = Asking::with_cap(5);
    service.away.store(true, Ordering::Relaxed);
    assert!(matches!(coord.admit(&asking.run()).await.unwrap(), Admitted::NoPermit { .. }));
    advance(asking.ttl * 2).await;
    assert!(matches!(coord.admit(&asking.run()).await.unwrap(), Admitted::NoPermit { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_lapsed_while_redis_was_there_is_not_put_back() {
    let (_, coord) = resilient(1);
    let asking = Asking::with_cap(5);
    let run = asking.run();
    assert_eq!(coord.admit(&run).await.unwrap(), Admitted::Granted);
    advance(asking.ttl * 2).await;
    assert!(!coord.renew(&run).await.unwrap().permit_held);
}

#[tokio::test(start_paused = true)]
async fn back_with_the_cap_reached_a_local_holder_has_to_close() {
    let (service, coord) = resilient(1);
    let asking = Asking::with_cap(1);
    assert_eq!(coord.admit(&asking.run()).await.unwrap(), Admitted::Granted);
    service.away.store(true, Ordering::Relaxed);
    assert!(matches!(coord.admit(&asking.run()).await.unwrap(), Admitted::NoPermit { .. }));
    advance(asking.ttl).await;
    let local = asking.run();
    assert_eq!(coord.admit(&local).await.unwrap(), Admitted::Granted);
    // Another replica was faster at the service.
    assert_eq!(service.twin.admit(&asking.run()).await.unwrap(), Admitted::Granted);
    service.away.store(false, Ordering::Relaxed);
    advance(Duration::from_secs(2)).await;
    assert!(!coord.renew(&local).await.unwrap().permit_held);
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_unavailable_in_bounded_time() {
    // Nothing listens on the discard port of this machine.
    let mut config = Config::new("redis://127.0.0.1:9".parse().unwrap());
    config.connect_timeout_ms = 500;
    let coord = RedisCoord::connect(&config, OrganisationId::new()).unwrap();
    let begun = std::time::Instant::now();
    let error = coord.admit(&Asking::with_cap(1).run()).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    assert!(coord.ping().await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn a_bad_address_is_a_configuration_error_that_hides_it() {
    let config = Config::new("http://user:hunter2@host".parse().unwrap());
    let error = RedisCoord::connect(&config, OrganisationId::new()).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

/// N3: the real service goes silent, then away, then comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n3_redis_goes_silent_then_away_then_comes_back() {
    let redis = TestRedis::create().await;
    let (proxy, url) = ChaosProxy::in_front_of_url(redis.url(), 6379).await;
    let mut config = Config::new(url.parse().unwrap());
    (config.connect_timeout_ms, config.response_timeout_ms) = (500, 500);
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let inner = RedisCoord::connect(&config, OrganisationId::new()).unwrap();
    let coord = Resilient::new(inner, Arc::new(AtomicU32::new(1)), metrics);
    let asking = Asking { ttl: Duration::from_secs(4), ..Asking::with_cap(2) };
    let holder = asking.run();
    assert_eq!(coord.admit(&holder).await.unwrap(), Admitted::Granted);

    proxy.set(Mode::Blackhole);
    let begun = std::time::Instant::now();
    assert!(coord.renew(&holder).await.unwrap().permit_held, "a holder goes on");
    assert!(coord.is_degraded());
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    proxy.set(Mode::Refuse);
    proxy.cut_all();
    let newcomer = asking.run();
    assert!(matches!(coord.admit(&newcomer).await.unwrap(), Admitted::NoPermit { .. }), "nothing new for a lifetime");
    let granted = async || {
        assert!(coord.renew(&holder).await.unwrap().permit_held);
        coord.admit(&newcomer).await.unwrap() == Admitted::Granted
    };
    eventually(SOON * 3, granted, "the lifetime passes and the share is used").await;
    assert!(coord.is_degraded());

    proxy.set(Mode::Pass);
    let back = async || {
        for run in [&holder, &newcomer] {
            assert!(coord.renew(run).await.unwrap().permit_held);
        }
        !coord.is_degraded()
    };
    eventually(SOON * 3, back, "redis is used again").await;
    for run in [&holder, &newcomer] {
        assert!(coord.renew(run).await.unwrap().permit_held);
    }
    assert_eq!(coord.usage(asking.profile, &Account::of_profile()).await.unwrap(), 2, "both are counted in redis");
}
