//! Meetings: invitations that arrive, answers that come back, cancellations.

use chrono::{DateTime, Utc};

use super::{
    Error, World,
    item::{Class, Content, Exception, ItemId, Touch},
    mailbox::Mailbox,
    value::{Answer, Attendee, Body, Value},
};

/// The properties of an appointment that its invitation carries.
const CARRIED: &[&str] = &[
    "Subject",
    "Body",
    "Start",
    "End",
    "Location",
    "IsAllDayEvent",
    "LegacyFreeBusyStatus",
    "UID",
    "Recurrence",
    "StartTimeZone",
    "EndTimeZone",
    "RequiredAttendees",
    "OptionalAttendees",
    "Resources",
    "Organizer",
    "RecurrenceId",
    "AppointmentSequenceNumber",
    "Sensitivity",
    "Importance",
];
/// The lists of invited people.
pub const LISTS: &[&str] = &["RequiredAttendees", "OptionalAttendees", "Resources"];

/// What an organiser sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Come.
    Request,
    /// Do not come.
    Cancellation,
}

impl Content {
    /// Everybody invited.
    pub fn attendees(&self) -> Vec<Attendee> {
        let lists = LISTS.iter().filter_map(|list| self.values.get(list));
        lists
            .filter_map(|value| if let Value::Attendees(list) = value { Some(list.clone()) } else { None })
            .flatten()
            .collect()
    }

    fn answered(&mut self, address: &str, answer: Answer, at: DateTime<Utc>) {
        for list in LISTS {
            if let Some(Value::Attendees(people)) = self.values.get_mut(list) {
                for attendee in people.iter_mut().filter(|attendee| attendee.person.is(address)) {
                    attendee.answer = answer;
                    attendee.answered_at = Some(at);
                }
            }
        }
    }

    fn carried_to(&self, mut other: Self) -> Self {
        for name in CARRIED {
            if let Some(value) = self.values.get(name) {
                other.values.insert(name, value.clone());
            }
        }
        other
    }
}

impl Mailbox {
    /// The appointment with an identifier that organiser and invited people share.
    pub fn appointment(&self, uid: &str) -> Option<ItemId> {
        let calendar = self.items.values().filter(|item| item.content.class == Class::CalendarItem);
        let deleted = self.home("deleteditems");
        calendar.filter(|item| item.folder != deleted).find(|item| item.content.text("UID") == uid).map(|item| item.id)
    }

    /// Takes an invitation's times and words into the invited one's own calendar.
    fn enter(&mut self, notice: &Content, now: DateTime<Utc>) -> Result<ItemId, Error> {
        let known = self.appointment(notice.text("UID"));
        if let (Some(id), Some(original)) = (known, notice.instant("RecurrenceId")) {
            let values = notice.carried_to(Content::new(Class::CalendarItem)).values;
            self.change_occurrence(id, original, now, |content| {
                content.values.extend(values);
                Ok(())
            })?;
            return Ok(id);
        }
        let mut content = notice.carried_to(Content::new(Class::CalendarItem));
        content.values.insert("IsMeeting", Value::Bool(true));
        content.set_text("MyResponseType", "NoResponseReceived");
        content.set_text("LegacyFreeBusyStatus", "Tentative");
        content.values.insert("AppointmentState", Value::Int(3));
        content.values.insert("IsResponseRequested", Value::Bool(true));
        match known {
            None => {
                let calendar = self.home("calendar");
                self.put(calendar, content, now)
            }
            Some(id) => {
                self.change(id, Touch::Content, now, |item| {
                    item.content.values.extend(content.values);
                    item.exceptions.clear();
                    Ok(())
                })?;
                Ok(id)
            }
        }
    }

    /// Marks what an organiser called off.
    fn call_off(&mut self, notice: &Content, now: DateTime<Utc>) -> Result<Option<ItemId>, Error> {
        let Some(id) = self.appointment(notice.text("UID")) else { return Ok(None) };
        self.change(id, Touch::Content, now, |item| {
            if let Some(original) = notice.instant("RecurrenceId") {
                item.exceptions.insert(original, Exception::Deleted);
            } else {
                item.content.values.insert("IsCancelled", Value::Bool(true));
                item.content.values.insert("AppointmentState", Value::Int(7));
                let subject = format!("Canceled: {}", item.content.text("Subject"));
                item.content.set_text("Subject", subject);
            }
            Ok(())
        })?;
        Ok(Some(id))
    }
}

