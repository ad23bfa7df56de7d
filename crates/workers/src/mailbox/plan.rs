//! What becomes of the messages of a page: facts from the database in, records and links out. No I/O.

use chrono::{DateTime, Utc};
use lockstep_connector::RemoteHead;
use lockstep_engine::{
    acceptance::{self, Candidate, Decision, Reason},
    auto_create,
    correlation::{self, Correlated},
    identity::{self, Existing, Link, Traits},
    ownership, queue_items, resolution,
};
use lockstep_mime::{address::Address as Written, header::Headers};
use lockstep_model::{
    address::{Address, AddressKey},
    email::{AutoCreate, CorrelationMethod, PartyKind, PartyRole},
    id::{EmailId, PersonId, QueueId, UserId},
    mailbox::Owner,
    text,
};
use lockstep_store::{
    incoming::{self, Addressee, NewEmail, NewParty, SameIdentity},
    items::{Disposition, Item},
    lanes::Run,
    strangers::Stranger,
};

use crate::mailbox::{
    facts::{Facts, ids},
    receive::Received,
};

/// Longest subject stored, in bytes.
const MAX_SUBJECT: usize = 1_000;

/// Whether a message becomes a record, judged by its headers.
pub(crate) fn judge(
    run: &Run,
    facts: &Facts,
    headers: &Headers,
    size: u64,
    received_at: DateTime<Utc>,
) -> (Decision, Option<Correlated>) {
    let correlated = if run.rules.use_correlation { facts.answered(headers) } else { None };
    let author = headers.from.first();
    let decision = acceptance::decide(&Candidate {
        recipients: facts.recipients(run, headers),
        sender: author.and_then(|author| facts.sender(run, author)).map(|(kind, _)| kind),
        correlated: correlated.is_some(),
        size: (size > 0).then_some(size),
        received_at,
        process_from: run.process_from,
        is_own_loop: is_own_loop(run, headers),
        only_receiving: run.rules.only_receiving_mailbox_accepts,
    });
    let decision = match decision {
        Decision::Accept { .. } if size > run.limits.max_message_bytes => Decision::Refuse(Reason::TooLarge),
        decision => decision,
    };
    (decision, correlated)
}

/// A message this mailbox itself sent through us has come back to it. Mail from one user to another is no loop: the
/// sent and the received copy are two activities.
fn is_own_loop(run: &Run, headers: &Headers) -> bool {
    let ours = headers.loop_organisation.as_deref().is_some_and(|id| id.trim() == run.organisation.to_string());
    let own = AddressKey::of(&run.mailbox.address);
    ours && own.is_some() && headers.from.first().and_then(|from| AddressKey::of(&from.address)) == own
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
}

/// The record or link for an accepted message. `facts` grows by what is planned, so that later messages of the same
/// page find it.
pub(crate) fn record(
    run: &Run,
    facts: &mut Facts,
    head: &RemoteHead,
    received: &Received,
    accepting: Owner,
    correlated: Option<Correlated>,
) -> Planned {
    let identity = identity(received);
    let existing: Vec<_> = facts
        .same
        .iter()
        .filter(|same| same.identity == identity.hash)
        .map(|same| Existing {
            email: same.email,
            ordinal: same.ordinal.unsigned_abs(),
            linked_here: same.linked_key.as_ref().is_some_and(|key| *key != head.key),
        })
        .collect();
    let receiving = match run.mailbox.owner {
        Owner::Queue(queue) => Some(queue),
        Owner::User(_) => None,
    };
    let headers = &received.message.headers;
    let (mut email, mut stranger, mut queues) = (None, None, Vec::new());
    let linked = match (internal_once(run, facts, headers), identity::ordinal(&existing)) {
        (Some(sent), _) => sent,
        (None, Link::LinkTo(known)) => {
            for same in facts.same.iter_mut().filter(|same| same.email == known) {
                same.linked_key = Some(head.key.clone());
            }
            queues.extend(queue_items::of_known(receiving, switches(run)));
            known
        }
        (None, Link::New { ordinal }) => {
            let ordinal = i32::try_from(ordinal).unwrap_or(i32::MAX);
            let owner = owner(run, facts, headers, accepting, correlated);
            stranger = auto_created(run, facts, headers, accepting, owner);
            facts.addressees.extend(stranger.as_ref().map(addressee));
            let new = new_email(run, facts, received, (&identity, ordinal), (accepting, owner), correlated);
            facts.emails.push(incoming::Correlated {
                message_id: identity.message_id,
                email: new.id,
                owner: new.owner,
                regarding: new.regarding.clone(),
                sent_by_user: false,
            });
            facts.same.push(SameIdentity {
                identity: identity.hash,
                ordinal,
                email: new.id,
                linked_key: Some(head.key.clone()),
            });
            queues = queue_items::of_new(&facts.queues(headers), receiving, switches(run));
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
        delete_wanted: run.mailbox.delete_after_processing,
    };
    Planned { email, linked: Some(linked), queue_items, stranger, item }
}

/// What is remembered of a refused message.
pub(crate) fn refused(
    head: &RemoteHead,
    fingerprint: Option<[u8; 32]>,
    message_id: Option<String>,
    reason: Reason,
) -> Planned {
    let item = Item {
        key: head.key.clone(),
        weak: head.weak,
        fingerprint,
        size_bytes: head.size,
        message_id,
        disposition: Disposition::Refused,
        reason: Some(reason.code().to_owned()),
        detail: None,
        delete_wanted: false,
    };
    Planned { email: None, linked: None, queue_items: Vec::new(), stranger: None, item }
}

/// What is remembered of a message that could not be received.
pub(crate) fn quarantined(
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
    };
    Planned { email: None, linked: None, queue_items: Vec::new(), stranger: None, item }
}

/// A message that one user sent to another from here, where the organisation wants one record of it: the sent one.
fn internal_once(run: &Run, facts: &Facts, headers: &Headers) -> Option<EmailId> {
    let to_user = matches!(run.mailbox.owner, Owner::User(_));
    if run.rules.internal_email_twice || !to_user { None } else { facts.sent_by_user(headers) }
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
    ownership::owner(&facts.owners(headers), of_answered, of_sender).or(match accepting {
        Owner::User(user) => Some(user),
        Owner::Queue(queue) => facts.queue_owner(queue),
    })
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
    received: &Received,
    (identity, identity_ordinal): (&identity::Identity, i32),
    (accepting, owner): (Owner, Option<UserId>),
    correlated: Option<Correlated>,
) -> NewEmail {
    let message = &received.message;
    let headers = &message.headers;
    NewEmail {
        id: EmailId::new(),
        subject: text::line(headers.subject.as_deref().unwrap_or_default(), MAX_SUBJECT),
        message_id: identity.message_id.clone(),
        in_reply_to: correlation::lookup_keys(&ids(headers)),
        sent_at: headers.date,
        body_text: message.body_text.clone(),
        body_html: message.body_html.clone(),
        body_truncated: message.body_truncated,
        size_bytes: received.size,
        identity: identity.hash,
        identity_ordinal,
        owner,
        accepting,
        receiving_mailbox: run.mailbox.id,
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
