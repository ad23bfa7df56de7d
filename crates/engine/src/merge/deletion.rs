//! The table of deletions: what disappears on one side, and what becomes of the other.

use lockstep_model::record::Kind;

/// What happened to one side of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The record was deleted.
    RecordDeleted,
    /// The record no longer matches the user's filters, or the user may no longer read it.
    RecordLeft,
    /// The record was given to another user, who has it in the own mailbox now.
    RecordReassigned,
    /// The appointment was cancelled in the CRM.
    RecordCancelled,
    /// The item was deleted on the server.
    ItemDeleted,
}

/// What the table asks about a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The record's kind.
    pub kind: Kind,
    /// The mailbox's user is the meeting's organiser.
    pub organiser: bool,
    /// The mailbox's user owns the record.
    pub owner: bool,
    /// The appointment has begun; of a series, its last occurrence has.
    pub past: bool,
    /// Completed or cancelled in the CRM.
    pub closed: bool,
    /// The task is completed on the server.
    pub completed_there: bool,
}

/// What an organisation chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choices {
    /// A record that leaves the filters is deleted in the mailbox instead of unlinked.
    pub leaving_deletes: bool,
    /// A task deleted on the server is deleted in the CRM.
    pub tasks_are_deleted_in_crm: bool,
    /// A meeting cancelled in the CRM is cancelled on the server.
    pub cancelling_spreads: bool,
}

impl Default for Choices {
    fn default() -> Self {
        Self { leaving_deletes: false, tasks_are_deleted_in_crm: true, cancelling_spreads: false }
    }
}

/// Why the other side is not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The record has only left the filters.
    LeftFilters,
    /// Somebody else holds the meeting.
    NotOrganiser,
    /// It has begun already.
    Past,
    /// The appointment is closed in the CRM.
    Closed,
    /// Who owns the contact decides.
    Ownership,
    /// The task is completed, and kept as that.
    Completed,
    /// The organisation has switched it off.
    SwitchedOff,
    /// The kind flows to the server only.
    OneWay,
    /// The other side has been changed meanwhile: what was changed is not deleted.
    Changed,
    /// Nobody answered within [`super::brake::HELD_FOR`] whether it should be deleted.
    NobodyAgreed,
}

/// What becomes of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is deleted (a meeting is cancelled).
    Delete,
    /// It stays, and is no longer linked.
    Unlink(Why),
    /// It stays, and stays linked.
    Keep(Why),
}

/// Looks up the table.
pub const fn judge(event: Event, facts: Facts, choices: Choices) -> Verdict {
    use Event::{ItemDeleted, RecordCancelled, RecordDeleted, RecordLeft, RecordReassigned};
    use Kind::{Appointment, Contact, Fax, Letter, PhoneCall, RecurringAppointment, ServiceActivity, Task};
    use Verdict::{Delete, Keep, Unlink};
    let Facts { kind, organiser, owner, past, closed, completed_there } = facts;
    match (event, kind) {
        // A contact that changes hands leaves the one mailbox for the other; whoever left the filters otherwise is
        // only let go, unless the organisation wants it gone.
        (RecordLeft, Contact) if !choices.leaving_deletes => Unlink(Why::LeftFilters),
        (RecordDeleted | RecordLeft | RecordReassigned, Contact) if owner => Unlink(Why::Ownership),
        (RecordDeleted | RecordLeft | RecordReassigned, Contact) => Delete,
        (ItemDeleted, Contact) if owner => Delete,
        (ItemDeleted, Contact) => Unlink(Why::Ownership),

        (RecordLeft | RecordReassigned, Appointment | RecurringAppointment) => Unlink(Why::LeftFilters),
        (RecordLeft | RecordReassigned, _) if !choices.leaving_deletes => Unlink(Why::LeftFilters),

        (RecordDeleted, Appointment | RecurringAppointment) if !organiser => Unlink(Why::NotOrganiser),
        (RecordDeleted, Appointment | RecurringAppointment | ServiceActivity) if past => Unlink(Why::Past),
        (RecordDeleted, Appointment | RecurringAppointment) => Delete,
        (RecordDeleted | RecordLeft | RecordReassigned, ServiceActivity) => Delete,

        (RecordDeleted | RecordLeft | RecordReassigned, Task | PhoneCall | Letter | Fax) if completed_there => {
            Unlink(Why::Completed)
        }
        (RecordDeleted | RecordLeft | RecordReassigned, Task | PhoneCall | Letter | Fax) => Delete,

        (RecordCancelled, Appointment | RecurringAppointment) if !choices.cancelling_spreads => Keep(Why::SwitchedOff),
        (RecordCancelled, Appointment | RecurringAppointment) if !organiser => Keep(Why::NotOrganiser),
        (RecordCancelled, Appointment | RecurringAppointment) if past => Keep(Why::Past),
        (RecordCancelled, Appointment | RecurringAppointment) => Delete,
        (RecordCancelled, _) => Keep(Why::OneWay),

        (ItemDeleted, Appointment | RecurringAppointment) if closed => Unlink(Why::Closed),
        (ItemDeleted, Appointment | RecurringAppointment) if !organiser => Unlink(Why::NotOrganiser),
        (ItemDeleted, Appointment) if past => Unlink(Why::Past),
        (ItemDeleted, Appointment | RecurringAppointment) => Delete,
        (ItemDeleted, ServiceActivity) => Unlink(Why::OneWay),
        (ItemDeleted, Task | PhoneCall | Letter | Fax) if !choices.tasks_are_deleted_in_crm => Unlink(Why::SwitchedOff),
        (ItemDeleted, Task | PhoneCall | Letter | Fax) => Delete,
    }
}
