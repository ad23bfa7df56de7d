//! The organisation's settings.

use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use lockstep_engine::token;
use lockstep_model::text;
use lockstep_store::{nudge, organisations, queues};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    again::again,
    auth::Caller,
    extract::{IfMatch, Received},
    idempotent::tagged,
    merge::Patch,
    problem::Problem,
    state::App,
    validate::Check,
    words::{Engine, IncomingMethod, Method},
};

const MAX_EXTENSIONS: usize = 500;

/// What may be written of the organisation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrganisationFields {
    /// Name, at most 200 characters.
    name: String,
    /// What processes email. With the router nothing is read or sent from here until it is switched back.
    process_email_using: Engine,
    /// Mailboxes of users are processed only with an approved address.
    approve_users: bool,
    /// Mailboxes of queues are processed only with an approved address.
    approve_queues: bool,
    /// Larger attachments are left out, in bytes: 0 to 134217728.
    max_attachment_bytes: i64,
    /// Larger messages are neither read nor sent, in bytes: 1024 to 157286400.
    max_message_bytes: i64,
    /// Longer bodies are cut, in bytes: 1024 to 16777216.
    max_body_bytes: i64,
    /// Extensions of files that are left out, such as exe.
    blocked_extensions: Vec<String>,
    /// Incoming method of new mailboxes.
    default_incoming: IncomingMethod,
    /// Outgoing method of new mailboxes.
    default_outgoing: Method,
    /// Answers are recognised by In-Reply-To and References.
    use_correlation: bool,
    /// Only the tracking option of the mailbox a message was found in counts, not every recipient's.
    only_receiving_mailbox_accepts: bool,
    /// Email from one user to another is two records, sent and received; else the sent one alone.
    internal_email_twice: bool,
    /// A recipient's address that belongs to several records is left unresolved; else all of them are parties.
    unresolve_multiple_recipients: bool,
    /// With unresolve_multiple_recipients: a party that is resolved by hand resolves the same address on other emails.
    resolve_all_alike: bool,
    /// A new email appears in every queue it is addressed to.
    queue_items_for_recipients: bool,
    /// A new email appears in the queue whose mailbox it was read from, even as a hidden recipient.
    queue_items_for_receiving: bool,
    /// An email that is recorded already appears in the queue whose mailbox it is found in later.
    queue_items_for_known: bool,
    /// Unknown senders of tracked email may become contacts or leads, as each user chooses.
    auto_create_people: bool,
    /// Emails may be sent to addresses that belong to no record; else sending names those that do not.
    allow_unresolved_recipients: bool,
    /// The security role that each new user is given; without, none.
    #[serde(skip_serializing_if = "Option::is_none")]
    default_security_role_id: Option<Uuid>,
    /// Home and other address of contacts are synchronised too, not only the mailing address. Switched on, what is in
    /// mailboxes and what is recorded are compared, and where both sides have an address one of them gives way.
    all_addresses: bool,
    /// A record that leaves a user's filters, or that the user may no longer read, is deleted in the mailbox; else it stays
    /// there and is no longer synchronised. Appointments, and contacts of the user's own, always stay.
    leaving_deletes: bool,
    /// A task, phone call, letter or fax deleted in the mailbox is deleted here.
    tasks_are_deleted_in_crm: bool,
    /// An appointment cancelled here is cancelled in the mailbox.
    cancelling_spreads: bool,
    /// Attendees are told of changes of meetings that have begun or are over.
    past_meeting_updates: bool,
    /// Attachments of single appointments are synchronised with mailboxes, both ways; never those of series and of service
    /// activities. Switched on, each side gets what only the other has; switched off, everything stays as it is.
    appointment_attachments: bool,
    /// The category by which people ask for an item to become a record: one line of at most 100 characters.
    tracked_category: String,
    /// The category that the items of deactivated contacts are given, and lose when the contact is active again: one line
    /// of at most 100 characters. Items that have another one by now keep it.
    inactive_category: String,
    /// Where users are who name no zone of their own: a time zone of the IANA list, such as Europe/Berlin.
    time_zone: String,
    /// What users send with other programs becomes records too, by the same tracking options, where the server has a
    /// folder of sent messages that can be read. Switched on, it begins with the date from which the mailbox processes
    /// email.
    auto_track_sent_items: bool,
    /// Messages that rights management restricts become no records.
    restrict_rights_managed: bool,
    /// A copy of each sent email is kept in the sender's folder of sent messages, where the server has one.
    save_sent_copy: bool,
    /// The subject of each outgoing email ends with a token, by which an answer is recognised whose header names
    /// nothing.
    use_tracking_tokens: bool,
    /// What tokens begin with: 1 to 20 characters. Earlier tokens are not recognised under another prefix.
    token_prefix: String,
    /// Senders' numbers in tokens begin after this one: 0 to 2147483647.
    token_base: i64,
    /// Digits of the sender's number in tokens: 1 to 10.
    token_user_digits: i64,
    /// Digits of the message's number in tokens: 1 to 9. After the largest it starts again at 0.
    token_counter_digits: i64,
    /// In-Reply-To and References are not looked at, whatever use_correlation says.
    ignore_reply_headers: bool,
    /// The queue whose mailbox sends what the installation itself has to say by email.
    #[serde(skip_serializing_if = "Option::is_none")]
    notification_queue_id: Option<Uuid>,
    /// Alerts of the level error are shown. What is switched off is kept, and shown once it is switched on.
    alert_errors: bool,
    /// Alerts of the level warning are shown.
    alert_warnings: bool,
    /// Alerts of the level information are shown.
    alert_information: bool,
    /// Alerts of a profile are also shown to the owners of its mailboxes, of whom nothing is asked.
    notify_mailbox_owner: bool,
}

