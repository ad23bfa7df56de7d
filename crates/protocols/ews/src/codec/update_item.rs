//! `UpdateItem` (MS-OXWSCORE 3.1.4.9).

use super::{
    create_item::{Disposition, Invitations},
    id::{ItemId, ItemRef},
    property::Property,
};
use crate::xml::{Element, Writer};

/// What happens when somebody else changed the item meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflicts {
    /// The change is refused.
    NeverOverwrite,
    /// The server merges what it can; a later change wins without a word.
    AutoResolve,
    /// Ours wins without a word.
    AlwaysOverwrite,
}

/// One change of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// Sets it; the second is the item's element with nothing but the property in it.
    Set(Property, String),
    /// Clears it.
    Delete(Property),
}

/// Changes one item.
pub fn request(item: &ItemRef, updates: &[Update], conflicts: Conflicts, invitations: Invitations) -> String {
    let conflicts = match conflicts {
        Conflicts::NeverOverwrite => "NeverOverwrite",
        Conflicts::AutoResolve => "AutoResolve",
        Conflicts::AlwaysOverwrite => "AlwaysOverwrite",
    };
    let attributes = [
        ("ConflictResolution", conflicts),
        ("MessageDisposition", Disposition::SaveOnly.word()),
        ("SendMeetingInvitationsOrCancellations", invitations.word()),
    ];
    let mut w = Writer::default();
    w.element("m:UpdateItem", &attributes, |w| {
        w.element("m:ItemChanges", &[], |w| {
            w.element("t:ItemChange", &[], |w| {
                item.write(w);
                w.element("t:Updates", &[], |w| updates.iter().for_each(|update| write(w, update)));
            });
        });
    });
    w.finish()
}

fn write(w: &mut Writer, update: &Update) {
    match update {
        Update::Set(property, item) => w.element("t:SetItemField", &[], |w| {
            property.write(w);
            w.raw(item);
        }),
        Update::Delete(property) => w.element("t:DeleteItemField", &[], |w| property.write(w)),
    }
}

/// The id and the new state of what was changed.
pub fn read(message: &Element) -> Option<ItemId> {
    message.list("Items").first().and_then(ItemId::of_item)
}
