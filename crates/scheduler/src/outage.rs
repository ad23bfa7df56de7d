//! Profiles most of whose mailboxes fail: an alert, and one email to whoever answers for the profile.

use std::time::Duration;

use lockstep_engine::outage::{WINDOW, alarms};
use lockstep_store::{
    Tx,
    alerts::{self, Severity, Subject},
    nudge,
    outages::{self, Notice, ProfileHealth},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::Context;

/// Most mailboxes of a profile fail.
const FAILING: &str = "MailboxesFailing";
/// Pause between two looks, before scaling.
const EVERY: Duration = Duration::from_secs(60);
/// The shortest pause, however time is scaled.
const AT_LEAST: Duration = Duration::from_secs(1);

/// Looks once a minute, until `stop`.
pub async fn run(context: Context, stop: CancellationToken) {
    let pause = context.scale.apply(EVERY).max(AT_LEAST);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            looked = look(&context) => if let Err(error) = looked {
                tracing::warn!(%error, "whether profiles fail is not known");
            },
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// One look at every profile. Several schedulers may look at once: an alert is there once, and an owner is told once.
///
/// # Errors
/// When the database is away.
pub async fn look(context: &Context) -> lockstep_store::Result<()> {
    let window = context.scale.apply(WINDOW);
    let mut tx = context.store.begin().await?;
    let profiles = outages::profiles(&mut tx, FAILING, window).await?;
    tx.commit().await?;
    for profile in profiles {
        let mut tx = context.store.begin().await?;
        if judge(&mut tx, &profile, window).await? {
            tx.commit().await?;
        }
    }
    Ok(())
}

/// Whether something was written.
async fn judge(tx: &mut Tx, profile: &ProfileHealth, window: Duration) -> lockstep_store::Result<bool> {
    let subject = Subject::Profile(profile.profile);
    if alarms(profile.failed, profile.active) {
        let told = tell(tx, profile).await?;
        if !profile.alerted {
            alerts::raise(tx, FAILING, Severity::Error, subject, parameters(profile)).await?;
        }
        return Ok(told || !profile.alerted);
    }
    if alarms(profile.failing, profile.active) {
        // They have failed for longer than the window: still the same outage.
        return Ok(false);
    }
    let mut written = false;
    if profile.alerted {
        written = alerts::resolve(tx, FAILING, subject).await?;
    }
    // A profile on the verge does not write an email each minute.
    if profile.told_at.is_some_and(|told| tx.now() - told >= chrono::TimeDelta::from_std(window).unwrap_or_default()) {
        outages::forget_telling(tx, profile.profile).await?;
        written = true;
    }
    Ok(written)
}

/// Writes the email, where one is wanted, has not been written, and can be sent.
async fn tell(tx: &mut Tx, profile: &ProfileHealth) -> lockstep_store::Result<bool> {
    let (Some((owner, address)), None) = (&profile.tell, profile.told_at) else { return Ok(false) };
    let Some(messenger) = outages::messenger(tx, *owner).await? else { return Ok(false) };
    if !outages::begin_telling(tx, profile.profile).await? {
        return Ok(false);
    }
    let text = format!(
        "{} of the {} mailboxes of the email server profile \"{}\" have failed within an hour.\n\n\
         The last failure: {}\n\n\
         What to do stands with the alerts of the profile and of its mailboxes. This is the only email about it \
         until most of the mailboxes work again.\n",
        profile.failed,
        profile.active,
        profile.name,
        profile.last_message.as_deref().unwrap_or("no words were given"),
    );
    let subject = format!("Most mailboxes of {} fail", profile.name);
    let notice = Notice { address, subject: &subject, text: &text };
    let sent = outages::send_notice(tx, messenger, &notice).await?;
    nudge(tx).await?;
    Ok(sent.is_some())
}

fn parameters(profile: &ProfileHealth) -> serde_json::Value {
    let message = profile.last_message.as_deref().unwrap_or_default();
    json!({ "name": profile.name, "mailboxes": profile.active, "failures": profile.failed, "message": message })
}
