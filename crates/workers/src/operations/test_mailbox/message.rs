//! The message of a test: written, handed over, and found.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use lockstep_connector::{Deadline, Envelope, PointOfNoReturn, RecipientReply, Session};
use lockstep_mime::{
    compose::{self, Address, Segment},
    header::{Headers, LOOP_HEADER},
};
use lockstep_model::{
    address::AddressKey,
    fault::{Fault, FaultScope},
    id::OperationId,
    mailbox::Mailbox,
};

use crate::{Context, operations::listing};

/// Of a mailbox's messages so many of the newest are looked at.
const NEWEST: usize = 50;

/// A message ready to be sent.
pub(super) struct Message {
    /// Without angle brackets.
    pub(super) message_id: String,
    bytes: Vec<u8>,
}

/// Writes the message from a mailbox to itself. The mark of our own mail keeps it from becoming a record, and
/// Auto-Submitted (RFC 3834) keeps machines from answering.
pub(super) fn compose(context: &Context, operation: OperationId, mailbox: &Mailbox, now: DateTime<Utc>) -> Message {
    let domain = AddressKey::of(&mailbox.address).map_or_else(|| "invalid".to_owned(), |key| key.domain().to_owned());
    let message_id = format!("test-{operation}@{domain}");
    let own = Address { name: None, address: mailbox.address.clone() };
    let text = "This mailbox is being connected. The message tests whether email can be sent from it and arrives in \
                it. It needs no answer and may be deleted.";
    let message = compose::Message {
        message_id: message_id.clone(),
        date: now,
        from: own.clone(),
        sender: None,
        to: vec![own],
        cc: Vec::new(),
        reply_to: Vec::new(),
        subject: "Test of your mailbox".to_owned(),
        in_reply_to: Vec::new(),
        references: Vec::new(),
        body_text: Some(text.to_owned()),
        body_html: None,
        attachments: Vec::new(),
        extra_headers: vec![
            (LOOP_HEADER.to_owned(), context.organisation.to_string()),
            ("Auto-Submitted".to_owned(), "auto-generated".to_owned()),
        ],
        boundary_seed: *operation.0.as_bytes(),
    };
    let mut bytes = Vec::new();
    for segment in compose::plan(&message) {
        if let Segment::Bytes(piece) = segment {
            bytes.extend_from_slice(&piece);
        }
    }
    Message { message_id, bytes }
}

/// Hands the message over.
pub(super) async fn send(
    session: &mut dyn Session,
    mailbox: &Mailbox,
    message: &Message,
    deadline: &Deadline,
) -> Result<(), Fault> {
    let envelope = Envelope {
        from: mailbox.address.clone(),
        to: vec![mailbox.address.clone()],
        size: Some(message.bytes.len() as u64),
    };
    let receipt = session.send(&envelope, Box::pin(&message.bytes[..]), &mut Open, deadline).await?;
    let refused = receipt.recipients.into_iter().find_map(|recipient| recipient.result.err());
    refused.map_or(Ok(()), |fault| Err(Fault { scope: FaultScope::Mailbox, ..fault }))
}

/// A test message that is sent twice does no harm, so nothing is recorded before it goes.
struct Open;

#[async_trait]
impl PointOfNoReturn for Open {
    async fn cross(&mut self, _recipients: &[RecipientReply]) -> Result<(), Fault> {
        Ok(())
    }
}

/// Lists the mailbox and looks for the message among the newest, deleting it where that is wanted. Without a message to
/// look for, the listing is all.
pub(super) async fn find(
    session: &mut dyn Session,
    message_id: Option<&str>,
    delete: bool,
    deadline: &Deadline,
) -> Result<bool, Fault> {
    let newest = listing::newest(session, NEWEST, deadline).await?;
    let Some(message_id) = message_id else { return Ok(false) };
    if newest.is_empty() {
        return Ok(false);
    }
    let limits = lockstep_mime::Limits::default();
    let blocks = session.headers(&newest, deadline).await?.whole()?;
    let is_it = |block: &Result<Vec<u8>, Fault>| {
        let Ok(block) = block else { return false };
        let (headers, _) = Headers::parse(block, &limits);
        headers.message_id.as_deref().is_some_and(|id| id.trim_matches(['<', '>', ' ']) == message_id)
    };
    let Some((head, _)) = newest.iter().zip(&blocks).find(|(_, block)| is_it(block)) else { return Ok(false) };
    if delete {
        session.delete(std::slice::from_ref(&head.key), deadline).await?;
    }
    Ok(true)
}
