//! Contacts, tasks and appointments between records and the schema: golden documents, and round trips.

use chrono::{NaiveDate, NaiveDateTime, TimeDelta, Weekday};
use chrono_tz::Tz;
use lockstep_ews::{
    codec::update_item::Update,
    item::{Class, appointment, contact, link, series, shape, task},
    xml::{Element, Writer},
};
use lockstep_model::{
    address::AddressKey,
    record::{
        Field, Fields, Importance, Invited, LinkId, Patch, PersonName, PostalAddress, ShowAs, TaskStatus, Value, When,
        schema,
        series::{Changed, Days, End, Exception, Length, Nth, OnDay, Pattern, Rule, Series, ShortMonth},
    },
};
use proptest::prelude::*;
use uuid::Uuid;

use crate::requests::golden;

pub(crate) const HOME: Tz = Tz::Europe__Berlin;

pub(crate) fn fields(values: &[(Field, Value)]) -> Fields {
    let mut fields = Fields::default();
    for (field, value) in values {
        fields.set(*field, value.clone()).unwrap();
    }
    fields
}

pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

pub(crate) fn people(addresses: &[&str]) -> Value {
    let mut invited = Invited::default();
    for address in addresses {
        invited.add(AddressKey::of(address).unwrap(), "");
    }
    Value::People(invited)
}

fn read(element: &str) -> Element {
    Element::read(element.as_bytes()).unwrap()
}

pub(crate) fn somebody() -> Fields {
    let mut values = vec![
        (
            Field::FullName,
            Value::Name(PersonName { first: "Ann".into(), middle: "B.".into(), last: "O'Hara & Söhne".into() }),
        ),
        (Field::Birthday, Value::Date(NaiveDate::from_ymd_opt(1980, 2, 29).unwrap())),
        (Field::Anniversary, Value::Date(NaiveDate::from_ymd_opt(2004, 12, 31).unwrap())),
    ];
    for row in schema::fields(lockstep_model::record::Kind::Contact) {
        match row.field.shape() {
            lockstep_model::record::Shape::Text => values.push((row.field, text(&format!("<{}>", row.field.name())))),
            lockstep_model::record::Shape::Place => values.push((
                row.field,
                Value::Place(PostalAddress {
                    street: format!("{} 1\nfloor 2", row.field.name()),
                    city: "Wien".into(),
                    region: String::new(),
                    postal_code: "1010".into(),
                    country: "Österreich".into(),
                }),
            )),
            _ => {}
        }
    }
    fields(&values)
}

pub(crate) fn something_to_do() -> Fields {
    let at = |text: &str| Value::Instant(text.parse().unwrap());
    fields(&[
        (Field::Subject, text("call back")),
        (Field::Body, text("line one\nline two")),
        (Field::Importance, Value::Importance(Importance::High)),
        (Field::Regarding, text("Contoso")),
        (Field::DueDate, at("2024-05-17T00:00:00Z")),
        (Field::StartDate, at("2024-05-10T00:00:00Z")),
        (Field::PercentComplete, Value::Percent(25)),
        (Field::Status, Value::TaskStatus(TaskStatus::InProgress)),
    ])
}

fn local(text: &str) -> NaiveDateTime {
    text.parse().unwrap()
}

pub(crate) fn meeting() -> Fields {
    fields(&[
        (Field::Subject, text("review")),
        (Field::Body, text("agenda:\n1. all")),
        (Field::Location, text("room <1>")),
        (Field::Importance, Value::Importance(Importance::Low)),
        (Field::ShowAs, Value::ShowAs(ShowAs::OutOfOffice)),
        (Field::Regarding, text("Contoso")),
        (Field::RequiredAttendees, people(&["bob@example.test", "cid@example.test"])),
        (Field::OptionalAttendees, people(&["dan@example.test"])),
        (
            Field::Time,
            Value::When(When::Timed {
                start: local("2024-07-01T09:00:00"),
                end: local("2024-07-01T10:30:00"),
                zone: Tz::America__New_York,
            }),
        ),
    ])
}

