//! Records by the caller's own id: one request makes the record that another system knows, or changes it.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use lockstep_store::{Tx, origins, rights::Kind};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    extract::{Received, Words},
    idempotent::Reply,
    merge::Patch,
    problem::Problem,
    state::App,
    validate::Check,
};

/// How often a record that somebody else makes or removes at the same moment is looked for again.
const LOOKS: usize = 3;

/// The id of a record in another system, from the path, and what the request demands of there being one.
pub(crate) struct Origin {
    source: String,
    external_id: String,
    demand: Demand,
}

/// `If-Match: *` and `If-None-Match: *` (RFC 9110, sections 13.1.1 and 13.1.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Demand {
    None,
    Exists,
    IsNew,
}

impl FromRequestParts<App> for Origin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &App) -> Result<Self, Problem> {
        let OriginPath { source, external_id } = OriginPath::from_request_parts(parts, state).await?;
        Ok(Self { source, external_id, demand: demand(&parts.headers)? })
    }
}

/// The record with this origin.
///
/// # Errors
/// 404 when there is none.
pub(crate) async fn known(tx: &mut Tx, kind: Kind, origin: &OriginPath) -> Result<Uuid, Problem> {
    let found = origins::find(tx, kind, &origin.source, &origin.external_id).await?;
    found.ok_or_else(|| Problem::not_found(kind.as_str()))
}

/// The id of a record in another system, from the path of a request that only reads.
pub(crate) struct OriginPath {
    source: String,
    external_id: String,
}

impl FromRequestParts<App> for OriginPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &App) -> Result<Self, Problem> {
        let Words((source, external_id)) = Words::<(String, String)>::from_request_parts(parts, state).await?;
        let mut check = Check::default();
        let (source, external_id) = check.origin(Some(&source), Some(&external_id));
        check.finish()?;
        Ok(Self { source: source.unwrap_or_default(), external_id: external_id.unwrap_or_default() })
    }
}

fn demand(headers: &HeaderMap) -> Result<Demand, Problem> {
    match (headers.get(header::IF_MATCH), headers.get(header::IF_NONE_MATCH)) {
        (None, None) => Ok(Demand::None),
        (Some(_), None) => Ok(Demand::Exists),
        (None, Some(any)) if any == "*" => Ok(Demand::IsNew),
        (None, Some(_)) => Err(Problem::bad_request("If-None-Match is understood as * only: make, never change.")),
        (Some(_), Some(_)) => Err(Problem::bad_request("If-Match and If-None-Match exclude each other.")),
    }
}

/// Changes the record with this origin by `update`, or makes it by `create` from the patch's members.
///
/// # Errors
/// Those of both; 412 when the request demands what is not so.
pub(crate) async fn upsert<F, C, U>(
    app: &App,
    kind: Kind,
    origin: Origin,
    patch: Patch,
    create: impl Fn(Received<F>) -> C,
    update: impl Fn(Uuid, Patch) -> U,
) -> Result<Response, Problem>
where
    F: Serialize + DeserializeOwned,
    C: Future<Output = Result<Reply, Problem>>,
    U: Future<Output = Result<Response, Problem>>,
{
    refuse_origin(&patch)?;
    let mut last = None;
    for _ in 0..LOOKS {
        let mut tx = app.store.begin().await?;
        let found = origins::find(&mut tx, kind, &origin.source, &origin.external_id).await?;
        drop(tx);
        let outcome = match (found, origin.demand) {
            (Some(_), Demand::IsNew) => return Err(unmet("There is a record with this source and external_id.")),
            (None, Demand::Exists) => return Err(unmet("No record has this source and external_id.")),
            (Some(id), _) => update(id, patch.clone()).await,
            (None, _) => {
                let value = patch.make(origin.members())?;
                let given = patch.given(&origin.members());
                create(Received { value, once: None, given }).await.map(IntoResponse::into_response)
            }
        };
        match outcome {
            // It was removed since, or made since: then it is found, or not found, now.
            Err(problem) if matches!(problem.status(), StatusCode::NOT_FOUND | StatusCode::CONFLICT) => {
                last = Some(problem);
            }
            outcome => return outcome,
        }
    }
    Err(last.unwrap_or_else(Problem::internal))
}

impl Origin {
    /// What a new record is made of.
    fn members(&self) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("source".to_owned(), Value::String(self.source.clone()));
        members.insert("external_id".to_owned(), Value::String(self.external_id.clone()));
        members
    }
}

/// The path says it already; a body that says it too could say something else.
fn refuse_origin(patch: &Patch) -> Result<(), Problem> {
    let mut check = Check::default();
    for name in ["source", "external_id"] {
        if patch.members().iter().any(|member| member == name) {
            check.refuse(name, "not-used", "leave it out: the path says it");
        }
    }
    check.finish()
}

fn unmet(detail: &str) -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", "Precondition failed", detail)
}
