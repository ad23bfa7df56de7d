//! What becomes of the messages of a page: facts from the database in, records and links out. No I/O.

use chrono::{DateTime, Utc};
use lockstep_connector::RemoteHead;
use lockstep_engine::{
    acceptance::{self, AcceptingParty, Candidate, Decision, Reason},
    auto_create,
    correlation::{self, Correlated},
    forwarding::Unfit,
    identity::{self, Existing, Link, Traits},
    ownership, queue_items, resolution,
};
use lockstep_mime::{address::Address as Written, header::Headers};
use lockstep_model::{
    address::{Address, AddressKey},
    email::{AutoCreate, CorrelationMethod, Direction, PartyKind, PartyRole},
    id::{EmailId, MailboxId, PersonId, QueueId, UserId},
    mailbox::Owner,
    remote::MailFolder,
    text,
};
use lockstep_store::{
    forwarding::{Forwarder, INVALID},
    incoming::{self, Addressee, NewAttachment, NewEmail, NewParty, SameIdentity},
    items::{Disposition, Item},
    lanes::Run,
    strangers::Stranger,
};

use crate::{
    mailbox::{
        facts::{Facts, ids, message_id},
        look::Misfit,
        receive::Received,
        unwrap::Outer,
    },
    operations::is_test,
};

/// Longest subject stored, in bytes.
const MAX_SUBJECT: usize = 1_000;

/// Whether a message becomes a record, judged by its headers.
pub(crate) fn judge(
    run: &Run,
    facts: &Facts,
    headers: &Headers,
    files: &[NewAttachment],
    (size, received_at): (u64, DateTime<Utc>),
) -> (Decision, Option<Correlated>) {
    let correlated = facts.answered(run, headers);
    let sent = run.folder == MailFolder::Sent;
    let (recipients, sender) = if sent {
        (sender(run), acceptance::correspondent(facts.correspondents(run, headers)))
    } else {
        let author = headers.from.first();
        (facts.recipients(run, headers), author.and_then(|author| facts.sender(run, author)).map(|(kind, _)| kind))
    };
    let media_types = files.iter().map(|file| file.media_type.as_str());
    let decision = acceptance::decide(&Candidate {
        recipients,
        sender,
        correlated: correlated.is_some(),
        size: (size > 0).then_some(size),
        received_at,
        process_from: run.process_from,
        is_own_loop: if sent {
            is_ours(run, headers) || facts.written_here(headers)
        } else {
            is_own_loop(run, headers)
        },
        is_test: is_ours(run, headers) && headers.message_id.as_deref().is_some_and(is_test),
        is_restricted: run.mail.restrict_rights_managed
            && acceptance::is_rights_managed(headers.content_class.as_deref(), media_types),
        only_receiving: run.rules.only_receiving_mailbox_accepts,
    });
    let decision = match decision {
        Decision::Accept { .. } if size > run.limits.max_message_bytes => Decision::Refuse(Reason::TooLarge),
        decision => decision,
    };
    (decision, correlated)
}

/// Whose option counts for what the owner of the mailbox has sent: the owner's. Recipients see to what they receive.
fn sender(run: &Run) -> Vec<AcceptingParty> {
    let party = |(owner, option)| AcceptingParty { owner, option, is_receiving: true, addressed: true };
    run.mailbox.owner.zip(run.track).map(party).into_iter().collect()
}

/// A message this mailbox itself sent through us has come back to it. Mail from one user to another is no loop: the
/// sent and the received copy are two activities.
fn is_own_loop(run: &Run, headers: &Headers) -> bool {
    let own = AddressKey::of(&run.mailbox.address);
    is_ours(run, headers) && own.is_some() && headers.from.first().and_then(|from| AddressKey::of(&from.address)) == own
}

/// A message that this organisation has sent through us, from whichever mailbox: several may share one account (B10), and
/// the test of one is found by all.
fn is_ours(run: &Run, headers: &Headers) -> bool {
    headers.loop_organisation.as_deref().is_some_and(|id| id.trim() == run.organisation.to_string())
}

/// The identity of a received message.
pub(crate) fn identity(received: &Received) -> identity::Identity {
    let headers = &received.message.headers;
    identity::identify(&Traits {
        message_id: headers.message_id.as_deref(),
        from: headers.from.first().map_or("", |from| &from.address),
        date: headers.date,
        subject: headers.subject.as_deref().unwrap_or_default(),
        text: received.message.first_text_block.as_deref().unwrap_or_default(),
    })
}

