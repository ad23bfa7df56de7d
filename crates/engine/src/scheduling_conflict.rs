//! Scheduling conflicts: whether an appointment takes time of a user that is taken already.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use chrono_tz::Tz;
use lockstep_model::record::{Field, Fields, Kind, ShowAs, State, Value, When};

use crate::recurrence;

/// So far ahead occurrences of series are compared; later ones clash unnoticed.
pub const AHEAD: Days = Days::new(366);

/// An appointment in a user's calendar.
#[derive(Clone, Copy, Debug)]
pub struct Booking<'a> {
    /// What it is; anything but an appointment, a series or a service activity takes no time.
    pub kind: Kind,
    /// Whether it still takes place.
    pub state: State,
    /// Nobody has been told of it yet.
    pub draft: bool,
    /// Its values.
    pub fields: &'a Fields,
}

impl Booking<'_> {
    /// Whether it takes its time: it is open, no draft, and shown as busy or out of office. What says nothing of that is
    /// busy; what is free, tentative or worked elsewhere leaves room for something else.
    pub fn takes_time(&self) -> bool {
        let calendar = matches!(self.kind, Kind::Appointment | Kind::RecurringAppointment | Kind::ServiceActivity);
        let busy = match self.fields.get(Field::ShowAs) {
            Some(Value::ShowAs(shown)) => matches!(shown, ShowAs::Busy | ShowAs::OutOfOffice),
            _ => true,
        };
        calendar && busy && self.state == State::Open && !self.draft
    }

    /// The zone of its clock times; whole days have none of their own.
    fn zone(&self) -> Option<Tz> {
        match (self.fields.get(Field::Time), self.fields.get(Field::Recurrence)) {
            (Some(Value::When(When::Timed { zone, .. })), _) => Some(*zone),
            (_, Some(Value::Series(series))) if !series.is_all_day() => Some(series.zone),
            _ => None,
        }
    }

    /// When it takes place, by start: whole days from midnight to midnight in `zone`. Of a series what starts from
    /// yesterday on, as far as [`AHEAD`].
    fn spans(&self, zone: Tz, now: DateTime<Utc>) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        match (self.fields.get(Field::Time), self.fields.get(Field::Recurrence)) {
            (_, Some(Value::Series(series))) => {
                let today = now.date_naive();
                let first = today.checked_sub_days(Days::new(1)).unwrap_or(NaiveDate::MIN);
                let last = today.checked_add_days(AHEAD).unwrap_or(NaiveDate::MAX);
                let zone = if series.is_all_day() { zone } else { series.zone };
                let found = recurrence::between(series, first, last).occurrences;
                let mut spans: Vec<_> = found.iter().map(|occurrence| occurrence.instants(zone)).collect();
                spans.sort_unstable();
                spans
            }
            (Some(Value::When(When::AllDay { first, days })), _) => {
                let end = first.checked_add_days(Days::new(u64::from(*days))).unwrap_or(NaiveDate::MAX);
                let midnight = |day: NaiveDate| recurrence::instant(day.and_time(NaiveTime::MIN), zone);
                vec![(midnight(*first), midnight(end))]
            }
            (Some(Value::When(when)), _) => vec![recurrence::span(when)],
            _ => Vec::new(),
        }
    }
}

/// When the first occurrence of an appointment starts that takes time which another has taken. What is over is no
/// conflict, nor are ends that meet; a series does not stand in its own way.
pub fn first_clash(new: Booking<'_>, taken: Booking<'_>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if !new.takes_time() || !taken.takes_time() {
        return None;
    }
    let zone = new.zone().or(taken.zone()).unwrap_or(Tz::UTC);
    let coming = |spans: Vec<(DateTime<Utc>, DateTime<Utc>)>| {
        spans.into_iter().filter(|(start, end)| start < end && *end > now).collect::<Vec<_>>()
    };
    let taken = coming(taken.spans(zone, now));
    // The latest end of all that has started before: occurrences of one series may overlap.
    let mut latest = Vec::with_capacity(taken.len());
    for (_, end) in &taken {
        latest.push(latest.last().map_or(*end, |before: &DateTime<Utc>| *before.max(end)));
    }
    let clashes = |(start, end): &(DateTime<Utc>, DateTime<Utc>)| {
        let begun_before_its_end = taken.partition_point(|other| other.0 < *end);
        begun_before_its_end.checked_sub(1).is_some_and(|last| latest[last] > *start)
    };
    coming(new.spans(zone, now)).into_iter().find(clashes).map(|(start, _)| start)
}
