//! Lanes: the fence, and what a run reads once.

mod mail;
mod review;
mod schedules;

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_model::{
    id::{MailboxId, OrganisationId, ProfileId, QueueId, UserId},
    mailbox::{Account, Lane, Mailbox, Owner, TrackOption},
    profile::{Application, AuthMethod, CredentialSource, Discovery, Endpoint, Profile, TlsMode},
    protocol::ProtocolName,
    remote::{Cursor, MailFolder, RemoteKey},
    settings::{Group, Settings, key},
};
use secrecy::SecretString;

use crate::{Error, Result, Store, Tx, error::word, profiles};

pub use mail::{Mail, keep_undeliverable_folder, sent_up_to, touch_in};
pub use review::review_again;
pub(crate) use schedules::revive;
pub use schedules::{realign, recall, wake};

/// Everything a run needs, in one read.
#[derive(Clone, Debug)]
pub struct Run {
    /// The organisation.
    pub organisation: OrganisationId,
    /// The lane.
    pub lane: Lane,
    /// The lane's version: the fence.
    pub version: i64,
    /// The occasion.
    pub generation: i64,
    /// Whether the lane is to be worked at all.
    pub enabled: bool,
    /// How often this occasion was handed out.
    pub claims: u32,
    /// Items one cycle looks at, at most (N6).
    pub items_per_cycle: u32,
    /// Where the lane stands; of email, the inbox.
    pub cursor: Cursor,
    /// Which review of everything is wanted: raised when filters, rights or options have changed.
    pub review_generation: i64,
    /// The folder that is being read; a run begins with the inbox.
    pub folder: MailFolder,
    /// What people chose about email beyond the inbox; nothing in other lanes.
    pub mail: Mail,
    /// The item that a cautious run before this one was about to touch and did not live to tell of.
    pub touching: Option<RemoteKey>,
    /// A quarantined item is due for another attempt, so the whole listing has to be looked at.
    pub attempt_due: bool,
    /// An item that was refused, or whose record is gone, is to be judged again.
    pub judgement_due: bool,
    /// A worker has died over an item that is due for another attempt.
    pub suspect_due: bool,
    /// Processed items wait for their deletion on the server.
    pub deletions_wanted: bool,
    /// An earlier listing gave cause for an alert that is still open.
    pub listing_alert: bool,
    /// The mailbox.
    pub mailbox: Mailbox,
    /// Its owner's choice what becomes a record; none where it is a forward mailbox: those who forward choose.
    pub track: Option<TrackOption>,
    /// Mail received before this instant is not processed: the later of the profile's and the mailbox's.
    pub process_from: Option<DateTime<Utc>>,
    /// Code page of text that names none; `None`: the parser's own choice.
    pub code_page: Option<String>,
    /// How to reach the server.
    pub access: Access,
    /// Limits of the organisation.
    pub limits: OrganisationLimits,
    /// Rules of the organisation.
    pub rules: OrganisationRules,
    /// How tokens look, where answers are recognised by them.
    pub tokens: Option<TokenShape>,
}

/// How the organisation's tracking tokens look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenShape {
    /// What they begin with.
    pub prefix: String,
    /// Senders' numbers begin after this one.
    pub base: u32,
    /// Digits of the sender's number.
    pub user_digits: u8,
    /// Digits of the message's number.
    pub counter_digits: u8,
}

/// How to reach a mailbox's server, credentials still sealed.
#[derive(Clone)]
pub struct Access {
    /// The profile.
    pub profile: Profile,
    /// The account connections are counted under.
    pub account: Account,
    /// Whether the connection counters of the profile were opened before.
    pub slot_opened: bool,
    /// Runs at the mailbox are logged in detail (C20).
    pub verbose: bool,
    /// User name.
    pub login: Option<String>,
    sealed_secret: Option<Vec<u8>>,
    sealed_for: String,
    outgoing: Option<OwnAccount>,
}

/// The account a profile's mailboxes send with, where it is another one.
#[derive(Clone)]
struct OwnAccount {
    login: Option<String>,
    sealed_secret: Option<Vec<u8>>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("profile", &self.profile).field("account", &self.account).finish_non_exhaustive()
    }
}