/// What is written for one item.
pub(crate) struct Planned {
    /// A new record, unless it is linked to one there is.
    pub(crate) email: Option<NewEmail>,
    /// The record it belongs to.
    pub(crate) linked: Option<EmailId>,
    /// In which queues it appears.
    pub(crate) queue_items: Vec<(QueueId, EmailId)>,
    /// Its sender, who becomes a record.
    pub(crate) stranger: Option<Stranger>,
    /// What is remembered of the item.
    pub(crate) item: Item,
    /// In whose mailbox it counts as found.
    pub(crate) receiver: MailboxId,
    /// What forwarding it came to, in a forward mailbox.
    pub(crate) forwarding: Option<Forwarding>,
}

/// What is told of a message in a forward mailbox.
pub(crate) enum Forwarding {
    /// It was unwrapped for this mailbox.
    Worked(MailboxId),
    /// It was left alone; the mailbox where something has to be mended, with its address.
    Failed { mailbox: MailboxId, address: String, unfit: Unfit },
}

/// In which item of which mailbox an email was found.
pub(crate) fn found(planned: &Planned) -> Option<incoming::Found> {
    let email = planned.linked?;
    Some(incoming::Found { email, mailbox: planned.receiver, key: planned.item.key.clone() })
}

/// What becomes of a message that was read.
pub(crate) fn received(
    run: &Run,
    facts: &mut Facts,
    head: &RemoteHead,
    received: &Received,
    now: DateTime<Utc>,
) -> Planned {
    let headers = &received.message.headers;
    let received_at = received.received.or(headers.date).unwrap_or(now);
    match judge(run, facts, headers, &received.attachments, (received.size, received_at)) {
        (Decision::Accept { accepting }, correlated) => {
            record(run, facts, head, received, received_at, accepting, correlated)
        }
        (Decision::Refuse(reason), _) => {
            let message_id = message_id(headers);
            refused(run, head, Some(received.fingerprint), message_id, reason.code())
        }
    }
}

/// What becomes of a message that was taken out of another one: the same as in its forwarder's own mailbox.
pub(crate) fn forwarded(
    run: &Run,
    facts: &mut Facts,
    head: &RemoteHead,
    original: &Received,
    now: DateTime<Utc>,
) -> Planned {
    let Some(outer) = original.outer.as_deref() else { return received(run, facts, head, original, now) };
    match forwarder(run, facts, outer, now).cloned() {
        Ok(forwarder) => {
            let theirs = in_place_of(run, &forwarder);
            let mut planned = received(&theirs, facts, head, original, outer.received.unwrap_or(now));
            planned.forwarding = Some(Forwarding::Worked(forwarder.mailbox));
            planned
        }
        Err(Against::Rule(reason)) => {
            refused(run, head, Some(original.fingerprint), outer.message_id.clone(), reason.code())
        }
        Err(Against::Unfit(unfit)) => unwrapped_not(run, facts, head, outer, original.fingerprint, unfit),
    }
}

