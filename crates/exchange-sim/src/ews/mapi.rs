//! MAPI's tags for what items and folders hold anyway: asked for by tag, the same value answers as by name.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{body, time, view::View};
use crate::{
    mime,
    world::{
        folder::Folder,
        item::{Class, Content},
        mailbox::Mailbox,
        value::{Body, Extended, PropertyName, Value},
    },
};

/// Bits of the message flags.
const READ: i64 = 1;
const UNSENT: i64 = 8;
const ATTACHED: i64 = 16;
const FROM_ME: i64 = 32;

/// Tags of texts, and the properties that hold them.
const TEXTS: &[(u16, &str)] = &[
    (0x001a, "ItemClass"),
    (0x0037, "Subject"),
    (0x0070, "ConversationTopic"),
    (0x1035, "InternetMessageId"),
    (0x1042, "InReplyTo"),
    (0x1039, "References"),
    (0x3a06, "GivenName"),
    (0x3a11, "Surname"),
    (0x3a16, "CompanyName"),
    (0x3a17, "JobTitle"),
    (0x3a18, "Department"),
    (0x3a4f, "Nickname"),
    (0x3a44, "MiddleName"),
    (0x3a05, "Generation"),
    (0x3a19, "OfficeLocation"),
    (0x3a46, "Profession"),
    (0x3a48, "SpouseName"),
    (0x3a4e, "Manager"),
    (0x3a30, "AssistantName"),
    (0x3a51, "BusinessHomePage"),
];

/// Tags of points in time.
const TIMES: &[(u16, &str)] =
    &[(0x0e06, "DateTimeReceived"), (0x0039, "DateTimeSent"), (0x3a42, "Birthday"), (0x3a41, "WeddingAnniversary")];

fn text(kind: &str, value: impl Into<String>) -> Extended {
    Extended { kind: kind.to_owned(), content: vec![value.into()] }
}

fn integer(value: i64) -> Extended {
    text("Integer", value.to_string())
}

fn flags(content: &Content) -> i64 {
    let bit = |set: bool, bit: i64| if set { bit } else { 0 };
    bit(content.is("IsRead"), READ)
        | bit(content.is("IsDraft"), UNSENT)
        | bit(!content.attachments.is_empty(), ATTACHED)
        | bit(content.is("IsFromMe"), FROM_ME)
}

fn word(content: &Content, name: &str, words: &[&str]) -> i64 {
    let at = words.iter().position(|word| *word == content.text(name)).unwrap_or_else(|| words.len().min(1));
    i64::try_from(at).unwrap_or(0)
}

/// A tag's value of an item.
fn tag(view: &View<'_>, tag: u16) -> Option<Extended> {
    let content = &view.content;
    let field = |name: &str| match super::schema::by_element(content.class, name).and_then(|field| view.value(field)) {
        Some(Value::Text(value)) if !value.is_empty() => Some(text("String", value)),
        Some(Value::Instant(at)) => Some(text("SystemTime", time::write(at))),
        _ => None,
    };
    let person = |name: &str, address: bool| {
        content.person(name).map(|one| text("String", if address { one.address.clone() } else { one.name.clone() }))
    };
    if let Some((_, name)) = TEXTS.iter().chain(TIMES).find(|(known, _)| *known == tag) {
        return field(name);
    }
    match tag {
        0x0e1d => {
            let subject = content.text("Subject");
            let plain = subject.split_once(": ").filter(|(head, _)| head.len() <= 3).map_or(subject, |(_, rest)| rest);
            Some(text("String", plain))
        }
        0x0017 => Some(integer(match word(content, "Importance", &["Low", "Normal", "High"]) {
            2 => 2,
            other => other,
        })),
        0x0036 => Some(integer(match content.text("Sensitivity") {
            "Personal" => 1,
            "Private" => 2,
            "Confidential" => 3,
            _ => 0,
        })),
        0x0e07 => Some(integer(flags(content))),
        0x0e08 => Some(integer(i64::try_from(content.size()).unwrap_or(i64::from(i32::MAX)))),
        0x0e1b => Some(text("Boolean", (!content.attachments.is_empty()).to_string())),
        0x0e69 => Some(text("Boolean", content.is("IsRead").to_string())),
        0x0e04 => field("DisplayTo"),
        0x0e03 => field("DisplayCc"),
        0x3007 => Some(text("SystemTime", time::write(view.item.created_at))),
        0x3008 => Some(text("SystemTime", time::write(view.item.modified_at))),
        0x1000 => Some(text("String", body::plain(content))),
        0x0c1a | 0x0042 => person(if tag == 0x0042 { "From" } else { "Sender" }, false),
        0x0c1f | 0x0065 | 0x5d01 | 0x5d02 => {
            person(if tag == 0x0065 || tag == 0x5d02 { "From" } else { "Sender" }, true)
        }
        0x007d => {
            let mime = content.mime.clone().unwrap_or_else(|| mime::write(content, view.item.created_at));
            let end = mime.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(mime.len());
            Some(text("String", String::from_utf8_lossy(&mime[..end])))
        }
        0x3001 if matches!(content.class, Class::Contact | Class::DistributionList) => field("DisplayName"),
        0x3001 => field("Subject"),
        0x0e23 => Some(integer(i64::try_from(view.item.id.0).unwrap_or(0))),
        0x10f3 => Some(text("String", format!("{}.EML", view.item.id.0))),
        0x10f4 => Some(text("Boolean", "false")),
        0x0fff | 0x300b => {
            let id = view.item.id.0.to_be_bytes();
            Some(text("Binary", STANDARD.encode([&view.mailbox.number.to_be_bytes()[..], &id].concat())))
        }
        _ => None,
    }
}

