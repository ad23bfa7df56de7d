//! Forward mailboxes are made and removed by themselves; other mailboxes come and go with their users and queues.

use axum::{extract::State, http::StatusCode};
use lockstep_model::id::{MailboxId, ProfileId};
use lockstep_store::{
    Tx,
    mailboxes::{self, MailboxRecord, status},
    nudge, profiles,
};

use super::{
    check, missing,
    view::{Mailbox, MailboxFields, NewForwardMailbox},
};
use crate::{
    again::again,
    api::{
        PREFIX,
        holder::{Wanted, explain},
    },
    auth::Caller,
    extract::{Id, IfMatch, Received},
    idempotent::{self, Begun, Reply},
    problem::Problem,
    state::App,
    validate::Check,
    words::{IncomingMethod, Method},
};

/// Makes a forward mailbox: what users' and queues' own servers forward to it as attachments is treated as received by
/// them. It has to be approved, tested and enabled.
#[utoipa::path(post, path = "/mailboxes", tag = "mailboxes", request_body = NewForwardMailbox,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, description = "The new mailbox", body = Mailbox)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    body: Received<NewForwardMailbox>,
) -> Result<Reply, Problem> {
    again(|| async {
        let mut once = match idempotent::begin(&app, &caller, body.once.clone()).await? {
            Begun::Answered(reply) => return Ok(reply),
            Begun::New(once) => once,
        };
        let tx = &mut once.tx;
        let (fields, before) = wanted(tx, &body.value).await?;
        let (mailbox, secret) = check::mailbox(&app, tx, fields, before).await?;
        if let Err(error) = mailboxes::create_forward(tx, &mailbox, &secret, &body.given.names(), &caller.actor()).await
        {
            drop(once);
            let login = mailbox.profile_id.map(ProfileId).zip(mailbox.login.as_deref());
            return Err(explain(&app, error, Wanted { address_key: Some(&mailbox.address_key), login }).await);
        }
        nudge(tx).await?;
        let made = status::get(tx, MailboxId(mailbox.id)).await?.ok_or_else(Problem::internal)?;
        let location = format!("{PREFIX}/mailboxes/{}", mailbox.id);
        once.finish(Reply::created(location, 1, &Mailbox::from(made))).await
    })
    .await
}

/// What is asked for, and the mailbox as if there were nothing of it yet.
async fn wanted(tx: &mut Tx, new: &NewForwardMailbox) -> Result<(MailboxFields, MailboxRecord), Problem> {
    let mut refused = Check::default();
    if !new.is_forward_mailbox {
        let remedy = "true: mailboxes of users and queues are made with them, by POST /users and POST /queues";
        refused.refuse("is_forward_mailbox", "forward-only", remedy);
    }
    for (field, given) in [("owner_user_id", new.owner_user_id), ("owner_queue_id", new.owner_queue_id)] {
        if given.is_some() {
            refused.refuse(field, "forward", "nothing: a forward mailbox belongs to the organisation");
        }
    }
    refused.finish()?;
    let default = profiles::default(tx).await?.map(|profile| profile.0);
    let fields = MailboxFields {
        name: new.name.clone(),
        address: new.address.clone(),
        profile_id: new.profile_id.or(default),
        incoming_method: new.incoming_method.unwrap_or(IncomingMethod::ServerSide),
        outgoing_method: new.outgoing_method.unwrap_or_default(),
        act_method: new.act_method.unwrap_or_default(),
        allow_credentials: new.allow_credentials,
        login: new.login.clone(),
        password: new.password.clone(),
        process_email_from: new.process_email_from,
        delete_after_processing: new.delete_after_processing,
        verbose_logging: 0,
        active: new.active,
    };
    let before = MailboxRecord {
        id: MailboxId::new().0,
        name: String::new(),
        // Which one it is, is no change: the start date that is asked for stands.
        profile_id: fields.profile_id,
        owner_user_id: None,
        owner_queue_id: None,
        is_forward_mailbox: true,
        address: String::new(),
        address_key: String::new(),
        address_status: "pending".to_owned(),
        approved_by: None,
        approved_at: None,
        incoming_method: IncomingMethod::None.as_str().to_owned(),
        outgoing_method: Method::None.as_str().to_owned(),
        act_method: Method::None.as_str().to_owned(),
        allow_credentials: false,
        login: None,
        password_set: false,
        incoming_test: "not-run".to_owned(),
        outgoing_test: "not-run".to_owned(),
        incoming_enabled: false,
        outgoing_enabled: false,
        act_test: "not-run".to_owned(),
        act_enabled: false,
        act_tested_at: None,
        test_attempted_by: None,
        test_attempted_at: None,
        tested_by: None,
        tested_at: None,
        incoming_tested_at: None,
        outgoing_tested_at: None,
        enabled_by: None,
        enabled_at: None,
        process_email_from: None,
        delete_after_processing: false,
        verbose_logging: 0,
        active: false,
        version: 1,
        created_at: tx.now(),
        updated_at: tx.now(),
    };
    Ok((fields, before))
}

/// Removes a forward mailbox that is inactive. The records of what came through it stay.
#[utoipa::path(delete, path = "/mailboxes/{id}", tag = "mailboxes",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "It is gone")))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
) -> Result<StatusCode, Problem> {
    again(|| async {
        let mut tx = app.store.begin().await?;
        let mailbox = mailboxes::lock(&mut tx, MailboxId(id), expected).await?.ok_or_else(missing)?;
        if !mailbox.is_forward_mailbox {
            let detail = "Only forward mailboxes are removed; this one stays with its user or queue. PATCH active to \
                          false to stop its processing.";
            return Err(Problem::conflict("owned", detail));
        }
        if mailbox.active {
            let detail = "The forward mailbox is in use: PATCH active to false first.";
            return Err(Problem::conflict("in-use", detail));
        }
        mailboxes::delete_forward(&mut tx, &mailbox, &caller.actor()).await?;
        nudge(&mut tx).await?;
        tx.commit().await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
