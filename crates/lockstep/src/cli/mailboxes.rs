//! `lockstep mailbox`: one mailbox, or many at once.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{
    Error, Result,
    alerts::{self, DeactivateFailing},
    client::{Access, Request},
    explain::mailbox_id,
    fields::{Fields, content},
    hasten,
    many::{self, Action, Mailboxes},
    resources::{Body, List, One, act, change, create, list, present, show, test},
};

#[derive(Debug, Subcommand)]
pub(super) enum Mailbox {
    /// Lists them.
    List(List),
    /// Lists the addresses that wait for approval.
    AwaitingApproval(List),
    /// Shows one.
    Show(OneMailbox),
    /// Makes a forward mailbox: `--set is_forward_mailbox=true`. Others are made with their users and queues.
    Create(Body),
    /// Changes fields of one.
    Update(UpdateMailbox),
    /// Changes what many have in common: profile_id, incoming_method, outgoing_method and act_method. Nothing is tested.
    Edit(Edit),
    /// Removes a forward mailbox that is inactive.
    Delete(OneMailbox),
    /// Approves the addresses of one, of many, or of all of a profile.
    Approve(Mailboxes),
    /// Rejects the addresses of one, of many, or of all of a profile: nothing of them is processed.
    Reject(Mailboxes),
    /// Tests servers and accounts of one, of many, or of all of a profile, enables what works, and waits for the outcome.
    /// Exit code 1 when a test fails, is refused or does not end.
    #[command(visible_alias = "test-and-enable")]
    Test(TestMailboxes),
    /// Gives mailboxes the default profile and the organisation's default methods, tests them, and waits for the outcome.
    ApplyDefaults(ApplyDefaults),
    /// Maps an account to this mailbox that another one holds. That one loses it and is not processed any more; this one has
    /// to be tested and enabled.
    Takeover(Takeover),
    /// Has it looked at now instead of at its next turn: an extension, for diagnosis. Throttles and pauses hold.
    SyncNow(hasten::Arguments),
    /// Agrees to the deletions of contacts, tasks and appointments that wait because so many came at once, and to those of
    /// the next hour.
    AgreeDeletions(hasten::Arguments),
    /// Makes those inactive that a permanent error has stopped (`list --filter state=disabled`), each noted in the audit.
    DeactivateFailing(DeactivateFailing),
}

/// A mailbox, as people name it.
#[derive(Debug, Args)]
pub(super) struct OneMailbox {
    /// Its address or id.
    #[arg(value_name = "ADDRESS")]
    mailbox: String,
    #[command(flatten)]
    access: Access,
}

impl OneMailbox {
    async fn found(self) -> Result<One> {
        named(self.access, &self.mailbox).await
    }
}

#[derive(Debug, Args)]
pub(super) struct UpdateMailbox {
    #[command(flatten)]
    one: OneMailbox,
    #[command(flatten)]
    fields: Fields,
}

#[derive(Debug, Args)]
pub(super) struct Edit {
    #[command(flatten)]
    chosen: Mailboxes,
    #[command(flatten)]
    fields: Fields,
}

#[derive(Debug, Args)]
pub(super) struct TestMailboxes {
    #[command(flatten)]
    chosen: Mailboxes,
    /// Of one mailbox: from now on mail received after this instant is processed, such as `2026-11-01T00:00:00Z`, and
    /// everything in the mailbox is judged again.
    #[arg(long, value_name = "INSTANT")]
    process_email_from: Option<String>,
    /// Of one mailbox: its contacts, tasks and appointments are synchronised with this organisation from now on, even if
    /// the mailbox says that they are with another one, which then stops.
    #[arg(long)]
    take_over_items: bool,
    /// Asks for the tests and does not wait; the answer names their operations.
    #[arg(long)]
    no_wait: bool,
}

#[derive(Debug, Args)]
pub(super) struct ApplyDefaults {
    #[command(flatten)]
    chosen: Mailboxes,
    /// Tests nothing; what changed has to be tested and enabled later.
    #[arg(long, conflicts_with = "no_wait")]
    no_test: bool,
    /// Asks for the tests and does not wait; the answer names their operations.
    #[arg(long)]
    no_wait: bool,
}

#[derive(Debug, Args)]
pub(super) struct Takeover {
    #[command(flatten)]
    one: OneMailbox,
    /// Name of the account on the server of the mailbox's profile.
    #[arg(long)]
    login: String,
    /// File that holds the account's password or token; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    password_file: String,
}

