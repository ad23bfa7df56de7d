//! Reading a page's messages: headers where they decide, then the bodies of what may be accepted, a bounded amount of
//! them at a time.

use std::{collections::VecDeque, time::Duration};

use lockstep_connector::{Deadline, HeaderBlocks, RemoteHead, Session, fingerprint};
use lockstep_engine::{
    acceptance::{self, Decision, Reason},
    forwarding::Unfit,
};
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
        plan::{self, Against},
        receive::{self, Received, Trouble},
        unwrap::{self, Outer, Unwrapped},
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
    /// In a forward mailbox: nothing that can be unwrapped.
    Unfit(Box<Misfit>),
}

/// A message of a forward mailbox that is not unwrapped.
pub(crate) struct Misfit {
    pub(crate) outer: Outer,
    pub(crate) unfit: Unfit,
    pub(crate) fingerprint: Fingerprint,
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
    // What is new after a first whole listing is hardly ever old, and is judged again once it is read. What was refused
    // before is mostly refused again.
    let may_be_refused = (run.process_from.is_some() && *run.place() == Cursor::default()) || run.judgement_due;
    // In a forward mailbox the header tells whether there is anybody for whom a message could be unwrapped.
    let headers_first = run.track.is_none_or(|track| acceptance::headers_first(track, may_be_refused));
    if headers_first && !wanted.is_empty() {
        let heads = wanted.into_iter().map(|(head, _)| head).collect();
        (wanted, stopped) = sift(context, run, session, heads, deadline, &mut looked).await?;
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
                Ok((looked, size)) => {
                    counts.bytes += size;
                    context.metrics.bytes.inc_by(size);
                    if let Looked::Received(received) = &looked {
                        held += received.held_bytes();
                    }
                    self.looked.push((head, looked));
                }
                Err(Trouble::Remote(fault)) if fault.scope == FaultScope::Item => {
                    self.looked.push((head, Looked::Failed(fault, message_id)));
                }
                Err(Trouble::Remote(fault)) => {
                    self.looked.extend(ended_over(&fault).map(|of_item| (head, Looked::Failed(of_item, message_id))));
                    return Ok(Some(fault));
                }
                Err(Trouble::Store(error)) => return Err(Stopped::Store(error)),
            }
        }
        Ok(None)
    }
}

/// The session ended over a message: what that counts as for the message. It is tried once more in the next cycle and
/// then set aside for a while, so that the others are read even where it is the message that ends sessions.
fn ended_over(fault: &Fault) -> Option<Fault> {
    let counts = !fault.local && !matches!(fault.class, FaultClass::Throttled | FaultClass::Auth);
    counts
        .then(|| Fault::new(FaultScope::Item, FaultClass::Transient, &fault.code, &fault.message).after(Duration::ZERO))
}

