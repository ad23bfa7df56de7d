//! Occurrences of series on the server: those that differ from the rule, read and written.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use lockstep_connector::Deadline;
use lockstep_model::{
    fault::{Fault, FaultScope},
    record::{
        Fields, Patch,
        series::{Changed, Exception, Length, Series},
    },
};

use crate::{
    client::Client,
    codec::{
        create_item::Invitations,
        find_item,
        id::{FolderRef, ItemId, ItemRef},
        property::{Property, Shape},
        time,
    },
    fault::{self, Refusal},
    item::{
        Class, Unwritable,
        appointment::read_shared,
        series::{self, OWN, Occurrence},
    },
    xml::Element,
};

/// Why an exception of a series was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotWritten {
    /// The protocol cannot say it.
    Unwritable(Unwritable),
    /// The server said no.
    Refused(Refusal),
    /// The series has no occurrence there.
    NoOccurrence,
    /// It was cancelled on the server, which cannot let it take place again.
    Cancelled,
}

impl fmt::Display for NotWritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unwritable(unwritable) => unwritable.fmt(f),
            Self::Refused(refusal) => write!(f, "the server refused it: {}", refusal.fault(FaultScope::Item).message),
            Self::NoOccurrence => f.write_str("the series has no occurrence there"),
            Self::Cancelled => f.write_str("it was cancelled on the server, which cannot let it take place again"),
        }
    }
}

/// An occurrence that differs on the server, with its element.
type Known = (Occurrence, Element);

/// What is written to one occurrence.
struct Aim<'a> {
    series: &'a Series,
    /// What the master's occurrences have in common.
    master: &'a Fields,
    invitations: Invitations,
    home: Tz,
}

impl Aim<'_> {
    /// What is left to be changed about an occurrence that differs already; `None` when nothing is.
    fn rest(&self, (occurrence, element): &Known, aim: &Changed) -> Option<Changed> {
        let (own, wanted) = (read_shared(element), aim.fields(self.master));
        let mut fields = Patch::default();
        for field in OWN {
            if own.get(field) != wanted.get(field) {
                fields.take(field, &wanted);
            }
        }
        let whole_days = matches!(aim.length, Length::Days(_));
        let there = series::span_of(self.series, aim, self.home) == Some((occurrence.start, occurrence.end))
            && element.bool_of("IsAllDayEvent").unwrap_or(false) == whole_days;
        (!there || !fields.is_empty()).then(|| Changed { fields, ..aim.clone() })
    }
}

impl Client {
    /// A series with all that differs from its rule; `None` when it is none.
    ///
    /// # Errors
    /// What kept the server from showing its occurrences; scope `item` where it was only about them.
    pub async fn series(&mut self, master: &Element, home: Tz, deadline: &Deadline) -> Result<Option<Fields>, Fault> {
        let known = self.known(master, deadline).await?;
        let pairs: Vec<_> = known.into_iter().map(|(occurrence, element)| (occurrence, Some(element))).collect();
        Ok(series::read(master, &pairs, home))
    }

    /// The occurrences that differ.
    async fn known(&mut self, master: &Element, deadline: &Deadline) -> Result<Vec<Known>, Fault> {
        let modified = series::modified(master);
        let ids: Vec<ItemRef> = modified.iter().map(|one| ItemRef::Item(one.id.clone())).collect();
        let elements = self.get_items(Class::Appointment, &ids, deadline).await?;
        let pair = |(occurrence, element): (Occurrence, Result<Element, Refusal>)| match element {
            Ok(element) => Ok((occurrence, element)),
            Err(refusal) => Err(refusal.fault(FaultScope::Item)),
        };
        modified.into_iter().zip(elements).map(pair).collect()
    }

