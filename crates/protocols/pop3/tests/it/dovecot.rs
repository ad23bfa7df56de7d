//! The connector against a real Dovecot.

use std::path::Path;

use lockstep_connector::{Connector, Credentials, Session, Target, TlsTrust};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    profile::{AuthMethod, TlsMode},
    remote::Cursor,
};
use lockstep_pop3::Pop3;
use lockstep_test_support::{
    Service, Services,
    mail::{MailAccount, deliver_lmtp, deliver_maildir, pop3_count},
    tls::ServerIdentity,
};
use tokio::io::AsyncReadExt;

use crate::{
    known::Memory,
    listing::ALL,
    maildrop::{deadline, header, raw, target},
};

struct World {
    services: &'static Services,
    account: MailAccount,
}

impl World {
    async fn with(messages: usize) -> Self {
        let services = Services::shared_with(&[Service::Dovecot]).await;
        let account = MailAccount::create(services, "pop3", "mail.test");
        let this = Self { services, account };
        for n in 1..=messages {
            this.deliver(&raw(n)).await;
        }
        this
    }

    async fn deliver(&self, raw: &[u8]) {
        deliver_lmtp(self.services, raw, "sender@mail.test", &[self.account.address()]).await.unwrap();
    }

    fn target(&self, tls: TlsMode, auth: AuthMethod) -> Target {
        let implicit = tls == TlsMode::Implicit;
        let mut target = target(if implicit { self.services.pop3s_port() } else { self.services.pop3_port() });
        target.endpoint.tls = tls;
        target.endpoint.auth = auth;
        target.credentials = Credentials::new(self.account.address(), self.account.password().to_owned().into());
        target
    }

    async fn open_as(&self, target: &Target, ca: &Path) -> Result<Box<dyn Session>, Fault> {
        Pop3::new(TlsTrust::load(Some(ca)).unwrap()).open(target, &deadline()).await
    }

    async fn open(&self) -> Box<dyn Session> {
        let target = self.target(TlsMode::StartTls, AuthMethod::Auto);
        self.open_as(&target, &self.services.ca_file()).await.unwrap()
    }
}

async fn read(session: &mut Box<dyn Session>, head: &lockstep_connector::RemoteHead) -> Vec<u8> {
    let mut message = Vec::new();
    session.fetch(head, &deadline()).await.unwrap().read_to_end(&mut message).await.unwrap();
    message
}