/// The record or link for an accepted message. `facts` grows by what is planned, so that later messages of the same
/// page find it.
pub(crate) fn record(
    run: &Run,
    facts: &mut Facts,
    head: &RemoteHead,
    received: &Received,
    received_at: DateTime<Utc>,
    accepting: Owner,
    correlated: Option<Correlated>,
) -> Planned {
    let identity = identity(received);
    let direction = run.folder.direction();
    let sent = direction == Direction::Outgoing;
    let once = !run.rules.internal_email_twice && matches!(run.mailbox.owner, Some(Owner::User(_)));
    let through_another =
        |same: &SameIdentity| same.linked.as_ref().is_some_and(|(by, key)| *by == run.mailbox.id && *key != head.key);
    let existing: Vec<_> = facts
        .same
        .iter()
        .filter(|same| same.identity == identity.hash)
        .map(|same| Existing {
            email: same.email,
            ordinal: same.ordinal.unsigned_abs(),
            linked_here: identity::is_taken(same.direction, direction, through_another(same), once),
        })
        .collect();
    let existing = each_once(existing);
    let receiving = match run.mailbox.owner {
        Some(Owner::Queue(queue)) if !sent => Some(queue),
        Some(Owner::Queue(_) | Owner::User(_)) | None => None,
    };
    let headers = &received.message.headers;
    let (mut email, mut stranger, mut queues) = (None, None, Vec::new());
    let linked = match (internal_once(run, facts, headers), identity::ordinal(&existing)) {
        (Some(sent), _) => sent,
        (None, Link::LinkTo(known)) => {
            let linked = Some((run.mailbox.id, head.key.clone()));
            let now = facts.same.iter().find(|same| same.email == known).cloned();
            facts.same.extend(now.map(|same| SameIdentity { linked, ..same }));
            queues.extend(queue_items::of_known(receiving, switches(run)));
            known
        }
        (None, Link::New { ordinal }) => {
            let ordinal = i32::try_from(ordinal).unwrap_or(i32::MAX);
            // What somebody has sent is theirs, and says nothing of strangers or queues.
            let owner =
                if sent { answerable(facts, accepting) } else { owner(run, facts, headers, accepting, correlated) };
            stranger = if sent { None } else { auto_created(run, facts, headers, accepting, owner) };
            facts.addressees.extend(stranger.as_ref().map(addressee));
            let at = (received, received_at);
            let new = new_email(run, facts, at, (&identity, ordinal), (accepting, owner), correlated);
            facts.emails.push(incoming::Correlated {
                message_id: identity.message_id,
                email: new.id,
                owner: new.owner,
                regarding: new.regarding.clone(),
                sent_by_user: sent && matches!(run.mailbox.owner, Some(Owner::User(_))),
                written_here: false,
            });
            facts.same.push(SameIdentity {
                identity: identity.hash,
                ordinal,
                email: new.id,
                direction,
                linked: Some((run.mailbox.id, head.key.clone())),
            });
            if !sent {
                queues = queue_items::of_new(&facts.queues(headers), receiving, switches(run));
            }
            email.insert(new).id
        }
    };
    let queue_items = queues.into_iter().map(|queue| (queue, linked)).collect();
    let item = Item {
        key: head.key.clone(),
        weak: head.weak,
        fingerprint: Some(received.fingerprint),
        size_bytes: received.size,
        message_id: None,
        disposition: Disposition::Tracked(linked),
        reason: None,
        detail: None,
        delete_wanted: run.mailbox.delete_after_processing && !sent,
        folder: run.folder,
        move_wanted: false,
    };
    Planned { email, linked: Some(linked), queue_items, stranger, item, receiver: run.mailbox.id, forwarding: None }
}

/// The records with one identity, each once: whether any of its links is of another item here.
fn each_once(rows: Vec<Existing>) -> Vec<Existing> {
    let mut records: Vec<Existing> = Vec::with_capacity(rows.len());
    for row in rows {
        match records.iter_mut().find(|record| record.email == row.email) {
            Some(record) => record.linked_here |= row.linked_here,
            None => records.push(row),
        }
    }
    records
}

/// What speaks against unwrapping a message of a forward mailbox.
pub(crate) enum Against {
    /// A rule that holds for every message.
    Rule(Reason),
    /// It is nothing that was forwarded as it has to be.
    Unfit(Unfit),
}

/// Who has forwarded a message of a forward mailbox. The mailbox's own start date counts for the message around the
/// original, because that is what its server has received.
pub(crate) fn forwarder<'f>(
    run: &Run,
    facts: &'f Facts,
    outer: &Outer,
    now: DateTime<Utc>,
) -> Result<&'f Forwarder, Against> {
    if outer.is_own(run) {
        let test = outer.message_id.as_deref().is_some_and(is_test);
        return Err(Against::Rule(if test { Reason::TestMessage } else { Reason::OwnMessage }));
    }
    if run.process_from.is_some_and(|from| outer.received.unwrap_or(now) < from) {
        return Err(Against::Rule(Reason::TooOld));
    }
    let forwarder = facts.forwarder(outer);
    outer.check(forwarder).map_err(Against::Unfit)?;
    forwarder.ok_or(Against::Unfit(Unfit::UnknownForwarder))
}

/// The run as it would be at the forwarder's own mailbox: an unwrapped message is treated as if it was read there. What
/// becomes of the item on the server remains the forward mailbox's business.
pub(crate) fn in_place_of(run: &Run, forwarder: &Forwarder) -> Run {
    let mut theirs = run.clone();
    theirs.mailbox.id = forwarder.mailbox;
    theirs.mailbox.owner = Some(forwarder.owner);
    theirs.mailbox.address.clone_from(&forwarder.address);
    theirs.track = Some(forwarder.track);
    theirs.process_from = forwarder.process_from;
    theirs
}

