//! Unknown senders that become contacts or leads with the page that records their email.

use lockstep_model::{
    email::PartyKind,
    id::{PersonId, UserId},
};

use crate::{
    Result, Tx,
    audit::{self, Written},
    feed::Change,
};

/// Who the audit names.
const ACTOR: &str = "lockstep";

/// A contact or lead to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Identity of the record.
    pub id: PersonId,
    /// [`PartyKind::Contact`] or [`PartyKind::Lead`].
    pub kind: PartyKind,
    /// Name, as the sender writes it.
    pub name: String,
    /// Address as written.
    pub address: String,
    /// Its key.
    pub address_key: String,
    /// Who owns the record.
    pub owner: Option<UserId>,
}

/// Makes records of strangers. `false`: one of them is known by now; roll back and plan again.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn create(tx: &mut Tx, strangers: &[Stranger]) -> Result<bool> {
    if strangers.is_empty() {
        return Ok(true);
    }
    let mut keys: Vec<_> = strangers.iter().map(|stranger| stranger.address_key.clone()).collect();
    keys.sort_unstable();
    // Two pages meet the same stranger at the same moment: the second one waits, and finds the record of the first.
    sqlx::query!(
        "/* strangers::create */ SELECT pg_advisory_xact_lock(hashtextextended('stranger/' || k.key, 0))
         FROM (SELECT key FROM unnest($1::text[]) AS k(key) ORDER BY key) AS k",
        &keys,
    )
    .fetch_all(tx.connection())
    .await?;
    let known = sqlx::query_scalar!(
        "/* strangers::create */ SELECT EXISTS (SELECT 1 FROM addressees WHERE address_key = ANY($1)) AS \"known!\"",
        &keys,
    )
    .fetch_one(tx.connection())
    .await?;
    if known {
        return Ok(false);
    }
    let now = tx.now();
    for stranger in strangers {
        sqlx::query!(
            "/* strangers::create */ INSERT INTO people (id, kind, name, address, address_key, owner_user_id, created_at,
                 updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
            stranger.id.0,
            stranger.kind.as_str(),
            stranger.name,
            stranger.address,
            stranger.address_key,
            stranger.owner.map(|owner| owner.0),
            now,
        )
        .execute(tx.connection())
        .await?;
        let kind = stranger.kind.as_str();
        let fields: &[&str] =
            if stranger.owner.is_some() { &["name", "address", "owner_user_id"] } else { &["name", "address"] };
        let written = Written { kind, id: stranger.id.0, change: Change::Created, fields, version: 1 };
        audit::record(tx, ACTOR, written).await?;
    }
    Ok(true)
}
