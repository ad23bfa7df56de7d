//! The conflict table, all of it: who changed what, and what follows.

use super::{Side, rules::Flow};

/// What becomes of one field, or of several that change hands together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Neither side has changed it.
    Unchanged,
    /// Both sides have the same now: that is the new agreement.
    Agreed,
    /// One side's value is written to the other; if both had changed it, the other's is lost and kept in the history.
    Wins {
        /// Whose value is written to the other side.
        side: Side,
        /// Whether the other side's value is lost by it.
        loses: bool,
    },
    /// A change stays where it was made: it may not flow.
    Stays,
}

/// Decides about a field.
///
/// `crm` and `server` say who has changed it since they last agreed, `equal` whether their values are the same now,
/// `later` whose item was modified later by the servers' clocks (a tie is the CRM's).
pub const fn decide(flow: Flow, crm: bool, server: bool, equal: bool, later: Side) -> Outcome {
    const fn wins(side: Side, loses: bool) -> Outcome {
        Outcome::Wins { side, loses }
    }
    let Flow { to_crm, to_server, put_back } = flow;
    match (crm, server) {
        (false, false) => Outcome::Unchanged,
        _ if !to_crm && !to_server => {
            if equal {
                Outcome::Unchanged
            } else {
                Outcome::Stays
            }
        }
        _ if equal => Outcome::Agreed,
        // Only the CRM.
        (true, false) if to_server => wins(Side::Crm, false),
        (true, false) => Outcome::Stays,
        // Only the server.
        (false, true) if to_crm => wins(Side::Server, false),
        (false, true) if put_back => wins(Side::Crm, true),
        (false, true) => Outcome::Stays,
        // Both, differently.
        (true, true) if to_crm && to_server => wins(later, true),
        (true, true) if to_server => wins(Side::Crm, true),
        (true, true) => wins(Side::Server, true),
    }
}
