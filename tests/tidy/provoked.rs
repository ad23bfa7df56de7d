//! Every code is provoked somewhere from its cause: a server that answers so, a row in that state, a database that says
//! so. That it then becomes an alert, and that the alert ends, is for [`crate::proofs`].

use std::{collections::BTreeSet, fs};

use lockstep_model::catalogue;

use crate::root;

/// A code, the file of the test that provokes it, and the test.
const PROVOKED: &[(&str, &str, &str)] = &[
    // Accounts and settings.
    ("Unauthorized", "protocols/pop3/tests/it/dovecot.rs", "a_wrong_password_is_unauthorized"),
    (
        "UnusableCredentials",
        "protocols/pop3/tests/it/login.rs",
        "user_names_and_passwords_that_would_be_more_than_one_line_are_refused_unsent",
    ),
    ("CredentialsMissing", "workers/tests/it/faults.rs", "missing_credentials_are_a_fault_of_the_mailbox"),
    ("CredentialsUnreadable", "workers/tests/it/faults.rs", "missing_credentials_are_a_fault_of_the_mailbox"),
    ("AuthenticationMethodNotOffered", "protocols/smtp/tests/it/auth.rs", "nothing_is_tried_that_is_not_offered"),
    ("AuthenticationUnavailable", "protocols/smtp/tests/it/auth.rs", "refusals"),
    ("OutgoingEmailAuthenticationError", "protocols/smtp/tests/it/exim.rs", "a_wrong_password_concerns_the_account"),
    ("MailboxNotFound", "protocols/ews/tests/it/faults.rs", "every_refusal_becomes_the_fault_it_is"),
    ("ImpersonationDenied", "protocols/ews/tests/it/faults.rs", "every_refusal_becomes_the_fault_it_is"),
    ("UnknownProtocol", "workers/tests/it/faults.rs", "m8_a_protocol_nobody_speaks_is_told"),
    ("NotSupportedByProtocol", "protocols/smtp/tests/it/outcome.rs", "what_smtp_does_not_do"),
    (
        "InvalidIncomingEmailServerProfile",
        "workers/tests/it/operations.rs",
        "operations_that_cannot_be_run_fail_and_say_why",
    ),
    ("AddressNotApproved", "store/tests/it/codes.rs", "m8_news_of_tests_end"),
    // The way to the server.
    ("AddressNotAllowed", "lockstep/tests/it/mailbox.rs", "a_mailbox_is_set_up_and_tested_from_the_command_line"),
    ("RedirectLoop", "protocols/ews/tests/it/reach.rs", "b3_an_endpoint_is_found_kept_and_found_again"),
    (
        "HostNotFound",
        "protocols/pop3/tests/it/login.rs",
        "whatever_goes_wrong_before_the_greeting_concerns_the_profile",
    ),
    (
        "ConnectFailure",
        "protocols/pop3/tests/it/login.rs",
        "whatever_goes_wrong_before_the_greeting_concerns_the_profile",
    ),
    ("SecureConnectionFailed", "protocols/pop3/tests/it/dovecot.rs", "an_authority_that_did_not_sign_is_not_believed"),
    ("TimedOut", "protocols/smtp/tests/it/opening.rs", "a_silent_server_is_given_up"),
    ("DeadlineExceeded", "protocols/smtp/tests/it/opening.rs", "the_deadline_ends_the_opening"),
    (
        "ConnectionLost",
        "protocols/pop3/tests/it/login.rs",
        "whatever_goes_wrong_before_the_greeting_concerns_the_profile",
    ),
    // What a server says.
    (
        "GreetingRefused",
        "protocols/pop3/tests/it/login.rs",
        "whatever_goes_wrong_before_the_greeting_concerns_the_profile",
    ),
    ("ServiceUnavailable", "protocols/smtp/tests/it/opening.rs", "what_greets_us_otherwise"),
    ("EwsBlocked", "protocols/ews/tests/it/faults.rs", "every_refusal_becomes_the_fault_it_is"),
    ("SmtpUnrecognisedCommand", "protocols/smtp/tests/it/opening.rs", "a_server_that_knows_no_ehlo_is_the_wrong_port"),
    ("ProtocolViolation", "protocols/smtp/tests/it/opening.rs", "what_greets_us_otherwise"),
    ("MailboxInUse", "protocols/pop3/tests/it/login.rs", "what_the_server_says_to_the_login"),
    ("LoginDelay", "protocols/pop3/tests/it/login.rs", "what_the_server_says_to_the_login"),
    ("ServerTemporaryFailure", "protocols/pop3/tests/it/login.rs", "what_the_server_says_to_the_login"),
    ("ServerPermanentFailure", "protocols/pop3/tests/it/login.rs", "what_the_server_says_to_the_login"),
    ("UidlReset", "protocols/pop3/tests/it/listing.rs", "a_reset_of_all_ids_imports_only_what_is_new"),
    ("HeadersMissing", "workers/tests/it/faults.rs", "a_missing_header_loses_no_item"),
    ("SessionOutOfStep", "protocols/pop3/tests/it/reading.rs", "a_message_that_breaks_off"),
    ("ListingRefused", "protocols/pop3/tests/it/listing.rs", "a_listing_that_breaks_off_is_no_listing"),
    ("ListingInterrupted", "protocols/pop3/tests/it/listing.rs", "a_listing_that_breaks_off_is_no_listing"),
    ("ListingTooLarge", "protocols/pop3/tests/it/listing.rs", "a_listing_without_end_is_refused_not_cut"),
    ("QuitRefused", "protocols/pop3/tests/it/deleting.rs", "a_refused_quit_is_a_fault"),
    ("ErrorQuotaExceeded", "protocols/smtp/tests/it/outcome.rs", "refusals_after_the_dot_are_clear"),
    // Tests of mailboxes, and whole profiles.
    ("TestMessageNotFound", "workers/tests/it/operations.rs", "c12_a_test_message_that_does_not_arrive_fails_the_test"),
    ("MailboxConnected", "workers/tests/it/operations.rs", "c12_a_test_message_that_does_not_arrive_fails_the_test"),
    ("MailboxTestFailed", "store/tests/it/codes.rs", "m8_news_of_tests_end"),
    ("ServerUnreachable", "scheduler/tests/it/codes.rs", "m8_what_stops_a_server_is_told_and_ends"),
    ("OutgoingServerUnreachable", "workers/tests/it/stopped.rs", "m8_m5_a_dead_outgoing_server_is_told_once_and_ends"),
    ("MailboxesFailing", "scheduler/tests/it/outage.rs", "b24_six_of_ten_write_one_email"),
    (
        "CapacityShort",
        "scheduler/tests/it/capacity.rs",
        "a_server_short_of_connections_is_told_of_before_mailboxes_wait_too_long",
    ),
    ("WorkerCapacityShort", "scheduler/tests/it/capacity.rs", "that_no_worker_lives_is_told_of_when_it_lasts"),
    // Our own side.
    ("InternalError", "workers/tests/it/faults.rs", "m8_what_nobody_has_thought_of_is_told"),
    ("PageCollided", "workers/tests/it/faults.rs", "a_collision_sets_nobody_aside"),
    ("DatabaseUnavailable", "workers/tests/it/faults.rs", "m8_a_database_that_does_not_answer_in_time_is_told"),
    ("LeaseLost", "workers/tests/it/airlock.rs", "m8_a_lost_permit_is_told"),
    ("WebhookEndpointDisabled", "workers/tests/it/webhooks.rs", "three_days_of_failures_disable"),
    // Received messages.
    ("InvalidForwardMailItem", "workers/tests/it/forwarding.rs", "g3_what_does_not_fit_is_told_once_a_mailbox"),
    (
        "ItemUnavailable",
        "protocols/pop3/tests/it/reading.rs",
        "a_header_the_server_does_not_show_is_not_taken_for_gone",
    ),
    ("ItemGone", "protocols/pop3/tests/it/reading.rs", "a_header_the_server_does_not_show_is_not_taken_for_gone"),
    ("DeleteRefused", "protocols/pop3/tests/it/deleting.rs", "a_refused_deletion_is_said_twice_and_stops_no_other"),
    ("EmailUnparsable", "workers/tests/it/codes.rs", "m8_what_cannot_be_parsed_is_taken_note_of"),
    ("EmailTooLarge", "workers/tests/it/faults.rs", "what_is_too_large_is_never_read_to_its_end"),
    ("ItemUnwritable", "workers/tests/it/faults.rs", "an_item_the_database_refuses_is_set_aside_alone"),
    ("ItemQuarantined", "workers/tests/it/faults.rs", "an_item_the_database_refuses_is_set_aside_alone"),
    ("WorkerDied", "workers/tests/it/outgoing_crashes.rs", "dead_before_the_point_of_no_return_it_is_tried_again"),
    // Contacts, tasks and appointments.
    ("ItemNotSynchronized", "workers/tests/it/item_codes.rs", "m8_an_item_that_is_not_synchronised_is_told_and_ends"),
    ("ItemUnwritableThere", "workers/tests/it/item_codes.rs", "m8_an_item_that_is_not_synchronised_is_told_and_ends"),
    ("AppointmentAttachmentsLeftOut", "workers/tests/it/attachments.rs", "j11_what_is_left_out_is_told_and_ends"),
    (
        "AppointmentWithoutOrganiser",
        "workers/tests/it/item_codes.rs",
        "m8_an_appointment_without_organiser_is_told_and_ends",
    ),
    ("DuplicateItemCollapsed", "workers/tests/it/item_codes.rs", "m8_a_doubled_item_is_collapsed_and_told"),
    ("MailboxOfAnotherOrganization", "workers/tests/it/claims.rs", "d8_d9_a_mailbox_is_one_organisations"),
    ("DeletionsHeld", "workers/tests/it/item_codes.rs", "m8_deletions_are_held_and_told_until_somebody_agrees"),
    ("SchedulingConflict", "workers/tests/it/questions.rs", "j9_a_clash_waits_for_a_yes"),
    ("DuplicateContact", "workers/tests/it/questions.rs", "k10_a_duplicate_is_linked"),
    // Emails that are sent.
    ("NoSender", "workers/tests/it/outgoing.rs", "m8_an_email_without_an_author_fails"),
    ("SendAsWithdrawn", "workers/tests/it/send_as.rs", "h7_a_queue_that_may_no_longer_be_read_sends_nothing"),
    ("NoRecipients", "protocols/smtp/tests/it/recipients.rs", "nothing_is_said_for_an_envelope_that_cannot_be"),
    ("InvalidSenderAddress", "protocols/smtp/tests/it/recipients.rs", "nothing_is_said_for_an_envelope_that_cannot_be"),
    (
        "InvalidRecipientAddress",
        "protocols/smtp/tests/it/recipients.rs",
        "addresses_that_cannot_be_said_are_answered_here",
    ),
    ("SmtpUtf8NotOffered", "protocols/smtp/tests/it/recipients.rs", "addresses_that_cannot_be_said_are_answered_here"),
    ("SenderRefused", "protocols/smtp/tests/it/recipients.rs", "m8_senders_are_refused_or_put_off"),
    ("SenderDeferred", "protocols/smtp/tests/it/recipients.rs", "m8_senders_are_refused_or_put_off"),
    ("RecipientRefused", "protocols/smtp/tests/it/exim.rs", "h9_an_unknown_recipient_among_good_ones"),
    ("RecipientDeferred", "protocols/smtp/tests/it/recipients.rs", "h9_each_recipient_keeps_its_answer"),
    ("RecipientMailboxFull", "protocols/smtp/tests/it/recipients.rs", "m8_recipients_are_put_off_for_a_reason"),
    ("TooManyRecipients", "protocols/smtp/tests/it/recipients.rs", "m8_recipients_are_put_off_for_a_reason"),
    ("ServerStorageFull", "protocols/smtp/tests/it/recipients.rs", "m8_recipients_are_put_off_for_a_reason"),
    ("ErrorSubmissionQuotaExceeded", "protocols/smtp/tests/it/recipients.rs", "h9_each_recipient_keeps_its_answer"),
    ("RefusedByPolicy", "protocols/smtp/tests/it/outcome.rs", "refusals_after_the_dot_are_clear"),
    ("MessageRefused", "protocols/smtp/tests/it/outcome.rs", "refusals_after_the_dot_are_clear"),
    ("MessageDeferred", "protocols/smtp/tests/it/outcome.rs", "refusals_after_the_dot_are_clear"),
    ("MessageTooLarge", "protocols/smtp/tests/it/body.rs", "too_large_is_said_before_anything_is_sent"),
    ("ErrorSendAsDenied", "protocols/smtp/tests/it/outcome.rs", "refusals_after_the_dot_are_clear"),
    ("BodyUnreadable", "protocols/smtp/tests/it/body.rs", "a_message_that_cannot_be_read_is_not_sent"),
    ("OutcomeUnknown", "protocols/smtp/tests/it/outcome.rs", "no_understandable_answer_means_unclear"),
    ("DeliveryFailed", "workers/tests/it/outgoing.rs", "attempts_are_spread_and_end"),
    ("PartlyRefused", "workers/tests/it/outgoing.rs", "recipients_are_answered_one_by_one"),
];

