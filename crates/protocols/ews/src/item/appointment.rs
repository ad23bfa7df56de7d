//! Appointments (MS-OXWSMTGS 2.2.4): single ones, and what masters and occurrences of series share with them.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use chrono_tz::Tz;
use lockstep_model::{
    address::AddressKey,
    record::{Field, Fields, Invited, LinkId, Patch, ShowAs, Value, When},
};

use super::{
    Class, REGARDING, Unwritable, Updates, put, put_text, read_common, series,
    task::{importance_of, read_importance},
    text_of, values, write_body, write_extended,
};
use crate::{
    codec::{property::Property, time, update_item::Update},
    xml::{Element, Writer},
    zone,
};

const SHOW_AS: &[(ShowAs, &str)] = &[
    (ShowAs::Free, "Free"),
    (ShowAs::Tentative, "Tentative"),
    (ShowAs::Busy, "Busy"),
    (ShowAs::OutOfOffice, "OOF"),
    (ShowAs::WorkingElsewhere, "WorkingElsewhere"),
];

/// Most people of one list.
const MAX_PEOPLE: usize = 5_000;

/// What has to be asked for; only `GetItem` gives all of it.
pub(super) fn properties() -> Vec<Property> {
    [
        "item:Subject",
        "item:Body",
        "item:Importance",
        "calendar:UID",
        "calendar:Start",
        "calendar:End",
        "calendar:OriginalStart",
        "calendar:IsAllDayEvent",
        "calendar:LegacyFreeBusyStatus",
        "calendar:Location",
        "calendar:IsMeeting",
        "calendar:IsCancelled",
        "calendar:CalendarItemType",
        "calendar:MyResponseType",
        "calendar:Organizer",
        "calendar:RequiredAttendees",
        "calendar:OptionalAttendees",
        "calendar:Recurrence",
        "calendar:ModifiedOccurrences",
        "calendar:DeletedOccurrences",
        "calendar:StartTimeZone",
        "calendar:EndTimeZone",
    ]
    .map(Property::Field)
    .to_vec()
}

/// Whether an element is the master of a series.
pub fn is_master(item: &Element) -> bool {
    item.text_of("CalendarItemType") == Some("RecurringMaster")
}

/// Why a calendar's item does not stand for itself, where it is one of those.
pub fn apart(item: &Element) -> Option<&'static str> {
    let part = matches!(item.text_of("CalendarItemType"), Some("Occurrence" | "Exception"));
    part.then_some("one occurrence of a series")
}

/// Whether the mailbox's owner holds the meeting, or it is none.
pub fn is_organiser(item: &Element) -> bool {
    !item.bool_of("IsMeeting").unwrap_or(false) || item.text_of("MyResponseType") == Some("Organizer")
}

/// The zone of an appointment: its own, or `home` where it has none that is known.
pub(super) fn zone_of(item: &Element, home: Tz) -> Tz {
    let own = ["StartTimeZone", "MeetingTimeZone"].iter().find_map(|name| {
        let zone = item.child(name)?;
        zone.attribute("Id").or_else(|| zone.attribute("TimeZoneName")).and_then(zone::from_windows)
    });
    own.unwrap_or(home)
}

/// The day that begins about now: midnight of another zone is up to half a day away.
pub(super) fn nearest_day(local: NaiveDateTime) -> NaiveDate {
    local.checked_add_signed(TimeDelta::hours(12)).unwrap_or(local).date()
}

/// Start and end in local time, and whether they are whole days.
pub(super) fn times(item: &Element, zone: Tz) -> Option<(NaiveDateTime, NaiveDateTime, bool)> {
    let at = |name| item.text_of(name).and_then(time::read).map(|at| zone::local(at, zone));
    let (start, end) = (at("Start")?, at("End")?);
    Some((start, end.max(start), item.bool_of("IsAllDayEvent").unwrap_or(false)))
}

/// How many days lie between two local times, at least one.
pub(super) fn days_between(start: NaiveDateTime, end: NaiveDateTime) -> u32 {
    let days = (nearest_day(end) - nearest_day(start)).num_days();
    u32::try_from(days).unwrap_or(1).max(1)
}

fn people(item: &Element, name: &str) -> Invited {
    let mut invited = Invited::default();
    let mailboxes = item.list(name).iter().map(|entry| entry.child("Mailbox").unwrap_or(entry));
    for mailbox in mailboxes.take(MAX_PEOPLE) {
        if let Some(address) = mailbox.text_of("EmailAddress").and_then(AddressKey::of) {
            invited.add(address, mailbox.text_of("Name").unwrap_or_default());
        }
    }
    invited
}

