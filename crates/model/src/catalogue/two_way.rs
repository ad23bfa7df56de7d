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
        code: "AppointmentAttachmentsLeftOut",
        scopes: &[FaultScope::Item],
        level: Level::Warning,
        title: "Attachments of an appointment are left out",
        text: "{items} of its attachments are not synchronised and stay where they are: {message}",
        remedy: "Make the file smaller or another kind of file, or let the organisation accept it (max_attachment_bytes, blocked_extensions): the next change of the appointment takes it up.",
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
        code: "MailboxOfAnotherOrganization",
        scopes: &[FaultScope::Mailbox],
        level: Level::Error,
        title: "Another organisation synchronises this mailbox",
        text: "Contacts, tasks and appointments of a mailbox are kept in step with one organisation, and this one's are with another: {message}",
        remedy: "Set act_method to none here, or take the mailbox over: lockstep mailbox test --take-over-items. The other organisation then stops.",
    },
    Entry {
        code: "DeletionsHeld",
        scopes: &[FaultScope::Mailbox],
        level: Level::Warning,
        title: "Deletions wait for a decision",
        text: "{items} contacts, tasks or appointments disappeared on one side at once, and are not deleted on the other.",
        remedy: "Find out why they disappeared. Agree to the deletions (lockstep mailbox agree-deletions) if they are meant; without an answer within 14 days the pairs stay and are no longer linked.",
    },
    Entry {
        code: "SchedulingConflict",
        scopes: &[FaultScope::Item],
        level: Level::Error,
        title: "An appointment clashes with another",
        text: "A tracked appointment of the mailbox, which starts {starts}, takes time that is taken in the CRM by {record}. It waits for an answer.",
        remedy: "Answer yes (lockstep alert answer) to have it in the CRM all the same, or no to leave it in the mailbox for good unless its time changes. Where one of the two is moved, it is taken over by itself.",
    },
    Entry {
        code: "DuplicateContact",
        scopes: &[FaultScope::Item],
        level: Level::Error,
        title: "A contact is in the CRM already",
        text: "A tracked contact of the mailbox seems to be {record}. It waits for an answer: {answers}.",
        remedy: "Answer (lockstep alert answer) with link to tie it to that record, create for a second record, or ignore to leave it in the mailbox; link is offered where the record belongs into the mailbox and has no item there.",
    },
];
