//! The stream of nudges the scheduler sleeps on. A nudge is only a hint: a lost one costs one polling period.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};

use crate::{Result, Store, WAKE_CHANNEL};

/// Longest wait for the listener's connection.
const ACQUIRE_WITHIN: Duration = Duration::from_secs(10);

/// Listens on its own connection. Reconnects by itself; a reconnect counts as a nudge, because notices may have been
/// lost meanwhile.
pub struct Nudges {
    listener: PgListener,
}

impl Nudges {
    /// Starts listening. Do this before the first look at what is due.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn listen(store: &Store) -> Result<Self> {
        // A pool of one, so that listening takes no connection from those who work.
        let options = store.pool.connect_options().as_ref().clone();
        let own = PgPoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_WITHIN).connect_lazy_with(options);
        let mut listener = PgListener::connect_with(&own).await?;
        listener.listen(WAKE_CHANNEL).await?;
        Ok(Self { listener })
    }

    /// Waits for a nudge.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`] when the connection could not be had again; listen anew after a pause.
    pub async fn next(&mut self) -> Result<()> {
        self.listener.try_recv().await?;
        Ok(())
    }
}
