//! What becomes of the messages of a page: facts from the database in, records and links out. No I/O.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use lockstep_connector::RemoteHead;
use lockstep_engine::{
    acceptance::{self, AcceptingParty, Candidate, Decision, Reason},
    correlation::{self, Correlated},
    identity::{self, Existing, Link, Traits},
    resolution,
};
use lockstep_mime::{address::Address as Written, header::Headers};
use lockstep_model::{
    address::{Address, AddressKey},
    email::{CorrelationMethod, PartyKind, PartyRole},
    id::{EmailId, QueueId, UserId},
    mailbox::Owner,
    text,
};
use lockstep_store::{
    incoming::{Addressee, NewEmail, NewParty, SameIdentity},
    items::{Disposition, Item},
    lanes::Run,
};

use crate::mailbox::receive::Received;

/// Longest subject stored, in bytes.
const MAX_SUBJECT: usize = 1_000;

/// What the database says about everybody and everything a page mentions.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Records by address.
    pub(crate) addressees: Vec<Addressee>,
    /// Emails by Message-ID, oldest first.
    pub(crate) emails: Vec<(String, EmailId)>,
    /// Emails by identity.
    pub(crate) same: Vec<SameIdentity>,
}

/// What to ask the database before a page is planned.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    pub(crate) addresses: HashSet<String>,
    pub(crate) message_ids: HashSet<String>,
    pub(crate) identities: Vec<[u8; 32]>,
}

impl Questions {
    /// Adds what these headers raise.
    pub(crate) fn about(&mut self, run: &Run, headers: &Headers) {
        let everybody =
            headers.from.iter().chain(&headers.to).chain(&headers.cc).chain(&headers.bcc).chain(&headers.reply_to);
        self.addresses.extend(everybody.filter_map(|a| AddressKey::of(&a.address)).map(|k| k.as_str().to_owned()));
        self.addresses.extend(AddressKey::of(&run.mailbox.address).map(|k| k.as_str().to_owned()));
        self.message_ids.extend(correlation::lookup_keys(&ids(headers)));
    }
}

fn ids(headers: &Headers) -> correlation::Headers<'_> {
    correlation::Headers {
        message_id: headers.message_id.as_deref(),
        in_reply_to: &headers.in_reply_to,
        references: &headers.references,
    }
}

