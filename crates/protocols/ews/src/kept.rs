//! What is kept for a while between sessions, and never too much of it.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Values by their keys, each for a life time, at most so many. It is a cache: a full one loses its oldest.
#[derive(Debug)]
pub(crate) struct Kept<K, V> {
    most: usize,
    life: Duration,
    values: Mutex<HashMap<K, (V, Instant)>>,
}

impl<K: Eq + Hash + Clone, V: Clone> Kept<K, V> {
    pub(crate) fn new(most: usize, life: Duration) -> Self {
        Self { most, life, values: Mutex::default() }
    }

    /// The value, if it is there and has not outlived itself.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.get(key).filter(|(_, since)| since.elapsed() < self.life).map(|(value, _)| value.clone())
    }

    pub(crate) fn put(&self, key: K, value: V) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        if values.len() >= self.most && !values.contains_key(&key) {
            values.retain(|_, (_, since)| since.elapsed() < self.life);
        }
        if values.len() >= self.most && !values.contains_key(&key) {
            let oldest = values.iter().min_by_key(|(_, (_, since))| *since).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| values.remove(&oldest));
        }
        values.insert(key, (value, Instant::now()));
    }

    pub(crate) fn forget(&self, key: &K) {
        self.values.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn values_have_a_life_and_a_bound() {
        let kept = Kept::new(2, Duration::from_secs(10));
        kept.put("a", 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        kept.put("b", 2);
        tokio::time::advance(Duration::from_secs(1)).await;
        kept.put("a", 3);
        tokio::time::advance(Duration::from_secs(1)).await;
        kept.put("c", 4);
        assert_eq!((kept.get(&"a"), kept.get(&"b"), kept.get(&"c")), (Some(3), None, Some(4)), "the oldest went");
        kept.forget(&"a");
        assert_eq!(kept.get(&"a"), None);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(kept.get(&"c"), None);
    }
}
