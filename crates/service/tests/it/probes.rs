//! The probes' answers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use lockstep_service::Exit;
use lockstep_service::probes::{Probes, Pulse, Readiness};
use prometheus::{IntCounter, Registry};

use crate::http::get;

fn start(registry: &Registry, readiness: &Readiness) -> Probes {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Probes::start("tester", any, registry.clone(), readiness.clone(), Pulse::default()).unwrap()
}

#[test]
fn readyz_follows_the_conditions() {
    let readiness = Readiness::default();
    let probes = start(&Registry::new(), &readiness);
    let status = || get(probes.address(), "/readyz").0;
    assert_eq!(status(), 503, "nothing registered yet");
    let (postgres, broker) = (readiness.condition("postgres"), readiness.condition("broker"));
    postgres.set(true, "connected");
    assert_eq!(status(), 503);
    broker.set(true, "connected");
    let (code, body) = get(probes.address(), "/readyz");
    assert_eq!(code, 200);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["conditions"]["postgres"]["reason"], "connected");
    broker.set(false, "x".repeat(9999));
    assert_eq!(status(), 503);
    assert_eq!(readiness.report().conditions["broker"].reason.len(), 200);
    broker.set(true, "connected");
    assert_eq!(status(), 200);
    readiness.stop();
    assert_eq!(status(), 503);
    probes.stop();
}

#[test]
fn metrics_hold_the_roles_and_the_process_s_own() {
    let registry = Registry::new();
    let counter = IntCounter::new("lockstep_cycles_total", "Cycles").unwrap();
    registry.register(Box::new(counter.clone())).unwrap();
    counter.inc_by(3);
    let probes = start(&registry, &Readiness::default());
    let (code, body) = get(probes.address(), "/metrics");
    assert_eq!(code, 200);
    assert!(body.contains("lockstep_cycles_total 3"), "{body}");
    assert!(body.contains("process_resident_memory_bytes"), "{body}");
    assert!(body.contains("lockstep_build_info{role=\"tester\""), "{body}");
    assert_eq!(get(probes.address(), "/livez").0, 200);
    assert_eq!(get(probes.address(), "/").0, 404);
    probes.stop();
}

#[test]
fn an_address_in_use_is_named() {
    let readiness = Readiness::default();
    let probes = start(&Registry::new(), &readiness);
    let again = Probes::start("tester", probes.address(), Registry::new(), readiness, Pulse::default());
    let Err(failure) = again else { panic!("bound twice") };
    assert_eq!(failure.exit, Exit::Unavailable);
    assert!(failure.message.contains(&probes.address().to_string()), "{failure}");
    assert!(failure.message.contains("probes.listen"), "{failure}");
    probes.stop();
}

#[test]
fn an_endless_header_is_cut_off() {
    let probes = start(&Registry::new(), &Readiness::default());
    let mut stream = TcpStream::connect(probes.address()).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nx: ").unwrap();
    let chunk = [b'a'; 65_536];
    let refused = (0..64).any(|_| stream.write_all(&chunk).is_err());
    let mut answer = Vec::new();
    let closed = stream.read_to_end(&mut answer).is_err() || answer.starts_with(b"HTTP/1.1 431");
    assert!(refused || closed, "4 MiB of header were taken");
    assert_eq!(get(probes.address(), "/livez").0, 200);
    probes.stop();
}
