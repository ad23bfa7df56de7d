//! What a user may do. The predicate itself is SQL (`may`, `may_record`, `may_field`, `reach` of the schema): lists, single
//! records and the engine's queries ask the same functions, and nothing here decides anything by itself.
//!
//! Only users are asked about. Programs, operators and administrators are admitted by the role of their key.

use lockstep_model::id::UserId;
use uuid::Uuid;

use crate::{Result, Tx};

/// A kind of record that privileges are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Emails.
    Email,
    /// Contacts.
    Contact,
    /// Accounts.
    Account,
    /// Leads.
    Lead,
    /// Single appointments.
    Appointment,
    /// Series of appointments.
    RecurringAppointment,
    /// Service activities.
    ServiceActivity,
    /// Tasks.
    Task,
    /// Phone calls.
    PhoneCall,
    /// Letters.
    Letter,
    /// Faxes.
    Fax,
    /// Queues.
    Queue,
    /// Users: each is its own owner.
    User,
    /// Mailboxes of users: never further than the owner. Those of queues have no owner here.
    Mailbox,
    /// The organisation itself: privileges without a depth.
    Organisation,
}

impl Kind {
    /// Every kind.
    pub const ALL: &[Self] = &[
        Self::Email,
        Self::Contact,
        Self::Account,
        Self::Lead,
        Self::Appointment,
        Self::RecurringAppointment,
        Self::ServiceActivity,
        Self::Task,
        Self::PhoneCall,
        Self::Letter,
        Self::Fax,
        Self::Queue,
        Self::User,
        Self::Mailbox,
        Self::Organisation,
    ];

    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Contact => "contact",
            Self::Account => "account",
            Self::Lead => "lead",
            Self::Appointment => "appointment",
            Self::RecurringAppointment => "recurring-appointment",
            Self::ServiceActivity => "service-activity",
            Self::Task => "task",
            Self::PhoneCall => "phone-call",
            Self::Letter => "letter",
            Self::Fax => "fax",
            Self::Queue => "queue",
            Self::User => "user",
            Self::Mailbox => "mailbox",
            Self::Organisation => "organisation",
        }
    }

    /// The kind of this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }

    /// The privileges there are on this kind.
    pub fn privileges(self) -> &'static [Privilege] {
        use Privilege::{ApproveEmailAddresses, Create, Delete, Read, SendAsAnother, Write};
        match self {
            Self::Email
            | Self::Contact
            | Self::Account
            | Self::Lead
            | Self::Appointment
            | Self::RecurringAppointment
            | Self::ServiceActivity
            | Self::Task
            | Self::PhoneCall
            | Self::Letter
            | Self::Fax => &[Read, Create, Write, Delete],
            Self::Queue => &[Read],
            Self::User => &[Read, Write, SendAsAnother],
            Self::Mailbox => &[Read, Write],
            Self::Organisation => &[ApproveEmailAddresses],
        }
    }

    /// The depths a privilege on this kind may have: mailboxes and personal options reach no further than their owner,
    /// and what concerns the organisation concerns all of it.
    pub fn depths(self, privilege: Privilege) -> &'static [Depth] {
        match (self, privilege) {
            (Self::Mailbox, _) | (Self::User, Privilege::Write) => &[Depth::Own],
            (Self::Organisation, _) => &[Depth::All],
            _ => &[Depth::Own, Depth::Team, Depth::All],
        }
    }

    /// The fields that can be secured, as answers name them. What identifies a record, and its owner, stays open.
    pub fn securable(self) -> &'static [&'static str] {
        match self {
            Self::Email => &["subject", "body_text", "body_html", "parties", "attachments", "regarding"],
            Self::Contact => CONTACT_FIELDS,
            Self::Account | Self::Lead => &["name", "address", "source", "external_id", "active"],
            Self::Appointment | Self::ServiceActivity => &[
                "subject",
                "description",
                "location",
                "time",
                "show_as",
                "importance",
                "organiser",
                "required_attendees",
                "optional_attendees",
                "regarding",
            ],
            Self::RecurringAppointment => &[
                "subject",
                "description",
                "location",
                "recurrence",
                "show_as",
                "importance",
                "organiser",
                "required_attendees",
                "optional_attendees",
                "regarding",
            ],
            Self::Task => &[
                "subject",
                "description",
                "start_date",
                "due_date",
                "completed_date",
                "percent_complete",
                "status",
                "importance",
                "regarding",
            ],
            Self::PhoneCall | Self::Letter | Self::Fax => &[
                "subject",
                "description",
                "start_date",
                "due_date",
                "completed_date",
                "status",
                "importance",
                "regarding",
            ],
            Self::Queue | Self::User | Self::Mailbox | Self::Organisation => &[],
        }
    }
}