pub(crate) fn weekly() -> Series {
    let days = [Weekday::Mon, Weekday::Thu].into_iter().collect();
    let mut changes = Patch::default();
    changes.take(Field::Subject, &fields(&[(Field::Subject, text("longer today"))]));
    let changed = Changed { start: local("2024-03-14T10:00:00"), length: Length::Minutes(90), fields: changes };
    Series {
        zone: Tz::Europe__Berlin,
        start: local("2024-03-04T09:00:00"),
        length: Length::Minutes(60),
        rule: Rule { every: 1, pattern: Pattern::Weekly { days, week_start: Weekday::Mon } },
        end: End::Count(20),
        exceptions: [
            (local("2024-03-11T09:00:00"), Exception::Cancelled),
            (local("2024-03-14T09:00:00"), Exception::Changed(Box::new(changed))),
        ]
        .into(),
    }
}

fn shown(updates: &[Update]) -> String {
    let mut w = Writer::default();
    for update in updates {
        match update {
            Update::Set(property, item) => w.element("set", &[], |w| {
                property.write(w);
                w.raw(item);
            }),
            Update::Delete(property) => w.element("delete", &[], |w| property.write(w)),
        }
    }
    w.finish()
}

fn whole_patch(from: &Fields) -> Patch {
    let mut patch = Patch::default();
    from.iter().for_each(|(field, _)| patch.take(field, from));
    patch
}

#[test]
fn items_are_what_the_schema_wants() {
    let link = Some(LinkId(Uuid::from_u128(7)));
    golden("item/contact", &contact::create(&somebody(), link));
    golden("item/contact_changed", &shown(&contact::updates(&whole_patch(&somebody()))));
    golden("item/task", &task::create(&something_to_do(), link));
    golden("item/task_changed", &shown(&task::updates(&whole_patch(&something_to_do()))));
    golden("item/appointment", &appointment::create(&meeting(), link, HOME).unwrap());
    golden("item/appointment_changed", &shown(&appointment::updates(&whole_patch(&meeting()), HOME).unwrap()));
    let whole_days = When::AllDay { first: NaiveDate::from_ymd_opt(2024, 3, 30).unwrap(), days: 2 };
    let holiday = fields(&[(Field::Subject, text("away")), (Field::Time, Value::When(whole_days))]);
    golden("item/whole_days", &appointment::create(&holiday, None, HOME).unwrap());
    let series = fields(&[(Field::Recurrence, Value::Series(Box::new(weekly())))]);
    golden("item/series", &appointment::create(&series, None, HOME).unwrap());
    golden("item/cleared", &{
        let mut patch = Patch::default();
        for field in [Field::Email1, Field::FullName, Field::MailingAddress, Field::Birthday, Field::Body] {
            patch.take(field, &Fields::default());
        }
        shown(&contact::updates(&patch))
    });
    for (class, name) in [(Class::Contact, "contact"), (Class::Task, "task"), (Class::Appointment, "appointment")] {
        let mut w = Writer::default();
        shape(class).write(&mut w, "m:ItemShape");
        golden(&format!("item/shape_{name}"), &w.finish());
    }
}

#[test]
fn what_is_written_is_read() {
    let id = LinkId(Uuid::from_u128(7));
    let element = read(&contact::create(&somebody(), Some(id)));
    assert_eq!(contact::read(&element), somebody());
    assert_eq!(link(&element), Some(id));
    let element = read(&task::create(&something_to_do(), Some(id)));
    assert_eq!((task::read(&element), link(&element)), (something_to_do(), Some(id)));
    let element = read(&appointment::create(&meeting(), Some(id), HOME).unwrap());
    assert_eq!((appointment::read(&element, HOME), link(&element)), (meeting(), Some(id)));
}

