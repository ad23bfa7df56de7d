//! Connections that end, and answers that are none.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lockstep_connector::Deadline;
use lockstep_ews::{
    client::Client,
    codec::{
        create_item::{self, How},
        folder,
        id::FolderRef,
        property::Shape,
        sync_folder_items,
    },
};
use lockstep_model::{
    fault::FaultClass,
    profile::{AuthMethod, TlsMode},
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use crate::{
    scripted::{INBOX, answer, connector, envelope, read_request, serve},
    simulator::{deadline, target},
};

async fn client(port: u16) -> Client {
    let mut to = target(port, TlsMode::Plain, "ann@example.test");
    to.endpoint.auth = AuthMethod::Plain;
    Client::open(connector().options(&to), &deadline()).await.unwrap()
}

fn question() -> String {
    folder::request(&[FolderRef::Distinguished("calendar")], &Shape::default())
}

/// A server that answers so many requests of a connection, and closes it with the next without a word; or says beforehand
/// that it will. It counts the requests it read.
async fn closing(after: usize, says_so: bool) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            for number in 1.. {
                if read_request(&mut stream).await.is_none() {
                    break;
                }
                counted.fetch_add(1, Ordering::Relaxed);
                if number > after {
                    break;
                }
                let close = if says_so && number == after { "Connection: close\r\n" } else { "" };
                let reply = answer(200, close, &envelope(INBOX));
                stream.write_all(reply.as_bytes()).await.unwrap();
                if says_so && number == after {
                    break;
                }
            }
        }
    });
    (port, count)
}

#[tokio::test]
async fn a_closed_connection_is_opened_again() {
    for says_so in [true, false] {
        let (port, _) = closing(2, says_so).await;
        let mut client = client(port).await;
        for round in 0..5 {
            client.call(&question(), &deadline()).await.unwrap_or_else(|fault| panic!("{says_so} {round}: {fault}"));
        }
    }
}

/// What changes something is never said twice: the server may have heard it.
#[tokio::test]
async fn only_questions_are_repeated() {
    let (port, count) = closing(1, false).await;
    let mut client = client(port).await;
    let task = create_item::request(How::Other, None, "<t:Task/>");
    let fault = client.call(&task, &deadline()).await.unwrap_err();
    assert_eq!((fault.class, fault.code.as_str()), (FaultClass::Transient, "ConnectionLost"));
    assert_eq!(count.load(Ordering::Relaxed), 2, "the question at the beginning, and the task once");
    client.call(&question(), &deadline()).await.unwrap_err();
}

/// Whatever a server answers, the call ends in time and without a panic.
#[tokio::test]
async fn answers_of_any_sort_end_the_call() {
    let page = r#"<m:SyncFolderItemsResponse><m:ResponseMessages><m:SyncFolderItemsResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode><m:SyncState>S</m:SyncState><m:IncludesLastItemInRange>true</m:IncludesLastItemInRange><m:Changes/></m:SyncFolderItemsResponseMessage></m:ResponseMessages></m:SyncFolderItemsResponse>"#;
    let good = answer(200, "Content-Type: text/xml\r\n", &envelope(page));
    let request = sync_folder_items::request(&FolderRef::Distinguished("inbox"), &Shape::default(), None, 5);
    let mut runner = TestRunner::new(Config::default());
    let changes = prop::collection::vec((0..good.len(), any::<u8>()), 1..5);
    for _ in 0..60 {
        let mut bytes = good.clone().into_bytes();
        for (at, byte) in changes.new_tree(&mut runner).unwrap().current() {
            bytes[at] = byte;
        }
        let port = serve(String::from_utf8_lossy(&bytes).into_owned()).await;
        let mut client = client(port).await;
        let short = Deadline::within(Duration::from_millis(1_500));
        let called = tokio::time::timeout(Duration::from_secs(10), client.call_one(&request, &short)).await;
        let _ = called.unwrap_or_else(|_| panic!("no end: {}", String::from_utf8_lossy(&bytes)));
    }
}