/// Reads what single appointments, masters and occurrences share: all but their times.
pub(crate) fn read_shared(item: &Element) -> Fields {
    let mut fields = Fields::default();
    read_common(&mut fields, item);
    put_text(&mut fields, Field::Subject, item, "Subject");
    put_text(&mut fields, Field::Location, item, "Location");
    read_importance(&mut fields, item);
    let show = item.text_of("LegacyFreeBusyStatus");
    if let Some((show, _)) = show.and_then(|word| SHOW_AS.iter().find(|(_, known)| *known == word)) {
        put(&mut fields, Field::ShowAs, Value::ShowAs(*show));
    }
    for (field, name) in [
        (Field::Organiser, "Organizer"),
        (Field::RequiredAttendees, "RequiredAttendees"),
        (Field::OptionalAttendees, "OptionalAttendees"),
    ] {
        put(&mut fields, field, Value::People(people(item, name)));
    }
    fields
}

/// Reads a single appointment. `home` is the zone of one that does not say its own.
pub fn read(item: &Element, home: Tz) -> Fields {
    let mut fields = read_shared(item);
    let zone = zone_of(item, home);
    if let Some((start, end, all_day)) = times(item, zone) {
        let when = if all_day {
            When::AllDay { first: nearest_day(start), days: days_between(start, end) }
        } else {
            When::Timed { start, end, zone }
        };
        put(&mut fields, Field::Time, Value::When(when));
    }
    fields
}

/// Times as the schema has them: start, end, whole days, and the name of the zone.
pub(super) struct Times {
    pub(super) start: String,
    pub(super) end: String,
    pub(super) all_day: bool,
    pub(super) zone: &'static str,
}

impl Times {
    /// The times of a single appointment. Whole days begin at midnight at `home`, or they would not be whole days to its
    /// owner.
    pub(super) fn of(when: &When, home: Tz) -> Result<Self, Unwritable> {
        let unwritable = |why| Unwritable { field: Field::Time, why };
        match when {
            When::Timed { start, end, zone } => {
                let instant = |local| time::write(zone::instant(local, *zone));
                // The instants are right in any zone; only a name is missing.
                let name = zone::to_windows(*zone).unwrap_or("UTC");
                Ok(Self { start: instant(*start), end: instant(*end), all_day: false, zone: name })
            }
            When::AllDay { first, days } => {
                let name = zone::to_windows(home).ok_or(unwritable("the mailbox's zone has no name in Windows"))?;
                let last = first.checked_add_days(chrono::Days::new(u64::from((*days).max(1))));
                let last = last.ok_or(unwritable("it ends beyond all calendars"))?;
                let midnight = |day: NaiveDate| time::write(zone::instant(day.and_time(NaiveTime::MIN), home));
                Ok(Self { start: midnight(*first), end: midnight(last), all_day: true, zone: name })
            }
        }
    }
}

pub(super) fn write_zone(w: &mut Writer, name: &str, zone: &str) {
    w.empty(name, &[("Id", zone)]);
}

fn write_people(w: &mut Writer, name: &str, invited: &Invited) {
    w.element(name, &[], |w| {
        for (address, shown) in invited.iter() {
            w.element("t:Attendee", &[], |w| {
                w.element("t:Mailbox", &[], |w| {
                    if !shown.is_empty() {
                        w.leaf("t:Name", shown);
                    }
                    w.leaf("t:EmailAddress", address.as_str());
                });
            });
        }
    });
}

fn people_of(fields: &Fields, field: Field) -> Option<&Invited> {
    match fields.get(field) {
        Some(Value::People(invited)) => Some(invited),
        _ => None,
    }
}

fn show_as_of(fields: &Fields) -> Option<&'static str> {
    match fields.get(Field::ShowAs) {
        Some(Value::ShowAs(show)) => SHOW_AS.iter().find(|(known, _)| known == show).map(|(_, word)| *word),
        _ => None,
    }
}

/// Gives what was read the zones of what is known, where both have one name in Windows: the server tells no more than that
/// name, and a city for another of the same zone is no change. Whole days are the same in every zone.
pub fn keep_zones(read: &mut Fields, known: &Fields) {
    let same = |one: Tz, other: Tz| {
        one == other || zone::to_windows(one).is_some_and(|name| zone::to_windows(other) == Some(name))
    };
    if let (Some(Value::When(When::Timed { start, end, zone })), Some(Value::When(When::Timed { zone: own, .. }))) =
        (read.get(Field::Time), known.get(Field::Time))
        && same(*zone, *own)
    {
        let there = |local| zone::local(zone::instant(local, *zone), *own);
        let when = When::Timed { start: there(*start), end: there(*end), zone: *own };
        put(read, Field::Time, Value::When(when));
    }
    if let (Some(Value::Series(series)), Some(Value::Series(own))) =
        (read.get(Field::Recurrence), known.get(Field::Recurrence))
        && (same(series.zone, own.zone) || (series.is_all_day() && own.is_all_day()))
    {
        let mut series = series.clone();
        series.zone = own.zone;
        put(read, Field::Recurrence, Value::Series(series));
    }
}

/// The element of a new appointment, or of the master of a new series; its exceptions are written afterwards.
///
/// # Errors
/// What the protocol cannot say.
pub fn create(fields: &Fields, link: Option<LinkId>, home: Tz) -> Result<String, Unwritable> {
    create_reminding(fields, link, home, true)
}

