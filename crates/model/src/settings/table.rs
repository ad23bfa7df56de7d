//! The table of settings. What checks values, what the command line says of them and their page are made from it.

use super::{Group, Order, Setting, Unit};

/// Names that code asks for.
pub mod key {
    /// Shortest time between two looks at an active mailbox.
    pub const ACTIVE_MINIMUM: &str = "active_mailbox_minimum_backoff";
    /// Longest time between two looks at an active mailbox.
    pub const ACTIVE_MAXIMUM: &str = "active_mailbox_maximum_backoff";
    /// Where the times between two looks at an idle mailbox begin.
    pub const IDLE_MINIMUM: &str = "idle_mailbox_minimum_backoff";
    /// Longest time between two looks at an idle mailbox.
    pub const IDLE_MAXIMUM: &str = "idle_mailbox_maximum_backoff";
    /// Postponement after a time-out.
    pub const ON_TIMEOUT: &str = "mailbox_backoff_on_timeout";
    /// Postponement after another transient fault.
    pub const ON_TRANSIENT_ERROR: &str = "mailbox_backoff_on_transient_error";
    /// Transient failures in a row that disable.
    pub const MAX_TRANSIENT_FAILURES: &str = "max_mailbox_transient_failures";
    /// Attempts to send an email.
    pub const MAX_DELIVERY_ATTEMPTS: &str = "maximum_email_delivery_attempts";
    /// Messages of a cycle.
    pub const EMAILS_PER_CYCLE: &str = "incoming_maximum_emails_per_cycle";
    /// How far back processing may begin.
    pub const PROCESS_SINCE_MAX_DAYS: &str = "process_email_since_maximum_days_allowed";
    /// Items of a cycle of appointments, contacts and tasks.
    pub const ITEMS_PER_CYCLE: &str = "maximum_items_per_cycle";
    /// Emails handed out at a time.
    pub const ACTIVITIES_DEQUEUED: &str = "activities_dequeued_per_event";
    /// High mark of outgoing email.
    pub const ACTIVITY_HIGH: &str = "activity_queue_items_in_memory_high";
    /// Low mark of outgoing email.
    pub const ACTIVITY_LOW: &str = "activity_queue_items_in_memory_low";
    /// High mark of mailboxes.
    pub const MAILBOX_HIGH: &str = "mailbox_queue_items_in_memory_high";
    /// Low mark of mailboxes.
    pub const MAILBOX_LOW: &str = "mailbox_queue_items_in_memory_low";
}

