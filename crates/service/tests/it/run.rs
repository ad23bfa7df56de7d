//! A whole process life, in this process: exit codes and the order of things.

use std::sync::mpsc;
use std::time::Duration;

use lockstep_service::config::{HumanDuration, Listen};
use lockstep_service::{CommonConfig, Context, Exit, Failure, run};

use crate::http::get;

fn quick() -> CommonConfig {
    let mut config = CommonConfig::default().with_probes_default("127.0.0.1:0".parse().unwrap());
    config.shutdown.grace = HumanDuration::new(Duration::from_millis(50));
    config
}

/// Runs `role` on a thread; gives its context once it runs, and its exit code at the end.
fn spawn<F, Fut>(config: CommonConfig, role: F) -> (Context, std::thread::JoinHandle<Exit>)
where
    F: FnOnce(Context) -> Fut + Send + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        run("tester", &config, move |context| {
            sender.send(context.clone()).unwrap();
            role(context)
        })
    });
    (receiver.recv_timeout(Duration::from_secs(30)).unwrap(), thread)
}

#[test]
fn a_soft_stop_ends_with_0_and_closes_the_port() {
    let (context, thread) = spawn(quick(), |context| async move {
        context.readiness.condition("self").set(true, "up");
        context.lifecycle.soft.cancelled().await;
        Ok(())
    });
    assert_eq!(get(context.probes, "/livez").0, 200);
    let ready = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        get(context.probes, "/readyz").0 == 200
    });
    assert!(ready);
    context.lifecycle.soft.cancel();
    assert_eq!(thread.join().unwrap(), Exit::Ok);
    assert!(!context.lifecycle.hard.is_cancelled());
    assert!(std::net::TcpStream::connect(context.probes).is_err());
}

#[test]
fn not_ready_but_alive_while_draining() {
    let mut config = quick();
    config.shutdown.grace = HumanDuration::new(Duration::from_secs(60));
    let (finish, finished) = tokio::sync::oneshot::channel::<()>();
    let (context, thread) = spawn(config, |context| async move {
        context.readiness.condition("self").set(true, "up");
        context.lifecycle.soft.cancelled().await;
        let _ = finished.await;
        Ok(())
    });
    context.lifecycle.soft.cancel();
    let stopping = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        context.readiness.report().stopping
    });
    assert!(stopping);
    assert_eq!(get(context.probes, "/readyz").0, 503);
    assert_eq!(get(context.probes, "/livez").0, 200);
    finish.send(()).unwrap();
    assert_eq!(thread.join().unwrap(), Exit::Ok);
}

#[test]
fn a_role_that_is_done_ends_with_0() {
    let (_, thread) = spawn(quick(), |_| async { Ok(()) });
    assert_eq!(thread.join().unwrap(), Exit::Ok);
}

#[test]
fn a_critical_task_that_dies_ends_the_process_with_its_code() {
    let (context, thread) = spawn(quick(), |context| async move {
        context.lifecycle.spawn_critical("consumer", async { Err(Failure::unavailable("the broker is gone")) });
        context.lifecycle.soft.cancelled().await;
        Ok(())
    });
    assert_eq!(thread.join().unwrap(), Exit::Unavailable);
    assert_eq!(context.lifecycle.failure().unwrap().message, "consumer: the broker is gone");
}

#[test]
fn a_role_that_panics_ends_with_70() {
    let (context, thread) = spawn(quick(), |_| async {
        assert!(std::hint::black_box(false), "the sky fell");
        Ok(())
    });
    assert_eq!(thread.join().unwrap(), Exit::Internal);
    assert!(context.lifecycle.failure().unwrap().message.contains("the sky fell"));
}

#[test]
fn after_the_grace_period_work_is_cut_off() {
    let (context, thread) = spawn(quick(), |context| async move {
        context.lifecycle.hard.cancelled().await;
        Ok(())
    });
    context.lifecycle.soft.cancel();
    assert_eq!(thread.join().unwrap(), Exit::Ok);
    assert!(context.lifecycle.hard.is_cancelled());
}

#[test]
fn a_role_that_never_stops_is_abandoned_with_70() {
    let (context, thread) = spawn(quick(), |_| std::future::pending());
    context.lifecycle.soft.cancel();
    assert_eq!(thread.join().unwrap(), Exit::Internal);
    assert!(context.lifecycle.failure().unwrap().message.contains("abandoned"));
}

#[test]
fn no_port_for_the_probes_ends_with_69_before_the_role_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = quick();
    config.probes.listen = Some(Listen(taken.local_addr().unwrap()));
    let (sender, receiver) = mpsc::channel::<()>();
    let exit = run("tester", &config, move |_| async move {
        sender.send(()).unwrap();
        Ok::<_, Failure>(())
    });
    assert_eq!(exit, Exit::Unavailable);
    assert!(receiver.try_recv().is_err());
}
