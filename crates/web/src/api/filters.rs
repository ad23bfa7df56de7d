//! Synchronisation filters: which records a user wants in the mailbox; the administrator's for all, and the templates that
//! those of new users are made of.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use lockstep_model::{filter::Expression, id::UserId, record::Kind};
use lockstep_store::{
    Tx,
    filters::{self, Filter, Question, Scope, Which},
    rights, users,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    PREFIX,
    holder::{Wanted, explain},
};
use crate::{
    again::again,
    auth::Caller,
    extract::{Id, IfMatch, Params, Received},
    idempotent::{self, Begun, Reply, tagged},
    merge::Patch,
    page::{Limit, Page},
    problem::Problem,
    query::one_of,
    state::App,
    validate::Check,
};

/// Most users of one request.
const MAX_USERS: usize = 200;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, update, delete))
        .routes(routes!(records))
        .routes(routes!(apply))
        .routes(routes!(reset))
}

/// What may be written of a filter. Scope, user and kind stay as they were made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilterFields {
    /// `user`: one user's, who may change it; `system`: for all users; `template`: what users' filters are made of.
    /// Default: user.
    #[serde(default = "of_user")]
    scope: String,
    /// Whose it is, of the scope user. A user's key: the user itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<Uuid>,
    /// `contact`, `appointment`, `recurring-appointment`, `service-activity`, `task`, `phone-call`, `letter` or `fax`.
    record_kind: String,
    /// Name, at most 100 characters; unique among the filters of one scope, user and kind.
    name: String,
    /// Whether it counts. Default: true.
    #[serde(default = "yes")]
    active: bool,
    /// Of templates: whether new users get it; one of each kind. Default: false.
    #[serde(default)]
    is_default: bool,
    /// `{"all": […]}` or `{"any": […]}` of such expressions, or a condition: `attribute`, `test`, and `value` or `values`.
    #[schema(value_type = Object)]
    expression: Value,
}

fn of_user() -> String {
    Scope::User.as_str().to_owned()
}

fn yes() -> bool {
    true
}

/// A filter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SynchronizationFilter {
    id: Uuid,
    #[serde(flatten)]
    fields: FilterFields,
    /// The ETag without its quotes.
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<&Filter> for FilterFields {
    fn from(filter: &Filter) -> Self {
        Self {
            scope: filter.scope.as_str().to_owned(),
            user_id: filter.user_id,
            record_kind: filter.kind.name().to_owned(),
            name: filter.name.clone(),
            active: filter.active,
            is_default: filter.is_default,
            expression: filters::write(&filter.expression),
        }
    }
}

impl From<Filter> for SynchronizationFilter {
    fn from(filter: Filter) -> Self {
        Self {
            id: filter.id,
            fields: (&filter).into(),
            version: filter.version,
            created_at: filter.created_at,
            updated_at: filter.updated_at,
        }
    }
}

/// The names of all kinds of record.
fn kinds() -> [&'static str; 8] {
    Kind::ALL.map(Kind::name)
}

fn kind_of(word: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.name() == word)
}