#[test]
fn what_servers_write_is_read_leniently() {
    let element = read(
        r#"<t:CalendarItem xmlns:t="x"><t:End>2024-07-01T15:00:00.0000000+01:00</t:End><t:Start>2024-07-01T13:00:00Z</t:Start>
        <t:StartTimeZone Name="(UTC-05:00) Eastern" Id="Eastern Standard Time"><t:Periods/></t:StartTimeZone>
        <t:Subject> two words </t:Subject><t:Body BodyType="Text">a&#xD;
b</t:Body><t:Organizer><t:Mailbox><t:Name>Ann</t:Name><t:EmailAddress>/o=x/ou=y/cn=ann</t:EmailAddress><t:RoutingType>EX</t:RoutingType></t:Mailbox></t:Organizer>
        <t:LegacyFreeBusyStatus>NoData</t:LegacyFreeBusyStatus><t:Importance>Unheard</t:Importance></t:CalendarItem>"#,
    );
    let read = appointment::read(&element, HOME);
    let when = When::Timed {
        start: local("2024-07-01T09:00:00"),
        end: local("2024-07-01T10:00:00"),
        zone: Tz::America__New_York,
    };
    assert_eq!(read.get(Field::Time), Some(&Value::When(when)));
    assert_eq!(read.get(Field::Body), Some(&text("a\nb")));
    assert_eq!(read.get(Field::Organiser), None, "no SMTP address");
    assert_eq!((read.get(Field::ShowAs), read.get(Field::Importance)), (None, None));
    // Whole days as Outlook in another zone leaves them, and a birthday as local midnight.
    let element = self::read(
        "<CalendarItem><Start>2024-03-29T23:00:00Z</Start><End>2024-03-31T22:00:00Z</End><IsAllDayEvent>true</IsAllDayEvent></CalendarItem>",
    );
    let days = When::AllDay { first: NaiveDate::from_ymd_opt(2024, 3, 30).unwrap(), days: 2 };
    assert_eq!(appointment::read(&element, HOME).get(Field::Time), Some(&Value::When(days)));
    for written in ["1980-05-16T22:00:00Z", "1980-05-17T05:00:00Z", "1980-05-17T00:00:00", "1980-05-17T11:59:00Z"] {
        let element = self::read(&format!("<Contact><Birthday>{written}</Birthday></Contact>"));
        let day = Value::Date(NaiveDate::from_ymd_opt(1980, 5, 17).unwrap());
        assert_eq!(contact::read(&element).get(Field::Birthday), Some(&day), "{written}");
    }
}

/// Vienna and Berlin are one zone to the server: what comes back is no change.
#[test]
fn a_city_of_the_same_zone_is_no_change() {
    let at = |zone| {
        let (start, end) = (local("2024-07-01T09:00:00"), local("2024-07-01T10:00:00"));
        fields(&[(Field::Time, Value::When(When::Timed { start, end, zone }))])
    };
    let series = |zone| {
        let series = Series { zone, exceptions: [].into(), ..weekly() };
        fields(&[(Field::Recurrence, Value::Series(Box::new(series)))])
    };
    let vienna = at(Tz::Europe__Vienna);
    let element = read(&appointment::create(&vienna, None, HOME).unwrap());
    let mut back = appointment::read(&element, HOME);
    assert_eq!(back, at(Tz::Europe__Berlin));
    appointment::keep_zones(&mut back, &vienna);
    assert_eq!(back, vienna);
    let mut elsewhere = at(Tz::America__New_York);
    appointment::keep_zones(&mut elsewhere, &vienna);
    assert_eq!(elsewhere, at(Tz::America__New_York), "another zone is a change");
    let element = read(&appointment::create(&series(Tz::Europe__Vienna), None, HOME).unwrap());
    let mut back = series::read(&element, &[], HOME).unwrap();
    appointment::keep_zones(&mut back, &series(Tz::Europe__Vienna));
    assert_eq!(back, series(Tz::Europe__Vienna));
    let days = |zone| {
        let series = Series { zone, length: Length::Days(1), exceptions: [].into(), ..weekly() };
        fields(&[(Field::Recurrence, Value::Series(Box::new(series)))])
    };
    let element = read(&appointment::create(&days(Tz::Asia__Tokyo), None, HOME).unwrap());
    let mut back = series::read(&element, &[], HOME).unwrap();
    appointment::keep_zones(&mut back, &days(Tz::Asia__Tokyo));
    assert_eq!(back, days(Tz::Asia__Tokyo));
}

