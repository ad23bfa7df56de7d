//! The records of the API as commands: `lockstep mailbox list`, `lockstep user create --set name=Ann`, and any request.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    Done, Error, Result,
    alerts::{self, Alert},
    client::{Access, Request},
    fields::{Fields, pair},
    history::{self, History},
    inventory, mailboxes, operations, restored,
};

/// Items a list shows unless told otherwise.
const LISTED: usize = 100;

/// A kind of record.
#[derive(Debug, Subcommand)]
pub(super) enum Resource {
    /// The organisation's settings.
    #[command(subcommand)]
    Organisation(Single),
    /// Users; each has a mailbox.
    #[command(subcommand, visible_alias = "users")]
    User(super::rights::User),
    /// Security roles: what users and teams may do.
    #[command(subcommand, visible_alias = "security-roles")]
    SecurityRole(super::rights::SecurityRole),
    /// Teams: users who own records together.
    #[command(subcommand, visible_alias = "teams")]
    Team(super::rights::Team),
    /// Fields that only those read and write whom a security role lets.
    #[command(subcommand, visible_alias = "secured-fields")]
    SecuredField(super::rights::SecuredField),
    /// Queues; each has a mailbox.
    #[command(subcommand, visible_alias = "queues")]
    Queue(Kept),
    /// Contacts.
    #[command(subcommand, visible_alias = "contacts")]
    Contact(Full),
    /// Accounts.
    #[command(subcommand, visible_alias = "accounts")]
    Account(Full),
    /// Leads.
    #[command(subcommand, visible_alias = "leads")]
    Lead(Full),
    /// Email server profiles.
    #[command(subcommand, visible_alias = "profiles")]
    Profile(Profile),
    /// Mailboxes: one, or many at once.
    #[command(subcommand, visible_alias = "mailboxes")]
    Mailbox(mailboxes::Mailbox),
    /// Emails.
    #[command(subcommand, visible_alias = "emails")]
    Email(Email),
    /// Alerts: states that need attention.
    #[command(subcommand)]
    Alert(Alert),
    /// Lists the open alerts: short for `alert list`.
    Alerts(List),
    /// Values of a record that gave way in synchronisation, the newest first.
    History(History),
    /// The change feed.
    #[command(subcommand, visible_alias = "changes")]
    Change(Change),
    /// Where other programs are told of changes.
    #[command(subcommand, visible_alias = "webhook-endpoints")]
    WebhookEndpoint(WebhookEndpoint),
}

#[derive(Debug, Subcommand)]
pub(super) enum Single {
    /// Shows it.
    Show(Access),
    /// Changes fields of it.
    Update(Body),
}

#[derive(Debug, Subcommand)]
pub(super) enum Kept {
    /// Lists them.
    List(List),
    /// Shows one.
    Show(One),
    /// Makes one.
    Create(Body),
    /// Changes fields of one.
    Update(Update),
}

#[derive(Debug, Subcommand)]
pub(super) enum Full {
    /// Lists them.
    List(List),
    /// Shows one.
    Show(One),
    /// Makes one.
    Create(Body),
    /// Changes fields of one.
    Update(Update),
    /// Removes one.
    Delete(One),
}

#[derive(Debug, Subcommand)]
pub(super) enum Profile {
    #[command(flatten)]
    Record(Full),
    /// Looks at its two servers step by step, and logs in where the profile has the account. Exit code 1 when something
    /// fails.
    TestConnection(One),
}

#[derive(Debug, Subcommand)]
pub(super) enum Email {
    /// Lists them.
    List(List),
    /// Shows one.
    Show(One),
    /// Makes a draft.
    Create(Body),
    /// Changes fields of one.
    Update(Update),
    /// Removes one.
    Delete(One),
    /// Sends a draft.
    Send(One),
    /// Makes a draft of one that was sent, to those of its recipients who were refused.
    CopyToRefused(One),
    /// Takes back one that is not under way yet.
    Cancel(One),
    /// Decides on one of which nobody knows whether it was sent: `--set decision=sent`, `send-again` or `failed`; or on all
    /// that a restored backup has left open.
    Resolve(restored::Resolve),
    /// Says which record a party is: `--set record_kind=contact --set record_id=ID`.
    ResolveParty(ResolveParty),
}

#[derive(Debug, Args)]
pub(super) struct ResolveParty {
    /// Its id.
    id: Uuid,
    /// Which party, counted from 0.
    position: u32,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    fields: Fields,
}

#[derive(Debug, Subcommand)]
pub(super) enum WebhookEndpoint {
    /// Lists them.
    List(List),
    /// Shows one.
    Show(One),
    /// Makes one. Its secret is shown once, here.
    Create(Body),
    /// Changes fields of one.
    Update(Update),
    /// Removes one.
    Delete(One),
    /// Makes a new secret and shows it, once; the one before signs too for 24 hours.
    RotateSecret(One),
    /// Lets one go on where it stood; `--set from_now=true`, or `--set after=POSITION --set epoch=EPOCH`, for elsewhere.
    Resume(Act),
    /// Sends a ping and waits for the outcome. Exit code 1 when it is not accepted.
    Test(One),
}

