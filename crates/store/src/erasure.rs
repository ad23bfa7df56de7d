//! Erasing a person outside: every place where this database keeps something of them, found by their address. Records
//! go in bounded batches, each of its own transaction; a batch finds what is left, so that it may be repeated.

mod copies;
mod filters;

use lockstep_model::{
    id::{OperationId, PersonId},
    record::{Field, Value},
};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::{
    Result, Tx,
    audit::{self, Written},
    feed::Change,
    people,
};

pub use filters::erase_from_filters;

/// The kind under which the operation is stored.
pub const KIND: &str = "erase-person";

/// Why a message whose email was erased is no record. Such a message is never judged again.
pub const ERASED: &str = "Erased";

/// What happens to emails that the person wrote or was to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Emails {
    /// They are removed, with their texts and attachments.
    Delete,
    /// They stay; the person's name and address are taken out of the list of parties, and the raw form goes.
    Anonymise,
}

/// How much of a person there is, or was erased, place by place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Contacts, accounts and leads with the address.
    pub people: u64,
    /// Tasks, appointments and the like that the address is on.
    #[serde(default)]
    pub activities: u64,
    /// Synchronisation filters with the address or the person's name in them.
    #[serde(default)]
    pub filters: u64,
    /// Emails from or to the address.
    pub emails: u64,
    /// Alerts that name it.
    pub alerts: u64,
    /// Answers kept for repeated requests that name it.
    pub answers: u64,
    /// Ended operations whose arguments or result name it.
    pub operations: u64,
    /// Messages that became no record, of which something was said that names it.
    pub item_details: u64,
    /// Values that gave way in synchronisation, and words about what could not be synchronised, that name it; of other
    /// records than the person's own, with which such values go.
    #[serde(default)]
    pub kept_values: u64,
}

/// Who has an address that cannot be erased: a `user` or a `queue`.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn holder(tx: &mut Tx, address_key: &str) -> Result<Option<(String, Uuid)>> {
    let row = sqlx::query!(
        "/* erasure::holder */ SELECT kind AS \"kind!\", record_id AS \"record_id!\" FROM addressees
         WHERE address_key = $1 AND kind IN ('user', 'queue') LIMIT 1",
        address_key,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|r| (r.kind, r.record_id)))
}

