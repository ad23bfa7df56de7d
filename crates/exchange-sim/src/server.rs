//! Listening: connections in, each served on its own.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{Semaphore, watch},
};

use crate::{
    auth::{Accounts, Schemes, bearer::Issuer},
    clock,
    ews::subscriptions::Subscriptions,
    http::{self, Connection},
    moods::Moods,
    tls::Tls,
    world::World,
};

/// How many connections there may be at once.
const CONNECTIONS: usize = 2_000;
/// How long a client may take to send a request's head.
const HEAD: Duration = Duration::from_secs(60);

/// Everything that requests change.
#[derive(Debug, Default)]
pub struct State {
    /// Everybody and everything.
    pub world: World,
    /// Who listens.
    pub subscriptions: Subscriptions,
    /// The faults that are switched on.
    pub moods: Moods,
}

/// The server.
#[derive(Debug)]
pub struct Server {
    /// Who may log in.
    pub accounts: Accounts,
    origin: RwLock<String>,
    /// How they may log in.
    pub schemes: Schemes,
    /// Whether NTLM may also come inside `Negotiate`.
    pub negotiate: bool,
    /// Who issues tokens to applications.
    pub issuer: Issuer,
    tls: Option<Tls>,
    state: Mutex<State>,
    /// Goes up whenever something may have happened that listeners want to hear.
    pub changed: watch::Sender<u64>,
}

impl Server {
    /// A world with a mailbox for each account.
    pub fn new(accounts: Accounts, schemes: Schemes, origin: String, tls: Option<Tls>) -> Self {
        let mut state = State::default();
        for account in accounts.all() {
            state.world.join(account.person.clone(), clock::now());
        }
        let issuer = Issuer::new(Vec::new(), Duration::ZERO);
        let (origin, state, changed) = (RwLock::new(origin), Mutex::new(state), watch::Sender::new(0));
        Self { accounts, origin, schemes, negotiate: false, issuer, tls, state, changed }
    }

    /// The same, where NTLM may also come inside `Negotiate`.
    #[must_use]
    pub fn with_negotiate(self, negotiate: bool) -> Self {
        Self { negotiate, ..self }
    }

    /// The same, with applications that are issued tokens.
    #[must_use]
    pub fn with_issuer(self, issuer: Issuer) -> Self {
        Self { issuer, ..self }
    }

    /// Where clients reach it, without a path.
    pub fn origin(&self) -> String {
        self.origin.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets Autodiscover lead there from now on.
    pub fn lead_to(&self, origin: &str) {
        origin.clone_into(&mut self.origin.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// The state, for a moment.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells listeners to look again.
    pub fn stir(&self) {
        self.changed.send_modify(|number| *number = number.wrapping_add(1));
    }

    /// Serves connections until the listener fails for good.
    ///
    /// # Errors
    /// What the listener says.
    pub async fn run(self: Arc<Self>, listener: TcpListener) -> io::Result<()> {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
            let (stream, _): (_, SocketAddr) = match listener.accept().await {
                Ok(accepted) => accepted,
                // The client gave up again; that is no fault of the listener.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            let _ = stream.set_nodelay(true);
            let server = Arc::clone(&self);
            tokio::spawn(async move {
                let _place = place;
                let Some(tls) = server.tls.clone() else { return serve(server, stream, None).await };
                // One that cannot agree with us on TLS has nothing to ask.
                if let Ok(Ok(stream)) = tokio::time::timeout(HEAD, tls.acceptor.accept(stream)).await {
                    serve(server, stream, Some(tls.binding)).await;
                }
            });
        }
    }
}

async fn serve(
    server: Arc<Server>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    binding: Option<[u8; 16]>,
) {
    let connection = Arc::new(Connection::new(binding));
    let service = service_fn(move |request| http::answer(Arc::clone(&server), Arc::clone(&connection), request));
    // A connection that breaks concerns only the one at its other end.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
