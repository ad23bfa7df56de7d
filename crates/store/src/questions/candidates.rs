//! What a question can be about: appointments of a user's calendar, and contacts that may be the same person. The engine
//! decides; what is found here is what it has to look at.

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_model::{address::AddressKey, id::UserId, record::RecordId};

use crate::{
    Result, Tx,
    records::{self, Record},
};

/// Most records that are compared with one item.
const MOST: i64 = 500;

/// Whole days begin and end by midnight in Greenwich in the database, and elsewhere up to so much earlier or later.
const ZONES: TimeDelta = TimeDelta::hours(14);

/// Open appointments, series and service activities that this user may read, and owns or takes part in with `address`, at
/// some time from `from` to `until`: the next `MOST`. Not those of the meeting with this `uid`.
///
/// # Errors
/// [`crate::Error::Unreadable`] where a row holds what this code does not know.
pub async fn bookings(
    tx: &mut Tx,
    user: UserId,
    address: Option<&AddressKey>,
    (from, until): (DateTime<Utc>, Option<DateTime<Utc>>),
    uid: Option<&str>,
) -> Result<Vec<Record>> {
    let ids = sqlx::query_scalar!(
        "/* questions::bookings */ SELECT a.id AS \"id!\" FROM activities a
         WHERE a.id IN (
             SELECT id FROM activities WHERE owner_user_id = $1 AND state = 'open'
               AND kind IN ('appointment', 'recurring-appointment', 'service-activity') AND (ends_at > $3 OR ends_at IS NULL)
             UNION SELECT p.activity_id FROM activity_parties p WHERE p.address_key = $2)
           AND a.state = 'open' AND NOT a.draft
           AND a.kind IN ('appointment', 'recurring-appointment', 'service-activity')
           AND (a.ends_at > $3 OR a.ends_at IS NULL) AND ($4::timestamptz IS NULL OR a.starts_at < $4)
           AND may($1, a.kind, 'read', a.owner_user_id, a.owner_team_id)
           AND NOT EXISTS (SELECT FROM links l WHERE l.record_id = a.id AND l.uid = $5)
         ORDER BY a.starts_at, a.id LIMIT $6",
        user.0,
        address.map(AddressKey::as_str),
        from - ZONES,
        until.map(|until| until + ZONES),
        uid,
        MOST,
    )
    .fetch_all(tx.connection())
    .await?;
    records::read(tx, &ids.into_iter().map(RecordId).collect::<Vec<_>>()).await
}

/// Contacts that this user may read and that have one of these addresses or this name: in the order of their making,
/// at most `MOST`.
///
/// # Errors
/// [`crate::Error::Unreadable`] where a row holds what this code does not know.
pub async fn like(
    tx: &mut Tx,
    user: UserId,
    addresses: impl IntoIterator<Item = &AddressKey>,
    name: &str,
) -> Result<Vec<Record>> {
    let addresses: Vec<_> = addresses.into_iter().map(|key| key.as_str().to_owned()).collect();
    let ids = sqlx::query_scalar!(
        "/* questions::like */ SELECT p.id AS \"id!\" FROM people p
         WHERE p.kind = 'contact' AND p.id IN (
             SELECT id FROM people WHERE address_key = ANY($2)
             UNION SELECT id FROM people WHERE fields ? 'email_2' AND lower(fields->>'email_2') COLLATE \"C\" = ANY($2)
             UNION SELECT id FROM people WHERE fields ? 'email_3' AND lower(fields->>'email_3') COLLATE \"C\" = ANY($2)
             UNION SELECT id FROM people WHERE kind = 'contact' AND $3 <> '' AND lower(name) = lower($3))
           AND may($1, 'contact', 'read', p.owner_user_id, p.owner_team_id)
         ORDER BY p.id LIMIT $4",
        user.0,
        &addresses,
        name,
        MOST,
    )
    .fetch_all(tx.connection())
    .await?;
    let mut found = records::read(tx, &ids.into_iter().map(RecordId).collect::<Vec<_>>()).await?;
    found.sort_by_key(Record::id);
    Ok(found)
}
