//! What a mailbox must be like.

use lockstep_model::{
    id::{MailboxId, ProfileId, QueueId, UserId},
    mailbox::Owner,
};
use lockstep_store::{
    Tx,
    mailboxes::{MailboxRecord, secret_identity},
    profiles::{self, ProfileRecord, SecretChange},
    queues, settings, users,
};

use super::view::MailboxFields;
use crate::{
    api::profiles::check_secret,
    problem::Problem,
    state::AppState,
    validate::Check,
    words::{CredentialSource, IncomingMethod, Method},
};

/// The mailbox as it would be, and what becomes of its password.
///
/// # Errors
/// A problem with every rule that is broken.
pub(super) async fn mailbox(
    state: &AppState,
    tx: &mut Tx,
    fields: MailboxFields,
    before: MailboxRecord,
) -> Result<(MailboxRecord, SecretChange), Problem> {
    let mut check = Check::default();
    let name = check.line("name", &fields.name, 200);
    if !before.is_forward_mailbox && name != before.name {
        check.refuse("name", "owner", "the name of its user or queue: PATCH that");
    }
    if before.is_forward_mailbox {
        forward(&mut check, &fields);
    }
    let (address, address_key) = check.address("address", &fields.address);
    let login = fields.login.as_deref().map(|login| check.line("login", login, 200));
    check_secret(&mut check, fields.password.as_ref());
    check.instant("process_email_from", fields.process_email_from);
    check.range("verbose_logging", fields.verbose_logging);
    let profile = chosen_profile(tx, &mut check, &fields, &before).await?;
    // On another server the mailbox starts anew, unless this request says where.
    let moved = fields.profile_id != before.profile_id && fields.process_email_from == before.process_email_from;
    let process_email_from = fields.process_email_from.filter(|_| !moved);
    if let Some(start) = process_email_from.filter(|start| Some(*start) != before.process_email_from) {
        let max_days = settings::read(tx).await?.process_since_max_days();
        let of_profile = profile.as_ref().and_then(|profile| profile.process_emails_from);
        check.start("process_email_from", start, of_profile, max_days, tx.now());
    }
    act(state, &mut check, &fields, &before, profile.as_ref());
    if fields.delete_after_processing && before.owner_user_id.is_some() {
        let remedy = "false: only mailboxes of queues and forward mailboxes may delete on the server";
        check.refuse("delete_after_processing", "queue-only", remedy);
    }
    unused_account(&mut check, &fields, &before, profile.as_ref());
    let password_kept = before.password_set && fields.login.is_some();
    if fields.allow_credentials {
        if fields.login.is_none() {
            check.refuse("login", "required", "the account's name, because allow_credentials is true");
        }
        if fields.password.is_none() && !password_kept {
            check.refuse("password", "required", "the account's password, because allow_credentials is true");
        }
    }
    if fields.active && !before.active && !owner_is_active(tx, &before).await? {
        check.refuse("active", "owner-inactive", "activate the user or queue; its mailbox follows");
    }
    check.finish()?;

    let secret = match &fields.password {
        Some(password) => {
            let sealed = state.store.vault().seal(&secret_identity(MailboxId(before.id)), password);
            SecretChange::Set(sealed.map_err(lockstep_store::Error::from)?)
        }
        // A password goes with its login, and with the leave to use both.
        None if fields.login.is_none() || !fields.allow_credentials => SecretChange::Clear,
        None => SecretChange::Keep,
    };
    let mailbox = MailboxRecord {
        name,
        profile_id: fields.profile_id,
        address,
        address_key,
        incoming_method: fields.incoming_method.as_str().to_owned(),
        outgoing_method: fields.outgoing_method.as_str().to_owned(),
        act_method: fields.act_method.as_str().to_owned(),
        allow_credentials: fields.allow_credentials,
        login: login.filter(|_| fields.allow_credentials),
        process_email_from,
        delete_after_processing: fields.delete_after_processing,
        verbose_logging: i16::try_from(fields.verbose_logging).unwrap_or_default(),
        active: fields.active,
        ..before
    };
    Ok((mailbox, secret))
}

async fn chosen_profile(
    tx: &mut Tx,
    check: &mut Check,
    fields: &MailboxFields,
    before: &MailboxRecord,
) -> Result<Option<ProfileRecord>, Problem> {
    let Some(id) = fields.profile_id else {
        if before.profile_id.is_some() {
            check.refuse(
                "profile_id",
                "required",
                "the id of another profile; to stop processing, set active to false",
            );
        }
        return Ok(None);
    };
    let profile = profiles::get(tx, ProfileId(id)).await?;
    if profile.is_none() {
        check.refuse("profile_id", "exists", "the id of an email server profile that exists");
    }
    Ok(profile)
}

