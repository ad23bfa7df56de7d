//! The start of every role: settings, then one look at each service it needs, and only then ports and work.
//!
//! A start with wrong settings ends with exit code 78, one that cannot reach a service with 69. Once a role runs,
//! it survives the loss of every service.

use std::{path::PathBuf, sync::Arc, time::Duration};

use lockstep_connector::TlsTrust;
use lockstep_coord::{Coord, RedisCoord};
use lockstep_model::{clock::SystemClock, id::OrganisationId};
use lockstep_queue::{Broker as Connection, Error};
use lockstep_service::{Context, Exit, Failure, config::SecretUrl};
use lockstep_store::{
    PoolOptions, Store, Vault, restores,
    schema::{self, SchemaState, Unfit},
};
use lockstep_wire::Role;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Broker, Database, Redis, Source},
    roles::RoleSettings,
};

/// Pause between two attempts at a service.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// Longest single attempt.
const ATTEMPT: Duration = Duration::from_secs(5);

/// From the command line to the exit code of a role.
pub fn launch<S: RoleSettings>(file: Option<PathBuf>) -> Exit {
    let source = Source::new(file);
    let prepared = source.load::<S>().and_then(|settings| prepare(&source, &settings).map(|()| settings));
    let settings = match prepared {
        Ok(settings) => settings,
        Err(failure) => return failure.report(),
    };
    let default = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, S::PROBES_PORT));
    let common = settings.common().with_probes_default(default);
    lockstep_service::run(S::NAME, &common, move |context: Context| settings.run(context))
}

/// Checks the settings and looks at every service once, before any port is bound.
fn prepare<S: RoleSettings>(source: &Source, settings: &S) -> Result<(), Failure> {
    settings.check(source)?;
    // An error means that a provider is installed already, which is what is wanted.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unavailable(format!("the runtime cannot start: {error}")))?;
    let reached = runtime.block_on(reach(source, settings));
    runtime.shutdown_timeout(Duration::from_millis(200));
    reached
}

/// Every service a role needs, at the same time; all that fail are told of.
async fn reach<S: RoleSettings>(source: &Source, settings: &S) -> Result<(), Failure> {
    let deadline = Instant::now() + settings.startup().patience.get();
    let mut attempts: Vec<futures::future::LocalBoxFuture<'_, Result<(), Failure>>> = Vec::new();
    attempts.push(Box::pin(async move {
        database(settings.database(), deadline).await?;
        schema(settings.database(), deadline).await?;
        same_database(settings.database()).await
    }));
    if let Some(broker) = settings.broker() {
        for role in settings.broker_roles() {
            attempts.push(Box::pin(self::broker(broker, *role, deadline)));
        }
    }
    if let Some(redis) = settings.redis() {
        attempts.push(Box::pin(self::redis(redis, deadline)));
    }
    let failures: Vec<Failure> =
        futures::future::join_all(attempts).await.into_iter().filter_map(Result::err).collect();
    let Some(first) = failures.first() else { return Ok(()) };
    // Settings that cannot work are the better reason to give to a supervisor than a service that may come yet.
    let exit = failures.iter().find(|f| f.exit == Exit::Config).map_or(first.exit, |f| f.exit);
    let lines: String = failures.iter().map(|f| format!("\n  - {}: {f}", source.place())).collect();
    Err(Failure { exit, message: format!("{} cannot start:{lines}", S::NAME) })
}

/// Opens a pool for a role.
///
/// # Errors
/// Exit code 78 when the address cannot be used.
pub fn open_store(
    database: &Database,
    name: &str,
    max_connections: u32,
    clock: Arc<SystemClock>,
    vault: Vault,
) -> Result<Store, Failure> {
    let options = PoolOptions {
        max_connections,
        acquire_timeout: Duration::from_millis(database.acquire_timeout_ms),
        statement_timeout: Duration::from_millis(database.statement_timeout_ms),
        application_name: format!("lockstep {name}"),
    };
    Store::open(database.url.expose().as_str(), &options, clock, vault)
        .map_err(|text| Failure::config(format!("`database.url` is {text}")))
}

/// A vault for those who never open a secret: its key is forgotten with the process.
///
/// # Errors
/// Never with a key of this length.
pub fn no_vault() -> Result<Vault, Failure> {
    let (a, b) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    let key = [a.into_bytes(), b.into_bytes()].concat();
    Vault::new([("none".to_owned(), key)]).map_err(Failure::internal)
}

