//! The shape of an email in requests and answers.

use chrono::{DateTime, Utc};
use lockstep_store::emails::{self, DeliveryStatus, EmailRecord, RecipientStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{api::alerts::AlertCounts, validate::Check};

/// Who sends: a user or a queue, not both.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FromFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) queue_id: Option<Uuid>,
}

/// A recipient.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecipientFields {
    /// Display name, at most 255 characters.
    #[serde(default)]
    pub(super) name: String,
    /// Email address. Whether it is one is asked when the email is sent.
    pub(super) address: String,
}

/// The record an email is about, in whatever system it lives.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegardingFields {
    /// What kind of record, such as opportunity: at most 64 characters.
    kind: String,
    /// Its id there, at most 200 characters. Of kinds that are kept here, such as contact or task: the id of a record that
    /// may be read.
    id: String,
}

impl RegardingFields {
    /// Kind and id, within their limits.
    pub(crate) fn checked(&self, check: &mut Check) -> (String, String) {
        (check.line("regarding.kind", &self.kind, 64), check.line("regarding.id", &self.id, 200))
    }

    pub(crate) fn of(kind: Option<String>, id: Option<String>) -> Option<Self> {
        Some(Self { kind: kind?, id: id? })
    }
}

/// A file, inside the request. Larger ones are uploaded apart.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AttachmentFields {
    /// File name, at most 255 characters.
    pub(super) name: String,
    /// Media type. Default: application/octet-stream.
    #[serde(default = "any_type")]
    pub(super) media_type: String,
    /// The bytes, in base64.
    pub(super) content: String,
}

pub(super) fn any_type() -> String {
    crate::api::uploads::ANY_TYPE.to_owned()
}

/// What may be written of a draft.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmailFields {
    pub(super) from: FromFields,
    #[serde(default)]
    pub(super) to: Vec<RecipientFields>,
    #[serde(default)]
    pub(super) cc: Vec<RecipientFields>,
    #[serde(default)]
    pub(super) bcc: Vec<RecipientFields>,
    /// At most 255 characters.
    #[serde(default)]
    pub(super) subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body_text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body_html: Option<String>,
    /// The email this one answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) in_reply_to_email_id: Option<Uuid>,
    /// What it is about; answers to it are about the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) regarding: Option<RegardingFields>,
    /// Which other system knows this email; goes with external_id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
    /// Under which id that system knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) external_id: Option<String>,
    /// The user who sends, where from is another user or a queue. For a user it is always itself; a program that leaves
    /// it out answers for the email itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sender_user_id: Option<Uuid>,
    /// Only when the draft is made; later ones are uploaded.
    #[serde(default, skip_serializing)]
    pub(super) attachments: Vec<AttachmentFields>,
}

/// An email without its content.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EmailSummary {
    id: Uuid,
    /// `incoming` or `outgoing`.
    direction: String,
    /// `draft`, `completed`, `sent`, `received`, `canceled`, `pending-send`, `sending` or `failed`.
    status: String,
    /// Absent for operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    source: Option<String>,
    external_id: Option<String>,
    message_id: Option<String>,
    /// Message-IDs it answers, oldest first.
    in_reply_to: Vec<String>,
    sent_at: Option<DateTime<Utc>>,
    received_at: Option<DateTime<Utc>>,
    /// A body was longer than allowed and was cut.
    body_truncated: bool,
    attachments_left_out: bool,
    size_bytes: i64,
    owner_user_id: Option<Uuid>,
    owner_team_id: Option<Uuid>,
    /// The mailbox it is sent from.
    from_mailbox_id: Option<Uuid>,
    /// `user` or `queue`: who accepted it.
    accepting_kind: Option<String>,
    accepting_id: Option<Uuid>,
    /// The mailbox it was first read from, or whose owner has forwarded it.
    receiving_mailbox_id: Option<Uuid>,
    /// The email it belongs to.
    correlated_email_id: Option<Uuid>,
    /// The email it answers.
    parent_email_id: Option<Uuid>,
    /// `none`, `in-reply-to` or `tracking-token`.
    correlation_method: String,
    /// What its subject ends with, where it was sent with a token.
    tracking_token: Option<String>,
    /// Who sends it, where it bears another user's address or a queue's.
    sender_user_id: Option<Uuid>,
    /// What it is about.
    regarding: Option<RegardingFields>,
    /// Why it could not be read as a message.
    unparsable: Option<String>,
    /// The ETag without its quotes.
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// A party of an email.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Party {
    /// `from`, `to`, `cc`, `bcc` or `reply-to`.
    role: String,
    /// Absent for operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    address: String,
    /// Kind of the record the address belongs to.
    record_kind: Option<String>,
    record_id: Option<Uuid>,
}

