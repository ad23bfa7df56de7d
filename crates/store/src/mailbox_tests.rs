//! What a test of a mailbox came to, and what follows: the workload is enabled, or its owner hears why not.

use lockstep_model::{
    fault::Fault,
    id::{MailboxId, ProfileId},
};
use serde_json::json;

use crate::{
    Result, Tx,
    alerts::{self, Part, Severity, Subject},
    feed::{self, Change},
    lanes,
};

/// Code of the news that a mailbox works, and in which directions.
const CONNECTED: &str = "MailboxConnected";

/// Code of the alert by which whoever answers for a profile hears of its mailboxes' failed tests.
const TEST_FAILED: &str = "MailboxTestFailed";

/// Result of the test of one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tested {
    /// Its method is none: not tested.
    NotConfigured,
    /// It works.
    Works,
    /// It does not.
    Fails(Fault),
}

impl Tested {
    fn word(&self) -> &'static str {
        match self {
            Self::NotConfigured => "not-run",
            Self::Works => "success",
            Self::Fails(_) => "failure",
        }
    }
}

/// The delivery methods of a mailbox, incoming and outgoing: whether each is served by Lockstep.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn methods(tx: &mut Tx, mailbox: MailboxId) -> Result<Option<(bool, bool)>> {
    let row = sqlx::query!(
        "/* mailbox_tests::methods */ SELECT incoming_method, outgoing_method FROM mailboxes WHERE id = $1",
        mailbox.0,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|r| (r.incoming_method == "server-side", r.outgoing_method == "server-side")))
}

/// Gives a mailbox that has none the start of its processing: its profile's, which may lie in the past so that older
/// email is pulled, else this moment. Later changes of the profile's start pull nothing for it.
async fn start_now(tx: &mut Tx, mailbox: MailboxId) -> Result<bool> {
    let now = tx.now();
    // Headers tell whole seconds.
    let done = sqlx::query!(
        "/* mailbox_tests::start_now */ UPDATE mailboxes m SET process_email_from = COALESCE(
             (SELECT p.process_emails_from FROM email_server_profiles p WHERE p.id = m.profile_id),
             date_trunc('second', $2::timestamptz))
         WHERE m.id = $1 AND m.process_email_from IS NULL",
        mailbox.0,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Notes, with the wish itself, who asks for a test: whatever becomes of it, that is told of the mailbox. A figure, as
/// those of lanes are: the record's version stays.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn attempt(tx: &mut Tx, mailbox: MailboxId, by: &str) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "/* mailbox_tests::attempt */ UPDATE mailboxes SET test_attempted_by = $2, test_attempted_at = $3 WHERE id = $1",
        mailbox.0,
        by,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Stores the results of a test that `by` has asked for, enables what works, disables what does not, realigns the lanes
/// and tells the owner.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn record(tx: &mut Tx, mailbox: MailboxId, by: &str, incoming: &Tested, outgoing: &Tested) -> Result<()> {
    let now = tx.now();
    let row = sqlx::query!(
        "/* mailbox_tests::record */ UPDATE mailboxes SET incoming_test = $2, outgoing_test = $3,
             incoming_enabled = ($2 = 'success'), outgoing_enabled = ($3 = 'success'), tested_at = $4, updated_at = $4,
             tested_by = $5,
             incoming_tested_at = CASE WHEN $2 = 'not-run' THEN incoming_tested_at ELSE $4 END,
             outgoing_tested_at = CASE WHEN $3 = 'not-run' THEN outgoing_tested_at ELSE $4 END,
             enabled_by = CASE WHEN 'success' IN ($2, $3) THEN $5 ELSE enabled_by END,
             enabled_at = CASE WHEN 'success' IN ($2, $3) THEN $4 ELSE enabled_at END,
             version = version + 1
         WHERE id = $1 RETURNING version, address, profile_id",
        mailbox.0,
        incoming.word(),
        outgoing.word(),
        now,
        by,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(()) };
    let (version, address) = (row.version, row.address);
    let mut fields = vec!["incoming_test", "outgoing_test", "incoming_enabled", "outgoing_enabled", "tested_at"];
    if *incoming == Tested::Works && start_now(tx, mailbox).await? {
        fields.push("process_email_from");
    }
    feed::tell(tx, "mailbox", mailbox.0, Change::Updated, &fields, version).await?;
    for (part, tested) in [(Part::Incoming, incoming), (Part::Outgoing, outgoing)] {
        if let Tested::Fails(fault) = tested {
            alerts::resolve_part_but(tx, mailbox, part, Some(&fault.code)).await?;
            let parameters = json!({ "message": fault.message });
            alerts::raise(tx, &fault.code, Severity::Error, Subject::Part(mailbox, part), parameters).await?;
        } else {
            // What is not wanted any more cannot be at fault either.
            alerts::resolve_part(tx, mailbox, part).await?;
        }
    }
    if let Some(profile) = row.profile_id {
        tell_profile(tx, ProfileId(profile), &address, incoming, outgoing).await?;
    }
    let working = [("incoming", incoming), ("outgoing", outgoing)].into_iter().filter(|(_, t)| **t == Tested::Works);
    let working: Vec<_> = working.map(|(method, _)| method).collect();
    let subject = Subject::Mailbox(mailbox);
    if working.is_empty() {
        alerts::resolve(tx, CONNECTED, subject).await?;
    } else {
        let parameters = json!({ "address": address, "methods": working });
        alerts::raise(tx, CONNECTED, Severity::Information, subject, parameters).await?;
    }
    lanes::realign(tx, &[mailbox]).await
}

/// One alert for the profile, as long as the last test of one of its mailboxes has failed.
async fn tell_profile(
    tx: &mut Tx,
    profile: ProfileId,
    address: &str,
    incoming: &Tested,
    outgoing: &Tested,
) -> Result<()> {
    let failing = failing(tx, profile).await?;
    let fault = [incoming, outgoing].into_iter().find_map(|tested| match tested {
        Tested::Fails(fault) => Some(fault),
        _ => None,
    });
    let subject = Subject::Profile(profile);
    if failing == 0 {
        alerts::resolve(tx, TEST_FAILED, subject).await?;
    } else if let Some(fault) = fault {
        let parameters = json!({ "mailboxes": failing, "address": address, "message": fault.message });
        alerts::raise(tx, TEST_FAILED, Severity::Error, subject, parameters).await?;
    }
    Ok(())
}

/// Active mailboxes of a profile whose last test has failed.
async fn failing(tx: &mut Tx, profile: ProfileId) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        "/* mailbox_tests::failing */ SELECT count(*) AS \"count!\" FROM mailboxes
         WHERE profile_id = $1 AND active AND 'failure' IN (incoming_test, outgoing_test)",
        profile.0,
    )
    .fetch_one(tx.connection())
    .await?)
}

/// A mailbox has left a profile, or is tested no more: what its last test came to is over, here and for the profile.
pub(crate) async fn forget(tx: &mut Tx, mailbox: MailboxId, profile: Option<ProfileId>) -> Result<()> {
    for part in [Part::Incoming, Part::Outgoing] {
        alerts::resolve_part(tx, mailbox, part).await?;
    }
    if let Some(profile) = profile
        && failing(tx, profile).await? == 0
    {
        alerts::resolve(tx, TEST_FAILED, Subject::Profile(profile)).await?;
    }
    Ok(())
}
