//! Operations on folders.

use super::{
    answer::{self, Fault, Part},
    call::Call,
    extended, ids, mapi, path,
    path::Path,
    restriction,
    shape::{self, Base, Shape},
    xml::{self, Element, Writer},
};
use crate::world::{
    folder::{Folder, FolderId},
    mailbox::Mailbox,
    search,
};

fn element(class: &str) -> &'static str {
    match class.split('.').nth(1) {
        Some("Appointment") => "t:CalendarFolder",
        Some("Contact") => "t:ContactsFolder",
        Some("Task") => "t:TasksFolder",
        _ => "t:Folder",
    }
}

/// Writes a folder.
pub fn write(w: &mut Writer, mailbox: &Mailbox, folder: &Folder, shape: &Shape) {
    let usual = ["FolderId", "DisplayName", "TotalCount", "ChildFolderCount", "UnreadCount"];
    let wants = |name: &str| {
        let by_base = match shape.base {
            Base::IdOnly => name == "FolderId",
            Base::Default => usual.contains(&name),
            Base::All => true,
        };
        by_base || shape.more.iter().any(|path| matches!(path, Path::Folder(wanted) if wanted == name))
    };
    let (total, unread) = mailbox.counts(folder.id);
    w.element(element(&folder.class), &[], |w| {
        if wants("FolderId") {
            ids::write_folder(w, "t:FolderId", mailbox.number, folder.id, folder.version);
        }
        if wants("ParentFolderId")
            && let Some(parent) = folder.parent.and_then(|id| mailbox.folders.get(&id))
        {
            ids::write_folder(w, "t:ParentFolderId", mailbox.number, parent.id, parent.version);
        }
        if wants("FolderClass") && !folder.class.is_empty() {
            w.leaf("t:FolderClass", &folder.class);
        }
        if wants("DisplayName") {
            w.leaf("t:DisplayName", &folder.name);
        }
        if wants("TotalCount") {
            w.leaf("t:TotalCount", &total.to_string());
        }
        if wants("ChildFolderCount") {
            let below = mailbox.folders.values().filter(|other| other.parent == Some(folder.id)).count();
            w.leaf("t:ChildFolderCount", &below.to_string());
        }
        for path in &shape.more {
            if let Path::Extended(path) = path
                && let Some(found) = mapi::of_folder(mailbox, folder, &path.name)
            {
                extended::write(w, path, &found);
            }
        }
        if wants("DistinguishedFolderId")
            && let Some(name) = folder.distinguished
        {
            w.leaf("t:DistinguishedFolderId", name);
        }
        // Those of calendars, contacts and tasks have no count of unread items in the schema before 2013; clients take it.
        if wants("UnreadCount") && element(&folder.class) == "t:Folder" {
            w.leaf("t:UnreadCount", &unread.to_string());
        }
    });
}

fn write_id(w: &mut Writer, mailbox: &Mailbox, folder: FolderId) {
    if let Some(folder) = mailbox.folders.get(&folder) {
        write(w, mailbox, folder, &Shape::default());
    }
}

/// `GetFolder`.
pub fn get(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    let shape = shape::read(request.child("FolderShape"))?;
    answer::response(w, "GetFolder", |w| {
        for id in request.list("FolderIds") {
            let found = call.folder(id);
            answer::message(w, "GetFolder", &found, |w, (number, id)| {
                w.element("m:Folders", &[], |w| {
                    if let Ok(mailbox) = call.mailbox(*number)
                        && let Some(folder) = mailbox.folders.get(id)
                    {
                        write(w, mailbox, folder, &shape);
                    }
                });
            });
        }
    });
    Ok(())
}

/// Where a page begins and how long it is: offset, limit, counted from the end.
pub fn page(request: &Element, views: &[&str]) -> (usize, usize, bool) {
    let Some(view) = views.iter().find_map(|name| request.child(name)) else { return (0, usize::MAX, false) };
    let number = |name: &str| view.attribute(name).and_then(|text| text.parse().ok());
    let limit = number("MaxEntriesReturned").unwrap_or(usize::MAX);
    (number("Offset").unwrap_or(0), limit, view.attribute("BasePoint") == Some("End"))
}