/// Counts what there is of a person.
///
/// # Errors
/// [`crate::Error::Unavailable`], [`crate::Error::Unreadable`].
pub async fn count(tx: &mut Tx, address_key: &str) -> Result<Counts> {
    let filters = filters::count(tx, address_key).await?;
    let row = sqlx::query!(
        "/* erasure::count */ SELECT
             (SELECT count(*) FROM people WHERE address_key = $1 OR fields ? 'email_2' AND lower(fields->>'email_2') COLLATE \"C\" = $1
                OR fields ? 'email_3' AND lower(fields->>'email_3') COLLATE \"C\" = $1) AS \"people!\",
             (SELECT count(*) FROM activities
                WHERE position('\"address\": ' || to_jsonb($1::text)::text IN fields::text) > 0) AS \"activities!\",
             (SELECT count(DISTINCT email_id) FROM email_parties WHERE address_key = $1) AS \"emails!\",
             (SELECT count(*) FROM alerts WHERE position($1 IN lower(parameters::text)) > 0) AS \"alerts!\",
             (SELECT count(*) FROM idempotency_keys WHERE position($1 IN lower(body::text)) > 0) AS \"answers!\",
             (SELECT count(*) FROM operations WHERE ended_at IS NOT NULL
                AND position($1 IN lower(arguments::text || COALESCE(result::text, ''))) > 0) AS \"operations!\",
             (SELECT count(*) FROM remote_items WHERE detail IS NOT NULL AND position($1 IN lower(detail)) > 0)
                AS \"item_details!\",
             (WITH own AS (SELECT id FROM people WHERE address_key = $1
                    OR fields ? 'email_2' AND lower(fields->>'email_2') COLLATE \"C\" = $1
                    OR fields ? 'email_3' AND lower(fields->>'email_3') COLLATE \"C\" = $1)
              SELECT (SELECT count(*) FROM lost_values
                      WHERE position($1 IN lower(value::text)) > 0 AND record_id NOT IN (SELECT id FROM own))
                   + (SELECT count(*) FROM item_retries WHERE position($1 IN lower(message)) > 0
                      AND (record_id IS NULL OR record_id NOT IN (SELECT id FROM own)))) AS \"kept_values!\"",
        address_key,
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(Counts {
        people: row.people.unsigned_abs(),
        activities: row.activities.unsigned_abs(),
        filters,
        emails: row.emails.unsigned_abs(),
        alerts: row.alerts.unsigned_abs(),
        answers: row.answers.unsigned_abs(),
        operations: row.operations.unsigned_abs(),
        item_details: row.item_details.unsigned_abs(),
        kept_values: row.kept_values.unsigned_abs(),
    })
}

/// Removes contacts, accounts and leads with the address, be it their first, second or third, at most `limit`; returns how many.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn erase_people(tx: &mut Tx, address_key: &str, limit: i64, actor: &str) -> Result<u64> {
    let found = sqlx::query!(
        "/* erasure::erase_people */ SELECT id, kind FROM people WHERE address_key = $1
             OR fields ? 'email_2' AND lower(fields->>'email_2') COLLATE \"C\" = $1
             OR fields ? 'email_3' AND lower(fields->>'email_3') COLLATE \"C\" = $1
         ORDER BY id LIMIT $2",
        address_key,
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    copies::of_records(tx, &found.iter().map(|row| row.id).collect::<Vec<_>>()).await?;
    let mut erased = 0;
    for row in found {
        let Some(person) = people::lock(tx, &row.kind, PersonId(row.id), None).await? else { continue };
        if has_address(&person, address_key) {
            people::delete(tx, &person, actor).await?;
            erased += 1;
        }
    }
    Ok(erased)
}

/// Whether one of a person's addresses is this one.
fn has_address(person: &people::Person, address_key: &str) -> bool {
    let further = [Field::Email2, Field::Email3].into_iter().filter_map(|field| match person.fields.get(field) {
        Some(Value::Text(address)) => Some(address.to_lowercase()),
        _ => None,
    });
    person.address_key.clone().into_iter().chain(further).any(|address| address == address_key)
}

/// Takes the address off tasks, appointments and the like, at most `limit`; returns how many. The records stay: they are
/// those of others.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn erase_from_activities(tx: &mut Tx, address_key: &str, limit: i64, actor: &str) -> Result<u64> {
    let found = sqlx::query!(
        "/* erasure::erase_from_activities */ SELECT id, kind, fields, version FROM activities
         WHERE position('\"address\": ' || to_jsonb($1::text)::text IN fields::text) > 0
         ORDER BY id LIMIT $2 FOR UPDATE",
        address_key,
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    let (count, now) = (found.len() as u64, tx.now());
    for mut row in found {
        take_out(&mut row.fields, address_key);
        sqlx::query!(
            "/* erasure::erase_from_activities */ WITH gone AS (
                 DELETE FROM activity_parties WHERE activity_id = $1 AND address_key = $4)
             UPDATE activities SET fields = $2, version = version + 1, updated_at = $3 WHERE id = $1",
            row.id,
            row.fields,
            now,
            address_key,
        )
        .execute(tx.connection())
        .await?;
        let (change, version) = (Change::Updated, row.version + 1);
        let written = Written { kind: &row.kind, id: row.id, change, fields: &["attendees"], version };
        audit::record(tx, actor, written).await?;
    }
    Ok(count)
}

/// Removes whoever has the address from every list of people, however deep.
fn take_out(json: &mut Json, address_key: &str) {
    match json {
        Json::Array(items) => {
            items.retain(|item| item.get("address").and_then(Json::as_str) != Some(address_key));
            items.iter_mut().for_each(|item| take_out(item, address_key));
        }
        Json::Object(members) => members.values_mut().for_each(|member| take_out(member, address_key)),
        _ => {}
    }
}

/// Erases emails from or to the address, at most `limit`; returns how many. Emails that are being sent are left.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn erase_emails(tx: &mut Tx, address_key: &str, how: Emails, limit: i64, actor: &str) -> Result<u64> {
    let ids = sqlx::query_scalar!(
        "/* erasure::erase_emails */ SELECT DISTINCT e.id FROM emails e JOIN email_parties p ON p.email_id = e.id
         WHERE p.address_key = $1 AND e.status NOT IN ('pending-send', 'sending') ORDER BY e.id LIMIT $2",
        address_key,
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    fence_mailboxes(tx, &ids).await?;
    let emails = sqlx::query!(
        "/* erasure::erase_emails */ SELECT id, version FROM emails
         WHERE id = ANY($1) AND status NOT IN ('pending-send', 'sending') ORDER BY id FOR UPDATE",
        &ids,
    )
    .fetch_all(tx.connection())
    .await?;
    let ids: Vec<Uuid> = emails.iter().map(|e| e.id).collect();
    let (change, fields): (_, &[&str]) = match how {
        Emails::Delete => {
            delete(tx, &ids).await?;
            (Change::Deleted, &[])
        }
        Emails::Anonymise => {
            anonymise(tx, &ids, address_key).await?;
            (Change::Updated, &["parties"])
        }
    };
    for email in &emails {
        let written = Written { kind: "email", id: email.id, change, fields, version: email.version + 1 };
        audit::record(tx, actor, written).await?;
    }
    Ok(ids.len() as u64)
}

/// Fences the runs that may be about to link another message to one of these emails; lanes before records, as pages do.
async fn fence_mailboxes(tx: &mut Tx, emails: &[Uuid]) -> Result<()> {
    sqlx::query!(
        "/* erasure::fence_mailboxes */ WITH concerned AS MATERIALIZED (
             SELECT l.mailbox_id, l.lane FROM lanes l
             WHERE l.mailbox_id IN (SELECT COALESCE(via_mailbox_id, mailbox_id)
                                    FROM email_mailboxes WHERE email_id = ANY($1))
             ORDER BY l.mailbox_id, l.lane FOR UPDATE)
         UPDATE lanes AS l SET version = version + 1 FROM concerned c
         WHERE l.mailbox_id = c.mailbox_id AND l.lane = c.lane",
        emails,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

async fn delete(tx: &mut Tx, ids: &[Uuid]) -> Result<()> {
    sqlx::query!(
        "/* erasure::delete */ UPDATE remote_items SET disposition = 'refused', reason = $2, detail = NULL,
             email_id = NULL, message_id = NULL
         WHERE email_id = ANY($1)",
        ids,
        ERASED,
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!("/* erasure::delete */ DELETE FROM emails WHERE id = ANY($1)", ids).execute(tx.connection()).await?;
    Ok(())
}

async fn anonymise(tx: &mut Tx, ids: &[Uuid], address_key: &str) -> Result<()> {
    /// Stands where an address stood; `.invalid` is nobody's (RFC 2606, section 2).
    const NOBODY: &str = "erased@erased.invalid";
    sqlx::query!(
        "/* erasure::anonymise */ UPDATE email_parties SET name = '', address = $3, address_key = NULL,
             record_kind = NULL, record_id = NULL
         WHERE email_id = ANY($1) AND address_key = $2",
        ids,
        address_key,
        NOBODY,
    )
    .execute(tx.connection())
    .await?;
    // Their own key: an email has each address once.
    sqlx::query!(
        "/* erasure::anonymise */ UPDATE delivery_recipients SET address = gen_random_uuid() || $3, reply = NULL
         WHERE email_id = ANY($1) AND lower(address) = $2",
        ids,
        address_key,
        format!("-{NOBODY}"),
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "/* erasure::anonymise */ UPDATE deliveries SET reply = NULL, fault_message = NULL
         WHERE email_id = ANY($1) AND position($2 IN lower(concat(reply, fault_message))) > 0",
        ids,
        address_key,
    )
    .execute(tx.connection())
    .await?;
    let now = tx.now();
    sqlx::query!(
        "/* erasure::anonymise */ UPDATE emails SET raw_digest = NULL, version = version + 1, updated_at = $2
         WHERE id = ANY($1)",
        ids,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes the address out of what is kept in words: alerts, answers for repeated requests, ended operations, what was said of
/// messages and items, and values that gave way. Then the arguments of the operation itself, which name it.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn erase_words(tx: &mut Tx, operation: OperationId, address_key: &str) -> Result<Counts> {
    let alerts = sqlx::query!(
        "/* erasure::erase_words */ DELETE FROM alerts WHERE position($1 IN lower(parameters::text)) > 0",
        address_key,
    )
    .execute(tx.connection())
    .await?
    .rows_affected();
    let answers = sqlx::query!(
        "/* erasure::erase_words */ DELETE FROM idempotency_keys WHERE position($1 IN lower(body::text)) > 0",
        address_key,
    )
    .execute(tx.connection())
    .await?
    .rows_affected();
    let operations = sqlx::query!(
        "/* erasure::erase_words */ UPDATE operations SET arguments = '{}', result = NULL
         WHERE ended_at IS NOT NULL AND position($1 IN lower(arguments::text || COALESCE(result::text, ''))) > 0",
        address_key,
    )
    .execute(tx.connection())
    .await?
    .rows_affected();
    let item_details = sqlx::query!(
        "/* erasure::erase_words */ UPDATE remote_items SET detail = NULL
         WHERE detail IS NOT NULL AND position($1 IN lower(detail)) > 0",
        address_key,
    )
    .execute(tx.connection())
    .await?
    .rows_affected();
    let kept_values = copies::naming(tx, address_key).await?;
    sqlx::query!("/* erasure::erase_words */ UPDATE operations SET arguments = '{}' WHERE id = $1", operation.0)
        .execute(tx.connection())
        .await?;
    Ok(Counts { alerts, answers, operations, item_details, kept_values, ..Counts::default() })
}

/// Emails from or to the address that are being sent, and are therefore left.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn being_sent(tx: &mut Tx, address_key: &str) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        "/* erasure::being_sent */ SELECT count(DISTINCT e.id) AS \"count!\"
         FROM emails e JOIN email_parties p ON p.email_id = e.id
         WHERE p.address_key = $1 AND e.status IN ('pending-send', 'sending')",
        address_key,
    )
    .fetch_one(tx.connection())
    .await?)
}