#[test]
fn what_the_server_cannot_say_is_refused() {
    let refused = |change: fn(&mut Series)| {
        let mut series = weekly();
        change(&mut series);
        series::rule(&series).map_err(|unwritable| unwritable.field)
    };
    let cases: &[fn(&mut Series)] = &[
        |s| s.rule.pattern = Pattern::Weekly { days: Days::default(), week_start: Weekday::Mon },
        |s| s.rule.pattern = Pattern::Monthly(OnDay::Absolute { day: 31, short: ShortMonth::Skipped }),
        |s| s.rule.pattern = Pattern::Monthly(OnDay::Absolute { day: 0, short: ShortMonth::LastDay }),
        |s| {
            let days = [Weekday::Mon, Weekday::Thu].into_iter().collect();
            s.rule.pattern = Pattern::Monthly(OnDay::Relative { nth: Nth::First, days });
        },
        |s| s.rule.every = 100,
        |s| s.end = End::Count(0),
        |s| s.end = End::Count(1_000),
        |s| {
            s.rule.every = 3;
            s.rule.pattern = Pattern::Yearly { month: 9, day: OnDay::Absolute { day: 1, short: ShortMonth::LastDay } };
        },
    ];
    for (at, case) in cases.iter().enumerate() {
        assert_eq!(refused(*case), Err(Field::Recurrence), "case {at}");
    }
    assert!(appointment::create(&Fields::default(), None, HOME).is_err(), "an appointment needs a time");
}

fn line() -> impl Strategy<Value = String> {
    "[ -~äöüßΩ漢]{0,20}"
}

fn text_fields(of: &'static [Field]) -> impl Strategy<Value = Fields> {
    prop::collection::vec((prop::sample::select(of), line()), 0..12)
        .prop_map(|all| fields(&all.into_iter().map(|(field, line)| (field, Value::Text(line))).collect::<Vec<_>>()))
}

fn instant() -> impl Strategy<Value = chrono::DateTime<chrono::Utc>> {
    (0_i64..4_000_000_000).prop_map(|seconds| chrono::DateTime::from_timestamp(seconds, 0).unwrap())
}

fn zone() -> impl Strategy<Value = Tz> {
    prop::sample::select(vec![
        Tz::Europe__Berlin,
        Tz::America__New_York,
        Tz::Asia__Kolkata,
        Tz::UTC,
        Tz::Australia__Sydney,
    ])
}

/// Local noon to afternoon: no zone skips or repeats these hours.
fn daytime() -> impl Strategy<Value = NaiveDateTime> {
    (0_i64..12_000, 12_u32..18, 0_u32..60).prop_map(|(day, hour, minute)| {
        let date = NaiveDate::from_ymd_opt(2000, 1, 1).unwrap() + TimeDelta::days(day);
        date.and_hms_opt(hour, minute, 0).unwrap()
    })
}

fn on_day() -> impl Strategy<Value = OnDay> {
    let nth = prop::sample::select(vec![Nth::First, Nth::Second, Nth::Third, Nth::Fourth, Nth::Last]);
    let days = prop::sample::select(vec![
        Days::ALL,
        Days::WORKING,
        Days::WEEKEND,
        Days::default().with(Weekday::Tue),
        Days::default().with(Weekday::Sun),
    ]);
    prop_oneof![
        (1_u8..=31).prop_map(|day| {
            let short = if day > 28 { ShortMonth::LastDay } else { ShortMonth::Skipped };
            OnDay::Absolute { day, short }
        }),
        (nth, days).prop_map(|(nth, days)| OnDay::Relative { nth, days }),
    ]
}

fn some_series() -> impl Strategy<Value = Series> {
    let week =
        prop::sample::subsequence(vec![Weekday::Mon, Weekday::Wed, Weekday::Fri, Weekday::Sat, Weekday::Sun], 1..5);
    let pattern = prop_oneof![
        Just(Pattern::Daily),
        week.prop_map(|days| Pattern::Weekly { days: days.into_iter().collect(), week_start: Weekday::Mon }),
        on_day().prop_map(Pattern::Monthly),
        (1_u8..=12, on_day()).prop_map(|(month, day)| Pattern::Yearly { month, day }),
    ];
    let end = prop_oneof![
        Just(End::Never),
        (1_u32..900).prop_map(End::Count),
        (0_i64..3000).prop_map(|day| End::Until(NaiveDate::from_ymd_opt(2035, 1, 1).unwrap() + TimeDelta::days(day))),
    ];
    (daytime(), zone(), 1_u32..300, 1_u32..4, any::<bool>(), 1_u16..20, pattern, end).prop_map(
        |(start, zone, minutes, days, all_day, every, pattern, end)| {
            let (mut every, mut pattern) = (every, pattern);
            match &mut pattern {
                // Longer than the server's longest, or begun in another month.
                Pattern::Yearly { month, .. } => {
                    every = every.min(8);
                    *month = u8::try_from(chrono::Datelike::month(&start)).unwrap();
                }
                Pattern::Monthly(_) => every = every.min(11),
                _ => {}
            }
            let length = if all_day { Length::Days(days) } else { Length::Minutes(minutes) };
            let zone = if all_day { HOME } else { zone };
            let mut series =
                Series { zone, start, length, rule: Rule { every, pattern }, end, exceptions: Default::default() };
            series.tidy();
            series
        },
    )
}

