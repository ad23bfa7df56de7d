//! The scripted server keeps to its script, whatever the client does.

use std::sync::Arc;

use lockstep_test_support::{
    eventually,
    scripted::{ScriptOptions, ScriptedServer, Step},
    tls::ServerIdentity,
};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::SOON;

async fn connect(server: &ScriptedServer) -> TcpStream {
    TcpStream::connect(("127.0.0.1", server.port())).await.unwrap()
}

async fn everything(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut all = Vec::new();
    timeout(SOON, stream.read_to_end(&mut all)).await.unwrap().unwrap();
    all
}

#[tokio::test]
async fn plays_one_script_for_each_connection() {
    let first = vec![Step::send("one\r\n"), Step::expect("HELO"), Step::send("bye\r\n")];
    let further = vec![Step::send("later\r\n")];
    let server = ScriptedServer::play(ScriptOptions::default(), vec![first, further]).await;
    let mut stream = connect(&server).await;
    stream.write_all(b"HELO me\r\n").await.unwrap();
    assert_eq!(everything(&mut stream).await, b"one\r\nbye\r\n");
    for _ in 0..2 {
        assert_eq!(everything(&mut connect(&server).await).await, b"later\r\n");
    }
    server.assert_followed();
    assert_eq!(server.received()[0], ["HELO me"]);
    assert_eq!(server.accepted(), 3);
}

#[tokio::test]
async fn a_client_that_says_something_else_is_reported() {
    let server = ScriptedServer::play(ScriptOptions::default(), vec![vec![Step::expect("QUIT")]]).await;
    let mut stream = connect(&server).await;
    stream.write_all(b"NOOP\r\n").await.unwrap();
    everything(&mut stream).await;
    let failure = eventually(SOON, async || server.failures().pop(), "a failure").await;
    assert!(failure.contains("expected \"QUIT\", got \"NOOP\""), "{failure}");
}

#[tokio::test]
async fn one_byte_at_a_time_over_tls_after_a_command() {
    let identity = ServerIdentity::new(&["localhost"]);
    let options = ScriptOptions { tls: Some(identity.server()), one_byte_chunks: true, ..Default::default() };
    let script = vec![Step::expect("STLS"), Step::send("+OK\r\n"), Step::StartTls, Step::send("secret\r\n")];
    let server = ScriptedServer::play(options, vec![script]).await;
    let mut stream = connect(&server).await;
    stream.write_all(b"STLS\r\n").await.unwrap();
    let mut ok = [0; 5];
    timeout(SOON, stream.read_exact(&mut ok)).await.unwrap().unwrap();
    let connector = TlsConnector::from(identity.client());
    let mut secure = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    let mut text = [0; 8];
    timeout(SOON, secure.read_exact(&mut text)).await.unwrap().unwrap();
    assert_eq!(&text, b"secret\r\n");
    server.assert_followed();
}

#[tokio::test]
async fn implicit_tls_shows_the_identity_to_those_who_trust_it() {
    let (identity, stranger) = (ServerIdentity::new(&["localhost"]), ServerIdentity::new(&["localhost"]));
    let options = ScriptOptions { tls: Some(identity.server()), implicit_tls: true, ..Default::default() };
    let server = ScriptedServer::play(options, vec![vec![Step::send("hi"), Step::Stall]]).await;
    let name = ServerName::try_from("localhost").unwrap();
    let refused = TlsConnector::from(stranger.client()).connect(name.clone(), connect(&server).await).await;
    assert!(refused.is_err());
    let mut secure = TlsConnector::from(identity.client()).connect(name, connect(&server).await).await.unwrap();
    let mut text = [0; 2];
    timeout(SOON, secure.read_exact(&mut text)).await.unwrap().unwrap();
    assert!(identity.authority_pem().starts_with("-----BEGIN CERTIFICATE-----"));
}

#[tokio::test]
async fn stalls_until_the_client_leaves_and_floods_until_then() {
    let scripts = vec![vec![Step::Stall], vec![Step::Flood(b"x".repeat(1000))]];
    let server = Arc::new(ScriptedServer::play(ScriptOptions::default(), scripts).await);
    let mut stalled = connect(&server).await;
    stalled.write_all(b"anybody there?\r\n").await.unwrap();
    eventually(SOON, async || server.open() == 1, "the first is served").await;
    let mut flooded = connect(&server).await;
    let mut much = vec![0; 1_000_000];
    timeout(SOON, flooded.read_exact(&mut much)).await.unwrap().unwrap();
    drop((stalled, flooded));
    eventually(SOON, async || server.open() == 0, "both conversations end").await;
    server.assert_followed();
}

#[tokio::test]
async fn reset_is_a_reset() {
    let server = ScriptedServer::play(ScriptOptions::default(), vec![vec![Step::expect("x"), Step::Reset]]).await;
    let mut stream = connect(&server).await;
    stream.write_all(b"x\r\n").await.unwrap();
    let end = timeout(SOON, stream.read(&mut [0; 1])).await.unwrap();
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}