/// `FindFolder`.
pub fn find(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    let shape = shape::read(request.child("FolderShape"))?;
    let deep = request.attribute("Traversal") == Some("Deep");
    let condition = restriction::read(request)?;
    let (offset, limit, from_end) = page(request, &["IndexedPageFolderView"]);
    answer::response(w, "FindFolder", |w| {
        for parent in request.list("ParentFolderIds") {
            let found: Part<_> = call.folder(parent).and_then(|(number, top)| {
                let mailbox = call.mailbox(number)?;
                let below = mailbox.subtree(top).into_iter().skip(1).filter_map(|id| mailbox.folders.get(&id));
                let below = below.filter(|folder| deep || folder.parent == Some(top));
                let fits = |folder: &&Folder| {
                    condition.as_ref().is_none_or(|one| one.holds(&|path| path::of_folder(mailbox, folder, path)))
                };
                Ok((mailbox, search::page(below.filter(fits).collect::<Vec<_>>(), offset, limit, from_end)))
            });
            answer::message(w, "FindFolder", &found, |w, (mailbox, page)| {
                let (next, total) = (page.next.to_string(), page.total.to_string());
                let last = if page.last { "true" } else { "false" };
                let attributes = [
                    ("IndexedPagingOffset", next.as_str()),
                    ("TotalItemsInView", &total),
                    ("IncludesLastItemInRange", last),
                ];
                w.element("m:RootFolder", &attributes, |w| {
                    w.element("t:Folders", &[], |w| {
                        page.elements.iter().for_each(|folder| write(w, mailbox, folder, &shape));
                    });
                });
            });
        }
    });
    Ok(())
}

/// Sets what an element of a folder says.
fn set(folder: &mut Folder, child: &Element) -> Result<(), Fault> {
    match child.name.as_str() {
        "DisplayName" => child.text.trim().clone_into(&mut folder.name),
        "FolderClass" => child.text.trim().clone_into(&mut folder.class),
        "ExtendedProperty" => {
            let (path, value) = extended::read(child)?;
            folder.extended.insert(path.name, value);
        }
        _ => {}
    }
    Ok(())
}

/// `CreateFolder`.
pub fn create(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    let parent = call.folder_in(request.child("ParentFolderId"));
    answer::response(w, "CreateFolder", |w| {
        for wanted in request.list("Folders") {
            let class = wanted.text_of("FolderClass").unwrap_or(match wanted.name.as_str() {
                "CalendarFolder" => "IPF.Appointment",
                "ContactsFolder" => "IPF.Contact",
                "TasksFolder" => "IPF.Task",
                _ => "IPF.Note",
            });
            let now = call.now;
            let made: Part<_> = parent.clone().and_then(|(number, parent)| {
                let mailbox = call.mailbox_mut(number)?;
                let id =
                    mailbox.create_folder(parent, wanted.text_of("DisplayName").unwrap_or_default(), class, now)?;
                if let Some(folder) = mailbox.folders.get_mut(&id) {
                    wanted
                        .children
                        .iter()
                        .filter(|child| child.name == "ExtendedProperty")
                        .try_for_each(|one| set(folder, one))?;
                }
                Ok((number, id))
            });
            answer::message(w, "CreateFolder", &made, |w, (number, id)| {
                w.element("m:Folders", &[], |w| {
                    if let Ok(mailbox) = call.mailbox(*number) {
                        write_id(w, mailbox, *id);
                    }
                });
            });
        }
    });
    Ok(())
}