impl FilterFields {
    /// The filter, over `before` where there is one.
    fn checked(self, before: Option<&Filter>, now: DateTime<Utc>) -> Result<Filter, Problem> {
        let mut check = Check::default();
        let scope = Scope::of(&self.scope);
        if scope.is_none() {
            check.refuse("scope", "choice", format!("one of: {}", Scope::ALL.map(Scope::as_str).join(", ")));
        }
        let kind = kind_of(&self.record_kind);
        if kind.is_none() {
            check.refuse("record_kind", "choice", format!("one of: {}", kinds().join(", ")));
        }
        match (scope, self.user_id) {
            (Some(Scope::User), None) => check.refuse("user_id", "required", "the id of the user whose filter it is"),
            (Some(Scope::System | Scope::Template), Some(_)) => {
                check.refuse("user_id", "not-used", "leave it out: only filters of the scope user are a user's");
            }
            _ => {}
        }
        if self.is_default && scope != Some(Scope::Template) {
            check.refuse("is_default", "not-used", "false: only templates are given to new users");
        }
        let name = check.line("name", &self.name, 100);
        if let Some(before) = before {
            let stays = "as it is: make another filter instead";
            let same = [
                ("scope", scope == Some(before.scope)),
                ("user_id", self.user_id == before.user_id),
                ("record_kind", kind == Some(before.kind)),
            ];
            for (field, _) in same.into_iter().filter(|(_, same)| !same) {
                check.refuse(field, "fixed", stays);
            }
        }
        let mut expression = Expression::All(Vec::new());
        if let Some(kind) = kind {
            match filters::read(kind, &self.expression) {
                Ok(read) => expression = read,
                Err(wrong) => check.refuse(&wrong.path, "value", wrong.expected),
            }
        }
        check.finish()?;
        let (Some(scope), Some(kind)) = (scope, kind) else { return Err(Problem::internal()) };
        let (active, is_default, user_id) = (self.active, self.is_default, self.user_id);
        Ok(match before.cloned() {
            Some(before) => Filter { name, active, is_default, expression, ..before },
            None => Filter {
                id: Uuid::nil(),
                scope,
                user_id,
                kind,
                name,
                active,
                is_default,
                expression,
                version: 0,
                created_at: now,
                updated_at: now,
            },
        })
    }
}

/// Which filters to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListFilters {
    /// Items in a page, at most 200.
    limit: Option<u16>,
    /// The next of the page before.
    after: Option<Uuid>,
    /// Only of this scope: user, system or template.
    scope: Option<String>,
    /// Only of this user.
    user: Option<Uuid>,
    /// Only for this kind of record.
    record_kind: Option<String>,
}

/// Lists filters. Users are shown their own and those of the system.
#[utoipa::path(get, path = "/synchronization-filters", tag = "synchronization-filters", params(ListFilters),
    responses((status = 200, description = "A page of filters", body = Page<SynchronizationFilter>)))]
async fn list(State(app): State<App>, caller: Caller, Params(query): Params<ListFilters>) -> Result<Response, Problem> {
    one_of("scope", query.scope.as_deref(), &Scope::ALL.map(Scope::as_str))?;
    one_of("record_kind", query.record_kind.as_deref(), &kinds())?;
    let limit = Limit::of(query.limit);
    let which = Which {
        scope: query.scope.as_deref().and_then(Scope::of),
        user: query.user,
        kind: query.record_kind.as_deref().and_then(kind_of),
        seen_by: caller.user,
    };
    let mut tx = app.store.begin().await?;
    let rows = filters::list(&mut tx, which, query.after, limit.rows()).await?;
    Ok(Json(Page::of(rows, limit, |filter| filter.id, SynchronizationFilter::from)).into_response())
}

/// Makes a filter. Users make their own.
#[utoipa::path(post, path = "/synchronization-filters", tag = "synchronization-filters", request_body = FilterFields,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, description = "The new filter", body = SynchronizationFilter)))]
async fn create(State(app): State<App>, caller: Caller, mut body: Received<FilterFields>) -> Result<Reply, Problem> {
    if body.value.scope == Scope::User.as_str() && body.value.user_id.is_none() {
        body.value.user_id = caller.user.map(|user| user.0);
    }
    let now = app.store.begin().await?.now();
    let filter = body.value.checked(None, now)?;
    writable(&caller, &filter)?;
    again(|| async {
        let mut once = match idempotent::begin(&app, &caller, body.once.clone()).await? {
            Begun::Answered(reply) => return Ok(reply),
            Begun::New(once) => once,
        };
        veiled(&mut once.tx, &caller, &filter).await?;
        let filter = match filters::create(&mut once.tx, filter.clone(), &body.given.names(), &caller.actor()).await {
            Ok(filter) => filter,
            Err(error) => {
                drop(once);
                return Err(explain(&app, error, Wanted::default()).await);
            }
        };
        let location = format!("{PREFIX}/synchronization-filters/{}", filter.id);
        once.finish(Reply::created(location, filter.version, &SynchronizationFilter::from(filter))).await
    })
    .await
}

/// Users write their own filters.
fn writable(caller: &Caller, filter: &Filter) -> Result<(), Problem> {
    match caller.user {
        Some(user) if filter.user_id != Some(user.0) => Err(Problem::forbidden(
            "Users write their own filters; those of the system and templates are the administrator's.",
        )),
        _ => Ok(()),
    }
}

