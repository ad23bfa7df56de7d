//! Which way a field may flow for one item: the configured direction, the user's rights, and the item's state.

use std::collections::BTreeMap;

use lockstep_model::record::{
    Field,
    schema::{Direction, Directions},
};

/// What may be done with a field in one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// A change at the server is written to the CRM.
    pub to_crm: bool,
    /// A change in the CRM is written to the server.
    pub to_server: bool,
    /// A change at the server is undone there.
    pub put_back: bool,
}

/// What the mailbox's user may do with a field in the CRM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// May read it; otherwise it never leaves the CRM.
    pub readable: bool,
    /// May write it; otherwise a value the user sets at the server disappears again.
    pub writable: bool,
}

impl Access {
    /// No restriction.
    pub const FULL: Self = Self { readable: true, writable: true };
}

/// What the state of an appointment does to all its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Open,
    /// Completed or cancelled in the CRM: changes at the server are not taken over.
    Closed,
    /// A meeting that somebody else holds, and the only copy there is: it may only be read.
    ForeignMeeting,
    /// A meeting that is synchronised from its organiser's mailbox; this copy changes nothing.
    ForeignCopy,
}

/// The rules for one item.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// The configured directions of its kind.
    pub directions: Directions,
    /// Fields with restricted access.
    pub access: BTreeMap<Field, Access>,
    /// Its state.
    pub standing: Standing,
}

impl Rules {
    /// Rules without restrictions of rights or state.
    pub const fn open(directions: Directions) -> Self {
        Self { directions, access: BTreeMap::new(), standing: Standing::Open }
    }

    /// Which way one field may flow.
    pub fn flow(&self, field: Field) -> Flow {
        let direction = self.directions.of_field(field);
        let access = self.access.get(&field).copied().unwrap_or(Access::FULL);
        let (state_to_crm, state_to_server) = match self.standing {
            Standing::Open => (true, true),
            Standing::Closed => (false, true),
            Standing::ForeignMeeting => (true, false),
            Standing::ForeignCopy => (false, false),
        };
        let to_server =
            matches!(direction, Direction::Both | Direction::ToServer) && state_to_server && access.readable;
        let from_server = matches!(direction, Direction::Both | Direction::ToCrm) && state_to_crm;
        Flow {
            to_crm: from_server && access.writable,
            to_server,
            put_back: from_server && to_server && !access.writable,
        }
    }

    /// Which way several fields flow that change hands together: as the most restricted of them.
    pub fn flow_of(&self, unit: &[Field]) -> Flow {
        let start = Flow { to_crm: true, to_server: true, put_back: false };
        unit.iter().map(|field| self.flow(*field)).fold(start, |all, one| {
            let to_server = all.to_server && one.to_server;
            Flow { to_crm: all.to_crm && one.to_crm, to_server, put_back: to_server && (all.put_back || one.put_back) }
        })
    }
}
