//! Trace context across the queue, in the W3C form.

use std::collections::HashMap;

use opentelemetry::{Context, propagation::TextMapPropagator, trace::TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const TRACEPARENT: &str = "traceparent";

/// The trace context of the current span; `None` when nothing traces.
pub fn current_traceparent() -> Option<String> {
    let context = Span::current().context();
    if !context.span().span_context().is_valid() {
        return None;
    }
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// Makes the sender's span the parent of this one, so that both belong to one trace. Call it before the span is entered. A
/// text that is no trace context is ignored.
pub fn continue_trace(span: &Span, traceparent: &str) {
    if let Some(context) = extract(traceparent) {
        // Fails only when nothing traces or the span was entered already; the work goes on all the same.
        let _ = span.set_parent(context);
    }
}

/// Links this span to the sender's: for work on many messages, which has no one parent. A text that is no trace context is
/// ignored.
pub fn link_trace(span: &Span, traceparent: &str) {
    if let Some(context) = extract(traceparent) {
        span.add_link(context.span().span_context().clone());
    }
}

fn extract(traceparent: &str) -> Option<Context> {
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    context.span().span_context().is_valid().then_some(context)
}
