//! `lockstep restored`: what a restored backup makes necessary, directly in the database; and the decision on the emails it
//! has left open, through the API.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use lockstep_store::restores::{self, Found};
use reqwest::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    Done, Error, Result,
    bootstrap::{ACTOR, open_migrated},
    client::{Access, Request},
    fields::Fields,
    resources,
};
use crate::config::Source;

#[derive(Debug, Args)]
pub(super) struct Restored {
    /// Does it. Without it, only what there is to do is told.
    #[arg(long)]
    confirm: bool,
    /// Once more, though it was done and nothing has happened since: a backup was restored that was made right after it.
    #[arg(long, conflicts_with = "moved")]
    again: bool,
    /// Nothing was restored: the database was moved whole, with every role stopped. Only notes where it is now.
    #[arg(long)]
    moved: bool,
}

/// `lockstep restored`
pub(super) async fn run(source: &Source, arguments: Restored) -> Result {
    let store = open_migrated(source).await?;
    let mut tx = store.begin().await?;
    let Some(found) = restores::survey(&mut tx).await? else {
        return Err(Error::new("there is no organisation in this database: nothing was restored"));
    };
    if !arguments.confirm {
        return Ok(Done::ok(told(&found, arguments.moved)));
    }
    if found.running > 0 {
        return Err(Error::new(format!(
            "{} programs of Lockstep have worked in this database within the last 30 seconds: stop every role, wait as long, \
             and run it again; nothing was changed",
            found.running
        )));
    }
    if arguments.moved {
        restores::moved(&mut tx, ACTOR).await?;
        tx.commit().await?;
        return Ok(Done::ok("The database is known where it is now. The roles may be started.\n"));
    }
    let done = restores::restored(&mut tx, arguments.again, ACTOR).await?;
    tx.commit().await?;
    let Some(done) = done else { return Ok(Done::ok(told(&found, false))) };
    let mut text = format!("The change feed has begun the epoch {}.\n", done.epoch);
    let _ = writeln!(text, "{} emails wait for a decision and are not sent until then.", done.emails);
    text.push_str("The roles may be started.");
    if done.emails > 0 {
        text.push_str(
            " Then decide: `lockstep email list --filter status=sending` shows the emails, `lockstep email resolve ID --set \
             decision=sent` (or send-again, failed) decides on one, `lockstep email resolve --all-restored failed` on the rest.",
        );
    }
    if found.endpoints > 0 {
        text.push_str(
            " Webhook endpoints stop with `cursor-lost`: see `lockstep webhook-endpoint list`, and resume each where its \
             receiver has read everything again.",
        );
    }
    text.push('\n');
    Ok(Done::ok(text))
}

/// What would be done.
fn told(found: &Found, moved: bool) -> String {
    let mut text = String::new();
    if let Some(last) = found.last {
        let _ = writeln!(text, "A restored backup was last dealt with at {}.", last.format("%Y-%m-%d %H:%M:%S UTC"));
    }
    if found.undecided > 0 {
        let _ = writeln!(text, "{} emails wait for a decision since then.", found.undecided);
    }
    if found.running > 0 {
        let _ = writeln!(text, "{} programs of Lockstep are at work in this database: stop every role.", found.running);
    }
    if moved {
        text.push_str(
            "--confirm notes that the database is here now, and changes nothing else. Nothing was changed.\n",
        );
        return text;
    }
    if found.untouched {
        text.push_str(
            "Nothing has happened since: there is nothing to do. (--again --confirm when a backup was restored that was made \
             right after it.)\n",
        );
        return text;
    }
    let _ = write!(
        text,
        "--confirm does this, in one transaction:\n\
         - the change feed ends the epoch {} and begins another: readers get 410, and {} webhook endpoints stop until they are \
         resumed\n\
         - {} emails that wait or are being sent are not sent until a person decides on them\n\
         - {} lanes of mailboxes and {} operations are taken from whoever works at them\n\
         Nothing was changed.\n",
        found.epoch, found.endpoints, found.emails, found.lanes, found.operations
    );
    text
}

/// What is decided.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Decision {
    /// They were sent.
    Sent,
    /// They were not, and are sent again.
    SendAgain,
    /// They are given up.
    Failed,
}

#[derive(Debug, Args)]
pub(super) struct Resolve {
    /// Its id.
    #[arg(required_unless_present = "all_restored")]
    id: Option<Uuid>,
    /// Instead: one decision for every email that a restored backup has left open and nobody has decided on.
    #[arg(long, value_enum, value_name = "DECISION", conflicts_with_all = ["id", "set", "data"])]
    all_restored: Option<Decision>,
    /// With --all-restored: only those of this mailbox, by its id.
    #[arg(long, value_name = "ID", requires = "all_restored")]
    mailbox: Option<Uuid>,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    fields: Fields,
}

/// `lockstep email resolve`
pub(super) async fn resolve(resolve: Resolve) -> Result {
    let api = resolve.access.connect()?;
    let decision = match (resolve.id, resolve.all_restored) {
        (Some(id), _) => {
            let request = Request { body: Some(resolve.fields.object()?), ..Request::default() };
            let answer = api.call(Method::POST, &format!("emails/{id}/resolve-delivery"), request).await?;
            return resources::present(&resolve.access, &answer.body);
        }
        (None, Some(Decision::Sent)) => "sent",
        (None, Some(Decision::SendAgain)) => "send-again",
        (None, Some(Decision::Failed)) => "failed",
        (None, None) => return Err(Error::new("give the id of an email, or --all-restored")),
    };
    let mut body = Map::from_iter([("decision".to_owned(), Value::from(decision))]);
    if let Some(mailbox) = resolve.mailbox {
        body.insert("mailbox_id".to_owned(), json!(mailbox));
    }
    let mut resolved = 0;
    loop {
        let request = Request { body: Some(Value::Object(body.clone())), ..Request::default() };
        let answer = api.call(Method::POST, "emails/resolve-restored", request).await.map_err(|error| Error {
            message: format!("{}\n{resolved} emails were decided on before; asking again does no harm", error.message),
            ..error
        })?;
        let some = answer.body.get("resolved").and_then(Value::as_u64).unwrap_or_default();
        resolved += some;
        if some == 0 || answer.body.get("more") != Some(&Value::Bool(true)) {
            break;
        }
    }
    if resolve.access.json {
        return resources::json(&json!({ "resolved": resolved }));
    }
    Ok(Done::ok(format!("{resolved} emails: {decision}.\n")))
}
