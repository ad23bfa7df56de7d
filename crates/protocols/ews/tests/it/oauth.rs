//! Tokens from an endpoint over TLS.

use std::time::Duration;

use exchange_sim::tls::Tls;
use lockstep_connector::{AddressRules, TlsTrust};
use lockstep_ews::oauth::Service;
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use url::Url;

use crate::{scripted::answer, simulator::deadline};

/// An endpoint that gives a token to whoever says the right words.
async fn endpoint() -> (u16, TlsTrust) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = Tls::new(address.ip()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authority.pem");
    std::fs::write(&path, &tls.authority_pem).unwrap();
    let trust = TlsTrust::load(Some(&path)).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = tls.acceptor.accept(stream).await.unwrap();
            let (mut request, mut piece) = (String::new(), [0; 4096]);
            while !request.contains("scope=") {
                let read = stream.read(&mut piece).await.unwrap();
                request.push_str(&String::from_utf8_lossy(&piece[..read]));
            }
            let right = request.starts_with("POST /tenant/oauth2/v2.0/token HTTP/1.1")
                && request.contains("grant_type=client_credentials&client_id=app&client_secret=a%26b&scope=");
            let reply = if right {
                answer(200, "", r#"{"token_type":"Bearer","expires_in":100,"access_token":"T"}"#)
            } else {
                answer(401, "", r#"{"error":"invalid_client"}"#)
            };
            stream.write_all(reply.as_bytes()).await.unwrap();
        }
    });
    (address.port(), trust)
}

#[tokio::test]
async fn a_service_gets_its_token() {
    let (port, trust) = endpoint().await;
    let url = Url::parse(&format!("https://127.0.0.1:{port}/tenant/oauth2/v2.0/token")).unwrap();
    let (right, wrong): (SecretString, SecretString) = ("a&b".to_owned().into(), "other".to_owned().into());
    let service = Service {
        trust: &trust,
        addresses: AddressRules::default(),
        token_url: &url,
        client_id: "app",
        client_secret: &right,
        scope: "https://outlook.office365.com/.default",
        patience: Duration::from_secs(10),
    };
    let token = service.token(&deadline()).await.unwrap();
    assert_eq!((token.secret.expose_secret(), token.lifetime), ("T", Duration::from_secs(100)));
    let refused = Service { client_secret: &wrong, ..service }.token(&deadline()).await.unwrap_err();
    assert_eq!(refused.code, "Unauthorized");
    assert!(!refused.message.contains("other"));
    let plain = Url::parse("http://127.0.0.1/token").unwrap();
    let refused = Service { token_url: &plain, ..service }.token(&deadline()).await.unwrap_err();
    assert_eq!(refused.code, "SecureConnectionFailed");
}
