//! Mail goes in by SMTP, LMTP or as a file, and is found in the Maildir and by POP3.

use std::sync::Arc;

use lockstep_test_support::{
    Service, Services, eventually,
    mail::{DeliveryError, MailAccount, deliver_lmtp, deliver_maildir, deliver_smtp, maildir_messages, pop3_count},
    tls,
};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::SOON;

async fn servers() -> &'static Services {
    Services::shared_with(&[Service::Dovecot, Service::Exim]).await
}

async fn line(stream: &mut (impl AsyncBufReadExt + Unpin)) -> String {
    let mut line = String::new();
    tokio::time::timeout(SOON, stream.read_line(&mut line)).await.unwrap().unwrap();
    line.trim_end().to_owned()
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>, command: &str) -> String {
    stream.get_mut().write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
    stream.get_mut().flush().await.unwrap();
    line(stream).await
}

/// Logs in and fetches message 1 as lines.
async fn first_message<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    account: &MailAccount,
) -> Vec<String> {
    assert_eq!(ask(stream, &format!("USER {}", account.address())).await, "+OK");
    assert_eq!(ask(stream, &format!("PASS {}", account.password())).await, "+OK Logged in.");
    assert!(ask(stream, "RETR 1").await.starts_with("+OK"));
    let mut lines = Vec::new();
    loop {
        match line(stream).await.as_str() {
            "." => return lines,
            text => lines.push(text.to_owned()),
        }
    }
}

async fn secured(stream: TcpStream, services: &Services) -> BufReader<tokio_rustls::client::TlsStream<TcpStream>> {
    let connector = TlsConnector::from(tls::client_trusting(&services.ca_file()));
    let name = ServerName::try_from("localhost").unwrap();
    BufReader::new(connector.connect(name, stream).await.unwrap())
}

/// Exim takes it, hands it to Dovecot, and POP3 over TLS shows it.
#[tokio::test]
async fn smtp_delivers_into_the_mailbox_of_each_recipient() {
    let services = servers().await;
    let (one, other) =
        (MailAccount::create(services, "one", "example.test"), MailAccount::create(services, "other", "shop.test"));
    let raw = "Subject: gr\u{fc}\u{df}e\r\nX-Long: {}\r\n\r\n.leading dot\r\n\u{e4}\u{f6}\u{fc} 8-bit\r\n.\r\nend\r\n";
    let raw = raw.replace("{}", &"a".repeat(3000));
    deliver_smtp(services, raw.as_bytes(), "sender@elsewhere.example", &[one.address(), other.address()])
        .await
        .unwrap();
    for account in [&one, &other] {
        let message = eventually(SOON, async || maildir_messages(services, account).pop(), "one message").await;
        let stored = String::from_utf8(message).unwrap().replace("\r\n", "\n");
        assert!(stored.ends_with(&raw.replace("\r\n", "\n")), "{stored}");
        assert_eq!(pop3_count(services, account).await, 1);
    }

    let plain = TcpStream::connect(("127.0.0.1", services.pop3s_port())).await.unwrap();
    let mut stream = secured(plain, services).await;
    assert!(line(&mut stream).await.starts_with("+OK"));
    let lines = first_message(&mut stream, &one).await;
    assert_eq!(lines[lines.len() - 4..], ["..leading dot", "\u{e4}\u{f6}\u{fc} 8-bit", "..", "end"]);
}

#[tokio::test]
async fn stls_leads_to_the_same_mailbox() {
    let services = servers().await;
    let account = MailAccount::create(services, "stls", "example.test");
    deliver_lmtp(services, b"Subject: x\r\n\r\nbody\r\n", "a@b.test", &[account.address()]).await.unwrap();
    let mut plain = BufReader::new(TcpStream::connect(("127.0.0.1", services.pop3_port())).await.unwrap());
    assert!(line(&mut plain).await.starts_with("+OK"));
    assert!(ask(&mut plain, "STLS").await.starts_with("+OK"));
    let mut stream = secured(plain.into_inner(), services).await;
    assert_eq!(first_message(&mut stream, &account).await.last().unwrap(), "body");
}

#[tokio::test]
async fn unknown_recipients_and_other_domains_are_refused() {
    let services = servers().await;
    let account = MailAccount::create(services, "known", "example.test");
    for (recipient, wanted) in [("nobody@example.test", "5.1.1"), ("someone@example.com", "5.7.1 relay denied")] {
        let refused = deliver_smtp(services, b"Subject: x\r\n\r\n", "a@b.test", &[account.address(), recipient]).await;
        match refused {
            Err(DeliveryError::Refused(reply)) => {
                assert_eq!(reply.code, 550);
                assert!(reply.text.starts_with(wanted), "{reply:?}");
            }
            other => panic!("{recipient}: {other:?}"),
        }
    }
    assert_eq!(maildir_messages(services, &account).len(), 0);
}

#[tokio::test]
async fn lmtp_has_delivered_when_it_returns() {
    let services = servers().await;
    let account = MailAccount::create(services, "lmtp", "example.test");
    for _ in 0..3 {
        deliver_lmtp(services, b"Subject: x\r\n\r\nbody\r\n", "a@b.test", &[account.address()]).await.unwrap();
    }
    assert_eq!(maildir_messages(services, &account).len(), 3);
}

/// No SMTP server passes such bytes.
#[tokio::test]
async fn a_file_keeps_every_byte() {
    let services = servers().await;
    let account = MailAccount::create(services, "file", "example.test");
    let raw = b"Subject: \xff\x00\n\nbare\rends\n\x00\x01\xfe".as_slice();
    deliver_maildir(services, &account, raw);
    assert_eq!(maildir_messages(services, &account), [raw]);
    assert_eq!(pop3_count(services, &account).await, 1);
}

#[tokio::test]
async fn many_accounts_work_at_once() {
    let services = servers().await;
    let accounts: Vec<_> = (0..20).map(|_| Arc::new(MailAccount::create(services, "many", "example.test"))).collect();
    let mut logins = tokio::task::JoinSet::new();
    for account in accounts {
        logins.spawn(async move { pop3_count(services, &account).await });
    }
    assert_eq!(logins.join_all().await, vec![0; 20]);
}
