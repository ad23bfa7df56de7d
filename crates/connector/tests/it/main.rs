//! The twin in memory keeps the port's promises.
#![allow(clippy::unwrap_used)]

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use lockstep_connector::{
    Connector, Credentials, Target,
    contract::{self, World},
    memory::MemoryServer,
};
use lockstep_model::profile::{AuthMethod, Endpoint, TlsMode};

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
        };
        let credentials = Credentials::new(address.clone(), "secret".into());
        (address, Target { endpoint, credentials, request_timeout: Duration::from_secs(5), mailbox: None })
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

#[tokio::test]
async fn incoming() {
    contract::incoming(&Memory::default()).await;
}

#[tokio::test]
async fn outgoing() {
    contract::outgoing(&Memory::default()).await;
    contract::outgoing_by_recipient(&Memory::default()).await;
}