#[tokio::test]
async fn every_protection_with_every_method() {
    let world = World::with(1).await;
    for tls in [TlsMode::Implicit, TlsMode::StartTls, TlsMode::Plain] {
        for auth in [AuthMethod::Auto, AuthMethod::Login, AuthMethod::Plain] {
            let target = world.target(tls, auth);
            let mut session = world.open_as(&target, &world.services.ca_file()).await.unwrap();
            let delta = session.pull(&Cursor::default(), &Memory::default(), ALL, &deadline()).await.unwrap();
            assert_eq!(delta.heads.len(), 1, "{tls:?} {auth:?}");
            session.close(&deadline()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_unauthorized() {
    let world = World::with(0).await;
    for auth in [AuthMethod::Auto, AuthMethod::Login, AuthMethod::Plain] {
        let mut target = world.target(TlsMode::Implicit, auth);
        target.credentials = Credentials::new(world.account.address(), "wrong-one".to_owned().into());
        let fault = world.open_as(&target, &world.services.ca_file()).await.err().unwrap();
        assert_eq!((fault.scope, fault.class), (FaultScope::Mailbox, FaultClass::Auth), "{fault}");
        assert_eq!(fault.code, "Unauthorized");
    }
}

#[tokio::test]
async fn an_authority_that_did_not_sign_is_not_believed() {
    let world = World::with(0).await;
    let other = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(other.path(), ServerIdentity::new(&["localhost"]).authority_pem()).unwrap();
    for tls in [TlsMode::Implicit, TlsMode::StartTls] {
        let target = world.target(tls, AuthMethod::Auto);
        let fault = world.open_as(&target, other.path()).await.err().unwrap();
        assert_eq!((fault.scope, fault.class), (FaultScope::Profile, FaultClass::Unreachable), "{fault}");
        assert_eq!(fault.code, "SecureConnectionFailed");
    }
}

#[tokio::test]
async fn what_was_delivered_is_what_is_read() {
    let world = World::with(0).await;
    let long_line = [b"A: 1\r\n\r\n".to_vec(), vec![b'x'; 200_000], b"\r\n".to_vec()].concat();
    let messages: [&[u8]; 4] = [
        b"Subject: dots\r\n\r\n.\r\n..\r\n.end\r\n",
        b"Subject: 8 bit\r\n\r\n\xff\xfe caf\xc3\xa9\r\n",
        b"Subject: no body\r\n\r\n",
        &long_line,
    ];
    for message in messages {
        deliver_maildir(world.services, &world.account, message);
    }
    let mut session = world.open().await;
    let delta = session.pull(&Cursor::default(), &Memory::default(), ALL, &deadline()).await.unwrap();
    assert_eq!(delta.heads.len(), messages.len());
    let headers = session.headers(&delta.heads, &deadline()).await.unwrap().whole().unwrap();
    let mut read_all = Vec::new();
    for (head, block) in delta.heads.iter().zip(headers) {
        let message = read(&mut session, head).await;
        assert!(message.starts_with(&block.unwrap()));
        assert_eq!(head.size, message.len() as u64);
        read_all.push(message);
    }
    session.close(&deadline()).await.unwrap();
    let mut wanted: Vec<Vec<u8>> = messages.iter().map(|message| message.to_vec()).collect();
    // Files of one second have no order among themselves.
    wanted.sort();
    read_all.sort();
    assert_eq!(read_all, wanted);
}

#[tokio::test]
async fn a_cycle_and_the_next_one() {
    let world = World::with(7).await;
    let mut known = Memory::default();
    let mut first = world.open().await;
    let limits = lockstep_connector::Limits { items: 3, bytes: u64::MAX };
    let mut cursor = None;
    let mut sizes = Vec::new();
    while cursor.is_none() {
        let page = first.pull(&Cursor::default(), &known, limits, &deadline()).await.unwrap();
        let blocks = first.headers(&page.heads, &deadline()).await.unwrap().whole().unwrap();
        for (head, block) in page.heads.iter().zip(blocks) {
            let message = read(&mut first, head).await;
            let n = head.handle as usize;
            // Delivery puts a field of its own before the header.
            assert!(message.ends_with(&raw(n)) && block.unwrap().ends_with(&header(n)));
        }
        known.commit(&page);
        sizes.push(page.heads.len());
        cursor = page.cursor;
    }
    first.close(&deadline()).await.unwrap();
    assert_eq!(sizes, [3, 3, 1]);

    let mut second = world.open().await;
    let cursor = cursor.unwrap();
    assert!(second.pull(&cursor, &known, limits, &deadline()).await.unwrap().is_empty());
    second.close(&deadline()).await.unwrap();

    world.deliver(&raw(8)).await;
    let mut third = world.open().await;
    let delta = third.pull(&cursor, &known, limits, &deadline()).await.unwrap();
    assert_eq!((delta.heads.len(), delta.absent.len()), (1, 0));
    assert!(read(&mut third, &delta.heads[0]).await.ends_with(&raw(8)));
    third.close(&deadline()).await.unwrap();
}

#[tokio::test]
async fn deletions_take_effect_with_quit_only() {
    let world = World::with(3).await;
    let mut dropped = world.open().await;
    let heads = dropped.pull(&Cursor::default(), &Memory::default(), ALL, &deadline()).await.unwrap().heads;
    let keys: Vec<_> = heads.iter().take(2).map(|head| head.key.clone()).collect();
    dropped.delete(&keys, &deadline()).await.unwrap();
    drop(dropped);
    assert_eq!(pop3_count(world.services, &world.account).await, 3);

    let mut closed = world.open().await;
    closed.delete(&keys, &deadline()).await.unwrap();
    closed.close(&deadline()).await.unwrap();
    assert_eq!(pop3_count(world.services, &world.account).await, 1);

    let mut last = world.open().await;
    let left = last.pull(&Cursor::default(), &Memory::default(), ALL, &deadline()).await.unwrap().heads;
    assert_eq!(left.iter().map(|head| &head.key).collect::<Vec<_>>(), [&heads[2].key]);
    last.close(&deadline()).await.unwrap();
}