/// The organisation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Organisation {
    id: Uuid,
    #[serde(flatten)]
    fields: OrganisationFields,
    /// The ETag without its quotes.
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<&organisations::Organisation> for OrganisationFields {
    fn from(organisation: &organisations::Organisation) -> Self {
        Self {
            name: organisation.name.clone(),
            process_email_using: Engine::of(&organisation.process_email_using),
            approve_users: organisation.approve_users,
            approve_queues: organisation.approve_queues,
            max_attachment_bytes: organisation.max_attachment_bytes,
            max_message_bytes: organisation.max_message_bytes,
            max_body_bytes: organisation.max_body_bytes,
            blocked_extensions: organisation.blocked_extensions.clone(),
            default_incoming: IncomingMethod::of(&organisation.default_incoming),
            default_outgoing: Method::of(&organisation.default_outgoing),
            use_correlation: organisation.use_correlation,
            only_receiving_mailbox_accepts: organisation.only_receiving_mailbox_accepts,
            internal_email_twice: organisation.internal_email_twice,
            unresolve_multiple_recipients: organisation.unresolve_multiple_recipients,
            resolve_all_alike: organisation.resolve_all_alike,
            queue_items_for_recipients: organisation.queue_items_for_recipients,
            queue_items_for_receiving: organisation.queue_items_for_receiving,
            queue_items_for_known: organisation.queue_items_for_known,
            auto_create_people: organisation.auto_create_people,
            allow_unresolved_recipients: organisation.allow_unresolved_recipients,
            default_security_role_id: organisation.default_security_role_id,
            all_addresses: organisation.all_addresses,
            leaving_deletes: organisation.leaving_deletes,
            tasks_are_deleted_in_crm: organisation.tasks_are_deleted_in_crm,
            cancelling_spreads: organisation.cancelling_spreads,
            past_meeting_updates: organisation.past_meeting_updates,
            appointment_attachments: organisation.appointment_attachments,
            tracked_category: organisation.tracked_category.clone(),
            inactive_category: organisation.inactive_category.clone(),
            time_zone: organisation.time_zone.clone(),
            auto_track_sent_items: organisation.auto_track_sent_items,
            restrict_rights_managed: organisation.restrict_rights_managed,
            save_sent_copy: organisation.save_sent_copy,
            use_tracking_tokens: organisation.use_tracking_tokens,
            token_prefix: organisation.token_prefix.clone(),
            token_base: organisation.token_base.into(),
            token_user_digits: organisation.token_user_digits.into(),
            token_counter_digits: organisation.token_counter_digits.into(),
            ignore_reply_headers: organisation.ignore_reply_headers,
            notification_queue_id: organisation.notification_queue_id,
            alert_errors: organisation.alert_errors,
            alert_warnings: organisation.alert_warnings,
            alert_information: organisation.alert_information,
            notify_mailbox_owner: organisation.notify_mailbox_owner,
        }
    }
}