/// The same; without `reminder`, it reminds nobody, else as the mailbox has it of new appointments.
///
/// # Errors
/// What the protocol cannot say.
pub fn create_reminding(fields: &Fields, link: Option<LinkId>, home: Tz, reminder: bool) -> Result<String, Unwritable> {
    let series = match fields.get(Field::Recurrence) {
        Some(Value::Series(series)) => Some(series),
        _ => None,
    };
    let times = match (series, fields.get(Field::Time)) {
        (Some(series), _) => series::times(series, home)?,
        (None, Some(Value::When(when))) => Times::of(when, home)?,
        _ => return Err(Unwritable { field: Field::Time, why: "an appointment needs a time" }),
    };
    let mut w = Writer::default();
    w.open(Class::Appointment.element(), &[]);
    let leaf = |w: &mut Writer, name: &str, text: Option<&str>| {
        if let Some(text) = text {
            w.leaf(name, text);
        }
    };
    leaf(&mut w, "t:Subject", text_of(fields, Field::Subject));
    if let Some(body) = text_of(fields, Field::Body) {
        write_body(&mut w, body);
    }
    leaf(&mut w, "t:Importance", importance_of(fields));
    if !reminder {
        w.leaf("t:ReminderIsSet", "false");
    }
    let regarding = text_of(fields, Field::Regarding).map(|text| (REGARDING, text));
    write_extended(&mut w, link, regarding.as_slice());
    w.leaf("t:Start", &times.start);
    w.leaf("t:End", &times.end);
    w.leaf("t:IsAllDayEvent", if times.all_day { "true" } else { "false" });
    leaf(&mut w, "t:LegacyFreeBusyStatus", show_as_of(fields));
    leaf(&mut w, "t:Location", text_of(fields, Field::Location));
    for (field, name) in
        [(Field::RequiredAttendees, "t:RequiredAttendees"), (Field::OptionalAttendees, "t:OptionalAttendees")]
    {
        if let Some(invited) = people_of(fields, field) {
            write_people(&mut w, name, invited);
        }
    }
    if let Some(series) = series {
        w.raw(&series::rule(series)?);
    }
    write_zone(&mut w, "t:StartTimeZone", times.zone);
    write_zone(&mut w, "t:EndTimeZone", times.zone);
    w.close(Class::Appointment.element());
    Ok(w.finish())
}

fn set_times(updates: &mut Updates, times: &Times) {
    for (uri, name) in [("calendar:StartTimeZone", "t:StartTimeZone"), ("calendar:EndTimeZone", "t:EndTimeZone")] {
        updates.set(Property::Field(uri), Some(|w: &mut Writer| write_zone(w, name, times.zone)));
    }
    let all_day = if times.all_day { "true" } else { "false" };
    updates.text("calendar:IsAllDayEvent", "t:IsAllDayEvent", Some(all_day));
    updates.text("calendar:Start", "t:Start", Some(&times.start));
    updates.text("calendar:End", "t:End", Some(&times.end));
}

/// The changes that carry a patch out. Who organises a meeting cannot be changed, and is left out; a changed series is
/// written with its rule and loses its exceptions, which are written afterwards.
///
/// # Errors
/// What the protocol cannot say.
pub fn updates(patch: &Patch, home: Tz) -> Result<Vec<Update>, Unwritable> {
    let fields = values(patch);
    let mut updates = Updates::new(Class::Appointment);
    for field in patch.fields() {
        if updates.common(&fields, field) {
            continue;
        }
        match field {
            Field::Subject => updates.text("item:Subject", "t:Subject", text_of(&fields, field)),
            Field::Location => updates.text("calendar:Location", "t:Location", text_of(&fields, field)),
            Field::Importance => {
                updates.text("item:Importance", "t:Importance", importance_of(&fields).or(Some("Normal")));
            }
            Field::ShowAs => {
                updates.text(
                    "calendar:LegacyFreeBusyStatus",
                    "t:LegacyFreeBusyStatus",
                    show_as_of(&fields).or(Some("Busy")),
                );
            }
            Field::RequiredAttendees | Field::OptionalAttendees => {
                let (uri, name) = if field == Field::RequiredAttendees {
                    ("calendar:RequiredAttendees", "t:RequiredAttendees")
                } else {
                    ("calendar:OptionalAttendees", "t:OptionalAttendees")
                };
                let inside =
                    people_of(&fields, field).map(|invited| move |w: &mut Writer| write_people(w, name, invited));
                updates.set(Property::Field(uri), inside);
            }
            Field::Time => match fields.get(field) {
                Some(Value::When(when)) => set_times(&mut updates, &Times::of(when, home)?),
                _ => return Err(Unwritable { field, why: "an appointment needs a time" }),
            },
            Field::Recurrence => match fields.get(field) {
                Some(Value::Series(series)) => {
                    set_times(&mut updates, &series::times(series, home)?);
                    let rule = series::rule(series)?;
                    updates.set(Property::Field("calendar:Recurrence"), Some(|w: &mut Writer| w.raw(&rule)));
                }
                _ => return Err(Unwritable { field, why: "a series needs a rule" }),
            },
            _ => {}
        }
    }
    Ok(updates.list)
}
