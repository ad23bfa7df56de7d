//! What a draft must be like.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use lockstep_model::{
    address::{AddressKey, MAX_ADDRESS_BYTES},
    email::{PartyRole, Regarding},
    id::{EmailId, QueueId, UserId},
    mailbox::Owner,
    text,
};
use lockstep_store::{
    Tx,
    emails::{
        self,
        drafts::{self, Answered, Draft, Recipient, Sender},
    },
    organisations::{self, Organisation},
    rights::Kind,
    users,
};
use uuid::Uuid;

use super::view::{AttachmentFields, EmailFields, FromFields, RecipientFields, RegardingFields};
use crate::{api::uploads, auth::Caller, problem::Problem, validate::Check, wall};

/// Most recipients of an email.
const MAX_RECIPIENTS: usize = 500;
/// Most files of an email.
pub(super) const MAX_ATTACHMENTS: usize = 100;

/// The limits of the organisation.
pub(super) async fn organisation(tx: &mut Tx) -> Result<Organisation, Problem> {
    let found = organisations::get(tx).await?;
    found.ok_or_else(|| {
        Problem::conflict("not-set-up", "The organisation is not set up yet; the command line does that.")
    })
}

/// The draft as it would be; `changed` are the names of the members that a patch changes, `None`: it is a new one.
///
/// # Errors
/// A problem with every rule that is broken.
pub(super) async fn draft(
    tx: &mut Tx,
    caller: &Caller,
    fields: EmailFields,
    changed: Option<&[&str]>,
    limits: &Organisation,
) -> Result<Draft, Problem> {
    let new = |name: &str| changed.is_none_or(|changed| changed.contains(&name));
    let mut check = Check::default();
    let subject = check.optional_line("subject", &fields.subject, 255);
    let body_text = body(&mut check, "body_text", fields.body_text, limits);
    let body_html = body(&mut check, "body_html", fields.body_html, limits);
    let regarding = fields.regarding.map(|regarding| regarding.checked(&mut check));
    let mut regarding = regarding.map(|(kind, id)| Regarding { kind, id });
    // What it was about may be gone since: then it stays until another is named.
    if let Some(Regarding { kind, id }) = regarding.as_mut().filter(|r| new("regarding") && !r.id.is_empty()) {
        *id = wall::about(tx, caller, &mut check, kind, id).await?;
    }
    let (source, external_id) = check.origin(fields.source.as_deref(), fields.external_id.as_deref());
    let mut all = Vec::new();
    let lists =
        [("to", PartyRole::To, &fields.to), ("cc", PartyRole::Cc, &fields.cc), ("bcc", PartyRole::Bcc, &fields.bcc)];
    for (list, role, written) in lists {
        recipients(&mut check, list, role, written, &mut all);
        if new(list) {
            once_each(&mut check, list, written);
        }
    }
    if all.len() > MAX_RECIPIENTS {
        check.refuse("to", "length", format!("at most {MAX_RECIPIENTS} recipients in to, cc and bcc together"));
    }
    // A user who writes is who sends; a program says for whom it writes.
    let acting = caller.user.or(fields.sender_user_id.map(UserId));
    let acting = acting.filter(|acting| author(&fields.from) != Some(Owner::User(*acting)));
    if let (Some(acting), None) = (acting, caller.user)
        && users::get(tx, acting).await?.is_none()
    {
        check.refuse("sender_user_id", "exists", "the id of a user that exists");
    }
    let sender = sender(tx, &mut check, &fields.from).await?;
    let sender = match (acting, author(&fields.from)) {
        // What is written in another's name belongs to whoever has written it.
        (Some(acting), Some(Owner::User(_))) => sender.map(|sender| sender.owned_by(acting)),
        _ => sender,
    };
    let answered = match fields.in_reply_to_email_id {
        None => Answered::default(),
        Some(id) => {
            let found = drafts::answered(tx, EmailId(id)).await?;
            // One that cannot be read is not there: its Message-IDs would stand in the answer.
            let found = if wall::readable(tx, caller, Kind::Email, id).await? { found } else { None };
            found.unwrap_or_else(|| {
                check.refuse("in_reply_to_email_id", "exists", "the id of an email that exists");
                Answered::default()
            })
        }
    };
    check.finish()?;
    let Some(sender) = sender else { return Err(Problem::field("from", "required", "user_id or queue_id")) };
    let origin = source.zip(external_id);
    Ok(Draft { origin, sender, acting, answered, recipients: all, regarding, subject, body_text, body_html })
}

fn body(check: &mut Check, field: &str, body: Option<String>, limits: &Organisation) -> Option<String> {
    let body = body?;
    let max = usize::try_from(limits.max_body_bytes).unwrap_or_default();
    if body.len() > max {
        check.refuse(field, "length", format!("at most {max} bytes (max_body_bytes of the organisation)"));
    }
    Some(text::block(&body, max))
}

fn recipients(check: &mut Check, list: &str, role: PartyRole, written: &[RecipientFields], all: &mut Vec<Recipient>) {
    // Beyond this the answer is no anyway; a hostile list is not looked at to its end.
    for (at, recipient) in written.iter().enumerate().take(MAX_RECIPIENTS + 1) {
        let name = check.optional_line(&format!("{list}.{at}.name"), &recipient.name, 255);
        let address = check.line(&format!("{list}.{at}.address"), &recipient.address, MAX_ADDRESS_BYTES);
        let address_key = key(&address).map(|key| key.as_str().to_owned());
        all.push(Recipient { role, name, address, address_key });
    }
}

