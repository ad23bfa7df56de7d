//! A server that answers with what a test tells it, whatever is asked.

use lockstep_connector::TlsTrust;
use lockstep_ews::Ews;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Reads one request: its head, and its body by length or in chunks.
pub(crate) async fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut got = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        if let Some(end) = got.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&got[..end]).to_lowercase();
            let body = got.len() - end - 4;
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if length.is_some_and(|length| body >= length) || (length.is_none() && got.ends_with(b"0\r\n\r\n")) {
                return Some(got);
            }
        }
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => got.extend_from_slice(&piece[..read]),
        }
    }
}

/// An envelope around a body.
pub(crate) fn envelope(body: &str) -> String {
    format!(
        r#"<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>{body}</s:Body></s:Envelope>"#
    )
}

/// The answer to the question that each connection begins with.
pub(crate) const INBOX: &str = r#"<GetFolderResponse><ResponseMessages><GetFolderResponseMessage ResponseClass="Success"><ResponseCode>NoError</ResponseCode><Folders><Folder><FolderId Id="inbox"/></Folder></Folders></GetFolderResponseMessage></ResponseMessages></GetFolderResponse>"#;

pub(crate) fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} Answer\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Lets everybody in, and answers every other request with this.
pub(crate) async fn serve(reply: String) -> u16 {
    serve_by(move |_| reply.clone()).await
}

/// Lets everybody in, and answers every other request with what is made of it.
pub(crate) async fn serve_by(reply: impl Fn(&str) -> String + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let reply = reply.clone();
            tokio::spawn(async move {
                while let Some(request) = read_request(&mut stream).await {
                    let hello = answer(200, "Content-Type: text/xml\r\n", &envelope(INBOX));
                    let look = request.windows(9).any(|window| window == b"GetFolder");
                    let reply = if look { hello } else { reply(&String::from_utf8_lossy(&request)) };
                    if stream.write_all(reply.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

pub(crate) fn connector() -> Ews {
    Ews::new(TlsTrust::load(None).unwrap())
}