/// PostgreSQL: reached, and logged in.
///
/// # Errors
/// Exit code 69 when it cannot be reached until `deadline`, 78 when it refuses the user or the database.
pub async fn database(database: &Database, deadline: Instant) -> Result<(), Failure> {
    let store = open_store(database, "start", 1, Arc::default(), no_vault()?)?;
    let reached = until(deadline, async || match timeout(ATTEMPT, store.database_now()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if error.is_unavailable() => Err(Refusal::Later(told(&error))),
        Ok(Err(error)) => Err(Refusal::Never(told(&error))),
        Err(_) => Err(Refusal::Later("no answer in time".to_owned())),
    })
    .await;
    let result = match reached {
        Ok(()) => Ok(()),
        Err(Refusal::Never(why)) => Err(Failure::config(format!(
            "`database.url` is refused by PostgreSQL at {}: {why}; correct the user, the password or the name of the \
             database",
            database.url
        ))),
        Err(Refusal::Later(why)) => {
            let why = unreachable(&database.url, 5432).await.unwrap_or(why);
            Err(Failure::unavailable(format!(
                "`database.url` cannot be reached: PostgreSQL at {}: {why}; start it or correct the address",
                database.url
            )))
        }
    };
    store.close().await;
    result
}

/// The schema: one that this program may run on.
///
/// # Errors
/// Exit code 69 when it is not there or older until `deadline` (a migration may be under way), 78 when this program is too
/// old for it.
pub async fn schema(database: &Database, deadline: Instant) -> Result<SchemaState, Failure> {
    let store = open_store(database, "start", 1, Arc::default(), no_vault()?)?;
    let found = until(deadline, async || {
        let read = async { schema::state(&mut store.begin().await?).await };
        match timeout(ATTEMPT, read).await {
            Ok(Ok(state)) => schema::fits(state).map_err(|unfit| match unfit {
                Unfit::Missing | Unfit::Older { .. } => Refusal::Later(unfit.to_string()),
                Unfit::CodeTooOld(_) => Refusal::Never(unfit.to_string()),
            }),
            Ok(Err(error)) if error.is_unavailable() => Err(Refusal::Later(told(&error))),
            Ok(Err(error)) => Err(Refusal::Never(format!("the schema's version cannot be read: {}", told(&error)))),
            Err(_) => Err(Refusal::Later("no answer in time".to_owned())),
        }
    })
    .await;
    store.close().await;
    found.map_err(|refusal| {
        let at = |why| format!("`database.url`, PostgreSQL at {}: {why}", database.url);
        match refusal {
            Refusal::Later(why) => Failure::unavailable(at(why)),
            Refusal::Never(why) => Failure::config(at(why)),
        }
    })
}

/// The database the roles were last started in, and no copy or restored dump of it.
///
/// # Errors
/// Exit code 78 when it is another, 69 when it cannot be read.
pub async fn same_database(database: &Database) -> Result<(), Failure> {
    let store = open_store(database, "start", 1, Arc::default(), no_vault()?)?;
    let looked = async {
        let mut tx = store.begin().await?;
        let known = restores::recognise(&mut tx).await?;
        tx.commit().await?;
        Ok::<_, lockstep_store::Error>(known)
    };
    let found = timeout(ATTEMPT, looked).await;
    store.close().await;
    let at = |why: String| format!("`database.url`, PostgreSQL at {}: {why}", database.url);
    match found {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(Failure::config(at("this is a copy of the database that Lockstep has worked in, restored from a \
             dump or moved: emails would be sent a second time. Stop every role, look at `lockstep restored`, and run it \
             with --confirm (with --moved when nothing was lost)"
            .to_owned()))),
        Ok(Err(error)) => Err(Failure::unavailable(at(told(&error)))),
        Err(_) => Err(Failure::unavailable(at("no answer in time".to_owned()))),
    }
}

