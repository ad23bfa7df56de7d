//! The port's session over a POP3 conversation.

use std::collections::HashSet;

use async_trait::async_trait;
use lockstep_connector::{
    BodyReader, Deadline, Delta, Envelope, HeaderBlocks, Known, Limits, PointOfNoReturn, RemoteHead, SendReceipt,
    Session, fingerprint, session::unsupported,
};
use lockstep_model::{
    fault::{Fault, FaultClass},
    remote::{Cursor, RemoteKey},
};

use crate::{
    conversation::Conversation,
    fault,
    identity::{Catalogue, Listing},
    pull::Backlog,
};

/// How far the listing has been read. The maildrop is locked, so it holds for the whole session.
#[derive(Debug)]
enum Contents {
    Unread,
    Listed(Listing),
    Identified(Catalogue),
}

/// One session.
pub(crate) struct Pop3Session {
    talk: Conversation,
    contents: Contents,
    backlog: Option<Backlog>,
    deleted: HashSet<u64>,
    refused: Option<Fault>,
}

impl Pop3Session {
    pub(crate) fn new(talk: Conversation) -> Self {
        Self { talk, contents: Contents::Unread, backlog: None, deleted: HashSet::new(), refused: None }
    }

    async fn list(&mut self, deadline: &Deadline) -> Result<(), Fault> {
        if matches!(self.contents, Contents::Unread) {
            let sizes = self.talk.sizes(deadline).await?;
            let unique_ids = self.talk.unique_ids(deadline).await?.unwrap_or_default();
            self.contents = Contents::Listed(Listing::of(sizes, unique_ids));
        }
        Ok(())
    }

    /// The listing with a key for every message. Reads headers only where the server's own ids do not do.
    async fn catalogue(&mut self, deadline: &Deadline) -> Result<(), Fault> {
        self.list(deadline).await?;
        let Contents::Listed(listing) = &self.contents else { return Ok(()) };
        let weak = listing.weak();
        let mut fingerprints = vec![None; weak.len()];
        let take = |at: usize, header: Result<Vec<u8>, Fault>| {
            fingerprints[at] = header.ok().map(|block| fingerprint::of_header(&block));
        };
        self.talk.headers(&weak, deadline, take).await?;
        if let Contents::Listed(listing) = std::mem::replace(&mut self.contents, Contents::Unread) {
            self.contents = Contents::Identified(listing.identify(fingerprints));
        }
        Ok(())
    }

    /// The number that this key has in this session; never the number it had in another.
    fn number(&self, key: &RemoteKey) -> Option<u64> {
        let Contents::Identified(catalogue) = &self.contents else { return None };
        catalogue.find(key).map(|at| catalogue.entry(at).number)
    }
}

/// Only the listing tells that a message is gone.
fn not_listed() -> Fault {
    fault::item(FaultClass::Gone, "ItemGone", "the server does not list this message any more")
}

#[async_trait]
impl Session for Pop3Session {
    async fn pull(
        &mut self,
        cursor: &Cursor,
        known: &dyn Known,
        limits: Limits,
        deadline: &Deadline,
    ) -> Result<Delta, Fault> {
        if self.backlog.is_none() {
            self.list(deadline).await?;
            let unchanged = match &self.contents {
                Contents::Unread => false,
                Contents::Listed(listing) => listing.cursor() == *cursor,
                Contents::Identified(catalogue) => catalogue.cursor() == cursor,
            };
            if unchanged {
                return Ok(Delta::default());
            }
            self.catalogue(deadline).await?;
            if let Contents::Identified(catalogue) = &self.contents {
                self.backlog = Some(Backlog::of(&mut self.talk, catalogue, known, deadline).await?);
            }
        }
        match (&mut self.backlog, &self.contents) {
            (Some(backlog), Contents::Identified(catalogue)) => Ok(backlog.page(catalogue, limits)),
            _ => Ok(Delta::default()),
        }
    }

    async fn headers(&mut self, heads: &[RemoteHead], deadline: &Deadline) -> Result<HeaderBlocks, Fault> {
        self.catalogue(deadline).await?;
        let listed: Vec<Option<u64>> = heads.iter().map(|head| self.number(&head.key)).collect();
        let absent = |number: &Option<u64>| number.is_none().then(|| Err(not_listed()));
        let mut answers: Vec<Option<Result<Vec<u8>, Fault>>> = listed.iter().map(absent).collect();
        let (places, numbers): (Vec<usize>, Vec<u64>) =
            listed.iter().enumerate().filter_map(|(at, number)| Some((at, (*number)?))).unzip();
        let broken = self.talk.headers(&numbers, deadline, |at, header| answers[places[at]] = Some(header)).await.err();
        let blocks = answers.into_iter().map_while(|answer| answer).collect();
        Ok(HeaderBlocks { blocks, broken })
    }

    async fn fetch(&mut self, head: &RemoteHead, deadline: &Deadline) -> Result<BodyReader<'_>, Fault> {
        self.catalogue(deadline).await?;
        let Some(number) = self.number(&head.key) else {
            return Err(not_listed());
        };
        Ok(Box::pin(self.talk.message(number, deadline).await?))
    }

    async fn delete(&mut self, keys: &[RemoteKey], deadline: &Deadline) -> Result<(), Fault> {
        self.catalogue(deadline).await?;
        // What is not listed is gone already: the deletion of an earlier session took effect.
        let mut numbers: Vec<u64> = keys.iter().filter_map(|key| self.number(key)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|number| !self.deleted.contains(number));
        let (refused, words) = self.talk.delete(&numbers, deadline).await?;
        self.deleted.extend(numbers.into_iter().filter(|number| !refused.contains(number)));
        let Some(words) = words else { return Ok(()) };
        let message = format!("the server refused to delete {} messages: {words}", refused.len());
        let fault = fault::item(FaultClass::Transient, "DeleteRefused", message);
        self.refused = Some(fault.clone());
        Err(fault)
    }

    async fn send(
        &mut self,
        _: &Envelope,
        _: BodyReader<'_>,
        _: &mut dyn PointOfNoReturn,
        _: &Deadline,
    ) -> Result<SendReceipt, Fault> {
        Err(unsupported("POP3 cannot send"))
    }

    /// A deletion that the server refused is reported once more here: success means that all of them took effect.
    async fn close(self: Box<Self>, deadline: &Deadline) -> Result<(), Fault> {
        self.talk.quit(deadline).await?;
        self.refused.map_or(Ok(()), Err)
    }
}
