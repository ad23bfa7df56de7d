//! An item as clients may ask about it: what it holds, and what follows from that and from where it lies.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use super::{
    body,
    ids::ItemRef,
    schema::{Field, Kind},
};
use crate::world::{
    Error,
    item::{Attached, Class, Content, Item},
    mailbox::Mailbox,
    search::Scalar,
    value::{Person, Value},
};

/// An item, one occurrence of a series, or an item that is attached to another.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// Whose it is.
    pub mailbox: &'a Mailbox,
    /// The item; of an occurrence, the series; of an attached item, what it hangs on.
    pub item: &'a Item,
    /// What it holds.
    pub content: Cow<'a, Content>,
    /// When the occurrence was to begin.
    pub original: Option<DateTime<Utc>>,
    /// Whether it is attached.
    pub attached: bool,
}

fn names(people: &[Person]) -> String {
    let shown = people.iter().map(|person| if person.name.is_empty() { &person.address } else { &person.name });
    shown.map(String::as_str).collect::<Vec<_>>().join("; ")
}

impl<'a> View<'a> {
    /// An item as it lies in its folder.
    pub fn of(mailbox: &'a Mailbox, item: &'a Item) -> Self {
        Self { mailbox, item, content: Cow::Borrowed(&item.content), original: None, attached: false }
    }

    /// What a reference names.
    ///
    /// # Errors
    /// When it is not there.
    pub fn find(mailbox: &'a Mailbox, id: ItemRef) -> Result<Self, Error> {
        let item = mailbox.item(id.item)?;
        match id.original {
            None => Ok(Self::of(mailbox, item)),
            Some(original) => Self::occurrence(mailbox, item, original),
        }
    }

    /// One occurrence of a series.
    ///
    /// # Errors
    /// When it was deleted.
    pub fn occurrence(mailbox: &'a Mailbox, item: &'a Item, original: DateTime<Utc>) -> Result<Self, Error> {
        let content = item.occurrence_content(original).ok_or(Error::OccurrenceDeleted)?;
        Ok(Self { mailbox, item, content: Cow::Owned(content), original: Some(original), attached: false })
    }

    /// Its name.
    pub fn id(&self) -> ItemRef {
        ItemRef { mailbox: self.mailbox.number, item: self.item.id, original: self.original }
    }

