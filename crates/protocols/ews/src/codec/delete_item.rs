//! `DeleteItem` (MS-OXWSCORE 3.1.4.3).

use super::id::ItemRef;
use crate::xml::Writer;

/// How thoroughly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thoroughness {
    /// Into the folder of deleted items.
    ToDeletedItems,
    /// Where its owner can still recover it.
    Soft,
    /// For good.
    Hard,
}

/// Deletes items. With `cancel`, those invited to an appointment hear of it; of recurring tasks only the current one goes
/// unless `whole_series`.
pub fn request(items: &[ItemRef], how: Thoroughness, cancel: bool, whole_series: bool) -> String {
    let how = match how {
        Thoroughness::ToDeletedItems => "MoveToDeletedItems",
        Thoroughness::Soft => "SoftDelete",
        Thoroughness::Hard => "HardDelete",
    };
    let attributes = [
        ("DeleteType", how),
        ("SendMeetingCancellations", if cancel { "SendToAllAndSaveCopy" } else { "SendToNone" }),
        ("AffectedTaskOccurrences", if whole_series { "AllOccurrences" } else { "SpecifiedOccurrenceOnly" }),
    ];
    let mut w = Writer::default();
    w.element("m:DeleteItem", &attributes, |w| {
        w.element("m:ItemIds", &[], |w| items.iter().for_each(|item| item.write(w)));
    });
    w.finish()
}
