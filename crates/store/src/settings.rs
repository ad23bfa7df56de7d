//! The deployment's settings: what was written of each group. What there is, and what it may be, is in
//! [`lockstep_model::settings`].

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use lockstep_model::settings::{Group, Settings};
use serde_json::{Map, Value, json};

use crate::{Error, Result, Tx, audit, error::word};

/// What was written of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The group.
    pub group: Group,
    /// Values other than the default.
    pub values: BTreeMap<String, i64>,
    /// Raised by every write.
    pub version: i64,
    /// When it was last written.
    pub updated_at: DateTime<Utc>,
}

/// Every setting as it is now: one small read, made with each batch of work, so that a change needs no restart.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn read(tx: &mut Tx) -> Result<Settings> {
    let rows = sqlx::query!("/* settings::read */ SELECT group_name, key, value FROM settings")
        .fetch_all(tx.connection())
        .await?;
    let mut settings = Settings::default();
    for row in rows {
        // A group that only a newer version knows is that version's business.
        if let Ok(group) = row.group_name.parse() {
            settings.put(group, &row.key, row.value);
        }
    }
    Ok(settings)
}

/// What was written of a group.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn group(tx: &mut Tx, group: Group) -> Result<Written> {
    let head = sqlx::query!(
        "/* settings::group */ SELECT name, version, updated_at FROM setting_groups WHERE name = $1",
        group.as_str(),
    )
    .fetch_one(tx.connection())
    .await?;
    let rows =
        sqlx::query!("/* settings::group */ SELECT key, value FROM settings WHERE group_name = $1", group.as_str(),)
            .fetch_all(tx.connection())
            .await?;
    Ok(Written {
        group: word("setting_groups", "name", group, &head.name)?,
        values: rows.into_iter().map(|row| (row.key, row.value)).collect(),
        version: head.version,
        updated_at: head.updated_at,
    })
}

/// Like [`group`], locked until the transaction ends.
///
/// # Errors
/// [`Error::Stale`] when `expected` is another version.
pub async fn lock(tx: &mut Tx, name: Group, expected: Option<i64>) -> Result<Written> {
    sqlx::query!("/* settings::lock */ SELECT name FROM setting_groups WHERE name = $1 FOR UPDATE", name.as_str())
        .fetch_one(tx.connection())
        .await?;
    let written = group(tx, name).await?;
    Error::if_stale(expected, Some(written.version))?;
    Ok(written)
}

/// Writes a group that was locked, and notes who changed what from which value to which. `values` were checked. Returns
/// the group as it is now.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn save(tx: &mut Tx, before: &Written, values: &BTreeMap<String, i64>, actor: &str) -> Result<Written> {
    let (now, name) = (tx.now(), before.group.as_str());
    let (keys, numbers): (Vec<String>, Vec<i64>) = values.iter().map(|(key, value)| (key.clone(), *value)).unzip();
    sqlx::query!(
        "/* settings::save */ DELETE FROM settings WHERE group_name = $1 AND key <> ALL($2::text[])",
        name,
        &keys,
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "/* settings::save */ INSERT INTO settings (group_name, key, value)
         SELECT $1, w.key, w.value FROM unnest($2::text[], $3::bigint[]) AS w(key, value)
         ON CONFLICT (group_name, key) DO UPDATE SET value = EXCLUDED.value",
        name,
        &keys,
        &numbers,
    )
    .execute(tx.connection())
    .await?;
    let version = sqlx::query_scalar!(
        "/* settings::save */ UPDATE setting_groups SET version = version + 1, updated_at = $2 WHERE name = $1
         RETURNING version",
        name,
        now,
    )
    .fetch_one(tx.connection())
    .await?;
    let mut changes = Map::new();
    for key in before.values.keys().chain(values.keys()) {
        let (from, to) = (before.values.get(key), values.get(key));
        if from != to {
            changes.insert(key.clone(), json!({ "from": from, "to": to }));
        }
    }
    let detail = json!({ "group": name, "changes": Value::Object(changes) });
    audit::note(tx, actor, "updated", "settings", None, detail).await?;
    Ok(Written { group: before.group, values: values.clone(), version, updated_at: now })
}
