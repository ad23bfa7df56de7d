//! What exchangelib, a client written by others, makes of the server.

use crate::program::script;

#[test]
fn mail_is_made_found_sent_received_and_moved() {
    script("mail.py", &[]);
}

#[test]
fn sync_states_and_change_keys_hold_what_they_promise() {
    script("sync.py", &[]);
}

#[test]
fn attachments_and_extended_properties_stay_with_their_items() {
    script("parts.py", &[]);
}

#[test]
fn contacts_and_tasks_come_back_as_they_went() {
    script("people.py", &[]);
}

#[test]
fn series_have_exceptions_and_meetings_have_answers() {
    script("appointments.py", &[]);
}
