//! A TCP proxy that misbehaves on demand, and counts connections.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};
use url::Url;

const CHUNK: usize = 16 * 1024;
/// What a black hole swallows of one direction before it stops reading.
const HELD_AT_MOST: usize = 1024 * 1024;
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// What the proxy does to connections, open and new ones alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Passes bytes on.
    #[default]
    Pass,
    /// Does not listen: new connections are refused by the operating system. Open ones go on.
    Refuse,
    /// Passes each piece on after this time, in both directions.
    Delay(Duration),
    /// Accepts, reads and never answers; what was swallowed is passed on when the mode changes.
    Blackhole,
    /// Resets a connection once it brought this many bytes to the client.
    CutAfterReceived(u64),
    /// Resets a connection once it brought this many bytes to the server.
    CutAfterSent(u64),
}

#[derive(Debug, Clone, Copy, Default)]
struct Orders {
    mode: Mode,
    /// Grows with each "cut all": connections of an older generation end.
    generation: u64,
}

#[derive(Debug, Default)]
struct Counters {
    open: AtomicUsize,
    peak: AtomicUsize,
    accepted: AtomicUsize,
}

/// A proxy on a free loopback port in front of one server. It ends when dropped, resetting its connections.
#[derive(Debug)]
pub struct ChaosProxy {
    address: SocketAddr,
    orders: watch::Sender<Orders>,
    counters: Arc<Counters>,
    task: JoinHandle<()>,
}

impl ChaosProxy {
    /// Starts in front of `host:port`.
    pub async fn in_front_of(upstream: &str) -> Self {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await;
        let address = match &listener {
            Ok(listener) => listener.local_addr(),
            Err(error) => panic!("no port for the proxy: {error}"),
        };
        let (Ok(listener), Ok(address)) = (listener, address) else { panic!("no port for the proxy") };
        let (orders, receiver) = watch::channel(Orders::default());
        let counters = Arc::new(Counters::default());
        let task = tokio::spawn(listen(listener, address, upstream.to_owned(), receiver, counters.clone()));
        Self { address, orders, counters, task }
    }

    /// Starts in front of the server in a URL, and returns the same URL leading through the proxy.
    pub async fn in_front_of_url(url: &str, default_port: u16) -> (Self, String) {
        let mut url: Url = url.parse().unwrap_or_else(|error| panic!("upstream address: {error}"));
        let host = url.host_str().unwrap_or("127.0.0.1").to_owned();
        let proxy = Self::in_front_of(&format!("{host}:{}", url.port().unwrap_or(default_port))).await;
        let _ = url.set_host(Some("127.0.0.1"));
        let _ = url.set_port(Some(proxy.port()));
        (proxy, url.into())
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Changes what happens from now on.
    pub fn set(&self, mode: Mode) {
        self.orders.send_modify(|orders| orders.mode = mode);
    }

    /// Resets every open connection. New ones are treated by the mode.
    pub fn cut_all(&self) {
        self.orders.send_modify(|orders| orders.generation += 1);
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.counters.open.load(Ordering::SeqCst)
    }

    /// The most connections that were open at one moment.
    pub fn peak(&self) -> usize {
        self.counters.peak.load(Ordering::SeqCst)
    }

    /// Starts counting the peak anew from what is open now.
    pub fn reset_peak(&self) {
        self.counters.peak.store(self.open(), Ordering::SeqCst);
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.counters.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        self.cut_all();
        self.task.abort();
    }
}

async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

async fn listen(
    listener: TcpListener,
    address: SocketAddr,
    upstream: String,
    mut orders: watch::Receiver<Orders>,
    counters: Arc<Counters>,
) {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        if orders.borrow_and_update().mode == Mode::Refuse {
            listener = None;
        } else if listener.is_none() {
            // Connections of before may hold the address for a moment.
            match bind(address).await {
                Ok(bound) => listener = Some(bound),
                Err(_) => {
                    sleep(Duration::from_millis(10)).await;
                    continue;
                }
            }
        }
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = orders.changed() => if changed.is_err() { return },
            Some(_) = connections.join_next() => {}
            accepted = accepted => if let Ok((client, _)) = accepted {
                let open = Open::new(counters.clone());
                let (upstream, orders) = (upstream.clone(), orders.clone());
                connections.spawn(async move {
                    serve(client, &upstream, orders).await;
                    drop(open);
                });
            },
        }
    }
}

/// Counts a connection for as long as it lives.
struct Open(Arc<Counters>);

impl Open {
    fn new(counters: Arc<Counters>) -> Self {
        counters.accepted.fetch_add(1, Ordering::SeqCst);
        let now = counters.open.fetch_add(1, Ordering::SeqCst) + 1;
        counters.peak.fetch_max(now, Ordering::SeqCst);
        Self(counters)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Both sides of a connection are to be reset.
struct Cut;

async fn serve(mut client: TcpStream, upstream: &str, mut orders: watch::Receiver<Orders>) {
    let generation = orders.borrow().generation;
    let connect = tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect(upstream));
    let Ok(Ok(mut server)) = connect.await else {
        let _ = client.set_zero_linger();
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (sent, received) = (AtomicU64::new(0), AtomicU64::new(0));
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = pump(from_client, to_server, orders.clone(), Direction { sent: true, count: &sent });
        let down = pump(from_server, to_client, orders.clone(), Direction { sent: false, count: &received });
        let cut = async move {
            let _ = orders.wait_for(|orders| orders.generation != generation).await;
        };
        tokio::select! {
            end = async { tokio::try_join!(up, down) } => end.map(drop),
            () = cut => Err(Cut),
        }
    };
    if end.is_err() {
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
}

struct Direction<'a> {
    sent: bool,
    count: &'a AtomicU64,
}

impl Direction<'_> {
    /// How many more bytes may pass before the cut.
    fn allowance(&self, mode: Mode) -> Option<u64> {
        let limit = match mode {
            Mode::CutAfterSent(limit) if self.sent => limit,
            Mode::CutAfterReceived(limit) if !self.sent => limit,
            _ => return None,
        };
        Some(limit.saturating_sub(self.count.load(Ordering::SeqCst)))
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut orders: watch::Receiver<Orders>,
    direction: Direction<'_>,
) -> Result<(), Cut> {
    let mut held = Vec::with_capacity(CHUNK);
    let mut finished = false;
    loop {
        let mode = orders.borrow_and_update().mode;
        if direction.allowance(mode) == Some(0) {
            return Err(Cut);
        }
        let silent = mode == Mode::Blackhole;
        if !silent && (!held.is_empty() || finished) {
            if let Mode::Delay(pause) = mode {
                sleep(pause).await;
            }
            let length = held.len() as u64;
            let allowed = direction.allowance(mode).unwrap_or(length).min(length);
            let piece: Vec<u8> = held.drain(..usize::try_from(allowed).unwrap_or(usize::MAX)).collect();
            if to.write_all(&piece).await.is_err() {
                return Err(Cut);
            }
            direction.count.fetch_add(allowed, Ordering::SeqCst);
            if finished && held.is_empty() {
                let _ = to.shutdown().await;
                return Ok(());
            }
            continue;
        }
        tokio::select! {
            changed = orders.changed() => if changed.is_err() { return Err(Cut) },
            read = from.read_buf(&mut held), if !finished && held.len() < HELD_AT_MOST => match read {
                Ok(0) if silent && direction.sent => return Err(Cut),
                Ok(0) => finished = true,
                Ok(_) => {}
                Err(_) => return Err(Cut),
            },
        }
    }
}
