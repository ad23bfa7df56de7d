//! What stops one contact, task or appointment, its neighbours going on.

use super::{Entry, Level};
use crate::fault::FaultScope;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: "ItemNotSynchronized",
        scopes: &[FaultScope::Item],
        level: Level::Warning,
        title: "A contact, task or appointment is not synchronised",
        text: "It could not be brought in step with the mailbox; {next}: {message}",
        remedy: "Correct what the reason names, in the record or in the mailbox: the change is taken up by itself.",
    },
    Entry {
        code: "AppointmentWithoutOrganiser",
        scopes: &[FaultScope::Item],
        level: Level::Warning,
        title: "An appointment has no organiser",
        text: "An appointment is synchronised from its organiser's mailbox, and this one names none: {message}",
        remedy: "Name an organiser in the appointment.",
    },
    Entry {
        code: "ItemUnwritableThere",
        scopes: &[FaultScope::Item],
        level: Level::Warning,
        title: "The mail server has no place for a value",
        text: "A value of a record cannot be written to the mailbox: {message}",
        remedy: "Change the value, or have its field flow to the CRM only.",
    },
    Entry {
        code: "DuplicateItemCollapsed",
        scopes: &[FaultScope::Mailbox],
        level: Level::Information,
        title: "A doubled item was removed",
        text: "The answer to a write was lost and the write was done twice; {items} items equal in every value were moved to the deleted items.",
        remedy: "Nothing needs doing.",
    },
    Entry {
        code: "DeletionsHeld",
        scopes: &[FaultScope::Mailbox],
        level: Level::Warning,
        title: "Deletions wait for a decision",
        text: "{items} contacts, tasks or appointments disappeared on one side at once, and are not deleted on the other.",
        remedy: "Find out why they disappeared. Agree to the deletions (lockstep mailbox agree-deletions) if they are meant; without an answer within 14 days the pairs stay and are no longer linked.",
    },
];
