//! Reading a page's messages: headers where they decide, then the bodies of what may be accepted, a bounded amount of
//! them at a time.

use std::{collections::VecDeque, time::Duration};

use lockstep_connector::{Deadline, RemoteHead, Session, fingerprint};
use lockstep_engine::acceptance::{self, Decision, Reason};
use lockstep_mime::{Limits, header::Headers};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    remote::{Cursor, Fingerprint},
};
use lockstep_store::lanes::Run;
use lockstep_wire::Counts;

use crate::{
    Context,
    mailbox::{
        facts::{self, Questions},
        page::{self, Stopped},
        plan,
        receive::{self, Received, Trouble},
    },
};

/// Bodies are read until they hold so many bytes in memory; then they are written before more are read. What a server
/// announces of their sizes decides nothing here, because it may not be true.
const HELD_BYTES: usize = 4 << 20;

/// A normalised Message-ID, where the header was read.
pub(crate) type MessageId = Option<String>;

/// What is known of an item after it was looked at.
pub(crate) enum Looked {
    Refused(Reason, Option<Fingerprint>, MessageId),
    Received(Box<Received>),
    Failed(Fault, MessageId),
}

/// A page that is being read.
pub(crate) struct Reading {
    looked: Vec<(RemoteHead, Looked)>,
    wanted: VecDeque<(RemoteHead, MessageId)>,
}

/// Decides by size and, where that can decide, by header. Returns what is left to be read, and the fault that ended it
/// early.
pub(crate) async fn by_header(
    context: &Context,
    run: &Run,
    session: &mut dyn Session,
    heads: &[RemoteHead],
    deadline: &Deadline,
) -> Result<(Reading, Option<Fault>), Stopped> {
    let mut looked = Vec::with_capacity(heads.len());
    let mut wanted = VecDeque::with_capacity(heads.len());
    for head in heads {
        if head.size > run.limits.max_message_bytes {
            looked.push((head.clone(), Looked::Refused(Reason::TooLarge, None, None)));
        } else {
            wanted.push_back((head.clone(), None));
        }
    }
    let mut stopped = None;
    // What is new after a first whole listing is hardly ever old, and is judged again once it is read.
    let may_be_too_old = run.process_from.is_some() && run.cursor == Cursor::default();
    if acceptance::headers_first(run.track, may_be_too_old) && !wanted.is_empty() {
        let heads = wanted.into_iter().map(|(head, _)| head).collect();
        (wanted, stopped) = match sift(context, run, session, heads, deadline, &mut looked).await? {
            Ok(accepted) => (accepted, None),
            Err(fault) => (VecDeque::new(), Some(fault)),
        };
    }
    Ok((Reading { looked, wanted }, stopped))
}

impl Reading {
    /// Whether nothing is left to be read.
    pub(crate) fn is_done(&self) -> bool {
        self.wanted.is_empty()
    }

    /// What was looked at since the last time.
    pub(crate) fn take(&mut self) -> Vec<(RemoteHead, Looked)> {
        std::mem::take(&mut self.looked)
    }

    /// Reads bodies until all are read, they hold [`HELD_BYTES`], or the fault that is returned.
    pub(crate) async fn some_bodies(
        &mut self,
        context: &Context,
        run: &Run,
        session: &mut dyn Session,
        deadline: &Deadline,
        counts: &mut Counts,
    ) -> Result<Option<Fault>, Stopped> {
        let mut held = 0;
        while held < HELD_BYTES
            && let Some((head, message_id)) = self.wanted.pop_front()
        {
            match fetch(context, run, session, &head, deadline).await {
                Ok(received) => {
                    counts.bytes += received.size;
                    context.metrics.bytes.inc_by(received.size);
                    held += received.held_bytes();
                    self.looked.push((head, Looked::Received(Box::new(received))));
                }
                Err(Trouble::Remote(fault)) if fault.scope == FaultScope::Item => {
                    self.looked.push((head, Looked::Failed(fault, message_id)));
                }
                Err(Trouble::Remote(fault)) => {
                    // The session ended over this message. It is tried once more in the next cycle and then set aside for
                    // a while, so that the others are read even where it is the message that ends sessions.
                    if !fault.local && !matches!(fault.class, FaultClass::Throttled | FaultClass::Auth) {
                        let of_item = Fault::new(FaultScope::Item, FaultClass::Transient, &fault.code, &fault.message)
                            .after(Duration::ZERO);
                        self.looked.push((head, Looked::Failed(of_item, message_id)));
                    }
                    return Ok(Some(fault));
                }
                Err(Trouble::Store(error)) => return Err(Stopped::Store(error)),
            }
        }
        Ok(None)
    }
}

