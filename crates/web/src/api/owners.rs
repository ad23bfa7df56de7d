//! What users and queues have in common: each owns a mailbox, made with it, that follows its name, address and state.

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use lockstep_model::id::UserId;
use lockstep_store::{
    Tx, nudge,
    rights::{Kind, Privilege},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::IntoParams;
use uuid::Uuid;

use super::{
    PREFIX,
    holder::{Wanted, explain},
};
use crate::{
    again::again,
    auth::Caller,
    extract::Received,
    idempotent::{self, Begun, Reply, tagged},
    merge::Patch,
    page::{Limit, Page},
    problem::Problem,
    state::App,
    validate::Check,
    wall,
};

/// A kind of record that owns a mailbox, as the store keeps it.
pub(super) trait MailboxOwner: Clone + Send + Sync {
    /// What may be written of it.
    type Fields: Serialize + DeserializeOwned + for<'r> From<&'r Self> + Send;
    /// How it is shown.
    type View: Serialize + From<Self>;
    /// What one of them is called.
    const ONE: &'static str;
    /// What they are called in paths.
    const MANY: &'static str;
    /// What privileges on them are called.
    const KIND: Kind;
    /// The fields that users themselves may write.
    const PERSONAL: &'static [&'static str];

    /// The record as it would be. `before` gives what cannot be written.
    fn checked(fields: Self::Fields, before: Option<Self>) -> Result<Self, Problem>;
    /// What every record has.
    fn stamp(&self) -> Stamp;
    /// The key of its address.
    fn address_key(&self) -> &str;
    /// Takes over what a write has set.
    fn written(&mut self, version: i64, at: DateTime<Utc>);

    /// Makes it, and its mailbox; `fields` are those it was given.
    fn create(
        self,
        tx: &mut Tx,
        fields: &[&str],
        actor: &str,
    ) -> impl Future<Output = lockstep_store::Result<Self>> + Send;
    /// Those after `after`, or the one with this address key; with `reader`, those that this user may read.
    fn list(
        tx: &mut Tx,
        reader: Option<UserId>,
        address_key: Option<&str>,
        after: Option<Uuid>,
        limit: i64,
    ) -> impl Future<Output = lockstep_store::Result<Vec<Self>>> + Send;
    /// One of them.
    fn get(tx: &mut Tx, id: Uuid) -> impl Future<Output = lockstep_store::Result<Option<Self>>> + Send;
    /// One of them, locked.
    fn lock(
        tx: &mut Tx,
        id: Uuid,
        expected: Option<i64>,
    ) -> impl Future<Output = lockstep_store::Result<Option<Self>>> + Send;
    /// Writes one that was locked; returns its new version.
    fn save(
        &self,
        tx: &mut Tx,
        changed: &[&str],
        actor: &str,
    ) -> impl Future<Output = lockstep_store::Result<i64>> + Send;
}

/// What no request writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) id: Uuid,
    pub(super) version: i64,
    pub(super) created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
}

impl Stamp {
    /// That of the record before, or what the store replaces when it makes one.
    pub(super) fn of<O: MailboxOwner>(before: Option<&O>) -> Self {
        let unset =
            Self { id: Uuid::nil(), version: 0, created_at: DateTime::UNIX_EPOCH, updated_at: DateTime::UNIX_EPOCH };
        before.map_or(unset, O::stamp)
    }
}

/// What both have and both check alike.
pub(super) struct Common {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) address_key: String,
    pub(super) source: Option<String>,
    pub(super) external_id: Option<String>,
}

impl Common {
    /// Name, address and origin as they are kept.
    ///
    /// # Errors
    /// A problem with every rule that is broken.
    pub(super) fn checked(
        name: &str,
        address: &str,
        source: Option<&str>,
        external_id: Option<&str>,
    ) -> Result<Self, Problem> {
        let mut check = Check::default();
        let name = check.line("name", name, 200);
        let (address, address_key) = check.address("address", address);
        let (source, external_id) = check.origin(source, external_id);
        check.finish()?;
        Ok(Self { name, address, address_key, source, external_id })
    }
}

