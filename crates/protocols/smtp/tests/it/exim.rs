//! Against a real server: Exim takes the messages, Dovecot keeps them, and the tests look into the Maildirs.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use lockstep_connector::{Connector, Credentials, Envelope, Session, TlsTrust, session::Target};
use lockstep_model::{
    fault::{FaultClass, FaultScope},
    profile::{AuthMethod, TlsMode},
};
use lockstep_test_support::{Service, Services, eventually, mail};
use mail::MailAccount;
use tokio::io::{AsyncRead, ReadBuf};

use crate::peer::{Gate, body, kind, minute, smtp, target};

async fn services() -> &'static Services {
    Services::shared_with(&[Service::Dovecot, Service::Exim]).await
}

fn target_at(services: &Services, account: &MailAccount, tls: TlsMode, auth: AuthMethod) -> Target {
    let port = if tls == TlsMode::Implicit { services.submissions_port() } else { services.submission_port() };
    let mut target = target(port, tls, auth);
    target.credentials = Credentials::new(account.address(), account.password().to_owned().into());
    target.request_timeout = Duration::from_secs(30);
    target
}

async fn open(services: &Services, target: &Target) -> Box<dyn Session> {
    let trust = TlsTrust::load(Some(&services.ca_file())).unwrap();
    smtp(trust).open(target, &minute()).await.unwrap()
}

fn account(services: &Services, hint: &str) -> MailAccount {
    MailAccount::create(services, hint, "example.test")
}

fn envelope(from: &MailAccount, to: &[&str], size: Option<u64>) -> Envelope {
    let to = to.iter().map(|address| (*address).to_owned()).collect();
    Envelope { from: from.address().to_owned(), to, size, save_copy: true }
}

async fn arrived(services: &Services, account: &MailAccount, count: usize) -> Vec<Vec<u8>> {
    let look = async || {
        let messages = mail::maildir_messages(services, account);
        if messages.len() == count { Ok(messages) } else { Err(format!("{} messages", messages.len())) }
    };
    eventually(Duration::from_secs(60), look, "the messages lie in the Maildir").await
}

/// Header and body as stored: Dovecot keeps bare line feeds.
fn parts(message: &[u8]) -> (String, &[u8]) {
    let end = message.windows(2).position(|pair| pair == b"\n\n").expect("a header ends");
    (String::from_utf8_lossy(&message[..end]).into_owned(), &message[end + 2..])
}

/// A5: a message sent with each way to protect and to log in arrives with the right envelope and header.
#[tokio::test]
async fn a5_a_message_arrives_with_its_envelope_and_header() {
    let services = services().await;
    let ann = account(services, "ann");
    for (tls, auth) in [
        (TlsMode::StartTls, AuthMethod::Auto),
        (TlsMode::StartTls, AuthMethod::Login),
        (TlsMode::Implicit, AuthMethod::Auto),
        (TlsMode::Implicit, AuthMethod::Plain),
    ] {
        let bob = account(services, "bob");
        let mut session = open(services, &target_at(services, &ann, tls, auth)).await;
        let message = "From: Ann <shown@elsewhere.test>\r\nTo: everybody:;\r\nSubject: caf\u{e9}\r\n\
                       Message-ID: <a5@client.test>\r\n\r\nna\u{ef}ve\r\n";
        let envelope = envelope(&ann, &[bob.address()], Some(message.len() as u64));
        let mut gate = Gate::default();
        let receipt = session.send(&envelope, body(message.as_bytes()), &mut gate, &minute()).await.unwrap();
        assert!(receipt.reply.starts_with("250 OK id="), "{}", receipt.reply);
        assert!(receipt.recipients.iter().all(|r| r.result.is_ok()));
        assert_eq!(gate.asked(), [receipt.recipients]);
        session.close(&minute()).await.unwrap();

        let (header, text) =
            arrived(services, &bob, 1).await.pop().map(|m| (parts(&m).0, parts(&m).1.to_vec())).unwrap();
        assert!(header.contains(&format!("Return-Path: <{}>", ann.address())), "the reverse path: {header}");
        assert!(header.contains(&format!("Delivered-To: {}", bob.address())), "the forward path: {header}");
        assert!(header.contains("From: Ann <shown@elsewhere.test>\nTo: everybody:;\nSubject: caf\u{e9}"), "{header}");
        assert!(header.contains("Message-ID: <a5@client.test>"));
        assert_eq!(text, "na\u{ef}ve\n".as_bytes());
    }
}

