//! The names of things as clients see them: opaque, different in each mailbox, checked when they come back.

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};

use super::{
    answer::{Fault, code},
    xml::{Element, Writer},
};
use crate::world::{
    folder::FolderId,
    item::{AttachmentId, ItemId},
};

/// An item, or one occurrence of a series, in a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemRef {
    /// The mailbox.
    pub mailbox: u32,
    /// The item; of an occurrence, the series.
    pub item: ItemId,
    /// When the occurrence was to begin.
    pub original: Option<DateTime<Utc>>,
}

/// An attachment of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachmentRef {
    /// What it hangs on.
    pub parent: ItemRef,
    /// Which one.
    pub attachment: AttachmentId,
}

const FOLDER: u64 = 1;
const ITEM: u64 = 2;
const OCCURRENCE: u64 = 3;
const ATTACHMENT: u64 = 4;
/// Every id begins so. It is as long as it is because clients know ids by their length.
const MARK: &[u8; 90] =
    b"\x00\x03$exchange-sim-0b9d7c52-6a4e-4d0f-9a53-2f7a1c8e6d40--------------------------------------";

fn encode(numbers: &[u64]) -> String {
    let mut octets = MARK.to_vec();
    for number in numbers {
        octets.extend_from_slice(&number.to_be_bytes());
    }
    STANDARD.encode(octets)
}

fn decode(text: &str) -> Option<Vec<u64>> {
    let octets = STANDARD.decode(text).ok()?;
    let numbers = octets.strip_prefix(MARK.as_slice())?;
    let whole = numbers.len() % 8 == 0;
    whole.then(|| {
        numbers.chunks_exact(8).map(|chunk| chunk.iter().fold(0, |sum, octet| sum << 8 | u64::from(*octet))).collect()
    })
}

fn malformed() -> Fault {
    Fault::new(code::INVALID_ID_MALFORMED, "Id is malformed.")
}

fn seconds(at: Option<DateTime<Utc>>) -> u64 {
    at.map_or(0, |at| at.timestamp().cast_unsigned())
}

fn from_seconds(seconds: u64) -> Option<DateTime<Utc>> {
    if seconds == 0 { None } else { DateTime::from_timestamp(seconds.cast_signed(), 0) }
}

/// The name of a folder.
pub fn folder(mailbox: u32, id: FolderId) -> String {
    encode(&[FOLDER, mailbox.into(), id.0])
}

/// The name of an item or occurrence.
pub fn item(id: ItemRef) -> String {
    match id.original {
        None => encode(&[ITEM, id.mailbox.into(), id.item.0]),
        Some(_) => encode(&[OCCURRENCE, id.mailbox.into(), id.item.0, seconds(id.original)]),
    }
}

/// The name of an attachment.
pub fn attachment(id: AttachmentRef) -> String {
    let AttachmentRef { parent, attachment } = id;
    encode(&[ATTACHMENT, parent.mailbox.into(), parent.item.0, seconds(parent.original), attachment.0])
}

/// The change key of something of this version.
pub fn change_key(version: u64) -> String {
    let mut octets = b"\x09\x00".to_vec();
    octets.extend_from_slice(&version.to_be_bytes());
    STANDARD.encode(octets)
}

/// The version a change key speaks of.
pub fn version(key: &str) -> Option<u64> {
    let octets = STANDARD.decode(key).ok()?;
    let octets: [u8; 8] = octets.strip_prefix(b"\x09\x00")?.try_into().ok()?;
    Some(u64::from_be_bytes(octets))
}

fn number(value: u64) -> Result<u32, Fault> {
    u32::try_from(value).map_err(|_| malformed())
}

/// Reads the name of a folder: its mailbox and its id there.
///
/// # Errors
/// `ErrorInvalidIdMalformed`.
pub fn read_folder(text: &str) -> Result<(u32, FolderId), Fault> {
    match decode(text).ok_or_else(malformed)?[..] {
        [FOLDER, mailbox, id] => Ok((number(mailbox)?, FolderId(id))),
        _ => Err(malformed()),
    }
}

/// Reads the name of an item or occurrence.
///
/// # Errors
/// `ErrorInvalidIdMalformed`.
pub fn read_item(text: &str) -> Result<ItemRef, Fault> {
    match decode(text).ok_or_else(malformed)?[..] {
        [ITEM, mailbox, id] => Ok(ItemRef { mailbox: number(mailbox)?, item: ItemId(id), original: None }),
        [OCCURRENCE, mailbox, id, original] => {
            Ok(ItemRef { mailbox: number(mailbox)?, item: ItemId(id), original: from_seconds(original) })
        }
        _ => Err(malformed()),
    }
}

/// Reads the name of an attachment.
///
/// # Errors
/// `ErrorInvalidIdMalformed`.
pub fn read_attachment(text: &str) -> Result<AttachmentRef, Fault> {
    match decode(text).ok_or_else(malformed)?[..] {
        [ATTACHMENT, mailbox, item, original, attachment] => Ok(AttachmentRef {
            parent: ItemRef { mailbox: number(mailbox)?, item: ItemId(item), original: from_seconds(original) },
            attachment: AttachmentId(attachment),
        }),
        _ => Err(malformed()),
    }
}

/// The version in an element's `ChangeKey`: none where it has none.
///
/// # Errors
/// `ErrorInvalidChangeKey`.
pub fn read_change_key(element: &Element) -> Result<Option<u64>, Fault> {
    match element.attribute("ChangeKey").filter(|key| !key.is_empty()) {
        None => Ok(None),
        Some(key) => match version(key) {
            Some(version) => Ok(Some(version)),
            None => Err(Fault::new(code::INVALID_CHANGE_KEY, "The change key is invalid.")),
        },
    }
}

/// Writes an item's id.
pub fn write_item(w: &mut Writer, name: &str, id: ItemRef, version: u64) {
    w.empty(name, &[("Id", &item(id)), ("ChangeKey", &change_key(version))]);
}

/// Writes a folder's id.
pub fn write_folder(w: &mut Writer, name: &str, mailbox: u32, id: FolderId, version: u64) {
    w.empty(name, &[("Id", &folder(mailbox, id)), ("ChangeKey", &change_key(version))]);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_come_back_and_strange_ones_are_refused() {
        let plain = ItemRef { mailbox: 2, item: ItemId(7), original: None };
        let occurrence = ItemRef { original: DateTime::from_timestamp(1_700_000_000, 0), ..plain };
        for id in [plain, occurrence] {
            assert_eq!(read_item(&item(id)).unwrap(), id);
            let hung = AttachmentRef { parent: id, attachment: AttachmentId(3) };
            assert_eq!(read_attachment(&attachment(hung)).unwrap(), hung);
        }
        assert_eq!(read_folder(&folder(1, FolderId(9))).unwrap(), (1, FolderId(9)));
        assert_eq!(version(&change_key(5)), Some(5));
        for text in ["", "DUMMY", "AAAA", &folder(1, FolderId(9))] {
            assert!(read_item(text).is_err());
        }
    }
}
