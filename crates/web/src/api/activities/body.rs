//! What programs write of an activity: members every kind has, and the fields of its kind. All rules are here.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use lockstep_engine::{
    recurrence,
    task_progress::{self, Progress, Teller},
};
use lockstep_model::record::{
    Field, Fields, Kind, State, Value, When, schema,
    series::{End, Series},
};
use lockstep_store::activities::Activity;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::{
    api::{emails::RegardingFields, record_fields},
    json,
    merge::Patch,
    problem::Problem,
    validate::Check,
};

/// Longest subject, in characters.
const MAX_SUBJECT: usize = 200;

/// A series comes at least once in so many days, or never.
const COMES_WITHIN: TimeDelta = TimeDelta::days(3660);

/// The members of a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Members(pub(super) Map<String, Json>);

/// The members that every kind has.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Common {
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_user_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_team_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    regarding: Option<RegardingFields>,
    #[serde(default)]
    state: StateWord,
    #[serde(default, skip_serializing_if = "is_false")]
    draft: bool,
}

fn is_false(truth: &bool) -> bool {
    !truth
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StateWord {
    #[default]
    Open,
    Completed,
    Canceled,
}

impl From<StateWord> for State {
    fn from(word: StateWord) -> Self {
        match word {
            StateWord::Open => Self::Open,
            StateWord::Completed => Self::Completed,
            StateWord::Canceled => Self::Canceled,
        }
    }
}

impl From<State> for StateWord {
    fn from(state: State) -> Self {
        match state {
            State::Open => Self::Open,
            State::Completed => Self::Completed,
            State::Canceled => Self::Canceled,
        }
    }
}

/// Names of the members of [`Common`].
const COMMON: &[&str] = &["source", "external_id", "owner_user_id", "owner_team_id", "regarding", "state", "draft"];

/// Members that a closed record takes without being opened.
const OF_CLOSED: &[&str] = &["source", "external_id", "owner_user_id", "owner_team_id", "regarding", "state"];

/// Whether appointments of this kind are meant.
pub(super) fn is_appointment(kind: Kind) -> bool {
    matches!(kind, Kind::Appointment | Kind::RecurringAppointment | Kind::ServiceActivity)
}

impl Members {
    /// What a record's writable form is.
    pub(super) fn of(activity: &Activity) -> Result<Self, Problem> {
        let common = Common {
            source: activity.source.clone(),
            external_id: activity.external_id.clone(),
            owner_user_id: activity.owner_user_id,
            owner_team_id: activity.owner_team_id,
            regarding: RegardingFields::of(activity.regarding_kind.clone(), activity.regarding_id.clone()),
            state: activity.state.into(),
            draft: activity.draft,
        };
        let Ok(Json::Object(mut members)) = serde_json::to_value(common) else { return Err(Problem::internal()) };
        members.extend(record_fields::shown(activity.kind, &activity.fields));
        Ok(Self(members))
    }

    /// Takes over the owner where none is said.
    pub(super) fn owned_by(&mut self, user: Option<Uuid>) {
        let silent = |name| self.0.get(name).is_none_or(Json::is_null);
        if let Some(user) = user
            && silent("owner_user_id")
            && silent("owner_team_id")
        {
            self.0.insert("owner_user_id".to_owned(), user.to_string().into());
        }
    }

    /// The record as these members make it, over `before`; `written` are the names of those that the request holds.
    ///
    /// # Errors
    /// Every rule that is broken.
    pub(super) fn checked(
        self,
        before: &Activity,
        written: &[String],
        now: DateTime<Utc>,
    ) -> Result<Activity, Problem> {
        let kind = before.kind;
        let (common, own): (Map<_, _>, Map<_, _>) =
            self.0.into_iter().partition(|(name, _)| COMMON.contains(&name.as_str()));
        let common: Common = json::from_value(Json::Object(common))?;
        let mut check = Check::default();
        let (source, external_id) = check.origin(common.source.as_deref(), common.external_id.as_deref());
        check.owner(common.owner_user_id, common.owner_team_id);
        let regarding = common.regarding.map(|regarding| regarding.checked(&mut check));
        let (regarding_kind, regarding_id) = regarding.unzip();
        subject(&mut check, &own, before);
        let mut activity = Activity {
            source,
            external_id,
            owner_user_id: common.owner_user_id,
            owner_team_id: common.owner_team_id,
            regarding_kind,
            regarding_id,
            state: common.state.into(),
            draft: common.draft,
            fields: record_fields::taken(&mut check, kind, own, COMMON, &before.fields),
            ..before.clone()
        };
        check.finish()?;
        let mut check = Check::default();
        // Kept as it stands, with fields that have no way in: they are not programs' to clear.
        activity.fields.copy(Field::Attachments, &before.fields);
        if activity.draft && !is_appointment(kind) {
            check.refuse("draft", "not-used", "leave it out: only appointments have drafts");
        } else if activity.draft && before.version > 0 && !before.draft {
            check.refuse("draft", "one-way", "false: what others were told of is no draft again");
        }
        if is_appointment(kind) {
            appointment(&mut check, &mut activity);
        } else {
            task(&mut check, &mut activity, before, written, now);
        }
        check.finish()?;
        Ok(activity)
    }
}

/// Whether a patch names what a record of this kind has, and empties only what may be empty.
pub(super) fn patchable(kind: Kind, patch: &Patch) -> Result<(), Problem> {
    let mut check = Check::default();
    record_fields::only_known(&mut check, Some(kind), COMMON, &patch.members());
    if patch.clears("state") {
        check.refuse("state", "required", "open, completed or canceled: it cannot be empty");
    }
    check.finish()
}

/// Whether a closed record is written without being opened: the names of members that are in the way.
pub(super) fn closed(before: &Activity, after: &Activity, changed: &[&str]) -> Result<(), Problem> {
    if before.state == State::Open || after.state == State::Open {
        return Ok(());
    }
    let mut check = Check::default();
    for name in changed.iter().filter(|name| !OF_CLOSED.contains(name)) {
        check.refuse(name, "closed", "state open first, or in the same request: a closed record is not changed");
    }
    check.finish()
}

/// Everything has a subject. One that came from a mail server stays as it is.
fn subject(check: &mut Check, own: &Map<String, Json>, before: &Activity) {
    match own.get("subject") {
        Some(Json::String(subject)) if before.fields.get(Field::Subject) == Some(&Value::Text(subject.clone())) => {}
        Some(Json::String(subject)) => drop(check.line("subject", subject, MAX_SUBJECT)),
        None | Some(Json::Null) => check.refuse("subject", "required", format!("1 to {MAX_SUBJECT} characters")),
        Some(_) => {}
    }
}

fn appointment(check: &mut Check, activity: &mut Activity) {
    if let Some(Value::People(organisers)) = activity.fields.get(Field::Organiser)
        && organisers.iter().count() > 1
    {
        check.refuse("organiser", "one-of", "one person");
    }
    (activity.starts_at, activity.ends_at) = match activity.kind {
        Kind::RecurringAppointment => match activity.fields.get(Field::Recurrence) {
            Some(Value::Series(series)) => comes(check, series),
            _ => {
                check.refuse("recurrence", "required", "an object with zone, start, length and rule");
                (None, None)
            }
        },
        _ => match activity.fields.get(Field::Time) {
            Some(Value::When(when)) => spans(when),
            _ => {
                check.refuse(
                    "time",
                    "required",
                    "an object with start, end and zone, or with first and days for whole days",
                );
                (None, None)
            }
        },
    };
}

/// When a series begins and ends; every exception names an occurrence.
fn comes(check: &mut Check, series: &Series) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
    let mut kept = series.clone();
    recurrence::clean(&mut kept);
    for original in series.exceptions.keys().filter(|original| !kept.exceptions.contains_key(original)) {
        let remedy = format!("an occurrence that the rule gives; {original} is none");
        check.refuse("recurrence.exceptions", "occurrence", remedy);
    }
    let first = series.start.date();
    let mut whole = series.clone();
    whole.exceptions.clear();
    let expansion = recurrence::between(&whole, first, first + COMES_WITHIN);
    let Some(earliest) = expansion.occurrences.first() else {
        check.refuse("recurrence.rule", "occurrence", "a rule that comes at least once in ten years");
        return (None, None);
    };
    let ends = match series.end {
        End::Never => None,
        End::Count(_) | End::Until(_) => recurrence::last_day(&whole),
    };
    let ends =
        ends.and_then(|day| day.succ_opt()).map(|day| recurrence::instant(day.and_time(NaiveTime::MIN), series.zone));
    (Some(earliest.instants(series.zone).0), ends)
}

