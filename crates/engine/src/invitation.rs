//! Whether the people invited to a meeting hear of what is written to a calendar.

use lockstep_model::record::Field;

/// What an invitation depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// The mailbox's user holds it.
    pub organiser: bool,
    /// Somebody is invited.
    pub attendees: bool,
    /// It has begun; of a series, its last occurrence is over.
    pub past: bool,
    /// An appointment of a service: everybody has an own copy, and nobody is told.
    pub service: bool,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening<'a> {
    /// It appears in the calendar for the first time.
    Created,
    /// These fields change.
    Changed(&'a [Field]),
    /// It is called off, or leaves the calendar.
    Cancelled,
}

/// Fields whose change attendees have to know.
pub const SENSITIVE: &[Field] = &[
    Field::Subject,
    Field::Body,
    Field::Location,
    Field::Time,
    Field::RequiredAttendees,
    Field::OptionalAttendees,
    Field::Organiser,
    Field::ShowAs,
    Field::Importance,
    Field::Recurrence,
];

/// Whether attendees hear of it. `past_too`: the organisation tells them of changes of past meetings as well.
pub fn is_told(meeting: Meeting, what: Happening<'_>, past_too: bool) -> bool {
    let Meeting { organiser, attendees, past, service } = meeting;
    if !organiser || !attendees || service {
        return false;
    }
    match what {
        Happening::Created | Happening::Cancelled => !past,
        Happening::Changed(fields) => (!past || past_too) && fields.iter().any(|field| SENSITIVE.contains(field)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// J4: only the organiser's mailbox tells, only people who are invited, and of what is still to come.
    #[test]
    fn j4_who_hears_of_what() {
        let meeting = Meeting { organiser: true, attendees: true, past: false, service: false };
        let (moved, dull) = (Happening::Changed(&[Field::Time]), Happening::Changed(&[Field::Regarding]));
        for what in [Happening::Created, moved, Happening::Cancelled] {
            assert!(is_told(meeting, what, false), "{what:?}");
            for quiet in [
                Meeting { organiser: false, ..meeting },
                Meeting { attendees: false, ..meeting },
                Meeting { past: true, ..meeting },
                Meeting { service: true, ..meeting },
            ] {
                assert!(!is_told(quiet, what, false), "{quiet:?} {what:?}");
            }
        }
        assert!(!is_told(meeting, dull, true));
        assert!(!is_told(meeting, Happening::Changed(&[]), true));
    }

    /// J12: changes of past meetings are told where the organisation wants it; what is new or called off is not.
    #[test]
    fn j12_past_meetings() {
        let past = Meeting { organiser: true, attendees: true, past: true, service: false };
        assert!(is_told(past, Happening::Changed(&[Field::Time]), true));
        assert!(!is_told(past, Happening::Created, true));
        assert!(!is_told(past, Happening::Cancelled, true));
    }
}
