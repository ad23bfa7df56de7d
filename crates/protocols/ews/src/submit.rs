//! Sending a message: streamed into the request, held back before its last bytes, and sent by them.

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hyper::{Response, body::Incoming};
use lockstep_connector::{BodyReader, Deadline, Envelope, PointOfNoReturn, RecipientReply, SendReceipt};
use lockstep_model::fault::{Fault, FaultClass, FaultScope};
use tokio::io::AsyncReadExt;

use crate::{
    client::Client,
    codec::{
        answer,
        create_item::{self, Disposition, How},
        envelope::{self as soap_envelope, Header},
        id::FolderRef,
    },
    fault, header,
    http::{Outgoing, Pieces},
    recipients::Recipients,
    xml::Writer,
};

/// How much of a message is read at a time; a multiple of three, so that base64 goes on without padding.
const PIECE: usize = 3 * 8 * 1024;
/// How much of the header is looked at for recipients.
const MAX_HEADER: usize = 256 * 1024;
/// Longest wait for the answer to a complete message: giving up early is what makes duplicates.
const FINAL_REPLY_TIMEOUT: Duration = Duration::from_secs(600);
/// What must be left of the deadline when the last bytes go.
const FINAL_MARGIN: Duration = Duration::from_secs(2);

/// Sends one message.
pub(crate) async fn send(
    client: &mut Client,
    envelope: &Envelope,
    body: BodyReader<'_>,
    gate: &mut dyn PointOfNoReturn,
    deadline: &Deadline,
) -> Result<SendReceipt, Fault> {
    let replies: Vec<RecipientReply> = envelope.to.iter().map(|address| judged(address)).collect();
    if replies.iter().all(|reply| reply.result.is_err()) {
        let reply = replies.iter().find_map(|reply| reply.result.as_ref().err()).map(|fault| fault.message.clone());
        if envelope.to.is_empty() {
            let message = "the message has no recipient";
            return Err(fault::item(FaultClass::Refused, "NoRecipients", message));
        }
        return Ok(SendReceipt { reply: reply.unwrap_or_default(), recipients: replies });
    }
    let wanted: Vec<&str> =
        replies.iter().filter(|reply| reply.result.is_ok()).map(|reply| reply.address.as_str()).collect();
    client.ready(deadline).await?;
    let (pieces, outgoing) = Outgoing::pieces();
    let answer = client.begin(outgoing, None)?;
    let sent = Sending { pieces, deadline, patience: client.patience() };
    let reply = sent.run(client, answer, envelope, &wanted, &replies, body, gate).await;
    if reply.is_err() {
        // A request that was begun and not ended leaves the connection useless.
        client.give_up();
    }
    Ok(SendReceipt { reply: reply?, recipients: replies })
}

/// Whether an address can be one at all. Who is nobody is not told by this protocol: a report comes back as a message.
fn judged(address: &str) -> RecipientReply {
    let fine = address.contains('@') && !address.chars().any(|c| c.is_control() || c.is_whitespace());
    let why = || fault::item(FaultClass::Refused, "InvalidRecipientAddress", "this is no address");
    RecipientReply { address: address.to_owned(), result: if fine { Ok(()) } else { Err(why()) } }
}

struct Sending<'s> {
    pieces: Pieces,
    deadline: &'s Deadline,
    patience: Duration,
}