/// Whether a message becomes a record, judged by its headers.
pub(crate) fn judge(
    run: &Run,
    facts: &Facts,
    headers: &Headers,
    size: u64,
    received_at: DateTime<Utc>,
) -> (Decision, Option<Correlated>) {
    let correlated = correlation::correlate(&ids(headers), &facts.emails);
    let author = headers.from.first();
    let decision = acceptance::decide(&Candidate {
        recipients: recipients(run, facts, headers),
        sender: author.and_then(|author| sender(run, facts, author)).map(|(kind, _)| kind),
        correlated: correlated.is_some(),
        size: (size > 0).then_some(size),
        received_at,
        process_from: run.process_from,
        is_own_loop: is_own_loop(run, headers),
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

fn recipients(run: &Run, facts: &Facts, headers: &Headers) -> Vec<AcceptingParty> {
    let mut parties =
        vec![AcceptingParty { owner: run.mailbox.owner, option: run.track, is_receiving: true, addressed: false }];
    for address in headers.to.iter().chain(&headers.cc).chain(&headers.bcc) {
        for found in matches(facts, address) {
            let (Some(owner), Some(option), true) = (owner(found), found.track, found.active) else { continue };
            match parties.iter_mut().find(|party| party.owner == owner) {
                Some(party) => party.addressed = true,
                None => parties.push(AcceptingParty { owner, option, is_receiving: false, addressed: true }),
            }
        }
    }
    parties
}

fn owner(found: &Addressee) -> Option<Owner> {
    match found.kind {
        PartyKind::User => Some(Owner::User(UserId(found.record))),
        PartyKind::Queue => Some(Owner::Queue(QueueId(found.record))),
        _ => None,
    }
}

fn matches<'f>(facts: &'f Facts, address: &Written) -> impl Iterator<Item = &'f Addressee> + use<'f> {
    let key = AddressKey::of(&address.address);
    facts.addressees.iter().filter(move |a| key.as_ref().is_some_and(|key| key.as_str() == a.address_key))
}

fn candidates(facts: &Facts, address: &Written) -> Vec<resolution::Candidate> {
    let candidate = |a: &Addressee| resolution::Candidate {
        kind: a.kind,
        id: a.record,
        owner: a.owner,
        active: a.active,
        created_at: a.created_at,
    };
    matches(facts, address).map(candidate).collect()
}

fn sender(run: &Run, facts: &Facts, author: &Written) -> Option<(PartyKind, uuid::Uuid)> {
    let candidates = candidates(facts, author);
    let found = resolution::sender(&candidates, mailbox_owner(run, facts));
    found.map(|c| (c.kind, c.id))
}

/// The user whose records come first: the mailbox's user, or the user who owns its queue.
fn mailbox_owner(run: &Run, facts: &Facts) -> Option<UserId> {
    match run.mailbox.owner {
        Owner::User(user) => Some(user),
        Owner::Queue(queue) => queue_owner(facts, queue),
    }
}

fn queue_owner(facts: &Facts, queue: QueueId) -> Option<UserId> {
    facts.addressees.iter().find(|a| a.kind == PartyKind::Queue && a.record == queue.0).and_then(|a| a.owner)
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
    let (email, linked) = match identity::ordinal(&existing) {
        Link::LinkTo(email) => {
            for same in facts.same.iter_mut().filter(|same| same.email == email) {
                same.linked_key = Some(head.key.clone());
            }
            (None, email)
        }
        Link::New { ordinal } => {
            let ordinal = i32::try_from(ordinal).unwrap_or(i32::MAX);
            let email = new_email(run, facts, received, &identity, ordinal, accepting, correlated);
            facts.emails.push((identity.message_id, email.id));
            facts.same.push(SameIdentity {
                identity: identity.hash,
                ordinal,
                email: email.id,
                linked_key: Some(head.key.clone()),
            });
            let id = email.id;
            (Some(email), id)
        }
    };
    let item = Item {
        key: head.key.clone(),
        weak: head.weak,
        fingerprint: Some(received.fingerprint),
        size_bytes: received.size,
        disposition: Disposition::Tracked(linked),
        reason: None,
        detail: None,
        delete_wanted: run.mailbox.delete_after_processing,
    };
    Planned { email, linked: Some(linked), item }
}

/// What is remembered of a refused message.
pub(crate) fn refused(head: &RemoteHead, fingerprint: Option<[u8; 32]>, reason: Reason) -> Planned {
    let item = Item {
        key: head.key.clone(),
        weak: head.weak,
        fingerprint,
        size_bytes: head.size,
        disposition: Disposition::Refused,
        reason: Some(reason.code().to_owned()),
        detail: None,
        delete_wanted: false,
    };
    Planned { email: None, linked: None, item }
}

/// What is remembered of a message that could not be received.
pub(crate) fn quarantined(
    head: &RemoteHead,
    code: &str,
    detail: &str,
    next_attempt_at: Option<DateTime<Utc>>,
) -> Planned {
    let item = Item {
        key: head.key.clone(),
        weak: head.weak,
        fingerprint: None,
        size_bytes: head.size,
        disposition: Disposition::Quarantined(next_attempt_at),
        reason: Some(code.to_owned()),
        detail: Some(text::line(detail, 500)),
        delete_wanted: false,
    };
    Planned { email: None, linked: None, item }
}

fn new_email(
    run: &Run,
    facts: &Facts,
    received: &Received,
    identity: &identity::Identity,
    identity_ordinal: i32,
    accepting: Owner,
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
        owner: match accepting {
            Owner::User(user) => Some(user),
            Owner::Queue(queue) => queue_owner(facts, queue),
        },
        accepting,
        receiving_mailbox: run.mailbox.id,
        correlated: correlated.map(|c| c.email),
        correlation_method: correlated.map_or(CorrelationMethod::None, |c| c.method),
        raw: received.raw,
        unparsable: message.unparsable.map(|reason| reason.code().to_owned()),
        parties: parties(run, facts, headers),
        attachments: received.attachments.clone(),
    }
}

fn parties(run: &Run, facts: &Facts, headers: &Headers) -> Vec<NewParty> {
    let mut parties = Vec::new();
    for author in &headers.from {
        parties.push(party(PartyRole::From, author, sender(run, facts, author)));
    }
    let lists = [
        (PartyRole::To, &headers.to),
        (PartyRole::Cc, &headers.cc),
        (PartyRole::Bcc, &headers.bcc),
        (PartyRole::ReplyTo, &headers.reply_to),
    ];
    for (role, addresses) in lists {
        for address in addresses {
            let candidates = candidates(facts, address);
            let records = resolution::recipients(&candidates);
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