/// What is remembered of a message in a forward mailbox that is not unwrapped.
pub(crate) fn misfit(run: &Run, facts: &Facts, head: &RemoteHead, misfit: &Misfit) -> Planned {
    unwrapped_not(run, facts, head, &misfit.outer, misfit.fingerprint, misfit.unfit)
}

/// Like [`misfit`], for one that did not fit only when it was to be written.
pub(crate) fn unwrapped_not(
    run: &Run,
    facts: &Facts,
    head: &RemoteHead,
    outer: &Outer,
    fingerprint: [u8; 32],
    unfit: Unfit,
) -> Planned {
    let mut planned = refused(run, head, Some(fingerprint), outer.message_id.clone(), INVALID);
    planned.item.detail = Some(unfit.sentence().to_owned());
    let known = facts.forwarder(outer).filter(|_| unfit.is_forwarders());
    let (mailbox, address) = match known {
        Some(forwarder) => (forwarder.mailbox, forwarder.address.clone()),
        None => (run.mailbox.id, run.mailbox.address.clone()),
    };
    planned.forwarding = Some(Forwarding::Failed { mailbox, address, unfit });
    planned
}

/// What is remembered of a refused message.
pub(crate) fn refused(
    run: &Run,
    head: &RemoteHead,
    fingerprint: Option<[u8; 32]>,
    message_id: Option<String>,
    reason: &str,
) -> Planned {
    let item = Item {
        key: head.key.clone(),
        weak: head.weak,
        fingerprint,
        size_bytes: head.size,
        message_id,
        disposition: Disposition::Refused,
        reason: Some(reason.to_owned()),
        detail: None,
        delete_wanted: false,
        folder: run.folder,
        move_wanted: false,
    };
    unrecorded(run, item)
}

/// What is remembered of a message that could not be received.
pub(crate) fn quarantined(
    run: &Run,
    head: &RemoteHead,
    message_id: Option<String>,
    (code, detail): (&str, &str),
    next_attempt_at: Option<DateTime<Utc>>,
) -> Planned {
    let item = Item {
        key: head.key.clone(),
        weak: head.weak,
        fingerprint: None,
        size_bytes: head.size,
        message_id,
        disposition: Disposition::Quarantined(next_attempt_at),
        reason: Some(code.to_owned()),
        detail: Some(text::line(detail, 500)),
        delete_wanted: false,
        folder: run.folder,
        move_wanted: run.mail.move_undeliverable && run.folder == MailFolder::Inbox && next_attempt_at.is_none(),
    };
    unrecorded(run, item)
}

fn unrecorded(run: &Run, item: Item) -> Planned {
    let receiver = run.mailbox.id;
    Planned { email: None, linked: None, queue_items: Vec::new(), stranger: None, item, receiver, forwarding: None }
}

/// A message that one user sent to another from here, where the organisation wants one record of it: the sent one.
fn internal_once(run: &Run, facts: &Facts, headers: &Headers) -> Option<EmailId> {
    let to_user = matches!(run.mailbox.owner, Some(Owner::User(_)));
    let received = run.folder == MailFolder::Inbox;
    if run.rules.internal_email_twice || !to_user || !received { None } else { facts.sent_by_user(headers) }
}

/// Who owns the record: as the lists of the message say, else whoever accepted it.
fn owner(
    run: &Run,
    facts: &Facts,
    headers: &Headers,
    accepting: Owner,
    correlated: Option<Correlated>,
) -> Option<UserId> {
    let of_answered = correlated.and_then(|c| facts.email(c.email)).and_then(|earlier| earlier.owner);
    let sender = headers.from.first().and_then(|author| facts.sender(run, author));
    let of_sender = sender
        .filter(|(kind, _)| matches!(kind, PartyKind::Contact | PartyKind::Account | PartyKind::Lead))
        .and_then(|(_, record)| facts.owner_of(record));
    ownership::owner(&facts.owners(headers), of_answered, of_sender).or(answerable(facts, accepting))
}

/// The user who answers for a user or queue.
fn answerable(facts: &Facts, owner: Owner) -> Option<UserId> {
    match owner {
        Owner::User(user) => Some(user),
        Owner::Queue(queue) => facts.queue_owner(queue),
    }
}

fn switches(run: &Run) -> queue_items::Switches {
    queue_items::Switches {
        for_recipients: run.rules.queue_items_for_recipients,
        for_receiving: run.rules.queue_items_for_receiving,
        for_known: run.rules.queue_items_for_known,
    }
}

