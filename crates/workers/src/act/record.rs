//! Records as a merge writes them: what follows from the values that came from the server.

use chrono::{DateTime, Utc};
use lockstep_engine::{
    recurrence,
    task_progress::{self, Progress},
};
use lockstep_model::record::{Field, Fields, Kind, State, TaskStatus, Value, schema};
use lockstep_store::{activities::Activity, people::Person, records::Record};
use uuid::Uuid;

/// The record with these values, and everything that follows from them. `None` where a record of its kind cannot be
/// without what is missing; the words say what.
pub(crate) fn with(before: &Record, values: &Fields, now: DateTime<Utc>) -> Result<Record, &'static str> {
    let mut record = before.clone();
    record.take(values);
    match &mut record {
        Record::Contact(person) => {
            if person.name.is_empty() {
                return Err("a contact without a name");
            }
        }
        Record::Activity(activity) => derive(activity, before, now)?,
    }
    Ok(record)
}

/// A record to be made of an item's values, the user's own.
pub(crate) fn blank(kind: Kind, owner: Uuid) -> Record {
    let then = DateTime::<Utc>::UNIX_EPOCH;
    if kind == Kind::Contact {
        return Record::Contact(Box::new(Person {
            id: Uuid::nil(),
            kind: kind.name().to_owned(),
            source: None,
            external_id: None,
            name: String::new(),
            address: None,
            address_key: None,
            owner_user_id: Some(owner),
            owner_team_id: None,
            active: true,
            fields: Fields::default(),
            version: 0,
            created_at: then,
            updated_at: then,
        }));
    }
    Record::Activity(Box::new(Activity {
        id: Uuid::nil(),
        kind,
        source: None,
        external_id: None,
        owner_user_id: Some(owner),
        owner_team_id: None,
        state: State::Open,
        draft: false,
        regarding_kind: None,
        regarding_id: None,
        fields: Fields::default(),
        starts_at: None,
        ends_at: None,
        version: 0,
        created_at: then,
        updated_at: then,
    }))
}

/// Members of the API that differ between two states of a record, by name.
pub(crate) fn changed(before: &Record, after: &Record) -> Vec<&'static str> {
    let (old, new) = (before.fields(), after.fields());
    let mut changed: Vec<_> = Field::ALL
        .iter()
        .filter(|field| old.get(**field) != new.get(**field))
        .map(|field| if *field == Field::Email1 { "address" } else { field.name() })
        .collect();
    if before.state() != after.state() {
        changed.push("state");
    }
    if let (Record::Contact(before), Record::Contact(after)) = (before, after)
        && before.name != after.name
    {
        changed.push("name");
    }
    changed
}

fn derive(activity: &mut Activity, before: &Record, now: DateTime<Utc>) -> Result<(), &'static str> {
    let instant = |fields: &Fields, field| match fields.get(field) {
        Some(Value::Instant(at)) => Some(*at),
        _ => None,
    };
    match activity.kind {
        Kind::RecurringAppointment => match activity.fields.get(Field::Recurrence) {
            Some(Value::Series(series)) => {
                let (starts, ends) = recurrence::extent(series).ok_or("a series that never comes")?;
                (activity.starts_at, activity.ends_at) = (Some(starts), ends);
            }
            _ => return Err("a series without a rule"),
        },
        Kind::Appointment | Kind::ServiceActivity => match activity.fields.get(Field::Time) {
            Some(Value::When(when)) => {
                let (starts, ends) = recurrence::span(when);
                (activity.starts_at, activity.ends_at) = (Some(starts), Some(ends));
            }
            _ => return Err("an appointment without a time"),
        },
        _ => {
            (activity.starts_at, activity.ends_at) =
                (instant(&activity.fields, Field::StartDate), instant(&activity.fields, Field::DueDate));
            if let (Some(starts), Some(due)) = (activity.starts_at, activity.ends_at)
                && due < starts
            {
                // A day earlier on the one side than on the other is no reason to refuse a task: the due date counts.
                activity.starts_at = Some(due);
                let _ = activity.fields.set(Field::StartDate, Value::Instant(due));
            }
            progress(activity, before, now);
        }
    }
    if activity.fields.get(Field::Subject).is_none() {
        // Servers have items without one; records do not.
        let _ = activity.fields.set(Field::Subject, Value::Text("(no subject)".to_owned()));
    }
    Ok(())
}

/// State, status, percentage and moment of completion tell the same.
fn progress(task: &mut Activity, before: &Record, now: DateTime<Utc>) {
    let of = |state: State, fields: &Fields| Progress {
        state,
        status: match fields.get(Field::Status) {
            Some(Value::TaskStatus(status)) => Some(*status),
            _ => None,
        },
        percent: match fields.get(Field::PercentComplete) {
            Some(Value::Percent(percent)) => Some(*percent),
            _ => None,
        },
        completed_at: match fields.get(Field::CompletedDate) {
            Some(Value::Instant(at)) => Some(*at),
            _ => None,
        },
    };
    let settled = task_progress::settle(&of(before.state(), &before.fields()), of(task.state, &task.fields), now);
    task.state = settled.state;
    let has_percent = schema::fields(task.kind).iter().any(|row| row.field == Field::PercentComplete);
    let mut told = Fields::default();
    let values: [(Field, Option<Value>); 3] = [
        (Field::Status, settled.status.map(|status: TaskStatus| Value::TaskStatus(status))),
        (Field::PercentComplete, settled.percent.filter(|_| has_percent).map(Value::Percent)),
        (Field::CompletedDate, settled.completed_at.map(Value::Instant)),
    ];
    for (field, value) in values {
        // The shapes are those of the fields.
        let _ = value.map(|value| told.set(field, value));
        task.fields.copy(field, &told);
    }
}