#[derive(Debug, Subcommand)]
pub(super) enum Change {
    /// Reads a stretch; go on with `--filter after=NEXT --filter epoch=EPOCH`.
    List(List),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    access: Access,
    /// A parameter of the list, such as `state=failing`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    filter: Vec<(String, String)>,
    /// Most items.
    #[arg(long, default_value_t = LISTED)]
    limit: usize,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// Its id.
    pub(super) id: Uuid,
    #[command(flatten)]
    pub(super) access: Access,
}

#[derive(Debug, Args)]
pub(super) struct Body {
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    fields: Fields,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    /// Its id.
    id: Uuid,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    fields: Fields,
}

/// An action whose fields may all be left out.
#[derive(Debug, Args)]
pub(super) struct Act {
    /// Its id.
    id: Uuid,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    fields: Fields,
}

/// Any request.
#[derive(Debug, Args)]
pub(super) struct Raw {
    /// GET, POST, PATCH or DELETE.
    #[arg(ignore_case = true, value_parser = ["GET", "POST", "PATCH", "DELETE"])]
    method: String,
    /// Path such as `/mailboxes?limit=5`.
    path: String,
    #[command(flatten)]
    fields: Fields,
    /// Only when the record is at this version: its ETag.
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
    #[command(flatten)]
    access: Access,
}

/// `lockstep api`
pub(super) async fn raw(arguments: Raw) -> Result {
    let method = match arguments.method.to_ascii_uppercase().as_str() {
        "POST" => Method::POST,
        "PATCH" => Method::PATCH,
        "DELETE" => Method::DELETE,
        _ => Method::GET,
    };
    let body = if arguments.fields.is_empty() { None } else { Some(arguments.fields.object()?) };
    let request = Request { body, if_match: arguments.if_match, ..Request::default() };
    let answer = arguments.access.connect()?.call(method, &arguments.path, request).await?;
    if arguments.access.json {
        return json(&answer.body);
    }
    match answer.body.get("items").and_then(Value::as_array) {
        Some(items) => {
            let path = arguments.path.trim_start_matches('/').trim_start_matches("api/v1/");
            Ok(Done::ok(inventory::list(path.split('?').next().unwrap_or_default(), items)))
        }
        None => Ok(Done::ok(inventory::record(&answer.body))),
    }
}

/// A command on a kind of record.
pub(super) async fn run(resource: Resource) -> Result {
    match resource {
        Resource::Organisation(Single::Show(access)) => show(&access, "organisation").await,
        Resource::Organisation(Single::Update(Body { access, fields })) => {
            change(&access, "organisation", &fields).await
        }
        Resource::User(command) => super::rights::user(command).await,
        Resource::SecurityRole(command) => super::rights::security_role(command).await,
        Resource::Team(command) => super::rights::team(command).await,
        Resource::SecuredField(command) => super::rights::secured_field(command).await,
        Resource::Queue(command) => kept("queues", command).await,
        Resource::Contact(command) => full("contacts", command).await,
        Resource::Account(command) => full("accounts", command).await,
        Resource::Lead(command) => full("leads", command).await,
        Resource::Profile(Profile::Record(command)) => full("email-server-profiles", command).await,
        Resource::Profile(Profile::TestConnection(one)) => {
            test(&one, &format!("email-server-profiles/{}/test-connection", one.id), None).await
        }
        Resource::Mailbox(command) => mailboxes::run(command).await,
        Resource::Email(command) => email(command).await,
        Resource::Alerts(list) => alerts::run(Alert::List(list)).await,
        Resource::Alert(command) => alerts::run(command).await,
        Resource::History(arguments) => history::run(arguments).await,
        Resource::Change(Change::List(list)) => changes(&list).await,
        Resource::WebhookEndpoint(command) => webhook_endpoint(command).await,
    }
}

pub(super) async fn kept(path: &str, command: Kept) -> Result {
    match command {
        Kept::List(arguments) => list(path, &arguments).await,
        Kept::Show(one) => show(&one.access, &format!("{path}/{}", one.id)).await,
        Kept::Create(body) => create(path, &body).await,
        Kept::Update(update) => change(&update.access, &format!("{path}/{}", update.id), &update.fields).await,
    }
}

pub(super) async fn full(path: &str, command: Full) -> Result {
    match command {
        Full::List(arguments) => list(path, &arguments).await,
        Full::Show(one) => show(&one.access, &format!("{path}/{}", one.id)).await,
        Full::Create(body) => create(path, &body).await,
        Full::Update(update) => change(&update.access, &format!("{path}/{}", update.id), &update.fields).await,
        Full::Delete(one) => act(&one, Method::DELETE, &format!("{path}/{}", one.id)).await,
    }
}

