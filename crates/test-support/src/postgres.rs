//! A database of its own for a test.

use std::{sync::Once, time::Duration};

use lockstep_model::clock::{Clock, SystemClock};
use sqlx::{Connection, Executor, PgConnection, PgPool, Row, postgres::PgPoolOptions};
use url::Url;
use uuid::Uuid;

use crate::{Service, Services, teardown};

const PREFIX: &str = "lockstep_test_";
/// Databases of crashed runs are dropped once they are older than this.
const LEFT_OVER_AFTER_SECONDS: i64 = 3600;
const CONNECT_WITHIN: Duration = Duration::from_secs(20);

/// An empty database with a unique name. Dropped by [`TestDatabase::close`], or when the value is.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: Url,
    admin_url: String,
    pool: PgPool,
    dropped: bool,
}

impl TestDatabase {
    /// Makes a database on the shared server.
    pub async fn create() -> Self {
        Self::create_on(Services::shared_with(&[Service::Postgres]).await).await
    }

    /// Makes a database on the server of this set.
    pub async fn create_on(services: &Services) -> Self {
        let admin_url = services.postgres_url().to_owned();
        sweep_once(&admin_url).await;
        let unique = Uuid::new_v4().simple().to_string();
        let name = format!("{PREFIX}{}_{}", SystemClock::default().now().timestamp(), &unique[..12]);
        // template0: nobody is ever connected to it, so that many tests can copy it at once.
        if let Err(error) = administer(&admin_url, &format!(r#"create database "{name}" template template0"#)).await {
            panic!("cannot create database {name}: {error}");
        }
        let mut url: Url = admin_url.parse().unwrap_or_else(|error| panic!("PostgreSQL address: {error}"));
        url.set_path(&name);
        let pool = PgPoolOptions::new()
            .max_connections(5)
            .acquire_timeout(CONNECT_WITHIN)
            .connect_lazy(url.as_str())
            .unwrap_or_else(|error| panic!("PostgreSQL address: {error}"));
        Self { name, url, admin_url, pool, dropped: false }
    }

    /// The address, as superuser.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The address for another role of the server.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        let mut url = self.url.clone();
        let _ = url.set_username(user);
        let _ = url.set_password(Some(password));
        url.into()
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A small pool beside the one under test, for setting up and counting. It connects when first used.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Cuts every connection to this database from the server's side, as a fail-over would.
    pub async fn cut_connections(&self) {
        let cut = async {
            let mut connection = PgConnection::connect(&self.admin_url).await?;
            sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1")
                .bind(&self.name)
                .execute(&mut connection)
                .await?;
            connection.close().await
        };
        if let Err(error) = cut.await {
            panic!("cannot cut connections to {}: {error}", self.name);
        }
    }

    /// Drops the database, whoever is still connected.
    pub async fn close(mut self) {
        self.dropped = true;
        self.pool.close().await;
        if let Err(error) = administer(&self.admin_url, &drop_statement(&self.name)).await {
            panic!("cannot drop database {}: {error}", self.name);
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if self.dropped {
            return;
        }
        let (admin_url, statement) = (self.admin_url.clone(), drop_statement(&self.name));
        teardown::finish(async move {
            let _ = administer(&admin_url, &statement).await;
        });
    }
}

fn drop_statement(name: &str) -> String {
    format!(r#"drop database if exists "{name}" with (force)"#)
}

/// Runs one statement of ours on the server's own database.
async fn administer(admin_url: &str, statement: &str) -> Result<(), sqlx::Error> {
    let work = async {
        let mut connection = PgConnection::connect(admin_url).await?;
        connection.execute(sqlx::AssertSqlSafe(statement.to_owned())).await?;
        connection.close().await
    };
    tokio::time::timeout(CONNECT_WITHIN, work).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Drops the databases of runs that crashed, once in this process.
async fn sweep_once(admin_url: &str) {
    static SWEPT: Once = Once::new();
    let mut first = false;
    SWEPT.call_once(|| first = true);
    if first {
        let _ = tokio::time::timeout(CONNECT_WITHIN, sweep(admin_url)).await;
    }
}

async fn sweep(admin_url: &str) -> Result<(), sqlx::Error> {
    let oldest = SystemClock::default().now().timestamp() - LEFT_OVER_AFTER_SECONDS;
    let mut connection = PgConnection::connect(admin_url).await?;
    let rows = sqlx::query("select datname::text from pg_database where starts_with(datname, $1)")
        .bind(PREFIX)
        .fetch_all(&mut connection)
        .await?;
    for row in rows {
        let name: String = row.try_get(0)?;
        if made_at(&name).is_some_and(|made| made < oldest) {
            // Another process may sweep the same one: its loss is no loss.
            let _ = connection.execute(sqlx::AssertSqlSafe(drop_statement(&name))).await;
        }
    }
    connection.close().await
}

/// When a database of ours was made, in seconds since 1970; `None` for names we would not give.
fn made_at(name: &str) -> Option<i64> {
    let (seconds, unique) = name.strip_prefix(PREFIX)?.split_once('_')?;
    unique.chars().all(|digit| digit.is_ascii_hexdigit()).then(|| seconds.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::made_at;

    #[test]
    fn only_names_we_give_are_swept() {
        assert_eq!(made_at("lockstep_test_1700000000_0123456789ab"), Some(1_700_000_000));
        assert_eq!(made_at("lockstep_test_notes"), None);
        assert_eq!(made_at("lockstep_test_1700000000_mine"), None);
        assert_eq!(made_at("customers"), None);
    }
}
