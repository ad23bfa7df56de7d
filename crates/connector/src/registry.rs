//! The protocols a process has, by name.

use std::{collections::BTreeMap, sync::Arc};

use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    protocol::ProtocolName,
};

use crate::{descriptor::Descriptor, session::Connector};

/// Connectors by name. Filled once, at the composition root.
#[derive(Clone, Default)]
pub struct Registry {
    connectors: BTreeMap<ProtocolName, Arc<dyn Connector>>,
}

impl Registry {
    /// A registry of these connectors.
    pub fn of(connectors: impl IntoIterator<Item = Arc<dyn Connector>>) -> Self {
        Self { connectors: connectors.into_iter().map(|c| (c.descriptor().name, c)).collect() }
    }

    /// The connector of that name.
    ///
    /// # Errors
    /// A profile fault naming the protocols there are.
    pub fn get(&self, name: &ProtocolName) -> Result<&Arc<dyn Connector>, Fault> {
        self.connectors.get(name).ok_or_else(|| {
            let known = self.connectors.keys().map(ProtocolName::as_str).collect::<Vec<_>>().join(", ");
            let message = format!("there is no connector for {name}; this installation has: {known}");
            Fault::new(FaultScope::Profile, FaultClass::Refused, "UnknownProtocol", message).local()
        })
    }

    /// Every protocol's description, sorted by name.
    pub fn descriptors(&self) -> Vec<Descriptor> {
        self.connectors.values().map(|c| c.descriptor()).collect()
    }
}