/// What a user may not read, the user does not ask for.
async fn veiled(tx: &mut Tx, caller: &Caller, filter: &Filter) -> Result<(), Problem> {
    let Some(user) = caller.user else { return Ok(()) };
    let withheld = rights::withheld_fields(tx, user, super::activities::of_rights(filter.kind), false).await?;
    for condition in filter.expression.conditions() {
        let reads = condition.attribute.reads(filter.kind);
        if let Some(field) = reads.iter().find(|field| withheld.iter().any(|withheld| withheld == *field)) {
            return Err(Problem::forbidden_fields([*field], "no filter by a field that you may not read"));
        }
    }
    Ok(())
}

/// A filter that the caller sees.
fn seen(caller: &Caller, found: Option<Filter>) -> Result<Filter, Problem> {
    let sees = |filter: &Filter| {
        caller.user.is_none_or(|user| filter.scope == Scope::System || filter.user_id == Some(user.0))
    };
    found.filter(sees).ok_or_else(|| Problem::not_found(filters::RECORD_KIND))
}

/// Reads a filter.
#[utoipa::path(get, path = "/synchronization-filters/{id}", tag = "synchronization-filters", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The filter", body = SynchronizationFilter)))]
async fn read(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    let filter = seen(&caller, filters::get(&mut tx, id).await?)?;
    Ok(tagged(filter.version, SynchronizationFilter::from(filter)))
}

/// Changes a filter; `active` switches it on and off.
#[utoipa::path(patch, path = "/synchronization-filters/{id}", tag = "synchronization-filters", request_body = FilterFields,
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "The filter as it is now", body = SynchronizationFilter)))]
async fn update(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
    body: Received<Patch>,
) -> Result<Response, Problem> {
    again(|| async {
        let mut tx = app.store.begin().await?;
        let before = locked(&mut tx, &caller, id, expected).await?;
        let (fields, changed) = body.value.apply_whole(&FilterFields::from(&before), &["expression"])?.split();
        let mut filter = fields.checked(Some(&before), tx.now())?;
        veiled(&mut tx, &caller, &filter).await?;
        // An expression may be written in more ways than one.
        let differs = |name: &&str| *name != "expression" || filter.expression != before.expression;
        let changed: Vec<&str> = changed.names().into_iter().filter(differs).collect();
        if changed.is_empty() {
            return Ok(tagged(filter.version, SynchronizationFilter::from(filter)));
        }
        match filters::save(&mut tx, &filter, &changed, &caller.actor()).await {
            Ok(version) => (filter.version, filter.updated_at) = (version, tx.now()),
            Err(error) => {
                drop(tx);
                return Err(explain(&app, error, Wanted::default()).await);
            }
        }
        tx.commit().await?;
        Ok(tagged(filter.version, SynchronizationFilter::from(filter)))
    })
    .await
}

/// Removes a filter.
#[utoipa::path(delete, path = "/synchronization-filters/{id}", tag = "synchronization-filters",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "It is gone")))]
async fn delete(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
) -> Result<StatusCode, Problem> {
    again(|| async {
        let mut tx = app.store.begin().await?;
        let filter = locked(&mut tx, &caller, id, expected).await?;
        filters::delete(&mut tx, &filter, &caller.actor()).await?;
        tx.commit().await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// A filter, locked, that the caller writes.
async fn locked(tx: &mut Tx, caller: &Caller, id: Uuid, expected: Option<i64>) -> Result<Filter, Problem> {
    let filter = seen(caller, filters::lock(tx, id).await?)?;
    writable(caller, &filter)?;
    match expected {
        Some(expected) if expected != filter.version => Err(Problem::stale(filter.version)),
        _ => Ok(filter),
    }
}

/// For whom a filter is tried, and which part of the answer.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListRecords {
    /// Items in a page, at most 200.
    limit: Option<u16>,
    /// The next of the page before.
    after: Option<Uuid>,
    /// By whose rights; of a user's filter the user, of others it has to be said. A user's key: the user itself.
    user: Option<Uuid>,
}

/// A record that passes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Passing {
    id: Uuid,
    record_kind: String,
}

/// Tries a filter as a saved search: the records that pass it now, active or not, by the rights of its user.
#[utoipa::path(get, path = "/synchronization-filters/{id}/records", tag = "synchronization-filters",
    params(("id" = Uuid, Path), ListRecords),
    responses((status = 200, description = "A page of records", body = Page<Passing>)))]
