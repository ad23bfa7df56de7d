//! Values the tests ask with, and the Redis they ask.

use std::time::Duration;

use lockstep_coord::{Admission, Config, RedisCoord};
use lockstep_model::{
    id::{MailboxId, OrganisationId, ProfileId, RunId},
    mailbox::{Account, Lane},
};
use lockstep_test_support::redis::TestRedis;

/// Longest wait for something that has to happen.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A profile nobody has used before.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    pub(crate) profile: ProfileId,
    pub(crate) cap: u32,
    pub(crate) ttl: Duration,
}

impl Asking {
    pub(crate) fn with_cap(cap: u32) -> Self {
        Self { profile: ProfileId::new(), cap, ttl: Duration::from_secs(60) }
    }

    pub(crate) fn short(cap: u32) -> Self {
        Self { ttl: Duration::from_millis(400), ..Self::with_cap(cap) }
    }

    /// An admission of a new run, without a lane, that may use the last permit.
    pub(crate) fn run(&self) -> Admission {
        Admission {
            profile: self.profile,
            account: Account::of_profile(),
            cap: self.cap,
            lease: None,
            run: RunId::new(),
            permit_ttl: self.ttl,
            lease_ttl: self.ttl,
            reserve: true,
            opening: true,
        }
    }

    pub(crate) fn run_at(&self, mailbox: MailboxId) -> Admission {
        Admission { lease: Some((mailbox, Lane::Incoming)), ..self.run() }
    }
}

/// Real Redis: a database of its own, and a process's connection to it.
pub(crate) struct Real {
    pub(crate) redis: TestRedis,
    pub(crate) coord: RedisCoord,
}

impl Real {
    pub(crate) async fn start() -> Self {
        let redis = TestRedis::create().await;
        let mut config = Config::new(redis.url().parse().unwrap());
        // The test machine may be busy.
        config.response_timeout_ms = 10_000;
        let coord = RedisCoord::connect(&config, OrganisationId::new()).unwrap();
        Self { redis, coord }
    }
}
