//! `lockstep security-role`, `team` and `secured-field`, and what `lockstep user` has beyond its record: who may do what.

use clap::{Args, Subcommand};
use reqwest::Method;
use uuid::Uuid;

use super::{
    Done, Result,
    client::{Access, Request},
    inventory,
    resources::{Body, Full, Kept, List, One, Update, full, kept, list, present, show},
};

#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Lists them.
    List(List),
    /// Shows one.
    Show(One),
    /// Makes one.
    Create(Body),
    /// Changes fields of one.
    Update(Update),
    /// Tells what one may do, and through which security roles.
    Privileges(One),
    /// Gives one a security role.
    Give(Given),
    /// Takes a security role from one.
    Take(Given),
}

#[derive(Debug, Subcommand)]
pub(super) enum SecurityRole {
    /// Lists them.
    List(List),
    /// Shows one.
    Show(One),
    /// Makes one, such as `--data '{"name": "Approver", "privileges": [{"record_kind": "organisation", "privilege":
    /// "approve-email-addresses", "depth": "all"}]}'`.
    Create(Body),
    /// Changes fields of one, for everybody who has it.
    Update(Update),
    /// Removes one, from everybody who has it.
    Delete(One),
}

#[derive(Debug, Subcommand)]
pub(super) enum Team {
    /// Lists them.
    List(List),
    /// Shows one.
    Show(One),
    /// Makes one, without members.
    Create(Body),
    /// Changes fields of one.
    Update(Update),
    /// Removes one that owns nothing.
    Delete(One),
    /// Lists the users in one.
    Members(Members),
    /// Takes a user into one.
    Add(Membership),
    /// Takes a user out of one.
    Remove(Membership),
    /// Gives everybody in one a security role.
    Give(Given),
    /// Takes a security role from one.
    Take(Given),
}

#[derive(Debug, Subcommand)]
pub(super) enum SecuredField {
    /// Lists them.
    List(Access),
    /// Secures a field.
    Add(Field),
    /// Opens one.
    Remove(Field),
}

#[derive(Debug, Args)]
pub(super) struct Given {
    /// Id of the user or team.
    id: Uuid,
    /// Id of the security role.
    role: Uuid,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Args)]
pub(super) struct Membership {
    /// Id of the team.
    id: Uuid,
    /// Id of the user.
    user: Uuid,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Args)]
pub(super) struct Members {
    /// Id of the team.
    id: Uuid,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Args)]
pub(super) struct Field {
    /// `email`, `contact`, `account` or `lead`.
    record_kind: String,
    /// The field, as the API names it.
    field: String,
    #[command(flatten)]
    access: Access,
}

/// `lockstep user`
pub(super) async fn user(command: User) -> Result {
    match command {
        User::List(list) => kept("users", Kept::List(list)).await,
        User::Show(one) => kept("users", Kept::Show(one)).await,
        User::Create(body) => kept("users", Kept::Create(body)).await,
        User::Update(update) => kept("users", Kept::Update(update)).await,
        User::Privileges(one) => show(&one.access, &format!("users/{}/privileges", one.id)).await,
        User::Give(given) => role(&given, "users", Method::PUT).await,
        User::Take(given) => role(&given, "users", Method::DELETE).await,
    }
}

/// `lockstep security-role`
pub(super) async fn security_role(command: SecurityRole) -> Result {
    let command = match command {
        SecurityRole::List(list) => Full::List(list),
        SecurityRole::Show(one) => Full::Show(one),
        SecurityRole::Create(body) => Full::Create(body),
        SecurityRole::Update(update) => Full::Update(update),
        SecurityRole::Delete(one) => Full::Delete(one),
    };
    full("security-roles", command).await
}

/// `lockstep team`
pub(super) async fn team(command: Team) -> Result {
    let command = match command {
        Team::List(list) => Full::List(list),
        Team::Show(one) => Full::Show(one),
        Team::Create(body) => Full::Create(body),
        Team::Update(update) => Full::Update(update),
        Team::Delete(one) => Full::Delete(one),
        Team::Members(members) => return list(&format!("teams/{}/members", members.id), &members.list).await,
        Team::Add(member) => return membership(&member, Method::PUT).await,
        Team::Remove(member) => return membership(&member, Method::DELETE).await,
        Team::Give(given) => return role(&given, "teams", Method::PUT).await,
        Team::Take(given) => return role(&given, "teams", Method::DELETE).await,
    };
    full("teams", command).await
}

/// `lockstep secured-field`
pub(super) async fn secured_field(command: SecuredField) -> Result {
    match command {
        SecuredField::List(access) => {
            let answer = access.connect()?.call(Method::GET, "secured-fields", Request::default()).await?.body;
            if access.json {
                return present(&access, &answer);
            }
            let items = answer.get("items").and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
            Ok(Done::ok(inventory::list("secured-fields", &items)))
        }
        SecuredField::Add(field) => secured(&field, Method::PUT).await,
        SecuredField::Remove(field) => secured(&field, Method::DELETE).await,
    }
}

async fn role(given: &Given, path: &str, method: Method) -> Result {
    done(&given.access, method, &format!("{path}/{}/security-roles/{}", given.id, given.role)).await
}

async fn membership(member: &Membership, method: Method) -> Result {
    done(&member.access, method, &format!("teams/{}/members/{}", member.id, member.user)).await
}

async fn secured(field: &Field, method: Method) -> Result {
    done(&field.access, method, &format!("secured-fields/{}/{}", field.record_kind, field.field)).await
}

async fn done(access: &Access, method: Method, path: &str) -> Result {
    let answer = access.connect()?.call(method, path, Request::default()).await?;
    present(access, &answer.body)
}
