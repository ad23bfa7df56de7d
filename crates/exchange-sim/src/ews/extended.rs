//! Extended properties: how requests name them.

use super::{
    answer::{Fault, code},
    xml::{Element, Writer},
};
use crate::world::{
    item::Content,
    value::{Extended, PropertyName},
};

/// The sets that have names of their own.
const SETS: &[(&str, &str)] = &[
    ("Meeting", "6ed8da90-450b-101b-98da-00aa003f1305"),
    ("Appointment", "00062002-0000-0000-c000-000000000046"),
    ("Common", "00062008-0000-0000-c000-000000000046"),
    ("PublicStrings", "00020329-0000-0000-c000-000000000046"),
    ("Address", "00062004-0000-0000-c000-000000000046"),
    ("InternetHeaders", "00020386-0000-0000-c000-000000000046"),
    ("CalendarAssistant", "11000e07-b51b-40d6-af21-caa85edab1d0"),
    ("UnifiedMessaging", "4442858e-a9e3-4e80-b900-317a210cc15b"),
    ("Task", "00062003-0000-0000-c000-000000000046"),
    ("Sharing", "00062040-0000-0000-c000-000000000046"),
];

/// An extended property as a request names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// What it names.
    pub name: PropertyName,
    /// The MAPI type.
    pub kind: String,
    /// The attributes as they came; the answer repeats them, so that clients find what they asked for.
    pub attributes: Vec<(String, String)>,
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Reads an `ExtendedFieldURI`.
///
/// # Errors
/// `ErrorInvalidExtendedProperty` when it names nothing.
pub fn read_path(element: &Element) -> Result<Path, Fault> {
    let wrong = |text: &str| Fault::new("ErrorInvalidExtendedProperty", text);
    let kind = element.attribute("PropertyType").ok_or_else(|| wrong("PropertyType is missing."))?.to_owned();
    let set = match (element.attribute("DistinguishedPropertySetId"), element.attribute("PropertySetId")) {
        (Some(named), _) => {
            let known = SETS.iter().find(|(name, _)| *name == named).map(|(_, id)| (*id).to_owned());
            Some(known.ok_or_else(|| wrong("The property set is not known."))?)
        }
        (None, Some(id)) => Some(id.trim_matches(['{', '}']).to_ascii_lowercase()),
        (None, None) => None,
    };
    let name = match (element.attribute("PropertyTag"), set) {
        (Some(tag), None) => {
            let tag = number(tag).ok_or_else(|| wrong("PropertyTag is not a number."))?;
            // Some write the whole tag, type included.
            let tag = if tag > 0xffff { tag >> 16 } else { tag };
            PropertyName::Tag(u16::try_from(tag).map_err(|_| wrong("PropertyTag is too large."))?)
        }
        (None, Some(set)) => {
            match (element.attribute("PropertyName"), element.attribute("PropertyId").and_then(number)) {
                (Some(name), None) => PropertyName::Named(set, name.to_owned()),
                (None, Some(id)) => PropertyName::Numbered(set, id),
                _ => return Err(wrong("Either PropertyName or PropertyId is needed.")),
            }
        }
        _ => return Err(wrong("Either a property tag or a property set is needed.")),
    };
    Ok(Path { name, kind, attributes: element.attributes.clone() })
}

/// Reads an `ExtendedProperty`.
///
/// # Errors
/// When it names nothing or has no value.
pub fn read(element: &Element) -> Result<(Path, Extended), Fault> {
    let path = element.child("ExtendedFieldURI").ok_or_else(|| Fault::schema("ExtendedFieldURI is missing"))?;
    let path = read_path(path)?;
    let content = match (element.child("Value"), element.child("Values")) {
        (Some(value), None) => vec![value.text.clone()],
        (None, Some(values)) => values.children.iter().map(|value| value.text.clone()).collect(),
        _ => return Err(Fault::new(code::INVALID_PROPERTY_SET, "An extended property needs Value or Values.")),
    };
    let kind = path.kind.clone();
    Ok((path, Extended { kind, content }))
}

/// Writes the value found for a path.
pub fn write(w: &mut Writer, path: &Path, found: &Extended) {
    w.element("t:ExtendedProperty", &[], |w| {
        let attributes: Vec<_> = path.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        w.empty("t:ExtendedFieldURI", &attributes);
        if path.kind.ends_with("Array") {
            w.element("t:Values", &[], |w| found.content.iter().for_each(|value| w.leaf("t:Value", value)));
        } else {
            w.leaf("t:Value", found.content.first().map_or("", String::as_str));
        }
    });
}

/// Puts a property into an item.
pub fn set(content: &mut Content, path: Path, value: Extended) {
    if !super::mapi::set(content, &path.name, &value) {
        content.extended.insert(path.name, value);
    }
}
