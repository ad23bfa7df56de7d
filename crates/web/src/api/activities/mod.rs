//! Tasks, phone calls, letters, faxes, appointments and their series: resources of one shape, with the fields of their kind.

pub(crate) mod attachments;
mod body;
mod schema;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::DateTime;
use lockstep_model::record::{Fields, Kind, RecordId, State};
use lockstep_store::{
    Tx,
    activities::{self, Activity},
    lanes,
    rights::{self, Ownership, Privilege},
};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use uuid::Uuid;

use super::{
    PREFIX,
    holder::{Wanted, explain},
    record_fields,
    resource::resource,
};
use crate::{
    again::again,
    auth::Caller,
    extract::Received,
    idempotent::{self, Begun, Reply, tagged},
    merge::Patch,
    page::{Limit, Page},
    problem::Problem,
    query::one_of,
    state::App,
    upsert::{OriginPath, known},
    validate::Check,
    wall::{self, Veil},
};

pub(crate) use body::Members;
pub(crate) use schema::{
    Appointment, AppointmentFields, Fax, FaxFields, Letter, LetterFields, PhoneCall, PhoneCallFields,
    RecurringAppointment, RecurringAppointmentFields, ServiceActivity, ServiceActivityFields, Task, TaskFields,
};

resource!(
    /// Tasks.
    tasks, activities::{ListActivities, Members, TaskFields, Task},
    lockstep_model::record::Kind::Task, lockstep_store::rights::Kind::Task,
    "tasks", "/tasks", "/tasks/{id}",
    "/tasks/by-external-id/{source}/{external_id}"
);
resource!(
    /// Phone calls.
    phone_calls, activities::{ListActivities, Members, PhoneCallFields, PhoneCall},
    lockstep_model::record::Kind::PhoneCall, lockstep_store::rights::Kind::PhoneCall,
    "phone-calls", "/phone-calls", "/phone-calls/{id}",
    "/phone-calls/by-external-id/{source}/{external_id}"
);
resource!(
    /// Letters.
    letters, activities::{ListActivities, Members, LetterFields, Letter},
    lockstep_model::record::Kind::Letter, lockstep_store::rights::Kind::Letter,
    "letters", "/letters", "/letters/{id}",
    "/letters/by-external-id/{source}/{external_id}"
);
resource!(
    /// Faxes.
    faxes, activities::{ListActivities, Members, FaxFields, Fax},
    lockstep_model::record::Kind::Fax, lockstep_store::rights::Kind::Fax,
    "faxes", "/faxes", "/faxes/{id}",
    "/faxes/by-external-id/{source}/{external_id}"
);
resource!(
    /// Single appointments.
    appointments, activities::{ListActivities, Members, AppointmentFields, Appointment},
    lockstep_model::record::Kind::Appointment, lockstep_store::rights::Kind::Appointment,
    "appointments", "/appointments", "/appointments/{id}",
    "/appointments/by-external-id/{source}/{external_id}"
);
resource!(
    /// Series of appointments.
    recurring_appointments, activities::{ListActivities, Members, RecurringAppointmentFields, RecurringAppointment},
    lockstep_model::record::Kind::RecurringAppointment, lockstep_store::rights::Kind::RecurringAppointment,
    "recurring-appointments", "/recurring-appointments", "/recurring-appointments/{id}",
    "/recurring-appointments/by-external-id/{source}/{external_id}"
);
resource!(
    /// Appointments that services are booked for.
    service_activities, activities::{ListActivities, Members, ServiceActivityFields, ServiceActivity},
    lockstep_model::record::Kind::ServiceActivity, lockstep_store::rights::Kind::ServiceActivity,
    "service-activities", "/service-activities", "/service-activities/{id}",
    "/service-activities/by-external-id/{source}/{external_id}"
);

/// The kind, as rights know it.
pub(crate) const fn of_rights(kind: Kind) -> rights::Kind {
    match kind {
        Kind::Contact => rights::Kind::Contact,
        Kind::Appointment => rights::Kind::Appointment,
        Kind::RecurringAppointment => rights::Kind::RecurringAppointment,
        Kind::ServiceActivity => rights::Kind::ServiceActivity,
        Kind::Task => rights::Kind::Task,
        Kind::PhoneCall => rights::Kind::PhoneCall,
        Kind::Letter => rights::Kind::Letter,
        Kind::Fax => rights::Kind::Fax,
    }
}

