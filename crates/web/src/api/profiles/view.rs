//! The shape of a profile in requests and answers.

use chrono::{DateTime, Utc};
use lockstep_store::profiles::ProfileRecord;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    api::alerts::AlertCounts,
    words::{AuthMethod, CredentialSource, TlsMode},
};

/// A server.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Endpoint {
    /// Which protocol is spoken there; one of those this installation has.
    pub(super) protocol: String,
    /// Host name or address. Of Exchange also the https URL of its endpoint, which is taken apart into host, port and path.
    /// Empty with use_autodiscover, and only then.
    #[serde(default)]
    pub(super) host: String,
    /// Path of the endpoint, at most 1,024 characters; Exchange only. Default, also for null: the usual one,
    /// /EWS/Exchange.asmx.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    /// TCP port. Default, also for null: what the protocol uses with this TLS choice. A port that is the default follows
    /// a later change of protocol or tls, unless the same request names a port.
    pub(super) port: Option<u16>,
    /// Default: implicit.
    #[serde(default)]
    pub(super) tls: TlsMode,
    /// Default: auto.
    #[serde(default)]
    pub(super) auth: AuthMethod,
}

/// What may be written of an email server profile.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileFields {
    /// Unique name, at most 100 characters.
    pub(super) name: String,
    /// At most 2,000 characters.
    #[serde(default)]
    pub(super) description: String,
    /// Where email is read.
    pub(super) incoming: Endpoint,
    /// Where email is sent.
    pub(super) outgoing: Endpoint,
    /// The hosts are left empty, and the endpoint of each mailbox is asked of Autodiscover. Exchange only. Default: false.
    #[serde(default)]
    pub(super) use_autodiscover: bool,
    /// Where Autodiscover is asked, with use_autodiscover: a host, or an https URL as it stands. Default: at the domain of
    /// each mailbox's address, https://autodiscover.DOMAIN first and then https://DOMAIN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) autodiscover_location: Option<String>,
    /// Whose account is used.
    pub(super) credentials: CredentialSource,
    /// With credentials server-to-server: the tenant that has the application, an id or a domain. Tokens are fetched at
    /// https://login.microsoftonline.com/TENANT/oauth2/v2.0/token, where token_endpoint names no other place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tenant_id: Option<String>,
    /// With credentials server-to-server: the https URL where tokens are fetched (OAuth 2.0, client credentials).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token_endpoint: Option<String>,
    /// With credentials server-to-server: the id of the application, at most 250 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<String>,
    /// Its secret, at most 4,096 characters. Never shown again.
    #[serde(serialize_with = "crate::hidden::nothing", skip_serializing_if = "crate::hidden::always")]
    #[schema(value_type = Option<String>, format = Password, write_only)]
    pub(super) client_secret: Option<SecretString>,
    /// With credentials server-to-server: what the tokens are for, at most 1,000 characters. Default:
    /// https://outlook.office365.com/.default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token_scope: Option<String>,
    /// Account name, with credentials of the profile; at most 250 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) login: Option<String>,
    /// Its password or token, at most 250 characters (tokens 4,096). Never shown again.
    #[serde(serialize_with = "crate::hidden::nothing", skip_serializing_if = "crate::hidden::always")]
    #[schema(value_type = Option<String>, format = Password, write_only)]
    pub(super) password: Option<SecretString>,
    /// Mailboxes send with the account they read with. Default: true; else with the one of outgoing_login.
    #[serde(default = "yes")]
    pub(super) same_settings_for_outgoing: bool,
    /// Account name all mailboxes send with, where same_settings_for_outgoing is false; at most 250 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outgoing_login: Option<String>,
    /// Its password or token, at most 4,096 characters. Never shown again.
    #[serde(serialize_with = "crate::hidden::nothing", skip_serializing_if = "crate::hidden::always")]
    #[schema(value_type = Option<String>, format = Password, write_only)]
    pub(super) outgoing_password: Option<SecretString>,
    /// An email whose outcome was lost after it was handed over is sent again by itself: somebody may get it twice.
    /// Default: false, a person decides.
    #[serde(default)]
    pub(super) resend_unknown: bool,
    /// Mail that cannot be recorded is moved out of the inbox, into a folder named Undeliverable, once it is given up. Needs
    /// an incoming protocol with folders. Default: false, it stays in the inbox.
    #[serde(default)]
    pub(super) move_undeliverable: bool,
    /// The user who answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner_user_id: Option<Uuid>,
    /// The owner gets an email when more than half of the profile's mailboxes fail within an hour. Default: false.
    #[serde(default)]
    pub(super) send_alert_email: bool,
    /// Connections at once to one account, over all replicas: 1 to 65536. Default: 10.
    #[serde(default = "ten")]
    pub(super) max_connections: i64,
    /// Work handed out at one time: 1 to 65536. Default: 64.
    #[serde(default = "sixty_four")]
    pub(super) max_in_flight: i64,
    /// Longest wait for one answer, in milliseconds: 100 to 100000. Default: 30000.
    #[serde(default = "thirty_seconds")]
    pub(super) request_timeout_ms: i64,
    /// Mailboxes are not polled closer than this, in minutes: 0 to 1440. Default: 0.
    #[serde(default)]
    pub(super) min_polling_minutes: i64,
    /// Mail received before is not processed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) process_emails_from: Option<DateTime<Utc>>,
    /// Code page for content that names none.
    #[serde(default)]
    pub(super) encoding_code_page: String,
    /// Mailboxes of inactive profiles are not processed. Default: true.
    #[serde(default = "yes")]
    pub(super) active: bool,
    /// New mailboxes get this profile. Default: false.
    #[serde(default)]
    pub(super) is_default: bool,
}

