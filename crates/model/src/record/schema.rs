//! Which fields a kind has, and which way each may flow.

use std::collections::BTreeMap;

use super::{Field, Kind};

/// Which way a field flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Both ways.
    Both,
    /// From the server to the CRM only.
    ToCrm,
    /// From the CRM to the server only.
    ToServer,
    /// Not at all.
    Neither,
}

impl Direction {
    /// Every direction.
    pub const ALL: [Self; 4] = [Self::Both, Self::ToCrm, Self::ToServer, Self::Neither];

    /// The name in settings and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::ToCrm => "to-crm",
            Self::ToServer => "to-server",
            Self::Neither => "neither",
        }
    }
}

/// One field of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The field.
    pub field: Field,
    /// The direction nobody has changed.
    pub default: Direction,
    /// Whether an administrator may choose another.
    pub settable: bool,
}

const fn free(field: Field) -> Row {
    Row { field, default: Direction::Both, settable: true }
}

const fn fixed(field: Field) -> Row {
    Row { field, default: Direction::Both, settable: false }
}

const fn out(field: Field) -> Row {
    Row { field, default: Direction::ToServer, settable: false }
}

/// Direction follows from the organisation's setting; see [`Options`].
const fn computed(field: Field) -> Row {
    Row { field, default: Direction::Neither, settable: false }
}

const APPOINTMENT: &[Row] = &[
    fixed(Field::Time),
    computed(Field::Attachments),
    free(Field::Body),
    fixed(Field::Importance),
    free(Field::Location),
    fixed(Field::OptionalAttendees),
    fixed(Field::Organiser),
    fixed(Field::Regarding),
    fixed(Field::RequiredAttendees),
    fixed(Field::ShowAs),
    free(Field::Subject),
];

const RECURRING_APPOINTMENT: &[Row] = &[
    fixed(Field::Recurrence),
    free(Field::Body),
    fixed(Field::Importance),
    free(Field::Location),
    fixed(Field::OptionalAttendees),
    fixed(Field::Organiser),
    fixed(Field::Regarding),
    fixed(Field::RequiredAttendees),
    fixed(Field::ShowAs),
    free(Field::Subject),
];

const SERVICE_ACTIVITY: &[Row] = &[
    out(Field::Time),
    out(Field::Importance),
    out(Field::Location),
    out(Field::Body),
    out(Field::OptionalAttendees),
    out(Field::Organiser),
    out(Field::Regarding),
    out(Field::RequiredAttendees),
    out(Field::ShowAs),
    out(Field::Subject),
];

const TASK: &[Row] = &[
    free(Field::PercentComplete),
    free(Field::CompletedDate),
    free(Field::DueDate),
    fixed(Field::Importance),
    free(Field::Body),
    fixed(Field::Regarding),
    free(Field::StartDate),
    fixed(Field::Status),
    free(Field::Subject),
];

/// Phone call, letter and fax: a task without a percentage.
const OTHER_TASK: &[Row] = TASK.split_at(1).1;

const CONTACT: &[Row] = &[
    free(Field::Anniversary),
    free(Field::Assistant),
    free(Field::AssistantPhone),
    free(Field::Birthday),
    free(Field::BusinessFax),
    free(Field::BusinessPhone),
    free(Field::BusinessPhone2),
    free(Field::Callback),
    free(Field::Children),
    free(Field::CompanyPhone),
    free(Field::Department),
    free(Field::Email1),
    free(Field::Email2),
    free(Field::Email3),
    free(Field::FtpSite),
    fixed(Field::FullName),
    free(Field::GovernmentId),
    free(Field::HomePhone),
    free(Field::HomePhone2),
    free(Field::JobTitle),
    free(Field::MailingAddress),
    free(Field::Manager),
    free(Field::MobilePhone),
    free(Field::Nickname),
    free(Field::Body),
    computed(Field::OtherAddress),
    free(Field::OtherPhone),
    free(Field::Pager),
    fixed(Field::Company),
    free(Field::Spouse),
    free(Field::WebPage),
    free(Field::YomiFirstName),
    free(Field::YomiLastName),
    computed(Field::HomeAddress),
];

/// The fields of a kind.
pub const fn fields(kind: Kind) -> &'static [Row] {
    match kind {
        Kind::Contact => CONTACT,
        Kind::Appointment => APPOINTMENT,
        Kind::RecurringAppointment => RECURRING_APPOINTMENT,
        Kind::ServiceActivity => SERVICE_ACTIVITY,
        Kind::Task => TASK,
        Kind::PhoneCall | Kind::Letter | Kind::Fax => OTHER_TASK,
    }
}

/// Organisation settings that decide computed directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Options {
    /// Attachments of single appointments are synchronised.
    pub attachments: bool,
    /// Home and other address of contacts are synchronised, not only the mailing address.
    pub all_addresses: bool,
}

