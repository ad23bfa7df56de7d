//! Which properties of an item an answer carries, and writing them.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    answer::Fault,
    attachments, body,
    body::Form,
    extended, ids, mapi,
    path::{self, Path},
    schema::{self, FIELDS, Field, Kind},
    special, time,
    view::View,
    write,
    xml::{self, Element, Writer},
};
use crate::{
    icalendar, mime,
    world::{
        item::Class,
        series::Occurrence,
        value::{Body, Value},
    },
};

/// How much of an item is wanted without naming it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Base {
    /// Nothing but the id.
    #[default]
    IdOnly,
    /// The usual.
    Default,
    /// All.
    All,
}

/// What an answer shall carry.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shape {
    /// Without naming it.
    pub base: Base,
    /// By name.
    pub more: Vec<Path>,
    /// The message as it travels.
    pub mime: bool,
    /// In which form bodies come.
    pub form: Form,
}

/// Reads a shape: `ItemShape`, `FolderShape` or `AttachmentShape`.
///
/// # Errors
/// For properties that are not known.
pub fn read(element: Option<&Element>) -> Result<Shape, Fault> {
    let Some(element) = element else { return Ok(Shape::default()) };
    let base = match element.text_of("BaseShape") {
        Some("Default") => Base::Default,
        Some("AllProperties") => Base::All,
        _ => Base::IdOnly,
    };
    let form = match element.text_of("BodyType") {
        Some("HTML") => Form::Html,
        Some("Text") => Form::Text,
        _ => Form::Best,
    };
    let mime = xml::is_true(element.text_of("IncludeMimeContent"));
    Ok(Shape { base, more: path::list(element.list("AdditionalProperties"))?, mime, form })
}

impl Shape {
    fn wants(&self, field: &'static Field) -> bool {
        let by_base = match self.base {
            Base::IdOnly => field.name == "ItemId",
            Base::Default => schema::in_default(field),
            Base::All => schema::in_all(field),
        };
        // Two kinds of items may name one element differently, such as a meeting message its times.
        let named = |path: &Path| match path {
            Path::Field(wanted) | Path::Entry(wanted, ..) => wanted.name == field.name,
            _ => false,
        };
        by_base || (self.mime && field.name == "MimeContent") || self.more.iter().any(named)
    }
}

/// The message, or what else carries the item elsewhere.
fn travelling(view: &View<'_>) -> Vec<u8> {
    match (&view.content.mime, view.content.class) {
        (Some(mime), _) => mime.clone(),
        (None, Class::CalendarItem) => icalendar::write(view.item, &view.content, view.original).into_bytes(),
        (None, _) => mime::write(&view.content, view.item.created_at),
    }
}

fn write_body(w: &mut Writer, name: &str, body: &Body, form: Form) {
    let shaped = body::shaped(body, form);
    w.leaf_with(name, &[("BodyType", if shaped.html { "HTML" } else { "Text" })], &shaped.text);
}

fn write_special(w: &mut Writer, view: &View<'_>, field: &Field, shape: &Shape) {
    let content = &view.content;
    let own_body = || match content.values.get("Body") {
        Some(Value::Body(body)) => body.clone(),
        _ => Body::default(),
    };
    match field.name {
        "MimeContent" => {
            w.leaf_with("t:MimeContent", &[("CharacterSet", "UTF-8")], &STANDARD.encode(travelling(view)));
        }
        "ItemId" if !view.attached => ids::write_item(w, "t:ItemId", view.id(), view.item.version),
        "ParentFolderId" if !view.attached => {
            let version = view.mailbox.folders.get(&view.item.folder).map_or(1, |folder| folder.version);
            ids::write_folder(w, "t:ParentFolderId", view.mailbox.number, view.item.folder, version);
        }
        "Body" => write_body(w, "t:Body", &own_body(), shape.form),
        "UniqueBody" => write_body(w, "t:UniqueBody", &own_body(), shape.form),
        "TextBody" => write_body(w, "t:TextBody", &own_body(), Form::Text),
        "Attachments" => attachments::list(w, view),
        _ => special::write(w, view, field),
    }
}

/// Writes an item.
pub fn write_item(w: &mut Writer, view: &View<'_>, shape: &Shape) {
    let class = view.content.class;
    w.element(&format!("t:{}", schema::element(class)), &[], |w| {
        for field in FIELDS.iter().filter(|field| schema::has(class, field.set) && shape.wants(field)) {
            if matches!(field.kind, Kind::Special | Kind::Body) {
                write_special(w, view, field, shape);
            } else if let Some(value) = view.value(field) {
                write::property(w, field, &value);
            }
            if field.name == "HasAttachments" {
                write_extended(w, view, shape);
            }
        }
        if !FIELDS.iter().any(|field| field.name == "HasAttachments" && shape.wants(field)) {
            write_extended(w, view, shape);
        }
    });
}

fn write_extended(w: &mut Writer, view: &View<'_>, shape: &Shape) {
    for path in &shape.more {
        if let Path::Extended(path) = path
            && let Some(found) = mapi::get(view, &path.name)
        {
            extended::write(w, path, &found);
        }
    }
}

/// Writes an occurrence among those that differ, or the first or last.
pub fn write_occurrence(w: &mut Writer, name: &str, view: &View<'_>, one: Occurrence) {
    w.element(name, &[], |w| {
        let id = ids::ItemRef { original: Some(one.original), ..view.id() };
        ids::write_item(w, "t:ItemId", id, view.item.version);
        w.leaf("t:Start", &time::write(one.start));
        w.leaf("t:End", &time::write(one.end));
        w.leaf("t:OriginalStart", &time::write(one.original));
    });
}
