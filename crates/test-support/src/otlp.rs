//! A tiny OTLP/HTTP receiver that keeps the spans it is sent.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{Router, body::Bytes, extract::DefaultBodyLimit, extract::State, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
};
use prost::Message;
use tokio::{net::TcpListener, task::JoinHandle};

const LARGEST_REQUEST: usize = 16 * 1024 * 1024;
const MOST_SPANS: usize = 100_000;

/// A finished span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// 16 hexadecimal digits, or nothing for a root.
    pub parent_span_id: Option<String>,
    /// Trace and span ids of the spans it links to.
    pub links: Vec<(String, String)>,
    /// The name.
    pub name: String,
    /// Its attributes as text.
    pub attributes: BTreeMap<String, String>,
    /// The attributes of the process that sent it, such as `service.name`.
    pub resource: BTreeMap<String, String>,
}

type Spans = Arc<Mutex<Vec<Span>>>;

/// A receiver on a free loopback port; it ends when dropped.
#[derive(Debug)]
pub struct OtlpReceiver {
    address: SocketAddr,
    spans: Spans,
    task: JoinHandle<()>,
}

impl OtlpReceiver {
    /// Starts to listen.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.and_then(|bound| Ok((bound.local_addr()?, bound)));
        let (address, listener) = listener.unwrap_or_else(|error| panic!("no port for the receiver: {error}"));
        let spans = Spans::default();
        let router = Router::new()
            .route("/v1/traces", post(receive))
            .layer(DefaultBodyLimit::max(LARGEST_REQUEST))
            .with_state(spans.clone());
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { address, spans, task }
    }

    /// The endpoint to configure: the base address, without `/v1/traces`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything received so far, in order of arrival.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The spans of this name.
    pub fn named(&self, name: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.name == name).collect()
    }

    /// Forgets what was received.
    pub fn clear(&self) {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for OtlpReceiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(State(spans): State<Spans>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else { return StatusCode::BAD_REQUEST };
    let mut kept = spans.lock().unwrap_or_else(PoisonError::into_inner);
    for received in request.resource_spans {
        let resource = attributes(received.resource.unwrap_or_default().attributes);
        for span in received.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            if kept.len() >= MOST_SPANS {
                return StatusCode::INSUFFICIENT_STORAGE;
            }
            kept.push(Span {
                trace_id: hex::encode(span.trace_id),
                span_id: hex::encode(span.span_id),
                parent_span_id: (!span.parent_span_id.is_empty()).then(|| hex::encode(span.parent_span_id)),
                links: span
                    .links
                    .iter()
                    .map(|link| (hex::encode(&link.trace_id), hex::encode(&link.span_id)))
                    .collect(),
                name: span.name,
                attributes: attributes(span.attributes),
                resource: resource.clone(),
            });
        }
    }
    StatusCode::OK
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    pairs
        .into_iter()
        .map(|pair| (pair.key, pair.value.and_then(|any| any.value).map_or_else(String::new, text)))
        .collect()
}

fn text(value: Value) -> String {
    match value {
        Value::StringValue(text) => text,
        Value::BoolValue(value) => value.to_string(),
        Value::IntValue(value) => value.to_string(),
        Value::DoubleValue(value) => value.to_string(),
        other => format!("{other:?}"),
    }
}