/// The sets of appointments and of addresses.
const APPOINTMENT: &str = "00062002-0000-0000-c000-000000000046";
const ADDRESS: &str = "00062004-0000-0000-c000-000000000046";

/// A number's value in one of the sets.
fn numbered(view: &View<'_>, set: &str, number: u32) -> Option<Extended> {
    let content = &view.content;
    let at = |name: &str| content.instant(name).map(|at| text("SystemTime", time::write(at)));
    match (set, number) {
        (APPOINTMENT, 0x820d) => at("Start"),
        (APPOINTMENT, 0x820e) => at("End"),
        (APPOINTMENT, 0x8208) => Some(text("String", content.text("Location"))),
        (APPOINTMENT, 0x8215) => Some(text("Boolean", content.is("IsAllDayEvent").to_string())),
        (APPOINTMENT, 0x8223) => Some(text("Boolean", content.recurrence().is_some().to_string())),
        (APPOINTMENT, 0x8205) => Some(integer(match content.text("LegacyFreeBusyStatus") {
            "Free" => 0,
            "Tentative" => 1,
            "OOF" => 3,
            _ => 2,
        })),
        (ADDRESS, 0x8083 | 0x8093 | 0x80a3) => {
            let Some(Value::Entries(entries)) = content.values.get("EmailAddresses") else { return None };
            let key = format!("EmailAddress{}", (number - 0x8083) / 0x10 + 1);
            entries.get(&key).map(|address| text("String", address.clone()))
        }
        _ => None,
    }
}

/// What a path finds in an item: what was set, or what a tag mirrors.
pub fn get(view: &View<'_>, name: &PropertyName) -> Option<Extended> {
    view.content.extended.get(name).cloned().or_else(|| match name {
        PropertyName::Tag(number) => tag(view, *number),
        PropertyName::Named(set, header) if set == "00020386-0000-0000-c000-000000000046" => {
            let headers = view.content.mime.as_ref().map(|mime| mime::headers(mime, 500)).unwrap_or_default();
            headers
                .into_iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(header))
                .map(|(_, value)| text("String", value))
        }
        PropertyName::Numbered(set, number) => numbered(view, set, *number),
        PropertyName::Named(..) => None,
    })
}

/// Sets what a tag mirrors; false when it mirrors nothing and must be kept as it is.
pub fn set(content: &mut Content, name: &PropertyName, value: &Extended) -> bool {
    let (PropertyName::Tag(tag), Some(given)) = (name, value.content.first()) else { return false };
    if let Some((_, field)) = TEXTS.iter().find(|(known, _)| known == tag) {
        content.set_text(field, given.clone());
        return true;
    }
    if let Some((_, field)) = TIMES.iter().find(|(known, _)| known == tag) {
        let Some(at) = time::read(given) else { return false };
        content.values.insert(field, Value::Instant(at));
        return true;
    }
    match tag {
        0x0e07 => {
            let bits: i64 = given.parse().unwrap_or(0);
            content.values.insert("IsRead", Value::Bool(bits & READ != 0));
            content.values.insert("IsDraft", Value::Bool(bits & UNSENT != 0));
        }
        0x0e69 => {
            content.values.insert("IsRead", Value::Bool(given == "true"));
        }
        0x3001 if matches!(content.class, Class::Contact | Class::DistributionList) => {
            content.set_text("DisplayName", given.clone());
        }
        0x1000 => {
            content.values.insert("Body", Value::Body(Body { html: false, text: given.clone() }));
        }
        0x0017 => content.set_text(
            "Importance",
            match given.as_str() {
                "0" => "Low",
                "2" => "High",
                _ => "Normal",
            },
        ),
        0x0036 => content.set_text(
            "Sensitivity",
            match given.as_str() {
                "1" => "Personal",
                "2" => "Private",
                "3" => "Confidential",
                _ => "Normal",
            },
        ),
        _ => return false,
    }
    true
}

/// What a path finds in a folder.
pub fn of_folder(mailbox: &Mailbox, folder: &Folder, name: &PropertyName) -> Option<Extended> {
    let stored = folder.extended.get(name).cloned();
    stored.or_else(|| {
        let PropertyName::Tag(tag) = name else { return None };
        let (total, unread) = mailbox.counts(folder.id);
        let count = |number: usize| integer(i64::try_from(number).unwrap_or(0));
        let newest = mailbox.items_in(folder.id).into_iter().filter_map(|id| mailbox.items.get(&id));
        let changed = newest.map(|item| item.modified_at).max().unwrap_or(folder.created_at);
        let next = mailbox.items_in(folder.id).last().map_or(1, |id| id.0 + 1);
        match tag {
            0x3001 => Some(text("String", folder.name.clone())),
            0x3613 if !folder.class.is_empty() => Some(text("String", folder.class.clone())),
            0x3602 => Some(count(total)),
            0x3603 => Some(count(unread)),
            0x360a => {
                let below = mailbox.folders.values().any(|other| other.parent == Some(folder.id));
                Some(text("Boolean", below.to_string()))
            }
            0x3007 => Some(text("SystemTime", time::write(folder.created_at))),
            0x3008 | 0x670a => Some(text("SystemTime", time::write(changed))),
            0x6751 => Some(integer(i64::try_from(next).unwrap_or(1))),
            0x6752 => Some(integer(i64::try_from(next - 1).unwrap_or(0))),
            _ => None,
        }
    })
}
