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
    fault::{Fault, FaultClass, FaultScope},
    id::OperationId,
    mailbox::Mailbox,
};
use lockstep_store::operations::{self, Operation};
use serde_json::Value;

use crate::{Context, operations::listing};

/// Of a mailbox's messages so many of the newest are looked at.
const NEWEST: usize = 50;

/// How the Message-ID of a test begins; the operation's id follows, and a number where it is not the first.
const PREFIX: &str = "test-";

/// Whether a message of our own, with this Message-ID, is that of a test.
pub(crate) fn is_test(message_id: &str) -> bool {
    operation_of(message_id).is_some()
}

/// The test that a message of our own, with this Message-ID, belongs to.
fn operation_of(message_id: &str) -> Option<OperationId> {
    let (name, _) = message_id.trim_matches(['<', '>', ' ']).strip_prefix(PREFIX)?.split_once('@')?;
    let (operation, number) = name.split_once('.').unwrap_or((name, "0"));
    number.parse::<u32>().ok()?;
    operation.parse().ok()
}

/// A message ready to be sent.
pub(super) struct Message {
    /// Without angle brackets.
    pub(super) message_id: String,
    bytes: Vec<u8>,
}

/// Writes the message from a mailbox to itself. The mark of our own mail keeps it from becoming a record, and
/// Auto-Submitted (RFC 3834) keeps machines from answering. Of each attempt it is another message: a server that knows
/// the one before would take it for the same and drop it.
pub(super) fn compose(
    context: &Context,
    operation: OperationId,
    retries: u32,
    mailbox: &Mailbox,
    now: DateTime<Utc>,
) -> Message {
    let domain = AddressKey::of(&mailbox.address).map_or_else(|| "invalid".to_owned(), |key| key.domain().to_owned());
    let number = if retries > 0 { format!(".{retries}") } else { String::new() };
    let message_id = format!("{PREFIX}{operation}{number}@{domain}");
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

/// Hands the message over, once the point of no return lets it.
pub(super) async fn send(
    session: &mut dyn Session,
    mailbox: &Mailbox,
    message: &Message,
    point: &mut dyn PointOfNoReturn,
    deadline: &Deadline,
) -> Result<(), Fault> {
    let envelope = Envelope {
        from: mailbox.address.clone(),
        to: vec![mailbox.address.clone()],
        size: Some(message.bytes.len() as u64),
        // Nobody needs to find it among their sent mail.
        save_copy: false,
    };
    let receipt = session.send(&envelope, Box::pin(&message.bytes[..]), point, deadline).await?;
    let refused = receipt.recipients.into_iter().find_map(|recipient| recipient.result.err());
    refused.map_or(Ok(()), |fault| Err(Fault { scope: FaultScope::Mailbox, ..fault }))
}

/// Notes in the operation that the message is on its way, before it is: of runs at the same moment, one sends it.
pub(super) struct Once<'a> {
    context: &'a Context,
    operation: &'a Operation,
    position: Value,
    /// Whether another run was first.
    pub(super) overtaken: bool,
    /// Whether the message may have been handed over.
    pub(super) crossed: bool,
}

impl<'a> Once<'a> {
    /// Before anything has happened; `position` is the note.
    pub(super) fn new(context: &'a Context, operation: &'a Operation, position: Value) -> Self {
        Self { context, operation, position, overtaken: false, crossed: false }
    }
}

#[async_trait]
impl PointOfNoReturn for Once<'_> {
    async fn cross(&mut self, _recipients: &[RecipientReply]) -> Result<(), Fault> {
        let noted = async {
            let mut tx = self.context.store.begin().await?;
            let first = operations::cross(&mut tx, self.operation, &self.position).await?;
            tx.commit().await?;
            Ok::<bool, lockstep_store::Error>(first)
        };
        let stop = |code: &'static str, words: String| -> Result<(), Fault> {
            let mut fault = Fault::new(FaultScope::Mailbox, FaultClass::Transient, code, words);
            fault.local = true;
            Err(fault)
        };
        match noted.await {
            Ok(true) => {
                self.crossed = true;
                Ok(())
            }
            Ok(false) => {
                self.overtaken = true;
                stop("AttemptTakenOver", "another run of the same test sends its message".to_owned())
            }
            Err(error) => stop("DatabaseUnavailable", error.to_string()),
        }
    }
}

/// Lists the mailbox and looks for a message of this test among the newest, deleting it where that is wanted: that of an
/// earlier attempt proves as much. Without a test whose message is under way, the listing is all.
pub(super) async fn find(
    session: &mut dyn Session,
    operation: Option<OperationId>,
    delete: bool,
    deadline: &Deadline,
) -> Result<bool, Fault> {
    let newest = listing::newest(session, NEWEST, deadline).await?;
    if operation.is_none() {
        return Ok(false);
    }
    if newest.is_empty() {
        return Ok(false);
    }
    let limits = lockstep_mime::Limits::default();
    let blocks = session.headers(&newest, deadline).await?.whole()?;
    let is_it = |block: &Result<Vec<u8>, Fault>| {
        let Ok(block) = block else { return false };
        let (headers, _) = Headers::parse(block, &limits);
        headers.message_id.as_deref().is_some_and(|id| operation_of(id) == operation)
    };
    let Some((head, _)) = newest.iter().zip(&blocks).find(|(_, block)| is_it(block)) else { return Ok(false) };
    if delete {
        session.delete(std::slice::from_ref(&head.key), deadline).await?;
    }
    Ok(true)
}
