//! What a page asks the database, and what the answers say of addresses. No I/O.

use std::collections::HashSet;

use lockstep_engine::{
    acceptance::AcceptingParty,
    correlation::{self, Correlated},
    ownership, resolution, token,
};
use lockstep_mime::{address::Address as Written, header::Headers};
use lockstep_model::{
    address::AddressKey,
    email::PartyKind,
    id::{EmailId, QueueId, UserId},
    mailbox::Owner,
    remote::MailFolder,
};
use lockstep_store::{
    forwarding::Forwarder,
    incoming::{self, Addressee, SameIdentity},
    lanes::Run,
};
use uuid::Uuid;

use crate::mailbox::unwrap::Outer;

/// What the database says about everybody and everything a page mentions.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Records by address.
    pub(crate) addressees: Vec<Addressee>,
    /// Emails by Message-ID, oldest first.
    pub(crate) emails: Vec<incoming::Correlated>,
    /// Emails by token, newest first.
    pub(crate) tokened: Vec<incoming::Tokened>,
    /// Emails by identity.
    pub(crate) same: Vec<SameIdentity>,
    /// Users and queues who forward, by address.
    pub(crate) forwarders: Vec<Forwarder>,
}

/// What to ask the database before a page is planned.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    pub(crate) addresses: HashSet<String>,
    pub(crate) message_ids: HashSet<String>,
    pub(crate) tokens: HashSet<String>,
    pub(crate) identities: Vec<[u8; 32]>,
    pub(crate) forwarders: HashSet<String>,
}

impl Questions {
    /// Adds what these headers raise.
    pub(crate) fn about(&mut self, run: &Run, headers: &Headers) {
        let everybody =
            headers.from.iter().chain(&headers.to).chain(&headers.cc).chain(&headers.bcc).chain(&headers.reply_to);
        self.addresses.extend(everybody.filter_map(|a| AddressKey::of(&a.address)).map(|k| k.as_str().to_owned()));
        self.addresses.extend(AddressKey::of(&run.mailbox.address).map(|k| k.as_str().to_owned()));
        self.message_ids.extend(correlation::lookup_keys(&ids(headers)));
        self.tokens.extend(token(run, headers));
        if !run.rules.internal_email_twice || run.folder == MailFolder::Sent {
            self.message_ids.extend(message_id(headers));
        }
    }

    /// Adds who may have forwarded a message.
    pub(crate) fn forwarded(&mut self, outer: &Outer) {
        let author = outer.author.as_ref().map(|key| key.as_str().to_owned());
        self.addresses.extend(author.clone());
        self.forwarders.extend(author);
    }
}

/// What tells which email a message answers.
pub(crate) fn ids(headers: &Headers) -> correlation::Headers<'_> {
    correlation::Headers {
        message_id: headers.message_id.as_deref(),
        in_reply_to: &headers.in_reply_to,
        references: &headers.references,
    }
}

/// The Message-ID as it is stored and compared.
pub(crate) fn message_id(headers: &Headers) -> Option<String> {
    headers.message_id.as_deref().and_then(correlation::normalise_id)
}

/// The tracking token a message's subject holds, where the organisation uses them.
fn token(run: &Run, headers: &Headers) -> Option<String> {
    let shape = run.tokens.as_ref()?;
    let shape = token::Shape {
        prefix: shape.prefix.clone(),
        base: shape.base,
        user_digits: shape.user_digits,
        counter_digits: shape.counter_digits,
    };
    token::find(headers.subject.as_deref()?, &shape).map(|token| token.as_str().to_owned())
}

impl Facts {
    /// The email a message answers: what its header names, else what its token names.
    pub(crate) fn answered(&self, run: &Run, headers: &Headers) -> Option<Correlated> {
        let by_header = run.rules.use_correlation && !run.rules.ignore_reply_headers;
        let named = by_header.then(|| self.named(headers)).flatten();
        named.or_else(|| self.by_token(run, headers))
    }

    fn named(&self, headers: &Headers) -> Option<Correlated> {
        let found: Vec<_> = self.emails.iter().map(|c| (c.message_id.clone(), c.email)).collect();
        correlation::correlate(&ids(headers), &found)
    }

    fn by_token(&self, run: &Run, headers: &Headers) -> Option<Correlated> {
        let token = token(run, headers)?;
        let found = self.tokened.iter().filter(|known| known.token == token).map(|known| correlation::Tokened {
            email: known.email.email,
            parties: &known.parties,
            from: &known.from,
        });
        let key = |address: &str| AddressKey::of(address).map(|key| key.as_str().to_owned());
        let to = headers.to.iter().chain(&headers.cc).chain(&headers.bcc).filter_map(|to| key(&to.address));
        let to: Vec<_> = to.chain(key(&run.mailbox.address)).collect();
        let author = headers.from.first().and_then(|author| key(&author.address));
        let route = correlation::Route { author: author.as_deref(), to: &to };
        correlation::by_token(&found.collect::<Vec<_>>(), &route)
    }

    /// What is known of an email that was looked up by its Message-ID or its token.
    pub(crate) fn email(&self, email: EmailId) -> Option<&incoming::Correlated> {
        self.emails.iter().chain(self.tokened.iter().map(|known| &known.email)).find(|known| known.email == email)
    }

    /// The record of a message that a user sent from here.
    pub(crate) fn sent_by_user(&self, headers: &Headers) -> Option<EmailId> {
        let id = message_id(headers)?;
        self.emails.iter().find(|known| known.sent_by_user && known.message_id == id).map(|known| known.email)
    }

