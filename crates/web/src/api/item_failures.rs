//! Items that became no record, of all mailboxes: what administrators and operators watch, and users of what is theirs.

use axum::{Json, extract::State};
use chrono::{DateTime, TimeZone, Utc};
use lockstep_engine::acceptance::Reason;
use lockstep_model::{id::MailboxId, remote::RemoteKey};
use lockstep_store::item_failures::{self, Filter, Found, Place};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::mailboxes::items::Item;
use crate::{auth::Caller, extract::Params, page::Limit, problem::Problem, query::one_of, state::App, validate::Check};

/// Longest name of a reason, in characters.
const MAX_REASON: usize = 64;

/// An item that is no record, and where it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ItemFailure {
    mailbox_id: Uuid,
    /// The mailbox's address.
    address: String,
    #[serde(flatten)]
    item: Item,
}

/// A page of items.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ItemFailurePage {
    /// Those first seen last come first.
    items: Vec<ItemFailure>,
    /// Give this as `after` to read on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Which items to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListItemFailures {
    /// Items in a page, at most 200.
    limit: Option<u16>,
    /// The next of the page before.
    after: Option<String>,
    /// Only those in this mailbox.
    mailbox: Option<Uuid>,
    /// `refused` or `quarantined`; both without it.
    disposition: Option<String>,
    /// Only those with this code as their reason, such as `ItemUnavailable`: at most 64 characters.
    reason: Option<String>,
    /// Only those first seen at this instant or later.
    seen_since: Option<DateTime<Utc>>,
    /// Only those first seen before this instant.
    seen_before: Option<DateTime<Utc>>,
}

/// Lists what was refused or set aside in every mailbox, the newest first; users are shown their own mailboxes. Messages
/// of mailboxes' tests are left out.
#[utoipa::path(get, path = "/item-failures", tag = "mailboxes", params(ListItemFailures),
    responses((status = 200, description = "A page of items", body = ItemFailurePage)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(query): Params<ListItemFailures>,
) -> Result<Json<ItemFailurePage>, Problem> {
    one_of("disposition", query.disposition.as_deref(), &["refused", "quarantined"])?;
    let mut check = Check::default();
    let reason = query.reason.as_deref().map(|reason| check.line("reason", reason, MAX_REASON));
    check.instant("seen_since", query.seen_since);
    check.instant("seen_before", query.seen_before);
    let after = query.after.as_deref().map(place);
    if matches!(after, Some(None)) {
        check.refuse("after", "format", "the next of the page before");
    }
    check.finish()?;
    let filter = Filter {
        mailbox: query.mailbox.map(MailboxId),
        disposition: query.disposition.as_deref(),
        reason: reason.as_deref(),
        seen_since: query.seen_since,
        seen_before: query.seen_before,
        reader: caller.user,
        but: Reason::TestMessage.code(),
    };
    let limit = Limit::of(query.limit);
    let mut tx = app.store.begin().await?;
    let mut rows = item_failures::across(&mut tx, &filter, after.flatten().as_ref(), limit.rows()).await?;
    let size = usize::try_from(limit.items()).unwrap_or(usize::MAX);
    let more = rows.len() > size;
    rows.truncate(size);
    let next = rows.last().filter(|_| more).map(written);
    let items = rows.into_iter().map(|row| ItemFailure {
        mailbox_id: row.mailbox_id,
        address: row.address,
        item: Item::shown(row.item, &caller),
    });
    Ok(Json(ItemFailurePage { items: items.collect(), next }))
}

/// Where a page ends, for the caller to give back.
fn written(row: &Found) -> String {
    let at = row.item.seen_at.timestamp_micros();
    format!("{at}.{}.{}", row.mailbox_id.simple(), hex::encode(&row.item.key))
}

fn place(text: &str) -> Option<Place> {
    let mut parts = text.splitn(3, '.');
    let at = parts.next()?.parse().ok()?;
    let mailbox = Uuid::parse_str(parts.next()?).ok()?;
    let key = hex::decode(parts.next()?).ok().and_then(RemoteKey::new)?;
    let seen_at = Utc.timestamp_micros(at).single()?;
    Some(Place { seen_at, mailbox: MailboxId(mailbox), key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_nothing_else() {
        let id = Uuid::from_u128(7);
        let found = place(&format!("1795420800000001.{}.6b31", id.simple())).unwrap();
        assert_eq!((found.seen_at.timestamp_micros(), found.mailbox.0), (1_795_420_800_000_001, id));
        assert_eq!(found.key.as_bytes(), b"k1");
        let many = format!("{}.{}.6b31", i64::MAX, id.simple());
        for text in ["", "1", "1..", "x.y.z", "1.2.3", &format!("1.{}.", id.simple()), &many] {
            assert_eq!(place(text), None, "{text}");
        }
    }
}
