//! What a test of a mailbox came to, and what follows: the workload is enabled, or its owner hears why not.

pub mod act;
pub mod waiting;

use lockstep_model::{
    fault::Fault,
    id::{MailboxId, ProfileId},
    mailbox::Lane,
};
use serde_json::json;

use crate::{
    Result, Tx,
    alerts::{self, Part, Severity, Subject},
    audit,
    deliveries::health,
    feed::{self, Change},
    lanes,
};

/// The kind of the operation that tests a mailbox.
pub const KIND: &str = "test-and-enable-mailbox";

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

/// What there is to test of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// An inactive mailbox is not tested.
    pub active: bool,
    /// Its incoming email is served by Lockstep.
    pub incoming: bool,
    /// Its outgoing email is.
    pub outgoing: bool,
}

/// What there is to test of a mailbox; `None` when it does not exist.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn wanted(tx: &mut Tx, mailbox: MailboxId) -> Result<Option<Wanted>> {
    let row = sqlx::query!(
        "/* mailbox_tests::wanted */ SELECT active, incoming_method, outgoing_method FROM mailboxes WHERE id = $1",
        mailbox.0,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|r| Wanted {
        active: r.active,
        incoming: r.incoming_method == "server-side",
        outgoing: r.outgoing_method == "server-side",
    }))
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
async fn attempt(tx: &mut Tx, mailbox: MailboxId, by: &str) -> Result<()> {
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
    write(tx, mailbox, by, [(incoming, false), (outgoing, false)]).await
}

/// Stores what an attempt at a test came to that is made again by itself, because a fault may heal: what works is
/// enabled; what fails for good is disabled, and what may heal left as it is, with a warning. Who has tested, and when,
/// is told at the end.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn record_so_far(
    tx: &mut Tx,
    mailbox: MailboxId,
    by: &str,
    incoming: (&Tested, bool),
    outgoing: (&Tested, bool),
) -> Result<()> {
    write(tx, mailbox, by, [incoming, outgoing]).await
}

/// Incoming and outgoing, and whether each is tried again.
type Results<'a> = [(&'a Tested, bool); 2];

async fn write(tx: &mut Tx, mailbox: MailboxId, by: &str, results: Results<'_>) -> Result<()> {
    let now = tx.now();
    let [(incoming, incoming_again), (outgoing, outgoing_again)] = results;
    let over = !incoming_again && !outgoing_again;
    let row = sqlx::query!(
        "/* mailbox_tests::write */ SELECT incoming_test, outgoing_test, incoming_enabled, outgoing_enabled, address,
             profile_id, version
         FROM mailboxes WHERE id = $1 FOR NO KEY UPDATE",
        mailbox.0,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(()) };
    let enabled = |tested: &Tested, again: bool, before: bool| *tested == Tested::Works || (again && before);
    let incoming_enabled = enabled(incoming, incoming_again, row.incoming_enabled);
    let outgoing_enabled = enabled(outgoing, outgoing_again, row.outgoing_enabled);
    let news = row.incoming_test != incoming.word()
        || row.outgoing_test != outgoing.word()
        || row.incoming_enabled != incoming_enabled
        || row.outgoing_enabled != outgoing_enabled;
    // An attempt that found what the one before has found is told by its alerts alone.
    if over || news {
        sqlx::query!(
            "/* mailbox_tests::write */ UPDATE mailboxes SET incoming_test = $2, outgoing_test = $3,
                 incoming_enabled = $6, outgoing_enabled = $7, updated_at = $4,
                 tested_at = CASE WHEN $8 THEN $4 ELSE tested_at END,
                 tested_by = CASE WHEN $8 THEN $5 ELSE tested_by END,
                 incoming_tested_at = CASE WHEN $2 = 'not-run' THEN incoming_tested_at ELSE $4 END,
                 outgoing_tested_at = CASE WHEN $3 = 'not-run' THEN outgoing_tested_at ELSE $4 END,
                 enabled_by = CASE WHEN 'success' IN ($2, $3) THEN $5 ELSE enabled_by END,
                 enabled_at = CASE WHEN 'success' IN ($2, $3) THEN $4 ELSE enabled_at END,
                 version = version + 1
             WHERE id = $1",
            mailbox.0,
            incoming.word(),
            outgoing.word(),
            now,
            by,
            incoming_enabled,
            outgoing_enabled,
            over,
        )
        .execute(tx.connection())
        .await?;
        let mut fields = vec!["incoming_test", "outgoing_test", "incoming_enabled", "outgoing_enabled"];
        if over {
            fields.push("tested_at");
        }
        if *incoming == Tested::Works && start_now(tx, mailbox).await? {
            fields.push("process_email_from");
        }
        feed::tell(tx, "mailbox", mailbox.0, Change::Updated, &fields, row.version + 1).await?;
        note(tx, mailbox, by, results).await?;
    }
    for (part, (tested, again)) in [Part::Incoming, Part::Outgoing].into_iter().zip(results) {
        if let Tested::Fails(fault) = tested {
            let severity = if again { Severity::Warning } else { Severity::Error };
            alerts::resolve_part_but(tx, mailbox, part, Some(&fault.code)).await?;
            let parameters = json!({ "message": fault.message });
            alerts::raise(tx, &fault.code, severity, Subject::Part(mailbox, part), parameters).await?;
        } else {
            // What is not wanted any more cannot be at fault either.
            alerts::resolve_part(tx, mailbox, part).await?;
        }
    }
    if !outgoing_again {
        health::forget(tx, mailbox, outgoing_enabled).await?;
    }
    if let Some(profile) = row.profile_id {
        if *outgoing == Tested::Works {
            health::answers(tx, ProfileId(profile)).await?;
        }
        tell_profile(tx, ProfileId(profile), &row.address, incoming, outgoing).await?;
    }
    if over || news {
        tell_connected(tx, mailbox, &row.address, incoming, outgoing).await?;
        if *incoming == Tested::Works {
            lanes::revive(tx, mailbox, Lane::Incoming).await?;
        }
        lanes::realign(tx, &[mailbox]).await?;
    }
    Ok(())
}