/// The code of a function, from its name to the brace that stands where the function begins.
fn body<'s>(source: &'s str, name: &str) -> Option<&'s str> {
    let begin = source.find(&format!("fn {name}("))?;
    let rest = &source[begin..];
    let line = &source[source[..begin].rfind('\n').map_or(0, |at| at + 1)..begin];
    let indent: String = line.chars().take_while(|c| *c == ' ').collect();
    Some(&rest[..rest.find(&format!("\n{indent}}}\n"))?])
}

/// M8: each code of the catalogue stands in the table once, and the test that the table names speaks of the code.
#[test]
fn m8_every_code_is_provoked_from_its_cause() {
    let mut provoked = BTreeSet::new();
    for (code, file, test) in PROVOKED {
        assert!(catalogue::find(code).is_some(), "{code} is not in the catalogue");
        assert!(provoked.insert(*code), "{code} stands twice in the table");
        let source = fs::read_to_string(root().join("crates").join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        let body = body(&source, test).unwrap_or_else(|| panic!("{file} has no {test}, which is to provoke {code}"));
        assert!(
            body.contains(&format!("\"{code}")) || body.contains(&format!(" {code}\"")),
            "{test} says nothing of {code}"
        );
    }
    let missing: Vec<_> = catalogue::entries().map(|e| e.code).filter(|code| !provoked.contains(code)).collect();
    assert!(missing.is_empty(), "nothing is said to provoke {missing:?}: a test from the cause, and a row here");
}

#[test]
fn a_function_ends_where_its_brace_is() {
    let source = "fn one() {\n    \"A\";\n    if x {\n    }\n}\nfn two() {\n    \"B\";\n}\n";
    assert!(body(source, "one").is_some_and(|code| code.contains('A') && !code.contains('B')));
    assert!(body(source, "two").is_some_and(|code| code.contains('B')));
    assert_eq!(body(source, "three"), None);
}