impl Access {
    /// The same server, as the account that email is sent with: the profile's own for that, where it has one, else the
    /// one that reads. Connections are counted under it.
    #[must_use]
    pub fn for_outgoing(self) -> Self {
        let Some(own) = self.outgoing else { return self };
        Self {
            account: Account::of_outgoing(),
            login: own.login,
            sealed_secret: own.sealed_secret,
            sealed_for: outgoing_identity(self.profile.id),
            outgoing: None,
            ..self
        }
    }

    /// Opens the credentials: user name and secret. `None` when none are stored.
    ///
    /// # Errors
    /// [`Error::Sealed`].
    pub fn credentials(&self, store: &Store) -> Result<Option<(String, SecretString)>> {
        let (Some(login), Some(sealed)) = (&self.login, &self.sealed_secret) else { return Ok(None) };
        Ok(Some((login.clone(), store.vault().open(&self.sealed_for, sealed)?)))
    }
}

/// Limits an organisation sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganisationLimits {
    /// Larger attachments are left out.
    pub max_attachment_bytes: u64,
    /// Larger messages are refused.
    pub max_message_bytes: u64,
    /// Longer bodies are cut.
    pub max_body_bytes: usize,
    /// Attachments with these file name extensions are left out.
    pub blocked_extensions: Vec<String>,
}

/// Rules an organisation sets for received email.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrganisationRules {
    /// Answers are recognised by their header.
    pub use_correlation: bool,
    /// Their header is not looked at all the same.
    pub ignore_reply_headers: bool,
    /// Only the owner of the mailbox a message was found in may accept it.
    pub only_receiving_mailbox_accepts: bool,
    /// Email from one user to another is two records.
    pub internal_email_twice: bool,
    /// A recipient's address that belongs to several records belongs to none.
    pub unresolve_multiple_recipients: bool,
    /// A new record appears in every queue it is addressed to.
    pub queue_items_for_recipients: bool,
    /// A new record appears in the queue whose mailbox it was read from.
    pub queue_items_for_receiving: bool,
    /// A record that is there already appears in the queue whose mailbox it is found in later.
    pub queue_items_for_known: bool,
    /// Unknown senders may become contacts or leads.
    pub auto_create_people: bool,
}

/// The identity under which a profile's secret is sealed.
pub fn profile_identity(profile: ProfileId) -> String {
    format!("email-server-profile/{profile}")
}

/// The identity under which the secret is sealed that a profile's mailboxes send with.
pub fn outgoing_identity(profile: ProfileId) -> String {
    format!("email-server-profile/{profile}/outgoing")
}

/// The identity under which a mailbox's secret is sealed.
pub fn mailbox_identity(mailbox: MailboxId) -> String {
    format!("mailbox/{mailbox}")
}

