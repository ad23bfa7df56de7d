//! `SyncFolderItems` and `SyncFolderHierarchy`, and the sync states between their answers.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    answer::{self, Fault, Part, code},
    call::Call,
    folders, ids,
    shape::{self, Shape},
    view::View,
    xml::{Element, Writer},
};
use crate::world::{
    folder::FolderId,
    mailbox::Mailbox,
    sync::{FolderChange, ItemChange, Position},
};

/// How many changes one answer carries at most.
const CHANGES: usize = 512;

fn state(mailbox: &Mailbox, scope: FolderId, position: Position) -> String {
    let Position { from, done, horizon } = position;
    STANDARD.encode(format!("sim1 {} {} {} {from} {done} {horizon}", mailbox.number, mailbox.epoch, scope.0))
}

/// Reads a state back; one that was never given out for this folder, or was lost since, is refused.
fn position(mailbox: &Mailbox, scope: FolderId, state: Option<&str>) -> Part<Position> {
    let Some(state) = state.filter(|state| !state.is_empty()) else { return Ok(Position::default()) };
    let invalid =
        || Fault::new(code::INVALID_SYNC_STATE, "Synchronization state data is corrupt or otherwise invalid.");
    let text = STANDARD.decode(state).ok().and_then(|octets| String::from_utf8(octets).ok()).ok_or_else(invalid)?;
    let numbers =
        text.strip_prefix("sim1 ").ok_or_else(invalid)?.split(' ').map(str::parse).collect::<Result<Vec<u64>, _>>();
    match numbers.map_err(|_| invalid())?[..] {
        [number, epoch, folder, from, done, horizon]
            if number == u64::from(mailbox.number) && epoch == mailbox.epoch && folder == scope.0 =>
        {
            Ok(Position { from, done, horizon })
        }
        _ => Err(invalid()),
    }
}

fn flag(truth: bool) -> &'static str {
    if truth { "true" } else { "false" }
}

fn write_item_change(w: &mut Writer, mailbox: &Mailbox, change: ItemChange, shape: &Shape, ignored: &[String]) {
    let id = |item| ids::ItemRef { mailbox: mailbox.number, item, original: None };
    let skip = |item| ignored.contains(&ids::item(id(item)));
    match change {
        ItemChange::Create(item) | ItemChange::Update(item) if !skip(item) => {
            let name = if matches!(change, ItemChange::Create(_)) { "t:Create" } else { "t:Update" };
            if let Some(item) = mailbox.items.get(&item) {
                w.element(name, &[], |w| shape::write_item(w, &View::of(mailbox, item), shape));
            }
        }
        ItemChange::ReadFlag(item) if !skip(item) => {
            if let Some(found) = mailbox.items.get(&item) {
                w.element("t:ReadFlagChange", &[], |w| {
                    ids::write_item(w, "t:ItemId", id(item), found.version);
                    w.leaf("t:IsRead", flag(found.content.is("IsRead")));
                });
            }
        }
        ItemChange::Delete(item) => {
            w.element("t:Delete", &[], |w| ids::write_item(w, "t:ItemId", id(item), 1));
        }
        _ => {}
    }
}

/// `SyncFolderItems`.
pub fn items(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    let shape = shape::read(request.child("ItemShape"))?;
    let limit = request.text_of("MaxChangesReturned").and_then(|text| text.parse().ok()).unwrap_or(CHANGES);
    if limit == 0 {
        return Err(Fault::schema("MaxChangesReturned must be between 1 and 512"));
    }
    let ignored =
        request.list("Ignore").iter().filter_map(|id| id.attribute("Id").map(str::to_owned)).collect::<Vec<_>>();
    answer::response(w, "SyncFolderItems", |w| {
        let found: Part<_> = call.folder_in(request.child("SyncFolderId")).and_then(|(number, folder)| {
            let mailbox = call.mailbox(number)?;
            let position = position(mailbox, folder, request.text_of("SyncState"))?;
            Ok((mailbox, folder, mailbox.sync_items(folder, position, limit.min(CHANGES))?))
        });
        answer::message(w, "SyncFolderItems", &found, |w, (mailbox, folder, page)| {
            w.leaf("m:SyncState", &state(mailbox, *folder, page.position));
            w.leaf("m:IncludesLastItemInRange", flag(page.last));
            w.element("m:Changes", &[], |w| {
                page.changes.iter().for_each(|change| write_item_change(w, mailbox, *change, &shape, &ignored));
            });
        });
    });
    Ok(())
}

/// `SyncFolderHierarchy`.
pub fn hierarchy(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    let shape = shape::read(request.child("FolderShape"))?;
    answer::response(w, "SyncFolderHierarchy", |w| {
        let found: Part<_> = (|| {
            let (number, top) = match request.child("SyncFolderId") {
                Some(wrapper) => call.folder_in(Some(wrapper))?,
                None => (call.me, call.mailbox(call.me)?.home("msgfolderroot")),
            };
            let mailbox = call.mailbox(number)?;
            let position = position(mailbox, top, request.text_of("SyncState"))?;
            Ok((mailbox, top, mailbox.sync_folders(top, position, CHANGES)?))
        })();
        answer::message(w, "SyncFolderHierarchy", &found, |w, (mailbox, top, page)| {
            w.leaf("m:SyncState", &state(mailbox, *top, page.position));
            w.leaf("m:IncludesLastFolderInRange", flag(page.last));
            w.element("m:Changes", &[], |w| {
                for change in &page.changes {
                    let (name, id) = match change {
                        FolderChange::Create(id) => ("t:Create", id),
                        FolderChange::Update(id) => ("t:Update", id),
                        FolderChange::Delete(id) => {
                            w.element("t:Delete", &[], |w| ids::write_folder(w, "t:FolderId", mailbox.number, *id, 1));
                            continue;
                        }
                    };
                    if let Some(folder) = mailbox.folders.get(id) {
                        w.element(name, &[], |w| folders::write(w, mailbox, folder, &shape));
                    }
                }
            });
        });
    });
    Ok(())
}
