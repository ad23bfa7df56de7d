//! Sessions of local administrators: a name and a password become a key for half a day.

use std::net::IpAddr;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, TimeDelta, Utc};
use lockstep_store::{
    access::{self, Role},
    audit,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    extract::{Client, Received},
    problem::Problem,
    sign_in::{MAX_PASSWORD_BYTES, Verdict, network},
    state::App,
};

/// How long a session lasts.
const LASTS: TimeDelta = TimeDelta::hours(12);

/// Name and password of a local administrator.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignInRequest {
    name: String,
    #[schema(value_type = String, format = Password, write_only)]
    password: SecretString,
}

/// A key that was just made: it cannot be shown again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Session {
    /// Send it as `Authorization: Bearer <key>`.
    key: String,
    /// `administrator`.
    role: &'static str,
    expires_at: DateTime<Utc>,
}

/// Signs a local administrator in.
#[utoipa::path(post, path = "/sessions", tag = "access", request_body = SignInRequest,
    responses((status = 201, description = "A key for twelve hours", body = Session),
        (status = 429, description = "Ten failed attempts on this name, or thirty from this address, within a minute; \
            Retry-After says how long to wait")))]
pub(crate) async fn create(
    State(app): State<App>,
    Client(source): Client,
    body: Received<SignInRequest>,
) -> Result<Response, Problem> {
    let SignInRequest { name, password } = body.value;
    if name.chars().count() > 200 || password.expose_secret().len() > MAX_PASSWORD_BYTES {
        return Err(wrong());
    }
    let mut tx = app.store.begin().await?;
    let stored = access::password_hash(&mut tx, &name).await?;
    drop(tx);
    let known = stored.is_some();
    match app.sign_in.verify(&name, source, password, stored).await {
        Verdict::Right => {}
        Verdict::Wrong => {
            note_failure(&app, known.then_some(&name), source).await;
            return Err(wrong());
        }
        Verdict::Later(wait) => {
            let seconds = wait.as_secs().max(1).to_string();
            let detail =
                "Too many failed attempts on this name or from this address. Wait as long as Retry-After says.";
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-attempts", "Too many attempts", detail)
                .header(header::RETRY_AFTER, &seconds));
        }
        Verdict::Busy => return Err(Problem::unavailable("Too many people sign in at the moment. Try again.")),
    }
    let mut tx = app.store.begin().await?;
    let expires_at = tx.now() + LASTS;
    let label = format!("session of {name}");
    let (_, key) = access::create_api_key(&mut tx, &label, Role::Administrator, Some(expires_at), &name).await?;
    access::forget_expired(&mut tx, 100).await?;
    tx.commit().await?;
    let session = Session { key: key.expose_secret().to_owned(), role: Role::Administrator.as_str(), expires_at };
    Ok((StatusCode::CREATED, Json(session)).into_response())
}

/// Keeps a failed attempt in the audit. A name that is nobody's is not kept: people type their password there. What
/// cannot be kept changes nothing for the caller.
async fn note_failure(app: &App, administrator: Option<&String>, source: Option<IpAddr>) {
    let source = source.map(|source| match network(source) {
        IpAddr::V6(network) => format!("{network}/64"),
        address => address.to_string(),
    });
    let noted = async {
        let mut tx = app.store.begin().await?;
        audit::sign_in_failed(&mut tx, administrator.map(String::as_str), source.as_deref()).await?;
        tx.commit().await
    };
    if let Err(error) = noted.await {
        tracing::warn!(%error, "a failed attempt to sign in is not in the audit");
    }
}

/// The same answer for a wrong password and an unknown name.
fn wrong() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "wrong-password", "Not signed in", "The name or the password is wrong.")
        .header(header::WWW_AUTHENTICATE, "Bearer realm=\"lockstep\"")
}
