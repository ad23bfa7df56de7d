//! Which way fields flow, kind by kind. Administrators choose; everybody sees the map.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use lockstep_model::record::{
    Field, Kind,
    schema::{self, Direction, Directions, Options},
};
use lockstep_store::{
    directions::{self, Map},
    item_options,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    again::again,
    auth::Caller,
    extract::{IfMatch, Received, Words},
    idempotent::tagged,
    json::clip,
    merge::Patch,
    problem::Problem,
    state::App,
    validate::Check,
};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read, update))
}

/// A field: which way it flows, and whether another way may be chosen.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FieldDirection {
    /// `contact`, `appointment`, `recurring-appointment`, `service-activity`, `task`, `phone-call`, `letter` or `fax`.
    record_kind: &'static str,
    field: &'static str,
    /// `both`; `to-crm`: from the mailbox to the CRM only; `to-server`: from the CRM to the mailbox only; `neither`.
    direction: &'static str,
    /// The direction where nobody has chosen one.
    default: &'static str,
    /// Whether administrators may choose.
    settable: bool,
}

/// Every field of every kind.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FieldDirectionsView {
    items: Vec<FieldDirection>,
}

/// The fields of a kind.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KindDirections {
    /// By which the change feed names it.
    id: Uuid,
    record_kind: &'static str,
    /// Each field by its name with its direction: `both`, `to-crm`, `to-server` or `neither`.
    #[serde(flatten)]
    directions: BTreeMap<&'static str, &'static str>,
    /// The ETag without its quotes.
    version: i64,
    updated_at: DateTime<Utc>,
}

impl KindDirections {
    fn of(map: &Map, options: Options) -> Self {
        let in_force = map.in_force(options);
        Self {
            id: map.id,
            record_kind: map.kind.name(),
            directions: in_force.iter().map(|(field, direction)| (field.name(), direction.name())).collect(),
            version: map.version,
            updated_at: map.updated_at,
        }
    }
}

fn kind_of(word: &str) -> Result<Kind, Problem> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == word);
    kind.ok_or_else(|| {
        Problem::field("record_kind", "choice", format!("one of: {}", Kind::ALL.map(Kind::name).join(", ")))
    })
}

/// Lists the fields of every kind with their directions.
#[utoipa::path(get, path = "/field-directions", tag = "field-directions",
    responses((status = 200, description = "Every field", body = FieldDirectionsView)))]
async fn list(State(app): State<App>) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    let options = item_options::read(&mut tx).await?.of_fields();
    let mut items = Vec::new();
    for map in directions::all(&mut tx).await? {
        let (in_force, default) = (map.in_force(options), Directions::of(map.kind, options));
        items.extend(schema::fields(map.kind).iter().map(|row| FieldDirection {
            record_kind: map.kind.name(),
            field: row.field.name(),
            direction: in_force.of_field(row.field).name(),
            default: default.of_field(row.field).name(),
            settable: row.settable,
        }));
    }
    Ok(Json(FieldDirectionsView { items }).into_response())
}

/// Reads the directions of a kind's fields.
#[utoipa::path(get, path = "/field-directions/{record_kind}", tag = "field-directions",
    params(("record_kind" = String, Path)),
    responses((status = 200, description = "The kind's fields", body = KindDirections)))]
async fn read(State(app): State<App>, Words(kind): Words<String>) -> Result<Response, Problem> {
    let kind = kind_of(&kind)?;
    let mut tx = app.store.begin().await?;
    let options = item_options::read(&mut tx).await?.of_fields();
    let map = directions::map(&mut tx, kind).await?;
    Ok(tagged(map.version, KindDirections::of(&map, options)))
}

/// Chooses which way fields of a kind flow; null brings one back to its default. Values that a field has stay where they
/// are. Every mailbox compares its records of the kind anew.
#[utoipa::path(patch, path = "/field-directions/{record_kind}", tag = "field-directions",
    request_body(content = BTreeMap<String, Option<String>>),
    params(("record_kind" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "The kind's fields as they are now", body = KindDirections)))]
async fn update(
    State(app): State<App>,
    caller: Caller,
    Words(kind): Words<String>,
    IfMatch(expected): IfMatch,
    body: Received<Patch>,
) -> Result<Response, Problem> {
    let kind = kind_of(&kind)?;
    again(|| async {
        let mut tx = app.store.begin().await?;
        let before = directions::lock(&mut tx, kind, expected).await?;
        let options = item_options::read(&mut tx).await?.of_fields();
        let chosen = checked(&before, options, &body.value)?;
        if chosen == before.chosen {
            return Ok(tagged(before.version, KindDirections::of(&before, options)));
        }
        let map = directions::save(&mut tx, &before, &chosen, &caller.actor()).await?;
        tx.commit().await?;
        Ok(tagged(map.version, KindDirections::of(&map, options)))
    })
    .await
}

/// What would be chosen with this patch. A fixed field may be told the direction it has anyway.
fn checked(before: &Map, options: Options, patch: &Patch) -> Result<BTreeMap<Field, Direction>, Problem> {
    let (kind, in_force) = (before.kind, before.in_force(options));
    let mut chosen = before.chosen.clone();
    let mut check = Check::default();
    for (name, value) in patch.values() {
        let Some(row) = schema::fields(kind).iter().find(|row| row.field.name() == name) else {
            let names: Vec<_> = schema::fields(kind).iter().map(|row| row.field.name()).collect();
            let remedy = format!("one of the fields of the kind {}: {}", kind.name(), names.join(", "));
            check.refuse(&clip(name, 64), "unknown", remedy);
            continue;
        };
        let words = || format!("one of: {}; or null for the default", Direction::ALL.map(Direction::name).join(", "));
        let wanted = match value {
            Value::Null => None,
            Value::String(word) => match Direction::ALL.into_iter().find(|known| known.name() == word) {
                Some(direction) => Some(direction),
                None => {
                    check.refuse(name, "choice", words());
                    continue;
                }
            },
            _ => {
                check.refuse(name, "type", words());
                continue;
            }
        };
        if !row.settable {
            let now = in_force.of_field(row.field);
            if wanted.is_some_and(|wanted| wanted != now) {
                check.refuse(name, "fixed", fixed(row.field, now));
            }
            continue;
        }
        match wanted.filter(|wanted| *wanted != row.default) {
            Some(direction) => chosen.insert(row.field, direction),
            None => chosen.remove(&row.field),
        };
    }
    check.finish()?;
    Ok(chosen)
}

fn fixed(field: Field, now: Direction) -> String {
    let name = field.name();
    match field {
        Field::HomeAddress | Field::OtherAddress => {
            format!(
                "leave it out: {name} is fixed, {} now; it follows from the organisation's all_addresses",
                now.name()
            )
        }
        _ => format!("leave it out: {name} is fixed, always {}", now.name()),
    }
}
