//! The REST API's port against clients that take places and give nothing.

use std::{
    fs::OpenOptions,
    io::Write,
    time::{Duration, Instant},
};

use lockstep_test_support::{Service, Services};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    process::Running,
    world::{SOON, World},
};

const REQUEST: &[u8] = b"GET /api/v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n";
const FINE: &[u8] = b"HTTP/1.1 200 OK\r\n";

/// The web role with these limits, ready.
async fn web(limits: &str) -> (World, Running) {
    let services = Services::shared_with(&[Service::Postgres, Service::RabbitMq, Service::Redis]).await;
    let world = World::create(services).await;
    let mut settings = OpenOptions::new().append(true).open(world.settings()).unwrap();
    write!(settings, "[web.limits]\n{limits}").unwrap();
    world.admin(&["migrate", "--organisation", "Contoso"]).await;
    let web = Running::start("web", &[], world.settings());
    world.ready(200).await;
    (world, web)
}

async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(("127.0.0.1", world.web)).await.unwrap()
}

/// The next answer's first line.
async fn answered(stream: &mut TcpStream) -> bool {
    let mut line = [0; FINE.len()];
    stream.read_exact(&mut line).await.is_ok() && line == *FINE
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_the_bound_wait_for_a_place() {
    let (world, web) = web("max_connections = 2\n").await;
    let mut places = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(&world).await;
        stream.write_all(REQUEST).await.unwrap();
        assert!(timeout(SOON, answered(&mut stream)).await.unwrap());
        places.push(stream);
    }
    let mut third = connect(&world).await;
    third.write_all(REQUEST).await.unwrap();
    assert!(timeout(Duration::from_secs(2), answered(&mut third)).await.is_err(), "no place is free");
    drop(places);
    assert!(timeout(SOON, answered(&mut third)).await.unwrap());
    assert_eq!(web.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_head_is_cut_and_a_slow_body_is_not() {
    let (world, web) = web("head_timeout_seconds = 1\n").await;
    // Alive all the time, and never done.
    let (mut reader, mut writer) = connect(&world).await.into_split();
    let begun = Instant::now();
    let dribble = async {
        writer.write_all(b"GET / HTTP/1.1\r\nx: ").await?;
        loop {
            writer.write_all(b"y").await?;
            sleep(Duration::from_millis(50)).await;
        }
    };
    let mut rest = Vec::new();
    tokio::select! {
        _ = reader.read_to_end(&mut rest) => {}
        ended = dribble => { let _: std::io::Result<()> = ended; }
        () = sleep(SOON) => panic!("a slow head is not cut"),
    }
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());

    let mut quiet = connect(&world).await;
    let closed = timeout(SOON, quiet.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "who says nothing is cut too");

    let mut slow = connect(&world).await;
    let body = br#"{"name":"nobody","password":"no password of anybody"}"#;
    let head = format!(
        "POST /api/v1/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let begun = Instant::now();
    for byte in body {
        slow.write_all(&[*byte]).await.unwrap();
        sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() > Duration::from_secs(2));
    let mut status = [0; 12];
    timeout(SOON, slow.read_exact(&mut status)).await.unwrap().unwrap();
    assert_eq!(&status, b"HTTP/1.1 401");
    assert_eq!(web.stop().await, Some(0));
}
