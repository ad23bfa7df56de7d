//! What users meet where programs and administrators pass: nothing that is not theirs to read is there (404), what is
//! theirs to read but not to write is refused (403), and fields that are withheld are left out. Only the database
//! decides; callers that are no users were admitted by the role of their key, and pass.

use lockstep_engine::send_as::{self, Refusal};
use lockstep_model::{id::UserId, mailbox::Owner};
use lockstep_store::{
    Tx,
    rights::{self, Kind, Ownership, Privilege},
    users,
};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{auth::Caller, merge::Patch, problem::Problem, validate::Check};

/// Lets a caller read a record.
///
/// # Errors
/// 404 for a user who may not: as if it were not there.
pub(crate) async fn reading(tx: &mut Tx, caller: &Caller, kind: Kind, id: Uuid) -> Result<(), Problem> {
    if readable(tx, caller, kind, id).await? { Ok(()) } else { Err(Problem::not_found(kind.as_str())) }
}

/// Whether a caller may read a record. Of callers that are no users this is not asked.
///
/// # Errors
/// When the database is unavailable.
pub(crate) async fn readable(tx: &mut Tx, caller: &Caller, kind: Kind, id: Uuid) -> Result<bool, Problem> {
    let Some(user) = caller.user else { return Ok(true) };
    Ok(rights::may_record(tx, user, kind, id, Privilege::Read).await?)
}

/// The id of what a record is about. Of kinds that are kept here it is the id of a record that this caller may read; other
/// kinds live in other systems, and so does their id.
///
/// # Errors
/// When the database is unavailable. A record that is not there is refused like one that may not be read.
pub(crate) async fn about(
    tx: &mut Tx,
    caller: &Caller,
    check: &mut Check,
    kind: &str,
    id: &str,
) -> Result<String, Problem> {
    // The organisation is no record that anything is about; another system may well have a kind of that name.
    let Some(ours) = Kind::of(kind).filter(|kind| *kind != Kind::Organisation) else { return Ok(id.to_owned()) };
    if let Ok(id) = id.parse::<Uuid>()
        && rights::exists(tx, ours, id).await?
        && readable(tx, caller, ours, id).await?
    {
        return Ok(id.to_string());
    }
    check.refuse("regarding.id", "exists", format!("the id of a record of the kind {kind} that you may read"));
    Ok(id.to_owned())
}

/// Lets a caller do something to a record that exists. Ask while it is locked: its owner may change.
///
/// # Errors
/// 404 for a user who may not read it, 403 for one who may read it and lacks `privilege`.
pub(crate) async fn writing(
    tx: &mut Tx,
    caller: &Caller,
    kind: Kind,
    id: Uuid,
    privilege: Privilege,
) -> Result<(), Problem> {
    let Some(user) = caller.user else { return Ok(()) };
    reading(tx, caller, kind, id).await?;
    if rights::may_record(tx, user, kind, id, privilege).await? {
        return Ok(());
    }
    let (kind, privilege) = (kind.as_str(), privilege.as_str());
    Err(Problem::forbidden(format!("You may read this {kind}; the privilege {privilege} on it is not yours.")))
}

/// Lets a caller make a record with this owner, or hand one over to it.
///
/// # Errors
/// 403 for a user whose privilege does not cover the owner.
pub(crate) async fn owning(
    tx: &mut Tx,
    caller: &Caller,
    kind: Kind,
    privilege: Privilege,
    owner: Ownership,
) -> Result<(), Problem> {
    let Some(user) = caller.user else { return Ok(()) };
    if rights::may(tx, user, kind, privilege, owner).await? {
        return Ok(());
    }
    let (kind, privilege) = (kind.as_str(), privilege.as_str());
    let detail = format!("Your privilege {privilege} on {kind} records does not cover this owner.");
    Err(Problem::forbidden(detail))
}

/// Lets a caller do what concerns the organisation.
///
/// # Errors
/// 403 for a user without the privilege.
pub(crate) async fn organisation(tx: &mut Tx, caller: &Caller, privilege: Privilege) -> Result<(), Problem> {
    let Some(user) = caller.user else { return Ok(()) };
    if rights::may_all(tx, user, Kind::Organisation, privilege).await? {
        return Ok(());
    }
    Err(Problem::forbidden(format!("This needs the privilege {}; it is not yours.", privilege.as_str())))
}

/// Lets a caller send as `from`: a user as itself, as a queue that it may read, and as another user by the privilege
/// send-as-another together with that user's consent.
///
/// # Errors
/// 403 naming the field, whether or not there is such a user.
pub(crate) async fn sending_as(tx: &mut Tx, caller: &Caller, from: Owner) -> Result<(), Problem> {
    match caller.user {
        Some(user) => user_sends_as(tx, user, from).await,
        None => Ok(()),
    }
}

