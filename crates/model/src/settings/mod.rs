//! Settings of the deployment in three groups: what there is, what may be written, and how it is read.

mod table;

use std::{collections::BTreeMap, time::Duration};

pub use table::{ORDERS, SETTINGS, key};

use crate::mailbox::{Lane, words};

words! {
    /// What a setting belongs to.
    Group {
        /// Reading and sending email.
        Email = "email",
        /// Appointments, contacts and tasks.
        Act = "act",
        /// What processes hold in memory.
        Queue = "queue",
    }
}

words! {
    /// What a setting counts.
    Unit {
        /// Seconds.
        Seconds = "seconds",
        /// Days.
        Days = "days",
        /// Times.
        Times = "times",
        /// Items: messages or records.
        Items = "items",
        /// Deliveries of a queue.
        Deliveries = "deliveries",
    }
}

/// A setting. All are whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its group.
    pub group: Group,
    /// Its name, unique in the group.
    pub key: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// Smallest value.
    pub minimum: u32,
    /// Largest value.
    pub maximum: u32,
    /// The value where none was written; `None`: without one there is no limit.
    pub default: Option<u32>,
    /// What it does, in a sentence or two.
    pub about: &'static str,
}

/// Two settings of one group of which the first must not be above the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Their group.
    pub group: Group,
    /// The smaller one.
    pub low: &'static str,
    /// The larger one.
    pub high: &'static str,
    /// They must not be equal either.
    pub apart: bool,
}

/// A value that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The setting.
    pub key: String,
    /// Name of the rule.
    pub rule: &'static str,
    /// What to write instead.
    pub remedy: String,
}

/// The settings of a group, in the order of the table.
pub fn of(group: Group) -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(move |setting| setting.group == group)
}

/// One setting.
pub fn find(group: Group, key: &str) -> Option<&'static Setting> {
    of(group).find(|setting| setting.key == key)
}

/// The longest time between two looks at a mailbox that is promised unless a setting allows more (A10).
pub const PROMISE: Duration = Duration::from_secs(12 * 60);

/// The values of every group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    written: BTreeMap<(Group, String), u32>,
}

impl Settings {
    /// Takes a value as it is stored. One out of its limits, which only another version can have written, counts as the
    /// nearest limit, and one that nobody knows is left alone.
    pub fn put(&mut self, group: Group, key: &str, value: i64) {
        if let Some(setting) = find(group, key) {
            let value = value.clamp(setting.minimum.into(), setting.maximum.into());
            self.written.insert((group, key.to_owned()), u32::try_from(value).unwrap_or(setting.maximum));
        }
    }

    /// The value in force: the one that was written, else the default; `None` where that means no limit.
    pub fn get(&self, group: Group, key: &str) -> Option<u32> {
        let written = self.written.get(&(group, key.to_owned())).copied();
        written.or_else(|| find(group, key).and_then(|setting| setting.default))
    }

    /// Every value in force of a group, in the order of the table.
    pub fn values(&self, group: Group) -> impl Iterator<Item = (&'static Setting, Option<u32>)> {
        of(group).map(move |setting| (setting, self.get(group, setting.key)))
    }

    fn number(&self, group: Group, key: &str) -> u32 {
        self.get(group, key).unwrap_or(u32::MAX)
    }

    fn seconds(&self, group: Group, key: &str) -> Duration {
        Duration::from_secs(self.number(group, key).into())
    }

    /// How often mailboxes are looked at.
    pub fn backoffs(&self, lane: Lane) -> Backoffs {
        let group = group_of(lane);
        Backoffs {
            active: (self.seconds(group, key::ACTIVE_MINIMUM), self.seconds(group, key::ACTIVE_MAXIMUM)),
            idle: (self.seconds(group, key::IDLE_MINIMUM), self.seconds(group, key::IDLE_MAXIMUM)),
            on_timeout: self.seconds(group, key::ON_TIMEOUT),
            on_transient_error: self.seconds(group, key::ON_TRANSIENT_ERROR),
        }
    }

    /// Transient failures in a row that disable a direction of a mailbox.
    pub fn max_transient_failures(&self) -> u32 {
        self.number(Group::Email, key::MAX_TRANSIENT_FAILURES)
    }

