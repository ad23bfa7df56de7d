//! `lockstep api-key list` and `revoke`: directly in the database, also when nobody has a key any more.

use clap::Args;
use lockstep_model::id::ApiKeyId;
use lockstep_store::{
    Store,
    access::{self, ApiKey},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Done, Error, Result, bootstrap::ACTOR, inventory, resources};

/// Keys read at a time.
const PAGE: i64 = 200;
/// Most keys that are shown.
const MOST: usize = 100_000;

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only those that are accepted at present.
    #[arg(long)]
    valid: bool,
    /// Shows them as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// Their ids, or names that only one valid key has.
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
    /// Shows the outcome as JSON.
    #[arg(long)]
    json: bool,
}

async fn all(tx: &mut lockstep_store::Tx) -> Result<Vec<ApiKey>> {
    let mut keys: Vec<ApiKey> = Vec::new();
    loop {
        let page = access::list_api_keys(tx, keys.last().map(|key| key.id), PAGE).await?;
        let last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
        keys.extend(page);
        if last || keys.len() >= MOST {
            return Ok(keys);
        }
    }
}

pub(super) async fn list(store: &Store, list: &List) -> Result {
    let mut tx = store.begin().await?;
    let now = tx.now();
    let is_valid = |key: &&ApiKey| key.revoked_at.is_none() && key.expires_at.is_none_or(|at| at > now);
    let shown = |key: &ApiKey| {
        json!({
            "id": key.id, "name": key.name, "role": key.role, "user_id": key.user_id, "created_at": key.created_at,
            "expires_at": key.expires_at, "revoked_at": key.revoked_at, "valid": is_valid(&key),
        })
    };
    let keys: Vec<Value> = all(&mut tx).await?.iter().filter(|key| !list.valid || is_valid(key)).map(shown).collect();
    if list.json {
        return resources::json(&Value::Array(keys));
    }
    Ok(Done::ok(inventory::list("api-keys", &keys)))
}

/// All keys are found before one is revoked, and all are revoked at once.
pub(super) async fn revoke(store: &Store, revoke: &Revoke) -> Result {
    let mut tx = store.begin().await?;
    let keys = all(&mut tx).await?;
    let found = revoke.keys.iter().map(|named| find(&keys, named)).collect::<Result<Vec<_>>>()?;
    let mut results = Vec::with_capacity(found.len());
    for key in found {
        let now = access::revoke_api_key(&mut tx, ApiKeyId(key.id), ACTOR).await?;
        let outcome = if now { "revoked" } else { "revoked already" };
        results.push(json!({ "id": key.id, "name": key.name, "outcome": outcome }));
    }
    tx.commit().await?;
    if revoke.json {
        return resources::json(&Value::Array(results));
    }
    Ok(Done::ok(inventory::list("api-keys/revoked", &results)))
}

fn find<'k>(keys: &'k [ApiKey], named: &str) -> Result<&'k ApiKey> {
    let id = named.parse::<Uuid>().ok();
    let matching: Vec<&ApiKey> = match id {
        Some(id) => keys.iter().filter(|key| key.id == id).collect(),
        None => keys.iter().filter(|key| key.name == named && key.revoked_at.is_none()).collect(),
    };
    match matching.as_slice() {
        [one] => Ok(one),
        [] => Err(Error::new(format!(
            "no key that is not revoked has the id or name {named:?}; nothing was revoked. `lockstep api-key list` shows them"
        ))),
        several => {
            let ids: Vec<_> = several.iter().map(|key| key.id.to_string()).collect();
            Err(Error::new(format!(
                "{} keys have the name {named:?}; nothing was revoked. Give an id: {}",
                several.len(),
                ids.join(", ")
            )))
        }
    }
}