const fn setting(
    (group, key, unit): (Group, &'static str, Unit),
    (minimum, maximum): (u32, u32),
    default: u32,
    about: &'static str,
) -> Setting {
    Setting { group, key, unit, minimum, maximum, default: Some(default), about }
}

const HOUR: u32 = 3_600;
const DAY: u32 = 24 * HOUR;

/// Every setting.
pub const SETTINGS: &[Setting] = &[
    setting(
        (Group::Email, key::ACTIVE_MINIMUM, Unit::Seconds),
        (1, DAY),
        120,
        "The shortest time from the end of one look at a mailbox to the next, while many messages come.",
    ),
    setting(
        (Group::Email, key::ACTIVE_MAXIMUM, Unit::Seconds),
        (1, DAY),
        300,
        "The time from the end of one look to the next for a mailbox with ordinary traffic.",
    ),
    setting(
        (Group::Email, key::IDLE_MINIMUM, Unit::Seconds),
        (1, DAY),
        300,
        "The time from which the intervals of an idle mailbox grow, by 1.3 with every look that finds nothing.",
    ),
    setting(
        (Group::Email, key::IDLE_MAXIMUM, Unit::Seconds),
        (1, DAY),
        720,
        "The longest time between two looks at an idle mailbox. Above 720 the promise of one look in 12 minutes no \
         longer holds, and answers say so.",
    ),
    setting(
        (Group::Email, key::ON_TIMEOUT, Unit::Seconds),
        (1, DAY),
        300,
        "How long a mailbox is put off after its server did not answer a request in time.",
    ),
    setting(
        (Group::Email, key::ON_TRANSIENT_ERROR, Unit::Seconds),
        (1, DAY),
        300,
        "How long a mailbox is put off after another fault that may heal by itself.",
    ),
    setting(
        (Group::Email, key::MAX_TRANSIENT_FAILURES, Unit::Times),
        (1, 1_000),
        10,
        "So many faults in a row that might have healed disable a direction of a mailbox until it is tested again.",
    ),
    setting(
        (Group::Email, key::MAX_DELIVERY_ATTEMPTS, Unit::Times),
        (1, 100),
        10,
        "So many attempts are made to send an email before it has failed.",
    ),
    setting(
        (Group::Email, key::EMAILS_PER_CYCLE, Unit::Items),
        (1, 100_000),
        1_000,
        "The most messages one cycle of a mailbox looks at. What is left is due again at once, behind the mailboxes that \
         have waited longer.",
    ),
    Setting {
        group: Group::Email,
        key: key::PROCESS_SINCE_MAX_DAYS,
        unit: Unit::Days,
        minimum: 0,
        maximum: 36_500,
        default: None,
        about: "How many days back the start of processing of a mailbox or profile may be set. Without a value any day may \
                be.",
    },
    setting(
        (Group::Act, key::ACTIVE_MINIMUM, Unit::Seconds),
        (1, DAY),
        300,
        "The shortest time from the end of one look at a mailbox's appointments, contacts and tasks to the next, while \
         many change.",
    ),
    setting(
        (Group::Act, key::ACTIVE_MAXIMUM, Unit::Seconds),
        (1, DAY),
        300,
        "The time from the end of one such look to the next for a mailbox with ordinary changes.",
    ),
    setting(
        (Group::Act, key::IDLE_MINIMUM, Unit::Seconds),
        (1, DAY),
        300,
        "The time from which these intervals grow while nothing changes.",
    ),
    setting(
        (Group::Act, key::IDLE_MAXIMUM, Unit::Seconds),
        (1, DAY),
        720,
        "The longest time between two such looks while nothing changes.",
    ),
    setting(
        (Group::Act, key::ON_TIMEOUT, Unit::Seconds),
        (1, DAY),
        300,
        "How long such a look is put off after the server did not answer a request in time.",
    ),
    setting(
        (Group::Act, key::ON_TRANSIENT_ERROR, Unit::Seconds),
        (1, DAY),
        300,
        "How long such a look is put off after another fault that may heal by itself.",
    ),
    setting(
        (Group::Act, key::ITEMS_PER_CYCLE, Unit::Items),
        (1, 100_000),
        500,
        "The most items one such look takes in. What is left is due again at once.",
    ),
    setting(
        (Group::Queue, key::ACTIVITIES_DEQUEUED, Unit::Items),
        (1, 10_000),
        64,
        "The most emails to be sent that the scheduler hands out in one round.",
    ),
    setting(
        (Group::Queue, key::ACTIVITY_HIGH, Unit::Deliveries),
        (1, 65_535),
        256,
        "With so many emails in its hands an outgoing worker takes no more. It never takes more than its concurrency.",
    ),
    setting(
        (Group::Queue, key::ACTIVITY_LOW, Unit::Deliveries),
        (0, 65_534),
        192,
        "With so few left, an outgoing worker that had stopped takes emails again.",
    ),
    setting(
        (Group::Queue, key::MAILBOX_HIGH, Unit::Deliveries),
        (1, 65_535),
        256,
        "With so many mailboxes in its hands a mailbox worker takes no more. It never takes more than its concurrency.",
    ),
    setting(
        (Group::Queue, key::MAILBOX_LOW, Unit::Deliveries),
        (0, 65_534),
        192,
        "With so few left, a mailbox worker that had stopped takes mailboxes again.",
    ),
];

const fn order(group: Group, low: &'static str, high: &'static str) -> Order {
    Order { group, low, high, apart: false }
}

/// What must not be above what.
pub const ORDERS: &[Order] = &[
    order(Group::Email, key::ACTIVE_MINIMUM, key::ACTIVE_MAXIMUM),
    order(Group::Email, key::IDLE_MINIMUM, key::IDLE_MAXIMUM),
    order(Group::Email, key::ACTIVE_MAXIMUM, key::IDLE_MAXIMUM),
    order(Group::Act, key::ACTIVE_MINIMUM, key::ACTIVE_MAXIMUM),
    order(Group::Act, key::IDLE_MINIMUM, key::IDLE_MAXIMUM),
    order(Group::Act, key::ACTIVE_MAXIMUM, key::IDLE_MAXIMUM),
    Order { group: Group::Queue, low: key::ACTIVITY_LOW, high: key::ACTIVITY_HIGH, apart: true },
    Order { group: Group::Queue, low: key::MAILBOX_LOW, high: key::MAILBOX_HIGH, apart: true },
];