async fn webhook_endpoint(command: WebhookEndpoint) -> Result {
    let path = |id: Uuid, action: &str| format!("webhook-endpoints/{id}/{action}");
    match command {
        WebhookEndpoint::List(arguments) => full("webhook-endpoints", Full::List(arguments)).await,
        WebhookEndpoint::Show(one) => full("webhook-endpoints", Full::Show(one)).await,
        WebhookEndpoint::Create(body) => full("webhook-endpoints", Full::Create(body)).await,
        WebhookEndpoint::Update(update) => full("webhook-endpoints", Full::Update(update)).await,
        WebhookEndpoint::Delete(one) => full("webhook-endpoints", Full::Delete(one)).await,
        WebhookEndpoint::RotateSecret(one) => act(&one, Method::POST, &path(one.id, "rotate-secret")).await,
        WebhookEndpoint::Resume(Act { id, access, fields }) => {
            let body = if fields.is_empty() { Value::Object(Map::new()) } else { fields.object()? };
            let request = Request { body: Some(body), ..Request::default() };
            let answer = access.connect()?.call(Method::POST, &path(id, "resume"), request).await?;
            present(&access, &answer.body)
        }
        WebhookEndpoint::Test(one) => test(&one, &path(one.id, "test"), None).await,
    }
}

async fn email(command: Email) -> Result {
    match command {
        Email::List(arguments) => list("emails", &arguments).await,
        Email::Show(one) => show(&one.access, &format!("emails/{}", one.id)).await,
        Email::Create(body) => create("emails", &body).await,
        Email::Update(update) => change(&update.access, &format!("emails/{}", update.id), &update.fields).await,
        Email::Delete(one) => act(&one, Method::DELETE, &format!("emails/{}", one.id)).await,
        Email::Send(one) => act(&one, Method::POST, &format!("emails/{}/send", one.id)).await,
        Email::CopyToRefused(one) => act(&one, Method::POST, &format!("emails/{}/copy-to-refused", one.id)).await,
        Email::Cancel(one) => act(&one, Method::POST, &format!("emails/{}/cancel", one.id)).await,
        Email::ResolveParty(ResolveParty { id, position, access, fields }) => {
            let request = Request { body: Some(fields.object()?), ..Request::default() };
            let path = format!("emails/{id}/parties/{position}/resolve");
            let answer = access.connect()?.call(Method::POST, &path, request).await?;
            present(&access, &answer.body)
        }
        Email::Resolve(resolve) => restored::resolve(resolve).await,
    }
}

pub(super) async fn list(path: &str, arguments: &List) -> Result {
    let api = arguments.access.connect()?;
    let items = api.list(path, &arguments.filter, arguments.limit.max(1)).await?;
    if arguments.access.json { json(&Value::Array(items)) } else { Ok(Done::ok(inventory::list(path, &items))) }
}

/// The feed is read stretch by stretch, and where to go on is part of the answer.
async fn changes(arguments: &List) -> Result {
    let mut query = arguments.filter.clone();
    query.push(("limit".to_owned(), arguments.limit.to_string()));
    let request = Request { query, ..Request::default() };
    let answer = arguments.access.connect()?.call(Method::GET, "changes", request).await?;
    if arguments.access.json {
        return json(&answer.body);
    }
    let items = answer.body.get("items").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut text = inventory::list("changes", items);
    for key in ["next", "epoch"] {
        let value = answer.body.get(key).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
        text.push_str(&format!("{key}: {}\n", value.unwrap_or_default()));
    }
    Ok(Done::ok(text))
}

pub(super) async fn show(access: &Access, path: &str) -> Result {
    let answer = access.connect()?.call(Method::GET, path, Request::default()).await?;
    present(access, &answer.body)
}

pub(super) async fn create(path: &str, body: &Body) -> Result {
    let request = Request { body: Some(body.fields.object()?), ..Request::default() };
    let answer = body.access.connect()?.call(Method::POST, path, request).await?;
    present(&body.access, &answer.body)
}

/// Reads the record first, so that somebody else's change in between is not overwritten.
pub(super) async fn change(access: &Access, path: &str, fields: &Fields) -> Result {
    let body = fields.object()?;
    let api = access.connect()?;
    let before = api.call(Method::GET, path, Request::default()).await?;
    let request = Request { body: Some(body), if_match: before.etag, ..Request::default() };
    let answer = api.call(Method::PATCH, path, request).await?;
    present(access, &answer.body)
}

pub(super) async fn act(one: &One, method: Method, path: &str) -> Result {
    let answer = one.access.connect()?.call(method, path, Request::default()).await?;
    present(&one.access, &answer.body)
}

/// Asks for an operation and waits for its outcome.
pub(super) async fn test(one: &One, path: &str, body: Option<Value>) -> Result {
    let api = one.access.connect()?;
    let begun = api.call(Method::POST, path, Request { body, ..Request::default() }).await?;
    let operation = operations::outcome(&api, operations::named(&begun.body)?, "the test").await?;
    let mut done = present(&one.access, &operation)?;
    if !operations::succeeded(&operation) {
        done.code = 1;
    }
    Ok(done)
}

pub(super) fn present(access: &Access, body: &Value) -> Result {
    if access.json { json(body) } else { Ok(Done::ok(inventory::record(body))) }
}

pub(super) fn json(value: &Value) -> Result {
    serde_json::to_string_pretty(value).map(|text| Done::ok(format!("{text}\n"))).map_err(Error::new)
}