async fn records(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Params(query): Params<ListRecords>,
) -> Result<Response, Problem> {
    let limit = Limit::of(query.limit);
    let mut tx = app.store.begin().await?;
    let filter = seen(&caller, filters::get(&mut tx, id).await?)?;
    let own = caller.user.map(|user| user.0).or(filter.user_id);
    let user = match (own, query.user) {
        (Some(own), Some(asked)) if own != asked => {
            return Err(Problem::field("user", "fixed", "leave it out: the filter is tried for its own user"));
        }
        (own, asked) => own.or(asked),
    };
    let Some(user) = user else {
        return Err(Problem::field("user", "required", "the id of the user by whose rights it is tried"));
    };
    if users::get(&mut tx, UserId(user)).await?.is_none() {
        return Err(Problem::field("user", "exists", "the id of a user that exists"));
    }
    let question = Question {
        user: UserId(user),
        kind: filter.kind,
        filters: std::slice::from_ref(&filter.expression),
        among: None,
        after: query.after,
        limit: limit.rows(),
    };
    let ids = filters::passing(&mut tx, question).await?;
    let shown = |id| Passing { id, record_kind: filter.kind.name().to_owned() };
    Ok(Json(Page::of(ids, limit, |id| *id, shown)).into_response())
}

/// Whose filters are meant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfUsers {
    /// Users by their ids, 1 to 200.
    user_ids: Vec<Uuid>,
}

/// How many filters were made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Made {
    made: u64,
}

impl OfUsers {
    async fn checked(&self, tx: &mut Tx, caller: &Caller) -> Result<(), Problem> {
        if self.user_ids.is_empty() || self.user_ids.len() > MAX_USERS {
            return Err(Problem::field("user_ids", "length", format!("1 to {MAX_USERS} ids of users")));
        }
        if let Some(user) = caller.user
            && self.user_ids.iter().any(|other| *other != user.0)
        {
            return Err(Problem::forbidden_fields(["user_ids"], "yourself: users reset their own filters"));
        }
        for (number, user) in self.user_ids.iter().enumerate() {
            if users::get(tx, UserId(*user)).await?.is_none() {
                return Err(Problem::field(&format!("user_ids.{number}"), "exists", "the id of a user that exists"));
            }
        }
        Ok(())
    }
}

/// Gives users a filter of their own, made of a template. Who has one of that name keeps it.
#[utoipa::path(post, path = "/synchronization-filters/{id}/apply", tag = "synchronization-filters", request_body = OfUsers,
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "How many were made", body = Made)))]
async fn apply(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    body: Received<OfUsers>,
) -> Result<Response, Problem> {
    again(|| async {
        let mut tx = app.store.begin().await?;
        body.value.checked(&mut tx, &caller).await?;
        let template = seen(&caller, filters::lock(&mut tx, id).await?)?;
        if template.scope != Scope::Template {
            return Err(Problem::conflict("not-a-template", "Only a template can be applied; this filter is none."));
        }
        let made = filters::apply(&mut tx, &body.value.user_ids, id, &caller.actor()).await?;
        tx.commit().await?;
        Ok(Json(Made { made }).into_response())
    })
    .await
}

/// Takes all filters of these users away and gives them those of the default templates. A user's key: its own.
#[utoipa::path(post, path = "/synchronization-filters/reset", tag = "synchronization-filters", request_body = OfUsers,
    responses((status = 204, description = "They have the default filters")))]
async fn reset(State(app): State<App>, caller: Caller, body: Received<OfUsers>) -> Result<StatusCode, Problem> {
    again(|| async {
        let mut tx = app.store.begin().await?;
        body.value.checked(&mut tx, &caller).await?;
        filters::reset(&mut tx, &body.value.user_ids, &caller.actor()).await?;
        tx.commit().await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
