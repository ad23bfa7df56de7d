//! Records and items that could not be brought in step: noted, told of, and tried again a limited number of times.

use lockstep_model::remote::RemoteKey;
use lockstep_store::{
    Tx,
    alerts::{self, Severity, Subject},
    item_retries::{self, Failed, Which},
};
use serde_json::json;

use crate::{act::Act, mailbox::Stopped};

/// The alert of a record or an item that could not be synchronised.
pub(super) const NOT_SYNCHRONISED: &str = "ItemNotSynchronized";

/// Notes failures and tells of them. The more often something has failed, the longer it waits; after so many attempts it
/// waits for a change.
pub(super) async fn note(act: &Act<'_>, tx: &mut Tx, failed: &mut [Failed]) -> Result<(), Stopped> {
    if failed.is_empty() {
        return Ok(());
    }
    let (now, which): (_, Vec<_>) = (tx.now(), failed.iter().map(|failed| failed.which.clone()).collect());
    let before = item_retries::attempts(tx, act.run.mailbox.id, &which).await?;
    for (failed, before) in failed.iter_mut().zip(before) {
        let longer = (0.5 + rand::random::<f64>()) * f64::from(1_u32 << before.min(6));
        let wait = |next: chrono::DateTime<chrono::Utc>| {
            let wait = (next - now).to_std().unwrap_or_default().mul_f64(longer);
            now + chrono::TimeDelta::from_std(wait).unwrap_or(chrono::TimeDelta::MAX)
        };
        failed.next = failed.next.filter(|_| before + 1 < act.context.config.max_item_attempts).map(wait);
    }
    tell(act, tx, failed).await
}

async fn tell(act: &Act<'_>, tx: &mut Tx, failed: &[Failed]) -> Result<(), Stopped> {
    let mailbox = act.run.mailbox.id;
    item_retries::note(tx, mailbox, failed).await?;
    for failed in failed {
        let next =
            if failed.next.is_some() { "it is tried again by itself" } else { "it is tried again when it changes" };
        let parameters = json!({
            "item": match &failed.which {
                Which::Record(kind, id) => format!("{} {}", kind.name(), id.0),
                Which::Item(key) => key.to_string(),
            },
            "reason": failed.code,
            "message": failed.message,
            "next": next,
        });
        let key = alert_key(&failed.which);
        alerts::raise(tx, NOT_SYNCHRONISED, Severity::Warning, Subject::Item(mailbox, &key), parameters).await?;
    }
    Ok(())
}

/// What names a record or an item among the alerts of a mailbox.
pub(super) fn alert_key(which: &Which) -> RemoteKey {
    let key = match which {
        Which::Record(_, id) => RemoteKey::new(format!("record/{}", id.0)),
        Which::Item(key) => Some(key.clone()),
    };
    // A word and a UUID are short enough; keys of items are keys already.
    key.unwrap_or_else(|| unreachable!("a short key"))
}
