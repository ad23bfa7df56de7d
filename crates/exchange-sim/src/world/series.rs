//! A series of appointments: its occurrences, those that differ, and those that do not take place.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;

use super::{
    Error,
    item::{Content, Exception, Item, ItemId, Touch},
    mailbox::Mailbox,
    recurrence::Recurrence,
    value::Value,
    zone,
};

/// One occurrence, as a calendar shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occurrence {
    /// When it was to begin by the rule; this names it.
    pub original: DateTime<Utc>,
    /// When it begins.
    pub start: DateTime<Utc>,
    /// When it ends.
    pub end: DateTime<Utc>,
    /// Whether it differs from the others.
    pub changed: bool,
}

impl Content {
    /// How it recurs.
    pub fn recurrence(&self) -> Option<&Recurrence> {
        match self.values.get("Recurrence") {
            Some(Value::Recurrence(recurrence)) => Some(recurrence),
            _ => None,
        }
    }

    /// The zone its days are of.
    pub fn zone(&self) -> Tz {
        zone::by_name(self.text("StartTimeZone")).unwrap_or(Tz::UTC)
    }
}

impl Item {
    /// Where an occurrence begins by the rule.
    fn original(&self, day: NaiveDate) -> Option<DateTime<Utc>> {
        let zone = self.content.zone();
        let time = self.content.instant("Start")?.with_timezone(&zone).time();
        Some(zone::instant(zone, day.and_time(time)))
    }

    fn length(&self) -> TimeDelta {
        match (self.content.instant("Start"), self.content.instant("End")) {
            (Some(start), Some(end)) => end - start,
            _ => TimeDelta::zero(),
        }
    }

    /// All starts by the rule up to `until`, those that were deleted or moved included.
    pub fn originals(&self, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let Some(recurrence) = self.content.recurrence() else { return Vec::new() };
        let last = until.with_timezone(&self.content.zone()).date_naive();
        recurrence.days(last).into_iter().filter_map(|day| self.original(day)).collect()
    }

    /// One occurrence by when it was to begin.
    pub fn occurrence(&self, original: DateTime<Utc>) -> Option<Occurrence> {
        let plain = Occurrence { original, start: original, end: original + self.length(), changed: false };
        match self.exceptions.get(&original) {
            Some(Exception::Deleted) => None,
            Some(Exception::Changed(content)) => Some(Occurrence {
                start: content.instant("Start").unwrap_or(plain.start),
                end: content.instant("End").unwrap_or(plain.end),
                changed: true,
                ..plain
            }),
            None => Some(plain),
        }
    }

    /// The occurrences that touch a window, in order of their starts.
    pub fn occurrences(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<Occurrence> {
        let moved_far = self.exceptions.keys().max().copied().unwrap_or(to);
        let mut found: Vec<_> = self
            .originals(to.max(moved_far))
            .into_iter()
            .filter_map(|original| self.occurrence(original))
            .filter(|one| one.start < to && (one.end > from || one.start >= from))
            .collect();
        found.sort_by_key(|one| one.start);
        found
    }

    /// What an occurrence holds: the series' content with its own times and differences over it.
    pub fn occurrence_content(&self, original: DateTime<Utc>) -> Option<Content> {
        let one = self.occurrence(original)?;
        let mut content = self.content.clone();
        content.values.remove("Recurrence");
        content.mime = None;
        if let Some(Exception::Changed(changed)) = self.exceptions.get(&original) {
            content.values.extend(changed.values.clone());
            content.extended.extend(changed.extended.clone());
            if !changed.attachments.is_empty() {
                content.attachments.clone_from(&changed.attachments);
            }
        }
        content.values.insert("Start", Value::Instant(one.start));
        content.values.insert("End", Value::Instant(one.end));
        content.values.insert("RecurrenceId", Value::Instant(original));
        content.values.insert("OriginalStart", Value::Instant(original));
        Some(content)
    }

    /// The start of occurrence number `index`, counted from one, deleted ones included.
    ///
    /// # Errors
    /// [`Error::OccurrenceOutOfRange`], [`Error::OccurrenceDeleted`].
    pub fn by_index(&self, index: u32) -> Result<DateTime<Utc>, Error> {
        let place =
            usize::try_from(index).ok().and_then(|index| index.checked_sub(1)).ok_or(Error::OccurrenceOutOfRange)?;
        let originals = self.originals(DateTime::<Utc>::MAX_UTC - TimeDelta::days(800));
        let original = originals.get(place).copied().ok_or(Error::OccurrenceOutOfRange)?;
        self.occurrence(original).map(|_| original).ok_or(Error::OccurrenceDeleted)
    }

    fn checked(&self, original: DateTime<Utc>) -> Result<(), Error> {
        if !self.originals(original).contains(&original) {
            return Err(Error::OccurrenceNotFound);
        }
        self.occurrence(original).map(|_| ()).ok_or(Error::OccurrenceDeleted)
    }
}

impl Mailbox {
    /// Changes one occurrence; from then on it differs from the others.
    ///
    /// # Errors
    /// When the series or the occurrence is not there, or what `change` finds wrong.
    pub fn change_occurrence(
        &mut self,
        series: ItemId,
        original: DateTime<Utc>,
        now: DateTime<Utc>,
        change: impl FnOnce(&mut Content) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.change(series, Touch::Content, now, |item| {
            item.checked(original)?;
            let mut whole = item.occurrence_content(original).ok_or(Error::OccurrenceDeleted)?;
            let before = whole.clone();
            change(&mut whole)?;
            let mut own = match item.exceptions.get(&original) {
                Some(Exception::Changed(content)) => (**content).clone(),
                _ => Content::new(item.content.class),
            };
            for (name, value) in &whole.values {
                if before.values.get(name) != Some(value) {
                    own.values.insert(name, value.clone());
                }
            }
            for (name, value) in &whole.extended {
                if before.extended.get(name) != Some(value) {
                    own.extended.insert(name.clone(), value.clone());
                }
            }
            if whole.attachments != before.attachments {
                own.attachments = whole.attachments;
            }
            item.exceptions.insert(original, Exception::Changed(Box::new(own)));
            Ok(())
        })
    }

    /// Deletes one occurrence.
    ///
    /// # Errors
    /// When the series or the occurrence is not there.
    pub fn delete_occurrence(
        &mut self,
        series: ItemId,
        original: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.change(series, Touch::Content, now, |item| {
            item.checked(original)?;
            item.exceptions.insert(original, Exception::Deleted);
            Ok(())
        })
    }
}