impl Sending<'_> {
    #[expect(clippy::too_many_arguments, reason = "each is a part of one request")]
    async fn run(
        self,
        client: &mut Client,
        answer: impl Future<Output = Result<Response<Incoming>, hyper::Error>> + Send,
        envelope: &Envelope,
        wanted: &[&str],
        replies: &[RecipientReply],
        body: BodyReader<'_>,
        gate: &mut dyn PointOfNoReturn,
    ) -> Result<String, Fault> {
        tokio::pin!(answer);
        let header = client.header().clone();
        let writing = self.write(&header, envelope, wanted, body);
        tokio::pin!(writing);
        let last = tokio::select! {
            biased;
            early = &mut answer => Err(early),
            written = &mut writing => Ok(written?),
        };
        let last = match last {
            Ok(last) => last,
            // A server that answers before it has the message does not want it.
            Err(Ok(response)) => {
                let reply = client.heard(response, self.deadline);
                return Err(early(reply.refusal().await));
            }
            Err(Err(error)) => return Err(fault::lost(&error)),
        };
        self.deadline.check(FINAL_MARGIN)?;
        gate.cross(replies).await?;
        self.deadline.check(FINAL_MARGIN)?;
        self.put(last).await?;
        // From here on only the server's own answer tells what became of the message.
        let unknown = |fault: Fault| fault::outcome_unknown(&fault);
        self.pieces.send(None).await.map_err(|_| unknown(fault::lost(&"it ended with the message")))?;
        let response = self.deadline.run(FINAL_REPLY_TIMEOUT, &mut answer).await.map_err(unknown)?;
        let response = response.map_err(|error| unknown(fault::lost(&error)))?;
        let status = response.status().as_u16();
        let reply = client.heard(response, self.deadline);
        if status != 200 {
            let fault = reply.refusal().await;
            return Err(if is_certain(status, &fault) { fault } else { unknown(fault) });
        }
        let response = reply.response().await.map_err(unknown)?;
        match answer::only(&response) {
            Ok(_) => Ok("NoError".to_owned()),
            Err(refusal) if may_have_sent(&refusal.code) => Err(unknown(refusal.fault(FaultScope::Item))),
            Err(refusal) => Err(refusal.fault(FaultScope::Item)),
        }
    }

    async fn put(&self, bytes: impl Into<Bytes>) -> Result<(), Fault> {
        let sent = self.deadline.run(self.patience, self.pieces.send(Some(bytes.into()))).await?;
        sent.map_err(|_| fault::lost(&"it ended before the message"))
    }

    /// Writes everything but the end of the document, and answers with that.
    async fn write(
        &self,
        soap: &Header,
        envelope: &Envelope,
        wanted: &[&str],
        mut body: BodyReader<'_>,
    ) -> Result<String, Fault> {
        let (outer, outer_end) = soap_envelope::around(soap);
        let (how, copies) = if envelope.save_copy {
            (Disposition::SendAndSaveCopy, Some(FolderRef::Distinguished("sentitems")))
        } else {
            (Disposition::SendOnly, None)
        };
        let (inner, inner_end) = create_item::around(How::Message(how), copies.as_ref());
        let begin = r#"<t:Message><t:MimeContent CharacterSet="UTF-8">"#;
        self.put([outer.as_str(), &inner, begin].concat()).await?;
        let (mut head, mut total, mut filled) = (Vec::new(), 0_u64, 0);
        let mut piece = vec![0; PIECE];
        loop {
            let read = self.deadline.run(self.patience, body.read(&mut piece[filled..])).await;
            let read = match read {
                Ok(Ok(read)) => read,
                Ok(Err(error)) => return Err(unreadable(&error.to_string())),
                Err(late) if late.code == "TimedOut" => return Err(unreadable("its source did not deliver in time")),
                Err(ended) => return Err(ended),
            };
            if head.len() < MAX_HEADER {
                head.extend_from_slice(&piece[filled..filled + read]);
            }
            total += read as u64;
            filled += read;
            if filled == PIECE || read == 0 {
                self.put(STANDARD.encode(&piece[..filled])).await?;
                filled = 0;
            }
            if read == 0 {
                break;
            }
        }
        if let Some(size) = envelope.size.filter(|size| *size != total) {
            return Err(unreadable(&format!("it has {total} bytes where {size} were announced")));
        }
        head.truncate(header::end_of_header(&head, 0).unwrap_or(MAX_HEADER).min(head.len()));
        let mut w = Writer::default();
        w.close("t:MimeContent");
        let wanted: BTreeSet<String> = wanted.iter().map(|address| (*address).to_owned()).collect();
        Recipients::of(&head).write(&mut w, &wanted);
        w.close("t:Message");
        w.raw(inner_end);
        w.raw(outer_end);
        Ok(w.finish())
    }
}

fn unreadable(why: &str) -> Fault {
    fault::item(FaultClass::Transient, "BodyUnreadable", why)
}

/// An answer to a message that is not complete: nothing was sent, whatever it says.
fn early(fault: Fault) -> Fault {
    if fault.class == FaultClass::Unclear { fault::lost(&fault.message) } else { fault }
}

/// Whether an answer other than 200 proves that the message was not taken.
fn is_certain(status: u16, fault: &Fault) -> bool {
    match status {
        400..=499 => status != 408,
        503 => true,
        // A SOAP fault says so by its code; anything else with 500 may come from anywhere on the way.
        500 => fault.class == FaultClass::Throttled || matches!(fault.class, FaultClass::Refused | FaultClass::Auth),
        300..=399 => true,
        _ => false,
    }
}

/// Codes that a server gives when it has begun and does not know how far it came.
fn may_have_sent(code: &str) -> bool {
    matches!(
        code,
        "ErrorTimeoutExpired"
            | "ErrorInternalServerError"
            | "ErrorInternalServerTransientError"
            | "ErrorConnectionFailed"
            | ""
    )
}