    /// Attempts to send an email.
    pub fn max_delivery_attempts(&self) -> u32 {
        self.number(Group::Email, key::MAX_DELIVERY_ATTEMPTS)
    }

    /// Items of one cycle of a lane.
    pub fn items_per_cycle(&self, lane: Lane) -> u32 {
        match lane {
            Lane::Incoming => self.number(Group::Email, key::EMAILS_PER_CYCLE),
            Lane::Act => self.number(Group::Act, key::ITEMS_PER_CYCLE),
        }
    }

    /// How many days back processing may begin; `None`: any.
    pub fn process_since_max_days(&self) -> Option<u32> {
        self.get(Group::Email, key::PROCESS_SINCE_MAX_DAYS)
    }

    /// Emails handed out at a time.
    pub fn activities_dequeued_per_event(&self) -> u32 {
        self.number(Group::Queue, key::ACTIVITIES_DEQUEUED)
    }

    /// High and low mark of what a process holds of mailboxes.
    pub fn mailbox_marks(&self) -> Marks {
        self.marks(key::MAILBOX_HIGH, key::MAILBOX_LOW)
    }

    /// High and low mark of what a process holds of outgoing email.
    pub fn activity_marks(&self) -> Marks {
        self.marks(key::ACTIVITY_HIGH, key::ACTIVITY_LOW)
    }

    fn marks(&self, high: &str, low: &str) -> Marks {
        let clipped = |key: &str| u16::try_from(self.number(Group::Queue, key)).unwrap_or(u16::MAX);
        Marks { high: clipped(high), low: clipped(low) }
    }

    /// What people should know of the values of a group: that mailboxes may wait longer than promised.
    pub fn notices(&self, group: Group) -> Vec<String> {
        let longest = match group {
            Group::Email => self.backoffs(Lane::Incoming).idle.1,
            Group::Act => self.backoffs(Lane::Act).idle.1,
            Group::Queue => return Vec::new(),
        };
        if longest <= PROMISE {
            return Vec::new();
        }
        let minutes = |time: Duration| time.as_secs().div_ceil(60);
        vec![format!(
            "Idle mailboxes are looked at up to {} minutes apart: longer than the {} minutes that are promised otherwise.",
            minutes(longest),
            minutes(PROMISE)
        )]
    }
}

/// The group whose back-offs a lane has.
pub fn group_of(lane: Lane) -> Group {
    match lane {
        Lane::Incoming => Group::Email,
        Lane::Act => Group::Act,
    }
}

/// Times between two cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoffs {
    /// Shortest and longest, of a mailbox in which something happens.
    pub active: (Duration, Duration),
    /// Shortest and longest, of a mailbox in which nothing happens.
    pub idle: (Duration, Duration),
    /// After a time-out.
    pub on_timeout: Duration,
    /// After any other transient fault of the mailbox.
    pub on_transient_error: Duration,
}

/// At `high` nothing more is taken, until `low` is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Stop here.
    pub high: u16,
    /// Go on here.
    pub low: u16,
}

impl Marks {
    /// Nothing is held back.
    pub const NONE: Self = Self { high: u16::MAX, low: u16::MAX - 1 };
}

/// Whether a group may have these values: what is written, without what is left to its default.
///
/// # Errors
/// Every broken rule, with the setting and a remedy.
pub fn check(group: Group, written: &BTreeMap<String, i64>) -> Result<Settings, Vec<Refusal>> {
    let mut refused = Vec::new();
    let mut settings = Settings::default();
    for (key, value) in written {
        let Some(setting) = find(group, key) else {
            let known: Vec<_> = of(group).map(|setting| setting.key).collect();
            let remedy = format!("one of the settings of the group {group}: {}", known.join(", "));
            refused.push(Refusal { key: key.clone(), rule: "unknown", remedy });
            continue;
        };
        if (i64::from(setting.minimum)..=i64::from(setting.maximum)).contains(value) {
            settings.put(group, key, *value);
        } else {
            let remedy = format!("a whole number from {} to {} ({})", setting.minimum, setting.maximum, setting.unit);
            refused.push(Refusal { key: key.clone(), rule: "range", remedy });
        }
    }
    if refused.is_empty() {
        refused.extend(ORDERS.iter().filter(|order| order.group == group).filter_map(|order| broken(order, &settings)));
    }
    if refused.is_empty() { Ok(settings) } else { Err(refused) }
}

