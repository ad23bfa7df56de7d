//! Statements that PostgreSQL was asked, as its own extension counts them. Ours begin with a comment that names them.

use anyhow::Result;
use lockstep_e2e::{Cluster, Service};
use serde::Serialize;

/// Statements since the counting began, and the most frequent ones.
#[derive(Debug, Serialize)]
pub(crate) struct Statements {
    /// That only look.
    pub(crate) reads: i64,
    /// That write or lock.
    pub(crate) writes: i64,
    /// Those that were asked most often, with how often.
    pub(crate) most: Vec<(String, i64)>,
}

/// Has a deployment's own PostgreSQL count them; it is restarted for this.
pub(crate) async fn counted(cluster: &Cluster) -> Result<()> {
    sqlx::query("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'").execute(cluster.pool()).await?;
    cluster.private().restart(Service::Postgres).await;
    cluster.wait_ready().await;
    sqlx::query("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").execute(cluster.pool()).await?;
    Ok(())
}

/// Begins to count.
pub(crate) async fn begin(cluster: &Cluster) -> Result<()> {
    sqlx::query("SELECT pg_stat_statements_reset()").execute(cluster.pool()).await?;
    Ok(())
}

/// What was counted.
pub(crate) async fn read(cluster: &Cluster) -> Result<Statements> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT query, calls FROM pg_stat_statements
         WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND query LIKE '/* %'
         ORDER BY calls DESC",
    )
    .fetch_all(cluster.pool())
    .await?;
    let mut statements = Statements { reads: 0, writes: 0, most: Vec::new() };
    for (query, calls) in rows {
        let writes = ["INSERT ", "UPDATE ", "DELETE "].iter().any(|word| query.contains(word));
        *(if writes { &mut statements.writes } else { &mut statements.reads }) += calls;
        let name = query.trim_start_matches("/* ").split(" */").next().unwrap_or_default().to_owned();
        if statements.most.len() < 8 {
            statements.most.push((name, calls));
        }
    }
    Ok(statements)
}
