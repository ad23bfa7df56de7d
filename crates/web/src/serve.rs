//! Listening, and stopping without cutting anybody off.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::serve::Listener;
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{HttpService, Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{api, config::WebConfig, state::AppState, transport::Peer};

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
}

/// Listens at the configured address; from then on connections wait for [`serve`].
///
/// # Errors
/// [`ServeError::Listen`].
pub async fn listen(config: &WebConfig) -> Result<TcpListener, ServeError> {
    TcpListener::bind(config.listen).await.map_err(|source| ServeError::Listen { address: config.listen, source })
}

/// Answers until `shutdown`, and then for as long as answers in progress need, but not above 20 seconds. HTTP/1.1 only:
/// the proxy before it may speak what it likes. The listener bounds how many connections there are; each of them has
/// [`crate::RequestLimits::head_timeout_seconds`] for every request's head, the first one and the next ones.
pub async fn serve(mut listener: impl Listener<Addr = SocketAddr>, state: Arc<AppState>, shutdown: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(state.limits.head_timeout());
    let service = TowerToHyperService::new(api::router(state));
    let (connections, cut) = (TaskTracker::new(), CancellationToken::new());
    let _cut_at_the_end = cut.clone().drop_guard();
    loop {
        let (stream, peer) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let service = service.clone();
        let with_peer = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer.ip()));
            service.call(request)
        });
        let connection = http.serve_connection(TokioIo::new(stream), with_peer);
        let (shutdown, cut) = (shutdown.clone(), cut.clone());
        connections.spawn(async move {
            tokio::select! {
                () = cut.cancelled() => {}
                () = answer(connection, shutdown) => {}
            }
        });
    }
    // Nobody is accepted any more, not even by the kernel.
    drop(listener);
    connections.close();
    if timeout(GRACE, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "answers in progress are cut off");
    }
}

/// One connection to its end; the answer in progress is its last one once `shutdown` is asked for.
async fn answer<S, A>(connection: http1::Connection<TokioIo<S>, A>, shutdown: CancellationToken)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    A: HttpService<Incoming, ResBody = axum::body::Body>,
    A::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
