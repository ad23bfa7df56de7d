//! Contacts, accounts and leads: whom addresses outside belong to. Three resources of one shape.

use std::borrow::Cow;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use lockstep_model::{
    id::PersonId,
    record::{self, Fields, RecordId},
};
use lockstep_store::{
    Tx, lanes, people,
    rights::{Kind, Ownership, Privilege},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};
use uuid::Uuid;

use super::{
    PREFIX,
    holder::{Wanted, explain},
    record_fields,
    resource::resource,
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
    upsert::{OriginPath, known},
    validate::Check,
    wall::{self, Veil},
};

/// What may be written of a contact, account or lead.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct PersonFields {
    /// Name, at most 200 characters.
    name: String,
    /// Email address.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// Which other system knows this record; goes with external_id.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// Under which id that system knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
    /// Whose record it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_user_id: Option<Uuid>,
    /// Or whose team's; not both. A user's new record is its own where neither is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_team_id: Option<Uuid>,
    /// Inactive records are resolved last. Default: true.
    #[serde(default = "yes")]
    active: bool,
    /// Of contacts, everything else that an address book knows.
    #[serde(flatten)]
    #[schema(ignore)]
    own: Map<String, Value>,
}

fn yes() -> bool {
    true
}

/// A contact, account or lead.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Person {
    id: Uuid,
    #[serde(flatten)]
    fields: PersonFields,
    /// The ETag without its quotes.
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<&people::Person> for PersonFields {
    fn from(person: &people::Person) -> Self {
        Self {
            name: person.name.clone(),
            address: person.address.clone(),
            source: person.source.clone(),
            external_id: person.external_id.clone(),
            owner_user_id: person.owner_user_id,
            owner_team_id: person.owner_team_id,
            active: person.active,
            own: record_fields::shown(record::Kind::Contact, &person.fields),
        }
    }
}

impl From<people::Person> for Person {
    fn from(person: people::Person) -> Self {
        Self {
            id: person.id,
            fields: (&person).into(),
            version: person.version,
            created_at: person.created_at,
            updated_at: person.updated_at,
        }
    }
}

impl PersonFields {
    fn checked(self, before: people::Person) -> Result<people::Person, Problem> {
        let mut check = Check::default();
        let name = check.line("name", &self.name, 200);
        let (address, address_key) = self.address.as_deref().map(|a| check.address("address", a)).unzip();
        let (source, external_id) = check.origin(self.source.as_deref(), self.external_id.as_deref());
        check.owner(self.owner_user_id, self.owner_team_id);
        let fields = match with_fields_of_its_own(&before.kind) {
            Some(kind) => record_fields::taken(&mut check, kind, self.own, MEMBERS, &before.fields),
            None => {
                record_fields::only_known(&mut check, None, MEMBERS, self.own.keys());
                Fields::default()
            }
        };
        check.finish()?;
        let (owner_user_id, owner_team_id) = (self.owner_user_id, self.owner_team_id);
        Ok(people::Person {
            source,
            external_id,
            name,
            address,
            address_key,
            owner_user_id,
            owner_team_id,
            active: self.active,
            fields,
            ..before
        })
    }
}

/// Names of the members that every kind has.
const MEMBERS: &[&str] = &["name", "address", "source", "external_id", "owner_user_id", "owner_team_id", "active"];

/// Accounts and leads are what addresses resolve to, and no more.
fn with_fields_of_its_own(kind: &str) -> Option<record::Kind> {
    (kind == "contact").then_some(record::Kind::Contact)
}

/// What may be written of a contact, as the API describes it.
pub(crate) struct ContactFields;
/// A contact, as the API describes it.
pub(crate) struct Contact;

impl PartialSchema for ContactFields {
    fn schema() -> RefOr<Schema> {
        with_fields(PersonFields::schema())
    }
}

impl ToSchema for ContactFields {
    fn name() -> Cow<'static, str> {
        "ContactFields".into()
    }
}

