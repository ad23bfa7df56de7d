//! What is attached to appointments. The protocol gives each attachment an id of its own and has no way to change one: who
//! has another content is another one.

use async_trait::async_trait;
use lockstep_connector::{
    BodyReader, Deadline,
    attachments::{Attached, Attachments, File, Listing},
    items::NotDone,
};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    record::RemoteVersion,
    remote::RemoteKey,
};

use super::{
    reading::{may_be_of_an_item, of_the_item},
    writing::{Refused, not_done, settled},
};
use crate::{
    client::Client,
    codec::{
        answer, attachment, get_item,
        id::{ItemId, ItemRef},
        property::{Property, Shape},
    },
    fault::{self, Refusal},
    header::id_of,
    session::EwsSession,
    xml::Element,
};

/// Types of calendar items that are no single appointment.
const OF_SERIES: [&str; 3] = ["RecurringMaster", "Occurrence", "Exception"];

#[async_trait]
impl Attachments for EwsSession {
    async fn attachments(&mut self, items: &[RemoteKey], deadline: &Deadline) -> Result<Vec<Listing>, Fault> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<ItemRef> = items.iter().map(|key| ItemId::whatever(id_of(key)).into()).collect();
        match listed(&mut self.client, &ids, deadline).await {
            Err(fault) if may_be_of_an_item(&fault) => {}
            listed => return listed,
        }
        // One that the server chokes on does not keep its neighbours from being listed.
        let mut listings = Vec::with_capacity(ids.len());
        for id in &ids {
            match listed(&mut self.client, std::slice::from_ref(id), deadline).await {
                Ok(one) => listings.extend(one),
                Err(fault) if may_be_of_an_item(&fault) => {
                    self.client.look(deadline).await?;
                    listings.push(Listing::Unreadable(of_the_item(fault)));
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(listings)
    }

    async fn attachment(&mut self, id: &str, deadline: &Deadline) -> Result<BodyReader<'_>, Fault> {
        self.client.attachment(id, deadline).await
    }

    async fn attach(
        &mut self,
        item: &RemoteKey,
        file: File<'_>,
        content: BodyReader<'_>,
        deadline: &Deadline,
    ) -> Result<Result<(String, RemoteVersion), NotDone>, Fault> {
        let parent = ItemId::whatever(id_of(item));
        let done = self.client.attach(&parent, file.name, file.media_type, content, deadline).await;
        if let Err(fault) = &done
            && fault.scope == FaultScope::Item
            && fault.class == FaultClass::Refused
        {
            // Refused by its length, before it was looked at: HTTP status 413.
            return Ok(Err(NotDone::Refused(fault.clone())));
        }
        Ok(match settled(&mut self.client, done, deadline).await? {
            Ok((id, item)) => Ok((id, RemoteVersion(item.change_key))),
            Err(refused) => Err(of_one(&refused)?),
        })
    }

    async fn detach(&mut self, id: &str, deadline: &Deadline) -> Result<Result<RemoteVersion, NotDone>, Fault> {
        let done = self.client.call_one(&attachment::delete(id), deadline).await;
        Ok(match settled(&mut self.client, done, deadline).await? {
            Ok(message) => {
                let root = attachment::deleted(&message);
                let root = root.ok_or_else(|| fault::violation("the server does not say what it deleted"))?;
                Ok(RemoteVersion(root.change_key))
            }
            Err(refused) => Err(of_one(&refused)?),
        })
    }
}

/// What was refused for one item; whatever concerns more ends the session.
fn of_one(refused: &Refused) -> Result<NotDone, Fault> {
    if let Refused::Item(refusal) = refused {
        let fault = refusal.fault(FaultScope::Item);
        if fault.scope != FaultScope::Item {
            return Err(fault);
        }
    }
    Ok(not_done(refused))
}

async fn listed(client: &mut Client, ids: &[ItemRef], deadline: &Deadline) -> Result<Vec<Listing>, Fault> {
    let wanted = Shape::ids_and(["item:Attachments", "calendar:CalendarItemType"].map(Property::Field));
    let response = client.call(&get_item::request(ids, &wanted), deadline).await?;
    let mut messages = answer::messages(&response);
    let mut listings = Vec::with_capacity(ids.len());
    for _ in ids {
        let message = messages.next().ok_or_else(|| fault::violation("the server left an item out"))?;
        listings.push(listing(message)?);
    }
    Ok(listings)
}

fn listing(message: Result<&Element, Refusal>) -> Result<Listing, Fault> {
    let message = match message {
        Ok(message) => message,
        Err(refusal) => {
            let fault = refusal.fault(FaultScope::Item);
            return match (fault.scope, fault.class) {
                (FaultScope::Item, FaultClass::Gone) => Ok(Listing::Gone),
                (FaultScope::Item, _) => Ok(Listing::Unreadable(fault)),
                _ => Err(fault),
            };
        }
    };
    let item = get_item::read(message).ok_or_else(|| fault::violation("an answer without its item"))?;
    if item.text_of("CalendarItemType").is_some_and(|kind| OF_SERIES.contains(&kind)) {
        return Ok(Listing::Apart("a series"));
    }
    let id = ItemId::of_item(item).ok_or_else(|| fault::violation("an item without its id"))?;
    let attached = attachment::list(item).into_iter().map(|one| Attached {
        apart: match (one.is_item, one.is_reference) {
            (true, _) => Some("an item, not a file"),
            (_, true) => Some("a link to a file that lies elsewhere"),
            _ => None,
        },
        id: one.id,
        name: one.name,
        media_type: one.content_type,
        size: one.size,
        inline: one.inline,
    });
    Ok(Listing::Here(RemoteVersion(id.change_key), attached.collect()))
}
