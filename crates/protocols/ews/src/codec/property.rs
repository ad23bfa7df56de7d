//! Properties by name, shapes that ask for them, and extended properties.

use crate::xml::{Element, Writer};

/// A property.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Property {
    /// One of the schema's own, such as `item:Subject`.
    Field(&'static str),
    /// One entry of a list, such as `contacts:EmailAddress` and `EmailAddress1`.
    Indexed(&'static str, &'static str),
    /// An extended one.
    Extended(Extended),
}

/// The name and type of an extended property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extended {
    /// By its MAPI tag, without the type.
    Tag(u16, &'static str),
    /// By a set that has a name, and a number.
    Distinguished(&'static str, u16, &'static str),
    /// By a set that has a name, and a name.
    DistinguishedName(&'static str, &'static str, &'static str),
    /// By a set of anybody's making, and a name.
    Named(&'static str, &'static str, &'static str),
}

/// The set of our own properties.
pub const OUR_SET: &str = "6b3bd5ac-5c0b-4b56-9a5d-3a6d0f6c9e11";

/// What ties an item to a record: the link's id as text. It is written with the item, so that a second try finds the
/// first; copies of the item carry it along.
pub const LINK: Extended = Extended::Named(OUR_SET, "LockstepLink", "String");

impl Extended {
    /// Writes the path that names it.
    pub fn write_uri(self, w: &mut Writer) {
        match self {
            Self::Tag(tag, kind) => {
                w.empty("t:ExtendedFieldURI", &[("PropertyTag", &format!("0x{tag:04x}")), ("PropertyType", kind)]);
            }
            Self::Distinguished(set, id, kind) => w.empty(
                "t:ExtendedFieldURI",
                &[("DistinguishedPropertySetId", set), ("PropertyId", &id.to_string()), ("PropertyType", kind)],
            ),
            Self::DistinguishedName(set, name, kind) => w.empty(
                "t:ExtendedFieldURI",
                &[("DistinguishedPropertySetId", set), ("PropertyName", name), ("PropertyType", kind)],
            ),
            Self::Named(set, name, kind) => {
                w.empty(
                    "t:ExtendedFieldURI",
                    &[("PropertySetId", set), ("PropertyName", name), ("PropertyType", kind)],
                );
            }
        }
    }

    /// Writes it with a value.
    pub fn write(self, w: &mut Writer, value: &str) {
        w.element("t:ExtendedProperty", &[], |w| {
            self.write_uri(w);
            w.leaf("t:Value", value);
        });
    }

    fn is_named_by(self, uri: &Element) -> bool {
        let is = |name, value: &str| uri.attribute(name).is_some_and(|given| given.eq_ignore_ascii_case(value));
        let number = |name: &str| {
            let text = uri.attribute(name)?;
            match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
                Some(hex) => u32::from_str_radix(hex, 16).ok(),
                None => text.parse().ok(),
            }
        };
        match self {
            Self::Tag(tag, _) => number("PropertyTag").is_some_and(|given| given == u32::from(tag)),
            Self::Distinguished(set, id, _) => {
                is("DistinguishedPropertySetId", set) && number("PropertyId") == Some(u32::from(id))
            }
            Self::DistinguishedName(set, name, _) => is("DistinguishedPropertySetId", set) && is("PropertyName", name),
            Self::Named(set, name, _) => is("PropertySetId", set) && is("PropertyName", name),
        }
    }

    /// Its value in an item's element.
    pub fn read(self, item: &Element) -> Option<&str> {
        let named = |property: &&Element| property.child("ExtendedFieldURI").is_some_and(|uri| self.is_named_by(uri));
        let found = item.all("ExtendedProperty").find(named)?;
        found.child("Value").map(|value| value.text.as_str()).filter(|text| !text.is_empty())
    }
}

impl Property {
    /// Writes the path that names it.
    pub fn write(&self, w: &mut Writer) {
        match self {
            Self::Field(uri) => w.empty("t:FieldURI", &[("FieldURI", uri)]),
            Self::Indexed(uri, index) => w.empty("t:IndexedFieldURI", &[("FieldURI", uri), ("FieldIndex", index)]),
            Self::Extended(extended) => extended.write_uri(w),
        }
    }
}

/// How much of an item is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// `AllProperties` instead of `IdOnly`.
    pub all: bool,
    /// The message as it travels.
    pub mime: bool,
    /// The body as text rather than as it is.
    pub text_body: bool,
    /// What is wanted beside.
    pub more: Vec<Property>,
}

impl Shape {
    /// Ids, and these.
    pub fn ids_and(more: impl IntoIterator<Item = Property>) -> Self {
        Self { more: more.into_iter().collect(), ..Self::default() }
    }

    /// Writes it.
    pub fn write(&self, w: &mut Writer, name: &str) {
        w.element(name, &[], |w| {
            w.leaf("t:BaseShape", if self.all { "AllProperties" } else { "IdOnly" });
            if self.mime {
                w.leaf("t:IncludeMimeContent", "true");
            }
            if self.text_body {
                w.leaf("t:BodyType", "Text");
            }
            if !self.more.is_empty() {
                w.element("t:AdditionalProperties", &[], |w| self.more.iter().for_each(|property| property.write(w)));
            }
        });
    }
}
