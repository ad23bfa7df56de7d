//! Who may call what: one table, checked in one place, before any handler runs.

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use lockstep_model::id::{ApiKeyId, UserId};
use lockstep_store::access::{self, Role};

use crate::{described, problem::Problem, state::App};

use Access::{Public, Roles};
use Role::{Administrator, Operator, Service, User};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without a key.
    Public,
    /// Holders of a key of one of these roles.
    Roles(&'static [Role]),
}

/// A route and who may call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Method, in capitals.
    pub method: &'static str,
    /// Path with its placeholders.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
}

const ADMINISTRATORS: Access = Roles(&[Administrator]);
const PEOPLE: Access = Roles(&[Administrator, Operator]);
const PROGRAMS: Access = Roles(&[Administrator, Service]);
const ALL: Access = Roles(&[Administrator, Operator, Service]);
/// With users, whom the database tells further what is theirs ([`crate::wall`]).
const EVERYBODY: Access = Roles(&[Administrator, Operator, Service, User]);
const PROGRAMS_AND_USERS: Access = Roles(&[Administrator, Service, User]);
const PEOPLE_AND_USERS: Access = Roles(&[Administrator, Operator, User]);
const ADMINISTRATORS_AND_USERS: Access = Roles(&[Administrator, User]);

const fn rule(method: &'static str, path: &'static str, access: Access) -> Rule {
    Rule { method, path, access }
}

