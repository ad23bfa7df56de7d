//! Contacts, tasks and appointments on Exchange: what a cycle costs that finds nothing, and how long the first
//! synchronization takes.

pub(crate) mod first;
pub(crate) mod idle;
mod meter;
pub(crate) mod replay;
mod statements;

use lockstep_e2e::{Cluster, Exchange};
use serde_json::json;
use uuid::Uuid;

/// The fields of a mailbox whose contacts, tasks and appointments are synchronised and whose email is not.
fn mailbox_of(name: &str, profile: Uuid) -> serde_json::Value {
    json!({
        "profile_id": profile, "allow_credentials": true, "login": format!("{name}@exchange.test"), "password": "secret",
        "incoming_method": "none", "outgoing_method": "none", "act_method": "server-side",
    })
}

async fn profile(exchange: &Exchange, cluster: &Cluster, port: u16) -> Uuid {
    exchange.profile(cluster, port, json!({ "credentials": "mailbox" })).await
}