fn ten() -> i64 {
    10
}

fn sixty_four() -> i64 {
    64
}

fn thirty_seconds() -> i64 {
    30_000
}

fn yes() -> bool {
    true
}

/// An email server profile.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EmailServerProfile {
    pub(super) id: Uuid,
    #[serde(flatten)]
    fields: ProfileFields,
    /// Whether a password is stored.
    password_set: bool,
    /// Whether the secret of the application is stored.
    client_secret_set: bool,
    /// Whether a password is stored for sending.
    outgoing_password_set: bool,
    /// What the last test of its servers came to.
    #[schema(value_type = Option<Object>)]
    last_test: Option<Value>,
    /// The server is left alone until then, after failures of many mailboxes.
    paused_until: Option<DateTime<Utc>>,
    /// Its open alerts; not in answers to writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) alerts: Option<AlertCounts>,
    /// The ETag without its quotes.
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<&ProfileRecord> for ProfileFields {
    fn from(profile: &ProfileRecord) -> Self {
        Self {
            name: profile.name.clone(),
            description: profile.description.clone(),
            incoming: Endpoint {
                protocol: profile.incoming_protocol.clone(),
                host: profile.incoming_host.clone(),
                path: profile.incoming_path.clone(),
                port: u16::try_from(profile.incoming_port).ok(),
                tls: TlsMode::of(&profile.incoming_tls),
                auth: AuthMethod::of(&profile.incoming_auth),
            },
            outgoing: Endpoint {
                protocol: profile.outgoing_protocol.clone(),
                host: profile.outgoing_host.clone(),
                path: profile.outgoing_path.clone(),
                port: u16::try_from(profile.outgoing_port).ok(),
                tls: TlsMode::of(&profile.outgoing_tls),
                auth: AuthMethod::of(&profile.outgoing_auth),
            },
            use_autodiscover: profile.use_autodiscover,
            autodiscover_location: profile.autodiscover_location.clone(),
            credentials: CredentialSource::of(&profile.credentials),
            tenant_id: profile.tenant_id.clone(),
            token_endpoint: profile.token_endpoint.clone(),
            client_id: profile.client_id.clone(),
            client_secret: None,
            token_scope: profile.token_scope.clone(),
            login: profile.login.clone(),
            password: None,
            same_settings_for_outgoing: profile.same_settings_for_outgoing,
            outgoing_login: profile.outgoing_login.clone(),
            outgoing_password: None,
            resend_unknown: profile.resend_unknown,
            move_undeliverable: profile.move_undeliverable,
            owner_user_id: profile.owner_user_id,
            send_alert_email: profile.send_alert_email,
            max_connections: profile.max_connections.into(),
            max_in_flight: profile.max_in_flight.into(),
            request_timeout_ms: profile.request_timeout_ms.into(),
            min_polling_minutes: profile.min_polling_minutes.into(),
            process_emails_from: profile.process_emails_from,
            encoding_code_page: profile.encoding_code_page.clone(),
            active: profile.active,
            is_default: profile.is_default,
        }
    }
}

/// Whether the stored secret is an application's.
pub(super) fn is_application(profile: &ProfileRecord) -> bool {
    profile.credentials == CredentialSource::ServerToServer.as_str()
}

impl From<ProfileRecord> for EmailServerProfile {
    fn from(profile: ProfileRecord) -> Self {
        Self {
            id: profile.id,
            fields: (&profile).into(),
            password_set: profile.password_set && !is_application(&profile),
            client_secret_set: profile.password_set && is_application(&profile),
            outgoing_password_set: profile.outgoing_password_set,
            last_test: profile.last_test,
            paused_until: profile.breaker_open_until,
            alerts: None,
            version: profile.version,
            created_at: profile.created_at,
            updated_at: profile.updated_at,
        }
    }
}
