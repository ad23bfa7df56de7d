//! Messages as they travel: read into what an item holds, and written from it.

use chrono::{DateTime, Utc};
use mail_builder::{
    MessageBuilder,
    headers::{address::Address as To, content_type::ContentType, raw::Raw},
    mime::MimePart,
};
use mail_parser::{Address, HeaderName, HeaderValue, Message, MessageParser, MimeHeaders, PartType};

use crate::world::{
    item::{Attached, Attachment, AttachmentId, Class, Content},
    value::{Body, Person, Value},
};

/// No more attachments of one message are kept apart.
const ATTACHMENTS: usize = 10_000;

fn people(address: Option<&Address<'_>>) -> Vec<Person> {
    let known = |addr: &mail_parser::Addr<'_>| {
        let address = addr.address.as_deref()?;
        Some(Person::new(addr.name.as_deref().unwrap_or(address), address))
    };
    address.map(|list| list.iter().filter_map(known).collect()).unwrap_or_default()
}

fn instant(date: Option<&mail_parser::DateTime>) -> Option<DateTime<Utc>> {
    date.filter(|date| date.is_valid()).and_then(|date| DateTime::from_timestamp(date.to_timestamp(), 0))
}

fn ids(value: &HeaderValue<'_>) -> String {
    let list = value.as_text_list().unwrap_or_default();
    list.iter().map(|id| format!("<{id}>")).collect::<Vec<_>>().join(" ")
}

fn body(message: &Message<'_>) -> Option<Body> {
    let html = message.html_bodies().find(|part| matches!(part.body, PartType::Html(_)));
    let (part, html) = match html {
        Some(part) => (part, true),
        None => (message.text_bodies().next()?, false),
    };
    match &part.body {
        PartType::Text(text) | PartType::Html(text) => Some(Body { html, text: text.clone().into_owned() }),
        _ => None,
    }
}

/// Reads a message. Whatever cannot be made out is left out; the octets themselves are kept.
pub fn read(mime: &[u8], now: DateTime<Utc>) -> Content {
    let mut content = Content::new(Class::Message);
    content.mime = Some(mime.to_vec());
    let Some(message) = MessageParser::new().parse(mime) else { return content };
    if let Some(subject) = message.subject() {
        content.set_text("Subject", subject);
        content.set_text("ConversationTopic", message.thread_name().unwrap_or(subject));
    }
    let lists = [
        ("ToRecipients", message.to()),
        ("CcRecipients", message.cc()),
        ("BccRecipients", message.bcc()),
        ("ReplyTo", message.reply_to()),
    ];
    for (name, address) in lists {
        let found = people(address);
        if !found.is_empty() {
            content.values.insert(name, Value::People(found));
        }
    }
    for (name, address) in [("From", message.from()), ("Sender", message.sender().or(message.from()))] {
        if let Some(person) = people(address).into_iter().next() {
            content.values.insert(name, Value::Person(person));
        }
    }
    if let Some(id) = message.message_id() {
        content.set_text("InternetMessageId", format!("<{id}>"));
    }
    for (name, text) in [("InReplyTo", ids(message.in_reply_to())), ("References", ids(message.references()))] {
        if !text.is_empty() {
            content.set_text(name, text);
        }
    }
    if let Some(at) = instant(message.date()) {
        content.values.insert("DateTimeSent", Value::Instant(at));
    }
    if message.header(HeaderName::Other("Disposition-Notification-To".into())).is_some() {
        content.values.insert("IsReadReceiptRequested", Value::Bool(true));
    }
    if let Some(body) = body(&message) {
        content.values.insert("Body", Value::Body(body));
    }
    for part in message.attachments().take(ATTACHMENTS) {
        let octets = part.contents().to_vec();
        let media = part.content_type().map_or_else(
            || "application/octet-stream".to_owned(),
            |media| media.subtype().map_or_else(|| media.ctype().to_owned(), |sub| format!("{}/{sub}", media.ctype())),
        );
        let attached = match &part.body {
            PartType::Message(_) => Attached::Item(Box::new(read(&octets, now))),
            _ => Attached::File(octets),
        };
        content.attachments.push(Attachment {
            id: AttachmentId(0),
            name: part.attachment_name().unwrap_or("attachment").to_owned(),
            content_type: media,
            content_id: part.content_id().map(str::to_owned),
            inline: part.content_disposition().is_some_and(mail_parser::ContentType::is_inline),
            modified_at: now,
            attached,
        });
    }
    content
}

