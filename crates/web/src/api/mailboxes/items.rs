//! Items of a mailbox that became no record: why, and what a person decides about those set aside. Nothing of their
//! content is stored, so nothing of it is shown.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use lockstep_engine::acceptance::Reason;
use lockstep_model::{id::MailboxId, remote::RemoteKey};
use lockstep_store::{
    forwarding,
    item_failures::{self, DROPPED, Decided, ItemFailure, JudgedAgain},
    mailboxes, nudge,
    rights::Kind,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::missing;
use crate::{
    again::again,
    auth::Caller,
    explain::reason_sentence,
    extract::{Id, MaybeBody, Params},
    page::Limit,
    problem::Problem,
    query::one_of,
    state::App,
    validate::Check,
    wall,
};

/// Which items to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListItems {
    /// Items in a page, at most 200.
    limit: Option<u16>,
    /// The next of the page before.
    after: Option<String>,
    /// `refused` or `quarantined`; both without it.
    disposition: Option<String>,
}

/// An item on the server that is no record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Item {
    /// The server's identity of it, in hexadecimal digits.
    key: String,
    /// As far as its header was read. Not shown to operators.
    message_id: Option<String>,
    /// As the server announced it.
    size_bytes: i64,
    /// `refused`: declined by rule. `quarantined`: it failed and is set aside.
    disposition: String,
    /// Stable name of the reason.
    reason: Option<String>,
    /// What the reason means.
    sentence: Option<String>,
    /// What was said at the time; kept for three days. Not shown to operators.
    detail: Option<String>,
    /// How often it has failed.
    attempts: i32,
    /// How often a worker has ended over it.
    deaths: i32,
    /// When it is tried or judged again by itself; absent: never.
    next_attempt_at: Option<DateTime<Utc>>,
    /// When it was first seen.
    seen_at: DateTime<Utc>,
    /// Where it lies: `inbox`, `sent`, `undeliverable` (it was given up and moved there), or `elsewhere` (it has left the
    /// folder it was read in).
    folder: String,
}

impl Item {
    /// The item as this caller sees it. What a server says of a message, and the Message-ID, may hold something of its
    /// content: operators see the code and what it means.
    pub(crate) fn shown(item: ItemFailure, caller: &Caller) -> Self {
        let content = caller.sees_content();
        Self {
            key: hex::encode(&item.key),
            message_id: item.message_id.filter(|_| content),
            size_bytes: item.size_bytes,
            disposition: item.disposition,
            sentence: item.reason.as_deref().map(reason_sentence),
            reason: item.reason,
            detail: item.detail.filter(|_| content),
            attempts: item.attempts,
            deaths: item.deaths,
            next_attempt_at: item.next_attempt_at,
            seen_at: item.seen_at,
            folder: item.folder,
        }
    }
}

/// A page of items.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ItemPage {
    /// In an order of the server's.
    items: Vec<Item>,
    /// Give this as `after` to read on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Lists what was refused or set aside, with the reasons.
#[utoipa::path(get, path = "/mailboxes/{id}/items", tag = "mailboxes", params(("id" = Uuid, Path), ListItems),
    responses((status = 200, description = "A page of items", body = ItemPage)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Params(query): Params<ListItems>,
) -> Result<Json<ItemPage>, Problem> {
    let disposition = query.disposition.as_deref();
    one_of("disposition", disposition, &["refused", "quarantined"])?;
    let unknown = || Problem::field("after", "format", "the next of the page before");
    let after = query.after.as_deref().map(|text| key(text).ok_or_else(unknown)).transpose()?;
    let limit = Limit::of(query.limit);
    let mut tx = app.store.begin().await?;
    wall::reading(&mut tx, &caller, Kind::Mailbox, id).await?;
    mailboxes::get(&mut tx, MailboxId(id)).await?.ok_or_else(missing)?;
    let mut rows = item_failures::list(&mut tx, MailboxId(id), disposition, after.as_ref(), limit.rows()).await?;
    let size = usize::try_from(limit.items()).unwrap_or(usize::MAX);
    let more = rows.len() > size;
    rows.truncate(size);
    let next = rows.last().filter(|_| more).map(|row| hex::encode(&row.key));
    Ok(Json(ItemPage { items: rows.into_iter().map(|row| Item::shown(row, &caller)).collect(), next }))
}

/// Tries an item that was set aside again at once, as if it had never failed. A refused one is judged again, by the rules
/// that hold then. One that was moved to the folder Undeliverable is moved back into the inbox, and is a new item there.
#[utoipa::path(post, path = "/mailboxes/{id}/items/{key}/release", tag = "mailboxes",
    params(("id" = Uuid, Path), ("key" = String, Path)),
    responses((status = 200, description = "The item as it is now", body = Item)))]
pub(crate) async fn release(
    State(app): State<App>,
    caller: Caller,
    Id((id, key)): Id<(Uuid, String)>,
) -> Result<Json<Item>, Problem> {
    again(|| decide(&app, &caller, MailboxId(id), &key, true)).await
}

