//! Messages: generated ones and those of the corpus, and ways to put them into mailboxes.

use std::{collections::BTreeSet, fmt::Write, fs, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use lockstep_model::clock::{Clock, SystemClock};
use lockstep_test_support::{
    Service,
    mail::{deliver_lmtp, deliver_maildir, deliver_smtp, maildir_messages},
};
use serde_json::Value;
use uuid::Uuid;

use crate::{Cluster, TestMailbox};

/// A generated message. Dated now.
#[derive(Debug, Clone)]
pub struct Draft {
    id: String,
    from: String,
    to: Vec<String>,
    subject: String,
    body: String,
    headers: Vec<(String, String)>,
    attachments: Vec<(String, Vec<u8>)>,
}

impl Draft {
    /// A message with a unique Message-ID.
    pub fn new(from: &str, to: &[&str], subject: &str) -> Self {
        Self {
            id: format!("{}@generated.test", Uuid::new_v4().simple()),
            from: from.to_owned(),
            to: to.iter().map(|address| (*address).to_owned()).collect(),
            subject: subject.to_owned(),
            body: format!("This is the message {subject:?}.\r\n"),
            headers: Vec::new(),
            attachments: Vec::new(),
        }
    }

    /// With this text as body.
    #[must_use]
    pub fn body(mut self, text: &str) -> Self {
        self.body = text.to_owned();
        self
    }

    /// With a further header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With an attached file.
    #[must_use]
    pub fn attachment(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.attachments.push((name.to_owned(), content.into()));
        self
    }

    /// The Message-ID, without angle brackets.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The message, with CR LF line ends.
    pub fn to_bytes(&self) -> Vec<u8> {
        let now = SystemClock::default().now().to_rfc2822();
        let mut text = String::new();
        let to = self.to.iter().map(|address| format!("<{address}>")).collect::<Vec<_>>().join(", ");
        // As a server would write it: without one, the time of receipt is taken from Date.
        let _ = write!(text, "Received: from client.test by mail.test; {now}\r\n");
        let _ = write!(text, "Message-ID: <{}>\r\nFrom: <{}>\r\nTo: {to}\r\n", self.id, self.from);
        let _ = write!(text, "Subject: {}\r\nDate: {now}\r\nMIME-Version: 1.0\r\n", self.subject);
        for (name, value) in &self.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        if self.attachments.is_empty() {
            let _ = write!(text, "Content-Type: text/plain; charset=utf-8\r\n\r\n{}", self.body);
            return text.into_bytes();
        }
        let boundary = format!("b-{}", Uuid::new_v4().simple());
        let _ = write!(text, "Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n--{boundary}\r\n");
        let _ = write!(text, "Content-Type: text/plain; charset=utf-8\r\n\r\n{}\r\n", self.body);
        for (name, content) in &self.attachments {
            let _ = write!(text, "--{boundary}\r\nContent-Type: application/octet-stream; name=\"{name}\"\r\n");
            let _ = write!(text, "Content-Disposition: attachment; filename=\"{name}\"\r\n");
            text.push_str("Content-Transfer-Encoding: base64\r\n\r\n");
            let encoded = STANDARD.encode(content);
            let mut rest = encoded.as_str();
            while !rest.is_empty() {
                let (line, more) = rest.split_at(rest.len().min(76));
                text.push_str(line);
                text.push_str("\r\n");
                rest = more;
            }
        }
        let _ = write!(text, "--{boundary}--\r\n");
        text.into_bytes()
    }
}

/// A message of the corpus.
#[derive(Debug, Clone)]
pub struct CorpusMessage {
    /// Its file name.
    pub name: String,
    /// Its bytes.
    pub raw: Vec<u8>,
    /// SMTP cannot carry it.
    pub maildir_only: bool,
    /// What a reader must find; `Null` when nothing is said.
    pub expected: Value,
}

/// Every message of the corpus, by name.
///
/// # Panics
/// When the corpus cannot be read.
pub fn corpus() -> Vec<CorpusMessage> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let expected: Value = serde_json::from_slice(&fs::read(dir.join("expect.json")).unwrap()).unwrap();
    let maildir_only: BTreeSet<&str> =
        expected["maildir_only"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut messages: Vec<CorpusMessage> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            CorpusMessage {
                raw: fs::read(&path).unwrap(),
                maildir_only: maildir_only.contains(name.as_str()),
                expected: expected["files"][&name].clone(),
                name,
            }
        })
        .collect();
    messages.sort_by(|one, other| one.name.cmp(&other.name));
    messages
}

impl Cluster {
    /// Hands a message to the mail server by SMTP.
    ///
    /// # Panics
    /// When the server does not take it.
    pub async fn deliver(&self, raw: &[u8], from: &str, to: &[&TestMailbox]) {
        let to: Vec<_> = to.iter().map(|mailbox| mailbox.address()).collect();
        if let Err(error) = deliver_smtp(self.services(Service::Exim), raw, from, &to).await {
            panic!("to {to:?}: {error}");
        }
    }

    /// Puts a message into mailboxes by LMTP, which passes on what SMTP would not.
    ///
    /// # Panics
    /// When the server does not take it.
    pub async fn deliver_lmtp(&self, raw: &[u8], from: &str, to: &[&TestMailbox]) {
        let to: Vec<_> = to.iter().map(|mailbox| mailbox.address()).collect();
        if let Err(error) = deliver_lmtp(self.services(Service::Dovecot), raw, from, &to).await {
            panic!("to {to:?}: {error}");
        }
    }

    /// Drops a message into a mailbox as a file.
    pub fn drop_into(&self, raw: &[u8], to: &TestMailbox) {
        deliver_maildir(self.services(Service::Dovecot), &to.account, raw);
    }

    /// Drops `count` small distinct messages into a mailbox; tells their Message-IDs.
    pub fn drop_many(&self, to: &TestMailbox, count: usize) -> Vec<String> {
        (0..count)
            .map(|number| {
                let draft = Draft::new("sender@outside.test", &[to.address()], &format!("Message {number}"));
                self.drop_into(&draft.to_bytes(), to);
                draft.id().to_owned()
            })
            .collect()
    }

    /// The messages that lie in a mailbox.
    pub fn maildir(&self, mailbox: &TestMailbox) -> Vec<Vec<u8>> {
        maildir_messages(self.services(Service::Dovecot), &mailbox.account)
    }
}
