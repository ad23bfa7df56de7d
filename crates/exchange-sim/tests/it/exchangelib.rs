//! What exchangelib, a client written by others, makes of the server.

use crate::program::{script, script_with};

#[test]
#[ignore = "needs clients of others: make test-clients"]
fn mail_is_made_found_sent_received_and_moved() {
    script("mail.py", &[]);
}

#[test]
#[ignore = "needs clients of others: make test-clients"]
fn sync_states_and_change_keys_hold_what_they_promise() {
    script("sync.py", &[]);
}

#[test]
#[ignore = "needs clients of others: make test-clients"]
fn attachments_and_extended_properties_stay_with_their_items() {
    script("parts.py", &[]);
}

#[test]
#[ignore = "needs clients of others: make test-clients"]
fn contacts_and_tasks_come_back_as_they_went() {
    script("people.py", &[]);
}

#[test]
#[ignore = "needs clients of others: make test-clients"]
fn series_have_exceptions_and_meetings_have_answers() {
    script("appointments.py", &[]);
}

#[test]
#[ignore = "needs clients of others: make test-clients"]
fn others_act_for_people_and_subscribers_hear_what_happens() {
    script("access.py", &[]);
}

#[test]
#[ignore = "needs clients of others: make test-clients"]
fn faults_are_seen_as_what_they_are() {
    script("faults.py", &[]);
}

#[test]
#[ignore = "needs clients of others: make test-clients"]
fn ntlm_and_autodiscover_work_without_tls() {
    script("login.py", &[]);
}

#[test]
#[ignore = "needs clients of others: make test-clients"]
fn ntlm_is_bound_to_the_channel_with_tls() {
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    let authority = authority.to_str().unwrap();
    script_with("login.py", &["--tls", "--tls-authority", authority], &[("EWS_AUTHORITY", authority)]);
}