const CONTACT_FIELDS: &[&str] = &[
    "name",
    "address",
    "source",
    "external_id",
    "active",
    "full_name",
    "yomi_first_name",
    "yomi_last_name",
    "nickname",
    "job_title",
    "department",
    "company",
    "manager",
    "assistant",
    "children",
    "spouse",
    "birthday",
    "anniversary",
    "government_id",
    "email_2",
    "email_3",
    "web_page",
    "ftp_site",
    "business_phone",
    "business_phone_2",
    "business_fax",
    "home_phone",
    "home_phone_2",
    "mobile_phone",
    "other_phone",
    "assistant_phone",
    "callback",
    "company_phone",
    "pager",
    "mailing_address",
    "home_address",
    "other_address",
    "description",
];

/// What may be done with a kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Privilege {
    /// It is seen.
    Read,
    /// It is made.
    Create,
    /// It is changed; an email is also sent and called off.
    Write,
    /// It is removed.
    Delete,
    /// On users: email is sent in their name, so far as they agree.
    SendAsAnother,
    /// On the organisation: addresses of mailboxes are approved and rejected.
    ApproveEmailAddresses,
}

impl Privilege {
    /// Every privilege.
    pub const ALL: &[Self] =
        &[Self::Read, Self::Create, Self::Write, Self::Delete, Self::SendAsAnother, Self::ApproveEmailAddresses];

    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Create => "create",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::SendAsAnother => "send-as-another",
            Self::ApproveEmailAddresses => "approve-email-addresses",
        }
    }

    /// The privilege of this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|privilege| privilege.as_str() == word)
    }
}

/// How far a privilege reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Depth {
    /// Records of the user and of the teams the user is in.
    Own,
    /// Also those of the users in these teams.
    Team,
    /// All of the organisation, those without an owner too.
    All,
}

impl Depth {
    /// Every depth, the shortest first.
    pub const ALL: &[Self] = &[Self::Own, Self::Team, Self::All];

    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Team => "team",
            Self::All => "all",
        }
    }
}

/// Whose a record is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// The user whose it is.
    pub user: Option<Uuid>,
    /// Or the team.
    pub team: Option<Uuid>,
}

impl Ownership {
    /// That of a user.
    pub fn of_user(user: UserId) -> Self {
        Self { user: Some(user.0), team: None }
    }
}

/// Whether `actor` has this privilege on a record of this kind with this owner.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn may(tx: &mut Tx, actor: UserId, kind: Kind, privilege: Privilege, owner: Ownership) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        "/* rights::may */ SELECT may($1, $2, $3, $4, $5) AS \"may!\"",
        actor.0,
        kind.as_str(),
        privilege.as_str(),
        owner.user,
        owner.team,
    )
    .fetch_one(tx.connection())
    .await?)
}

/// Like [`may`], of a record by its id; false where there is none.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn may_record(tx: &mut Tx, actor: UserId, kind: Kind, id: Uuid, privilege: Privilege) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        "/* rights::may_record */ SELECT may_record($1, $2, $3, $4) AS \"may!\"",
        actor.0,
        kind.as_str(),
        id,
        privilege.as_str(),
    )
    .fetch_one(tx.connection())
    .await?)
}

/// Whether there is a record of this kind with this id. There is none of [`Kind::Organisation`].
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn exists(tx: &mut Tx, kind: Kind, id: Uuid) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        "/* rights::exists */ SELECT EXISTS (SELECT FROM owned_records WHERE record_kind = $1 AND id = $2) AS \"there!\"",
        kind.as_str(),
        id,
    )
    .fetch_one(tx.connection())
    .await?)
}

/// Whether `actor` has this privilege on every record of the kind, or for the organisation.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn may_all(tx: &mut Tx, actor: UserId, kind: Kind, privilege: Privilege) -> Result<bool> {
    may(tx, actor, kind, privilege, Ownership::default()).await
}

