//! Holding every record against filters, rights and options once in a while: time passes, and what counts changes, of which
//! no feed tells. A cycle that has to give way notes how far it came.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use lockstep_connector::items::Items;
use lockstep_model::record::{Kind, LinkId, RecordId};
use lockstep_store::{filters, links};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    act::{Act, Pace, gather::Batch},
    mailbox::{Stopped, Way},
};

/// A review under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Review {
    /// Which one is wanted: see [`lockstep_store::lanes::Run::review_generation`].
    pub(super) generation: i64,
    /// The feed as it was when the review began: what is written later is looked at afterwards.
    pub(super) epoch: Option<Uuid>,
    /// How far the feed was.
    pub(super) position: i64,
    place: Place,
}

/// A review that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reviewed {
    pub(super) generation: i64,
    pub(super) at: DateTime<Utc>,
}

/// How far a review came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Place {
    /// Among the records of a kind that belong to the mailbox, after this one.
    Belonging { kind: String, after: Option<Uuid> },
    /// Among the linked ones.
    Linked { after: Option<Uuid> },
}

impl Review {
    pub(super) fn begin(generation: i64, epoch: Option<Uuid>, position: i64) -> Self {
        Self { generation, epoch, position, place: first(Kind::ALL.first().copied()) }
    }
}

fn first(kind: Option<Kind>) -> Place {
    match kind {
        Some(kind) => Place::Belonging { kind: kind.name().to_owned(), after: None },
        None => Place::Linked { after: None },
    }
}

impl Act<'_> {
    /// Every record that belongs here, and then every one that is linked.
    pub(super) async fn review(
        &mut self,
        items: &mut dyn Items,
        pace: &mut Pace<'_>,
        review: &mut Review,
    ) -> Result<Option<Way>, Stopped> {
        loop {
            let (records, next) = self.leg(&review.place).await?;
            let way = if records.is_empty() {
                None
            } else {
                self.batch(items, Batch { records, ..Batch::default() }, pace).await?
            };
            let Some(next) = next else { return Ok(way) };
            review.place = next;
            if way.is_some() {
                return Ok(way);
            }
        }
    }

    /// One page, and where the next one begins.
    async fn leg(&mut self, place: &Place) -> Result<(BTreeSet<RecordId>, Option<Place>), Stopped> {
        let limit = self.room();
        let mut tx = self.context.store.begin().await?;
        match place {
            Place::Belonging { kind, after } => {
                let at = Kind::ALL.into_iter().position(|known| known.name() == kind);
                let Some((at, kind)) = at.map(|at| (at, Kind::ALL[at])) else {
                    return Ok((BTreeSet::new(), Some(first(None))));
                };
                let rules = self.rules_of(&mut tx, kind).await?;
                let (user, filters) = (self.user, rules.filters());
                let question =
                    filters::Question { user, kind, filters, among: None, after: *after, limit: i64::from(limit) };
                let page = filters::passing(&mut tx, question).await?;
                let next = match page.last() {
                    Some(last) if page.len() >= usize::from(limit) => {
                        Place::Belonging { kind: kind.name().to_owned(), after: Some(*last) }
                    }
                    _ => first(Kind::ALL.get(at + 1).copied()),
                };
                Ok((page.into_iter().map(RecordId).collect(), Some(next)))
            }
            Place::Linked { after } => {
                let page =
                    links::records_after(&mut tx, self.run.mailbox.id, after.map(LinkId), i64::from(limit)).await?;
                let next = page.last().map(|(last, ..)| Place::Linked { after: Some(last.0) });
                Ok((page.into_iter().map(|(_, _, record)| record).collect(), next))
            }
        }
    }
}
