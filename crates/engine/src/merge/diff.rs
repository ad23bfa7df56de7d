//! The three-way merge of one item: what changed on each side since they agreed, and what follows for each field.

use lockstep_model::record::{Field, Fields, Kind, Patch, RecordVersion, RemoteVersion, Value, schema};

use super::{
    Base, Rules, Seen, Side,
    conflict::{Outcome, decide},
};

/// Fields that change hands together, though they are several: half of one list of attendees and half of another is
/// nobody's meeting. A body, a recurring series and a time are one field each and so one unit anyhow.
const ATTENDEES: &[Field] = &[Field::RequiredAttendees, Field::OptionalAttendees];

/// The units of a kind, each with its fields.
pub fn units(kind: Kind) -> impl Iterator<Item = Vec<Field>> {
    let fields = schema::fields(kind).iter().map(|row| row.field);
    fields
        .filter(|field| *field != Field::OptionalAttendees)
        .map(|field| if field == Field::RequiredAttendees { ATTENDEES.to_vec() } else { vec![field] })
}

/// A value that gave way to the other side's. It is kept in the record's history.
#[derive(Clone, Debug, PartialEq)]
pub struct Lost {
    /// The field.
    pub field: Field,
    /// The side that had it.
    pub side: Side,
    /// The value; `None` when the field had been cleared there.
    pub value: Option<Value>,
}

/// The result of a merge.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Merge {
    /// What is written to the record.
    pub to_crm: Patch,
    /// What is written to the item.
    pub to_server: Patch,
    /// Fields both sides have the same now without anything being written.
    pub agreed: Vec<Field>,
    /// Fields that differ and may not flow.
    pub stays: Vec<Field>,
    /// What gives way.
    pub lost: Vec<Lost>,
}

impl Merge {
    /// Whether nothing is written to either side.
    pub fn writes_nothing(&self) -> bool {
        self.to_crm.is_empty() && self.to_server.is_empty()
    }

    /// The merged record: the CRM's once everything is written.
    pub fn merged(&self, crm: &Fields) -> Fields {
        let mut merged = crm.clone();
        merged.apply(&self.to_crm);
        merged
    }
}

/// Merges a record and an item.
pub fn merge(base: &Base, crm: &Seen<RecordVersion>, server: &Seen<RemoteVersion>, rules: &Rules) -> Merge {
    let mut result = Merge::default();
    // An echo: the version that our own write produced, or that was read when all was well.
    let same_crm = base.settled.as_ref().is_some_and(|(version, _)| *version == crm.version);
    let same_server = base.settled.as_ref().is_some_and(|(_, version)| *version == server.version);
    if same_crm && same_server {
        return result;
    }
    let later = if server.modified > crm.modified { Side::Server } else { Side::Crm };
    for unit in units(rules.directions.kind()) {
        let differ = |a: &Fields, b: &Fields| unit.iter().any(|field| a.get(*field) != b.get(*field));
        let flow = rules.flow_of(&unit);
        let unclear = unit.iter().any(|field| base.unclear.contains(field));
        // What may flow to the server only, and was perhaps not written, is written again.
        let again = unclear && !flow.to_crm;
        let crm_changed = !same_crm && (again || differ(&crm.fields, &base.crm));
        let server_changed = !same_server && (unclear || differ(&server.fields, &base.server));
        let equal = !differ(&crm.fields, &server.fields);
        match decide(flow, crm_changed, server_changed, equal, later) {
            Outcome::Unchanged => {}
            Outcome::Agreed => result.agreed.extend(&unit),
            Outcome::Stays => result.stays.extend(&unit),
            Outcome::Wins { side, loses } => {
                let (patch, winner, loser) = match side {
                    Side::Crm => (&mut result.to_server, &crm.fields, &server.fields),
                    Side::Server => (&mut result.to_crm, &server.fields, &crm.fields),
                };
                let loser_side = if side == Side::Crm { Side::Server } else { Side::Crm };
                for field in unit {
                    // Only what differs: that it is there afterwards proves that it was written.
                    if winner.get(field) == loser.get(field) {
                        result.agreed.push(field);
                        continue;
                    }
                    patch.take(field, winner);
                    // A server may hold a poorer form of a value (a body without its links). Who changes that one
                    // has never seen what the CRM has.
                    let unseen = side == Side::Server
                        && crm.fields.get(field).is_some()
                        && (crm.fields.get(field) != base.server.get(field) || base.unclear.contains(&field));
                    if loses || unseen {
                        let value = loser.get(field).cloned();
                        result.lost.push(Lost { field, side: loser_side, value });
                    }
                }
            }
        }
    }
    result
}

/// Whether one side has changes that would still flow to the other: what a deletion there would lose.
pub fn is_pending(base: &Base, side: Side, fields: &Fields, rules: &Rules) -> bool {
    units(rules.directions.kind()).any(|unit| {
        let flow = rules.flow_of(&unit);
        let (flows, known) = match side {
            Side::Crm => (flow.to_server, &base.crm),
            Side::Server => (flow.to_crm, &base.server),
        };
        flows && unit.iter().any(|field| fields.get(*field) != known.get(*field))
    })
}