/// The same zone under its name in Windows: one of several cities.
fn as_windows_names_it(zone: Tz) -> Tz {
    lockstep_ews::zone::from_windows(lockstep_ews::zone::to_windows(zone).unwrap()).unwrap()
}

const CONTACT_TEXTS: &[Field] = &[
    Field::Body,
    Field::JobTitle,
    Field::Email1,
    Field::Email3,
    Field::MobilePhone,
    Field::Pager,
    Field::Children,
    Field::GovernmentId,
    Field::YomiLastName,
    Field::Company,
    Field::Regarding,
];

proptest! {
    #[test]
    fn contacts_round_trip(mut all in text_fields(CONTACT_TEXTS), first in line(), last in line(), street in line()) {
        all.set(Field::FullName, Value::Name(PersonName { first, last, ..PersonName::default() })).unwrap();
        all.set(Field::HomeAddress, Value::Place(PostalAddress { street, ..PostalAddress::default() })).unwrap();
        prop_assert_eq!(contact::read(&read(&contact::create(&all, None))), all);
    }

    #[test]
    fn tasks_round_trip(
        mut all in text_fields(&[Field::Subject, Field::Body, Field::Regarding]),
        due in proptest::option::of(instant()),
        done in proptest::option::of(instant()),
        percent in 0_u8..=100,
        status in 0_usize..5,
    ) {
        let words = [TaskStatus::NotStarted, TaskStatus::InProgress, TaskStatus::Waiting, TaskStatus::Deferred, TaskStatus::Completed];
        all.set(Field::Status, Value::TaskStatus(words[status])).unwrap();
        all.set(Field::PercentComplete, Value::Percent(percent)).unwrap();
        if let Some(due) = due {
            all.set(Field::DueDate, Value::Instant(due)).unwrap();
        }
        if let (Some(done), 4) = (done, status) {
            all.set(Field::CompletedDate, Value::Instant(done)).unwrap();
        }
        prop_assert_eq!(task::read(&read(&task::create(&all, None))), all);
    }

    #[test]
    fn appointments_round_trip(
        mut all in text_fields(&[Field::Subject, Field::Body, Field::Location]),
        start in daytime(), minutes in 0_i64..3_000, zone in zone(), days in proptest::option::of(1_u32..40),
    ) {
        let zone = as_windows_names_it(zone);
        let when = match days {
            Some(days) => When::AllDay { first: start.date(), days },
            None => When::Timed { start, end: start + TimeDelta::minutes(minutes / 1_440 * 1_440), zone },
        };
        all.set(Field::Time, Value::When(when)).unwrap();
        let element = read(&appointment::create(&all, None, HOME).unwrap());
        prop_assert_eq!(appointment::read(&element, HOME), all);
    }

    #[test]
    fn series_round_trip(mut some in some_series()) {
        some.zone = as_windows_names_it(some.zone);
        let all = fields(&[(Field::Recurrence, Value::Series(Box::new(some)))]);
        let element = read(&appointment::create(&all, None, HOME).unwrap());
        prop_assert_eq!(series::read(&element, &[], HOME).unwrap(), all);
    }

    #[test]
    fn any_element_is_read(name in "[A-Za-z]{1,12}", value in "\\PC{0,30}") {
        let mut w = Writer::default();
        w.element("t:CalendarItem", &[], |w| {
            for known in ["Start", "End", "Recurrence", "Birthday", "PercentComplete", "DueDate", name.as_str()] {
                w.leaf(&format!("t:{known}"), &value);
            }
        });
        prop_assume!(!value.contains(['\u{fffe}', '\u{ffff}']));
        let element = read(&w.finish());
        let _ = (contact::read(&element), task::read(&element), appointment::read(&element, HOME));
        let _ = series::read(&element, &[], HOME);
    }
}
