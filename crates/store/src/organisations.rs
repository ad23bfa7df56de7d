//! The organisation's settings: one row.

use chrono::{DateTime, Utc};
use lockstep_model::{
    id::{MailboxId, OrganisationId},
    record::{Field, Kind},
};
use uuid::Uuid;

use crate::{
    Error, Result, Tx, attachment_links,
    audit::{self, Written},
    directions,
    feed::Change,
    lanes, links,
};

/// The organisation.
#[derive(Clone, Debug, PartialEq)]
pub struct Organisation {
    /// Identity.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Mailboxes of users need an approved address.
    pub approve_users: bool,
    /// Mailboxes of queues need an approved address.
    pub approve_queues: bool,
    /// Larger attachments are left out, in bytes; at most 134,217,728.
    pub max_attachment_bytes: i64,
    /// Larger messages are not read or sent, in bytes.
    pub max_message_bytes: i64,
    /// Longer bodies are cut, in bytes.
    pub max_body_bytes: i64,
    /// File name extensions of attachments that are left out, lower case, without a dot.
    pub blocked_extensions: Vec<String>,
    /// Incoming method of new mailboxes.
    pub default_incoming: String,
    /// Outgoing method of new mailboxes.
    pub default_outgoing: String,
    /// Answers are recognised by their header.
    pub use_correlation: bool,
    /// Only the owner of the mailbox a message was found in may accept it.
    pub only_receiving_mailbox_accepts: bool,
    /// Email from one user to another is two records, sent and received; else the sent one alone.
    pub internal_email_twice: bool,
    /// A recipient's address that belongs to several records belongs to none.
    pub unresolve_multiple_recipients: bool,
    /// A party that is resolved by hand resolves the same address on other emails.
    pub resolve_all_alike: bool,
    /// A new record appears in every queue it is addressed to.
    pub queue_items_for_recipients: bool,
    /// A new record appears in the queue whose mailbox it was read from, visibly addressed or not.
    pub queue_items_for_receiving: bool,
    /// A record that is there already appears in the queue whose mailbox it is found in later.
    pub queue_items_for_known: bool,
    /// Unknown senders may become contacts or leads, as each user chooses.
    pub auto_create_people: bool,
    /// Emails may be sent to addresses that belong to no record.
    pub allow_unresolved_recipients: bool,
    /// Subjects of outgoing email end with a token by which answers are recognised.
    pub use_tracking_tokens: bool,
    /// What tokens begin with, 1 to 20 characters.
    pub token_prefix: String,
    /// Users' numbers in tokens begin after this one.
    pub token_base: i32,
    /// Digits of the user's number, 1 to 10.
    pub token_user_digits: i32,
    /// Digits of the message's number, 1 to 9.
    pub token_counter_digits: i32,
    /// In-Reply-To and References are not looked at, whatever `use_correlation` says.
    pub ignore_reply_headers: bool,
    /// The queue whose mailbox sends what the installation itself has to say.
    pub notification_queue_id: Option<Uuid>,
    /// Alerts of the level error are shown.
    pub alert_errors: bool,
    /// Alerts of the level warning are shown.
    pub alert_warnings: bool,
    /// Alerts of the level information are shown.
    pub alert_information: bool,
    /// Faults of a profile are told to the owners of its mailboxes too.
    pub notify_mailbox_owner: bool,
    /// `server-side-synchronization` or `email-router`: with the router nothing is read or sent from here.
    pub process_email_using: String,
    /// The security role that each new user is given.
    pub default_security_role_id: Option<Uuid>,
    /// Home and other address of contacts are synchronised too (see [`crate::item_options`], as those that follow).
    pub all_addresses: bool,
    /// Records that leave the filters are deleted in the mailbox.
    pub leaving_deletes: bool,
    /// Tasks deleted on the server are deleted in the CRM.
    pub tasks_are_deleted_in_crm: bool,
    /// Meetings cancelled in the CRM are cancelled on the server.
    pub cancelling_spreads: bool,
    /// Attendees hear of changes of past meetings.
    pub past_meeting_updates: bool,
    /// Attachments of single appointments are synchronised.
    pub appointment_attachments: bool,
    /// The category by which people ask to have an item in the CRM.
    pub tracked_category: String,
    /// The category that items of deactivated contacts are given.
    pub inactive_category: String,
    /// Name of the IANA database: the zone of users who have none of their own.
    pub time_zone: String,
    /// What users send with other programs becomes records too.
    pub auto_track_sent_items: bool,
    /// Messages that rights management restricts become none.
    pub restrict_rights_managed: bool,
    /// A copy of what is sent is kept in the sender's folder of sent messages.
    pub save_sent_copy: bool,
    /// Raised by every write.
    pub version: i64,
    /// When it was set up.
    pub created_at: DateTime<Utc>,
    /// When it was last written.
    pub updated_at: DateTime<Utc>,
}