/// The directions of one kind in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directions {
    kind: Kind,
    by_field: BTreeMap<Field, Direction>,
}

/// Why a direction was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The kind has no such field.
    NoSuchField,
    /// The field's direction is not settable.
    Fixed,
}

impl Directions {
    /// The directions nobody has changed.
    pub fn of(kind: Kind, options: Options) -> Self {
        let direction = |row: &Row| match row.field {
            Field::Attachments if options.attachments => Direction::Both,
            Field::HomeAddress | Field::OtherAddress if options.all_addresses => Direction::Both,
            _ => row.default,
        };
        Self { kind, by_field: fields(kind).iter().map(|row| (row.field, direction(row))).collect() }
    }

    /// Chooses another direction.
    ///
    /// # Errors
    /// The field is not the kind's, or is fixed.
    pub fn choose(&mut self, field: Field, direction: Direction) -> Result<(), Refused> {
        let row = fields(self.kind).iter().find(|row| row.field == field).ok_or(Refused::NoSuchField)?;
        if !row.settable {
            return Err(Refused::Fixed);
        }
        self.by_field.insert(field, direction);
        Ok(())
    }

    /// The kind they are for.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The direction of a field; [`Direction::Neither`] for one the kind does not have.
    pub fn of_field(&self, field: Field) -> Direction {
        self.by_field.get(&field).copied().unwrap_or(Direction::Neither)
    }

    /// Every field of the kind with its direction.
    pub fn iter(&self) -> impl Iterator<Item = (Field, Direction)> {
        self.by_field.iter().map(|(field, direction)| (*field, *direction))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_field_is_listed_twice_and_none_is_forgotten() {
        let mut used = BTreeSet::new();
        for kind in Kind::ALL {
            let of_kind: BTreeSet<_> = fields(kind).iter().map(|row| row.field).collect();
            assert_eq!(of_kind.len(), fields(kind).len(), "{kind:?}");
            used.extend(of_kind);
        }
        assert_eq!(used.len(), Field::ALL.len());
        let names: BTreeSet<_> = Field::ALL.iter().map(|field| field.name()).collect();
        assert_eq!(names.len(), Field::ALL.len());
    }

    /// L11, L12: some directions are for the administrator to choose, some are not.
    #[test]
    fn fixed_directions_are_refused() {
        let mut directions = Directions::of(Kind::Appointment, Options::default());
        assert_eq!(directions.choose(Field::Body, Direction::Neither), Ok(()));
        assert_eq!(directions.of_field(Field::Body), Direction::Neither);
        for fixed in [
            Field::Time,
            Field::Importance,
            Field::OptionalAttendees,
            Field::Organiser,
            Field::Regarding,
            Field::RequiredAttendees,
            Field::ShowAs,
            Field::Attachments,
        ] {
            assert_eq!(directions.choose(fixed, Direction::Neither), Err(Refused::Fixed), "{fixed:?}");
        }
        assert_eq!(directions.choose(Field::Pager, Direction::Both), Err(Refused::NoSuchField));
        let mut contact = Directions::of(Kind::Contact, Options::default());
        assert_eq!(contact.choose(Field::FullName, Direction::ToCrm), Err(Refused::Fixed));
        assert_eq!(contact.choose(Field::Company, Direction::ToCrm), Err(Refused::Fixed));
        assert_eq!(contact.choose(Field::Pager, Direction::ToCrm), Ok(()));
    }

    /// J11, J14, K3: what the settings compute, and what goes one way only.
    #[test]
    fn computed_and_one_way_directions() {
        let all = Options { attachments: true, all_addresses: true };
        for (kind, field, without, with) in [
            (Kind::Appointment, Field::Attachments, Direction::Neither, Direction::Both),
            (Kind::RecurringAppointment, Field::Attachments, Direction::Neither, Direction::Neither),
            (Kind::ServiceActivity, Field::Attachments, Direction::Neither, Direction::Neither),
            (Kind::Contact, Field::MailingAddress, Direction::Both, Direction::Both),
            (Kind::Contact, Field::HomeAddress, Direction::Neither, Direction::Both),
            (Kind::Contact, Field::OtherAddress, Direction::Neither, Direction::Both),
            (Kind::Fax, Field::PercentComplete, Direction::Neither, Direction::Neither),
        ] {
            assert_eq!(Directions::of(kind, Options::default()).of_field(field), without, "{kind:?} {field:?}");
            assert_eq!(Directions::of(kind, all).of_field(field), with, "{kind:?} {field:?}");
        }
        let service = Directions::of(Kind::ServiceActivity, all);
        assert!(service.iter().all(|(_, direction)| direction == Direction::ToServer));
    }
}
