//! The shape of a webhook endpoint in requests and answers.

use chrono::{DateTime, Utc};
use lockstep_store::webhooks::{self, Settings};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// What may be written of a webhook endpoint.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookEndpointFields {
    /// Unique name, at most 100 characters.
    pub(super) name: String,
    /// At most 2,000 characters.
    #[serde(default)]
    pub(super) description: String,
    /// Where events are sent: https, at most 2,000 characters, without user name, password and fragment.
    pub(super) url: String,
    /// Of which records: account, contact, email, email-server-profile, lead, mailbox, organisation, queue, user,
    /// webhook-endpoint. Default: of all.
    #[serde(default)]
    pub(super) record_kinds: Vec<String>,
    /// Inactive endpoints are told nothing. Default: true.
    #[serde(default = "yes")]
    pub(super) active: bool,
}

/// A webhook endpoint to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewWebhookEndpoint {
    /// Unique name, at most 100 characters.
    name: String,
    /// At most 2,000 characters.
    #[serde(default)]
    description: String,
    /// Where events are sent: https, at most 2,000 characters, without user name, password and fragment.
    url: String,
    /// Of which records: account, contact, email, email-server-profile, lead, mailbox, organisation, queue, user,
    /// webhook-endpoint. Default: of all.
    #[serde(default)]
    record_kinds: Vec<String>,
    /// Inactive endpoints are told nothing. Default: true.
    #[serde(default = "yes")]
    active: bool,
    /// It is told of what comes after this position of the change feed. Default: of what comes from now on.
    after: Option<i64>,
    /// The feed's epoch; needed with after.
    epoch: Option<Uuid>,
}

/// From where an endpoint goes on.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Start {
    /// It is told of what comes after this position of the change feed.
    pub(super) after: Option<i64>,
    /// The feed's epoch; needed with after.
    pub(super) epoch: Option<Uuid>,
    /// It is told of what comes from now on; what is in between it never hears of.
    #[serde(default)]
    pub(super) from_now: bool,
}

fn yes() -> bool {
    true
}

impl NewWebhookEndpoint {
    pub(super) fn split(self) -> (WebhookEndpointFields, Start) {
        let Self { name, description, url, record_kinds, active, after, epoch } = self;
        (
            WebhookEndpointFields { name, description, url, record_kinds, active },
            Start { after, epoch, from_now: false },
        )
    }
}

impl WebhookEndpointFields {
    pub(super) fn settings(&self) -> Settings<'_> {
        Settings {
            name: &self.name,
            description: &self.description,
            url: &self.url,
            record_kinds: &self.record_kinds,
            active: self.active,
        }
    }
}

/// A webhook endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookEndpoint {
    id: Uuid,
    #[serde(flatten)]
    fields: WebhookEndpointFields,
    /// `healthy`, `failing`, `disabled` or `inactive`.
    state: &'static str,
    /// Why it was disabled: `gone` (the receiver answered 410), `failing` (for three days) or `cursor-lost` (the
    /// position has lost its meaning). Resume it when that is mended.
    disabled_code: Option<String>,
    disabled_at: Option<DateTime<Utc>>,
    /// The feed's epoch that position belongs to.
    epoch: Uuid,
    /// Everything up to here was accepted, or not wanted.
    position: i64,
    /// Events accepted so far.
    delivered: i64,
    /// Failed attempts since the last accepted one.
    failures: i32,
    failing_since: Option<DateTime<Utc>>,
    last_attempt_at: Option<DateTime<Utc>>,
    last_succeeded_at: Option<DateTime<Utc>>,
    /// The HTTP status of the last attempt, when there was an answer.
    last_status: Option<i32>,
    /// What was wrong with the last attempt.
    last_error: Option<String>,
    next_attempt_at: Option<DateTime<Utc>>,
    /// Until then the secret before signs too.
    previous_secret_until: Option<DateTime<Utc>>,
    /// The ETag without its quotes.
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// A webhook endpoint whose secret was just made: it cannot be shown again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WithSecret {
    #[serde(flatten)]
    endpoint: WebhookEndpoint,
    /// What signatures are checked with: `whsec_` and the key in base64. Absent when the request is a repetition.
    #[schema(value_type = Option<String>)]
    secret: String,
}

impl WebhookEndpoint {
    /// The endpoint with its new secret, for the one answer that shows it.
    pub(super) fn with(self, secret: &str) -> WithSecret {
        WithSecret { endpoint: self, secret: secret.to_owned() }
    }
}

impl From<&webhooks::WebhookEndpoint> for WebhookEndpointFields {
    fn from(endpoint: &webhooks::WebhookEndpoint) -> Self {
        Self {
            name: endpoint.name.clone(),
            description: endpoint.description.clone(),
            url: endpoint.url.clone(),
            record_kinds: endpoint.record_kinds.clone(),
            active: endpoint.active,
        }
    }
}

impl From<webhooks::WebhookEndpoint> for WebhookEndpoint {
    fn from(endpoint: webhooks::WebhookEndpoint) -> Self {
        let state = match &endpoint {
            e if !e.active => "inactive",
            e if e.disabled_code.is_some() => "disabled",
            e if e.failures > 0 => "failing",
            _ => "healthy",
        };
        Self {
            fields: (&endpoint).into(),
            state,
            id: endpoint.id,
            disabled_code: endpoint.disabled_code,
            disabled_at: endpoint.disabled_at,
            epoch: endpoint.epoch,
            position: endpoint.position,
            delivered: endpoint.delivered,
            failures: endpoint.failures,
            failing_since: endpoint.failing_since,
            last_attempt_at: endpoint.last_attempt_at,
            last_succeeded_at: endpoint.last_succeeded_at,
            last_status: endpoint.last_status,
            last_error: endpoint.last_error,
            next_attempt_at: endpoint.next_attempt_at,
            previous_secret_until: endpoint.previous_valid_until,
            version: endpoint.version,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}