#[tokio::test]
async fn a_wrong_password_concerns_the_account() {
    let services = services().await;
    let ann = account(services, "ann");
    for auth in [AuthMethod::Plain, AuthMethod::Login] {
        let mut target = target_at(services, &ann, TlsMode::StartTls, auth);
        target.credentials = Credentials::new(ann.address(), "not it".to_owned().into());
        let trust = TlsTrust::load(Some(&services.ca_file())).unwrap();
        let fault = smtp(trust).open(&target, &minute()).await.err().unwrap();
        assert_eq!(kind(&fault), (FaultScope::Mailbox, FaultClass::Auth, "OutgoingEmailAuthenticationError"));
        assert!(fault.message.starts_with("535"), "{}", fault.message);
    }
}

/// H9: an unknown recipient among good ones keeps its own answer; the good ones get the message, once.
#[tokio::test]
async fn h9_an_unknown_recipient_among_good_ones() {
    let services = services().await;
    let (ann, bob, cid) = (account(services, "ann"), account(services, "bob"), account(services, "cid"));
    let mut session = open(services, &target_at(services, &ann, TlsMode::StartTls, AuthMethod::Auto)).await;
    let envelope =
        envelope(&ann, &[bob.address(), "nobody-at-all@example.test", "x@outside.invalid", cid.address()], None);
    let mut gate = Gate::default();
    let receipt = session.send(&envelope, body(b"Subject: h9\r\n\r\nx"), &mut gate, &minute()).await.unwrap();
    let answers: Vec<_> = receipt.recipients.iter().map(|r| r.result.as_ref().err()).collect();
    assert!(answers[0].is_none() && answers[3].is_none());
    for (answer, words) in [(answers[1], "550 5.1.1"), (answers[2], "550 5.7.1")] {
        let fault = answer.unwrap();
        assert_eq!(kind(fault), (FaultScope::Item, FaultClass::Refused, "RecipientRefused"));
        assert!(fault.message.starts_with(words), "{}", fault.message);
    }
    session.close(&minute()).await.unwrap();
    for good in [&bob, &cid] {
        assert_eq!(arrived(services, good, 1).await.len(), 1);
    }
}

/// H9: nobody accepted, then another message on the same session.
#[tokio::test]
async fn h9_nobody_accepted_and_then_another_message() {
    let services = services().await;
    let (ann, bob) = (account(services, "ann"), account(services, "bob"));
    let mut session = open(services, &target_at(services, &ann, TlsMode::StartTls, AuthMethod::Auto)).await;
    let mut gate = Gate::default();
    let nobody = envelope(&ann, &["nobody-1@example.test", "nobody-2@example.test"], None);
    let receipt = session.send(&nobody, body(b"Subject: none\r\n\r\nx"), &mut gate, &minute()).await.unwrap();
    assert!(receipt.recipients.iter().all(|r| r.result.is_err()));
    assert!(gate.asked().is_empty());
    let to_bob = envelope(&ann, &[bob.address()], None);
    session.send(&to_bob, body(b"Subject: some\r\n\r\nx"), &mut gate, &minute()).await.unwrap();
    session.close(&minute()).await.unwrap();
    assert!(parts(&arrived(services, &bob, 1).await[0]).0.contains("Subject: some"));
}