/// Which records to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListActivities {
    /// Items in a page, at most 200.
    limit: Option<u16>,
    /// The next of the page before.
    after: Option<Uuid>,
    /// Only records in this state: open, completed or canceled.
    state: Option<String>,
}

async fn list(app: &App, caller: &Caller, kind: Kind, query: ListActivities) -> Result<Response, Problem> {
    let limit = Limit::of(query.limit);
    one_of("state", query.state.as_deref(), &State::ALL.map(State::name))?;
    let state = query.state.as_deref().and_then(State::of);
    let mut tx = app.store.begin().await?;
    let veil = Veil::of(&mut tx, caller, of_rights(kind)).await?;
    let rows = activities::list(&mut tx, of_rights(kind), caller.user, state, query.after, limit.rows()).await?;
    let shown = rows.iter().map(|activity| Ok((activity.id, view(&veil, activity)?)));
    let shown = shown.collect::<Result<Vec<_>, Problem>>()?;
    Ok(Json(Page::of(shown, limit, |(id, _)| *id, |(_, shown)| shown)).into_response())
}

async fn create(
    app: &App,
    caller: &Caller,
    kind: Kind,
    plural: &str,
    mut body: Received<Members>,
) -> Result<Reply, Problem> {
    body.value.owned_by(caller.user.map(|user| user.0));
    let said = wall::said(&body.value);
    let now = app.store.begin().await?.now();
    let activity = body.value.checked(&nothing(kind), &said, now)?;
    let rights = of_rights(kind);
    again(|| async {
        let mut once = match idempotent::begin(app, caller, body.once.clone()).await? {
            Begun::Answered(reply) => return Ok(reply),
            Begun::New(once) => once,
        };
        wall::owning(&mut once.tx, caller, rights, Privilege::Create, ownership(&activity)).await?;
        wall::fields(&mut once.tx, caller, rights, &said).await?;
        let mut activity = activity.clone();
        about(&mut once.tx, caller, &mut activity).await?;
        let activity = match activities::create(&mut once.tx, activity, &body.given.names(), &caller.actor()).await {
            Ok(activity) => activity,
            Err(error) => {
                drop(once);
                return Err(explain(app, error, Wanted::default()).await);
            }
        };
        lanes::wake(&mut once.tx, &[RecordId(activity.id)], None).await?;
        let location = format!("{PREFIX}/{plural}/{}", activity.id);
        let veil = Veil::of(&mut once.tx, caller, rights).await?;
        let shown = view(&veil, &activity)?;
        once.finish(Reply::created(location, activity.version, &shown)).await
    })
    .await
}

/// What a record is about, as it is kept.
///
/// # Errors
/// 422 where it is not there for this caller.
async fn about(tx: &mut Tx, caller: &Caller, activity: &mut Activity) -> Result<(), Problem> {
    let mut check = Check::default();
    if let (Some(kind), Some(id)) = (&activity.regarding_kind, &mut activity.regarding_id) {
        *id = wall::about(tx, caller, &mut check, kind, id).await?;
    }
    check.finish()
}

/// A record before its making.
fn nothing(kind: Kind) -> Activity {
    Activity {
        id: Uuid::nil(),
        kind,
        source: None,
        external_id: None,
        owner_user_id: None,
        owner_team_id: None,
        state: State::Open,
        draft: false,
        regarding_kind: None,
        regarding_id: None,
        fields: Fields::default(),
        starts_at: None,
        ends_at: None,
        version: 0,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    }
}

async fn read(app: &App, caller: &Caller, kind: Kind, id: Uuid) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    wall::reading(&mut tx, caller, of_rights(kind), id).await?;
    let found = activities::get(&mut tx, of_rights(kind), id).await?;
    let activity = found.ok_or_else(|| Problem::not_found(kind.name()))?;
    shown(&mut tx, caller, &activity).await
}