impl PartialSchema for Contact {
    fn schema() -> RefOr<Schema> {
        let answered = json!({
            "type": "object",
            "properties": {
                "id": { "type": "string", "format": "uuid" },
                "version": { "type": "integer", "format": "int64", "description": "The ETag without its quotes." },
                "created_at": { "type": "string", "format": "date-time" },
                "updated_at": { "type": "string", "format": "date-time" },
            },
            "required": ["id", "version", "created_at", "updated_at"],
        });
        let written = serde_json::to_value(ContactFields::schema()).unwrap_or_default();
        let mut whole = answered;
        for (name, property) in written["properties"].as_object().into_iter().flatten() {
            whole["properties"][name.as_str()] = property.clone();
        }
        serde_json::from_value(whole).unwrap_or_else(|_| RefOr::T(Schema::default()))
    }
}

impl ToSchema for Contact {
    fn name() -> Cow<'static, str> {
        "Contact".into()
    }
}

/// The members of everybody, and the fields of a contact.
fn with_fields(of_all: RefOr<Schema>) -> RefOr<Schema> {
    let mut whole = serde_json::to_value(&of_all).unwrap_or_default();
    for field in record_fields::writable(record::Kind::Contact) {
        whole["properties"][field.name()] = record_fields::described(field);
    }
    serde_json::from_value(whole).unwrap_or(of_all)
}

/// Which records to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListPeople {
    /// Items in a page, at most 200.
    limit: Option<u16>,
    /// The next of the page before.
    after: Option<Uuid>,
    /// Only records with this address.
    address: Option<String>,
}

async fn list(app: &App, caller: &Caller, kind: Kind, query: ListPeople) -> Result<Response, Problem> {
    let limit = Limit::of(query.limit);
    let key = query.address.as_deref().map(|address| address.trim().to_lowercase());
    let mut tx = app.store.begin().await?;
    let veil = Veil::of(&mut tx, caller, kind).await?;
    if key.is_some() {
        veil.searching("address")?;
    }
    let rows = people::list(&mut tx, kind, caller.user, key.as_deref(), query.after, limit.rows()).await?;
    let shown = |person| veil.over(&Person::from(person));
    Ok(Json(Page::of(rows, limit, |person| person.id, shown)).into_response())
}

async fn create(
    app: &App,
    caller: &Caller,
    kind: Kind,
    plural: &str,
    mut body: Received<PersonFields>,
) -> Result<Reply, Problem> {
    if body.value.owner_user_id.is_none() && body.value.owner_team_id.is_none() {
        body.value.owner_user_id = caller.user.map(|user| user.0);
    }
    // Being in use is what a record says when nobody says otherwise.
    let mut said = wall::said(&body.value);
    said.retain(|name| name != "active" || !body.value.active);
    let person = body.value.checked(people::Person {
        id: Uuid::nil(),
        kind: kind.as_str().to_owned(),
        source: None,
        external_id: None,
        name: String::new(),
        address: None,
        address_key: None,
        owner_user_id: None,
        owner_team_id: None,
        active: true,
        fields: Fields::default(),
        version: 0,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    })?;
    again(|| async {
        let mut once = match idempotent::begin(app, caller, body.once.clone()).await? {
            Begun::Answered(reply) => return Ok(reply),
            Begun::New(once) => once,
        };
        wall::owning(&mut once.tx, caller, kind, Privilege::Create, ownership(&person)).await?;
        wall::fields(&mut once.tx, caller, kind, &said).await?;
        let person = match people::create(&mut once.tx, person.clone(), &body.given.names(), &caller.actor()).await {
            Ok(person) => person,
            Err(error) => {
                drop(once);
                return Err(explain(app, error, Wanted::default()).await);
            }
        };
        lanes::wake(&mut once.tx, &[RecordId(person.id)], None).await?;
        let location = format!("{PREFIX}/{plural}/{}", person.id);
        let veil = Veil::of(&mut once.tx, caller, kind).await?;
        once.finish(Reply::created(location, person.version, &veil.over(&Person::from(person)))).await
    })
    .await
}

async fn read(app: &App, caller: &Caller, kind: Kind, id: Uuid) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    wall::reading(&mut tx, caller, kind, id).await?;
    let person =
        people::get(&mut tx, kind.as_str(), PersonId(id)).await?.ok_or_else(|| Problem::not_found(kind.as_str()))?;
    shown(&mut tx, caller, kind, person).await
}

/// Looking for a record by its id elsewhere is a search, which a field that is withheld is not open to.
async fn find(app: &App, caller: &Caller, kind: Kind, origin: &OriginPath) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    let veil = Veil::of(&mut tx, caller, kind).await?;
    veil.searching("source")?;
    veil.searching("external_id")?;
    let id = known(&mut tx, kind, origin).await?;
    drop(tx);
    read(app, caller, kind, id).await
}