#[tokio::test]
async fn dots_survive_and_sessions_are_used_again() {
    let services = services().await;
    let (ann, bob) = (account(services, "ann"), account(services, "bob"));
    let mut session = open(services, &target_at(services, &ann, TlsMode::Implicit, AuthMethod::Auto)).await;
    let text = ".\r\n..\r\n.one\r\n..two\r\nQUIT\r\n.\r\n\r\nMAIL FROM:<evil@example.test>\r\nend.\r\n.";
    for number in 1..=2 {
        let message = format!("Subject: dots {number}\r\n\r\n{text}");
        let envelope = envelope(&ann, &[bob.address()], Some(message.len() as u64));
        session.send(&envelope, body(message.as_bytes()), &mut Gate::default(), &minute()).await.unwrap();
    }
    session.close(&minute()).await.unwrap();
    let messages = arrived(services, &bob, 2).await;
    let mut subjects = Vec::new();
    for message in &messages {
        let (header, stored) = parts(message);
        subjects.extend(header.lines().filter(|line| line.starts_with("Subject")).map(str::to_owned));
        assert_eq!(String::from_utf8_lossy(stored), format!("{}\n", text.replace("\r\n", "\n")));
    }
    subjects.sort();
    assert_eq!(subjects, ["Subject: dots 1", "Subject: dots 2"]);
}

/// A closed gate: Exim throws the whole message away, and the recipient never sees it.
#[tokio::test]
async fn a_closed_gate_delivers_nothing() {
    let services = services().await;
    let (ann, bob) = (account(services, "ann"), account(services, "bob"));
    let target = target_at(services, &ann, TlsMode::StartTls, AuthMethod::Auto);
    let envelope = envelope(&ann, &[bob.address()], None);
    let mut first = open(services, &target).await;
    let sent = first.send(&envelope, body(b"Subject: never\r\n\r\nx"), &mut Gate::closed(), &minute()).await;
    assert_eq!(sent.unwrap_err().code, "LeaseLost");
    first.close(&minute()).await.unwrap();
    let mut second = open(services, &target).await;
    second.send(&envelope, body(b"Subject: marker\r\n\r\nx"), &mut Gate::default(), &minute()).await.unwrap();
    second.close(&minute()).await.unwrap();
    assert!(parts(&arrived(services, &bob, 1).await[0]).0.contains("Subject: marker"));
}

/// A message made while it is read: numbered lines up to a size, in pieces of odd lengths.
struct Numbered {
    position: u64,
    size: u64,
}

const HEADER: &[u8] = b"Subject: large\r\n\r\n";
/// `.0000000 ` and filling, 62 characters, and CR LF.
const LINE: u64 = 64;

impl Numbered {
    fn byte(position: u64) -> u8 {
        let header = HEADER.len() as u64;
        if position < header {
            return HEADER[usize::try_from(position).unwrap()];
        }
        let (line, column) = ((position - header) / LINE, (position - header) % LINE);
        match column {
            0 => b'.',
            1..=7 => b'0' + u8::try_from(line / 10u64.pow(7 - u32::try_from(column).unwrap()) % 10).unwrap(),
            62 => b'\r',
            63 => b'\n',
            _ => b'x',
        }
    }
}

impl AsyncRead for Numbered {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let piece = (self.position % 7_919 + 1).min(self.size - self.position).min(buf.remaining() as u64);
        let bytes: Vec<u8> = (self.position..self.position + piece).map(Self::byte).collect();
        buf.put_slice(&bytes);
        self.position += piece;
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn twenty_megabytes_are_streamed_and_arrive_as_they_were() {
    let services = services().await;
    let (ann, bob) = (account(services, "ann"), account(services, "bob"));
    let mut session = open(services, &target_at(services, &ann, TlsMode::StartTls, AuthMethod::Auto)).await;
    let size = HEADER.len() as u64 + 20 * 1024 * 1024 / LINE * LINE;
    let envelope = envelope(&ann, &[bob.address()], Some(size));
    let large = Box::pin(Numbered { position: 0, size });
    session.send(&envelope, large, &mut Gate::default(), &minute()).await.unwrap();
    session.close(&minute()).await.unwrap();
    let message = arrived(services, &bob, 1).await.pop().unwrap();
    let stored = parts(&message).1;
    let sent: Vec<u8> = (HEADER.len() as u64..size).map(Numbered::byte).filter(|byte| *byte != b'\r').collect();
    assert_eq!(stored.len(), sent.len());
    assert!(stored == sent, "byte for byte");
}