impl From<organisations::Organisation> for Organisation {
    fn from(organisation: organisations::Organisation) -> Self {
        Self {
            id: organisation.id,
            fields: (&organisation).into(),
            version: organisation.version,
            created_at: organisation.created_at,
            updated_at: organisation.updated_at,
        }
    }
}

impl OrganisationFields {
    fn checked(self, before: organisations::Organisation) -> Result<organisations::Organisation, Problem> {
        let mut check = Check::default();
        let name = check.line("name", &self.name, 200);
        let tracked_category = check.line("tracked_category", &self.tracked_category, 100);
        let inactive_category = check.line("inactive_category", &self.inactive_category, 100);
        if inactive_category == tracked_category {
            let remedy = "another category than tracked_category, by which people ask for a record";
            check.refuse("inactive_category", "differs", remedy);
        }
        let time_zone = check.time_zone("time_zone", &self.time_zone);
        check.range("max_attachment_bytes", self.max_attachment_bytes);
        check.range("max_message_bytes", self.max_message_bytes);
        check.range("max_body_bytes", self.max_body_bytes);
        if self.blocked_extensions.len() > MAX_EXTENSIONS {
            check.refuse("blocked_extensions", "length", format!("at most {MAX_EXTENSIONS} entries"));
        }
        let mut blocked_extensions: Vec<String> =
            self.blocked_extensions.iter().map(|e| e.trim().trim_start_matches('.').to_ascii_lowercase()).collect();
        let fits =
            |e: &String| (1..=32).contains(&e.len()) && e.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !blocked_extensions.iter().all(fits) || !self.blocked_extensions.iter().all(|e| text::is_line(e)) {
            check.refuse("blocked_extensions", "form", "extensions of 1 to 32 letters and digits, such as exe");
        }
        let token = self.token(&mut check);
        check.finish()?;
        blocked_extensions.sort_unstable();
        blocked_extensions.dedup();
        Ok(organisations::Organisation {
            name,
            process_email_using: self.process_email_using.as_str().to_owned(),
            approve_users: self.approve_users,
            approve_queues: self.approve_queues,
            max_attachment_bytes: self.max_attachment_bytes,
            max_message_bytes: self.max_message_bytes,
            max_body_bytes: self.max_body_bytes,
            blocked_extensions,
            default_incoming: self.default_incoming.as_str().to_owned(),
            default_outgoing: self.default_outgoing.as_str().to_owned(),
            use_correlation: self.use_correlation,
            only_receiving_mailbox_accepts: self.only_receiving_mailbox_accepts,
            internal_email_twice: self.internal_email_twice,
            unresolve_multiple_recipients: self.unresolve_multiple_recipients,
            resolve_all_alike: self.resolve_all_alike,
            queue_items_for_recipients: self.queue_items_for_recipients,
            queue_items_for_receiving: self.queue_items_for_receiving,
            queue_items_for_known: self.queue_items_for_known,
            auto_create_people: self.auto_create_people,
            allow_unresolved_recipients: self.allow_unresolved_recipients,
            default_security_role_id: self.default_security_role_id,
            all_addresses: self.all_addresses,
            leaving_deletes: self.leaving_deletes,
            tasks_are_deleted_in_crm: self.tasks_are_deleted_in_crm,
            cancelling_spreads: self.cancelling_spreads,
            past_meeting_updates: self.past_meeting_updates,
            appointment_attachments: self.appointment_attachments,
            tracked_category,
            inactive_category,
            time_zone,
            auto_track_sent_items: self.auto_track_sent_items,
            restrict_rights_managed: self.restrict_rights_managed,
            save_sent_copy: self.save_sent_copy,
            use_tracking_tokens: self.use_tracking_tokens,
            token_prefix: token.prefix,
            token_base: i32::try_from(token.base).unwrap_or(i32::MAX),
            token_user_digits: token.user_digits.into(),
            token_counter_digits: token.counter_digits.into(),
            ignore_reply_headers: self.ignore_reply_headers,
            notification_queue_id: self.notification_queue_id,
            alert_errors: self.alert_errors,
            alert_warnings: self.alert_warnings,
            alert_information: self.alert_information,
            notify_mailbox_owner: self.notify_mailbox_owner,
            ..before
        })
    }

