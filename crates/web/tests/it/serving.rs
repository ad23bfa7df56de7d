//! Over a real socket.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::world::World;

#[tokio::test]
async fn serves_until_it_is_told_to_stop() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(lockstep_web::serve(listener, Arc::clone(&world.state), stop.clone()));

    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));

    stop.cancel();
    timeout(Duration::from_secs(25), serving).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

/// Guesses from one address are slowed down whatever names they try; the proxy says which address that is, and others
/// are not held up.
#[tokio::test]
async fn guesses_from_one_address_are_slowed_down() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(lockstep_web::serve(listener, Arc::clone(&world.state), stop.clone()));
    let guess = async |source: &str, name: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let body = format!(r#"{{"name":"{name}","password":"geheim"}}"#);
        let request = format!(
            "POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
             X-Forwarded-Proto: https\r\nX-Forwarded-For: 192.0.2.9, {source}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        String::from_utf8(answer).unwrap()
    };
    for n in 0..30 {
        let answer = guess("203.0.113.7", &format!("name{n}")).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{n}: {answer}");
    }
    let late = guess("203.0.113.7", "another").await;
    assert!(late.starts_with("HTTP/1.1 429 ") && late.contains("retry-after: "), "{late}");
    let other = guess("203.0.113.8", "another").await;
    assert!(other.starts_with("HTTP/1.1 401 "), "{other}");
    stop.cancel();
    timeout(Duration::from_secs(25), serving).await.unwrap().unwrap();
}

/// B16: passwords are refused, with the field's name, when the proxy before us says that they came over plain HTTP; a
/// request without one passes.
#[tokio::test]
async fn b16_passwords_come_over_https_only() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(lockstep_web::serve(listener, Arc::clone(&world.state), stop.clone()));
    let ask = async |header: &str, body: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
             {header}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        String::from_utf8(answer).unwrap()
    };
    let body = r#"{"name":"nobody","password":"geheim"}"#;
    let plain = ask("X-Forwarded-Proto: http\r\n", body).await;
    assert!(plain.starts_with("HTTP/1.1 422 ") && plain.contains("plain-http"), "{plain}");
    assert!(plain.contains(r#""field":"password""#) && !plain.contains("geheim"), "{plain}");
    for header in ["", "X-Forwarded-Proto: https\r\n"] {
        let protected = ask(header, body).await;
        assert!(protected.starts_with("HTTP/1.1 401 "), "nobody is not known: {protected}");
    }
    let without = ask("X-Forwarded-Proto: http\r\n", r#"{"name":"nobody"}"#).await;
    assert!(
        without.contains(r#""field":"password""#) && !without.contains("plain-http"),
        "missing, not refused: {without}"
    );
    stop.cancel();
    timeout(Duration::from_secs(25), serving).await.unwrap().unwrap();
}