/// Reads what a run at this lane needs. `None` when the mailbox, its profile or the lane is gone.
///
/// # Errors
/// [`Error::Unavailable`], or [`Error::Unreadable`] for a row this code does not understand.
pub async fn open(tx: &mut Tx, mailbox: MailboxId, lane: Lane) -> Result<Option<Run>> {
    let now = tx.now();
    let (group, key) = match lane {
        Lane::Incoming => (Group::Email, key::EMAILS_PER_CYCLE),
        Lane::Act => (Group::Act, key::ITEMS_PER_CYCLE),
    };
    let row = sqlx::query!(
        "/* lanes::open */ SELECT o.id AS organisation_id, o.max_attachment_bytes, o.max_message_bytes,
             o.max_body_bytes, o.blocked_extensions, o.use_correlation, o.ignore_reply_headers, o.use_tracking_tokens,
             o.token_prefix, o.token_base, o.token_user_digits, o.token_counter_digits, o.only_receiving_mailbox_accepts,
             o.internal_email_twice, o.unresolve_multiple_recipients, o.queue_items_for_recipients,
             o.queue_items_for_receiving, o.queue_items_for_known, o.auto_create_people, l.version, l.cursor, l.touching,
             l.review_generation,
             s.generation, s.enabled AND o.process_email_using = 'server-side-synchronization' AS \"enabled!\", s.claims,
             (SELECT value FROM settings WHERE group_name = $4 AND key = $5) AS items_per_cycle,
             (SELECT max(i.deaths) FROM remote_items i WHERE i.mailbox_id = l.mailbox_id
                 AND i.disposition = 'quarantined' AND i.next_attempt_at <= $3) AS attempt_due,
             EXISTS (SELECT 1 FROM remote_items i WHERE i.mailbox_id = l.mailbox_id
                 AND i.disposition <> 'quarantined' AND i.next_attempt_at <= $3) AS \"judgement_due!\",
             EXISTS (SELECT 1 FROM remote_items i WHERE i.mailbox_id = l.mailbox_id AND i.delete_wanted)
                 AS \"deletions_wanted!\",
             EXISTS (SELECT 1 FROM alerts a WHERE a.mailbox_id = l.mailbox_id AND a.resolved_at IS NULL
                     AND a.key = a.code || '/mailbox/' || l.mailbox_id || '/listing') AS \"listing_alert!\",
             m.process_email_from, p.process_emails_from, p.encoding_code_page,
             COALESCE(u.track_option, q.track_option) AS track
         FROM lanes l
         JOIN lane_schedules s ON s.mailbox_id = l.mailbox_id AND s.lane = l.lane
         JOIN mailboxes m ON m.id = l.mailbox_id
         JOIN email_server_profiles p ON p.id = m.profile_id
         LEFT JOIN users u ON u.id = m.owner_user_id
         LEFT JOIN queues q ON q.id = m.owner_queue_id
         CROSS JOIN organisations o
         WHERE l.mailbox_id = $1 AND l.lane = $2",
        mailbox.0,
        lane.as_str(),
        now,
        group.as_str(),
        key,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let mut settings = Settings::default();
    if let Some(value) = row.items_per_cycle {
        settings.put(group, key, value);
    }
    let Some((mailbox, access)) = access(tx, mailbox).await? else { return Ok(None) };
    let mail = if lane == Lane::Incoming { mail::mail(tx, mailbox.id).await? } else { Mail::default() };
    Ok(Some(Run {
        organisation: OrganisationId(row.organisation_id),
        lane,
        version: row.version,
        generation: row.generation,
        enabled: row.enabled,
        items_per_cycle: settings.items_per_cycle(lane),
        claims: row.claims.unsigned_abs(),
        cursor: Cursor(row.cursor),
        review_generation: row.review_generation,
        folder: MailFolder::Inbox,
        mail,
        touching: row.touching.and_then(RemoteKey::new),
        attempt_due: row.attempt_due.is_some(),
        judgement_due: row.judgement_due,
        suspect_due: row.attempt_due.is_some_and(|deaths| deaths > 0),
        deletions_wanted: row.deletions_wanted,
        listing_alert: row.listing_alert,
        track: row.track.map(|track| word("users", "track_option", mailbox.id, &track)).transpose()?,
        process_from: row.process_email_from.max(row.process_emails_from),
        code_page: Some(row.encoding_code_page).filter(|name| !name.trim().is_empty()),
        mailbox,
        access,
        limits: OrganisationLimits {
            max_attachment_bytes: row.max_attachment_bytes.unsigned_abs(),
            max_message_bytes: row.max_message_bytes.unsigned_abs(),
            max_body_bytes: usize::try_from(row.max_body_bytes).unwrap_or(usize::MAX),
            blocked_extensions: row.blocked_extensions,
        },
        tokens: row.use_tracking_tokens.then(|| TokenShape {
            prefix: row.token_prefix,
            base: row.token_base.unsigned_abs(),
            user_digits: u8::try_from(row.token_user_digits).unwrap_or(u8::MAX),
            counter_digits: u8::try_from(row.token_counter_digits).unwrap_or(u8::MAX),
        }),
        rules: OrganisationRules {
            use_correlation: row.use_correlation,
            ignore_reply_headers: row.ignore_reply_headers,
            only_receiving_mailbox_accepts: row.only_receiving_mailbox_accepts,
            internal_email_twice: row.internal_email_twice,
            unresolve_multiple_recipients: row.unresolve_multiple_recipients,
            queue_items_for_recipients: row.queue_items_for_recipients,
            queue_items_for_receiving: row.queue_items_for_receiving,
            queue_items_for_known: row.queue_items_for_known,
            auto_create_people: row.auto_create_people,
        },
    }))
}

/// How to reach a mailbox's server. `None` when the mailbox has no profile.
///
/// # Errors
/// [`Error::Unavailable`], or [`Error::Unreadable`].
pub async fn access(tx: &mut Tx, mailbox: MailboxId) -> Result<Option<(Mailbox, Access)>> {
    let row = sqlx::query!(
        "/* lanes::access */ SELECT m.id, m.profile_id AS \"profile_id!\", m.owner_user_id, m.owner_queue_id, m.is_forward_mailbox,
             m.address, m.delete_after_processing, m.allow_credentials, m.login AS mailbox_login, m.sealed_secret AS mailbox_secret,
             p.name, p.incoming_protocol, p.incoming_host, p.incoming_port, p.incoming_tls, p.incoming_auth,
             p.outgoing_protocol, p.outgoing_host, p.outgoing_port, p.outgoing_tls, p.outgoing_auth, p.credentials,
             p.login, p.sealed_secret, p.max_connections, p.max_in_flight, p.request_timeout_ms, p.min_polling_minutes,
             p.process_emails_from, p.slot_opened_at, m.verbose_logging, p.same_settings_for_outgoing, p.outgoing_login,
             p.sealed_outgoing_secret, p.use_autodiscover, p.autodiscover_location, p.incoming_path, p.outgoing_path,
             p.tenant_id, p.token_endpoint, p.client_id, p.token_scope
         FROM mailboxes m JOIN email_server_profiles p ON p.id = m.profile_id WHERE m.id = $1",
        mailbox.0,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(r) = row else { return Ok(None) };
    let owner = match (r.owner_user_id, r.owner_queue_id) {
        (Some(user), _) => Some(Owner::User(UserId(user))),
        (None, Some(queue)) => Some(Owner::Queue(QueueId(queue))),
        (None, None) if r.is_forward_mailbox => None,
        (None, None) => return Err(Error::unreadable("mailboxes", "owner_user_id", r.id, "nobody owns it")),
    };
    let profile_id = ProfileId(r.profile_id);
    let endpoint = |protocol: &str, host: String, port: i32, tls: &str, auth: &str, path| -> Result<Endpoint> {
        Ok(Endpoint {
            protocol: protocol_name(profile_id, protocol)?,
            host,
            port: u16::try_from(port).unwrap_or(0),
            tls: tls_mode(profile_id, tls)?,
            auth: auth_method(profile_id, auth)?,
            path,
        })
    };
    let incoming = endpoint(
        &r.incoming_protocol,
        r.incoming_host,
        r.incoming_port,
        &r.incoming_tls,
        &r.incoming_auth,
        r.incoming_path,
    )?;
    let outgoing = endpoint(
        &r.outgoing_protocol,
        r.outgoing_host,
        r.outgoing_port,
        &r.outgoing_tls,
        &r.outgoing_auth,
        r.outgoing_path,
    )?;
    let credentials = credential_source(profile_id, &r.credentials)?;
    let by_profile = credentials.is_shared();
    let (login, sealed_secret, sealed_for) = if by_profile {
        (r.client_id.or(r.login), r.sealed_secret, profile_identity(profile_id))
    } else if r.allow_credentials {
        (r.mailbox_login, r.mailbox_secret, mailbox_identity(mailbox))
    } else {
        (None, None, mailbox_identity(mailbox))
    };
    let profile = Profile {
        id: profile_id,
        name: r.name,
        incoming,
        outgoing,
        discovery: r.use_autodiscover.then_some(Discovery { start: r.autodiscover_location }),
        credentials,
        application: application(credentials, r.token_endpoint, r.tenant_id.as_deref(), r.token_scope),
        max_connections: r.max_connections.unsigned_abs(),
        max_in_flight: r.max_in_flight.unsigned_abs(),
        request_timeout: Duration::from_millis(u64::from(r.request_timeout_ms.unsigned_abs())),
        min_polling_interval: Duration::from_secs(u64::from(r.min_polling_minutes.unsigned_abs()) * 60),
        process_emails_from: r.process_emails_from,
    };
    let mailbox = Mailbox {
        id: mailbox,
        profile: profile_id,
        owner,
        address: r.address,
        delete_after_processing: r.delete_after_processing,
    };
    let account = if by_profile { Account::of_profile() } else { Account::of_mailbox(mailbox.id) };
    let slot_opened = r.slot_opened_at.is_some();
    let verbose = r.verbose_logging > 0;
    let own = OwnAccount { login: r.outgoing_login, sealed_secret: r.sealed_outgoing_secret };
    let outgoing = (!r.same_settings_for_outgoing).then_some(own);
    Ok(Some((mailbox, Access { profile, account, slot_opened, verbose, login, sealed_secret, sealed_for, outgoing })))
}

/// How to reach a profile's servers without a mailbox: with the profile's own account, where it has one. Connections
/// are counted under that account, of which a profile whose mailboxes have their own makes no other use.
///
/// # Errors
/// [`Error::Unavailable`], or [`Error::Unreadable`].
pub async fn profile_access(tx: &mut Tx, profile: ProfileId) -> Result<Option<Access>> {
    let Some(record) = profiles::get(tx, profile).await? else { return Ok(None) };
    let row = sqlx::query!(
        "/* lanes::profile_access */ SELECT slot_opened_at, sealed_secret, sealed_outgoing_secret
         FROM email_server_profiles WHERE id = $1",
        profile.0,
    )
    .fetch_one(tx.connection())
    .await?;
    let endpoint = |protocol: &str, host: &str, port: i32, tls: &str, auth: &str, path: &Option<String>| {
        Ok::<_, Error>(Endpoint {
            protocol: protocol_name(profile, protocol)?,
            host: host.to_owned(),
            port: u16::try_from(port).unwrap_or(0),
            tls: tls_mode(profile, tls)?,
            auth: auth_method(profile, auth)?,
            path: path.clone(),
        })
    };
    let r = &record;
    let incoming = endpoint(
        &r.incoming_protocol,
        &r.incoming_host,
        r.incoming_port,
        &r.incoming_tls,
        &r.incoming_auth,
        &r.incoming_path,
    )?;
    let outgoing = endpoint(
        &r.outgoing_protocol,
        &r.outgoing_host,
        r.outgoing_port,
        &r.outgoing_tls,
        &r.outgoing_auth,
        &r.outgoing_path,
    )?;
    let credentials = credential_source(profile, &record.credentials)?;
    let by_profile = credentials.is_shared();
    let own = OwnAccount { login: record.outgoing_login, sealed_secret: row.sealed_outgoing_secret };
    Ok(Some(Access {
        profile: Profile {
            id: profile,
            name: record.name,
            incoming,
            outgoing,
            discovery: record.use_autodiscover.then_some(Discovery { start: record.autodiscover_location }),
            credentials,
            application: application(
                credentials,
                record.token_endpoint,
                record.tenant_id.as_deref(),
                record.token_scope,
            ),
            max_connections: record.max_connections.unsigned_abs(),
            max_in_flight: record.max_in_flight.unsigned_abs(),
            request_timeout: Duration::from_millis(u64::from(record.request_timeout_ms.unsigned_abs())),
            min_polling_interval: Duration::from_secs(u64::from(record.min_polling_minutes.unsigned_abs()) * 60),
            process_emails_from: record.process_emails_from,
        },
        account: Account::of_profile(),
        slot_opened: row.slot_opened_at.is_some(),
        verbose: false,
        login: record.client_id.or(record.login).filter(|_| by_profile),
        sealed_secret: row.sealed_secret.filter(|_| by_profile),
        sealed_for: profile_identity(profile),
        outgoing: (!record.same_settings_for_outgoing).then_some(own),
    }))
}

fn protocol_name(profile: ProfileId, name: &str) -> Result<ProtocolName> {
    name.parse().map_err(|problem| Error::unreadable("email_server_profiles", "incoming_protocol", profile, problem))
}

fn tls_mode(profile: ProfileId, word: &str) -> Result<TlsMode> {
    match word {
        "implicit" => Ok(TlsMode::Implicit),
        "start-tls" => Ok(TlsMode::StartTls),
        "plain" => Ok(TlsMode::Plain),
        other => Err(Error::unreadable("email_server_profiles", "incoming_tls", profile, other)),
    }
}

fn auth_method(profile: ProfileId, word: &str) -> Result<AuthMethod> {
    match word {
        "auto" => Ok(AuthMethod::Auto),
        "login" => Ok(AuthMethod::Login),
        "plain" => Ok(AuthMethod::Plain),
        "xoauth2" => Ok(AuthMethod::XOAuth2),
        "negotiate" => Ok(AuthMethod::Negotiate),
        "ntlm" => Ok(AuthMethod::Ntlm),
        "basic" => Ok(AuthMethod::Basic),
        other => Err(Error::unreadable("email_server_profiles", "incoming_auth", profile, other)),
    }
}

fn credential_source(profile: ProfileId, word: &str) -> Result<CredentialSource> {
    match word {
        "profile" => Ok(CredentialSource::Profile),
        "mailbox" => Ok(CredentialSource::Mailbox),
        "server-to-server" => Ok(CredentialSource::ServerToServer),
        other => Err(Error::unreadable("email_server_profiles", "credentials", profile, other)),
    }
}

/// The application that signs in; the database has an issuer for each.
fn application(
    credentials: CredentialSource,
    token_endpoint: Option<String>,
    tenant: Option<&str>,
    scope: Option<String>,
) -> Option<Application> {
    if credentials != CredentialSource::ServerToServer {
        return None;
    }
    let token_endpoint = token_endpoint.or_else(|| tenant.map(Application::endpoint_of_tenant))?;
    Some(Application { token_endpoint, scope: scope? })
}

/// Notes that a profile's connection counters are open in Redis: from now on missing counters mean that Redis has
/// forgotten them. `true` for whoever notes it first.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn open_slot(tx: &mut Tx, profile: ProfileId) -> Result<bool> {
    let now = tx.now();
    let done = sqlx::query!(
        "/* lanes::open_slot */ UPDATE email_server_profiles SET slot_opened_at = $2
         WHERE id = $1 AND slot_opened_at IS NULL",
        profile.0,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The fence. Raises the lane's version if it is still `version`, and with it stores the cursor, when there is a new
/// one. `false`: somebody has worked since this run has read; roll back, nothing of the page may be written.
///
/// Call it first in a page's transaction: it locks the lane's row, so two pages of one lane never interleave.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn fence(tx: &mut Tx, mailbox: MailboxId, lane: Lane, version: i64, cursor: Option<&Cursor>) -> Result<bool> {
    let done = sqlx::query!(
        "/* lanes::fence */ UPDATE lanes SET version = version + 1, cursor = COALESCE($4, cursor), touching = NULL
         WHERE mailbox_id = $1 AND lane = $2 AND version = $3",
        mailbox.0,
        lane.as_str(),
        version,
        cursor.map(|c| c.0.as_slice()),
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Notes, under the fence, that a cautious run is about to touch this item. Does not raise the version.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn touch(tx: &mut Tx, mailbox: MailboxId, lane: Lane, version: i64, key: &RemoteKey) -> Result<bool> {
    let done = sqlx::query!(
        "/* lanes::touch */ UPDATE lanes SET touching = $4 WHERE mailbox_id = $1 AND lane = $2 AND version = $3",
        mailbox.0,
        lane.as_str(),
        version,
        key.as_bytes(),
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether the lane is still at this version. A look, not a lock: what follows it must bear a change meanwhile.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn still(tx: &mut Tx, mailbox: MailboxId, lane: Lane, version: i64) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        "/* lanes::still */ SELECT EXISTS (SELECT 1 FROM lanes WHERE mailbox_id = $1 AND lane = $2 AND version = $3)
             AS \"still!\"",
        mailbox.0,
        lane.as_str(),
        version,
    )
    .fetch_one(tx.connection())
    .await?)
}
