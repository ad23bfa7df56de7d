//! What a profile must be like: known protocols, hosts that may be reached, TLS, an account.

use chrono::DateTime;
use lockstep_connector::Descriptor;
use lockstep_model::id::ProfileId;
use lockstep_store::{
    lanes::outgoing_identity,
    profiles::{ProfileRecord, SecretChange, secret_identity},
};
use secrecy::{ExposeSecret, SecretString};

use super::{
    application, location,
    view::{Endpoint, ProfileFields, is_application},
};
use crate::{
    merge::Patch,
    problem::Problem,
    state::AppState,
    validate::Check,
    words::{CredentialSource, TlsMode},
};

/// Longest secret, in characters: a password, or a token for XOAUTH2.
pub(crate) const MAX_SECRET_CHARS: usize = 4096;

/// The profile as it would be, and what becomes of its passwords.
#[derive(Clone)]
pub(super) struct Checked {
    pub(super) profile: ProfileRecord,
    pub(super) secret: SecretChange,
    pub(super) outgoing_secret: SecretChange,
}

/// The profile as it would be, and what becomes of its passwords.
///
/// # Errors
/// A problem with every rule that is broken.
pub(super) fn profile(
    state: &AppState,
    max_days: Option<u32>,
    mut fields: ProfileFields,
    before: Option<ProfileRecord>,
) -> Result<Checked, Problem> {
    let mut check = Check::default();
    // Also where they turn out not to be used.
    for (field, text) in [
        ("autodiscover_location", &fields.autodiscover_location),
        ("tenant_id", &fields.tenant_id),
        ("token_endpoint", &fields.token_endpoint),
        ("client_id", &fields.client_id),
        ("token_scope", &fields.token_scope),
    ] {
        check.optional_line(field, text.as_deref().unwrap_or_default(), location::MAX_LOCATION);
    }
    location::settle(&mut check, state, &mut fields, before.as_ref());
    let name = check.line("name", &fields.name, 100);
    if fields.description.chars().count() > 2000 {
        check.refuse("description", "length", "at most 2000 characters");
    }
    let incoming_port = endpoint(&mut check, state, "incoming", &fields.incoming, |d| d.capabilities.incoming_email);
    let outgoing_port = endpoint(&mut check, state, "outgoing", &fields.outgoing, |d| d.capabilities.outgoing_email);
    let max_connections = number(&mut check, "max_connections", fields.max_connections);
    let max_in_flight = number(&mut check, "max_in_flight", fields.max_in_flight);
    let request_timeout_ms = number(&mut check, "request_timeout_ms", fields.request_timeout_ms);
    let min_polling_minutes = number(&mut check, "min_polling_minutes", fields.min_polling_minutes);
    check.instant("process_emails_from", fields.process_emails_from);
    let start_before = before.as_ref().and_then(|before| before.process_emails_from);
    if let Some(start) = fields.process_emails_from.filter(|start| Some(*start) != start_before) {
        let now = state.store.clock().now();
        check.start("process_emails_from", start, None, max_days, now);
    }
    let encoding_code_page = check.optional_line("encoding_code_page", &fields.encoding_code_page, 100);
    if !encoding_code_page.is_empty() && !(state.knows_charset)(&encoding_code_page) {
        check.refuse("encoding_code_page", "unknown", "the name of an encoding, such as windows-1251, or nothing");
    }
    if fields.is_default && !fields.active {
        let remedy = "false for a profile that is not active: new mailboxes would get one that does nothing";
        check.refuse("is_default", "inactive", remedy);
    }
    let login = fields.login.as_deref().map(|login| check.line("login", login, 250));
    secret(&mut check, fields.password.as_ref());
    credentials(&mut check, &fields, before.as_ref());
    application::settle(&mut check, state, &mut fields, before.as_ref());
    let outgoing_login = fields.outgoing_login.as_deref().map(|login| check.line("outgoing_login", login, 250));
    outgoing_account(&mut check, &fields, before.as_ref());
    let incoming = state.descriptors.iter().find(|d| d.name.as_str() == fields.incoming.protocol);
    if fields.move_undeliverable && incoming.is_some_and(|d| !d.capabilities.folders) {
        let remedy = "false: with this incoming protocol a mailbox has no folders that mail could be moved to";
        check.refuse("move_undeliverable", "capability", remedy);
    }
    if fields.send_alert_email && fields.owner_user_id.is_none() {
        check.refuse("send_alert_email", "no-owner", "an owner_user_id, who is to get the email; or false");
    }
    check.finish()?;

    let id = before.as_ref().map_or_else(|| ProfileId::new().0, |b| b.id);
    let shared = fields.credentials == CredentialSource::Profile;
    let given = match fields.credentials {
        CredentialSource::Profile => fields.password.as_ref(),
        CredentialSource::ServerToServer => fields.client_secret.as_ref(),
        CredentialSource::Mailbox => None,
    };
    let stored = fields.credentials != CredentialSource::Mailbox;
    let secret = match (given, stored) {
        (_, false) => SecretChange::Clear,
        (Some(password), true) => {
            let sealed = state.store.vault().seal(&secret_identity(ProfileId(id)), password);
            SecretChange::Set(sealed.map_err(lockstep_store::Error::from)?)
        }
        (None, true) => SecretChange::Keep,
    };
    let own = !fields.same_settings_for_outgoing;
    let outgoing_secret = match (&fields.outgoing_password, own) {
        (_, false) => SecretChange::Clear,
        (Some(password), true) => {
            let sealed = state.store.vault().seal(&outgoing_identity(ProfileId(id)), password);
            SecretChange::Set(sealed.map_err(lockstep_store::Error::from)?)
        }
        (None, true) => SecretChange::Keep,
    };
    let profile = ProfileRecord {
        id,
        same_settings_for_outgoing: fields.same_settings_for_outgoing,
        outgoing_login: outgoing_login.filter(|_| own),
        outgoing_password_set: own,
        resend_unknown: fields.resend_unknown,
        move_undeliverable: fields.move_undeliverable,
        owner_user_id: fields.owner_user_id,
        send_alert_email: fields.send_alert_email,
        last_test: before.as_ref().and_then(|b| b.last_test.clone()),
        name,
        description: fields.description,
        incoming_protocol: fields.incoming.protocol,
        incoming_host: fields.incoming.host,
        incoming_path: fields.incoming.path,
        incoming_port,
        incoming_tls: fields.incoming.tls.as_str().to_owned(),
        incoming_auth: fields.incoming.auth.as_str().to_owned(),
        outgoing_protocol: fields.outgoing.protocol,
        outgoing_host: fields.outgoing.host,
        outgoing_path: fields.outgoing.path,
        outgoing_port,
        outgoing_tls: fields.outgoing.tls.as_str().to_owned(),
        outgoing_auth: fields.outgoing.auth.as_str().to_owned(),
        use_autodiscover: fields.use_autodiscover,
        autodiscover_location: fields.autodiscover_location,
        credentials: fields.credentials.as_str().to_owned(),
        tenant_id: fields.tenant_id,
        token_endpoint: fields.token_endpoint,
        client_id: fields.client_id,
        token_scope: fields.token_scope,
        login: login.filter(|_| shared),
        password_set: stored,
        max_connections,
        max_in_flight,
        request_timeout_ms,
        min_polling_minutes,
        process_emails_from: fields.process_emails_from,
        encoding_code_page,
        active: fields.active,
        is_default: fields.is_default,
        breaker_open_until: None,
        version: before.as_ref().map_or(0, |b| b.version),
        created_at: before.as_ref().map_or(DateTime::UNIX_EPOCH, |b| b.created_at),
        updated_at: before.as_ref().map_or(DateTime::UNIX_EPOCH, |b| b.updated_at),
    };
    Ok(Checked { profile, secret, outgoing_secret })
}

