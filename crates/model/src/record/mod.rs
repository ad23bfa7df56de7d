//! Contacts, tasks and appointments as every protocol and the CRM share them: typed values by field.
//!
//! A record is a map of values ([`Fields`]); which fields a kind has, and which way each may flow, says its [`schema`].
//! Nothing here decides anything: merging, deleting and expanding series are the engine's.

mod field;
pub mod schema;
pub mod series;
mod state;
mod value;

use std::{collections::BTreeMap, fmt};

use uuid::Uuid;

pub use field::Field;
pub use state::State;
pub use value::{Importance, Invited, PersonName, PostalAddress, Shape, ShowAs, TaskStatus, Value, When};

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A person in the address book.
    Contact,
    /// A single appointment or meeting.
    Appointment,
    /// A series of appointments: its rule, its changed and its cancelled occurrences.
    RecurringAppointment,
    /// An appointment that a service is booked for. Goes to the server only.
    ServiceActivity,
    /// A task.
    Task,
    /// A phone call; a task on the server.
    PhoneCall,
    /// A letter; a task on the server.
    Letter,
    /// A fax; a task on the server.
    Fax,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Contact,
        Self::Appointment,
        Self::RecurringAppointment,
        Self::ServiceActivity,
        Self::Task,
        Self::PhoneCall,
        Self::Letter,
        Self::Fax,
    ];

    /// The name in settings and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::Appointment => "appointment",
            Self::RecurringAppointment => "recurring-appointment",
            Self::ServiceActivity => "service-activity",
            Self::Task => "task",
            Self::PhoneCall => "phone-call",
            Self::Letter => "letter",
            Self::Fax => "fax",
        }
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    )+};
}

ids! {
    /// A record of the CRM, of whatever kind.
    RecordId,
    /// What ties a record to an item of one mailbox.
    LinkId,
}

/// How often a record has been written. Grows with every write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordVersion(pub i64);

/// What the mail server calls a state of an item (`ChangeKey`, `ETag`). Opaque: equal or not equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteVersion(pub String);

/// The values of one record or item. A field without a value is not in the map: empty and absent are the same.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Fields(BTreeMap<Field, Value>);

/// A value of another shape than its field's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongShape {
    /// The field.
    pub field: Field,
    /// What was given.
    pub given: Shape,
}

impl Fields {
    /// Sets a field to the canonical form of a value; an empty value clears it.
    ///
    /// # Errors
    /// The value's shape is not the field's; nothing is set.
    pub fn set(&mut self, field: Field, value: Value) -> Result<(), WrongShape> {
        if value.shape() != field.shape() {
            return Err(WrongShape { field, given: value.shape() });
        }
        self.put(field, value.canonical());
        Ok(())
    }

    /// The value of a field.
    pub fn get(&self, field: Field) -> Option<&Value> {
        self.0.get(&field)
    }

    /// Takes over one field as it stands in `other`, be it that it has no value there.
    pub fn copy(&mut self, field: Field, other: &Self) {
        self.put(field, other.get(field).cloned());
    }

    /// Carries out a patch.
    pub fn apply(&mut self, patch: &Patch) {
        for (field, value) in &patch.0 {
            self.put(*field, value.clone());
        }
    }

    /// All fields that have a value, in the order of [`Field`].
    pub fn iter(&self) -> impl Iterator<Item = (Field, &Value)> {
        self.0.iter().map(|(field, value)| (*field, value))
    }

    /// Whether no field has a value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn put(&mut self, field: Field, value: Option<Value>) {
        match value {
            Some(value) => self.0.insert(field, value),
            None => self.0.remove(&field),
        };
    }
}

/// Fields to write and what to write there; `None` clears a field. What is not named stays as it is.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Patch(BTreeMap<Field, Option<Value>>);

impl Patch {
    /// Adds a field as it stands in `source`.
    pub fn take(&mut self, field: Field, source: &Fields) {
        self.0.insert(field, source.get(field).cloned());
    }

    /// The fields and their new values.
    pub fn iter(&self) -> impl Iterator<Item = (Field, Option<&Value>)> {
        self.0.iter().map(|(field, value)| (*field, value.as_ref()))
    }

    /// The fields that are written.
    pub fn fields(&self) -> impl Iterator<Item = Field> {
        self.0.keys().copied()
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_is_absent_and_shapes_are_kept() {
        let mut fields = Fields::default();
        fields.set(Field::Subject, Value::Text("Plan  \r\n".to_owned())).unwrap();
        assert_eq!(fields.get(Field::Subject), Some(&Value::Text("Plan".to_owned())));
        fields.set(Field::Subject, Value::Text(" \r\n".to_owned())).unwrap();
        assert!(fields.is_empty());
        let refused = fields.set(Field::Subject, Value::Percent(3));
        assert_eq!(refused, Err(WrongShape { field: Field::Subject, given: Shape::Percent }));
    }

    #[test]
    fn a_patch_clears_what_has_no_value_at_its_source() {
        let (mut here, mut there) = (Fields::default(), Fields::default());
        here.set(Field::Subject, Value::Text("old".to_owned())).unwrap();
        here.set(Field::Location, Value::Text("room".to_owned())).unwrap();
        there.set(Field::Body, Value::Text("text".to_owned())).unwrap();
        let mut patch = Patch::default();
        patch.take(Field::Subject, &there);
        patch.take(Field::Body, &there);
        here.apply(&patch);
        let left: Vec<_> = here.iter().map(|(field, _)| field).collect();
        assert_eq!(left, [Field::Body, Field::Location]);
    }
}