fn spans(when: &When) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
    match when {
        When::Timed { start, end, zone } => {
            (Some(recurrence::instant(*start, *zone)), Some(recurrence::instant(*end, *zone)))
        }
        When::AllDay { first, days } => {
            let start = first.and_time(NaiveTime::MIN).and_utc();
            (Some(start), Some(start + TimeDelta::days(i64::from(*days))))
        }
    }
}

/// The members that tell how far a task is.
const TELLERS: [(Teller, &str); 4] = [
    (Teller::State, "state"),
    (Teller::Status, "status"),
    (Teller::Percent, "percent_complete"),
    (Teller::CompletedAt, "completed_date"),
];

/// Refuses what one request says both ways, naming both.
fn agreeing(check: &mut Check, before: &Progress, after: &Progress, written: &[String], now: DateTime<Utc>) {
    let tellers = TELLERS.iter().filter(|(_, name)| written.iter().any(|written| written == name));
    let tellers: Vec<Teller> = tellers.map(|(teller, _)| *teller).collect();
    let Some((one, other)) = task_progress::contradiction(before, after, &tellers, now) else { return };
    let name = |teller| TELLERS.iter().find(|(known, _)| *known == teller).map_or("", |(_, name)| *name);
    for (field, against) in [(name(one), name(other)), (name(other), name(one))] {
        let remedy = format!("a value that agrees with {against}, or leave one of the two out: it follows the other");
        check.refuse(field, "contradiction", remedy);
    }
}

