//! Coming back: connections cut, queues deleted under a consumer, a broker that is not there.

use std::time::Duration;

use lockstep_queue::{Broker, Config, Error, PublishError, PublisherExt, Source};
use lockstep_test_support::{
    chaos::{ChaosProxy, Mode},
    eventually,
    rabbitmq::TestVhost,
};
use lockstep_wire::{Queue, Role};
use tokio_util::sync::CancellationToken;

use crate::world::{Recorder, SOON, World, connect, connected, hint, metrics, options, user};

const QUEUE: Queue = Queue::MailboxSync;

fn real(world: &World) -> &crate::world::RealWorld {
    match world {
        World::Real(real) => real,
        World::Memory(_) => panic!("not the real one"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_are_made_again_and_work_goes_on() {
    let world = World::real().await;
    let recorder = Recorder::with_gate(0);
    let consuming = world.consume(&recorder, options(2));
    let first = world.publish(1).await.remove(0);
    recorder.until_running(1).await;

    let before = real(&world).proxy.accepted();
    real(&world).proxy.cut_all();
    let again = async || match real(&world).proxy.accepted() - before {
        made if made >= 4 => Ok(()),
        made => Err(made),
    };
    eventually(SOON, again, "both roles make both connections again").await;
    connected(&real(&world).worker).await;
    connected(&real(&world).scheduler).await;

    // The handler that ran through the loss finishes; its acknowledgement comes too late, so the message comes again.
    recorder.gate.add_permits(100);
    recorder.until_finished(2).await;
    let deliveries = recorder.deliveries(first.id);
    assert!(deliveries.len() >= 2 && deliveries[1].redelivered, "{deliveries:?}");

    let published = async || world.publisher().publish(&hint(7)).await;
    eventually(SOON, published, "publishing works again").await;
    let seen = async || recorder.generations.lock().unwrap().contains(&7);
    eventually(SOON, seen, "consuming works again").await;
    world.until_empty(QUEUE).await;
    consuming.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_queue_is_declared_again_and_consumed() {
    let world = World::real().await;
    let recorder = Recorder::open();
    let consuming = world.consume(&recorder, options(2));
    world.publish(1).await;
    recorder.until_finished(1).await;
    real(&world).vhost.delete_all_queues().await;
    let published = async || world.publisher().publish(&hint(7)).await;
    eventually(SOON, published, "the queue is there again").await;
    let seen = async || recorder.generations.lock().unwrap().contains(&7);
    eventually(SOON, seen, "consumption goes on").await;
    consuming.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_a_role_starts_and_says_so_and_publishing_fails_at_once() {
    // Nothing listens on the discard port of this machine.
    let config = Config::new("amqp://user:hunter2@127.0.0.1:9/%2f".parse().unwrap());
    let cancellation = CancellationToken::new();
    let broker = Broker::connect_supervised(config, Role::Scheduler, metrics(), cancellation.clone()).unwrap();
    assert!(!broker.is_connected());
    let begun = std::time::Instant::now();
    assert!(matches!(broker.publish(&hint(1)).await, Err(PublishError::Unavailable(_))));
    assert!(matches!(broker.subscribe(Queue::SchedulerReport, 1).await, Err(Error::Unavailable(_))));
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(!format!("{broker:?}").contains("hunter2"));
    cancellation.cancel();
    let config = Config::new("http://user:hunter2@127.0.0.1:9/".parse().unwrap());
    let bad = Broker::connect_supervised(config, Role::Scheduler, metrics(), cancellation);
    assert!(!bad.unwrap_err().to_string().contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_for_a_reader_that_never_was_is_returned_and_stops_no_other_queue() {
    let vhost = TestVhost::create().await;
    let cancellation = CancellationToken::new();
    let scheduler = connect(&vhost, Role::Scheduler, &cancellation).await;
    let nobody = scheduler.publish(&hint(1)).await;
    assert_eq!(nobody, Err(PublishError::Returned));
    let _worker = connect(&vhost, Role::MailboxWorker, &cancellation).await;
    assert_eq!(scheduler.publish(&hint(1)).await, Ok(()));
    cancellation.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_further_messages() {
    let vhost = TestVhost::create().await;
    let cancellation = CancellationToken::new();
    let scheduler = connect(&vhost, Role::Scheduler, &cancellation).await;
    let mut config = Config::new(user(&vhost, Role::MailboxWorker).await.parse().unwrap());
    config.max_length = 3;
    let worker = Broker::connect_supervised(config, Role::MailboxWorker, metrics(), cancellation.clone()).unwrap();
    connected(&worker).await;
    // The limit may be passed by what is on its way: it holds in the end.
    let full = async || scheduler.publish(&hint(1)).await == Err(PublishError::Nacked);
    eventually(SOON, full, "the queue is full").await;
    assert!(vhost.queue_depth(QUEUE.name()).await.unwrap().ready < 20);
    cancellation.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_broker_costs_a_time_out_and_publishing_goes_on_afterwards() {
    let vhost = TestVhost::create().await;
    let cancellation = CancellationToken::new();
    let _worker = connect(&vhost, Role::MailboxWorker, &cancellation).await;
    let (proxy, url) = ChaosProxy::in_front_of_url(&user(&vhost, Role::Scheduler).await, 5672).await;
    let mut config = Config::new(url.parse().unwrap());
    config.publish_timeout_ms = 500;
    let scheduler = Broker::connect_supervised(config, Role::Scheduler, metrics(), cancellation.clone()).unwrap();
    connected(&scheduler).await;
    eventually(SOON, async || scheduler.publish(&hint(1)).await, "publishing works").await;

    proxy.set(Mode::Blackhole);
    let begun = std::time::Instant::now();
    assert_eq!(scheduler.publish(&hint(2)).await, Err(PublishError::TimedOut));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());

    // An outage: nobody answers, open connections are gone.
    proxy.set(Mode::Refuse);
    proxy.cut_all();
    let down = async || !scheduler.is_connected();
    eventually(SOON, down, "the loss is seen").await;
    assert!(matches!(scheduler.publish(&hint(3)).await, Err(PublishError::Unavailable(_))));
    proxy.set(Mode::Pass);
    connected(&scheduler).await;
    eventually(SOON, async || scheduler.publish(&hint(4)).await, "publishing works again").await;
    cancellation.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_with_other_arguments_keeps_the_role_from_being_ready() {
    let vhost = TestVhost::create().await;
    let cancellation = CancellationToken::new();
    let _worker = connect(&vhost, Role::MailboxWorker, &cancellation).await;
    let mut config = Config::new(user(&vhost, Role::MailboxWorker).await.parse().unwrap());
    config.max_length = 7;
    let other = Broker::connect_supervised(config, Role::MailboxWorker, metrics(), cancellation.clone()).unwrap();
    let refused = async || match other.problem() {
        Some(Error::Refused(reason)) => Ok(reason),
        problem => Err(problem),
    };
    let reason = eventually(SOON, refused, "the broker refuses").await;
    assert!(reason.contains("x-max-length"), "{reason}");
    assert!(!other.is_connected());
    cancellation.cancel();
}

/// A role that is shut out says so; with the right password and place it would be let in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_or_virtual_host_is_told_as_a_refused_login() {
    let vhost = TestVhost::create().await;
    let address: url::Url = user(&vhost, Role::MailboxWorker).await.parse().unwrap();
    let (mut password, mut place) = (address.clone(), address);
    password.set_password(Some("hunter2")).unwrap();
    place.set_path("/no-such-vhost");
    for (url, reason) in [(password, "ACCESS_REFUSED"), (place, "no-such-vhost")] {
        let cancellation = CancellationToken::new();
        let config = Config::new(url.as_str().parse().unwrap());
        let broker = Broker::connect_supervised(config, Role::MailboxWorker, metrics(), cancellation.clone()).unwrap();
        let mut problems = broker.problems();
        let told = problems.wait_for(|problem| matches!(problem, Some(Error::LoginRefused(_))));
        let told = tokio::time::timeout(SOON, told).await.unwrap().unwrap().clone().unwrap().to_string();
        assert!(told.contains(reason) && !told.contains("hunter2"), "{told}");
        cancellation.cancel();
    }
}
