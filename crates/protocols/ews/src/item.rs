//! Contacts, tasks and appointments: between the elements of the schema and the fields of records. Pure functions; what
//! the schema cannot say is an error, never a silent other thing.

pub mod appointment;
pub mod contact;
mod row;
pub mod series;
pub mod task;

use lockstep_model::{
    record::{Field, Fields, LinkId, Patch, Value},
    text,
};

use crate::{
    codec::{
        property::{Extended, LINK, OUR_SET, Property, Shape},
        update_item::Update,
    },
    xml::{Element, Writer},
};

/// Longest text of one field, in bytes, and longest body.
const MAX_TEXT: usize = 64 * 1024;
const MAX_BODY: usize = 1024 * 1024;

/// What a record is about: the schema has no place for it, so it travels in a property of ours.
const REGARDING: Extended = Extended::Named(OUR_SET, "LockstepRegarding", "String");

/// A value that the protocol cannot carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwritable {
    /// The field.
    pub field: Field,
    /// Why.
    pub why: &'static str,
}

impl std::fmt::Display for Unwritable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the field {} cannot be written: {}", self.field.name(), self.why)
    }
}

impl std::error::Error for Unwritable {}

/// The kinds of item that are synchronised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `Contact`.
    Contact,
    /// `Task`.
    Task,
    /// `CalendarItem`, single or the master of a series.
    Appointment,
}

impl Class {
    /// The element's name, with its prefix.
    pub const fn element(self) -> &'static str {
        match self {
            Self::Contact => "t:Contact",
            Self::Task => "t:Task",
            Self::Appointment => "t:CalendarItem",
        }
    }

    /// The folder where such items are.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Contact => "contacts",
            Self::Task => "tasks",
            Self::Appointment => "calendar",
        }
    }
}

/// What has to be asked for so that an item can be read.
pub fn shape(class: Class) -> Shape {
    let mut more = match class {
        Class::Contact => contact::properties(),
        Class::Task => task::properties(),
        Class::Appointment => appointment::properties(),
    };
    more.extend(["item:Categories", "item:LastModifiedTime"].map(Property::Field));
    more.extend([Property::Extended(LINK), Property::Extended(REGARDING)]);
    Shape { text_body: true, ..Shape::ids_and(more) }
}

/// What has to be asked for so that it can be told whom an item concerns.
pub fn listed(class: Class) -> Shape {
    let mut more = vec![Property::Field("item:Categories"), Property::Extended(LINK)];
    if class == Class::Appointment {
        more.extend(["calendar:UID", "calendar:CalendarItemType"].map(Property::Field));
    }
    Shape::ids_and(more)
}

/// The link an item carries, where it carries one of ours.
pub fn link(item: &Element) -> Option<LinkId> {
    LINK.read(item)?.trim().parse().ok().map(LinkId)
}

/// Sets a field; empty text clears it. The shape is the field's own by construction.
fn put(fields: &mut Fields, field: Field, value: Value) {
    let set = fields.set(field, value);
    debug_assert!(set.is_ok(), "{set:?}");
}

/// Text as it is kept.
fn kept(text: &str, limit: usize) -> Value {
    Value::Text(text::block(text, limit))
}

fn put_text(fields: &mut Fields, field: Field, item: &Element, name: &str) {
    let limit = if field == Field::Body { MAX_BODY } else { MAX_TEXT };
    if let Some(child) = item.child(name) {
        put(fields, field, kept(&child.text, limit));
    }
}

fn text_of(fields: &Fields, field: Field) -> Option<&str> {
    match fields.get(field) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

/// Fields that all kinds have: body and what the record is about.
fn read_common(fields: &mut Fields, item: &Element) {
    put_text(fields, Field::Body, item, "Body");
    if let Some(text) = REGARDING.read(item) {
        put(fields, Field::Regarding, kept(text, MAX_TEXT));
    }
}

fn write_body(w: &mut Writer, body: &str) {
    w.leaf_with("t:Body", &[("BodyType", "Text")], &body.replace('\n', "\r\n"));
}

/// The extended properties of a new item, in the schema's place for them.
fn write_extended(w: &mut Writer, link: Option<LinkId>, more: &[(Extended, &str)]) {
    if let Some(LinkId(id)) = link {
        LINK.write(w, &id.to_string());
    }
    for (property, value) in more {
        property.write(w, value);
    }
}

/// Collects the changes of one item.
struct Updates {
    class: Class,
    list: Vec<Update>,
}

impl Updates {
    fn new(class: Class) -> Self {
        Self { class, list: Vec::new() }
    }

    /// Sets a property to what `inside` writes, or clears it.
    fn set(&mut self, property: Property, inside: Option<impl FnOnce(&mut Writer)>) {
        self.list.push(match inside {
            Some(inside) => {
                let mut w = Writer::default();
                w.element(self.class.element(), &[], inside);
                Update::Set(property, w.finish())
            }
            None => Update::Delete(property),
        });
    }

    fn text(&mut self, uri: &'static str, element: &str, text: Option<&str>) {
        self.set(Property::Field(uri), text.map(|text| move |w: &mut Writer| w.leaf(element, text)));
    }

    fn extended(&mut self, property: Extended, text: Option<&str>) {
        self.set(Property::Extended(property), text.map(|text| move |w: &mut Writer| property.write(w, text)));
    }

    fn common(&mut self, fields: &Fields, field: Field) -> bool {
        match field {
            Field::Body => {
                let body = text_of(fields, field);
                self.set(Property::Field("item:Body"), body.map(|body| move |w: &mut Writer| write_body(w, body)));
            }
            Field::Regarding => self.extended(REGARDING, text_of(fields, field)),
            _ => return false,
        }
        true
    }
}

/// The values of a patch alone.
pub(crate) fn values(patch: &Patch) -> Fields {
    let mut fields = Fields::default();
    fields.apply(patch);
    fields
}