/// Sets the organisation up, once for a database.
///
/// # Errors
/// [`Error::Conflict`] when there is one already.
pub async fn create(tx: &mut Tx, name: &str, actor: &str) -> Result<OrganisationId> {
    let (id, now) = (OrganisationId::new(), tx.now());
    sqlx::query!(
        "/* organisations::create */ INSERT INTO organisations (id, name, created_at, updated_at)
         VALUES ($1, $2, $3, $3)",
        id.0,
        name,
        now,
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "/* organisations::create */ INSERT INTO feed_state (epoch) VALUES ($1) ON CONFLICT DO NOTHING",
        Uuid::now_v7(),
    )
    .execute(tx.connection())
    .await?;
    let written = Written { kind: "organisation", id: id.0, change: Change::Created, fields: &["name"], version: 1 };
    audit::record(tx, actor, written).await?;
    Ok(id)
}

/// The organisation, or `None` before it was set up.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn get(tx: &mut Tx) -> Result<Option<Organisation>> {
    Ok(sqlx::query_as!(
        Organisation,
        "/* organisations::get */ SELECT id, name, approve_users, approve_queues, max_attachment_bytes,
             max_message_bytes, max_body_bytes, blocked_extensions, default_incoming, default_outgoing,
             use_correlation, only_receiving_mailbox_accepts, internal_email_twice, unresolve_multiple_recipients,
             resolve_all_alike, queue_items_for_recipients, queue_items_for_receiving, queue_items_for_known, auto_create_people,
             allow_unresolved_recipients, use_tracking_tokens, token_prefix, token_base, token_user_digits,
             token_counter_digits, ignore_reply_headers, notification_queue_id, alert_errors,
             alert_warnings, alert_information, notify_mailbox_owner, process_email_using,
             default_security_role_id, all_addresses, leaving_deletes, tasks_are_deleted_in_crm, cancelling_spreads,
             past_meeting_updates, appointment_attachments, tracked_category, inactive_category, time_zone,
             auto_track_sent_items, restrict_rights_managed, save_sent_copy, version, created_at, updated_at
         FROM organisations",
    )
    .fetch_optional(tx.connection())
    .await?)
}

/// Like [`get`], locked until the transaction ends.
///
/// # Errors
/// [`Error::Stale`] when `expected` is another version.
pub async fn lock(tx: &mut Tx, expected: Option<i64>) -> Result<Option<Organisation>> {
    sqlx::query!("/* organisations::lock */ SELECT id FROM organisations FOR UPDATE")
        .fetch_optional(tx.connection())
        .await?;
    let found = get(tx).await?;
    Error::if_stale(expected, found.as_ref().map(|o| o.version))?;
    Ok(found)
}

/// Writes the settings of an organisation that was locked. Mailboxes whose approval counts differently now are
/// realigned. Returns the new version.
///
/// # Errors
/// [`Error::Rule`] when a value is out of range.
pub async fn save(tx: &mut Tx, organisation: &Organisation, fields: &[&str], actor: &str) -> Result<i64> {
    let now = tx.now();
    let version = sqlx::query_scalar!(
        "/* organisations::save */ UPDATE organisations SET name = $2, approve_users = $3, approve_queues = $4,
             max_attachment_bytes = $5, max_message_bytes = $6, max_body_bytes = $7, blocked_extensions = $8,
             default_incoming = $9, default_outgoing = $10, use_correlation = $12,
             only_receiving_mailbox_accepts = $13, internal_email_twice = $14, unresolve_multiple_recipients = $15,
             queue_items_for_recipients = $16, queue_items_for_receiving = $17, queue_items_for_known = $18,
             auto_create_people = $19, allow_unresolved_recipients = $20,
             default_security_role_id = $21, resolve_all_alike = $22, version = version + 1, updated_at = $11
         WHERE id = $1 RETURNING version",
        organisation.id,
        organisation.name,
        organisation.approve_users,
        organisation.approve_queues,
        organisation.max_attachment_bytes,
        organisation.max_message_bytes,
        organisation.max_body_bytes,
        &organisation.blocked_extensions,
        organisation.default_incoming,
        organisation.default_outgoing,
        now,
        organisation.use_correlation,
        organisation.only_receiving_mailbox_accepts,
        organisation.internal_email_twice,
        organisation.unresolve_multiple_recipients,
        organisation.queue_items_for_recipients,
        organisation.queue_items_for_receiving,
        organisation.queue_items_for_known,
        organisation.auto_create_people,
        organisation.allow_unresolved_recipients,
        organisation.default_security_role_id,
        organisation.resolve_all_alike,
    )
    .fetch_one(tx.connection())
    .await?;
    save_sending(tx, organisation).await?;
    save_alerts(tx, organisation).await?;
    save_mail(tx, organisation).await?;
    save_items(tx, organisation, fields).await?;
    if fields.contains(&"process_email_using") {
        sqlx::query!(
            "/* organisations::save */ UPDATE organisations SET process_email_using = $2 WHERE id = $1",
            organisation.id,
            organisation.process_email_using,
        )
        .execute(tx.connection())
        .await?;
        lanes::recall(tx).await?;
    }
    if fields.iter().any(|field| matches!(*field, "approve_users" | "approve_queues")) {
        let waiting = sqlx::query_scalar!(
            "/* organisations::save */ SELECT id FROM mailboxes WHERE address_status = 'pending' ORDER BY id FOR UPDATE",
        )
        .fetch_all(tx.connection())
        .await?;
        lanes::realign(tx, &waiting.into_iter().map(MailboxId).collect::<Vec<_>>()).await?;
    }
    let written = Written { kind: "organisation", id: organisation.id, change: Change::Updated, fields, version };
    audit::record(tx, actor, written).await?;
    Ok(version)
}

