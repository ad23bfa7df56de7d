//! Appointments as iCalendar (RFC 5545), the form in which calendars that are no Exchange's give and take them.

mod read;
mod write;

pub use read::read;
pub use write::write;
