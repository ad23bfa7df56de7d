//! What changed in a folder.

use std::collections::HashMap;

use lockstep_connector::{
    Deadline,
    items::{Changes, ItemHead, MOST_CATEGORIES},
};
use lockstep_model::{
    fault::{Fault, FaultScope},
    record::RemoteVersion,
    remote::{Cursor, RemoteKey},
    text,
};

use crate::{
    client::Client,
    codec::{
        id::ItemId,
        sync_folder_items::{Change, Page},
    },
    fault,
    item::{self, Class, appointment},
    xml::Element,
};

/// The longest category, in bytes.
const MAX_CATEGORY: usize = 255;
/// Longest UID, in bytes.
const MAX_UID: usize = 1_024;

/// One page of what changed since a cursor; where the server no longer knows it, the first page of everything.
pub(super) async fn changes(
    client: &mut Client,
    class: Class,
    cursor: &Cursor,
    limit: u16,
    deadline: &Deadline,
) -> Result<Changes, Fault> {
    // Whatever is no text was never a sync state, and so is not known.
    let state = (!cursor.is_start()).then(|| String::from_utf8(cursor.0.clone()).ok());
    match state {
        None => {
            let listed = client.sync_items(class, None, limit, deadline).await?;
            page(class, listed.map_err(|refusal| refusal.fault(FaultScope::Mailbox))?, "")
        }
        Some(Some(state)) => match client.sync_items(class, Some(&state), limit, deadline).await? {
            Ok(listed) => page(class, listed, &state),
            Err(refusal) if refusal.forgot_the_state() => again(client, class, limit, deadline).await,
            Err(refusal) => Err(refusal.fault(FaultScope::Mailbox)),
        },
        Some(None) => again(client, class, limit, deadline).await,
    }
}

async fn again(client: &mut Client, class: Class, limit: u16, deadline: &Deadline) -> Result<Changes, Fault> {
    tracing::info!(folder = class.folder(), "the server has forgotten the sync state; the listing begins again");
    let listed = client.sync_items(class, None, limit, deadline).await?;
    let listed = listed.map_err(|refusal| refusal.fault(FaultScope::Mailbox))?;
    Ok(Changes { reset: true, ..page(class, listed, "")? })
}

/// What is told of a page. `before` is the state it was asked with.
fn page(class: Class, page: Page, before: &str) -> Result<Changes, Fault> {
    if page.state.len() > Cursor::MAX_BYTES {
        return Err(fault::violation("the server's sync state is larger than can be kept"));
    }
    let (mut order, mut last, mut unusable) = (Vec::new(), HashMap::new(), 0_usize);
    for change in page.changes {
        let (key, head) = match change {
            Change::Created(element) | Change::Updated(element) => {
                if !is_of(class, &element) || (class == Class::Appointment && appointment::apart(&element).is_some()) {
                    continue;
                }
                match head(class, &element) {
                    Some(head) => (Some(head.key.clone()), Some(head)),
                    None => (None, None),
                }
            }
            Change::Deleted(id) => (RemoteKey::new(id.id), None),
            // Nothing that is synchronised. Its new state shows when it is written to.
            Change::ReadFlag(..) => continue,
        };
        let Some(key) = key else {
            unusable += 1;
            continue;
        };
        if last.insert(key.clone(), head).is_none() {
            order.push(key);
        }
    }
    if unusable > 0 {
        tracing::warn!(unusable, "the server lists items without an id that can be kept");
    }
    let more = !page.last && page.state != before;
    let mut changes = Changes { cursor: Cursor(page.state.into_bytes()), more, ..Changes::default() };
    for key in order {
        match last.remove(&key).flatten() {
            Some(head) => changes.changed.push(head),
            None => changes.deleted.push(key),
        }
    }
    Ok(changes)
}

/// Whether an element is an item of a class. Distribution lists, for one, lie among the contacts.
pub(super) fn is_of(class: Class, element: &Element) -> bool {
    class.element().strip_prefix("t:") == Some(element.name.as_str())
}

/// What a listing shows of an item; `None` where its id cannot be kept.
pub(super) fn head(class: Class, element: &Element) -> Option<ItemHead> {
    let id = ItemId::of_item(element)?;
    let uid = element.text_of("UID").filter(|_| class == Class::Appointment);
    let categories = element.list("Categories").iter().map(|name| text::line(&name.text, MAX_CATEGORY));
    Some(ItemHead {
        key: RemoteKey::new(id.id)?,
        version: RemoteVersion(id.change_key),
        mark: item::link(element),
        uid: uid.map(|uid| text::line(uid, MAX_UID)).filter(|uid| !uid.is_empty()),
        categories: categories.filter(|name| !name.is_empty()).take(MOST_CATEGORIES).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(id: &str, key: &str) -> Element {
        let xml = format!(r#"<Contact><ItemId Id="{id}" ChangeKey="{key}"/></Contact>"#);
        Element::read(xml.as_bytes()).unwrap()
    }

    #[test]
    fn an_item_listed_twice_stands_once_as_it_was_listed_last() {
        let list = Element::read(b"<DistributionList><ItemId Id=\"d\" ChangeKey=\"1\"/></DistributionList>").unwrap();
        let listed = vec![
            Change::Created(contact("a", "1")),
            Change::Created(contact("b", "1")),
            Change::Created(list),
            Change::Updated(contact("a", "2")),
            Change::Deleted(ItemId::whatever("b")),
            Change::Created(contact(&"x".repeat(600), "1")),
        ];
        let told = page(Class::Contact, Page { state: "s1".into(), last: false, changes: listed }, "s0").unwrap();
        let changed: Vec<_> = told.changed.iter().map(|head| (head.key.to_string(), head.version.0.clone())).collect();
        assert_eq!(changed, [("a".to_owned(), "2".to_owned())]);
        assert_eq!(told.deleted, [RemoteKey::new("b").unwrap()]);
        assert!(told.more && told.cursor.0 == b"s1");
    }

    /// A server that does not get on is not followed without end, and no state is kept that does not fit.
    #[test]
    fn states_that_lead_nowhere() {
        let empty = |state: String| Page { state, last: false, changes: Vec::new() };
        assert!(!page(Class::Task, empty("s".into()), "s").unwrap().more);
        assert!(page(Class::Task, empty("x".repeat(Cursor::MAX_BYTES + 1)), "s").is_err());
    }
}