/// Never tries an item that was set aside again: from now on it counts as refused.
#[utoipa::path(post, path = "/mailboxes/{id}/items/{key}/drop", tag = "mailboxes",
    params(("id" = Uuid, Path), ("key" = String, Path)),
    responses((status = 200, description = "The item as it is now", body = Item)))]
pub(crate) async fn drop_item(
    State(app): State<App>,
    caller: Caller,
    Id((id, key)): Id<(Uuid, String)>,
) -> Result<Json<Item>, Problem> {
    again(|| decide(&app, &caller, MailboxId(id), &key, false)).await
}

async fn decide(app: &App, caller: &Caller, id: MailboxId, text: &str, release: bool) -> Result<Json<Item>, Problem> {
    let no_item = || Problem::not_found("item that is no record in this mailbox");
    let key = key(text).ok_or_else(|| Problem::bad_request("The item's key must be an even number of hex digits."))?;
    let mut tx = app.store.begin().await?;
    mailboxes::get(&mut tx, id).await?.ok_or_else(missing)?;
    let actor = caller.actor();
    let decided = if release {
        item_failures::release(&mut tx, id, &key, &actor).await?
    } else {
        item_failures::drop_item(&mut tx, id, &key, &actor).await?
    };
    let item = item_failures::get(&mut tx, id, &key).await?.ok_or_else(no_item)?;
    match decided {
        Decided::Done => {
            nudge(&mut tx).await?;
            tx.commit().await?;
        }
        // Dropping it again changes nothing.
        Decided::NotQuarantined if !release && item.reason.as_deref() == Some(DROPPED) => {}
        Decided::NotQuarantined => {
            let detail = "The item is refused already; it is not read again unless it is released.";
            return Err(Problem::conflict("not-quarantined", detail));
        }
        Decided::Erased => {
            let detail = "The message's email was erased on purpose; it is not read again.";
            return Err(Problem::conflict("erased", detail));
        }
        Decided::Elsewhere => {
            let detail =
                "The message has left the folder it was read in. Moved back there, it is read again by itself.";
            return Err(Problem::conflict("left-the-folder", detail));
        }
        Decided::Missing => return Err(no_item()),
    }
    Ok(Json(Item::shown(item, caller)))
}

/// Everything but what a person has dropped, records that are gone included: what an earlier start date means.
pub(super) const EVERYTHING: JudgedAgain<'static> =
    JudgedAgain { reason: None, seen_since: None, without_record: true };

/// Which refused items are judged again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JudgeAgain {
    /// Only those refused for this reason: OwnMessage, TestMessage, TooLarge, RightsManaged, TooOld, NoRecipientMatch,
    /// NoCorrelationMatch, InvalidForwardMailItem or DroppedByHand. Without it all but DroppedByHand.
    reason: Option<String>,
    /// Only those first seen at this instant or later.
    seen_since: Option<DateTime<Utc>>,
}

/// How many items are judged again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JudgingAgain {
    items: u64,
}

/// Judges refused items again, by the rules that hold then: after a track option or a rule of the organisation was
/// changed, which by itself concerns new messages only. They are looked at in the next cycles; what was decided stands
/// until then.
#[utoipa::path(post, path = "/mailboxes/{id}/judge-again", tag = "mailboxes", request_body = Option<JudgeAgain>,
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "How many there are", body = JudgingAgain)))]
pub(crate) async fn judge_again(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    MaybeBody(body): MaybeBody<JudgeAgain>,
) -> Result<Json<JudgingAgain>, Problem> {
    let JudgeAgain { reason, seen_since } = body.value;
    let reasons: Vec<_> =
        Reason::ALL.iter().map(|reason| reason.code()).chain([forwarding::INVALID, DROPPED]).collect();
    one_of("reason", reason.as_deref(), &reasons)?;
    let mut check = Check::default();
    check.instant("seen_since", seen_since);
    check.finish()?;
    again(|| async {
        let mut tx = app.store.begin().await?;
        wall::reading(&mut tx, &caller, Kind::Mailbox, id).await?;
        mailboxes::get(&mut tx, MailboxId(id)).await?.ok_or_else(missing)?;
        let which = JudgedAgain { reason: reason.as_deref(), seen_since, without_record: false };
        let items = item_failures::judge_again(&mut tx, MailboxId(id), which, &caller.actor()).await?;
        nudge(&mut tx).await?;
        tx.commit().await?;
        Ok(Json(JudgingAgain { items }))
    })
    .await
}

fn key(text: &str) -> Option<RemoteKey> {
    hex::decode(text).ok().and_then(RemoteKey::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_both_ways() {
        for bytes in [&b"\x00\xff"[..], b"uid-1", &[7; 512]] {
            assert_eq!(key(&hex::encode(bytes)).unwrap().as_bytes(), bytes);
        }
        for text in ["", "0", "0g", "+1", "é0", &"00".repeat(513)] {
            assert_eq!(key(text), None, "{text}");
        }
    }
}