/// The part about outgoing email.
async fn save_sending(tx: &mut Tx, organisation: &Organisation) -> Result<()> {
    sqlx::query!(
        "/* organisations::save_sending */ UPDATE organisations SET use_tracking_tokens = $2, token_prefix = $3,
             token_base = $4, token_user_digits = $5, token_counter_digits = $6, ignore_reply_headers = $7,
             notification_queue_id = $8
         WHERE id = $1",
        organisation.id,
        organisation.use_tracking_tokens,
        organisation.token_prefix,
        organisation.token_base,
        organisation.token_user_digits,
        organisation.token_counter_digits,
        organisation.ignore_reply_headers,
        organisation.notification_queue_id,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The part about contacts, tasks and appointments. What is looked at meanwhile is looked at again.
async fn save_items(tx: &mut Tx, organisation: &Organisation, fields: &[&str]) -> Result<()> {
    const CHOICES: [&str; 6] = [
        "all_addresses",
        "leaving_deletes",
        "tasks_are_deleted_in_crm",
        "cancelling_spreads",
        "past_meeting_updates",
        "appointment_attachments",
    ];
    sqlx::query!(
        "/* organisations::save_items */ UPDATE organisations SET all_addresses = $2, leaving_deletes = $3,
             tasks_are_deleted_in_crm = $4, cancelling_spreads = $5, past_meeting_updates = $6, tracked_category = $7,
             inactive_category = $8, time_zone = $9
         WHERE id = $1",
        organisation.id,
        organisation.all_addresses,
        organisation.leaving_deletes,
        organisation.tasks_are_deleted_in_crm,
        organisation.cancelling_spreads,
        organisation.past_meeting_updates,
        organisation.tracked_category,
        organisation.inactive_category,
        organisation.time_zone,
    )
    .execute(tx.connection())
    .await?;
    if fields.contains(&"all_addresses") {
        directions::follow(tx, Kind::Contact, &[Field::HomeAddress, Field::OtherAddress]).await?;
    }
    if fields.contains(&"appointment_attachments") {
        directions::follow(tx, Kind::Appointment, &[Field::Attachments]).await?;
    }
    if fields.contains(&"appointment_attachments") {
        save_attachments(tx, organisation).await?;
    }
    if fields.iter().any(|field| CHOICES.contains(field)) {
        lanes::review_again(tx, None).await?;
    }
    if fields.contains(&"all_addresses") {
        links::unsettle(tx, Kind::Contact).await?;
    }
    if fields.contains(&"appointment_attachments") {
        attachment_links::switch(tx, organisation.appointment_attachments).await?;
    }
    Ok(())
}

/// The part about attachments of appointments.
async fn save_attachments(tx: &mut Tx, organisation: &Organisation) -> Result<()> {
    sqlx::query!(
        "/* organisations::save_attachments */ UPDATE organisations SET appointment_attachments = $2 WHERE id = $1",
        organisation.id,
        organisation.appointment_attachments,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The part about who is shown which alerts.
async fn save_alerts(tx: &mut Tx, organisation: &Organisation) -> Result<()> {
    sqlx::query!(
        "/* organisations::save_alerts */ UPDATE organisations SET alert_errors = $2, alert_warnings = $3,
             alert_information = $4, notify_mailbox_owner = $5
         WHERE id = $1",
        organisation.id,
        organisation.alert_errors,
        organisation.alert_warnings,
        organisation.alert_information,
        organisation.notify_mailbox_owner,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The part about email on servers with folders.
async fn save_mail(tx: &mut Tx, organisation: &Organisation) -> Result<()> {
    sqlx::query!(
        "/* organisations::save_mail */ UPDATE organisations SET auto_track_sent_items = $2, restrict_rights_managed = $3,
             save_sent_copy = $4
         WHERE id = $1",
        organisation.id,
        organisation.auto_track_sent_items,
        organisation.restrict_rights_managed,
        organisation.save_sent_copy,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