/// Keeps the result in the audit: words and codes, not what the server said.
async fn note(tx: &mut Tx, mailbox: MailboxId, by: &str, results: Results<'_>) -> Result<()> {
    let mut detail = serde_json::Map::new();
    for (name, (tested, again)) in ["incoming", "outgoing"].into_iter().zip(results) {
        detail.insert(name.to_owned(), json!(tested.word()));
        if let Tested::Fails(fault) = tested {
            detail.insert(format!("{name}_code"), json!(fault.code));
            detail.insert(format!("{name}_tried_again"), json!(again));
        }
    }
    audit::note(tx, by, "test-ended", "mailbox", Some(mailbox.0), detail.into()).await
}

/// In which directions a mailbox is connected, as long as there is one.
async fn tell_connected(
    tx: &mut Tx,
    mailbox: MailboxId,
    address: &str,
    incoming: &Tested,
    outgoing: &Tested,
) -> Result<()> {
    let working = [("incoming", incoming), ("outgoing", outgoing)].into_iter().filter(|(_, t)| **t == Tested::Works);
    let working: Vec<_> = working.map(|(method, _)| method).collect();
    let subject = Subject::Mailbox(mailbox);
    if working.is_empty() {
        alerts::resolve(tx, CONNECTED, subject).await?;
    } else {
        let parameters = json!({ "address": address, "methods": working });
        alerts::raise(tx, CONNECTED, Severity::Information, subject, parameters).await?;
    }
    Ok(())
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
    let severity = if failing.for_good > 0 { Severity::Error } else { Severity::Warning };
    let failing = failing.all;
    let fault = [incoming, outgoing].into_iter().find_map(|tested| match tested {
        Tested::Fails(fault) => Some(fault),
        _ => None,
    });
    let subject = Subject::Profile(profile);
    if failing == 0 {
        alerts::resolve(tx, TEST_FAILED, subject).await?;
    } else if let Some(fault) = fault {
        let parameters = json!({ "mailboxes": failing, "address": address, "message": fault.message });
        alerts::raise(tx, TEST_FAILED, severity, subject, parameters).await?;
    }
    Ok(())
}

/// Active mailboxes of a profile whose last test has failed.
struct Failing {
    all: i64,
    /// Those that are not tested again by themselves.
    for_good: i64,
}

async fn failing(tx: &mut Tx, profile: ProfileId) -> Result<Failing> {
    Ok(sqlx::query_as!(
        Failing,
        "/* mailbox_tests::failing */ SELECT count(*) AS \"all!\",
             count(*) FILTER (WHERE t.retries IS NULL OR t.retries = 0 OR t.completed_at IS NOT NULL) AS \"for_good!\"
         FROM mailboxes m LEFT JOIN mailbox_tests t ON t.mailbox_id = m.id
         WHERE m.profile_id = $1 AND m.active AND 'failure' IN (m.incoming_test, m.outgoing_test)",
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
    health::forget(tx, mailbox, false).await?;
    if let Some(profile) = profile
        && failing(tx, profile).await?.all == 0
    {
        alerts::resolve(tx, TEST_FAILED, Subject::Profile(profile)).await?;
    }
    Ok(())
}