/// A file of an email.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Attachment {
    id: Uuid,
    /// Absent for operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// As the sender called it.
    media_type: String,
    size_bytes: i64,
    inline: bool,
    /// Why its content is not here.
    left_out: Option<String>,
}

/// How far an outgoing email has come.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Delivery {
    /// `pending`, `retry`, `sending`, `in-flight`, `unknown`, `sent` or `failed`.
    state: String,
    /// Attempts begun.
    attempt: i32,
    /// When the next one is due.
    due_at: DateTime<Utc>,
    /// The server's words when it accepted.
    reply: Option<String>,
    fault_code: Option<String>,
    fault_class: Option<String>,
    fault_message: Option<String>,
    recipients: Vec<DeliveryRecipient>,
}

/// How far it has come to one recipient.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryRecipient {
    address: String,
    /// `pending`, `accepted` or `refused`.
    state: String,
    /// The server's words.
    reply: Option<String>,
}

/// A mailbox in which an email was found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FoundIn {
    mailbox_id: Uuid,
    /// The forward mailbox through which it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    via_mailbox_id: Option<Uuid>,
    at: DateTime<Utc>,
}

/// An email.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Email {
    #[serde(flatten)]
    summary: EmailSummary,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_text: Option<String>,
    /// As it came: not made safe for showing.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_html: Option<String>,
    parties: Vec<Party>,
    attachments: Vec<Attachment>,
    delivery: Option<Delivery>,
    found_in: Vec<FoundIn>,
    /// Its open alerts.
    pub(super) alerts: AlertCounts,
}

impl EmailSummary {
    pub(super) fn of(email: EmailRecord, content: bool) -> Self {
        Self {
            id: email.id,
            direction: email.direction,
            status: email.status,
            subject: Some(email.subject).filter(|_| content),
            source: email.source,
            external_id: email.external_id,
            message_id: email.message_id,
            in_reply_to: email.in_reply_to,
            sent_at: email.sent_at,
            received_at: email.received_at,
            body_truncated: email.body_truncated,
            attachments_left_out: email.attachments_left_out,
            size_bytes: email.size_bytes,
            owner_user_id: email.owner_user_id,
            owner_team_id: email.owner_team_id,
            from_mailbox_id: email.from_mailbox_id,
            accepting_kind: email.accepting_kind,
            accepting_id: email.accepting_id,
            receiving_mailbox_id: email.receiving_mailbox_id,
            correlated_email_id: email.correlated_email_id,
            parent_email_id: email.parent_email_id,
            correlation_method: email.correlation_method,
            tracking_token: email.tracking_token,
            sender_user_id: email.sender_user_id,
            regarding: RegardingFields::of(email.regarding_kind, email.regarding_id),
            unparsable: email.unparsable,
            version: email.version,
            created_at: email.created_at,
            updated_at: email.updated_at,
        }
    }
}

impl Email {
    pub(super) fn of(
        summary: EmailSummary,
        (body_text, body_html): (Option<String>, Option<String>),
        parties: Vec<emails::Party>,
        files: Vec<emails::Attachment>,
        delivery: Option<(DeliveryStatus, Vec<RecipientStatus>)>,
        found_in: Vec<emails::FoundIn>,
        content: bool,
    ) -> Self {
        let party = |party: emails::Party| Party {
            role: party.role,
            name: Some(party.name).filter(|_| content),
            address: party.address,
            record_kind: party.record_kind,
            record_id: party.record_id,
        };
        let file = |file: emails::Attachment| Attachment {
            id: file.id,
            name: Some(file.name).filter(|_| content),
            media_type: file.media_type,
            size_bytes: file.size_bytes,
            inline: file.inline,
            left_out: file.left_out,
        };
        Self {
            summary,
            body_text,
            body_html,
            parties: parties.into_iter().map(party).collect(),
            attachments: files.into_iter().map(file).collect(),
            delivery: delivery.map(|(status, recipients)| Delivery::of(status, recipients)),
            found_in: found_in.into_iter().map(FoundIn::from).collect(),
            alerts: AlertCounts::default(),
        }
    }
}

impl From<emails::FoundIn> for FoundIn {
    fn from(found: emails::FoundIn) -> Self {
        Self { mailbox_id: found.mailbox.0, via_mailbox_id: found.via.map(|id| id.0), at: found.at }
    }
}

impl Delivery {
    fn of(status: DeliveryStatus, recipients: Vec<RecipientStatus>) -> Self {
        let recipient = |r: RecipientStatus| DeliveryRecipient { address: r.address, state: r.state, reply: r.reply };
        Self {
            state: status.state,
            attempt: status.attempt,
            due_at: status.due_at,
            reply: status.reply,
            fault_code: status.fault_code,
            fault_class: status.fault_class,
            fault_message: status.fault_message,
            recipients: recipients.into_iter().map(recipient).collect(),
        }
    }
}