impl World {
    /// Sends an invitation or a cancellation of an appointment to everybody invited. `content` is the appointment, or one
    /// occurrence of it with its `RecurrenceId`. The answer is the message, for the organiser's Sent Items.
    ///
    /// # Errors
    /// When the organiser has no mailbox.
    pub fn notify(
        &mut self,
        from: u32,
        content: &Content,
        notice: Notice,
        now: DateTime<Utc>,
    ) -> Result<Content, Error> {
        let organiser = self.mailbox(from)?.owner.clone();
        let class = if notice == Notice::Request { Class::MeetingRequest } else { Class::MeetingCancellation };
        let mut message = content.carried_to(Content::new(class));
        let people = content.attendees().into_iter().map(|attendee| attendee.person);
        let people: Vec<_> = people.filter(|person| !person.is(&organiser.address)).collect();
        message.values.insert("ToRecipients", Value::People(people.clone()));
        message.values.insert("IsMeeting", Value::Bool(true));
        if notice == Notice::Request {
            message.set_text("MeetingRequestType", "NewMeetingRequest");
            message.set_text("ResponseType", "NoResponseReceived");
        } else {
            message.values.insert("IsCancelled", Value::Bool(true));
            let subject = format!("Canceled: {}", message.text("Subject"));
            message.set_text("Subject", subject);
        }
        self.stamp(from, &mut message, now)?;
        for person in people {
            let Some(number) = self.find(&person.address) else { continue };
            let mailbox = self.mailbox_mut(number)?;
            let about = match notice {
                Notice::Request => Some(mailbox.enter(&message, now)?),
                Notice::Cancellation => mailbox.call_off(&message, now)?,
            };
            let inbox = mailbox.home("inbox");
            let id = mailbox.receive(inbox, message.clone(), now)?;
            if let Some(item) = mailbox.items.get_mut(&id) {
                item.about = about;
            }
        }
        Ok(message)
    }

    /// Answers an invitation, by its message or by the appointment it made.
    ///
    /// # Errors
    /// When there is nothing to answer.
    pub fn answer(
        &mut self,
        who: u32,
        reference: ItemId,
        answer: Answer,
        words: Option<Body>,
        send: bool,
        now: DateTime<Utc>,
    ) -> Result<Option<Content>, Error> {
        let mailbox = self.mailbox_mut(who)?;
        let me = mailbox.owner.clone();
        let asked = mailbox.item(reference)?;
        let content = asked.content.clone();
        let about = if content.class == Class::CalendarItem { Some(reference) } else { asked.about };
        let (Some(organiser), true) = (content.person("Organizer").cloned(), content.is("IsMeeting")) else {
            return Err(Error::NotAMeeting);
        };
        let (word, class_name, prefix, busy) = match answer {
            Answer::Accept => ("Accept", "IPM.Schedule.Meeting.Resp.Pos", "Accepted", "Busy"),
            Answer::Tentative => ("Tentative", "IPM.Schedule.Meeting.Resp.Tent", "Tentative", "Tentative"),
            Answer::Decline => ("Decline", "IPM.Schedule.Meeting.Resp.Neg", "Declined", "Free"),
            _ => return Err(Error::NotAMeeting),
        };
        let deleted = mailbox.home("deleteditems");
        if let Some(id) = about.filter(|id| mailbox.items.contains_key(id)) {
            mailbox.change(id, Touch::Content, now, |item| {
                item.content.set_text("MyResponseType", word);
                item.content.set_text("LegacyFreeBusyStatus", busy);
                item.content.values.insert("AppointmentReplyTime", Value::Instant(now));
                Ok(())
            })?;
            if answer == Answer::Decline {
                mailbox.move_item(id, deleted, now)?;
            }
        }
        if content.class == Class::MeetingRequest {
            mailbox.move_item(reference, deleted, now)?;
        }
        if !send {
            return Ok(None);
        }
        let mut message = Content::new(Class::MeetingResponse);
        message.set_text("ItemClass", class_name);
        message.set_text("Subject", format!("{prefix}: {}", content.text("Subject")));
        message.set_text("ResponseType", word);
        message.values.insert("ToRecipients", Value::People(vec![organiser.clone()]));
        for name in ["UID", "Start", "End", "Location", "RecurrenceId"] {
            if let Some(value) = content.values.get(name) {
                message.values.insert(name, value.clone());
            }
        }
        message.values.insert("Body", Value::Body(words.unwrap_or_default()));
        self.stamp(who, &mut message, now)?;
        if let Some(number) = self.find(&organiser.address) {
            let mailbox = self.mailbox_mut(number)?;
            let about = mailbox.appointment(content.text("UID"));
            if let Some(id) = about {
                mailbox.change(id, Touch::Content, now, |item| {
                    item.content.answered(&me.address, answer, now);
                    Ok(())
                })?;
            }
            let inbox = mailbox.home("inbox");
            let id = mailbox.receive(inbox, message.clone(), now)?;
            if let Some(item) = mailbox.items.get_mut(&id) {
                item.about = about;
            }
        }
        Ok(Some(message))
    }
}

/// Gives a new appointment what every appointment has. `number` makes its identifier its own.
pub fn prepare(mailbox: &Mailbox, content: &mut Content, number: u64, now: DateTime<Utc>) {
    if content.text("UID").is_empty() {
        let head = "040000008200E00074C5B7101A82E00800000000";
        content.set_text("UID", format!("{head}{:016X}{:08X}{number:016X}", now.timestamp_millis(), mailbox.number));
    }
    let meeting = !content.attendees().is_empty();
    content.values.insert("IsMeeting", Value::Bool(meeting));
    content.values.entry("Organizer").or_insert_with(|| Value::Person(mailbox.owner.clone()));
    content.values.entry("AppointmentSequenceNumber").or_insert(Value::Int(0));
    content.values.insert("AppointmentState", Value::Int(i64::from(meeting)));
    let plain = [("MyResponseType", "Organizer"), ("LegacyFreeBusyStatus", "Busy"), ("StartTimeZone", "UTC")];
    for (name, word) in plain {
        content.values.entry(name).or_insert_with(|| Value::Text(word.to_owned()));
    }
    for name in ["IsAllDayEvent", "IsCancelled"] {
        content.values.entry(name).or_insert(Value::Bool(false));
    }
}
