//! Coordination in Redis: one script, one round trip, one hash slot for each call.

use std::{fmt, time::Duration};

use ::redis::{
    Client, RedisError, Script, ScriptInvocation,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use async_trait::async_trait;
use lockstep_model::{
    id::{MailboxId, OrganisationId, ProfileId},
    mailbox::{Account, Lane},
};

use crate::{
    config::Config,
    error::Error,
    port::{Admission, Admitted, Coord, MARKER_TTL, MAX_COOL_DOWN, Released, Renewed},
};

/// Coordination in Redis, for all replicas of one organisation.
pub struct RedisCoord {
    connection: ConnectionManager,
    organisation: OrganisationId,
    /// Longest time one call may take, a reconnect and a second try included.
    call_timeout: Duration,
    scripts: Scripts,
}

struct Scripts {
    airlock: Script,
    renew: Script,
    release: Script,
    cool_down: Script,
    usage: Script,
}

impl Scripts {
    fn new() -> Self {
        let with_slot = |script: &str| Script::new(&format!("{}\n{script}", include_str!("scripts/slot.lua")));
        Self {
            airlock: with_slot(include_str!("scripts/airlock.lua")),
            renew: with_slot(include_str!("scripts/renew.lua")),
            release: with_slot(include_str!("scripts/release.lua")),
            cool_down: Script::new(include_str!("scripts/cooldown.lua")),
            usage: with_slot(include_str!("scripts/usage.lua")),
        }
    }
}

impl fmt::Debug for RedisCoord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCoord").field("organisation", &self.organisation).finish_non_exhaustive()
    }
}

impl RedisCoord {
    /// Prepares the connection. It is made at the first call and made again whenever it is lost, so that a process
    /// can start while Redis is away; ask [`Coord::ping`] for readiness.
    ///
    /// # Errors
    /// [`Error::Config`] when the address cannot be used.
    pub fn connect(config: &Config, organisation: OrganisationId) -> Result<Self, Error> {
        let bad = |e: RedisError| Error::Config(e.category().to_owned());
        let client = Client::open(config.url.expose().as_str()).map_err(bad)?;
        // One quick second try for each reconnect: whoever waits longer is better told that Redis is away.
        let manager = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(config.connect_timeout()))
            .set_response_timeout(Some(config.response_timeout()))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(Duration::from_millis(250));
        Ok(Self {
            connection: ConnectionManager::new_lazy_with_config(client, manager).map_err(bad)?,
            organisation,
            call_timeout: config.connect_timeout() + config.response_timeout() * 2,
            scripts: Scripts::new(),
        })
    }

    fn key(&self, profile: ProfileId, what: fmt::Arguments<'_>) -> String {
        format!("lockstep:{}:{{{profile}}}:{what}", self.organisation)
    }

    fn marker(&self, profile: ProfileId) -> String {
        self.key(profile, format_args!("slot"))
    }

    fn cool(&self, profile: ProfileId) -> String {
        self.key(profile, format_args!("cool"))
    }

    fn permits(&self, profile: ProfileId, account: &Account) -> String {
        self.key(profile, format_args!("permit:{}", account.as_str()))
    }

    fn lease(&self, profile: ProfileId, (mailbox, lane): (MailboxId, Lane)) -> String {
        self.key(profile, format_args!("lease:{mailbox}:{lane}"))
    }

    /// Runs a script, a second time when the connection broke: no script does more the second time.
    async fn run<T: ::redis::FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, Error> {
        let attempts = async {
            match script.invoke_async(&mut self.connection.clone()).await {
                Err(error) if broken(&error) => script.invoke_async(&mut self.connection.clone()).await,
                answer => answer,
            }
        };
        match tokio::time::timeout(self.call_timeout, attempts).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Error::Unavailable(format!("no answer within {:?}", self.call_timeout))),
        }
    }
}

/// The connection broke, as opposed to: Redis is slow or refuses.
fn broken(error: &RedisError) -> bool {
    error.is_io_error() && !error.is_timeout() && !error.is_connection_refusal()
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl Coord for RedisCoord {
    async fn admit(&self, admission: &Admission) -> Result<Admitted, Error> {
        let mut script = self.scripts.airlock.key(self.marker(admission.profile));
        script.key(self.cool(admission.profile)).key(self.permits(admission.profile, &admission.account));
        if let Some(lane) = admission.lease {
            script.key(self.lease(admission.profile, lane));
        }
        script
            .arg(admission.run.to_string())
            .arg(ms(admission.permit_ttl()))
            .arg(ms(admission.lease_ttl()))
            .arg(admission.limit())
            .arg(ms(MARKER_TTL))
            .arg(u8::from(admission.opening));
        let (outcome, wait): (u8, u64) = self.run(&script).await?;
        let wait = Duration::from_millis(wait);
        match outcome {
            0 => Ok(Admitted::Granted),
            1 => Ok(Admitted::CoolingDown { wait }),
            2 => Ok(Admitted::NoPermit { hint: wait }),
            3 => Ok(Admitted::LeaseBusy),
            other => Err(Error::Answer(format!("outcome {other} of an admission"))),
        }
    }

    async fn renew(&self, admission: &Admission) -> Result<Renewed, Error> {
        let mut script = self.scripts.renew.key(self.marker(admission.profile));
        script.key(self.cool(admission.profile)).key(self.permits(admission.profile, &admission.account));
        if let Some(lane) = admission.lease {
            script.key(self.lease(admission.profile, lane));
        }
        script
            .arg(admission.run.to_string())
            .arg(ms(admission.permit_ttl()))
            .arg(ms(admission.lease_ttl()))
            .arg(admission.cap)
            .arg(ms(MARKER_TTL));
        let (permit, lease, cooling): (u8, u8, u64) = self.run(&script).await?;
        Ok(Renewed {
            permit_held: permit == 1,
            lease_held: lease == 1,
            cooling_down: (cooling > 0).then(|| Duration::from_millis(cooling)),
        })
    }

    async fn release(&self, admission: &Admission) -> Result<Released, Error> {
        let mut script = self.scripts.release.key(self.permits(admission.profile, &admission.account));
        if let Some(lane) = admission.lease {
            script.key(self.lease(admission.profile, lane));
        }
        script.arg(admission.run.to_string());
        let (permit, lease): (u8, u8) = self.run(&script).await?;
        Ok(Released { permit: permit == 1, lease: lease == 1 })
    }

    async fn cool_down(&self, profile: ProfileId, cool_down_for: Duration) -> Result<Duration, Error> {
        let wanted = cool_down_for.clamp(Duration::from_millis(1), MAX_COOL_DOWN);
        let mut script = self.scripts.cool_down.key(self.cool(profile));
        script.arg(ms(wanted));
        Ok(Duration::from_millis(self.run(&script).await?))
    }

    async fn usage(&self, profile: ProfileId, account: &Account) -> Result<u32, Error> {
        self.run(&self.scripts.usage.key(self.permits(profile, account))).await
    }

    async fn ping(&self) -> Result<(), Error> {
        let mut connection = self.connection.clone();
        match tokio::time::timeout(self.call_timeout, ::redis::cmd("PING").query_async::<()>(&mut connection)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Error::Unavailable(format!("no answer within {:?}", self.call_timeout))),
        }
    }
}