    /// Writes the exceptions of a series whose rule the server has already. What is so already is left alone, and what
    /// differs on the server only is brought back to the rule, unless it was cancelled there.
    ///
    /// # Errors
    /// Inside, each one that was not written, by its original local start. Outside, scope `item` where the series could
    /// not be read; nothing was written then.
    pub async fn write_exceptions(
        &mut self,
        master: &ItemId,
        series: &Series,
        invitations: Invitations,
        home: Tz,
        deadline: &Deadline,
    ) -> Result<Vec<(NaiveDateTime, NotWritten)>, Fault> {
        let read = self.get_items(Class::Appointment, &[ItemId::whatever(&master.id).into()], deadline).await?;
        let element = match read.into_iter().next() {
            Some(Ok(element)) => element,
            Some(Err(refusal)) => return Err(refusal.fault(FaultScope::Item)),
            None => return Err(fault::violation("the server left an item out")),
        };
        let (mut known, mut deleted) = (self.known(&element, deadline).await?, series::deleted(&element));
        let fields = read_shared(&element);
        let aim = Aim { series, master: &fields, invitations, home };
        let mut failed = Vec::new();
        for (original, exception) in &series.exceptions {
            let at = series::original_instant(series, *original, home);
            let cancelled = deleted.iter().position(|one| *one == at).map(|place| deleted.swap_remove(place));
            let differs = known.iter().position(|(one, _)| one.original == at).map(|place| known.swap_remove(place));
            let done = match exception {
                Exception::Cancelled if cancelled.is_some() => Ok(()),
                Exception::Changed(_) if cancelled.is_some() => Err(NotWritten::Cancelled),
                Exception::Cancelled => self.cancel(&element, at, differs, &aim, deadline).await?,
                Exception::Changed(changed) => self.differ(&element, at, differs, changed, &aim, deadline).await?,
            };
            failed.extend(done.err().map(|why| (*original, why)));
        }
        for (occurrence, there) in known {
            let original = series::original_of(series, occurrence.original, home);
            let plain = Changed { start: original, length: series.length, fields: Patch::default() };
            let at = occurrence.original;
            let done = self.differ(&element, at, Some((occurrence, there)), &plain, &aim, deadline).await?;
            failed.extend(done.err().map(|why| (original, why)));
        }
        let lost = deleted.into_iter().map(|at| (series::original_of(series, at, home), NotWritten::Cancelled));
        failed.extend(lost);
        Ok(failed)
    }

    async fn cancel(
        &mut self,
        master: &Element,
        at: DateTime<Utc>,
        known: Option<Known>,
        aim: &Aim<'_>,
        deadline: &Deadline,
    ) -> Result<Result<(), NotWritten>, Fault> {
        let id = match known {
            Some((occurrence, _)) => Some(occurrence.id),
            None => self.occurrence(master, at, deadline).await?,
        };
        let Some(id) = id else { return Ok(Err(NotWritten::NoOccurrence)) };
        let tell = aim.invitations != Invitations::None;
        let done = self.delete_items(&[ItemId::whatever(id.id).into()], tell, deadline).await?;
        Ok(done.into_iter().next().unwrap_or(Ok(())).map_err(NotWritten::Refused))
    }

    async fn differ(
        &mut self,
        master: &Element,
        at: DateTime<Utc>,
        known: Option<Known>,
        wanted: &Changed,
        aim: &Aim<'_>,
        deadline: &Deadline,
    ) -> Result<Result<(), NotWritten>, Fault> {
        let (id, rest, all_day) = match &known {
            Some(known) => match aim.rest(known, wanted) {
                Some(rest) => (Some(known.0.id.clone()), rest, known.1.bool_of("IsAllDayEvent").unwrap_or(false)),
                None => return Ok(Ok(())),
            },
            None => (self.occurrence(master, at, deadline).await?, wanted.clone(), aim.series.is_all_day()),
        };
        let Some(id) = id else { return Ok(Err(NotWritten::NoOccurrence)) };
        let updates = match series::exception_updates(aim.series, &rest, all_day, aim.home) {
            Ok(updates) => updates,
            Err(unwritable) => return Ok(Err(NotWritten::Unwritable(unwritable))),
        };
        // Writing one occurrence gives the others another state too, so each is asked for its own just before.
        let now = match self.state_of(&id.id, deadline).await? {
            Ok(now) => now,
            Err(refusal) => return Ok(Err(NotWritten::Refused(refusal))),
        };
        let done = self.update_item(&now.into(), &updates, aim.invitations, deadline).await?;
        Ok(done.map(|_| ()).map_err(NotWritten::Refused))
    }

    /// The occurrence of a series that begins at an instant and does not differ from the rule yet.
    async fn occurrence(
        &mut self,
        master: &Element,
        at: DateTime<Utc>,
        deadline: &Deadline,
    ) -> Result<Option<ItemId>, Fault> {
        let wanted = Shape::ids_and(["calendar:Start", "calendar:UID"].map(Property::Field));
        let to = at.checked_add_signed(TimeDelta::minutes(1)).unwrap_or(at);
        let folder = FolderRef::Distinguished(Class::Appointment.folder());
        let request = find_item::view(&folder, &wanted, &time::write(at), &time::write(to), 500);
        let message = self.call_one(&request, deadline).await?;
        let message = message.map_err(|refusal| refusal.fault(FaultScope::Mailbox))?;
        let page = find_item::read(&message).ok_or_else(|| fault::violation("a search without a result"))?;
        let ours = |item: &&Element| {
            item.text_of("Start").and_then(time::read) == Some(at) && item.text_of("UID") == master.text_of("UID")
        };
        Ok(page.items.iter().find(ours).and_then(ItemId::of_item))
    }
}