/// Lets a user send as `from`, whoever asks for it: see [`sending_as`].
///
/// # Errors
/// 403 naming the field, whether or not there is such a user or queue.
pub(crate) async fn user_sends_as(tx: &mut Tx, user: UserId, from: Owner) -> Result<(), Problem> {
    let (mut privileged, mut consents, mut reads_queue) = (false, false, false);
    match from {
        Owner::User(other) if other != user => {
            privileged = rights::may_record(tx, user, Kind::User, other.0, Privilege::SendAsAnother).await?;
            consents = users::get(tx, other).await?.is_some_and(|other| other.active && other.allow_send_on_behalf);
        }
        Owner::User(_) => {}
        Owner::Queue(queue) => {
            reads_queue = rights::may_record(tx, user, Kind::Queue, queue.0, Privilege::Read).await?;
        }
    }
    let wish = send_as::Wish { sender: Some(Owner::User(user)), from, privileged, consents, reads_queue };
    let Err(refusal) = send_as::decide(&wish) else { return Ok(()) };
    let (field, remedy) = match refusal {
        Refusal::NoPrivilege => (
            "from.user_id",
            "yourself, or a queue that may be read: sending as another needs the privilege send-as-another on that user",
        ),
        Refusal::NoConsent => {
            ("from.user_id", "yourself, or a user who agrees: this one has not set allow_send_on_behalf")
        }
        Refusal::QueueNotReadable => ("from.queue_id", "yourself, or a queue that may be read"),
    };
    Err(Problem::forbidden_fields([field], remedy))
}

/// Fields that a caller does not read.
#[derive(Debug)]
pub(crate) struct Veil(Vec<String>);

impl Veil {
    /// Those of a kind of record.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub(crate) async fn of(tx: &mut Tx, caller: &Caller, kind: Kind) -> Result<Self, Problem> {
        let Some(user) = caller.user else { return Ok(Self(Vec::new())) };
        Ok(Self(rights::withheld_fields(tx, user, kind, false).await?))
    }

    /// Whether a field is among them.
    pub(crate) fn hides(&self, field: &str) -> bool {
        self.0.iter().any(|hidden| hidden == field)
    }

    /// Lets a list be searched by a field: what cannot be read must not be found out by asking for it.
    ///
    /// # Errors
    /// 403 naming the field.
    pub(crate) fn searching(&self, field: &'static str) -> Result<(), Problem> {
        if self.hides(field) {
            return Err(Problem::forbidden_fields([field], "no search by a field that you may not read"));
        }
        Ok(())
    }

    /// The record as it is shown.
    pub(crate) fn over(&self, record: &impl Serialize) -> Value {
        let mut shown = serde_json::to_value(record).unwrap_or_default();
        if let Value::Object(members) = &mut shown {
            for field in &self.0 {
                members.remove(field);
                // How a delivery goes names the recipients.
                if field == "parties" {
                    members.remove("delivery");
                }
            }
        }
        shown
    }
}

/// The field a member of a request writes.
fn written_through(member: &str) -> &str {
    if matches!(member, "to" | "cc" | "bcc") { "parties" } else { member }
}

/// Lets a caller write these members of a kind of record. A patch is asked by what it holds, not by what it would
/// change: that would tell what a field holds.
///
/// # Errors
/// 403 naming every field that is withheld.
pub(crate) async fn fields(tx: &mut Tx, caller: &Caller, kind: Kind, members: &[String]) -> Result<(), Problem> {
    let Some(user) = caller.user else { return Ok(()) };
    let withheld = rights::withheld_fields(tx, user, kind, true).await?;
    let refused: Vec<&str> = members
        .iter()
        .map(String::as_str)
        .filter(|member| withheld.iter().any(|w| w == written_through(member)))
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    Err(Problem::forbidden_fields(refused, "nothing: no security role of yours lets you write it"))
}

/// Lets a user write these members only; others write all.
///
/// # Errors
/// 403 naming every other one.
pub(crate) fn only(caller: &Caller, patch: &Patch, open: &[&str]) -> Result<(), Problem> {
    if caller.user.is_none() {
        return Ok(());
    }
    let members = patch.members();
    let refused: Vec<&str> = members.iter().map(String::as_str).filter(|member| !open.contains(member)).collect();
    if refused.is_empty() {
        return Ok(());
    }
    Err(Problem::forbidden_fields(refused, format!("nothing: users write only {}", open.join(", "))))
}

/// The members of a record to be made that say something.
pub(crate) fn said(record: &impl Serialize) -> Vec<String> {
    let Ok(Value::Object(members)) = serde_json::to_value(record) else { return Vec::new() };
    let silent = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    members.into_iter().filter(|(_, value)| !silent(value)).map(|(name, _)| name).collect()
}