    /// Whether a message among the sent ones was written and sent here.
    pub(crate) fn written_here(&self, headers: &Headers) -> bool {
        let Some(id) = message_id(headers) else { return false };
        self.emails.iter().any(|known| known.written_here && known.message_id == id)
    }

    /// The kinds of records that the recipients of a sent message are, in their order; its own sender is none of them.
    pub(crate) fn correspondents(&self, run: &Run, headers: &Headers) -> impl Iterator<Item = PartyKind> {
        let own = run.mailbox.owner;
        let addresses = headers.to.iter().chain(&headers.cc).chain(&headers.bcc);
        let found = addresses.flat_map(|address| self.matches(address));
        found.filter(move |record| own.is_none() || owner(record) != own).map(|record| record.kind)
    }

    /// The receiving mailbox's owner, and every active user and queue To, Cc and Bcc resolve to.
    pub(crate) fn recipients(&self, run: &Run, headers: &Headers) -> Vec<AcceptingParty> {
        let receiving = run.mailbox.owner.zip(run.track);
        let receiving =
            receiving.map(|(owner, option)| AcceptingParty { owner, option, is_receiving: true, addressed: false });
        let mut parties: Vec<_> = receiving.into_iter().collect();
        for address in headers.to.iter().chain(&headers.cc).chain(&headers.bcc) {
            for found in self.matches(address) {
                let (Some(owner), Some(option), true) = (owner(found), found.track, found.active) else { continue };
                match parties.iter_mut().find(|party| party.owner == owner) {
                    Some(party) => party.addressed = true,
                    None => parties.push(AcceptingParty { owner, option, is_receiving: false, addressed: true }),
                }
            }
        }
        parties
    }

    /// The active queues To, Cc and Bcc resolve to.
    pub(crate) fn queues(&self, headers: &Headers) -> Vec<QueueId> {
        let addresses = headers.to.iter().chain(&headers.cc).chain(&headers.bcc);
        let found = addresses.flat_map(|address| self.matches(address));
        found.filter(|a| a.kind == PartyKind::Queue && a.active).map(|a| QueueId(a.record)).collect()
    }

    /// Who may own the record of a message, list by list: active users, and those who own an addressed queue.
    pub(crate) fn owners(&self, headers: &Headers) -> ownership::Lists {
        let list = |addresses: &[Written]| {
            let found = addresses.iter().flat_map(|address| self.matches(address));
            let owners = found.filter(|a| a.active && matches!(a.kind, PartyKind::User | PartyKind::Queue));
            owners.filter_map(|a| a.active_owner).collect()
        };
        ownership::Lists { to: list(&headers.to), cc: list(&headers.cc), bcc: list(&headers.bcc) }
    }

    /// Every record an address belongs to.
    pub(crate) fn matches<'f>(&'f self, address: &Written) -> impl Iterator<Item = &'f Addressee> + use<'f> {
        let key = AddressKey::of(&address.address);
        self.addressees.iter().filter(move |a| key.as_ref().is_some_and(|key| key.as_str() == a.address_key))
    }

    /// Every record an address belongs to, for the rules of resolution.
    pub(crate) fn candidates(&self, address: &Written) -> Vec<resolution::Candidate> {
        let candidate = |a: &Addressee| resolution::Candidate {
            kind: a.kind,
            id: a.record,
            owner: a.owner,
            active: a.active,
            created_at: a.created_at,
        };
        self.matches(address).map(candidate).collect()
    }

    /// The one record the author is.
    pub(crate) fn sender(&self, run: &Run, author: &Written) -> Option<(PartyKind, Uuid)> {
        let candidates = self.candidates(author);
        let found = resolution::sender(&candidates, self.mailbox_owner(run));
        found.map(|c| (c.kind, c.id))
    }

    /// The active user who owns a record that an address was resolved to.
    pub(crate) fn owner_of(&self, record: Uuid) -> Option<UserId> {
        self.addressees.iter().find(|a| a.record == record).and_then(|a| a.active_owner)
    }

    /// What is known of a user.
    pub(crate) fn user(&self, user: UserId) -> Option<&Addressee> {
        self.addressees.iter().find(|a| a.kind == PartyKind::User && a.record == user.0)
    }

    /// The user whose records come first: the mailbox's user, or the user who owns its queue.
    fn mailbox_owner(&self, run: &Run) -> Option<UserId> {
        match run.mailbox.owner {
            Some(Owner::User(user)) => Some(user),
            Some(Owner::Queue(queue)) => self.queue_owner(queue),
            None => None,
        }
    }

    /// Who has forwarded a message, if its author is one who could.
    pub(crate) fn forwarder(&self, outer: &Outer) -> Option<&Forwarder> {
        let author = outer.author.as_ref()?;
        self.forwarders.iter().find(|forwarder| forwarder.address_key == author.as_str())
    }

    /// The user who owns a queue.
    pub(crate) fn queue_owner(&self, queue: QueueId) -> Option<UserId> {
        self.addressees.iter().find(|a| a.kind == PartyKind::Queue && a.record == queue.0).and_then(|a| a.owner)
    }
}

fn owner(found: &Addressee) -> Option<Owner> {
    match found.kind {
        PartyKind::User => Some(Owner::User(UserId(found.record))),
        PartyKind::Queue => Some(Owner::Queue(QueueId(found.record))),
        _ => None,
    }
}
