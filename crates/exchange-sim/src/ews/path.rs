//! Which property a request means.

use super::{
    answer::{Fault, code},
    extended::{self, Path as ExtendedPath},
    mapi,
    schema::{self, Field},
    time,
    view::{View, scalars},
    xml::Element,
};
use crate::world::{
    folder::Folder,
    mailbox::Mailbox,
    search::Scalar,
    value::{Extended, Value},
};

/// A property of an item or a folder.
#[derive(Debug, Clone, PartialEq)]
pub enum Path {
    /// One of an item's own.
    Field(&'static Field),
    /// One entry of such a one, and perhaps a part of it.
    Entry(&'static Field, String, Option<String>),
    /// An extended one.
    Extended(ExtendedPath),
    /// A folder's, by its name.
    Folder(String),
}

/// Whether an element names a property.
pub fn is_path(element: &Element) -> bool {
    matches!(element.name.as_str(), "FieldURI" | "IndexedFieldURI" | "ExtendedFieldURI")
}

/// Reads an element that names a property.
///
/// # Errors
/// `ErrorInvalidPropertyRequest` for a name nothing has.
pub fn read(element: &Element) -> Result<Path, Fault> {
    let uri = element.attribute("FieldURI").unwrap_or_default();
    let unknown = || Fault::new(code::INVALID_PROPERTY_REQUEST, format!("The property {uri} is not known."));
    match element.name.as_str() {
        "FieldURI" => match uri.strip_prefix("folder:") {
            Some(name) => Ok(Path::Folder(name.to_owned())),
            None => schema::by_uri(uri).map(Path::Field).ok_or_else(unknown),
        },
        "IndexedFieldURI" => {
            let (field, part) = schema::by_indexed_uri(uri).ok_or_else(unknown)?;
            let index = element.attribute("FieldIndex").unwrap_or_default().to_owned();
            Ok(Path::Entry(field, index, part.map(str::to_owned)))
        }
        "ExtendedFieldURI" => extended::read_path(element).map(Path::Extended),
        other => Err(Fault::schema(format!("{other} does not name a property"))),
    }
}

/// The first property that an element's children name.
///
/// # Errors
/// When there is none.
pub fn within(element: &Element) -> Result<Path, Fault> {
    element
        .children
        .iter()
        .find(|child| is_path(child))
        .map_or_else(|| Err(Fault::schema("A property is missing")), read)
}

/// The properties that a list names.
///
/// # Errors
/// As [`read`].
pub fn list(elements: &[Element]) -> Result<Vec<Path>, Fault> {
    elements.iter().map(read).collect()
}

fn of_extended(found: Option<Extended>, kind: &str) -> Vec<Scalar> {
    let scalar = |text: String| match kind.trim_end_matches("Array") {
        "Integer" | "Long" | "Short" | "Double" | "Float" | "Currency" => text.parse().ok().map(Scalar::Number),
        "Boolean" => Some(Scalar::Number(f64::from(u8::from(text == "true" || text == "1")))),
        #[expect(clippy::cast_precision_loss, reason = "only compared with its like")]
        "SystemTime" => time::read(&text).map(|at| Scalar::Number(at.timestamp_millis() as f64)),
        _ => Some(Scalar::Text(text)),
    };
    found.map(|found| found.content.into_iter().filter_map(scalar).collect()).unwrap_or_default()
}

/// What an item holds there.
pub fn of_item(view: &View<'_>, path: &Path) -> Vec<Scalar> {
    match path {
        Path::Field(field) => view.scalars(field),
        Path::Entry(field, index, part) => match (view.value(field), part) {
            (Some(Value::Entries(entries)), _) => {
                entries.get(index).map(|text| scalars(&Value::Text(text.clone()))).unwrap_or_default()
            }
            (Some(Value::Places(places)), Some(part)) => {
                let text = places.get(index).and_then(|place| place.get(part));
                text.map(|text| vec![Scalar::Text(text.clone())]).unwrap_or_default()
            }
            _ => Vec::new(),
        },
        Path::Extended(path) => of_extended(mapi::get(view, &path.name), &path.kind),
        Path::Folder(_) => Vec::new(),
    }
}

/// What a folder holds there.
#[expect(clippy::cast_precision_loss, reason = "only compared with its like")]
pub fn of_folder(mailbox: &Mailbox, folder: &Folder, path: &Path) -> Vec<Scalar> {
    match path {
        Path::Folder(name) => match name.as_str() {
            "DisplayName" => vec![Scalar::Text(folder.name.clone())],
            "FolderClass" => vec![Scalar::Text(folder.class.clone())],
            "TotalCount" => vec![Scalar::Number(mailbox.counts(folder.id).0 as f64)],
            "UnreadCount" => vec![Scalar::Number(mailbox.counts(folder.id).1 as f64)],
            "ChildFolderCount" => {
                let below = mailbox.folders.values().filter(|other| other.parent == Some(folder.id)).count();
                vec![Scalar::Number(below as f64)]
            }
            _ => Vec::new(),
        },
        Path::Extended(path) => of_extended(mapi::of_folder(mailbox, folder, &path.name), &path.kind),
        _ => Vec::new(),
    }
}