fn task(check: &mut Check, activity: &mut Activity, before: &Activity, written: &[String], now: DateTime<Utc>) {
    let instant = |fields: &Fields, field| match fields.get(field) {
        Some(Value::Instant(at)) => Some(*at),
        _ => None,
    };
    (activity.starts_at, activity.ends_at) =
        (instant(&activity.fields, Field::StartDate), instant(&activity.fields, Field::DueDate));
    if let (Some(starts), Some(due)) = (activity.starts_at, activity.ends_at)
        && due < starts
    {
        check.refuse("due_date", "order", "an instant that is not before start_date");
    }
    let progress = |activity: &Activity| Progress {
        state: activity.state,
        status: match activity.fields.get(Field::Status) {
            Some(Value::TaskStatus(status)) => Some(*status),
            _ => None,
        },
        percent: match activity.fields.get(Field::PercentComplete) {
            Some(Value::Percent(percent)) => Some(*percent),
            _ => None,
        },
        completed_at: instant(&activity.fields, Field::CompletedDate),
    };
    let (was, is) = (progress(before), progress(activity));
    agreeing(check, &was, &is, written, now);
    let settled = task_progress::settle(&was, is, now);
    activity.state = settled.state;
    let has_percent = schema::fields(activity.kind).iter().any(|row| row.field == Field::PercentComplete);
    let mut told = Fields::default();
    let values = [
        (Field::Status, settled.status.map(Value::TaskStatus)),
        (Field::PercentComplete, settled.percent.filter(|_| has_percent).map(Value::Percent)),
        (Field::CompletedDate, settled.completed_at.map(Value::Instant)),
    ];
    for (field, value) in values {
        // The shapes are those of the fields.
        let _ = value.map(|value| told.set(field, value));
        activity.fields.copy(field, &told);
    }
}