/// Whoever is in a list is there once; to, cc and bcc may have the same address.
fn once_each(check: &mut Check, list: &str, written: &[RecipientFields]) {
    let mut seen = BTreeMap::new();
    for (at, recipient) in written.iter().enumerate().take(MAX_RECIPIENTS + 1) {
        let address = recipient.address.trim().to_lowercase();
        if address.is_empty() {
            continue;
        }
        if let Some(first) = seen.get(&address) {
            let remedy = format!("an address that is not in this list already: {list}.{first} has it");
            check.refuse(&format!("{list}.{at}.address"), "duplicate", remedy);
        } else {
            seen.insert(address, at);
        }
    }
}

/// The key of an address that can be sent to: without display name or brackets.
pub(super) fn key(address: &str) -> Option<AddressKey> {
    AddressKey::of(address).filter(|_| !address.contains(['<', '>']))
}

/// Whom an email is from, if it is said as it should be.
pub(super) fn author(from: &FromFields) -> Option<Owner> {
    match (from.user_id, from.queue_id) {
        (Some(id), None) => Some(Owner::User(UserId(id))),
        (None, Some(id)) => Some(Owner::Queue(QueueId(id))),
        _ => None,
    }
}

async fn sender(tx: &mut Tx, check: &mut Check, from: &FromFields) -> Result<Option<Sender>, Problem> {
    let Some(owner) = author(from) else {
        check.refuse("from", "one-of", "either user_id or queue_id");
        return Ok(None);
    };
    let found = drafts::sender(tx, owner).await?;
    if found.is_none() {
        check.refuse(
            &format!("from.{}_id", owner.kind()),
            "exists",
            format!("the id of a {} that exists", owner.kind()),
        );
    }
    Ok(found)
}

/// A decoded file.
pub(super) struct Decoded {
    pub(super) name: String,
    pub(super) media_type: String,
    pub(super) bytes: Vec<u8>,
}

/// The files inside a request.
///
/// # Errors
/// A problem with every rule that is broken.
pub(super) fn files(fields: Vec<AttachmentFields>, limits: &Organisation) -> Result<Vec<Decoded>, Problem> {
    let mut check = Check::default();
    if fields.len() > MAX_ATTACHMENTS {
        check.refuse("attachments", "length", format!("at most {MAX_ATTACHMENTS} files"));
    }
    let mut decoded = Vec::new();
    for (at, field) in fields.into_iter().enumerate().take(MAX_ATTACHMENTS) {
        let place = format!("attachments.{at}.");
        uploads::file(&mut check, &place, &field.name, &field.media_type, limits);
        let Ok(bytes) = STANDARD.decode(&field.content) else {
            check.refuse(&format!("{place}content"), "base64", "base64 with padding, without line breaks");
            continue;
        };
        if bytes.len() as u64 > limits.max_attachment_bytes.unsigned_abs() {
            let max = limits.max_attachment_bytes;
            let remedy = format!("at most {max} bytes (max_attachment_bytes of the organisation)");
            check.refuse(&format!("{place}content"), "size", remedy);
        }
        decoded.push(Decoded { name: field.name.trim().to_owned(), media_type: field.media_type, bytes });
    }
    check.finish()?;
    Ok(decoded)
}

/// The writable form of a draft, for a patch.
pub(super) async fn writable(tx: &mut Tx, email: &emails::EmailRecord) -> Result<EmailFields, Problem> {
    let id = EmailId(email.id);
    let (body_text, body_html) = emails::bodies(tx, id).await?;
    let mut fields = EmailFields {
        from: FromFields { user_id: None, queue_id: None },
        to: Vec::new(),
        cc: Vec::new(),
        bcc: Vec::new(),
        subject: email.subject.clone(),
        body_text,
        body_html,
        in_reply_to_email_id: email.parent_email_id,
        regarding: RegardingFields::of(email.regarding_kind.clone(), email.regarding_id.clone()),
        source: email.source.clone(),
        external_id: email.external_id.clone(),
        sender_user_id: email.sender_user_id,
        attachments: Vec::new(),
    };
    for party in emails::parties(tx, id, None).await? {
        let list = match party.role.as_str() {
            "from" if party.record_kind.as_deref() == Some("queue") => {
                fields.from.queue_id = party.record_id;
                continue;
            }
            "from" => {
                fields.from.user_id = party.record_id;
                continue;
            }
            "to" => &mut fields.to,
            "cc" => &mut fields.cc,
            "bcc" => &mut fields.bcc,
            _ => continue,
        };
        list.push(RecipientFields { name: party.name, address: party.address });
    }
    Ok(fields)
}

/// Refuses that a user writes in the name of somebody who acts in their place.
pub(super) fn acting(caller: &Caller, named: Option<Uuid>) -> Result<(), Problem> {
    match (caller.user, named) {
        (Some(user), Some(named)) if user.0 != named => {
            Err(Problem::forbidden_fields(["sender_user_id"], "nothing here: it is you who sends"))
        }
        _ => Ok(()),
    }
}
