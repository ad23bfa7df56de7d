//! A meter on the wire: passes on whatever goes through it and counts bytes and requests; on demand it keeps the requests.

use std::{
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// What a request begins with. No body of ours holds it.
const METHOD: &[u8] = b"POST /";
/// What is kept of one connection's requests, at most.
const KEPT: usize = 1 << 20;

/// The meter.
pub(crate) struct Meter {
    /// Where it listens.
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

/// Counted so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) requests: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

#[derive(Default)]
struct Shared {
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    keeps: AtomicBool,
    kept: Mutex<Vec<Vec<u8>>>,
}

impl Meter {
    /// Starts one before a port of this machine.
    pub(crate) async fn in_front_of(target: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port for the meter")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        let of_all = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, target, Arc::clone(&of_all)));
            }
        });
        Ok(Self { port, shared })
    }

    /// What has been counted.
    pub(crate) fn read(&self) -> Reading {
        Reading {
            requests: self.shared.requests.load(Ordering::Relaxed),
            sent: self.shared.sent.load(Ordering::Relaxed),
            received: self.shared.received.load(Ordering::Relaxed),
        }
    }

    /// From now on the requests of new connections are kept.
    pub(crate) fn keep(&self) {
        self.shared.keeps.store(true, Ordering::Relaxed);
    }

    /// Keeps no more; the requests of each connection that ended meanwhile.
    pub(crate) fn kept(&self) -> Vec<Vec<u8>> {
        self.shared.keeps.store(false, Ordering::Relaxed);
        mem::take(&mut *self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn pass(client: TcpStream, target: u16, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    let keeps = shared.keeps.load(Ordering::Relaxed);
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let mut requests = Vec::new();
    let mut tail = Vec::new();
    tokio::join!(
        forward(from_client, to_server, |bytes| {
            shared.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            // A request's first bytes may be cut in two.
            tail.extend_from_slice(bytes);
            let begun = tail.windows(METHOD.len()).filter(|window| *window == METHOD).count();
            shared.requests.fetch_add(begun as u64, Ordering::Relaxed);
            tail.drain(..tail.len().saturating_sub(METHOD.len() - 1));
            if keeps && requests.len() + bytes.len() <= KEPT {
                requests.extend_from_slice(bytes);
            }
        }),
        forward(from_server, to_client, |bytes| {
            shared.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }),
    );
    if keeps {
        shared.kept.lock().unwrap_or_else(PoisonError::into_inner).push(requests);
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut see: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        see(&buffer[..read]);
        if to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}