/// The record as this caller may see it.
async fn shown(tx: &mut Tx, caller: &Caller, kind: Kind, person: people::Person) -> Result<Response, Problem> {
    let veil = Veil::of(tx, caller, kind).await?;
    Ok(tagged(person.version, veil.over(&Person::from(person))))
}

fn ownership(person: &people::Person) -> Ownership {
    Ownership { user: person.owner_user_id, team: person.owner_team_id }
}

async fn update(
    app: &App,
    caller: &Caller,
    kind: Kind,
    id: Uuid,
    expected: Option<i64>,
    patch: &Patch,
) -> Result<Response, Problem> {
    again(|| async {
        let mut tx = app.store.begin().await?;
        let before = locked(&mut tx, caller, kind, id, Privilege::Write, expected).await?;
        wall::fields(&mut tx, caller, kind, &patch.members()).await?;
        let owner = ownership(&before);
        let mut check = Check::default();
        record_fields::only_known(&mut check, with_fields_of_its_own(kind.as_str()), MEMBERS, &patch.members());
        check.finish()?;
        let (fields, changed) =
            patch.apply_whole(&PersonFields::from(&before), &record_fields::whole(record::Kind::Contact))?.split();
        let mut person = fields.checked(before)?;
        if changed.names().is_empty() {
            return shown(&mut tx, caller, kind, person).await;
        }
        if ownership(&person) != owner {
            wall::owning(&mut tx, caller, kind, Privilege::Write, ownership(&person)).await?;
        }
        match people::save(&mut tx, &person, &changed.names(), &caller.actor()).await {
            Ok(version) => (person.version, person.updated_at) = (version, tx.now()),
            Err(error) => {
                drop(tx);
                return Err(explain(app, error, Wanted::default()).await);
            }
        }
        // Seen by whoever has just written it, also where it was handed over.
        let written = RecordId(person.id);
        let answer = shown(&mut tx, caller, kind, person).await?;
        lanes::wake(&mut tx, &[written], None).await?;
        tx.commit().await?;
        Ok(answer)
    })
    .await
}

async fn delete(
    app: &App,
    caller: &Caller,
    kind: Kind,
    id: Uuid,
    expected: Option<i64>,
) -> Result<StatusCode, Problem> {
    again(|| async {
        let mut tx = app.store.begin().await?;
        let person = locked(&mut tx, caller, kind, id, Privilege::Delete, expected).await?;
        people::delete(&mut tx, &person, &caller.actor()).await?;
        lanes::wake(&mut tx, &[RecordId(person.id)], None).await?;
        tx.commit().await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// A record, locked, on which the caller has this privilege.
async fn locked(
    tx: &mut Tx,
    caller: &Caller,
    kind: Kind,
    id: Uuid,
    privilege: Privilege,
    expected: Option<i64>,
) -> Result<people::Person, Problem> {
    let found = people::lock(tx, kind.as_str(), PersonId(id), None).await?;
    wall::writing(tx, caller, kind, id, privilege).await?;
    let person = found.ok_or_else(|| Problem::not_found(kind.as_str()))?;
    match expected {
        Some(expected) if expected != person.version => Err(Problem::stale(person.version)),
        _ => Ok(person),
    }
}

resource!(
    /// Customers' persons.
    contacts, people::{ListPeople, PersonFields, ContactFields, Contact}, lockstep_store::rights::Kind::Contact,
    lockstep_store::rights::Kind::Contact,
    "contacts", "/contacts", "/contacts/{id}", "/contacts/by-external-id/{source}/{external_id}"
);
resource!(
    /// Customers' companies.
    accounts, people::{ListPeople, PersonFields, PersonFields, Person}, lockstep_store::rights::Kind::Account,
    lockstep_store::rights::Kind::Account,
    "accounts", "/accounts", "/accounts/{id}", "/accounts/by-external-id/{source}/{external_id}"
);
resource!(
    /// Persons and companies that may become customers.
    leads, people::{ListPeople, PersonFields, PersonFields, Person}, lockstep_store::rights::Kind::Lead,
    lockstep_store::rights::Kind::Lead,
    "leads", "/leads", "/leads/{id}", "/leads/by-external-id/{source}/{external_id}"
);
