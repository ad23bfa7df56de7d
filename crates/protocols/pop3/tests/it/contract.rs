//! The port's promises, kept against a real Dovecot.

use async_trait::async_trait;
use lockstep_connector::{
    Connector, Credentials, Target, TlsTrust,
    contract::{self, World},
};
use lockstep_model::profile::TlsMode;
use lockstep_pop3::Pop3;
use lockstep_test_support::{
    Service, Services,
    mail::{MailAccount, deliver_lmtp, maildir_messages},
};
use tokio::sync::Mutex;

use crate::maildrop::target;

struct Dovecot {
    services: &'static Services,
    connector: Pop3,
    accounts: Mutex<Vec<MailAccount>>,
}

#[async_trait]
impl World for Dovecot {
    fn connector(&self) -> &dyn Connector {
        &self.connector
    }

    async fn mailbox(&self) -> (String, Target) {
        let account = MailAccount::create(self.services, "contract", "mail.test");
        let mut target = target(self.services.pop3s_port());
        target.endpoint.tls = TlsMode::Implicit;
        target.credentials = Credentials::new(account.address(), account.password().to_owned().into());
        let address = account.address().to_owned();
        self.accounts.lock().await.push(account);
        (address, target)
    }

    async fn deliver(&self, address: &str, messages: &[Vec<u8>]) {
        for message in messages {
            deliver_lmtp(self.services, message, "sender@mail.test", &[address]).await.unwrap();
        }
    }

    async fn messages(&self, address: &str, _at_least: usize) -> Vec<Vec<u8>> {
        let accounts = self.accounts.lock().await;
        let account = accounts.iter().find(|account| account.address() == address).unwrap();
        maildir_messages(self.services, account).iter().map(|message| with_crlf(message)).collect()
    }
}

/// Dovecot stores bare line feeds and sends CR LF.
fn with_crlf(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    for byte in message {
        if *byte == b'\n' && out.last() != Some(&b'\r') {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out
}

#[tokio::test]
async fn incoming() {
    let services = Services::shared_with(&[Service::Dovecot]).await;
    let connector = Pop3::new(TlsTrust::load(Some(&services.ca_file())).unwrap());
    contract::incoming(&Dovecot { services, connector, accounts: Mutex::default() }).await;
}
