//! Moving what was given up out of the inbox, and what was released back into it: after the commit that says it is due,
//! and until the server confirms.

use std::time::Duration;

use lockstep_connector::{
    Deadline, Session,
    folders::{Folders, MAX_MOVES, Place},
};
use lockstep_model::{
    fault::{Fault, FaultClass},
    mailbox::Lane,
    remote::RemoteKey,
};
use lockstep_store::{
    items::{self, Move, Moved},
    lanes::{self, Run},
};

use crate::{Context, mailbox::page::Stopped};

/// What the folder is called where there is none yet.
const NAME: &str = "Undeliverable";

/// Carries out the moves that are due. Whether something came back into the inbox.
pub(crate) async fn carry(
    context: &Context,
    run: &mut Run,
    session: &mut dyn Session,
    deadline: &Deadline,
) -> Result<bool, Stopped> {
    let Some(folders) = session.folders() else { return Ok(false) };
    let mut tx = context.store.begin().await?;
    let due = items::moves_wanted(&mut tx, run.mailbox.id, i64::try_from(MAX_MOVES).unwrap_or(100)).await?;
    // Only the run that holds the lane may move anything there.
    let ours = lanes::still(&mut tx, run.mailbox.id, Lane::Incoming, run.version).await?;
    drop(tx);
    if !ours {
        return Err(Stopped::Fenced);
    }
    if due.is_empty() {
        return Ok(false);
    }
    deadline.check(Duration::from_secs(1)).map_err(Stopped::Remote)?;
    let folder = match folders.ensure(NAME, run.mail.undeliverable_folder.as_ref(), deadline).await {
        Ok(folder) => {
            keep(context, run, &folder).await?;
            Ok(Place::Folder(folder))
        }
        // Where no folder can be made nothing is moved; mail is read all the same.
        Err(fault) if is_refusal(&fault) => Err(fault.message),
        Err(fault) => return Err(Stopped::Remote(fault)),
    };
    let mut came_back = false;
    for one in due {
        let mut key = one.key.clone();
        if one.unconfirmed {
            let filed = match &folder {
                Ok(folder) => file(folders, &key, folder, deadline).await?.map(|now| now.map(Moved::Filed)),
                Err(words) => Err(words.clone()),
            };
            let moved = settle(context, run, &key, outcome(filed)).await?;
            let Moved::Filed(now) = moved else { continue };
            key = now;
        }
        if one.back {
            let back = file(folders, &key, &Place::Inbox, deadline).await?;
            let moved = settle(context, run, &key, outcome(back.map(|now| now.map(|_| Moved::Back)))).await?;
            came_back |= moved == Moved::Back;
        }
        told(run, &one);
    }
    Ok(came_back)
}

fn is_refusal(fault: &Fault) -> bool {
    matches!(fault.class, FaultClass::Refused | FaultClass::Auth | FaultClass::Gone)
}

fn outcome(moved: Result<Option<Moved>, String>) -> Moved {
    match moved {
        Ok(moved) => moved.unwrap_or(Moved::Nowhere),
        Err(words) => Moved::Refused(words),
    }
}

/// Moves one item; inside, the server's words why not.
async fn file(
    folders: &mut dyn Folders,
    key: &RemoteKey,
    into: &Place,
    deadline: &Deadline,
) -> Result<Result<Option<RemoteKey>, String>, Stopped> {
    deadline.check(Duration::from_secs(1)).map_err(Stopped::Remote)?;
    let moved = folders.file(std::slice::from_ref(key), into, deadline).await.map_err(Stopped::Remote)?;
    Ok(moved.into_iter().next().unwrap_or(Ok(None)).map_err(|fault| fault.message))
}

async fn settle(context: &Context, run: &mut Run, key: &RemoteKey, how: Moved) -> Result<Moved, Stopped> {
    let mut tx = context.store.begin().await?;
    if !lanes::fence(&mut tx, run.mailbox.id, Lane::Incoming, run.version, None).await? {
        context.metrics.fenced.inc();
        return Err(Stopped::Fenced);
    }
    items::moved(&mut tx, run.mailbox.id, key, &how).await?;
    tx.commit().await?;
    run.version += 1;
    Ok(how)
}

/// Keeps the folder on the mailbox.
async fn keep(context: &Context, run: &mut Run, folder: &RemoteKey) -> Result<(), Stopped> {
    if run.mail.undeliverable_folder.as_ref() == Some(folder) {
        return Ok(());
    }
    let mut tx = context.store.begin().await?;
    lanes::keep_undeliverable_folder(&mut tx, run.mailbox.id, folder).await?;
    tx.commit().await?;
    run.mail.undeliverable_folder = Some(folder.clone());
    Ok(())
}

fn told(run: &Run, one: &Move) {
    let to = if one.back { "the inbox" } else { NAME };
    tracing::info!(mailbox.id = %run.mailbox.id, item = %one.key, to, "an item was moved");
}
