//! A receiver of webhooks: a real HTTP server that answers as a test tells it, and keeps what it got.

use std::{
    collections::VecDeque,
    io::Write,
    net::SocketAddr,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Response, StatusCode},
    routing::any,
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

/// How one request is answered. Without orders it is 204.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// This status, with these headers.
    Status(u16, Vec<(&'static str, String)>),
    /// 200 after this time.
    Late(Duration),
    /// Never, until released.
    Hold,
    /// This status and a body without end.
    Endless(u16),
    /// The connection is cut, which looks like a server that dies.
    Cut,
}

impl Order {
    pub(crate) fn status(status: u16) -> Self {
        Self::Status(status, Vec::new())
    }
}

/// What came.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn position(&self) -> i64 {
        self.json()["data"]["position"].as_i64().unwrap()
    }

    /// How many of its signatures are by this secret, by the reckoning of another program.
    pub(crate) fn signed_by(&self, secret: &str) -> usize {
        let key = base64_decoded(secret.strip_prefix("whsec_").unwrap());
        let mut content = format!("{}.{}.", self.id(), self.header("webhook-timestamp")).into_bytes();
        content.extend_from_slice(&self.body);
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let mac = format!("hexkey:{hex}");
        let tag = openssl(&["dgst", "-sha256", "-mac", "HMAC", "-macopt", &mac, "-binary"], &content);
        let tag = String::from_utf8(openssl(&["base64", "-A"], &tag)).unwrap();
        self.header("webhook-signature").split(' ').filter(|signed| *signed == format!("v1,{}", tag.trim())).count()
    }
}

fn base64_decoded(text: &str) -> Vec<u8> {
    openssl(&["base64", "-d", "-A"], text.as_bytes())
}

fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child =
        Command::new("openssl").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[derive(Default)]
struct Shared {
    orders: Mutex<VecDeque<Order>>,
    got: Mutex<Vec<Got>>,
    release: Notify,
    now: AtomicUsize,
    most: AtomicUsize,
}

pub(crate) struct Receiver {
    shared: Arc<Shared>,
    pub(crate) address: SocketAddr,
    server: Mutex<Option<JoinHandle<()>>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let receiver =
            Self { shared: Arc::default(), address: SocketAddr::from(([127, 0, 0, 1], 0)), server: Mutex::default() };
        let listener = TcpListener::bind(receiver.address).await.unwrap();
        let receiver = Self { address: listener.local_addr().unwrap(), ..receiver };
        receiver.serve(listener);
        receiver
    }

    fn serve(&self, listener: TcpListener) {
        let router = Router::new().fallback(any(answer)).with_state(Arc::clone(&self.shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        *self.server.lock().unwrap() = Some(server);
    }

    /// Stops listening.
    pub(crate) async fn stop(&self) {
        let server = self.server.lock().unwrap().take().unwrap();
        server.abort();
        let _ = server.await;
    }

    /// Listens again where it did before.
    pub(crate) async fn again(&self) {
        let bound = async || TcpListener::bind(self.address).await.map_err(|error| error.to_string());
        let listener = lockstep_test_support::eventually(Duration::from_secs(10), bound, "the port is free").await;
        self.serve(listener);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hooks?for=crm", self.address)
    }

    /// How the next requests are answered.
    pub(crate) fn order(&self, orders: impl IntoIterator<Item = Order>) {
        self.shared.orders.lock().unwrap().extend(orders);
    }

    /// Lets what is held go on.
    pub(crate) fn release(&self) {
        self.shared.release.notify_waiters();
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.shared.got.lock().unwrap().clone()
    }

    pub(crate) fn positions(&self) -> Vec<i64> {
        self.got().iter().map(Got::position).collect()
    }

    /// Most requests at one time.
    pub(crate) fn most_at_once(&self) -> usize {
        self.shared.most.load(Ordering::SeqCst)
    }

    pub(crate) async fn until_got(&self, count: usize) {
        let there = async || self.got().len() >= count;
        lockstep_test_support::eventually(Duration::from_secs(20), there, "requests arrive").await;
    }
}

struct Busy(Arc<Shared>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let now = shared.now.fetch_add(1, Ordering::SeqCst) + 1;
    shared.most.fetch_max(now, Ordering::SeqCst);
    let _busy = Busy(Arc::clone(&shared));
    let released = shared.release.notified();
    let order = shared.orders.lock().unwrap().pop_front();
    shared.got.lock().unwrap().push(Got { headers, body });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    match order {
        None => {}
        Some(Order::Status(status, headers)) => {
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            if status >= 300 {
                *response.body_mut() = Body::from("no \u{1b}[31m, thank you");
            }
        }
        Some(Order::Late(after)) => tokio::time::sleep(after).await,
        Some(Order::Hold) => released.await,
        Some(Order::Endless(status)) => {
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            let chunks = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 1024])));
            *response.body_mut() = Body::from_stream(chunks);
        }
        Some(Order::Cut) => {
            let broken = futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("cut"))]);
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            *response.body_mut() = Body::from_stream(broken);
        }
    }
    response
}
