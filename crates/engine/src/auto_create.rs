//! Whether the unknown sender of a tracked email becomes a contact or a lead.

use lockstep_model::email::{AutoCreate, PartyKind};

/// What is known of a tracked email and its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender<'a> {
    /// Author's address, as it is looked up.
    pub address_key: &'a str,
    /// Whether any record has the address, resolved or not.
    pub known: bool,
    /// The Auto-Submitted field (RFC 3834), lower case.
    pub auto_submitted: Option<&'a str>,
    /// The Precedence field, lower case.
    pub precedence: Option<&'a str>,
    /// Whether a mailing list's fields stand there (RFC 2369, RFC 2919).
    pub is_list: bool,
    /// Whether the envelope's sender is empty, as in bounces (RFC 5321 §4.5.5).
    pub is_bounce: bool,
    /// Whether the mark of a system like this one stands there.
    pub is_loop: bool,
}

/// Local parts that no person reads.
const NOBODY: &[&str] = &[
    "mailer-daemon",
    "postmaster",
    "noreply",
    "no-reply",
    "no_reply",
    "donotreply",
    "do-not-reply",
    "do_not_reply",
    "bounce",
    "bounces",
    "abuse",
];

/// The kind of record to create, if any. Machines, lists and bounces never become people.
pub fn decide(allowed: bool, option: AutoCreate, sender: &Sender<'_>) -> Option<PartyKind> {
    if !allowed || sender.known || is_machine(sender) {
        return None;
    }
    match option {
        AutoCreate::Off => None,
        AutoCreate::Contact => Some(PartyKind::Contact),
        AutoCreate::Lead => Some(PartyKind::Lead),
    }
}

fn is_machine(sender: &Sender<'_>) -> bool {
    let local = sender.address_key.split('@').next().unwrap_or_default();
    let local = local.split('+').next().unwrap_or_default();
    sender.is_list
        || sender.is_bounce
        || sender.is_loop
        || sender.auto_submitted.is_some_and(|value| value != "no")
        || matches!(sender.precedence, Some("bulk" | "list" | "junk" | "auto_reply"))
        || NOBODY.contains(&local)
}