async fn find(app: &App, caller: &Caller, kind: Kind, origin: &OriginPath) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    let id = known(&mut tx, of_rights(kind), origin).await?;
    drop(tx);
    read(app, caller, kind, id).await
}

/// The record as this caller may see it.
async fn shown(tx: &mut Tx, caller: &Caller, activity: &Activity) -> Result<Response, Problem> {
    let veil = Veil::of(tx, caller, of_rights(activity.kind)).await?;
    Ok(tagged(activity.version, view(&veil, activity)?))
}

/// The members of an answer.
fn view(veil: &Veil, activity: &Activity) -> Result<Value, Problem> {
    let mut members = Members::of(activity)?;
    let mut put = |name: &str, value: Value| drop(members.0.insert(name.to_owned(), value));
    put("id", json!(activity.id));
    put("version", json!(activity.version));
    put("created_at", json!(activity.created_at));
    put("updated_at", json!(activity.updated_at));
    // Derived: seen by whoever sees what they come from.
    if !["time", "recurrence", "start_date", "due_date"].iter().any(|field| veil.hides(field)) {
        put("starts_at", json!(activity.starts_at));
        put("ends_at", json!(activity.ends_at));
    }
    Ok(veil.over(&members))
}

fn ownership(activity: &Activity) -> Ownership {
    Ownership { user: activity.owner_user_id, team: activity.owner_team_id }
}

async fn update(
    app: &App,
    caller: &Caller,
    kind: Kind,
    id: Uuid,
    expected: Option<i64>,
    patch: &Patch,
) -> Result<Response, Problem> {
    again(|| async {
        let mut tx = app.store.begin().await?;
        let before = locked(&mut tx, caller, kind, id, Privilege::Write, expected).await?;
        wall::fields(&mut tx, caller, of_rights(kind), &patch.members()).await?;
        body::patchable(kind, patch)?;
        let (members, changed) = patch.apply_whole(&Members::of(&before)?, &record_fields::whole(kind))?.split();
        let mut activity = members.checked(&before, &patch.members(), tx.now())?;
        let changed = changed.names();
        body::closed(&before, &activity, &changed)?;
        if changed.is_empty() {
            return shown(&mut tx, caller, &before).await;
        }
        // What it was about may be gone since: then it stays until another is named.
        if changed.contains(&"regarding") {
            about(&mut tx, caller, &mut activity).await?;
        }
        if ownership(&activity) != ownership(&before) {
            wall::owning(&mut tx, caller, of_rights(kind), Privilege::Write, ownership(&activity)).await?;
        }
        match activities::save(&mut tx, &activity, &changed, &caller.actor()).await {
            Ok(version) => (activity.version, activity.updated_at) = (version, tx.now()),
            Err(error) => {
                drop(tx);
                return Err(explain(app, error, Wanted::default()).await);
            }
        }
        // Seen by whoever has just written it, also where it was handed over.
        let answer = shown(&mut tx, caller, &activity).await?;
        lanes::wake(&mut tx, &[RecordId(id)], None).await?;
        tx.commit().await?;
        Ok(answer)
    })
    .await
}

async fn delete(
    app: &App,
    caller: &Caller,
    kind: Kind,
    id: Uuid,
    expected: Option<i64>,
) -> Result<StatusCode, Problem> {
    again(|| async {
        let mut tx = app.store.begin().await?;
        let activity = locked(&mut tx, caller, kind, id, Privilege::Delete, expected).await?;
        activities::delete(&mut tx, &activity, &caller.actor()).await?;
        lanes::wake(&mut tx, &[RecordId(id)], None).await?;
        tx.commit().await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// A record, locked, on which the caller has this privilege.
async fn locked(
    tx: &mut Tx,
    caller: &Caller,
    kind: Kind,
    id: Uuid,
    privilege: Privilege,
    expected: Option<i64>,
) -> Result<Activity, Problem> {
    let found = activities::lock(tx, of_rights(kind), id).await?;
    wall::writing(tx, caller, of_rights(kind), id, privilege).await?;
    let activity = found.ok_or_else(|| Problem::not_found(kind.name()))?;
    match expected {
        Some(expected) if expected != activity.version => Err(Problem::stale(activity.version)),
        _ => Ok(activity),
    }
}
