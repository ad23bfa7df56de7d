//! A message carries its sender's trace: sending and handling are one trace, and the handler's span is a child.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use lockstep_queue::{DeliveryInfo, Handler, MemoryBroker, Outcome, PublisherExt, Source, Stop, consume, trace};
use lockstep_test_support::eventually;
use lockstep_wire::{Envelope, SyncLane};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

use crate::world::{SOON, hint, metrics, options};

#[derive(Default)]
struct TraceReader {
    seen: Mutex<Vec<(Option<String>, Option<String>)>>,
}

#[async_trait]
impl Handler<SyncLane> for TraceReader {
    async fn handle(&self, envelope: Envelope<SyncLane>, _: DeliveryInfo) -> Outcome {
        self.seen.lock().unwrap().push((envelope.traceparent, trace::current_traceparent()));
        Outcome::Done
    }
}

/// The trace id inside a W3C trace context.
fn trace_id(traceparent: &str) -> &str {
    traceparent.split('-').nth(1).unwrap()
}

#[tokio::test]
async fn sender_and_handler_are_one_trace() {
    let provider = SdkTracerProvider::builder().build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));

    let broker = MemoryBroker::new(metrics());
    let sent = async {
        broker.publish(&hint(1)).await.unwrap();
        trace::current_traceparent().unwrap()
    };
    let sent = sent.instrument(tracing::info_span!("scheduler.tick")).await;
    // A trace context that is none must not hurt.
    let mut odd = hint(2);
    odd.traceparent = Some("00-zz-zz-zz".to_owned());
    broker.publish(&odd).await.unwrap();

    let (reader, stop) = (Arc::new(TraceReader::default()), Stop::default());
    let source: Arc<dyn Source> = Arc::new(broker.clone());
    let handler: Arc<dyn Handler<SyncLane>> = Arc::clone(&reader) as _;
    let task = tokio::spawn(consume::<SyncLane>(source, handler, options(1), stop.clone()));
    eventually(SOON, async || reader.seen.lock().unwrap().len() == 2, "both are handled").await;
    stop.soft.cancel();
    task.await.unwrap();

    let seen = reader.seen.lock().unwrap();
    assert_eq!(seen[0].0.as_ref(), Some(&sent));
    let handling = seen[0].1.as_ref().unwrap();
    assert_eq!(trace_id(handling), trace_id(&sent));
    assert_ne!(handling, &sent, "a span of its own");
    assert_ne!(trace_id(seen[1].1.as_ref().unwrap()), trace_id(&sent));
}

#[tokio::test]
async fn without_tracing_there_is_no_context() {
    assert_eq!(trace::current_traceparent(), None);
}
