//! A listener with bounds on its connections: how many, how long they live, how long their peers may keep them waiting.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// What the connections of a listener may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Open at one time, at least 1; more wait in the kernel's queue.
    pub connections: usize,
    /// A connection is closed after this, however busy it is. `None` where long uploads and answers are wanted.
    pub life: Option<Duration>,
    /// A connection is closed when its peer has taken nothing of what there is to send for so long.
    pub stall: Duration,
}

/// Accepts connections within [`Bounds`].
#[derive(Debug)]
pub struct BoundedListener {
    inner: TcpListener,
    bounds: Bounds,
    places: Arc<Semaphore>,
}

impl BoundedListener {
    /// Puts bounds around a listener.
    #[must_use]
    pub fn new(inner: TcpListener, bounds: Bounds) -> Self {
        let places = Arc::new(Semaphore::new(bounds.connections.clamp(1, Semaphore::MAX_PERMITS)));
        Self { inner, bounds, places }
    }
}

impl Listener for BoundedListener {
    type Io = BoundedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (BoundedStream, SocketAddr) {
        // The semaphore is never closed; without a permit the connection is merely not counted.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (inner, peer) = Listener::accept(&mut self.inner).await;
        let end = self.bounds.life.map(|life| Box::pin(sleep(life)));
        (BoundedStream { inner, end, stall: self.bounds.stall, stalled: None, _place: place }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A connection that ends by itself. Its place is free when it is dropped.
#[derive(Debug)]
pub struct BoundedStream {
    inner: TcpStream,
    end: Option<Pin<Box<Sleep>>>,
    stall: Duration,
    /// Runs while the peer takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl BoundedStream {
    fn poll_alive(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.end.as_mut().map(|end| end.as_mut().poll(cx)) {
            Some(Poll::Ready(())) => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }

    /// What a write came to, and whether the peer has let it wait too long.
    fn unless_stalled<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stall = self.stall;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_alive(cx)?;
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_alive(cx)?;
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.unless_stalled(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::{Instant, pause, timeout};

    use super::*;

    async fn listener(life: Option<Duration>) -> BoundedListener {
        let bounds = Bounds { connections: 3, life, stall: Duration::from_secs(20) };
        BoundedListener::new(TcpListener::bind("127.0.0.1:0").await.unwrap(), bounds)
    }

    #[tokio::test]
    async fn connections_are_bounded_in_number_and_life() {
        let mut listener = listener(Some(Duration::from_secs(60))).await;
        let address = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        let mut streams = Vec::new();
        for _ in 0..3 {
            clients.push(TcpStream::connect(address).await.unwrap());
            streams.push(listener.accept().await.0);
        }
        clients.push(TcpStream::connect(address).await.unwrap());
        // From here on time passes as soon as nothing else can happen.
        pause();
        assert!(timeout(Duration::from_secs(5), listener.accept()).await.is_err());
        let mut first = streams.swap_remove(0);
        let error = first.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(first);
        let _ = listener.accept().await;
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_cut_and_a_quiet_one_is_not() {
        let mut listener = listener(None).await;
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut stream = listener.accept().await.0;
        pause();
        assert!(timeout(Duration::from_secs(3600), stream.read_u8()).await.is_err(), "it may stay quiet");
        let (begun, bytes) = (Instant::now(), vec![0; 1 << 20]);
        let error = loop {
            // Until the kernel's buffers are full.
            if let Err(error) = stream.write_all(&bytes).await {
                break error;
            }
        };
        assert_eq!((error.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, 20));
        drop(client);
    }
}
