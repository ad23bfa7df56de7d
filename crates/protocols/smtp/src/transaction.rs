//! One mail transaction (RFC 5321 §3.3): sender, recipients, message, and the one step that cannot be undone.

use std::time::Duration;

use lockstep_connector::{BodyReader, Deadline, Envelope, PointOfNoReturn, RecipientReply, SendReceipt};
use lockstep_model::fault::{Fault, FaultScope};
use tokio::io::AsyncReadExt;

use crate::{
    codec::{
        command::{self, Path},
        dot::DotEncoder,
        ehlo::Extensions,
        reply::Reply,
    },
    fault::{self, Stage},
    link::Link,
};

/// Most RCPT commands under way at once. Both directions of so many fit into any socket's buffers, so that neither
/// side waits for the other to read (RFC 2920 §3.1).
const RECIPIENT_WINDOW: usize = 50;
/// How much of a message is read and written at a time.
const BODY_PIECE: usize = 32 * 1024;
/// Longest wait for the answer to the final dot (RFC 5321 §4.5.3.2.6): giving up early is what makes duplicates.
const FINAL_REPLY_TIMEOUT: Duration = Duration::from_secs(600);
/// What must be left of the deadline when the final dot is sent.
const FINAL_MARGIN: Duration = Duration::from_secs(2);

const NO_UTF8: &str = "the server does not accept addresses beyond ASCII (SMTPUTF8)";

/// In what state a transaction leaves the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// In step, no transaction open.
    Complete,
    /// In step, with a transaction that must be reset.
    Open,
    /// Not in step: the connection must be dropped.
    Broken,
}

/// Why a transaction ended early.
struct Stop {
    fault: Fault,
    ending: Ending,
}

/// A fault of the connection itself leaves it useless.
impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self { fault, ending: Ending::Broken }
    }
}

impl Stop {
    /// The server said no in good order.
    fn refused(stage: Stage, reply: &Reply) -> Self {
        let ending = if in_order(reply) { Ending::Open } else { Ending::Broken };
        Self { fault: fault::of_reply(stage, reply), ending }
    }

    /// Nothing was said to the server.
    fn before(fault: Fault) -> Self {
        Self { fault, ending: Ending::Complete }
    }
}

/// Whether a refusal leaves the conversation going; 421 announces that the server hangs up.
fn in_order(reply: &Reply) -> bool {
    (400..600).contains(&reply.code) && reply.code != 421
}

/// Sends one message over a conversation that is in step.
pub(crate) async fn run(
    link: &mut Link,
    offered: &Extensions,
    envelope: &Envelope,
    body: BodyReader<'_>,
    gate: &mut dyn PointOfNoReturn,
    deadline: &Deadline,
) -> (Result<SendReceipt, Fault>, Ending) {
    match (Transaction { link, offered, deadline }).run(envelope, body, gate).await {
        Ok((receipt, ending)) => (Ok(receipt), ending),
        Err(Stop { fault, ending }) => (Err(fault), ending),
    }
}

struct Transaction<'t> {
    link: &'t mut Link,
    offered: &'t Extensions,
    deadline: &'t Deadline,
}

