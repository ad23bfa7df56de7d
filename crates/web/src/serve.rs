//! Listening, and stopping without cutting anybody off.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{api, config::WebConfig, state::AppState};

/// How long answers in progress may take once a stop was asked for.
const GRACE: Duration = Duration::from_secs(20);

/// Why the web role stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Accepting connections failed for good.
    #[error("serving failed: {0}")]
    Serve(#[source] std::io::Error),
}

/// Listens at the configured address; from then on connections wait for [`serve`].
///
/// # Errors
/// [`ServeError::Listen`].
pub async fn listen(config: &WebConfig) -> Result<TcpListener, ServeError> {
    TcpListener::bind(config.listen).await.map_err(|source| ServeError::Listen { address: config.listen, source })
}

/// Answers until `shutdown`, and then for as long as answers in progress need, but not above 20 seconds.
///
/// # Errors
/// [`ServeError::Serve`].
pub async fn serve(listener: TcpListener, state: Arc<AppState>, shutdown: CancellationToken) -> Result<(), ServeError> {
    let router = api::router(state);
    let stop = shutdown.clone();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await });
    let serving = serving.into_future();
    let cut_off = async {
        shutdown.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        done = serving => done.map_err(ServeError::Serve),
        () = cut_off => Ok(()),
    }
}