/// Refuses by header; returns the heads whose bodies are wanted.
async fn sift(
    context: &Context,
    run: &Run,
    session: &mut dyn Session,
    heads: Vec<RemoteHead>,
    deadline: &Deadline,
    looked: &mut Vec<(RemoteHead, Looked)>,
) -> Result<Result<VecDeque<(RemoteHead, MessageId)>, Fault>, Stopped> {
    let blocks = match session.headers(&heads, deadline).await {
        Ok(blocks) => blocks,
        Err(fault) => return Ok(Err(fault)),
    };
    if blocks.len() != heads.len() {
        // Which header belongs to which item is anybody's guess; an item without one would be lost.
        let message = format!("asked for {} headers, got {}", heads.len(), blocks.len());
        return Ok(Err(Fault::new(FaultScope::Mailbox, FaultClass::Bug, "HeadersMissing", message)));
    }
    let limits = mime_limits(run);
    let mut parsed = Vec::with_capacity(heads.len());
    let mut questions = Questions::default();
    for (head, block) in heads.into_iter().zip(blocks) {
        let Some(block) = block else {
            let fault = Fault::new(FaultScope::Item, FaultClass::Gone, "ItemUnavailable", "listed, but gone since");
            looked.push((head, Looked::Failed(fault, None)));
            continue;
        };
        let (headers, _) = Headers::parse(&block, &limits);
        questions.about(run, &headers);
        parsed.push((head, headers, block));
    }
    let mut tx = context.store.begin().await?;
    let facts = page::ask(&mut tx, run, &questions).await?;
    let now = tx.now();
    drop(tx);
    let mut accepted = VecDeque::new();
    for (head, headers, block) in parsed {
        let received_at = receive::received_at(&block).or(headers.date).unwrap_or(now);
        match plan::judge(run, &facts, &headers, head.size, received_at).0 {
            Decision::Accept { .. } => accepted.push_back((head, facts::message_id(&headers))),
            Decision::Refuse(reason) => {
                let refused =
                    Looked::Refused(reason, Some(fingerprint::of_header(&block)), facts::message_id(&headers));
                looked.push((head, refused));
            }
        }
    }
    Ok(Ok(accepted))
}

/// The bounds a message is read within, and the code page of what names none (B27).
fn mime_limits(run: &Run) -> Limits {
    Limits { body_bytes: run.limits.max_body_bytes, default_charset: run.code_page.clone(), ..Limits::default() }
}

async fn fetch(
    context: &Context,
    run: &Run,
    session: &mut dyn Session,
    head: &RemoteHead,
    deadline: &Deadline,
) -> Result<Received, Trouble> {
    let body = session.fetch(head, deadline).await.map_err(Trouble::Remote)?;
    let mut received = receive::receive(&context.store, body, &run.limits, mime_limits(run)).await?;
    let message = &received.message;
    let meant_raw = message.unparsable.is_some() || message.is_signed || message.is_encrypted;
    // Known only now: a signature inside another part, or nothing to be understood at all.
    if meant_raw && received.raw.is_none() && received.size > 0 {
        let body = session.fetch(head, deadline).await.map_err(Trouble::Remote)?;
        received.raw = Some(receive::keep_raw(&context.store, body, &run.limits).await?);
    }
    Ok(received)
}