impl Transaction<'_> {
    async fn run(
        mut self,
        envelope: &Envelope,
        body: BodyReader<'_>,
        gate: &mut dyn PointOfNoReturn,
    ) -> Result<(SendReceipt, Ending), Stop> {
        let from = self.sender(envelope).map_err(Stop::before)?;
        let mut recipients = self.addressed(envelope);
        let mut last_refusal = recipients.iter().find_map(|(_, reply)| reply.result.as_ref().err().cloned());
        if recipients.iter().any(|(path, _)| path.is_some()) {
            self.mail(from, envelope, &recipients).await?;
            if let Some(reply) = self.recipients(&mut recipients).await? {
                last_refusal = Some(reply);
            }
        } else {
            let reply = last_refusal.map(|fault| fault.message).unwrap_or_default();
            return Ok((SendReceipt { reply, recipients: answers(recipients) }, Ending::Complete));
        }
        let recipients = answers(recipients);
        if recipients.iter().all(|reply| reply.result.is_err()) {
            let reply = last_refusal.map(|fault| fault.message).unwrap_or_default();
            return Ok((SendReceipt { reply, recipients }, Ending::Open));
        }
        let go_on = self.link.command(b"DATA\r\n", self.deadline).await?;
        if go_on.code != 354 {
            return Err(Stop::refused(Stage::Message, &go_on));
        }
        self.body(envelope.size, body).await?;
        self.deadline.check(FINAL_MARGIN)?;
        gate.cross(&recipients).await?;
        // The gate may have taken its time: the right to send may have been lost meanwhile, or the server.
        self.deadline.check(FINAL_MARGIN)?;
        self.silence().await?;
        let reply = self.finish().await?;
        Ok((SendReceipt { reply: reply.words(), recipients }, Ending::Complete))
    }

    fn sender<'e>(&self, envelope: &'e Envelope) -> Result<Path<'e>, Fault> {
        if envelope.to.is_empty() {
            return Err(fault::envelope("NoRecipients", "the message has no recipient"));
        }
        let from = Path::reverse(&envelope.from).map_err(|why| fault::envelope("InvalidSenderAddress", why))?;
        if from.needs_utf8() && !self.offered.smtp_utf8 {
            return Err(fault::envelope("SmtpUtf8NotOffered", NO_UTF8));
        }
        match (self.offered.size, envelope.size) {
            (Some(limit), Some(size)) if limit > 0 && size > limit => Err(fault::too_large(limit)),
            _ => Ok(from),
        }
    }

    /// The recipients with their paths; those without one are answered already and not said to the server.
    fn addressed<'e>(&self, envelope: &'e Envelope) -> Vec<(Option<Path<'e>>, RecipientReply)> {
        let judge = |address: &'e String| {
            let path = Path::forward(address).map_err(|why| fault::envelope("InvalidRecipientAddress", why))?;
            if path.needs_utf8() && !self.offered.smtp_utf8 {
                return Err(fault::envelope("SmtpUtf8NotOffered", NO_UTF8));
            }
            Ok(path)
        };
        let with_answer = |address: &'e String| match judge(address) {
            Ok(path) => (Some(path), RecipientReply { address: address.clone(), result: Ok(()) }),
            Err(fault) => (None, RecipientReply { address: address.clone(), result: Err(fault) }),
        };
        envelope.to.iter().map(with_answer).collect()
    }

    async fn mail(
        &mut self,
        from: Path<'_>,
        envelope: &Envelope,
        recipients: &[(Option<Path<'_>>, RecipientReply)],
    ) -> Result<(), Stop> {
        let utf8 = from.needs_utf8() || recipients.iter().any(|(path, _)| path.is_some_and(Path::needs_utf8));
        let line = command::mail(from, envelope.size, utf8, self.offered);
        let reply = self.link.command(line.as_bytes(), self.deadline).await?;
        if reply.is_done() { Ok(()) } else { Err(Stop::refused(Stage::Sender, &reply)) }
    }

    /// Says the recipients, in windows where the server allows it; answers with the last refusal.
    async fn recipients(
        &mut self,
        recipients: &mut [(Option<Path<'_>>, RecipientReply)],
    ) -> Result<Option<Fault>, Stop> {
        let (mut last_refusal, mut accepted) = (None, false);
        let mut said: Vec<_> =
            recipients.iter_mut().filter_map(|(path, reply)| path.map(|path| (path, reply))).collect();
        let window = if self.offered.pipelining { RECIPIENT_WINDOW } else { 1 };
        for window in said.chunks_mut(window) {
            let commands: String = window.iter().map(|(path, _)| command::rcpt(*path)).collect();
            self.link.write(commands.as_bytes(), self.deadline).await?;
            for (_, answer) in window {
                let reply = self.link.reply(self.deadline).await?;
                answer.result = fault::of_recipient(&reply, accepted)?;
                accepted |= answer.result.is_ok();
                if let Err(fault) = &answer.result {
                    last_refusal = Some(fault.clone());
                }
            }
        }
        Ok(last_refusal)
    }

    /// Writes the whole message except for the final dot.
    async fn body(&mut self, size: Option<u64>, mut body: BodyReader<'_>) -> Result<(), Stop> {
        let mut encoder = DotEncoder::default();
        let mut piece = vec![0; BODY_PIECE];
        let mut encoded = Vec::with_capacity(2 * BODY_PIECE);
        let limit = self.offered.size.filter(|limit| *limit > 0).unwrap_or(u64::MAX);
        let mut total = 0;
        loop {
            let read = self.deadline.run(self.link.patience(), body.read(&mut piece)).await;
            let read = match read {
                Ok(Ok(read)) => read,
                Ok(Err(error)) => return Err(fault::body_unreadable(&error.to_string()).into()),
                Err(late) if late.code == "TimedOut" => {
                    return Err(fault::body_unreadable("its source did not deliver in time").into());
                }
                Err(ended) => return Err(ended.into()),
            };
            total += read as u64;
            if total > limit {
                return Err(fault::too_large(limit).into());
            }
            encoded.clear();
            if read == 0 {
                encoder.finish(&mut encoded);
            } else {
                encoder.encode(&piece[..read], &mut encoded);
            }
            self.write_body(&encoded).await?;
            if read == 0 {
                break;
            }
        }
        match size {
            Some(size) if size != total => {
                let why = format!("it has {total} bytes where {size} were announced");
                Err(fault::body_unreadable(&why).into())
            }
            _ => Ok(()),
        }
    }

    /// Writes a piece of the message. What the server said tells more than a write that failed.
    async fn write_body(&mut self, encoded: &[u8]) -> Result<(), Stop> {
        let written = if encoded.is_empty() { Ok(()) } else { self.link.write(encoded, self.deadline).await };
        self.silence().await?;
        Ok(written?)
    }

    /// A server that speaks before the message is complete, or hangs up, does not want it.
    async fn silence(&mut self) -> Result<(), Stop> {
        match self.link.unasked(self.deadline).await {
            Some(Ok(reply)) => Err(fault::of_reply(Stage::Message, &reply).into()),
            Some(Err(lost)) => Err(lost.into()),
            None => Ok(()),
        }
    }

    /// Sends the final dot. From its first byte on, only the server's own answer tells what became of the message.
    async fn finish(&mut self) -> Result<Reply, Stop> {
        let unknown = |fault: Fault| Stop::from(fault::outcome_unknown(&fault));
        self.link.write(DotEncoder::END, self.deadline).await.map_err(unknown)?;
        let reply = self.link.reply_within(FINAL_REPLY_TIMEOUT, self.deadline).await.map_err(unknown)?;
        if reply.is_done() {
            return Ok(reply);
        }
        if !(400..600).contains(&reply.code) {
            let strange = format!("the server's answer does not fit: {}", reply.words());
            return Err(unknown(fault::violation(FaultScope::Mailbox, &strange)));
        }
        let ending = if in_order(&reply) { Ending::Complete } else { Ending::Broken };
        Err(Stop { fault: fault::of_reply(Stage::Message, &reply), ending })
    }
}

fn answers(recipients: Vec<(Option<Path<'_>>, RecipientReply)>) -> Vec<RecipientReply> {
    recipients.into_iter().map(|(_, reply)| reply).collect()
}