/// Where the profile has one account for all its mailboxes, what is said of this mailbox's own would never be used. What
/// stands there from before may stay, and be sent again.
fn unused_account(check: &mut Check, fields: &MailboxFields, before: &MailboxRecord, profile: Option<&ProfileRecord>) {
    let Some(profile) = profile.filter(|profile| profile.credentials != CredentialSource::Mailbox.as_str()) else {
        return not_allowed(check, fields, before);
    };
    let given = [
        ("allow_credentials", "false", fields.allow_credentials && !before.allow_credentials),
        ("login", "nothing", fields.login.is_some() && fields.login != before.login),
        ("password", "nothing", fields.password.is_some()),
    ];
    for (field, remedy, _) in given.iter().filter(|(_, _, given)| *given) {
        let remedy = format!(
            "{remedy}: the profile {} has one account for all its mailboxes (credentials {}). Set its credentials to \
             mailbox, or give the mailbox another profile",
            profile.name, profile.credentials
        );
        check.refuse(field, "not-used", remedy);
    }
}

/// Where the mailbox may not use an account of its own, what is said of one would never be used. What stands there from
/// before may be sent again; it goes with allow_credentials.
fn not_allowed(check: &mut Check, fields: &MailboxFields, before: &MailboxRecord) {
    if fields.allow_credentials {
        return;
    }
    let given =
        [("login", fields.login.is_some() && fields.login != before.login), ("password", fields.password.is_some())];
    for (field, _) in given.iter().filter(|(_, given)| *given) {
        let remedy = "nothing: the mailbox does not use an account of its own. Set allow_credentials to true in the same \
                      request";
        check.refuse(field, "not-used", remedy);
    }
}

/// The members that a write has emptied of itself, because the account they belong to is not used any more.
pub(super) fn dropped(had_login: bool, had_password: bool, mailbox: &MailboxRecord) -> Vec<&'static str> {
    let gone = !mailbox.allow_credentials;
    [("login", gone && had_login), ("password", gone && had_password)]
        .into_iter()
        .filter_map(|(name, gone)| gone.then_some(name))
        .collect()
}

/// A forward mailbox reads email, and nothing else.
fn forward(check: &mut Check, fields: &MailboxFields) {
    if fields.outgoing_method != Method::None {
        check.refuse("outgoing_method", "incoming-only", "none: a forward mailbox does not send");
    }
    if fields.act_method != Method::None {
        check.refuse("act_method", "incoming-only", "none: a forward mailbox has email only");
    }
    if fields.incoming_method == IncomingMethod::ForwardMailbox {
        check.refuse("incoming_method", "forward", "server-side or none: this is the forward mailbox");
    }
}

/// Appointments, contacts and tasks need a protocol that has them, and a person.
fn act(
    state: &AppState,
    check: &mut Check,
    fields: &MailboxFields,
    before: &MailboxRecord,
    profile: Option<&ProfileRecord>,
) {
    if fields.act_method != Method::ServerSide {
        return;
    }
    if before.is_forward_mailbox {
        return;
    }
    if before.owner_queue_id.is_some() {
        check.refuse("act_method", "user-only", "none: a queue has email only");
        return;
    }
    let Some(profile) = profile else {
        check.refuse("act_method", "profile-first", "none until the mailbox has a profile");
        return;
    };
    let protocol = &profile.incoming_protocol;
    let able = state.descriptors.iter().any(|d| d.name.as_str() == protocol && d.capabilities.act);
    if !able {
        let remedy = format!(
            "none: the profile {} speaks {protocol}, which has no appointments, contacts and tasks",
            profile.name
        );
        check.refuse("act_method", "capability", remedy);
    }
}

async fn owner_is_active(tx: &mut Tx, mailbox: &MailboxRecord) -> Result<bool, Problem> {
    Ok(match mailbox.owner() {
        Some(Owner::User(UserId(id))) => users::get(tx, UserId(id)).await?.is_some_and(|user| user.active),
        Some(Owner::Queue(QueueId(id))) => queues::get(tx, QueueId(id)).await?.is_some_and(|queue| queue.active),
        None => true,
    })
}
