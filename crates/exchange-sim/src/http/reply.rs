//! Answers: whole, cut off, or a stream.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, combinators::BoxBody};
use hyper::{Response, StatusCode, body::Frame, header};
use tokio::sync::mpsc;

/// A body of any kind.
pub(super) type Body = BoxBody<Bytes, io::Error>;

/// Pieces that come from a channel; the stream ends with it.
struct Pieces(mpsc::Receiver<Result<Bytes, io::Error>>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

fn with(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// Nothing but a status.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    with(status, Empty::new().map_err(|never| match never {}).boxed())
}

/// A text.
pub(super) fn text(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = with(status, Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed());
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

/// XML, as clients of the dialect insist on it.
pub(super) fn xml(status: StatusCode, body: String) -> Response<Body> {
    text(status, "text/xml; charset=utf-8", body)
}

/// A stream of pieces, and the end that feeds it. An error ends the connection.
pub(super) fn stream() -> (mpsc::Sender<Result<Bytes, io::Error>>, Response<Body>) {
    let (sender, receiver) = mpsc::channel(16);
    let mut response = with(StatusCode::OK, Pieces(receiver).boxed());
    let kind = header::HeaderValue::from_static("text/xml; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    (sender, response)
}

/// An answer that ends, with its connection, after so many octets.
pub(super) fn cut(body: &str, after: usize) -> Response<Body> {
    let (sender, mut response) = stream();
    let length = header::HeaderValue::from(body.len() + 1);
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    let piece = Bytes::copy_from_slice(&body.as_bytes()[..after.min(body.len())]);
    // The channel has room for both.
    let _ = sender.try_send(Ok(piece));
    let _ = sender.try_send(Err(io::ErrorKind::ConnectionAborted.into()));
    response
}