    fn calendar_item_type(&self) -> &'static str {
        match self.original {
            Some(original) if self.item.occurrence(original).is_some_and(|one| one.changed) => "Exception",
            Some(_) => "Occurrence",
            None if self.content.recurrence().is_some() => "RecurringMaster",
            None => "Single",
        }
    }

    /// What follows from other things; none where the item itself holds the value.
    fn computed(&self, name: &str) -> Option<Value> {
        let content = &self.content;
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        let held = content.values.contains_key(name);
        match name {
            "ItemClass" => return text(content.class_name()),
            "Size" => return Some(Value::Int(i64::try_from(content.size()).unwrap_or(i64::MAX))),
            "DateTimeCreated" => return Some(Value::Instant(self.item.created_at)),
            "LastModifiedTime" | "DateTimeStamp" => return Some(Value::Instant(self.item.modified_at)),
            "LastModifiedName" => return text(&self.mailbox.owner.name),
            "HasAttachments" => return Some(Value::Bool(content.attachments.iter().any(|one| !one.inline))),
            "DisplayTo" => return text(&names(content.people("ToRecipients"))),
            "DisplayCc" => return text(&names(content.people("CcRecipients"))),
            "CalendarItemType" => return text(self.calendar_item_type()),
            "IsRecurring" if content.class == Class::CalendarItem => return Some(Value::Bool(self.original.is_some())),
            "IsRecurring" => return Some(Value::Bool(content.recurrence().is_some())),
            "Duration" => {
                let length = content.instant("End")? - content.instant("Start")?;
                return Some(Value::Text(format!("PT{}M", length.num_minutes())));
            }
            "IsComplete" => return Some(Value::Bool(content.text("Status") == "Completed")),
            "StatusDescription" => {
                return text(match content.text("Status") {
                    "Completed" => "Completed",
                    "InProgress" => "In Progress",
                    "WaitingOnOthers" => "Waiting on someone else",
                    "Deferred" => "Deferred",
                    _ => "Not Started",
                });
            }
            "Preview" => return Some(Value::Text(body::plain(content).chars().take(255).collect())),
            _ if held => {}
            "DateTimeReceived" => return Some(Value::Instant(self.item.created_at)),
            "DateTimeSent" if content.class.is_mail() => return Some(Value::Instant(self.item.created_at)),
            "Importance" | "Sensitivity" => return text("Normal"),
            "Culture" => return text("en-US"),
            "ReminderMinutesBeforeStart" | "ChangeCount" | "ConflictingMeetingCount" | "AdjacentMeetingCount" => {
                return Some(Value::Int(0));
            }
            "PercentComplete" => return Some(Value::Double(0.0)),
            "Status" => return text("NotStarted"),
            "Owner" => return text(&self.mailbox.owner.name),
            "DelegationState" => return text("NoMatch"),
            "ContactSource" => return text("Store"),
            "FileAsMapping" => return text("None"),
            "FileAs" => return text(content.text("DisplayName")),
            "DisplayName" if content.class == Class::Contact => {
                let parts = [content.text("GivenName"), content.text("Surname")];
                let full: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
                return if full.is_empty() { None } else { Some(Value::Text(full.join(" "))) };
            }
            "IsSubmitted"
            | "IsDraft"
            | "IsFromMe"
            | "IsResend"
            | "IsUnmodified"
            | "ReminderIsSet"
            | "IsAssociated"
            | "IsReadReceiptRequested"
            | "IsDeliveryReceiptRequested"
            | "IsRead"
            | "IsResponseRequested"
            | "IsDelegated"
            | "IsOutOfDate"
            | "HasBeenProcessed"
            | "MeetingRequestWasSent"
            | "IsMeeting"
            | "IsCancelled"
            | "IsAllDayEvent"
            | "IsTeamTask"
            | "HasPicture"
            | "IsAssignmentEditable"
            | "IsOnlineMeeting" => return Some(Value::Bool(false)),
            _ => {}
        }
        None
    }

    /// A property's value.
    pub fn value(&self, field: &Field) -> Option<Value> {
        if field.name == "IsAssignmentEditable" {
            return None;
        }
        self.computed(field.name).or_else(|| self.content.values.get(field.name).cloned())
    }

    /// A property as conditions see it; several values where it is a list.
    pub fn scalars(&self, field: &Field) -> Vec<Scalar> {
        match field.name {
            "TextBody" | "Body" => return vec![Scalar::Text(body::plain(&self.content))],
            "Attachments" => {
                return self.content.attachments.iter().map(|one| Scalar::Text(one.name.clone())).collect();
            }
            _ => {}
        }
        if field.kind == Kind::Special {
            return Vec::new();
        }
        self.value(field).map(|value| scalars(&value)).unwrap_or_default()
    }

    /// Whether one of what is attached is an item rather than a file.
    pub fn has_items(&self) -> bool {
        self.content.attachments.iter().any(|one| matches!(one.attached, Attached::Item(_)))
    }
}

/// A value as conditions see it.
#[expect(clippy::cast_precision_loss, reason = "only compared with its like")]
pub fn scalars(value: &Value) -> Vec<Scalar> {
    let person = |person: &Person| [Scalar::Text(person.name.clone()), Scalar::Text(person.address.clone())];
    match value {
        Value::Text(text) => vec![Scalar::Text(text.clone())],
        Value::Bool(truth) => vec![Scalar::Number(f64::from(u8::from(*truth)))],
        Value::Int(number) => vec![Scalar::Number(*number as f64)],
        Value::Double(number) => vec![Scalar::Number(*number)],
        Value::Instant(at) => vec![Scalar::Number(at.timestamp_millis() as f64)],
        Value::Strings(list) => list.iter().cloned().map(Scalar::Text).collect(),
        Value::Person(one) => person(one).into(),
        Value::People(list) => list.iter().flat_map(person).collect(),
        Value::Attendees(list) => list.iter().flat_map(|attendee| person(&attendee.person)).collect(),
        Value::Body(body) => vec![Scalar::Text(body.text.clone())],
        Value::Entries(entries) => entries.values().cloned().map(Scalar::Text).collect(),
        Value::Places(places) => places.values().flat_map(|place| place.values().cloned().map(Scalar::Text)).collect(),
        Value::Bytes(_) | Value::Recurrence(_) => Vec::new(),
    }
}