/// The fields of a kind that `actor` may not read, or with `writing` not write.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn withheld_fields(tx: &mut Tx, actor: UserId, kind: Kind, writing: bool) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar!(
        "/* rights::withheld_fields */ SELECT field FROM secured_fields
         WHERE record_kind = $2 AND NOT may_field($1, $2, field, $3) ORDER BY field",
        actor.0,
        kind.as_str(),
        writing,
    )
    .fetch_all(tx.connection())
    .await?)
}

/// A privilege a user has, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// On which kind of record.
    pub record_kind: String,
    /// Which privilege.
    pub privilege: String,
    /// How far it reaches: the furthest of all roles.
    pub depth: String,
    /// Names of the security roles that give it, at whatever depth.
    pub through: Vec<String>,
}

/// A secured field, as a user has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldField {
    /// Of which kind of record.
    pub record_kind: String,
    /// Which field.
    pub field: String,
    /// Whether the user reads it.
    pub read: bool,
    /// Whether the user writes it.
    pub write: bool,
}

/// A security role a user has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRole {
    /// The role.
    pub role_id: Uuid,
    /// Its name.
    pub name: String,
    /// The team it comes from; `None` where it was given to the user itself.
    pub team_id: Option<Uuid>,
}

/// Every privilege of a user.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn held(tx: &mut Tx, user: UserId) -> Result<Vec<Held>> {
    Ok(sqlx::query_as!(
        Held,
        "/* rights::held */ SELECT p.record_kind, p.privilege, depth_of($1, p.record_kind, p.privilege) AS \"depth!\",
             array_agg(r.name ORDER BY r.name) AS \"through!\"
         FROM security_roles_of($1) AS given(role_id)
         JOIN security_role_privileges p ON p.role_id = given.role_id JOIN security_roles r ON r.id = p.role_id
         GROUP BY p.record_kind, p.privilege ORDER BY p.record_kind, p.privilege",
        user.0,
    )
    .fetch_all(tx.connection())
    .await?)
}

/// Every secured field, and what a user may do with it.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn held_fields(tx: &mut Tx, user: UserId) -> Result<Vec<HeldField>> {
    Ok(sqlx::query_as!(
        HeldField,
        "/* rights::held_fields */ SELECT record_kind, field, may_field($1, record_kind, field, false) AS \"read!\",
             may_field($1, record_kind, field, true) AS \"write!\"
         FROM secured_fields ORDER BY record_kind, field",
        user.0,
    )
    .fetch_all(tx.connection())
    .await?)
}

/// The security roles that were given to a user or to a team the user is in, whether or not the user is active.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn held_roles(tx: &mut Tx, user: UserId) -> Result<Vec<HeldRole>> {
    Ok(sqlx::query_as!(
        HeldRole,
        "/* rights::held_roles */ SELECT r.id AS \"role_id!\", r.name AS \"name!\", given.team_id AS \"team_id?\"
         FROM (SELECT role_id, NULL::uuid AS team_id FROM user_security_roles WHERE user_id = $1
               UNION ALL
               SELECT t.role_id, t.team_id FROM team_members m JOIN team_security_roles t ON t.team_id = m.team_id
               WHERE m.user_id = $1) AS given
         JOIN security_roles r ON r.id = given.role_id
         ORDER BY r.name, given.team_id NULLS FIRST",
        user.0,
    )
    .fetch_all(tx.connection())
    .await?)
}

#[cfg(test)]
mod tests {
    use lockstep_model::record::{self, schema};

    use super::*;

    /// L14: what can be secured is what programs write: no field that is synchronised is left open for want of a name.
    #[test]
    fn l14_every_field_can_be_secured() {
        for kind in record::Kind::ALL {
            let rights = Kind::of(kind.name()).unwrap();
            for row in schema::fields(kind) {
                let name = match row.field {
                    record::Field::Attachments => continue,
                    record::Field::Email1 => "address",
                    field if kind == record::Kind::Contact && field == record::Field::Regarding => continue,
                    field => field.name(),
                };
                assert!(rights.securable().contains(&name), "{}: {name}", kind.name());
            }
        }
    }
}