fn update_one(call: &mut Call<'_>, change: &Element) -> Part<(u32, FolderId)> {
    let id = change.children.iter().find(|child| child.name.ends_with("FolderId"));
    let (number, id) = call.folder(id.ok_or_else(|| Fault::schema("A folder id is missing"))?)?;
    let now = call.now;
    let mailbox = call.mailbox_mut(number)?;
    let mut changed = mailbox.folder(id)?.clone();
    for update in change.list("Updates") {
        match update.name.as_str() {
            "SetFolderField" => {
                let inner =
                    update.children.iter().filter(|child| !path::is_path(child)).flat_map(|folder| &folder.children);
                for child in inner {
                    set(&mut changed, child)?;
                }
            }
            "DeleteFolderField" => {
                if let Path::Extended(path) = path::within(update)? {
                    changed.extended.remove(&path.name);
                }
            }
            other => return Err(Fault::schema(format!("{other} is not known"))),
        }
    }
    mailbox.update_folder(id, now, |folder| *folder = changed)?;
    Ok((number, id))
}

/// `UpdateFolder`.
pub fn update(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    answer::response(w, "UpdateFolder", |w| {
        for change in request.list("FolderChanges") {
            let done = update_one(call, change);
            answer::message(w, "UpdateFolder", &done, |w, (number, id)| {
                w.element("m:Folders", &[], |w| {
                    if let Ok(mailbox) = call.mailbox(*number) {
                        write_id(w, mailbox, *id);
                    }
                });
            });
        }
    });
    Ok(())
}

/// `DeleteFolder`.
pub fn delete(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    let for_ever = request.attribute("DeleteType") != Some("MoveToDeletedItems");
    let now = call.now;
    answer::response(w, "DeleteFolder", |w| {
        for id in request.list("FolderIds") {
            let done: Part = call.folder(id).and_then(|(number, id)| {
                let mailbox = call.mailbox_mut(number)?;
                if for_ever {
                    return Ok(mailbox.delete_folder(id, now)?);
                }
                let bin = mailbox.home("deleteditems");
                Ok(mailbox.move_folder(id, bin, now)?)
            });
            answer::message(w, "DeleteFolder", &done, |_, ()| {});
        }
    });
    Ok(())
}

/// `MoveFolder`.
pub fn relocate(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    let target = call.folder_in(request.child("ToFolderId"));
    let now = call.now;
    answer::response(w, "MoveFolder", |w| {
        for id in request.list("FolderIds") {
            let done: Part<_> = call.folder(id).and_then(|(number, id)| {
                let (_, target) = target.clone()?;
                call.mailbox_mut(number)?.move_folder(id, target, now)?;
                Ok((number, id))
            });
            answer::message(w, "MoveFolder", &done, |w, (number, id)| {
                w.element("m:Folders", &[], |w| {
                    if let Ok(mailbox) = call.mailbox(*number) {
                        write_id(w, mailbox, *id);
                    }
                });
            });
        }
    });
    Ok(())
}

/// `EmptyFolder`.
pub fn empty(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    let for_ever = request.attribute("DeleteType") != Some("MoveToDeletedItems");
    let with_folders = xml::is_true(request.attribute("DeleteSubFolders"));
    let now = call.now;
    answer::response(w, "EmptyFolder", |w| {
        for id in request.list("FolderIds") {
            let done: Part = call.folder(id).and_then(|(number, id)| {
                let mailbox = call.mailbox_mut(number)?;
                let bin = mailbox.home("deleteditems");
                for item in mailbox.items_in(id) {
                    if for_ever {
                        mailbox.remove(item, now)?;
                    } else {
                        mailbox.move_item(item, bin, now)?;
                    }
                }
                let below = mailbox.subtree(id).into_iter().skip(1).collect::<Vec<_>>();
                for folder in below.into_iter().filter(|_| with_folders) {
                    if mailbox.folders.get(&folder).is_some_and(|folder| folder.distinguished.is_none()) {
                        mailbox.delete_folder(folder, now)?;
                    }
                }
                Ok(())
            });
            answer::message(w, "EmptyFolder", &done, |_, ()| {});
        }
    });
    Ok(())
}
