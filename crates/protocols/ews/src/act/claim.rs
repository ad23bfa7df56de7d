//! Whose mailbox it is: two properties of ours on the calendar, which every mailbox has and nobody can delete. They are
//! apart, so that who says that it is at work never says whose the mailbox is.

use chrono::{DateTime, Utc};
use lockstep_connector::{Deadline, items::Claim};
use lockstep_model::fault::{Fault, FaultScope};

use crate::{
    client::Client,
    codec::{
        folder,
        id::FolderRef,
        property::{Extended, OUR_SET, Property, Shape},
        time, update_folder,
    },
    fault,
};

/// The organisation's id, as text.
const ORGANISATION: Extended = Extended::Named(OUR_SET, "LockstepOrganization", "String");
/// When it last said that it is at work.
const SYNCHRONISED: Extended = Extended::Named(OUR_SET, "LockstepSynchronized", "SystemTime");

const CALENDAR: FolderRef = FolderRef::Distinguished("calendar");

/// Reads it. What is no id is nobody's.
pub(super) async fn read(client: &mut Client, deadline: &Deadline) -> Result<Option<Claim>, Fault> {
    let shape = Shape::ids_and([ORGANISATION, SYNCHRONISED].map(Property::Extended));
    let message = client.call_one(&folder::request(&[CALENDAR], &shape), deadline).await?;
    let message = message.map_err(|refusal| refusal.fault(FaultScope::Mailbox))?;
    let folders = message.list("Folders");
    let calendar = folders.first().ok_or_else(|| fault::violation("an answer without its folder"))?;
    let Some(written) = ORGANISATION.read(calendar) else { return Ok(None) };
    let Ok(organisation) = written.trim().parse() else {
        tracing::warn!("what the mailbox says whose it is cannot be read, and counts as nobody's");
        return Ok(None);
    };
    let synchronised_at = SYNCHRONISED.read(calendar).and_then(time::read);
    Ok(Some(Claim { organisation, synchronised_at }))
}

/// Writes it, whosever it was.
pub(super) async fn write(client: &mut Client, claim: &Claim, deadline: &Deadline) -> Result<(), Fault> {
    let organisation = claim.organisation.to_string();
    let at = claim.synchronised_at.map(time::write);
    let mut values = vec![(ORGANISATION, organisation.as_str())];
    values.extend(at.as_deref().map(|at| (SYNCHRONISED, at)));
    set(client, &values, deadline).await
}

/// Writes the moment alone.
pub(super) async fn note(client: &mut Client, at: DateTime<Utc>, deadline: &Deadline) -> Result<(), Fault> {
    set(client, &[(SYNCHRONISED, &time::write(at))], deadline).await
}

async fn set(client: &mut Client, values: &[(Extended, &str)], deadline: &Deadline) -> Result<(), Fault> {
    let request = update_folder::request(&CALENDAR, "t:CalendarFolder", values);
    let done = client.call_one(&request, deadline).await?;
    done.map(drop).map_err(|refusal| refusal.fault(FaultScope::Mailbox))
}
