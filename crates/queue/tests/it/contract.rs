//! The promises, asked of both implementations.

use std::{sync::atomic::Ordering, time::Duration};

use lockstep_model::settings::Marks;
use lockstep_queue::{ConsumeOptions, PublishError, PublisherExt, RawMessage, topology::DELIVERY_LIMIT};
use lockstep_wire::Queue;
use tokio::sync::watch;

use crate::world::{HANG, PANIC, REFUSE, Recorder, SOON, UNAVAILABLE, UNAVAILABLE_ONCE, World, hint, options, report};

/// Each promise is a function over any implementation, and becomes two tests.
macro_rules! promises {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        mod rabbit {
            use super::*;
            $($(#[$doc])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(World::real().await).await;
            })+
        }
        mod memory {
            use super::*;
            $($(#[$doc])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(World::memory()).await;
            })+
        }
    };
}

promises![
    a_confirmed_message_is_received_and_done_removes_it,
    an_unroutable_message_is_returned,
    a_refused_message_lands_in_the_dead_twin,
    undecodable_bytes_land_in_the_dead_twin,
    a_panic_costs_its_message_and_nothing_else,
    a_handler_out_of_time_costs_its_message,
    an_unavailable_outcome_brings_the_message_again,
    the_delivery_limit_ends_in_the_dead_twin,
    handlers_at_work_are_bounded,
    /// N9: nothing more is taken at the high mark, until the low one is reached; the marks move without a restart.
    n9_deliveries_stop_at_the_high_mark_and_go_on_at_the_low_one,
    a_soft_stop_finishes_what_runs_and_begins_nothing,
    a_hard_stop_drops_what_runs_and_it_comes_again,
    results_of_a_batch_come_in_order,
];

const QUEUE: Queue = Queue::MailboxSync;

async fn a_confirmed_message_is_received_and_done_removes_it(world: World) {
    let envelopes = world.publish(20).await;
    let recorder = Recorder::open();
    let consuming = world.consume(&recorder, options(4));
    recorder.until_finished(20).await;
    world.until_empty(QUEUE).await;
    for envelope in envelopes {
        let deliveries = recorder.deliveries(envelope.id);
        assert_eq!(deliveries.len(), 1);
        assert!(!deliveries[0].redelivered);
    }
    consuming.stop().await;
    assert_eq!(world.dead(QUEUE).await, 0);
}

async fn an_unroutable_message_is_returned(world: World) {
    world.delete_queue(QUEUE).await;
    assert_eq!(world.publisher().publish(&hint(1)).await, Err(PublishError::Returned));
}

async fn a_refused_message_lands_in_the_dead_twin(world: World) {
    world.publisher().publish(&hint(REFUSE)).await.unwrap();
    world.publisher().publish(&hint(1)).await.unwrap();
    let recorder = Recorder::open();
    let consuming = world.consume(&recorder, options(1));
    world.until_dead(QUEUE, 1).await;
    recorder.until_finished(2).await;
    consuming.stop().await;
}

async fn undecodable_bytes_land_in_the_dead_twin(world: World) {
    let wrong_kind = report(1).encode().unwrap();
    for bytes in [vec![], b"\xff\xfe{".to_vec(), vec![b'x'; 100_000], wrong_kind] {
        world.publisher().publish_raw(QUEUE, RawMessage { bytes, traceparent: None }).await.unwrap();
    }
    world.publisher().publish(&hint(1)).await.unwrap();
    let recorder = Recorder::open();
    let consuming = world.consume(&recorder, options(1));
    recorder.until_finished(1).await;
    world.until_dead(QUEUE, 4).await;
    consuming.stop().await;
}

async fn a_panic_costs_its_message_and_nothing_else(world: World) {
    world.publisher().publish(&hint(PANIC)).await.unwrap();
    world.publish(5).await;
    let recorder = Recorder::open();
    let consuming = world.consume(&recorder, options(1));
    recorder.until_finished(5).await;
    world.until_dead(QUEUE, 1).await;
    consuming.stop().await;
}

async fn a_handler_out_of_time_costs_its_message(world: World) {
    world.publisher().publish(&hint(HANG)).await.unwrap();
    world.publisher().publish(&hint(1)).await.unwrap();
    let recorder = Recorder::open();
    let quick = ConsumeOptions { handler_timeout: Duration::from_millis(200), ..options(1) };
    let consuming = world.consume(&recorder, quick);
    recorder.until_finished(1).await;
    world.until_dead(QUEUE, 1).await;
    consuming.stop().await;
}

async fn an_unavailable_outcome_brings_the_message_again(world: World) {
    let envelope = hint(UNAVAILABLE_ONCE);
    world.publisher().publish(&envelope).await.unwrap();
    let recorder = Recorder::open();
    let consuming = world.consume(&recorder, options(2));
    recorder.until_finished(2).await;
    world.until_empty(QUEUE).await;
    let deliveries = recorder.deliveries(envelope.id);
    assert_eq!(deliveries.len(), 2);
    assert!(deliveries[1].redelivered && deliveries[1].delivery_count == 1, "{deliveries:?}");
    consuming.stop().await;
    assert_eq!(world.dead(QUEUE).await, 0);
}