fn broken(order: &Order, settings: &Settings) -> Option<Refusal> {
    let (low, high) = (settings.get(order.group, order.low)?, settings.get(order.group, order.high)?);
    let holds = if order.apart { low < high } else { low <= high };
    let word = if order.apart { "below" } else { "at most" };
    (!holds).then(|| Refusal {
        key: order.low.to_owned(),
        rule: "order",
        remedy: format!("a value {word} {}, which is {high}; or raise that one in the same request", order.high),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(values: &[(&str, i64)]) -> BTreeMap<String, i64> {
        values.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect()
    }

    fn rules(group: Group, values: &[(&str, i64)]) -> Vec<(String, &'static str)> {
        check(group, &written(values)).map_or_else(|r| r.into_iter().map(|r| (r.key, r.rule)).collect(), |_| Vec::new())
    }

    /// N11: the table keeps its own rules.
    #[test]
    fn n11_the_table_is_in_order() {
        for (at, setting) in SETTINGS.iter().enumerate() {
            assert!(setting.minimum < setting.maximum, "{}", setting.key);
            let fits = |value: u32| (setting.minimum..=setting.maximum).contains(&value);
            assert!(setting.default.is_none_or(fits), "{}", setting.key);
            assert!(setting.about.ends_with('.') && setting.about.len() > 20, "{}", setting.key);
            assert!(
                !SETTINGS[..at].iter().any(|s| (s.group, s.key) == (setting.group, setting.key)),
                "{}",
                setting.key
            );
        }
        for order in ORDERS {
            assert!(find(order.group, order.low).is_some() && find(order.group, order.high).is_some(), "{order:?}");
        }
        for group in Group::ALL {
            assert!(of(*group).next().is_some());
            assert!(check(*group, &BTreeMap::new()).is_ok(), "the defaults of {group} are allowed");
        }
    }

    /// N11: limits and orders are told with the setting and a remedy; all that is wrong at once.
    #[test]
    fn n11_values_are_checked() {
        assert_eq!(rules(Group::Email, &[(key::ACTIVE_MINIMUM, 0)]), [(key::ACTIVE_MINIMUM.to_owned(), "range")]);
        assert_eq!(rules(Group::Email, &[("nonsense", 1), (key::ON_TIMEOUT, -1)]).len(), 2);
        assert_eq!(
            rules(Group::Email, &[(key::ACTIVE_MINIMUM, 301)]),
            [(key::ACTIVE_MINIMUM.to_owned(), "order")],
            "against the default of the other"
        );
        assert!(rules(Group::Email, &[(key::ACTIVE_MINIMUM, 301), (key::ACTIVE_MAXIMUM, 301)]).is_empty());
        let level = [(key::MAILBOX_HIGH, 8), (key::MAILBOX_LOW, 8)];
        assert_eq!(rules(Group::Queue, &level), [(key::MAILBOX_LOW.to_owned(), "order")], "marks lie apart");
        let refused = check(Group::Queue, &written(&level)).unwrap_err();
        assert!(refused[0].remedy.contains(key::MAILBOX_HIGH) && refused[0].remedy.contains('8'), "{refused:?}");
    }

    /// N7: the defaults are the promise; who asks for more is told.
    #[test]
    fn n7_longer_than_promised_is_told() {
        let mut settings = Settings::default();
        assert_eq!(settings.backoffs(Lane::Incoming).idle.1, PROMISE);
        assert!(settings.notices(Group::Email).is_empty() && settings.notices(Group::Queue).is_empty());
        settings.put(Group::Email, key::IDLE_MAXIMUM, 1800);
        assert_eq!(settings.notices(Group::Email).len(), 1);
        assert!(settings.notices(Group::Email)[0].contains("30 minutes"));
    }

    #[test]
    fn what_another_version_wrote_stays_within_limits() {
        let mut settings = Settings::default();
        settings.put(Group::Queue, key::MAILBOX_HIGH, i64::MAX);
        settings.put(Group::Queue, "of-another-version", 5);
        assert_eq!(settings.mailbox_marks().high, u16::MAX);
        assert_eq!(settings.get(Group::Queue, "of-another-version"), None);
        assert_eq!(settings.process_since_max_days(), None, "no limit");
    }
}
