//! The application that signs in with server-to-server credentials.

use lockstep_store::profiles::ProfileRecord;

use super::{
    check::secret_in,
    location::{capabilities, url},
    view::{ProfileFields, is_application},
};
use crate::{
    state::AppState,
    validate::Check,
    words::{AuthMethod, CredentialSource},
};

/// What tokens are for unless told otherwise: Exchange Online.
const SCOPE: &str = "https://outlook.office365.com/.default";

/// Notes what is missing of an application, and what belongs to none.
pub(super) fn settle(check: &mut Check, state: &AppState, fields: &mut ProfileFields, before: Option<&ProfileRecord>) {
    secret_in(check, "client_secret", fields.client_secret.as_ref());
    if fields.credentials == CredentialSource::ServerToServer {
        signs_in(check, state, fields, before);
    } else {
        unused(check, fields, before);
    }
}

fn signs_in(check: &mut Check, state: &AppState, fields: &mut ProfileFields, before: Option<&ProfileRecord>) {
    for (side, endpoint) in [("incoming", &fields.incoming), ("outgoing", &fields.outgoing)] {
        if capabilities(state, &endpoint.protocol).is_some_and(|able| !able.server_to_server) {
            let remedy =
                format!("profile or mailbox: {} servers know no applications ({side}.protocol)", endpoint.protocol);
            check.refuse("credentials", "protocol", remedy);
            return;
        }
        if endpoint.auth != AuthMethod::Auto {
            let remedy = "auto: an application signs in with its token";
            check.refuse(&format!("{side}.auth"), "not-used", remedy);
        }
    }
    if !fields.same_settings_for_outgoing {
        let remedy = "true: an application reads and sends for all mailboxes";
        check.refuse("same_settings_for_outgoing", "server-to-server", remedy);
    }
    match &fields.client_id {
        Some(id) => fields.client_id = Some(check.line("client_id", id, 250)),
        None => check.refuse("client_id", "required", "the id of the application"),
    }
    if fields.client_secret.is_none() && !before.is_some_and(|before| before.password_set && is_application(before)) {
        check.refuse("client_secret", "required", "the secret of the application");
    }
    if fields.tenant_id.is_none() && fields.token_endpoint.is_none() {
        let remedy = "the tenant that has the application; or a token_endpoint";
        check.refuse("tenant_id", "required", remedy);
    }
    if let Some(tenant) = &fields.tenant_id {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        if !(1..=253).contains(&tenant.len()) || !tenant.bytes().all(fits) || tenant.starts_with('.') {
            check.refuse(
                "tenant_id",
                "tenant",
                "an id such as 8f6a2c1e-…, or a domain such as contoso.onmicrosoft.com",
            );
        }
    }
    if let Some(Err(remedy)) = fields.token_endpoint.as_deref().map(url) {
        check.refuse("token_endpoint", "url", remedy);
    }
    let scope = fields.token_scope.as_deref().unwrap_or(SCOPE);
    fields.token_scope = Some(check.line("token_scope", scope, 1_000));
}

/// What is left over of a change to another kind of credentials goes; what is sent along does not belong here.
fn unused(check: &mut Check, fields: &mut ProfileFields, before: Option<&ProfileRecord>) {
    const REMEDY: &str = "nothing: only an application has this; or credentials server-to-server";
    type Members = [(&'static str, Option<String>); 4];
    let was: Members = [
        ("tenant_id", before.and_then(|before| before.tenant_id.clone())),
        ("token_endpoint", before.and_then(|before| before.token_endpoint.clone())),
        ("client_id", before.and_then(|before| before.client_id.clone())),
        ("token_scope", before.and_then(|before| before.token_scope.clone())),
    ];
    let is =
        [fields.tenant_id.take(), fields.token_endpoint.take(), fields.client_id.take(), fields.token_scope.take()];
    for ((field, was), is) in was.into_iter().zip(is) {
        if is.is_some() && is != was {
            check.refuse(field, "not-used", REMEDY);
        }
    }
    if fields.client_secret.is_some() {
        check.refuse("client_secret", "not-used", REMEDY);
    }
}
