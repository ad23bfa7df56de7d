//! Records by the id that another system gave them: source and external id together name at most one of a kind.

use uuid::Uuid;

use crate::{Result, Tx, rights::Kind};

/// The record of a kind that has this id in another system.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn find(tx: &mut Tx, kind: Kind, source: &str, external_id: &str) -> Result<Option<Uuid>> {
    Ok(sqlx::query_scalar!(
        "/* origins::find */ SELECT id AS \"id!\" FROM (
             SELECT 'user' AS kind, id, source, external_id FROM users
             UNION ALL SELECT 'queue', id, source, external_id FROM queues
             UNION ALL SELECT kind, id, source, external_id FROM people
             UNION ALL SELECT kind, id, source, external_id FROM activities
             UNION ALL SELECT 'email', id, source, external_id FROM emails) AS records
         WHERE kind = $1 AND source = $2 AND external_id = $3",
        kind.as_str(),
        source,
        external_id,
    )
    .fetch_optional(tx.connection())
    .await?)
}