/// Refuses by header; returns the heads whose bodies are wanted, none when the session has ended, and the fault that
/// ended it. What was refused before that stays refused.
async fn sift(
    context: &Context,
    run: &Run,
    session: &mut dyn Session,
    heads: Vec<RemoteHead>,
    deadline: &Deadline,
    looked: &mut Vec<(RemoteHead, Looked)>,
) -> Result<(VecDeque<(RemoteHead, MessageId)>, Option<Fault>), Stopped> {
    let HeaderBlocks { blocks, broken } = match session.headers(&heads, deadline).await {
        Ok(answer) => answer,
        Err(fault) => return Ok((VecDeque::new(), Some(fault))),
    };
    let fits = if broken.is_some() { blocks.len() < heads.len() } else { blocks.len() == heads.len() };
    if !fits {
        // Which header belongs to which item is anybody's guess; an item without one would be lost.
        let message = format!("asked for {} headers, got {}", heads.len(), blocks.len());
        let fault = Fault::new(FaultScope::Mailbox, FaultClass::Bug, "HeadersMissing", message);
        return Ok((VecDeque::new(), Some(broken.unwrap_or(fault))));
    }
    if let (Some(fault), Some(head)) = (&broken, heads.get(blocks.len())) {
        looked.extend(ended_over(fault).map(|of_item| (head.clone(), Looked::Failed(of_item, None))));
    }
    let limits = mime_limits(run);
    let mut parsed = Vec::with_capacity(heads.len());
    let mut questions = Questions::default();
    for (head, block) in heads.into_iter().zip(blocks) {
        let block = match block {
            Ok(block) => block,
            Err(fault) => {
                looked.push((head, Looked::Failed(fault, None)));
                continue;
            }
        };
        let (headers, _) = Headers::parse(&block, &limits);
        if run.mailbox.owner.is_some() {
            questions.about(run, &headers);
        } else {
            questions.forwarded(&Outer::of(&headers, &block));
        }
        parsed.push((head, headers, block));
    }
    let mut tx = context.store.begin().await?;
    let facts = page::ask(&mut tx, run, &questions).await?;
    let now = tx.now();
    drop(tx);
    let mut accepted = VecDeque::new();
    for (head, headers, block) in parsed {
        if run.mailbox.owner.is_none() {
            let outer = Outer::of(&headers, &block);
            let fingerprint = fingerprint::of_header(&block);
            match plan::forwarder(run, &facts, &outer, now).err() {
                None => accepted.push_back((head, outer.message_id)),
                Some(Against::Rule(reason)) => {
                    looked.push((head, Looked::Refused(reason, Some(fingerprint), outer.message_id)));
                }
                Some(Against::Unfit(unfit)) => {
                    looked.push((head, Looked::Unfit(Box::new(Misfit { outer, unfit, fingerprint }))));
                }
            }
            continue;
        }
        let received_at = receive::received_at(&block).or(headers.date).unwrap_or(now);
        match plan::judge(run, &facts, &headers, &[], (head.size, received_at)).0 {
            Decision::Accept { .. } => accepted.push_back((head, facts::message_id(&headers))),
            Decision::Refuse(reason) => {
                let refused =
                    Looked::Refused(reason, Some(fingerprint::of_header(&block)), facts::message_id(&headers));
                looked.push((head, refused));
            }
        }
    }
    // Without a session no body can be had: what is accepted is still new next time.
    Ok(if broken.is_some() { (VecDeque::new(), broken) } else { (accepted, None) })
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
) -> Result<(Looked, u64), Trouble> {
    if run.mailbox.owner.is_none() {
        return fetch_forwarded(context, run, session, head, deadline).await;
    }
    let body = session.fetch(head, deadline).await.map_err(Trouble::Remote)?;
    let mut received = receive::receive(&context.store, body, &run.limits, mime_limits(run)).await?;
    if is_meant_raw(&received) {
        let body = session.fetch(head, deadline).await.map_err(Trouble::Remote)?;
        received.raw = Some(receive::keep_raw(&context.store, body, &run.limits).await?);
    }
    let size = received.size;
    Ok((Looked::Received(Box::new(received)), size))
}

/// Like [`fetch`], of a message that carries the one that is wanted.
async fn fetch_forwarded(
    context: &Context,
    run: &Run,
    session: &mut dyn Session,
    head: &RemoteHead,
    deadline: &Deadline,
) -> Result<(Looked, u64), Trouble> {
    let (store, limits) = (&context.store, &run.limits);
    let body = session.fetch(head, deadline).await.map_err(Trouble::Remote)?;
    let mut unwrapped = unwrap::unwrap(store, body, limits, mime_limits(run), false).await?;
    if unwrapped.original.as_ref().is_ok_and(is_meant_raw) {
        let body = session.fetch(head, deadline).await.map_err(Trouble::Remote)?;
        unwrapped = unwrap::unwrap(store, body, limits, mime_limits(run), true).await?;
    }
    let Unwrapped { outer, fingerprint, size, original } = unwrapped;
    let looked = match original {
        Ok(mut received) => {
            // The item is the message around it.
            received.fingerprint = fingerprint;
            received.outer = Some(Box::new(outer));
            Looked::Received(Box::new(received))
        }
        Err(unfit) => Looked::Unfit(Box::new(Misfit { outer, unfit, fingerprint })),
    };
    Ok((looked, size))
}

/// A message that means something only as it came, and is not kept so yet.
fn is_meant_raw(received: &Received) -> bool {
    let message = &received.message;
    let meant = message.unparsable.is_some() || message.is_signed || message.is_encrypted;
    meant && received.raw.is_none() && received.size > 0
}
