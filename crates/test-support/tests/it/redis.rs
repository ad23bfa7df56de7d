//! Logical databases of their own.

use lockstep_test_support::redis::{Reply, TestRedis};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use url::Url;

#[tokio::test]
async fn flushing_one_leaves_the_other() {
    let (one, other) = tokio::join!(TestRedis::create(), TestRedis::create());
    assert_ne!(one.url(), other.url());
    for redis in [&one, &other] {
        redis.command(&["SET", "key", "value"]).await.unwrap();
    }
    one.flush().await;
    assert_eq!(one.command(&["GET", "key"]).await.unwrap(), Reply::Nil);
    assert_eq!(other.command(&["GET", "key"]).await.unwrap(), Reply::Text("value".to_owned()));
    assert_eq!(other.command(&["DBSIZE"]).await.unwrap(), Reply::Integer(1));
}

#[tokio::test]
async fn the_address_is_that_of_a_redis() {
    let redis = TestRedis::create().await;
    let url: Url = redis.url().parse().unwrap();
    let mut stream = TcpStream::connect((url.host_str().unwrap(), url.port().unwrap())).await.unwrap();
    stream.write_all(b"PING\r\n").await.unwrap();
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
}

#[tokio::test]
async fn errors_of_the_server_are_told() {
    let redis = TestRedis::create().await;
    let error = redis.command(&["INCR"]).await.unwrap_err();
    assert!(error.to_string().contains("wrong number of arguments"), "{error}");
}
