//! Named conditions that must all hold before a role is given work.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// The longest reason that is kept, in characters.
const MAX_REASON: usize = 200;

/// The conditions of one process. Clones share them.
///
/// Not ready until at least one condition is registered and all registered ones hold; not ready again from the moment
/// the process is asked to stop.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    state: Arc<Mutex<Report>>,
}

/// What `/readyz` answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Every condition holds and the process is not stopping.
    pub ready: bool,
    /// The process was asked to stop.
    pub stopping: bool,
    /// By name.
    pub conditions: BTreeMap<String, Condition>,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// It holds.
    pub ok: bool,
    /// Why it does (not), in a few words without secrets.
    pub reason: String,
}

impl Readiness {
    /// Registers a condition, which does not hold yet. A name registered before starts anew.
    #[must_use]
    pub fn condition(&self, name: impl Into<String>) -> ConditionHandle {
        let name = name.into();
        let mut state = self.lock();
        state.conditions.insert(name.clone(), Condition { ok: false, reason: "starting".to_owned() });
        state.settle();
        drop(state);
        ConditionHandle { readiness: self.clone(), name }
    }

    /// The state of all conditions.
    #[must_use]
    pub fn report(&self) -> Report {
        self.lock().clone()
    }

    /// The process was asked to stop: no work should be sent to it from now on.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.stopping = true;
        state.settle();
    }

    fn lock(&self) -> MutexGuard<'_, Report> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Report {
    fn settle(&mut self) {
        self.ready = !self.stopping && !self.conditions.is_empty() && self.conditions.values().all(|c| c.ok);
    }
}

/// Sets one condition.
#[derive(Debug, Clone)]
pub struct ConditionHandle {
    readiness: Readiness,
    name: String,
}

impl ConditionHandle {
    /// Whether the condition holds, and why; logged when it changes. The reason is cut at 200 characters.
    pub fn set(&self, ok: bool, reason: impl Into<String>) {
        let reason: String = reason.into().chars().take(MAX_REASON).collect();
        let condition = self.name.as_str();
        let mut state = self.readiness.lock();
        let before = state.conditions.insert(self.name.clone(), Condition { ok, reason: reason.clone() });
        state.settle();
        drop(state);
        match before.is_some_and(|before| before.ok) {
            false if ok => tracing::info!(condition, reason, "condition holds"),
            true if !ok => tracing::warn!(condition, reason, "condition does not hold any more"),
            _ => {}
        }
    }
}
