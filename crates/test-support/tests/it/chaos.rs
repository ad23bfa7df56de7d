//! The proxy does what it is told, and counts.

use std::{io::ErrorKind, time::Duration};

use lockstep_test_support::{
    chaos::{ChaosProxy, Mode},
    eventually,
    scripted::{ScriptOptions, ScriptedServer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::SOON;

/// A server that sends every line back.
async fn echo() -> ScriptedServer {
    ScriptedServer::start(ScriptOptions::default(), async |_, mut peer| {
        loop {
            let line = peer.line().await?;
            peer.send(format!("{line}\n")).await?;
        }
    })
    .await
}

async fn proxied() -> (ScriptedServer, ChaosProxy) {
    let server = echo().await;
    let proxy = ChaosProxy::in_front_of(&format!("127.0.0.1:{}", server.port())).await;
    (server, proxy)
}

async fn connect(proxy: &ChaosProxy) -> TcpStream {
    TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap()
}

async fn round_trip(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"ping\n").await?;
    let mut answer = [0; 5];
    timeout(SOON, stream.read_exact(&mut answer)).await??;
    assert_eq!(&answer, b"ping\n");
    Ok(())
}

#[tokio::test]
async fn counts_current_and_peak_connections() {
    let (_server, proxy) = proxied().await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(&proxy).await;
        round_trip(&mut stream).await.unwrap();
        streams.push(stream);
    }
    assert_eq!((proxy.open(), proxy.peak(), proxy.accepted()), (4, 4, 4));
    streams.truncate(1);
    eventually(SOON, async || proxy.open() == 1, "three connections closed").await;
    assert_eq!(proxy.peak(), 4);
    proxy.reset_peak();
    assert_eq!(proxy.peak(), 1);
}

#[tokio::test]
async fn cut_resets_what_is_open_and_lets_new_connections_in() {
    let (_server, proxy) = proxied().await;
    let mut stream = connect(&proxy).await;
    round_trip(&mut stream).await.unwrap();
    proxy.cut_all();
    let end = timeout(SOON, stream.read(&mut [0; 1])).await.unwrap();
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    round_trip(&mut connect(&proxy).await).await.unwrap();
}

#[tokio::test]
async fn refuse_refuses_until_told_otherwise() {
    let (_server, proxy) = proxied().await;
    let mut before = connect(&proxy).await;
    round_trip(&mut before).await.unwrap();
    proxy.set(Mode::Refuse);
    let refused = async || TcpStream::connect(("127.0.0.1", proxy.port())).await.is_err();
    eventually(SOON, refused, "connections are refused").await;
    round_trip(&mut before).await.unwrap();
    proxy.set(Mode::Pass);
    let connected = async || TcpStream::connect(("127.0.0.1", proxy.port())).await;
    round_trip(&mut eventually(SOON, connected, "connections are let in").await).await.unwrap();
}

#[tokio::test]
async fn a_black_hole_never_answers_and_gives_back_what_it_swallowed() {
    let (_server, proxy) = proxied().await;
    proxy.set(Mode::Blackhole);
    let mut stream = connect(&proxy).await;
    stream.write_all(b"ping\n").await.unwrap();
    let mut answer = [0; 5];
    assert!(timeout(Duration::from_millis(200), stream.read_exact(&mut answer)).await.is_err());
    proxy.set(Mode::Pass);
    timeout(SOON, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"ping\n");

    proxy.set(Mode::Blackhole);
    drop(stream);
    eventually(SOON, async || proxy.open() == 0, "a client that gives up is noticed").await;
}

#[tokio::test]
async fn delay_holds_each_direction_back() {
    let (_server, proxy) = proxied().await;
    let mut stream = connect(&proxy).await;
    proxy.set(Mode::Delay(Duration::from_millis(100)));
    let start = Instant::now();
    round_trip(&mut stream).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
}

#[tokio::test]
async fn cuts_after_so_many_bytes() {
    let (server, proxy) = proxied().await;
    proxy.set(Mode::CutAfterReceived(3));
    let mut stream = connect(&proxy).await;
    stream.write_all(b"ping\n").await.unwrap();
    let mut answer = Vec::new();
    let mut byte = [0; 1];
    while let Ok(1) = timeout(SOON, stream.read(&mut byte)).await.unwrap() {
        answer.push(byte[0]);
    }
    assert!(b"pin".starts_with(&answer), "at most three bytes: {answer:?}");
    assert_eq!(server.received(), [["ping"]]);

    proxy.set(Mode::CutAfterSent(3));
    let mut stream = connect(&proxy).await;
    stream.write_all(b"ping\n").await.unwrap();
    assert!(timeout(SOON, stream.read(&mut byte)).await.unwrap().is_err());
    assert_eq!(server.received().iter().flatten().count(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_looks_like_a_reset() {
    let (server, proxy) = proxied().await;
    let port = server.port();
    drop(server);
    eventually(SOON, async || TcpStream::connect(("127.0.0.1", port)).await.is_err(), "the server is gone").await;
    let mut stream = connect(&proxy).await;
    assert!(timeout(SOON, stream.read(&mut [0; 1])).await.unwrap().is_err());
}
