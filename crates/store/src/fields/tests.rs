use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Weekday};
use chrono_tz::Tz;
use lockstep_model::record::series::{
    Changed, Days, End, Exception, Length, Nth, OnDay, Pattern, Rule, Series, ShortMonth,
};
use proptest::{collection, option, prelude::*, sample};

use super::*;

fn local() -> impl Strategy<Value = NaiveDateTime> {
    (0..4_000_000_000_i64).prop_map(|seconds| DateTime::UNIX_EPOCH.naive_utc() + TimeDelta::seconds(seconds))
}

fn zone() -> impl Strategy<Value = Tz> {
    sample::select(&chrono_tz::TZ_VARIANTS[..])
}

fn address() -> impl Strategy<Value = AddressKey> {
    "[a-z]{1,8}@[a-z]{1,8}\\.test".prop_map(|text| AddressKey::of(&text).unwrap())
}

fn people() -> impl Strategy<Value = Value> {
    collection::vec((address(), "\\PC{0,12}"), 1..5).prop_map(|people| {
        let mut invited = Invited::default();
        people.iter().for_each(|(address, name)| invited.add(address.clone(), name));
        Value::People(invited)
    })
}

fn days() -> impl Strategy<Value = Days> {
    collection::vec(sample::select(vec![Weekday::Mon, Weekday::Wed, Weekday::Sat, Weekday::Sun]), 1..4)
        .prop_map(|days| days.into_iter().collect())
}

