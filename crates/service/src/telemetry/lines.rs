//! Log lines: one JSON object or one line of text for each event, with its trace and the fields of its spans.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use opentelemetry::trace::TraceContextExt;
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::dispatcher::WeakDispatch;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;
use super::rate::RateLimit;
use crate::common::LogFormat;

/// A layer that writes log lines. Warnings and errors of the same place in the code beyond 20 a second are left out and
/// counted in the field `suppressed` of the next line from there.
pub struct LogLines<W> {
    out: Mutex<W>,
    rate: Mutex<RateLimit>,
    format: LogFormat,
    dispatch: OnceLock<WeakDispatch>,
}

#[derive(Serialize)]
struct Line<'a> {
    timestamp: &'a str,
    level: &'a str,
    target: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suppressed: Option<u64>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    fields: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span: Option<&'a str>,
    /// Of all spans around the event; the inner one wins.
    #[serde(skip_serializing_if = "Map::is_empty")]
    span_fields: &'a Map<String, Value>,
}

impl<W: Write + Send + 'static> LogLines<W> {
    /// Writes to `out`, one `write_all` for each line.
    pub fn new(out: W, format: LogFormat) -> Self {
        Self { out: Mutex::new(out), rate: Mutex::default(), format, dispatch: OnceLock::new() }
    }

    fn trace_id(&self, span: &Id) -> Option<String> {
        let dispatch = self.dispatch.get()?.upgrade()?;
        let context = tracing_opentelemetry::get_otel_context(span, &dispatch)?;
        let id = context.span().span_context().trace_id();
        (id != opentelemetry::TraceId::INVALID).then(|| id.to_string())
    }

    fn write(&self, line: &Line<'_>) {
        let mut bytes = match self.format {
            LogFormat::Json => serde_json::to_vec(line).unwrap_or_default(),
            LogFormat::Text => text(line).into_bytes(),
        };
        bytes.push(b'\n');
        // A closed stderr leaves nobody to tell.
        let _ = self.out.lock().unwrap_or_else(PoisonError::into_inner).write_all(&bytes);
    }
}

impl<S, W> Layer<S> for LogLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Write + Send + 'static,
{
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        let _ = self.dispatch.set(dispatch.downgrade());
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut suppressed = None;
        if *metadata.level() <= Level::WARN {
            let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
            match rate.admit(metadata, Instant::now()) {
                Some(0) => {}
                Some(count) => suppressed = Some(count),
                None => return,
            }
        }
        let mut own = Fields::default();
        event.record(&mut own);
        let mut span_fields = Map::new();
        for span in context.event_scope(event).into_iter().flatten() {
            let extensions = span.extensions();
            for (name, value) in extensions.get::<Fields>().into_iter().flat_map(|fields| &fields.values) {
                if !span_fields.contains_key(name) {
                    span_fields.insert(name.clone(), value.clone());
                }
            }
        }
        let span = context.event_span(event);
        let mut timestamp = String::new();
        let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
        self.write(&Line {
            timestamp: &timestamp,
            level: metadata.level().as_str(),
            target: metadata.target(),
            message: &own.message,
            trace_id: span.as_ref().and_then(|span| self.trace_id(&span.id())),
            suppressed,
            fields: &own.values,
            span: span.as_ref().map(tracing_subscriber::registry::SpanRef::name),
            span_fields: &span_fields,
        });
    }
}

fn text(line: &Line<'_>) -> String {
    // Control characters would let a hostile server's words forge lines or drive the terminal.
    let clean = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let mut text = format!("{} {:5} {}: {}", line.timestamp, line.level, line.target, clean(line.message));
    for (name, value) in line.fields.iter().chain(line.span_fields) {
        let _ = write!(text, " {name}={}", clean(&value.to_string()));
    }
    if let Some(count) = line.suppressed {
        let _ = write!(text, " suppressed={count}");
    }
    text
}