/// The record of an unknown sender, where whoever accepted the message wants one.
fn auto_created(
    run: &Run,
    facts: &Facts,
    headers: &Headers,
    accepting: Owner,
    owner: Option<UserId>,
) -> Option<Stranger> {
    let author = headers.from.first()?;
    let key = AddressKey::of(&author.address)?;
    let Owner::User(user) = accepting else { return None };
    let sender = auto_create::Sender {
        address_key: key.as_str(),
        known: facts.matches(author).next().is_some(),
        auto_submitted: headers.auto_submitted.as_deref(),
        precedence: headers.precedence.as_deref(),
        is_list: headers.is_list,
        is_bounce: headers.content_type == "multipart/report",
        is_loop: headers.loop_organisation.is_some(),
    };
    let option = facts.user(user)?.auto_create;
    let kind = auto_create::decide(run.rules.auto_create_people, option, &sender)?;
    let written = Address::from_outside(author.name.as_deref().unwrap_or_default(), &author.address);
    Some(Stranger {
        id: PersonId::new(),
        kind,
        name: if written.name.is_empty() { written.address.clone() } else { written.name },
        address: written.address,
        address_key: key.as_str().to_owned(),
        owner,
    })
}

/// How a stranger is found by later messages of the same page.
fn addressee(stranger: &Stranger) -> Addressee {
    Addressee {
        address_key: stranger.address_key.clone(),
        kind: stranger.kind,
        record: stranger.id.0,
        owner: stranger.owner,
        active: true,
        created_at: DateTime::<Utc>::MAX_UTC,
        track: None,
        active_owner: stranger.owner,
        auto_create: AutoCreate::Off,
    }
}

fn new_email(
    run: &Run,
    facts: &Facts,
    (received, received_at): (&Received, DateTime<Utc>),
    (identity, identity_ordinal): (&identity::Identity, i32),
    (accepting, owner): (Owner, Option<UserId>),
    correlated: Option<Correlated>,
) -> NewEmail {
    let message = &received.message;
    let headers = &message.headers;
    NewEmail {
        id: EmailId::new(),
        direction: run.folder.direction(),
        subject: text::line(headers.subject.as_deref().unwrap_or_default(), MAX_SUBJECT),
        message_id: identity.message_id.clone(),
        in_reply_to: correlation::lookup_keys(&ids(headers)),
        sent_at: headers.date.or((run.folder == MailFolder::Sent).then_some(received_at)),
        received_at,
        body_text: message.body_text.clone(),
        body_html: message.body_html.clone(),
        body_truncated: message.body_truncated,
        size_bytes: received.size,
        identity: identity.hash,
        identity_ordinal,
        owner,
        accepting,
        mailbox: run.mailbox.id,
        correlated: correlated.map(|c| c.email),
        correlation_method: correlated.map_or(CorrelationMethod::None, |c| c.method),
        regarding: correlated.and_then(|c| facts.email(c.email)).and_then(|earlier| earlier.regarding.clone()),
        raw: received.raw,
        unparsable: message.unparsable.map(|reason| reason.code().to_owned()),
        parties: parties(run, facts, headers),
        attachments: received.attachments.clone(),
    }
}

fn parties(run: &Run, facts: &Facts, headers: &Headers) -> Vec<NewParty> {
    let mut parties = Vec::new();
    for author in &headers.from {
        parties.push(party(PartyRole::From, author, facts.sender(run, author)));
    }
    let lists = [
        (PartyRole::To, &headers.to),
        (PartyRole::Cc, &headers.cc),
        (PartyRole::Bcc, &headers.bcc),
        (PartyRole::ReplyTo, &headers.reply_to),
    ];
    for (role, addresses) in lists {
        for address in addresses {
            let candidates = facts.candidates(address);
            let mut records = resolution::recipients(&candidates);
            if run.rules.unresolve_multiple_recipients && records.len() > 1 {
                records.clear();
            }
            if records.is_empty() {
                parties.push(party(role, address, None));
            }
            parties.extend(records.iter().map(|record| party(role, address, Some((record.kind, record.id)))));
        }
    }
    parties
}

fn party(role: PartyRole, written: &Written, record: Option<(PartyKind, uuid::Uuid)>) -> NewParty {
    let address = Address::from_outside(written.name.as_deref().unwrap_or_default(), &written.address);
    NewParty {
        role,
        address_key: address.key().map(|key| key.as_str().to_owned()),
        name: address.name,
        address: address.address,
        record,
    }
}