fn on_day() -> impl Strategy<Value = OnDay> {
    let short = sample::select(vec![ShortMonth::Skipped, ShortMonth::LastDay]);
    let nth = sample::select(vec![Nth::First, Nth::Second, Nth::Third, Nth::Fourth, Nth::Last]);
    prop_oneof![
        (1..=31_u8, short).prop_map(|(day, short)| OnDay::Absolute { day, short }),
        (nth, days()).prop_map(|(nth, days)| OnDay::Relative { nth, days }),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let week_start = sample::select(vec![Weekday::Mon, Weekday::Sun]);
    let pattern = prop_oneof![
        Just(Pattern::Daily),
        (days(), week_start).prop_map(|(days, week_start)| Pattern::Weekly { days, week_start }),
        on_day().prop_map(Pattern::Monthly),
        (1..=12_u8, on_day()).prop_map(|(month, day)| Pattern::Yearly { month, day }),
    ];
    (1..=999_u16, pattern).prop_map(|(every, pattern)| Rule { every, pattern })
}

fn exception() -> impl Strategy<Value = Exception> {
    let changed = (local(), 1..600_u32, option::of("[a-z]{1,9}")).prop_map(|(start, minutes, location)| {
        let (mut source, mut fields) = (Fields::default(), Patch::default());
        if let Some(location) = location {
            source.set(Field::Location, Value::Text(location)).unwrap();
        }
        fields.take(Field::Location, &source);
        Exception::Changed(Box::new(Changed { start, length: Length::Minutes(minutes), fields }))
    });
    prop_oneof![Just(Exception::Cancelled), changed]
}

fn series() -> impl Strategy<Value = Value> {
    let end = prop_oneof![
        Just(End::Never),
        (1..=999_u32).prop_map(End::Count),
        (0..9_i64).prop_map(|days| End::Until(NaiveDate::from_ymd_opt(2200, 1, 1).unwrap() + TimeDelta::days(days))),
    ];
    let exceptions = collection::btree_map(local(), exception(), 0..4);
    (zone(), local(), 0..1_440_u32, rule(), end, exceptions).prop_map(
        |(zone, start, minutes, rule, end, exceptions): (_, _, _, _, _, BTreeMap<_, _>)| {
            Value::Series(Box::new(Series { zone, start, length: Length::Minutes(minutes), rule, end, exceptions }))
        },
    )
}

fn when() -> impl Strategy<Value = Value> {
    prop_oneof![
        (local(), 0..10_000_i64, zone()).prop_map(|(start, minutes, zone)| {
            Value::When(When::Timed { start, end: start + TimeDelta::minutes(minutes), zone })
        }),
        (local(), 1..30_u32).prop_map(|(first, days)| Value::When(When::AllDay { first: first.date(), days })),
    ]
}

/// Any value of a field's shape.
fn of(field: Field) -> BoxedStrategy<Value> {
    match field.shape() {
        Shape::Text if field == Field::Body => "(\\PC|\n){0,40}".prop_map(Value::Text).boxed(),
        Shape::Text => "\\PC{0,40}".prop_map(Value::Text).boxed(),
        Shape::Percent => (0..=100_u8).prop_map(Value::Percent).boxed(),
        Shape::Date => local().prop_map(|at| Value::Date(at.date())).boxed(),
        Shape::Instant => local().prop_map(|at| Value::Instant(at.and_utc())).boxed(),
        Shape::When => when().boxed(),
        Shape::Importance => sample::select(Importance::ALL).prop_map(Value::Importance).boxed(),
        Shape::ShowAs => sample::select(ShowAs::ALL).prop_map(Value::ShowAs).boxed(),
        Shape::TaskStatus => sample::select(TaskStatus::ALL).prop_map(Value::TaskStatus).boxed(),
        Shape::Name => ["\\PC{0,9}", "\\PC{0,9}", "\\PC{0,9}"]
            .prop_map(|[first, middle, last]| Value::Name(PersonName { first, middle, last }))
            .boxed(),
        Shape::Place => ["(\\PC|\n){0,9}", "\\PC{0,9}", "\\PC{0,9}", "\\PC{0,9}", "\\PC{0,9}"]
            .prop_map(|[street, city, region, postal_code, country]| {
                Value::Place(PostalAddress { street, city, region, postal_code, country })
            })
            .boxed(),
        Shape::People => people().boxed(),
        Shape::Files => collection::btree_set("[0-9a-f]{8}", 1..4).prop_map(Value::Files).boxed(),
        Shape::Series => series().boxed(),
    }
}

fn some_fields() -> impl Strategy<Value = Fields> {
    let values = Field::ALL.iter().map(|field| option::of(of(*field)).prop_map(move |value| (*field, value)));
    values.collect::<Vec<_>>().prop_map(|values| {
        let mut fields = Fields::default();
        for (field, value) in values {
            // Lines are trimmed on their way in, whoever writes them.
            let tidy = |text: String| text.trim().to_owned();
            let value = match value {
                Some(Value::Text(text)) if field != Field::Body => Some(Value::Text(tidy(text))),
                Some(Value::Name(PersonName { first, middle, last })) => {
                    Some(Value::Name(PersonName { first: tidy(first), middle: tidy(middle), last: tidy(last) }))
                }
                Some(Value::Place(PostalAddress { street, city, region, postal_code, country })) => {
                    Some(Value::Place(PostalAddress {
                        street,
                        city: tidy(city),
                        region: tidy(region),
                        postal_code: tidy(postal_code),
                        country: tidy(country),
                    }))
                }
                other => other,
            };
            if let Some(value) = value {
                fields.set(field, value).unwrap();
            }
        }
        fields
    })
}

fn anything() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "\\PC{0,12}".prop_map(Json::from),
        sample::select(vec!["2027-01-01", "2027-01-01T00:00:00", "monday", "weekly", "last"]).prop_map(Json::from),
    ];
    let names = sample::select(vec![
        "start",
        "end",
        "zone",
        "first",
        "days",
        "length",
        "minutes",
        "rule",
        "frequency",
        "every",
        "nth",
        "day",
        "month",
        "count",
        "until",
        "exceptions",
        "original",
        "cancelled",
        "fields",
        "address",
        "name",
        "location",
        "street",
        "other",
    ]);
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            collection::vec((names.clone(), inner), 0..6)
                .prop_map(|members| Json::Object(members.into_iter().map(|(n, v)| (n.to_owned(), v)).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(fields in some_fields()) {
        let written = write(&fields);
        prop_assert_eq!(read_from(&written, Source::Row), Ok(fields), "{}", Json::Object(written));
    }

    #[test]
    fn whatever_comes_is_read_or_refused_by_its_path(field in sample::select(Field::ALL), json in anything()) {
        match read_value(field, &json) {
            Ok(value) => {
                prop_assert_eq!(value.shape(), field.shape());
                prop_assert_eq!(read_value(field, &write_value(&value)).map(Value::canonical), Ok(value.canonical()));
            }
            Err(wrong) => {
                prop_assert!(wrong.path.starts_with(field.name()), "{}", wrong.path);
                prop_assert!(!wrong.expected.is_empty());
            }
        }
    }
}

#[test]
fn what_is_wrong_is_told_by_path_and_expectation() {
    let weekly = |rule: Json| json!({ "zone": "Europe/Berlin", "start": "2027-03-01T09:00:00", "length": { "minutes": 30 }, "rule": rule });
    let own = |fields: Json| {
        let mut series = weekly(json!({ "frequency": "daily" }));
        series["exceptions"] = json!([{ "original": "2027-03-02T09:00:00", "fields": fields }]);
        series
    };
    let cases = [
        (Field::Subject, json!(7), "subject", "one line"),
        (Field::Subject, json!("a\nb"), "subject", "one line"),
        (Field::Body, json!("a\0b"), "description", "control characters"),
        (Field::PercentComplete, json!(101), "percent_complete", "0 to 100"),
        (Field::PercentComplete, json!(1.5), "percent_complete", "0 to 100"),
        (Field::Birthday, json!("31.3.2027"), "birthday", "2027-03-31"),
        (Field::DueDate, json!("2027-03-31"), "due_date", "2027-03-31T09:00:00Z"),
        (Field::DueDate, json!("+262143-01-01T00:00:00Z"), "due_date", "instant"),
        (Field::Importance, json!("urgent"), "importance", "low, normal, high"),
        (Field::Time, json!({ "start": "2027-03-31T09:00:00" }), "time.end", "missing"),
        (
            Field::Time,
            json!({ "start": "2027-03-31T09:00:00", "end": "2027-03-31T08:00:00", "zone": "Europe/Berlin" }),
            "time.end",
            "not before start",
        ),
        (
            Field::Time,
            json!({ "start": "2027-03-31T09:00:00", "end": "2027-03-31T10:00:00", "zone": "W. Europe Standard Time" }),
            "time.zone",
            "IANA",
        ),
        (Field::Time, json!({ "first": "2027-03-31", "days": 0 }), "time.days", "1 to"),
        (Field::Time, json!({ "first": "2027-03-31", "zone": "UTC" }), "time.zone", "no such member"),
        (
            Field::RequiredAttendees,
            json!([{ "address": "Ann <ann@example.test>" }]),
            "required_attendees.0.address",
            "display name",
        ),
        (Field::RequiredAttendees, json!([{ "name": "Ann" }]), "required_attendees.0.address", "missing"),
        (
            Field::RequiredAttendees,
            Json::from(vec![json!({ "address": "a@b.test" }); 501]),
            "required_attendees",
            "at most 500",
        ),
        (
            Field::Recurrence,
            weekly(json!({ "frequency": "weekly", "days": [] })),
            "recurrence.rule.days",
            "at least one",
        ),
        (Field::Recurrence, weekly(json!({ "frequency": "hourly" })), "recurrence.rule.frequency", "daily"),
        (
            Field::Recurrence,
            weekly(json!({ "frequency": "monthly", "nth": "fifth", "days": ["monday"] })),
            "recurrence.rule.nth",
            "last",
        ),
        (Field::Recurrence, weekly(json!({ "frequency": "yearly", "day": 1 })), "recurrence.rule.month", "missing"),
        (Field::Recurrence, own(json!({ "subject": 1 })), "recurrence.exceptions.0.fields.subject", "one line"),
        (
            Field::Recurrence,
            own(json!({ "organiser": [] })),
            "recurrence.exceptions.0.fields.organiser",
            "no such member",
        ),
    ];
    for (field, json, path, expected) in cases {
        let wrong = read_value(field, &json).unwrap_err();
        assert_eq!(wrong.path, path, "{json}");
        assert!(wrong.expected.contains(expected), "{}: {json}", wrong.expected);
    }
}

/// J7, J15: the written form is what documents and stored rows hold; it must not change under them.
#[test]
fn the_written_form_stays() {
    let written = json!({
        "zone": "Europe/Berlin",
        "start": "2027-03-01T09:00:00",
        "length": { "minutes": 45 },
        "rule": { "frequency": "monthly", "every": 2, "nth": "last", "days": ["friday"] },
        "count": 10,
        "exceptions": [
            { "original": "2027-05-28T09:00:00", "cancelled": true },
            { "original": "2027-07-30T09:00:00", "start": "2027-07-29T14:00:00", "length": { "minutes": 60 },
              "fields": { "subject": "Moved", "location": null } },
        ],
    });
    let value = read_value(Field::Recurrence, &written).unwrap();
    assert_eq!(write_value(&value), written);
    let all_day = json!({ "first": "2027-03-31", "days": 2 });
    assert_eq!(write_value(&read_value(Field::Time, &all_day).unwrap()), all_day);
}

/// What a request may not say may stand in a row from before, or have come from a mail server: it can still be read.
#[test]
fn rows_are_read_as_they_stand() {
    let twice = json!([{ "address": "a@x.test", "name": "A" }, { "address": "A@x.test" }]);
    for (name, value, path) in [
        ("subject", json!("a\u{202e}b"), "subject"),
        ("subject", json!("a\u{2028}"), "subject"),
        ("required_attendees", twice, "required_attendees.1.address"),
    ] {
        let members = Map::from_iter([(name.to_owned(), value)]);
        assert!(read_from(&members, Source::Row).is_ok(), "{members:?}");
        assert_eq!(read(&members).unwrap_err()[0].path, path);
    }
}
