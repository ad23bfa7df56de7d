//! Fields that are one element with plain text.

use lockstep_model::record::Field;

/// A field, the name of its property, and its element.
pub(super) type Row = (Field, &'static str, &'static str);

/// Which of these a field is.
pub(super) fn find(rows: &'static [Row], field: Field) -> Option<&'static Row> {
    rows.iter().find(|(known, _, _)| *known == field)
}
