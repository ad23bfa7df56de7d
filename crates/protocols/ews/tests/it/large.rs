//! Messages of any size pass through a bounded memory, both ways.

use std::time::Duration;

use lockstep_connector::{Connector, Deadline, Envelope, PointOfNoReturn, RecipientReply, RemoteHead};
use lockstep_model::{
    fault::Fault,
    profile::{AuthMethod, TlsMode},
    remote::RemoteKey,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    scripted::{INBOX, answer, connector, envelope, read_request},
    simulator::{deadline, target},
};

/// Bytes of the message: 100 MB.
const SIZE: usize = 3 * 35_000_000;
/// What a piece of it is encoded from.
const PIECE: usize = 3 * 10_000;

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// A server with one large message, made on the fly; and one that swallows requests of any size.
async fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                read_request(&mut stream).await.unwrap();
                stream.write_all(answer(200, "", &envelope(INBOX)).as_bytes()).await.unwrap();
                let mut head = [0; 4096];
                let read = stream.read(&mut head).await.unwrap();
                let chunked = String::from_utf8_lossy(&head[..read]).contains("chunked");
                if chunked {
                    let mut tail = head[..read].to_vec();
                    let mut piece = vec![0; 64 * 1024];
                    while !tail.ends_with(b"0\r\n\r\n") {
                        let read = stream.read(&mut piece).await.unwrap();
                        tail.extend_from_slice(&piece[..read]);
                        let keep = tail.len().saturating_sub(8);
                        tail.drain(..keep);
                    }
                    let done = r#"<r><ResponseMessages><m ResponseClass="Success"><ResponseCode>NoError</ResponseCode></m></ResponseMessages></r>"#;
                    stream.write_all(answer(200, "", &envelope(done)).as_bytes()).await.unwrap();
                    return;
                }
                let before = r#"<s:Envelope xmlns:s="x"><s:Body><r><ResponseMessages><m ResponseClass="Success"><ResponseCode>NoError</ResponseCode><Items><Message><MimeContent CharacterSet="UTF-8">"#;
                let after = "</MimeContent></Message></Items></m></ResponseMessages></r></s:Body></s:Envelope>";
                let piece = "QUJD".repeat(PIECE / 3);
                let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
                stream.write_all([head, before].concat().as_bytes()).await.unwrap();
                for _ in 0..SIZE / PIECE {
                    stream.write_all(piece.as_bytes()).await.unwrap();
                }
                stream.write_all(after.as_bytes()).await.unwrap();
            });
        }
    });
    port
}

struct Open;

#[async_trait::async_trait]
impl PointOfNoReturn for Open {
    async fn cross(&mut self, _: &[RecipientReply]) -> Result<(), Fault> {
        Ok(())
    }
}

#[tokio::test]
async fn a_hundred_megabytes_are_never_held() {
    let port = serve().await;
    let mut to = target(port, TlsMode::Plain, "ann@example.test");
    to.endpoint.auth = AuthMethod::Plain;
    let long = Deadline::within(Duration::from_secs(300));
    let mut session = connector().open(&to, &deadline()).await.unwrap();
    let head = RemoteHead { key: RemoteKey::new("large").unwrap(), handle: 0, size: 0, weak: false };
    let (before, mut most, mut total) = (resident(), 0, 0);
    let mut reader = session.fetch(&head, &long).await.unwrap();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = reader.read(&mut piece).await.unwrap();
        if read == 0 {
            break;
        }
        assert_eq!(piece[0], b"ABC"[total % 3]);
        if total >> 20 != (total + read) >> 20 {
            most = most.max(resident());
        }
        total += read;
    }
    drop(reader);
    assert_eq!(total, SIZE / PIECE * PIECE);
    assert!(most.saturating_sub(before) < 40 << 20, "reading took {} MB", (most - before) >> 20);
    let before = resident();
    let size = Some(SIZE as u64);
    let envelope = Envelope { from: "a@x.test".into(), to: vec!["b@x.test".into()], size, save_copy: true };
    let body = Box::pin(tokio::io::repeat(b'y').take(SIZE as u64));
    session.send(&envelope, body, &mut Open, &long).await.unwrap();
    assert!(resident().saturating_sub(before) < 40 << 20, "sending took {} MB", (resident() - before) >> 20);
}
