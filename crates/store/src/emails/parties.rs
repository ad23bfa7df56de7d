//! Parties whose address belongs to no record yet, or to several: a person says which one it is.

use lockstep_model::{email::PartyKind, id::EmailId};
use uuid::Uuid;

use crate::{
    Result, Tx,
    audit::{self, Written},
    feed::Change,
};

/// Most other emails that are resolved along in one transaction; the caller asks again for more.
pub const MAX_ALIKE: i64 = 500;

/// What a resolution came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Other emails on which the same address was resolved along.
    pub others: u64,
    /// There are more of them.
    pub more: bool,
}

/// Whether there is such a record.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn record_exists(tx: &mut Tx, kind: PartyKind, id: Uuid) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        "/* parties::record_exists */ SELECT EXISTS (SELECT 1 FROM users WHERE $1 = 'user' AND id = $2)
             OR EXISTS (SELECT 1 FROM queues WHERE $1 = 'queue' AND id = $2)
             OR EXISTS (SELECT 1 FROM people WHERE kind = $1 AND id = $2) AS \"exists!\"",
        kind.as_str(),
        id,
    )
    .fetch_one(tx.connection())
    .await?)
}

/// The party of an email that was locked belongs to this record. With `alike` the same address on other emails, drafts
/// left out, does too where it belongs to none. `None` when the email has no party at this place.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn resolve(
    tx: &mut Tx,
    email: EmailId,
    position: i32,
    record: (PartyKind, Uuid),
    alike: bool,
    actor: &str,
) -> Result<Option<Resolved>> {
    let (kind, id) = (record.0.as_str(), record.1);
    let party = sqlx::query!(
        "/* parties::resolve */ UPDATE email_parties p SET record_kind = $3, record_id = $4
         FROM email_parties before
         WHERE p.email_id = $1 AND p.position = $2 AND before.email_id = p.email_id AND before.position = p.position
         RETURNING p.address_key, (before.record_kind, before.record_id) IS DISTINCT FROM ($3, $4) AS \"changed!\"",
        email.0,
        position,
        kind,
        id,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(party) = party else { return Ok(None) };
    if party.changed {
        written(tx, &[email.0], actor).await?;
    }
    let Some(key) = party.address_key.filter(|_| alike) else { return Ok(Some(Resolved { others: 0, more: false })) };
    // In the order of their ids, as everybody who locks several.
    let mut found = sqlx::query_scalar!(
        "/* parties::resolve */ SELECT e.id FROM emails e
         WHERE e.id <> $1 AND e.status <> 'draft' AND EXISTS (SELECT 1 FROM email_parties p
             WHERE p.email_id = e.id AND p.address_key = $2 AND p.record_id IS NULL)
         ORDER BY e.id LIMIT $3 FOR UPDATE",
        email.0,
        key,
        MAX_ALIKE + 1,
    )
    .fetch_all(tx.connection())
    .await?;
    let more = i64::try_from(found.len()).unwrap_or(i64::MAX) > MAX_ALIKE;
    found.truncate(usize::try_from(MAX_ALIKE).unwrap_or_default());
    sqlx::query!(
        "/* parties::resolve */ UPDATE email_parties SET record_kind = $3, record_id = $4
         WHERE (email_id = ANY($1::uuid[]) OR email_id = $5) AND address_key = $2 AND record_id IS NULL",
        &found,
        key,
        kind,
        id,
        email.0,
    )
    .execute(tx.connection())
    .await?;
    written(tx, &found, actor).await?;
    Ok(Some(Resolved { others: found.len() as u64, more }))
}

/// Tells of the new versions of emails whose parties have changed.
async fn written(tx: &mut Tx, emails: &[Uuid], actor: &str) -> Result<()> {
    let now = tx.now();
    let versions = sqlx::query!(
        "/* parties::written */ UPDATE emails SET version = version + 1, updated_at = $2 WHERE id = ANY($1::uuid[])
         RETURNING id, version",
        emails,
        now,
    )
    .fetch_all(tx.connection())
    .await?;
    for row in versions {
        let fields = &["parties"];
        let written = Written { kind: "email", id: row.id, change: Change::Updated, fields, version: row.version };
        audit::record(tx, actor, written).await?;
    }
    Ok(())
}
