//! The port's promises, kept against a real Exim; Dovecot keeps what it delivers.

use std::time::Duration;

use async_trait::async_trait;
use lockstep_connector::{
    Connector, Credentials, Target, TlsTrust,
    contract::{self, World},
};
use lockstep_model::profile::{AuthMethod, TlsMode};
use lockstep_smtp::Smtp;
use lockstep_test_support::{
    Service, Services,
    mail::{self, MailAccount},
};
use tokio::sync::Mutex;

use crate::peer::{smtp, target};

struct Exim {
    services: &'static Services,
    connector: Smtp,
    accounts: Mutex<Vec<MailAccount>>,
}

#[async_trait]
impl World for Exim {
    fn connector(&self) -> &dyn Connector {
        &self.connector
    }

    async fn mailbox(&self) -> (String, Target) {
        let account = MailAccount::create(self.services, "contract", "example.test");
        let mut target = target(self.services.submission_port(), TlsMode::StartTls, AuthMethod::Auto);
        target.credentials = Credentials::new(account.address(), account.password().to_owned().into());
        target.request_timeout = Duration::from_secs(30);
        let address = account.address().to_owned();
        self.accounts.lock().await.push(account);
        (address, target)
    }

    async fn deliver(&self, address: &str, messages: &[Vec<u8>]) {
        for message in messages {
            mail::deliver_lmtp(self.services, message, "sender@example.test", &[address]).await.unwrap();
        }
    }

    async fn messages(&self, address: &str, at_least: usize) -> Vec<Vec<u8>> {
        let accounts = self.accounts.lock().await;
        let account = accounts.iter().find(|account| account.address() == address).unwrap();
        for _ in 0..600 {
            let messages = mail::maildir_messages(self.services, account);
            if messages.len() >= at_least {
                return messages;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{at_least} messages lie in the Maildir of {address} within a minute");
    }
}

#[tokio::test]
async fn outgoing() {
    let services = Services::shared_with(&[Service::Dovecot, Service::Exim]).await;
    let connector = smtp(TlsTrust::load(Some(&services.ca_file())).unwrap());
    let world = Exim { services, connector, accounts: Mutex::default() };
    contract::outgoing(&world).await;
    contract::outgoing_by_recipient(&world).await;
}
