//! The receiver understands what an exporter sends.

use lockstep_test_support::otlp::OtlpReceiver;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use reqwest::StatusCode;

async fn post(receiver: &OtlpReceiver, body: Vec<u8>) -> StatusCode {
    let client = reqwest::Client::builder().timeout(crate::SOON).no_proxy().build().unwrap();
    let request = client
        .post(format!("{}/v1/traces", receiver.endpoint()))
        .header("content-type", "application/x-protobuf")
        .body(body);
    request.send().await.unwrap().status()
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

#[tokio::test]
async fn keeps_spans_with_parents_and_attributes() {
    let receiver = OtlpReceiver::start().await;
    let root = Span { trace_id: vec![1; 16], span_id: vec![2; 8], name: "root".to_owned(), ..Default::default() };
    let child = Span {
        trace_id: vec![1; 16],
        span_id: vec![3; 8],
        parent_span_id: vec![2; 8],
        name: "child".to_owned(),
        attributes: vec![attribute("mails", Value::IntValue(7))],
        ..Default::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![attribute("service.name", Value::StringValue("worker".to_owned()))],
                ..Default::default()
            }),
            scope_spans: vec![ScopeSpans { spans: vec![root, child], ..Default::default() }],
            ..Default::default()
        }],
    };
    assert_eq!(post(&receiver, request.encode_to_vec()).await, StatusCode::OK);
    assert_eq!(receiver.spans().len(), 2);
    let (root, child) = (&receiver.named("root")[0], &receiver.named("child")[0]);
    assert_eq!(root.parent_span_id, None);
    assert_eq!(child.parent_span_id.as_deref(), Some("0202020202020202"));
    assert_eq!((&child.trace_id, child.trace_id.as_str()), (&root.trace_id, "01".repeat(16).as_str()));
    assert_eq!(child.attributes["mails"], "7");
    assert_eq!(child.resource["service.name"], "worker");
    receiver.clear();
    assert!(receiver.spans().is_empty());
}

#[tokio::test]
async fn refuses_what_is_not_protobuf() {
    let receiver = OtlpReceiver::start().await;
    assert_eq!(post(&receiver, b"\xff\xff\xff not protobuf".to_vec()).await, StatusCode::BAD_REQUEST);
    assert!(receiver.spans().is_empty());
}