/// `lockstep mailbox`
pub(super) async fn run(command: Mailbox) -> Result {
    match command {
        Mailbox::List(arguments) => list("mailboxes", &arguments).await,
        Mailbox::AwaitingApproval(arguments) => list("mailboxes/awaiting-approval", &arguments).await,
        Mailbox::Show(one) => {
            let one = one.found().await?;
            show(&one.access, &format!("mailboxes/{}", one.id)).await
        }
        Mailbox::Create(body) => create("mailboxes", &body).await,
        Mailbox::Delete(one) => {
            let one = one.found().await?;
            act(&one, Method::DELETE, &format!("mailboxes/{}", one.id)).await
        }
        Mailbox::Update(UpdateMailbox { one, fields }) => {
            let one = one.found().await?;
            change(&one.access, &format!("mailboxes/{}", one.id), &fields).await
        }
        Mailbox::Edit(Edit { chosen, fields }) => {
            let with = Map::from_iter([("changes".to_owned(), fields.object()?)]);
            many::run(chosen, Action { with, ..Action::immediate("edit") }).await
        }
        Mailbox::Approve(chosen) => decide(chosen, "approve").await,
        Mailbox::Reject(chosen) => decide(chosen, "reject").await,
        Mailbox::Test(arguments) => tested(arguments).await,
        Mailbox::ApplyDefaults(ApplyDefaults { chosen, no_test, no_wait }) => {
            let with = Map::from_iter([("test".to_owned(), Value::Bool(!no_test))]);
            many::run(chosen, Action { name: "apply-defaults", with, waits: !no_test && !no_wait }).await
        }
        Mailbox::Takeover(takeover) => take_over(takeover).await,
        Mailbox::SyncNow(arguments) => hasten::run(arguments, "sync-now").await,
        Mailbox::AgreeDeletions(arguments) => hasten::run(arguments, "agree-deletions").await,
        Mailbox::DeactivateFailing(arguments) => alerts::deactivate_failing(arguments).await,
    }
}

async fn named(access: Access, mailbox: &str) -> Result<One> {
    let id = mailbox_id(&access.connect()?, mailbox).await?;
    Ok(One { id, access })
}

/// One mailbox is shown as it is then, many with a result for each.
async fn decide(chosen: Mailboxes, decision: &'static str) -> Result {
    let Some(mailbox) = chosen.single().map(str::to_owned) else {
        return many::run(chosen, Action::immediate(decision)).await;
    };
    let one = named(chosen.access, &mailbox).await?;
    act(&one, Method::POST, &format!("mailboxes/{}/{decision}", one.id)).await
}

async fn tested(arguments: TestMailboxes) -> Result {
    let TestMailboxes { chosen, process_email_from, take_over_items, no_wait } = arguments;
    match chosen.single().map(str::to_owned) {
        Some(mailbox) if !no_wait => {
            let one = named(chosen.access, &mailbox).await?;
            let mut body = Map::new();
            body.extend(process_email_from.map(|from| ("process_email_from".to_owned(), json!(from))));
            body.extend(take_over_items.then(|| ("take_over_items".to_owned(), json!(true))));
            let body = (!body.is_empty()).then_some(Value::Object(body));
            test(&one, &format!("mailboxes/{}/test-and-enable", one.id), body).await
        }
        _ if process_email_from.is_some() => {
            Err(Error::new("--process-email-from goes with one mailbox, and not with --no-wait"))
        }
        _ if take_over_items => Err(Error::new("--take-over-items goes with one mailbox, and not with --no-wait")),
        _ => many::run(chosen, Action { name: "test-and-enable", with: Map::new(), waits: !no_wait }).await,
    }
}

/// Reads the mailbox first, so that somebody else's change in between is not overwritten.
async fn take_over(Takeover { one, login, password_file }: Takeover) -> Result {
    let password = content(&password_file)?;
    let password = password.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Error::new(format!("{password_file} holds no password")));
    }
    let api = one.access.connect()?;
    let path = format!("mailboxes/{}", mailbox_id(&api, &one.mailbox).await?);
    let before = api.call(Method::GET, &path, Request::default()).await?;
    let body = Some(json!({ "login": login, "password": password }));
    let request = Request { body, if_match: before.etag, ..Request::default() };
    let answer = api.call(Method::POST, &format!("{path}/takeover"), request).await?;
    let mut done = present(&one.access, &answer.body)?;
    if !one.access.json {
        done.text.push_str(&format!("Test and enable it now: lockstep mailbox test {}\n", one.mailbox));
    }
    Ok(done)
}