/// Every route. One that is missing here is refused for everybody, and fails a test.
pub const RULES: &[Rule] = &[
    rule("GET", "/api/v1/openapi.json", Public),
    rule("POST", "/api/v1/sessions", Public),
    rule("GET", "/api/v1/organisation", ALL),
    rule("PATCH", "/api/v1/organisation", ADMINISTRATORS),
    rule("GET", "/api/v1/users", EVERYBODY),
    rule("POST", "/api/v1/users", PROGRAMS),
    rule("GET", "/api/v1/users/{id}", EVERYBODY),
    rule("PATCH", "/api/v1/users/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/users/by-external-id/{source}/{external_id}", EVERYBODY),
    rule("PATCH", "/api/v1/users/by-external-id/{source}/{external_id}", PROGRAMS),
    rule("GET", "/api/v1/queues", EVERYBODY),
    rule("POST", "/api/v1/queues", PROGRAMS),
    rule("GET", "/api/v1/queues/{id}", EVERYBODY),
    rule("PATCH", "/api/v1/queues/{id}", PROGRAMS),
    rule("GET", "/api/v1/queues/by-external-id/{source}/{external_id}", EVERYBODY),
    rule("PATCH", "/api/v1/queues/by-external-id/{source}/{external_id}", PROGRAMS),
    rule("GET", "/api/v1/queues/{id}/items", EVERYBODY),
    rule("GET", "/api/v1/contacts", PROGRAMS_AND_USERS),
    rule("POST", "/api/v1/contacts", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/contacts/{id}", PROGRAMS_AND_USERS),
    rule("PATCH", "/api/v1/contacts/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/contacts/by-external-id/{source}/{external_id}", PROGRAMS_AND_USERS),
    rule("PATCH", "/api/v1/contacts/by-external-id/{source}/{external_id}", PROGRAMS_AND_USERS),
    rule("DELETE", "/api/v1/contacts/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/tasks", PROGRAMS_AND_USERS),
    rule("POST", "/api/v1/tasks", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/tasks/{id}", PROGRAMS_AND_USERS),
    rule("PATCH", "/api/v1/tasks/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/tasks/by-external-id/{source}/{external_id}", PROGRAMS_AND_USERS),
    rule("PATCH", "/api/v1/tasks/by-external-id/{source}/{external_id}", PROGRAMS_AND_USERS),
    rule("DELETE", "/api/v1/tasks/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/phone-calls", PROGRAMS_AND_USERS),
    rule("POST", "/api/v1/phone-calls", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/phone-calls/{id}", PROGRAMS_AND_USERS),
    rule("PATCH", "/api/v1/phone-calls/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/phone-calls/by-external-id/{source}/{external_id}", PROGRAMS_AND_USERS),
    rule("PATCH", "/api/v1/phone-calls/by-external-id/{source}/{external_id}", PROGRAMS_AND_USERS),
    rule("DELETE", "/api/v1/phone-calls/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/letters", PROGRAMS_AND_USERS),
    rule("POST", "/api/v1/letters", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/letters/{id}", PROGRAMS_AND_USERS),
    rule("PATCH", "/api/v1/letters/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/letters/by-external-id/{source}/{external_id}", PROGRAMS_AND_USERS),
    rule("PATCH", "/api/v1/letters/by-external-id/{source}/{external_id}", PROGRAMS_AND_USERS),
    rule("DELETE", "/api/v1/letters/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/faxes", PROGRAMS_AND_USERS),
    rule("POST", "/api/v1/faxes", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/faxes/{id}", PROGRAMS_AND_USERS),
    rule("PATCH", "/api/v1/faxes/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/faxes/by-external-id/{source}/{external_id}", PROGRAMS_AND_USERS),
    rule("PATCH", "/api/v1/faxes/by-external-id/{source}/{external_id}", PROGRAMS_AND_USERS),
    rule("DELETE", "/api/v1/faxes/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/appointments", PROGRAMS_AND_USERS),
    rule("POST", "/api/v1/appointments", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/appointments/{id}", PROGRAMS_AND_USERS),
    rule("PATCH", "/api/v1/appointments/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/appointments/by-external-id/{source}/{external_id}", PROGRAMS_AND_USERS),
    rule("PATCH", "/api/v1/appointments/by-external-id/{source}/{external_id}", PROGRAMS_AND_USERS),
    rule("DELETE", "/api/v1/appointments/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/appointments/{id}/attachments", PROGRAMS_AND_USERS),
    rule("POST", "/api/v1/appointments/{id}/attachments", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/appointments/{id}/attachments/{attachment_id}/content", PROGRAMS_AND_USERS),
    rule("DELETE", "/api/v1/appointments/{id}/attachments/{attachment_id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/recurring-appointments", PROGRAMS_AND_USERS),
    rule("POST", "/api/v1/recurring-appointments", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/recurring-appointments/{id}", PROGRAMS_AND_USERS),
    rule("PATCH", "/api/v1/recurring-appointments/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/recurring-appointments/by-external-id/{source}/{external_id}", PROGRAMS_AND_USERS),
    rule("PATCH", "/api/v1/recurring-appointments/by-external-id/{source}/{external_id}", PROGRAMS_AND_USERS),
    rule("DELETE", "/api/v1/recurring-appointments/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/service-activities", PROGRAMS_AND_USERS),
    rule("POST", "/api/v1/service-activities", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/service-activities/{id}", PROGRAMS_AND_USERS),
    rule("PATCH", "/api/v1/service-activities/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/service-activities/by-external-id/{source}/{external_id}", PROGRAMS_AND_USERS),
    rule("PATCH", "/api/v1/service-activities/by-external-id/{source}/{external_id}", PROGRAMS_AND_USERS),
    rule("DELETE", "/api/v1/service-activities/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/synchronization-filters", PROGRAMS_AND_USERS),
    rule("POST", "/api/v1/synchronization-filters", ADMINISTRATORS_AND_USERS),
    rule("GET", "/api/v1/synchronization-filters/{id}", PROGRAMS_AND_USERS),
    rule("PATCH", "/api/v1/synchronization-filters/{id}", ADMINISTRATORS_AND_USERS),
    rule("DELETE", "/api/v1/synchronization-filters/{id}", ADMINISTRATORS_AND_USERS),
    rule("GET", "/api/v1/synchronization-filters/{id}/records", PROGRAMS_AND_USERS),
    rule("POST", "/api/v1/synchronization-filters/{id}/apply", ADMINISTRATORS),
    rule("POST", "/api/v1/synchronization-filters/reset", ADMINISTRATORS_AND_USERS),
    rule("GET", "/api/v1/field-directions", EVERYBODY),
    rule("GET", "/api/v1/field-directions/{record_kind}", EVERYBODY),
    rule("PATCH", "/api/v1/field-directions/{record_kind}", ADMINISTRATORS),
    rule("GET", "/api/v1/accounts", PROGRAMS_AND_USERS),
    rule("POST", "/api/v1/accounts", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/accounts/{id}", PROGRAMS_AND_USERS),
    rule("PATCH", "/api/v1/accounts/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/accounts/by-external-id/{source}/{external_id}", PROGRAMS_AND_USERS),
    rule("PATCH", "/api/v1/accounts/by-external-id/{source}/{external_id}", PROGRAMS_AND_USERS),
    rule("DELETE", "/api/v1/accounts/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/leads", PROGRAMS_AND_USERS),
    rule("POST", "/api/v1/leads", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/leads/{id}", PROGRAMS_AND_USERS),
    rule("PATCH", "/api/v1/leads/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/leads/by-external-id/{source}/{external_id}", PROGRAMS_AND_USERS),
    rule("PATCH", "/api/v1/leads/by-external-id/{source}/{external_id}", PROGRAMS_AND_USERS),
    rule("DELETE", "/api/v1/leads/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/email-server-profiles", ALL),
    rule("POST", "/api/v1/email-server-profiles", ADMINISTRATORS),
    rule("GET", "/api/v1/email-server-profiles/{id}", ALL),
    rule("PATCH", "/api/v1/email-server-profiles/{id}", ADMINISTRATORS),
    rule("DELETE", "/api/v1/email-server-profiles/{id}", ADMINISTRATORS),
    rule("POST", "/api/v1/email-server-profiles/{id}/test-connection", PEOPLE),
    rule("GET", "/api/v1/mailboxes", EVERYBODY),
    rule("GET", "/api/v1/mailboxes/{id}", EVERYBODY),
    rule("POST", "/api/v1/mailboxes", ADMINISTRATORS),
    rule("PATCH", "/api/v1/mailboxes/{id}", ADMINISTRATORS_AND_USERS),
    rule("DELETE", "/api/v1/mailboxes/{id}", ADMINISTRATORS),
    rule("GET", "/api/v1/mailboxes/awaiting-approval", PEOPLE_AND_USERS),
    rule("POST", "/api/v1/mailboxes/actions", ADMINISTRATORS_AND_USERS),
    rule("POST", "/api/v1/mailboxes/{id}/takeover", ADMINISTRATORS),
    rule("POST", "/api/v1/mailboxes/{id}/approve", ADMINISTRATORS_AND_USERS),
    rule("POST", "/api/v1/mailboxes/{id}/reject", ADMINISTRATORS_AND_USERS),
    rule("POST", "/api/v1/mailboxes/{id}/test-and-enable", PEOPLE_AND_USERS),
    rule("GET", "/api/v1/mailboxes/{id}/items", PEOPLE_AND_USERS),
    rule("POST", "/api/v1/mailboxes/{id}/agree-deletions", PEOPLE),
    rule("POST", "/api/v1/mailboxes/{id}/track", PROGRAMS_AND_USERS),
    rule("POST", "/api/v1/mailboxes/{id}/sync-now", PEOPLE),
    rule("POST", "/api/v1/mailboxes/{id}/judge-again", ADMINISTRATORS),
    rule("POST", "/api/v1/mailboxes/{id}/items/{key}/release", PEOPLE),
    rule("POST", "/api/v1/mailboxes/{id}/items/{key}/drop", ADMINISTRATORS),
    rule("GET", "/api/v1/item-failures", PEOPLE_AND_USERS),
    rule("GET", "/api/v1/explanations/mailboxes/{id}", PEOPLE_AND_USERS),
    rule("GET", "/api/v1/explanations/messages", PEOPLE_AND_USERS),
    rule("GET", "/api/v1/operations/{id}", EVERYBODY),
    rule("POST", "/api/v1/erasures/preview", ADMINISTRATORS),
    rule("POST", "/api/v1/erasures", ADMINISTRATORS),
    rule("GET", "/api/v1/emails", EVERYBODY),
    rule("POST", "/api/v1/emails", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/emails/{id}", EVERYBODY),
    rule("PATCH", "/api/v1/emails/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/emails/by-external-id/{source}/{external_id}", EVERYBODY),
    rule("PATCH", "/api/v1/emails/by-external-id/{source}/{external_id}", PROGRAMS_AND_USERS),
    rule("DELETE", "/api/v1/emails/{id}", PROGRAMS_AND_USERS),
    rule("POST", "/api/v1/emails/{id}/attachments", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/emails/{id}/attachments/{attachment_id}/content", PROGRAMS_AND_USERS),
    rule("DELETE", "/api/v1/emails/{id}/attachments/{attachment_id}", PROGRAMS_AND_USERS),
    rule("POST", "/api/v1/emails/{id}/send", PROGRAMS_AND_USERS),
    rule("POST", "/api/v1/emails/{id}/copy-to-refused", PROGRAMS_AND_USERS),
    rule("POST", "/api/v1/emails/{id}/cancel", PROGRAMS_AND_USERS),
    rule("POST", "/api/v1/emails/{id}/parties/{position}/resolve", PROGRAMS_AND_USERS),
    rule("POST", "/api/v1/emails/{id}/resolve-delivery", ADMINISTRATORS),
    rule("POST", "/api/v1/emails/resolve-restored", ADMINISTRATORS),
    rule("GET", "/api/v1/settings", PEOPLE),
    rule("GET", "/api/v1/settings/{group}", PEOPLE),
    rule("PATCH", "/api/v1/settings/{group}", ADMINISTRATORS),
    rule("GET", "/api/v1/alerts", EVERYBODY),
    rule("DELETE", "/api/v1/alerts/{id}", PEOPLE_AND_USERS),
    rule("POST", "/api/v1/alerts/dismiss", PEOPLE_AND_USERS),
    rule("POST", "/api/v1/alerts/{id}/answer", ADMINISTRATORS_AND_USERS),
    rule("GET", "/api/v1/synchronization-history/{record_kind}/{id}", PROGRAMS_AND_USERS),
    rule("GET", "/api/v1/changes", PROGRAMS),
    rule("GET", "/api/v1/audit", ADMINISTRATORS),
    rule("GET", "/api/v1/webhook-endpoints", PEOPLE),
    rule("POST", "/api/v1/webhook-endpoints", ADMINISTRATORS),
    rule("GET", "/api/v1/webhook-endpoints/{id}", PEOPLE),
    rule("PATCH", "/api/v1/webhook-endpoints/{id}", ADMINISTRATORS),
    rule("DELETE", "/api/v1/webhook-endpoints/{id}", ADMINISTRATORS),
    rule("POST", "/api/v1/webhook-endpoints/{id}/rotate-secret", ADMINISTRATORS),
    rule("POST", "/api/v1/webhook-endpoints/{id}/resume", PEOPLE),
    rule("POST", "/api/v1/webhook-endpoints/{id}/test", PEOPLE),
    rule("GET", "/api/v1/users/{id}/privileges", ADMINISTRATORS_AND_USERS),
    rule("PUT", "/api/v1/users/{id}/security-roles/{role_id}", ADMINISTRATORS),
    rule("DELETE", "/api/v1/users/{id}/security-roles/{role_id}", ADMINISTRATORS),
    rule("GET", "/api/v1/security-roles", ADMINISTRATORS),
    rule("POST", "/api/v1/security-roles", ADMINISTRATORS),
    rule("GET", "/api/v1/security-roles/{id}", ADMINISTRATORS),
    rule("PATCH", "/api/v1/security-roles/{id}", ADMINISTRATORS),
    rule("DELETE", "/api/v1/security-roles/{id}", ADMINISTRATORS),
    rule("GET", "/api/v1/secured-fields", ADMINISTRATORS),
    rule("PUT", "/api/v1/secured-fields/{record_kind}/{field}", ADMINISTRATORS),
    rule("DELETE", "/api/v1/secured-fields/{record_kind}/{field}", ADMINISTRATORS),
    rule("GET", "/api/v1/teams", ALL),
    rule("POST", "/api/v1/teams", ADMINISTRATORS),
    rule("GET", "/api/v1/teams/{id}", ALL),
    rule("PATCH", "/api/v1/teams/{id}", ADMINISTRATORS),
    rule("DELETE", "/api/v1/teams/{id}", ADMINISTRATORS),
    rule("GET", "/api/v1/teams/{id}/members", ALL),
    rule("PUT", "/api/v1/teams/{id}/members/{user_id}", ADMINISTRATORS),
    rule("DELETE", "/api/v1/teams/{id}/members/{user_id}", ADMINISTRATORS),
    rule("PUT", "/api/v1/teams/{id}/security-roles/{role_id}", ADMINISTRATORS),
    rule("DELETE", "/api/v1/teams/{id}/security-roles/{role_id}", ADMINISTRATORS),
    rule("GET", "/api/v1/api-keys", ADMINISTRATORS),
    rule("POST", "/api/v1/api-keys", ADMINISTRATORS),
    rule("DELETE", "/api/v1/api-keys/{id}", ADMINISTRATORS),
];

/// Who calls.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) id: ApiKeyId,
    pub(crate) name: String,
    pub(crate) role: Role,
    /// The user who calls; there is one exactly when the role is [`Role::User`].
    pub(crate) user: Option<UserId>,
}

impl Caller {
    /// The caller as the audit names it.
    pub(crate) fn actor(&self) -> String {
        match self.user {
            Some(user) => format!("{} ({}) of user {user}", self.name, self.id),
            None => format!("{} ({})", self.name, self.id),
        }
    }

    /// Operators see states, not what is in emails.
    pub(crate) fn sees_content(&self) -> bool {
        self.role != Operator
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(unauthenticated)
    }
}

/// The rule of a route; HEAD is answered as GET is.
fn find(method: &str, path: &str) -> Option<&'static Rule> {
    let method = if method == "HEAD" { "GET" } else { method };
    RULES.iter().find(|rule| rule.method == method && rule.path == path)
}

/// Lets a request through to its handler, or refuses it.
pub(crate) async fn guard(State(state): State<App>, path: MatchedPath, mut request: Request, next: Next) -> Response {
    let access = find(request.method().as_str(), path.as_str()).map_or(Roles(&[]), |rule| rule.access);
    if let Roles(roles) = access {
        match admit(&state, request.headers(), roles).await {
            Ok(caller) => request.extensions_mut().insert(caller),
            Err(problem) => return problem.into_response(),
        };
    }
    let method = request.method().clone();
    match described::only(method.as_str(), path.as_str(), request).await {
        Ok(request) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

async fn admit(state: &App, headers: &HeaderMap, roles: &[Role]) -> Result<Caller, Problem> {
    let key = bearer(headers).ok_or_else(unauthenticated)?;
    let mut tx = state.store.begin().await?;
    let holder = access::key_holder(&mut tx, key).await?.ok_or_else(unauthenticated)?;
    drop(tx);
    if !roles.contains(&holder.role) {
        let needed = roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(" or ");
        let detail = format!("This needs a key of the role {needed}; yours is of the role {}.", holder.role.as_str());
        return Err(Problem::forbidden(detail));
    }
    Ok(Caller { id: holder.id, name: holder.name, role: holder.role, user: holder.user })
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && (1..=256).contains(&key.len())).then_some(key)
}

fn unauthenticated() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthenticated",
        "Not signed in",
        "Send a valid key as Authorization: Bearer <key>. Keys come from POST /api/v1/sessions, \
         POST /api/v1/api-keys or the command line.",
    )
    .header(header::WWW_AUTHENTICATE, "Bearer realm=\"lockstep\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_route_stands_twice() {
        for (at, rule) in RULES.iter().enumerate() {
            assert!(!RULES[at + 1..].iter().any(|r| (r.method, r.path) == (rule.method, rule.path)), "{rule:?}");
        }
    }

    #[test]
    fn head_is_get_and_the_unknown_is_nobodys() {
        assert_eq!(find("HEAD", "/api/v1/users").map(|r| r.access), Some(EVERYBODY));
        assert_eq!(find("PUT", "/api/v1/users"), None);
    }

    #[test]
    fn only_bearer_keys_count() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(with("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(with("bearer  abc ").as_deref(), Some("abc"));
        assert_eq!(with("Basic abc"), None);
        assert_eq!(with("abc"), None);
        assert_eq!(with(&format!("Bearer {}", "x".repeat(300))), None);
    }
}