    fn token(&self, check: &mut Check) -> token::Shape {
        check.range("token_base", self.token_base);
        check.range("token_user_digits", self.token_user_digits);
        check.range("token_counter_digits", self.token_counter_digits);
        let shape = token::Shape {
            prefix: self.token_prefix.clone(),
            base: u32::try_from(self.token_base).unwrap_or_default(),
            user_digits: u8::try_from(self.token_user_digits).unwrap_or_default(),
            counter_digits: u8::try_from(self.token_counter_digits).unwrap_or_default(),
        };
        if shape.check() == Err(token::Flaw::Prefix) {
            let remedy = "1 to 20 characters of one line, without control characters (also those of the direction of writing), and \
                          without white space at either end";
            check.refuse("token_prefix", "form", remedy);
        }
        shape
    }
}

fn not_set_up() -> Problem {
    Problem::conflict("not-set-up", "The organisation is not set up yet; the command line does that.")
}

/// Reads the organisation's settings.
#[utoipa::path(get, path = "/organisation", tag = "organisation",
    responses((status = 200, description = "The organisation", body = Organisation)))]
pub(crate) async fn read(State(app): State<App>) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    let organisation = organisations::get(&mut tx).await?.ok_or_else(not_set_up)?;
    Ok(tagged(organisation.version, Organisation::from(organisation)))
}

/// Changes the organisation's settings.
#[utoipa::path(patch, path = "/organisation", tag = "organisation", request_body = OrganisationFields,
    params(("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "The organisation as it is now", body = Organisation)))]
pub(crate) async fn update(
    State(app): State<App>,
    caller: Caller,
    IfMatch(expected): IfMatch,
    body: Received<Patch>,
) -> Result<Response, Problem> {
    again(|| async {
        let mut tx = app.store.begin().await?;
        let before = organisations::lock(&mut tx, expected).await?.ok_or_else(not_set_up)?;
        let (fields, changed) = body.value.apply(&OrganisationFields::from(&before))?.split();
        let mut organisation = fields.checked(before)?;
        if let Some(queue) = organisation.notification_queue_id
            && queues::get(&mut tx, queue.into()).await?.is_none()
        {
            return Err(Problem::field("notification_queue_id", "exists", "the id of a queue that exists"));
        }
        if !changed.names().is_empty() {
            organisation.version =
                organisations::save(&mut tx, &organisation, &changed.names(), &caller.actor()).await?;
            organisation.updated_at = tx.now();
            nudge(&mut tx).await?;
            tx.commit().await?;
        }
        Ok(tagged(organisation.version, Organisation::from(organisation)))
    })
    .await
}
