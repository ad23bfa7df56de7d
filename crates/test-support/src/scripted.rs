//! A TCP server that follows a script, for conversations no honest server would hold.

mod peer;

use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

pub use peer::Peer;
use rustls::ServerConfig;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

/// One step of a conversation, seen from the server.
#[derive(Debug, Clone)]
pub enum Step {
    /// Reads a line that must start with this text (case counts).
    Expect(String),
    /// Reads lines up to and including this one.
    ReadUntil(String),
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes one at a time, each in a packet of its own.
    Trickle(Vec<u8>),
    /// Sends these bytes again and again until the client goes away.
    Flood(Vec<u8>),
    /// Starts TLS with the server's identity.
    StartTls,
    /// Says nothing more until the client goes away.
    Stall,
    /// Resets the connection.
    Reset,
}

impl Step {
    /// Reads a line that must start with `text`.
    pub fn expect(text: &str) -> Self {
        Self::Expect(text.to_owned())
    }

    /// Sends these bytes.
    pub fn send(bytes: impl AsRef<[u8]>) -> Self {
        Self::Send(bytes.as_ref().to_vec())
    }
}

/// How a [`ScriptedServer`] treats its connections.
#[derive(Clone, Default)]
pub struct ScriptOptions {
    /// The identity for TLS, see [`crate::tls::ServerIdentity::server`].
    pub tls: Option<Arc<ServerConfig>>,
    /// TLS from the first byte.
    pub implicit_tls: bool,
    /// Sends everything one byte at a time.
    pub one_byte_chunks: bool,
}

#[derive(Debug, Default)]
struct Record {
    accepted: usize,
    open: usize,
    received: Vec<Vec<String>>,
    failures: Vec<String>,
}

/// A server on a free loopback port; it ends when dropped.
#[derive(Debug)]
pub struct ScriptedServer {
    address: SocketAddr,
    record: Arc<Mutex<Record>>,
    task: JoinHandle<()>,
}

impl ScriptedServer {
    /// Plays one script for each connection in turn; the last serves all further ones. After the last step the
    /// connection is closed.
    pub async fn play(options: ScriptOptions, scripts: Vec<Vec<Step>>) -> Self {
        assert!(!scripts.is_empty(), "a server without a script");
        let scripts = Arc::new(scripts);
        Self::start(options, move |number, mut peer| {
            let scripts = scripts.clone();
            async move {
                for step in &scripts[number.min(scripts.len() - 1)] {
                    peer.perform(step).await?;
                }
                Ok(())
            }
        })
        .await
    }

    /// Holds every conversation by a function of the connection's number (from 0) and its peer. An error it returns
    /// is kept as a failure, unless it is the client going away.
    pub async fn start<F, C>(options: ScriptOptions, converse: F) -> Self
    where
        F: Fn(usize, Peer) -> C + Send + Sync + 'static,
        C: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.and_then(|bound| Ok((bound.local_addr()?, bound)));
        let (address, listener) = listener.unwrap_or_else(|error| panic!("no port for the scripted server: {error}"));
        let record = Arc::new(Mutex::new(Record::default()));
        let task = tokio::spawn(accept(listener, options, record.clone(), Arc::new(converse)));
        Self { address, record, task }
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.record().accepted
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.record().open
    }

    /// The lines received, without line ends, for each connection.
    pub fn received(&self) -> Vec<Vec<String>> {
        self.record().received.clone()
    }

    /// What did not go by the script.
    pub fn failures(&self) -> Vec<String> {
        self.record().failures.clone()
    }

    /// # Panics
    /// When a conversation did not go by its script.
    pub fn assert_followed(&self) {
        let failures = self.failures();
        assert!(failures.is_empty(), "the script was not followed: {failures:#?}");
    }

    fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept<F, C>(listener: TcpListener, options: ScriptOptions, record: Arc<Mutex<Record>>, converse: Arc<F>)
where
    F: Fn(usize, Peer) -> C + Send + Sync + 'static,
    C: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
            Some(_) = connections.join_next() => continue,
        };
        let _ = stream.set_nodelay(true);
        let number = {
            let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
            record.accepted += 1;
            record.open += 1;
            record.received.push(Vec::new());
            record.accepted - 1
        };
        let (options, record, converse) = (options.clone(), record.clone(), converse.clone());
        connections.spawn(async move {
            let mut peer = Peer::new(stream, number, record.clone(), options.clone());
            let greeted = if options.implicit_tls { peer.start_tls().await } else { Ok(()) };
            let outcome = match greeted {
                Ok(()) => converse(number, peer).await,
                Err(error) => Err(error),
            };
            let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
            record.open -= 1;
            if let Err(error) = outcome
                && !gone(&error)
            {
                record.failures.push(format!("connection {number}: {error}"));
            }
        });
    }
}

/// The client went away while we were talking: its right.
fn gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}