/// RabbitMQ: reached, logged in, and the role's queue declared.
///
/// # Errors
/// Exit code 69 when it cannot be reached until `deadline`, 78 when the address cannot be used, or when RabbitMQ refuses
/// the user, the virtual host or the declaration.
pub async fn broker(broker: &Broker, role: Role, deadline: Instant) -> Result<(), Failure> {
    let key = broker.key(role);
    let (Some(config), Some(url)) = (broker.queue(role), broker.url(role)) else {
        return Err(Failure::config(format!("`{key}` is missing")));
    };
    let metrics = lockstep_queue::Metrics::new().map_err(Failure::internal)?;
    let stop = CancellationToken::new();
    let _stopped_at_the_end = stop.clone().drop_guard();
    let connection = Connection::connect_supervised(config, role, metrics, stop)
        .map_err(|error| Failure::config(format!("`{key}`: {error}")))?;
    let (mut connected, mut problems) = (connection.connected(), connection.problems());
    let refused = |problem: &Option<Error>| matches!(problem, Some(Error::LoginRefused(_) | Error::Refused(_)));
    let wait = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(500));
    tokio::select! {
        up = timeout(wait, connected.wait_for(|up| *up)) => if let Ok(Ok(_)) = up {
            return Ok(());
        },
        _ = problems.wait_for(refused) => {}
    }
    let user = url.expose().username();
    let problem = problems.borrow().clone();
    Err(match problem {
        Some(Error::LoginRefused(why)) => Failure::config(format!(
            "`{key}` is refused: RabbitMQ at {url} does not let the user {user:?} in: {why}; correct the user, the \
             password or the virtual host, or make the user with `lockstep broker apply`"
        )),
        Some(Error::Refused(why)) => Failure::config(format!(
            "`{key}` is refused: RabbitMQ at {url} lets the user {user:?} in, but not declare {}: {why}; give the user \
             its rights with `lockstep broker apply`, or set `broker.max_length` to what the queue was made with",
            role.reads().name()
        )),
        problem => {
            let port = if url.expose().scheme() == "amqps" { 5671 } else { 5672 };
            let why = match unreachable(url, port).await {
                Some(why) => why,
                None => problem.map_or_else(|| "no answer in time".to_owned(), |error| error.to_string()),
            };
            Failure::unavailable(format!(
                "`{key}` cannot be reached: RabbitMQ at {url}: {why}; start it or correct the address"
            ))
        }
    })
}

/// Redis: reached, and answering.
///
/// # Errors
/// Exit code 69 when it cannot be reached until `deadline`, 78 when the address cannot be used or Redis refuses the user.
pub async fn redis(redis: &Redis, deadline: Instant) -> Result<(), Failure> {
    let coord = RedisCoord::connect(&redis.coord(), OrganisationId::new())
        .map_err(|error| Failure::config(format!("`redis.url`: {error}")))?;
    let reached = until(deadline, async || match timeout(ATTEMPT, coord.ping()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error @ lockstep_coord::Error::Refused(_))) => Err(Refusal::Never(error.to_string())),
        Ok(Err(error)) => Err(Refusal::Later(error.to_string())),
        Err(_) => Err(Refusal::Later("no answer in time".to_owned())),
    })
    .await;
    match reached {
        Ok(()) => Ok(()),
        Err(Refusal::Never(why)) => Err(Failure::config(format!(
            "`redis.url` is refused by Redis at {}: {why}; correct the user, the password or the number of the database, \
             or give the user its rights",
            redis.url
        ))),
        Err(Refusal::Later(why)) => {
            let why = unreachable(&redis.url, 6379).await.unwrap_or(why);
            Err(Failure::unavailable(format!(
                "`redis.url` cannot be reached: Redis at {}: {why}; start it or correct the address",
                redis.url
            )))
        }
    }
}

/// The certificates mail servers are trusted by.
///
/// # Errors
/// Exit code 78 when the file cannot be used.
pub fn trust(network: &crate::config::Network) -> Result<TlsTrust, Failure> {
    TlsTrust::load(network.ca_file.as_deref()).map_err(Failure::config)
}

enum Refusal {
    /// Trying again may help.
    Later(String),
    /// It will not.
    Never(String),
}

/// Tries until `deadline`, at least once.
async fn until<T, F>(deadline: Instant, mut attempt: F) -> Result<T, Refusal>
where
    F: AsyncFnMut() -> Result<T, Refusal>,
{
    loop {
        match attempt().await {
            Err(Refusal::Later(_)) if Instant::now() + AGAIN_AFTER < deadline => sleep(AGAIN_AFTER).await,
            ended => return ended,
        }
    }
}

/// Why no connection to the address can be made; `None` when one can, or when it names no host.
async fn unreachable(url: &SecretUrl, default_port: u16) -> Option<String> {
    let host = url.expose().host_str().filter(|host| !host.is_empty() && !host.starts_with("%2"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.expose().port().unwrap_or(default_port);
    match timeout(ATTEMPT, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no connection within {} s", ATTEMPT.as_secs())),
    }
}

/// An error with its reasons.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
