//! One cycle, one trace, over three processes.

use std::collections::BTreeMap;

use lockstep_e2e::{Cluster, TrackOption};
use lockstep_test_support::otlp::{OtlpReceiver, Span};

fn service(span: &Span) -> &str {
    span.resource.get("service.name").map_or("", String::as_str)
}

/// A whole cycle among these spans: dispatch, consume, fold, each the child of the one before.
fn whole_cycle(spans: &[Span]) -> Option<[Span; 3]> {
    let by_id: BTreeMap<(&str, &str), &Span> =
        spans.iter().map(|span| ((span.trace_id.as_str(), span.span_id.as_str()), span)).collect();
    let parent = |span: &Span| by_id.get(&(span.trace_id.as_str(), span.parent_span_id.as_deref()?)).copied();
    spans.iter().filter(|span| span.name == "scheduler.fold").find_map(|fold| {
        let consume = parent(fold).filter(|span| span.name == "queue.consume")?;
        let dispatch = parent(consume).filter(|span| span.name == "scheduler.dispatch")?;
        Some([dispatch.clone(), consume.clone(), fold.clone()])
    })
}

/// What the scheduler hands out, a worker does and the scheduler folds is one trace, parents and children across
/// processes.
#[tokio::test]
async fn a_cycle_is_one_trace_from_claim_to_fold() {
    let receiver = OtlpReceiver::start().await;
    let cluster = Cluster::builder().traces_to(&receiver.endpoint()).start().await;
    let mailbox = cluster.mailbox_for_new_user(TrackOption::All).await;
    let ids = cluster.drop_many(&mailbox, 3);
    cluster.wait_received(ids.len(), 30).await;
    cluster.wait_cycles(&mailbox, 1, 30).await;
    let [dispatch, consume, fold] =
        cluster.wait_until(40, "a whole cycle is traced", async || whole_cycle(&receiver.spans())).await;
    assert_eq!(service(&dispatch), "lockstep-scheduler");
    assert_eq!(service(&consume), "lockstep-mailbox-worker");
    assert_eq!(service(&fold), "lockstep-scheduler");
    assert_eq!(dispatch.parent_span_id, None, "the trace begins with the claim");
    let one = |span: &Span| span.trace_id.clone();
    assert!(one(&dispatch) == one(&consume) && one(&consume) == one(&fold));
    // Another occasion is another trace.
    cluster.wait_cycles(&mailbox, 1, 30).await;
    let other = async || {
        let rest: Vec<Span> = receiver.spans().into_iter().filter(|span| span.trace_id != dispatch.trace_id).collect();
        whole_cycle(&rest)
    };
    cluster.wait_until(40, "the next cycle is traced", other).await;
    cluster.assert_each_once(&ids).await;
}