/// For `active`, which is true where nothing is said.
pub(super) fn yes() -> bool {
    true
}

/// Which of them to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListOwners {
    /// Items in a page, at most 200.
    limit: Option<u16>,
    /// The next of the page before.
    after: Option<Uuid>,
    /// Only the one with this address.
    address: Option<String>,
}

/// A page of them.
pub(super) async fn list<O: MailboxOwner>(app: &App, caller: &Caller, query: ListOwners) -> Result<Response, Problem> {
    let limit = Limit::of(query.limit);
    let key = query.address.as_deref().map(|address| address.trim().to_lowercase());
    let mut tx = app.store.begin().await?;
    let rows = O::list(&mut tx, caller.user, key.as_deref(), query.after, limit.rows()).await?;
    Ok(axum::Json(Page::of(rows, limit, |owner| owner.stamp().id, O::View::from)).into_response())
}

/// Makes one and its mailbox.
pub(super) async fn create<O: MailboxOwner>(
    app: &App,
    caller: &Caller,
    body: Received<O::Fields>,
) -> Result<Reply, Problem> {
    let owner = O::checked(body.value, None)?;
    let (owner, key, given) = (&owner, &body.once, &body.given);
    again(|| async move {
        let mut once = match idempotent::begin(app, caller, key.clone()).await? {
            Begun::Answered(reply) => return Ok(reply),
            Begun::New(once) => once,
        };
        let made = match owner.clone().create(&mut once.tx, &given.names(), &caller.actor()).await {
            Ok(made) => made,
            Err(error) => {
                drop(once);
                return Err(explain(app, error, wanted(owner)).await);
            }
        };
        nudge(&mut once.tx).await?;
        let Stamp { id, version, .. } = made.stamp();
        once.finish(Reply::created(format!("{PREFIX}/{}/{id}", O::MANY), version, &O::View::from(made))).await
    })
    .await
}

/// Shows one.
pub(super) async fn read<O: MailboxOwner>(app: &App, caller: &Caller, id: Uuid) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    wall::reading(&mut tx, caller, O::KIND, id).await?;
    Ok(shown(O::get(&mut tx, id).await?.ok_or_else(|| Problem::not_found(O::ONE))?))
}

/// Changes one, and its mailbox with it.
pub(super) async fn update<O: MailboxOwner>(
    app: &App,
    caller: &Caller,
    id: Uuid,
    expected: Option<i64>,
    patch: &Patch,
) -> Result<Response, Problem> {
    again(|| async move {
        let mut tx = app.store.begin().await?;
        wall::writing(&mut tx, caller, O::KIND, id, Privilege::Write).await?;
        let before = O::lock(&mut tx, id, expected).await?.ok_or_else(|| Problem::not_found(O::ONE))?;
        wall::only(caller, patch, O::PERSONAL)?;
        let (fields, changed) = patch.apply(&O::Fields::from(&before))?.split();
        let mut owner = O::checked(fields, Some(before))?;
        if changed.names().is_empty() {
            return Ok(shown(owner));
        }
        match owner.save(&mut tx, &changed.names(), &caller.actor()).await {
            Ok(version) => owner.written(version, tx.now()),
            Err(error) => {
                drop(tx);
                return Err(explain(app, error, wanted(&owner)).await);
            }
        }
        nudge(&mut tx).await?;
        tx.commit().await?;
        Ok(shown(owner))
    })
    .await
}

fn wanted<O: MailboxOwner>(owner: &O) -> Wanted<'_> {
    Wanted { address_key: Some(owner.address_key()), ..Wanted::default() }
}

fn shown<O: MailboxOwner>(owner: O) -> Response {
    tagged(owner.stamp().version, O::View::from(owner))
}
