//! Sending mail: from one mailbox into others.

use chrono::{DateTime, Utc};

use super::{
    Error, World,
    event::Happening,
    folder::FolderId,
    item::{Class, Content, ItemId},
    mailbox::Mailbox,
    value::{Person, Value},
};

impl Mailbox {
    /// Lays a message that came from outside into a folder, unread.
    ///
    /// # Errors
    /// [`Error::FolderNotFound`].
    pub fn receive(&mut self, folder: FolderId, mut content: Content, now: DateTime<Utc>) -> Result<ItemId, Error> {
        content.values.insert("DateTimeReceived", Value::Instant(now));
        content.values.insert("IsRead", Value::Bool(false));
        content.values.insert("IsDraft", Value::Bool(false));
        content.values.insert("ReceivedBy", Value::Person(self.owner.clone()));
        for attachment in &mut content.attachments {
            attachment.id = self.fresh_attachment();
        }
        let id = self.put(folder, content, now)?;
        self.tell(Happening::NewMail { item: id, folder }, now);
        Ok(id)
    }
}

/// All to whom a message goes, each once.
pub fn recipients(content: &Content) -> Vec<Person> {
    let mut found: Vec<Person> = Vec::new();
    for person in ["ToRecipients", "CcRecipients", "BccRecipients"].iter().flat_map(|list| content.people(list)) {
        if !found.iter().any(|known| known.is(&person.address)) {
            found.push(person.clone());
        }
    }
    found
}

/// The message without its `Bcc` header, and with the headers that every message needs.
fn for_the_road(mime: &[u8], id: &str, date: DateTime<Utc>) -> Vec<u8> {
    let mut out = Vec::with_capacity(mime.len() + 128);
    let (mut skipping, mut has_id, mut has_date) = (false, false, false);
    let mut rest = mime;
    while !rest.is_empty() {
        let length = rest.iter().position(|octet| *octet == b'\n').map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(length);
        if matches!(line, b"\r\n" | b"\n") {
            break;
        }
        let name = line.split(|octet| *octet == b':').next().unwrap_or_default();
        let folded = matches!(line.first(), Some(b' ' | b'\t'));
        if !folded {
            skipping = name.eq_ignore_ascii_case(b"bcc");
            has_id |= name.eq_ignore_ascii_case(b"message-id");
            has_date |= name.eq_ignore_ascii_case(b"date");
        }
        if !skipping {
            out.extend_from_slice(line);
        }
        rest = after;
    }
    if !has_id {
        out.splice(0..0, format!("Message-ID: {id}\r\n").into_bytes());
    }
    if !has_date {
        out.splice(0..0, format!("Date: {}\r\n", date.to_rfc2822()).into_bytes());
    }
    out.extend_from_slice(rest);
    out
}

impl World {
    /// A message id that no other message has.
    pub fn fresh_message_id(&mut self, now: DateTime<Utc>) -> String {
        self.messages += 1;
        format!("<{:x}.{}@exchange-sim.invalid>", now.timestamp_millis(), self.messages)
    }

    /// Makes of a draft what leaves the house: sender, date and id are set where they are missing.
    pub fn stamp(&mut self, from: u32, content: &mut Content, now: DateTime<Utc>) -> Result<(), Error> {
        let owner = self.mailbox(from)?.owner.clone();
        if content.person("From").is_none() {
            content.values.insert("From", Value::Person(owner.clone()));
        }
        content.values.entry("Sender").or_insert(Value::Person(owner));
        if content.text("InternetMessageId").is_empty() {
            let id = self.fresh_message_id(now);
            content.set_text("InternetMessageId", id);
        }
        content.values.insert("DateTimeSent", Value::Instant(now));
        content.values.insert("DateTimeReceived", Value::Instant(now));
        content.values.insert("IsDraft", Value::Bool(false));
        content.values.insert("IsRead", Value::Bool(true));
        content.values.insert("IsSubmitted", Value::Bool(true));
        if content.text("ConversationTopic").is_empty() {
            let topic = content.text("Subject").to_owned();
            content.set_text("ConversationTopic", topic);
        }
        if let Some(mime) = content.mime.take() {
            content.mime = Some(for_the_road(&mime, content.text("InternetMessageId"), now));
        }
        Ok(())
    }

    /// Sends a message. Everybody of this world to whom it goes finds it in the inbox; addresses elsewhere are
    /// accepted and forgotten. The answer is what the sender may keep.
    ///
    /// # Errors
    /// [`Error::NoRecipients`].
    pub fn send(&mut self, from: u32, mut content: Content, now: DateTime<Utc>) -> Result<Content, Error> {
        let people = recipients(&content);
        if people.is_empty() {
            return Err(Error::NoRecipients);
        }
        self.stamp(from, &mut content, now)?;
        let mut copy = content.clone();
        copy.values.remove("BccRecipients");
        copy.values.remove("Categories");
        copy.values.insert("IsSubmitted", Value::Bool(false));
        for person in people {
            if let Some(number) = self.find(&person.address) {
                let mailbox = self.mailbox_mut(number)?;
                let inbox = mailbox.home("inbox");
                mailbox.receive(inbox, copy.clone(), now)?;
            }
        }
        if content.class == Class::Item {
            content.class = Class::Message;
        }
        Ok(content)
    }
}