async fn the_delivery_limit_ends_in_the_dead_twin(world: World) {
    let envelope = hint(UNAVAILABLE);
    world.publisher().publish(&envelope).await.unwrap();
    let recorder = Recorder::open();
    let consuming = world.consume(&recorder, options(2));
    world.until_dead(QUEUE, 1).await;
    assert_eq!(recorder.deliveries(envelope.id).len(), DELIVERY_LIMIT as usize + 1);
    consuming.stop().await;
}

async fn handlers_at_work_are_bounded(world: World) {
    world.publish(12).await;
    let recorder = Recorder::with_gate(0);
    let consuming = world.consume(&recorder, options(3));
    recorder.until_running(3).await;
    // What is not at work waits in the broker, where another replica can take it.
    lockstep_test_support::eventually(SOON, async || world.depth(QUEUE).await == (9, 3), "9 ready, 3 unsettled").await;
    recorder.gate.add_permits(12);
    recorder.until_finished(12).await;
    assert_eq!(recorder.most_running.load(Ordering::SeqCst), 3);
    consuming.stop().await;
}

async fn n9_deliveries_stop_at_the_high_mark_and_go_on_at_the_low_one(world: World) {
    let (marks, moving) = watch::channel(Marks { high: 4, low: 1 });
    world.publish(20).await;
    let recorder = Recorder::with_gate(0);
    let consuming = world.consume_within(&recorder, options(8), moving);
    recorder.until_running(4).await;
    // Two of four are done: still above the low mark, so nothing is taken in their place.
    recorder.gate.add_permits(2);
    recorder.until_finished(2).await;
    recorder.until_running(2).await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(recorder.running.load(Ordering::SeqCst), 2);
    }
    // The third leaves one, the low mark: four again.
    recorder.gate.add_permits(1);
    recorder.until_running(4).await;
    assert_eq!(recorder.most_running.load(Ordering::SeqCst), 4);
    // Higher marks count at once; more than there are slots is never taken.
    marks.send_replace(Marks { high: 100, low: 50 });
    recorder.until_running(8).await;
    recorder.gate.add_permits(17);
    recorder.until_finished(20).await;
    assert_eq!(recorder.most_running.load(Ordering::SeqCst), 8);
    world.until_empty(QUEUE).await;
    consuming.stop().await;
}

async fn a_soft_stop_finishes_what_runs_and_begins_nothing(world: World) {
    world.publish(4).await;
    let recorder = Recorder::with_gate(0);
    let consuming = world.consume(&recorder, options(1));
    recorder.until_running(1).await;
    consuming.stop.soft.cancel();
    recorder.gate.add_permits(100);
    let begun = std::time::Instant::now();
    consuming.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(4), "no time-out is needed to stop: {:?}", begun.elapsed());
    assert_eq!(recorder.finished.load(Ordering::SeqCst), 1);
    let left = async || match world.depth(QUEUE).await {
        (3, 0) => Ok(()),
        depth => Err(depth),
    };
    lockstep_test_support::eventually(SOON, left, "three are left, the finished one is acknowledged").await;
    // And nothing was redelivered for it.
    let consuming = world.consume(&recorder, options(1));
    recorder.until_finished(4).await;
    assert!(recorder.seen.lock().unwrap().values().all(|deliveries| deliveries.len() == 1));
    consuming.stop().await;
}

async fn a_hard_stop_drops_what_runs_and_it_comes_again(world: World) {
    let envelopes = world.publish(1).await;
    let recorder = Recorder::with_gate(0);
    let consuming = world.consume(&recorder, options(1));
    recorder.until_running(1).await;
    consuming.stop.hard.cancel();
    tokio::time::timeout(SOON, consuming.task).await.unwrap().unwrap();
    recorder.gate.add_permits(100);
    let consuming = world.consume(&recorder, options(1));
    recorder.until_finished(1).await;
    let deliveries = recorder.deliveries(envelopes[0].id);
    assert!(deliveries.len() == 2 && deliveries[1].redelivered, "{deliveries:?}");
    consuming.stop().await;
}

async fn results_of_a_batch_come_in_order(world: World) {
    let mut envelopes: Vec<_> = (0..300).map(hint).collect();
    // An envelope nobody can send, in the middle.
    envelopes[150].traceparent = Some("x".repeat(20_000));
    let results = world.publisher().publish_all(&envelopes).await;
    for (i, result) in results.iter().enumerate() {
        match result {
            Ok(()) => assert_ne!(i, 150),
            Err(error) => assert!(i == 150 && matches!(error, PublishError::Unsendable(_)), "{i}: {error}"),
        }
    }
    let stored = async || match world.depth(QUEUE).await {
        (299, 0) => Ok(()),
        depth => Err(depth),
    };
    lockstep_test_support::eventually(SOON, stored, "the others are stored").await;
}
