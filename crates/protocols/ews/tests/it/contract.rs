//! The port's promises, kept against the simulated Exchange. Those about single recipients' answers are not: the protocol
//! has none; what else is promised of sending stands in `sending`.

use async_trait::async_trait;
use exchange_sim::auth::Schemes;
use lockstep_connector::{
    Connector, Target,
    contract::{self, FolderWorld, World},
};
use lockstep_ews::Ews;

use crate::simulator::Sim;

struct Simulated {
    sim: Sim,
    connector: Ews,
}

#[async_trait]
impl World for Simulated {
    fn connector(&self) -> &dyn Connector {
        &self.connector
    }

    async fn mailbox(&self) -> (String, Target) {
        self.sim.fresh()
    }

    async fn deliver(&self, address: &str, messages: &[Vec<u8>]) {
        self.sim.deliver(address, messages);
    }

    async fn messages(&self, address: &str, at_least: usize) -> Vec<Vec<u8>> {
        let messages = self.sim.messages(address, "inbox");
        assert!(messages.len() >= at_least);
        messages
    }
}

#[async_trait]
impl FolderWorld for Simulated {
    async fn lay_sent(&self, address: &str, message: &[u8]) {
        self.sim.lay(address, "sentitems", &[message.to_vec()]);
    }

    async fn sent(&self, address: &str) -> Vec<Vec<u8>> {
        self.sim.messages(address, "sentitems")
    }

    async fn filed(&self, address: &str, name: &str) -> Vec<Vec<u8>> {
        self.sim.filed(address, name)
    }
}

/// F8, H5, B23: sent messages are read apart from the inbox, copies are kept where they are wanted, and messages move
/// into a folder and back, once.
#[tokio::test]
async fn folders() {
    contract::folders(&world(true, false).await).await;
}

async fn world(ntlm: bool, tls: bool) -> Simulated {
    let sim = Sim::with(Schemes { basic: !ntlm, ntlm }, tls).await;
    let connector = sim.connector();
    Simulated { sim, connector }
}

#[tokio::test]
async fn outgoing_by_either() {
    contract::outgoing(&world(true, false).await).await;
    contract::outgoing(&world(false, true).await).await;
}

#[tokio::test]
async fn incoming_by_ntlm() {
    contract::incoming(&world(true, false).await).await;
}

#[tokio::test]
async fn incoming_by_basic_over_tls() {
    contract::incoming(&world(false, true).await).await;
}

/// J7: items of every kind are made, read, listed, changed and deleted, each change on the state that was
/// read; series with their exceptions, whole days over the edge of summer time.
#[tokio::test]
async fn items() {
    contract::items(&world(true, false).await).await;
}