/// The account that sends is the one that reads, or has a name and a password of its own.
fn outgoing_account(check: &mut Check, fields: &ProfileFields, before: Option<&ProfileRecord>) {
    secret_in(check, "outgoing_password", fields.outgoing_password.as_ref());
    if fields.same_settings_for_outgoing {
        // As with the account that reads: what is left over goes, what is new is refused.
        if fields.outgoing_login.is_some() && fields.outgoing_login != before.and_then(|b| b.outgoing_login.clone()) {
            let remedy =
                "no name here: mailboxes send with the account they read with; or same_settings_for_outgoing false";
            check.refuse("outgoing_login", "not-used", remedy);
        }
        if fields.outgoing_password.is_some() {
            let remedy =
                "no password here: mailboxes send with the account they read with (same_settings_for_outgoing)";
            check.refuse("outgoing_password", "not-used", remedy);
        }
        return;
    }
    if fields.outgoing_login.is_none() {
        check.refuse("outgoing_login", "required", "the name of the account that sends, or same_settings_for_outgoing");
    }
    if fields.outgoing_password.is_none() && !before.is_some_and(|b| b.outgoing_password_set) {
        let remedy = "the password of the account that sends, or same_settings_for_outgoing";
        check.refuse("outgoing_password", "required", remedy);
    }
}

/// A number that also fits its column.
fn number(check: &mut Check, field: &str, value: i64) -> i32 {
    check.range(field, value);
    i32::try_from(value).unwrap_or_default()
}

/// What a password may be.
pub(crate) fn secret(check: &mut Check, password: Option<&SecretString>) {
    secret_in(check, "password", password);
}