/// The headers of a message as it came, each with its text, at most `limit`.
pub fn headers(mime: &[u8], limit: usize) -> Vec<(String, String)> {
    let Some(message) = MessageParser::new().parse(mime) else { return Vec::new() };
    let tidy = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    message.headers_raw().take(limit).map(|(name, text)| (name.to_owned(), tidy(text))).collect()
}

fn to(list: &[Person]) -> To<'static> {
    To::new_list(list.iter().map(|person| To::new_address(Some(person.name.clone()), person.address.clone())).collect())
}

/// Writes a message. Its bytes depend on nothing but the content.
pub fn write(content: &Content, created_at: DateTime<Utc>) -> Vec<u8> {
    let mut message = MessageBuilder::new().subject(content.text("Subject").to_owned());
    let id = content.text("InternetMessageId");
    let id = if id.is_empty() {
        format!("<{:x}@exchange-sim.invalid>", created_at.timestamp_micros())
    } else {
        id.to_owned()
    };
    message = message.header("Message-ID", Raw::new(id));
    message = message.date(content.instant("DateTimeSent").unwrap_or(created_at).timestamp());
    if let Some(from) = content.person("From") {
        message = message.from(to(std::slice::from_ref(from)));
    }
    for (name, header) in
        [("ToRecipients", "To"), ("CcRecipients", "Cc"), ("ReplyTo", "Reply-To"), ("BccRecipients", "Bcc")]
    {
        let list = content.people(name);
        if !list.is_empty() {
            message = message.header(header, to(list));
        }
    }
    for (name, header) in [("InReplyTo", "In-Reply-To"), ("References", "References")] {
        let clean: String = content.text(name).chars().filter(|c| !c.is_control()).collect();
        if !clean.is_empty() {
            message = message.header(header, Raw::new(clean));
        }
    }
    let own = match content.values.get("Body") {
        Some(Value::Body(body)) if body.html => MimePart::new("text/html", body.text.clone()),
        Some(Value::Body(body)) => MimePart::new("text/plain", body.text.clone()),
        _ => MimePart::new("text/plain", String::new()),
    };
    if content.attachments.is_empty() {
        message = message.body(own);
    } else {
        let mut parts = vec![own];
        for attachment in &content.attachments {
            let mut part = match &attachment.attached {
                Attached::File(octets) => MimePart::new(attachment.content_type.clone(), octets.clone()),
                Attached::Item(item) => {
                    let inner = item.mime.clone().unwrap_or_else(|| write(item, created_at));
                    MimePart::new("message/rfc822", inner).transfer_encoding("8bit")
                }
            };
            part = if attachment.inline { part.inline() } else { part.attachment(attachment.name.clone()) };
            if let Some(id) = &attachment.content_id {
                part = part.cid(id.clone());
            }
            parts.push(part);
        }
        let separator = format!("sim_{:x}", created_at.timestamp_micros());
        let kind = ContentType::new("multipart/mixed").attribute("boundary", separator);
        message = message.body(MimePart::new(kind, parts));
    }
    message.write_to_vec().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let mut content = Content::new(Class::Message);
        content.set_text("Subject", "Grüße");
        content.set_text("InternetMessageId", "<a@b>");
        content.values.insert("From", Value::Person(Person::new("Ann", "ann@x.test")));
        content.values.insert("ToRecipients", Value::People(vec![Person::new("Bob", "bob@x.test")]));
        content.values.insert("Body", Value::Body(Body { html: false, text: "hello".into() }));
        content.attachments.push(Attachment {
            id: AttachmentId(1),
            name: "a.bin".into(),
            content_type: "application/octet-stream".into(),
            content_id: None,
            inline: false,
            modified_at: now,
            attached: Attached::File(vec![0, 255, 13, 10]),
        });
        let read = read(&write(&content, now), now);
        for name in ["Subject", "InternetMessageId", "From", "ToRecipients"] {
            assert_eq!(read.values.get(name), content.values.get(name), "{name}");
        }
        assert_eq!(read.attachments[0].attached, content.attachments[0].attached);
        assert_eq!(read.attachments[0].name, "a.bin");
        assert!(matches!(&read.values["Body"], Value::Body(body) if body.text.trim_end() == "hello" && !body.html));
    }

    #[test]
    fn any_octets_are_a_message_of_sorts() {
        let now = DateTime::from_timestamp(0, 0).unwrap();
        for mime in [&b""[..], b"\0\xff", b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"] {
            assert_eq!(read(mime, now).mime.as_deref(), Some(mime));
        }
    }
}
