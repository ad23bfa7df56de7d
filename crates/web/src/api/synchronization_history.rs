//! The history of a record's synchronisation: values that gave way to the other side's.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use lockstep_model::record::{Field, Kind};
use lockstep_store::{
    lost_values::{self, LostValue},
    rights,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{
    IntoParams, ToSchema,
    openapi::schema::{Object, ObjectBuilder, SchemaType, Type},
};
use uuid::Uuid;

use crate::{
    auth::Caller,
    extract::{Id, Params},
    page::{Limit, Page},
    problem::Problem,
    state::App,
    wall::{self, Veil},
};

/// Which part of a history to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListHistory {
    /// Items in a page, at most 200.
    limit: Option<u16>,
    /// The next of the page before.
    after: Option<Uuid>,
}

/// A value that gave way to the other side's.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LostValueView {
    id: Uuid,
    /// When it gave way.
    lost_at: DateTime<Utc>,
    /// The mailbox with which the record was synchronised; absent where that is gone.
    mailbox_id: Option<Uuid>,
    /// The field, as the record has it.
    field: String,
    /// The side that had the value and has the other one now: `crm` or `server`.
    side: String,
    /// What gave way, as the record would show it; null: the field had been cleared there.
    #[schema(schema_with = any_value)]
    value: Value,
}

/// Of whatever type the field is.
fn any_value() -> Object {
    let types = [Type::Object, Type::Array, Type::String, Type::Number, Type::Boolean, Type::Null];
    let about = "What gave way, as the record would show it; null: the field had been cleared there.";
    ObjectBuilder::new().schema_type(SchemaType::from_iter(types)).description(Some(about)).build()
}

impl From<LostValue> for LostValueView {
    fn from(lost: LostValue) -> Self {
        Self {
            id: lost.id,
            lost_at: lost.lost_at,
            mailbox_id: lost.mailbox_id,
            field: if lost.field == Field::Email1.name() { "address".to_owned() } else { lost.field },
            side: lost.side,
            value: lost.value.unwrap_or_default(),
        }
    }
}

/// The fields of a kind that a caller does not read: by their own names, and by those of the columns they stand in.
fn hidden(kind: Kind, veil: &Veil) -> Vec<String> {
    let hides = |field: &Field| {
        veil.hides(field.name())
            || kind == Kind::Contact && *field == Field::Email1 && veil.hides("address")
            || kind == Kind::Contact && *field == Field::FullName && veil.hides("name")
    };
    Field::ALL.iter().filter(|field| hides(field)).map(|field| field.name().to_owned()).collect()
}

/// Lists the values of a record that gave way when both sides had changed a field, the newest first. They are kept as long
/// as ended operations; of a record that is deleted nothing is shown.
#[utoipa::path(get, path = "/synchronization-history/{record_kind}/{id}", tag = "synchronization-history",
    params(("record_kind" = String, Path), ("id" = Uuid, Path), ListHistory),
    responses((status = 200, description = "A page of values", body = Page<LostValueView>)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Id((word, id)): Id<(String, Uuid)>,
    Params(query): Params<ListHistory>,
) -> Result<Response, Problem> {
    let found = Kind::ALL.into_iter().find(|kind| kind.name() == word);
    let (Some(kind), Some(of_rights)) = (found, rights::Kind::of(&word)) else {
        let kinds = Kind::ALL.map(Kind::name).join(", ");
        return Err(Problem::field("record_kind", "choice", format!("one of: {kinds}")));
    };
    let limit = Limit::of(query.limit);
    let mut tx = app.store.begin().await?;
    if !rights::exists(&mut tx, of_rights, id).await? {
        return Err(Problem::not_found(of_rights.as_str()));
    }
    wall::reading(&mut tx, &caller, of_rights, id).await?;
    let veil = Veil::of(&mut tx, &caller, of_rights).await?;
    let rows = lost_values::list(&mut tx, kind, id, &hidden(kind, &veil), query.after, limit.rows()).await?;
    Ok(Json(Page::of(rows, limit, |lost| lost.id, LostValueView::from)).into_response())
}