pub(super) fn secret_in(check: &mut Check, field: &str, password: Option<&SecretString>) {
    let Some(text) = password.map(ExposeSecret::expose_secret) else { return };
    if !(1..=MAX_SECRET_CHARS).contains(&text.chars().count()) {
        check.refuse(field, "length", format!("1 to {MAX_SECRET_CHARS} characters"));
    }
    if text.contains(['\r', '\n']) {
        check.refuse(field, "characters", "text without line breaks");
    }
}

/// Nobody is anonymous: the profile has the account, or each mailbox does.
fn credentials(check: &mut Check, fields: &ProfileFields, before: Option<&ProfileRecord>) {
    match fields.credentials {
        CredentialSource::Profile => {
            if fields.login.is_none() {
                check.refuse(
                    "login",
                    "required",
                    "the account's name; with credentials of the profile there must be one",
                );
            }
            if fields.password.is_none() && !before.is_some_and(|b| b.password_set && !is_application(b)) {
                check.refuse(
                    "password",
                    "required",
                    "the account's password; with credentials of the profile there must be one",
                );
            }
        }
        CredentialSource::Mailbox | CredentialSource::ServerToServer => {
            let whose = if fields.credentials == CredentialSource::Mailbox {
                "each mailbox has its own account"
            } else {
                "an application signs in, by client_id and client_secret"
            };
            // What is left over of a change from one account for all goes; what is sent along does not belong here.
            if fields.login.is_some() && fields.login != before.and_then(|b| b.login.clone()) {
                check.refuse("login", "not-used", format!("no name here: {whose}; or credentials profile"));
            }
            if fields.password.is_some() {
                check.refuse("password", "not-used", format!("no password here: {whose}"));
            }
        }
    }
}

fn usual_port(descriptor: &Descriptor, tls: TlsMode) -> u16 {
    match tls {
        TlsMode::Implicit => descriptor.implicit_tls_port,
        TlsMode::StartTls | TlsMode::Plain => descriptor.plain_port,
    }
}

/// Lets ports that nobody has chosen follow another protocol or TLS choice (B5). A port counts as chosen when it was not
/// the usual one, or when the request names it.
pub(super) fn follow(state: &AppState, fields: &mut ProfileFields, before: &ProfileFields, patch: &Patch) {
    let sides =
        [("incoming", &mut fields.incoming, &before.incoming), ("outgoing", &mut fields.outgoing, &before.outgoing)];
    for (side, endpoint, before) in sides {
        let descriptor = state.descriptors.iter().find(|d| d.name.as_str() == before.protocol);
        let usual = descriptor.map(|descriptor| usual_port(descriptor, before.tls));
        // A URL has its own port, or means the usual one.
        let elsewhere = endpoint.host.contains("://");
        if usual.is_some() && (before.port == usual || elsewhere) && !patch.gives_inside(side, "port") {
            endpoint.port = None;
        }
    }
}

/// A password that is to be cleared where there must be one.
///
/// # Errors
/// A problem naming it.
pub(super) fn cleared(fields: &ProfileFields, patch: &Patch) -> Result<(), Problem> {
    let mut check = Check::default();
    let needed = [
        ("password", fields.credentials == CredentialSource::Profile),
        ("client_secret", fields.credentials == CredentialSource::ServerToServer),
        ("outgoing_password", !fields.same_settings_for_outgoing),
    ];
    for (field, needed) in needed {
        if needed && patch.clears(field) {
            check.refuse(field, "required", "a password: the account needs one. Leave it out to keep the one there is");
        }
    }
    check.finish()
}

/// Checks a server and fills in its port.
fn endpoint(
    check: &mut Check,
    state: &AppState,
    side: &str,
    endpoint: &Endpoint,
    able: impl Fn(&Descriptor) -> bool,
) -> i32 {
    if endpoint.tls == TlsMode::Plain && !state.allow_plain_connections {
        check.refuse(
            &format!("{side}.tls"),
            "plain-not-allowed",
            "implicit or start-tls: this installation does not allow connections without TLS (allow_plain_connections)",
        );
    }
    if endpoint.port == Some(0) {
        check.refuse(&format!("{side}.port"), "range", "a port from 1 to 65535");
    }
    let known = state.descriptors.iter().find(|d| d.name.as_str() == endpoint.protocol);
    match known {
        Some(descriptor) if able(descriptor) => {
            endpoint.port.unwrap_or_else(|| usual_port(descriptor, endpoint.tls)).into()
        }
        found => {
            let able = state.descriptors.iter().filter(|d| able(d)).map(|d| d.name.as_str());
            let choices = able.collect::<Vec<_>>().join(", ");
            let rule = if found.is_some() { "capability" } else { "choice" };
            check.refuse(&format!("{side}.protocol"), rule, format!("one of: {choices}"));
            0
        }
    }
}
