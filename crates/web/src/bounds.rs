//! What numbers may be, field by field: the limits that are checked are those that are told.

use crate::page::MAX_LIMIT;

/// Fields of requests, and the least and most of each.
const BOUNDS: &[(&str, i64, i64)] = &[
    ("limit", 1, MAX_LIMIT as i64),
    ("port", 1, 65_535),
    ("max_connections", 1, 65_536),
    ("max_in_flight", 1, 65_536),
    ("request_timeout_ms", 100, 100_000),
    ("min_polling_minutes", 0, 1_440),
    ("verbose_logging", 0, 100),
    ("max_attachment_bytes", 0, 134_217_728),
    ("max_message_bytes", 1_024, 157_286_400),
    ("max_body_bytes", 1_024, 16_777_216),
    ("token_base", 0, i32::MAX as i64),
    ("token_user_digits", 1, 10),
    ("token_counter_digits", 1, 9),
];

/// The least and the most that a field of this name may be; `None` where nothing bounds it.
pub(crate) fn of(name: &str) -> Option<(i64, i64)> {
    BOUNDS.iter().find(|(field, ..)| *field == name).map(|(_, low, high)| (*low, *high))
}
