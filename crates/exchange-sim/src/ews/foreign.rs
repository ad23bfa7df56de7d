//! Items in the forms other programs know.

use super::{answer::Fault, view::View};
use crate::world::item::Content;

/// Reads such a form into an item.
///
/// # Errors
/// `ErrorUnsupportedMimeConversion`.
pub fn read(_content: &mut Content, _octets: &[u8]) -> Result<(), Fault> {
    Err(Fault::new("ErrorUnsupportedMimeConversion", "The content cannot be converted."))
}

/// Writes an item so.
pub fn write(view: &View<'_>) -> String {
    format!("Subject: {}\r\n\r\n", view.content.text("Subject"))
}
