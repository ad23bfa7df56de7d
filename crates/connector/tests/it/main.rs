//! The twin in memory keeps the port's promises.
#![allow(clippy::unwrap_used)]

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use lockstep_connector::{
    Connector, Credentials, Target,
    contract::{self, FolderWorld, World},
    memory::MemoryServer,
};
use lockstep_model::{
    profile::{AuthMethod, Endpoint, TlsMode},
    remote::MailFolder,
};

#[derive(Default)]
struct Memory {
    server: MemoryServer,
    made: AtomicUsize,
}

#[async_trait]
impl World for Memory {
    fn connector(&self) -> &dyn Connector {
        &self.server
    }

    async fn mailbox(&self) -> (String, Target) {
        let address = format!("{}@example.test", self.made.fetch_add(1, Ordering::Relaxed));
        self.server.add_account(&address, "secret");
        let endpoint = Endpoint {
            protocol: self.server.descriptor().name,
            host: "localhost".to_owned(),
            port: 1,
            tls: TlsMode::Implicit,
            auth: AuthMethod::Auto,
            path: None,
        };
        let credentials = Credentials::new(address.clone(), "secret".into());
        let target = Target {
            endpoint,
            credentials,
            request_timeout: Duration::from_secs(5),
            search: None,
            application: None,
            mailbox: None,
        };
        (address, target)
    }

    async fn deliver(&self, address: &str, messages: &[Vec<u8>]) {
        for message in messages {
            assert!(self.server.deliver(address, message));
        }
    }

    async fn messages(&self, address: &str, _at_least: usize) -> Vec<Vec<u8>> {
        self.server.messages(address)
    }
}

#[async_trait]
impl FolderWorld for Memory {
    async fn lay_sent(&self, address: &str, message: &[u8]) {
        assert!(self.server.lay(address, MailFolder::Sent, message));
    }

    async fn sent(&self, address: &str) -> Vec<Vec<u8>> {
        self.server.lying(address, MailFolder::Sent)
    }

    async fn filed(&self, address: &str, name: &str) -> Vec<Vec<u8>> {
        self.server.filed(address, name)
    }
}

#[tokio::test]
async fn folders() {
    contract::folders(&Memory::default()).await;
}

#[tokio::test]
async fn incoming() {
    contract::incoming(&Memory::default()).await;
}

#[tokio::test]
async fn outgoing() {
    contract::outgoing(&Memory::default()).await;
    contract::outgoing_by_recipient(&Memory::default()).await;
}
