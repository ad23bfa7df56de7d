//! Requests by their paths.

mod control;
mod ews;
mod login;
mod reply;

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header};

use crate::{
    autodiscover::{self, Place},
    moods::Mood,
    server::Server,
};
pub use login::Connection;
use reply::{Body, empty, text, xml};

/// The largest request: a message of 150 MB and its encoding.
const LARGEST: usize = 256 << 20;
/// How long a client may take to send it.
const BODY: Duration = Duration::from_secs(300);

/// Reads a request's body.
async fn body(request: Request<Incoming>) -> Result<Vec<u8>, Response<Body>> {
    let collected = Limited::new(request.into_body(), LARGEST).collect();
    match tokio::time::timeout(BODY, collected).await {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(_)) => Err(empty(StatusCode::PAYLOAD_TOO_LARGE)),
        Err(_) => Err(empty(StatusCode::REQUEST_TIMEOUT)),
    }
}

async fn route(
    server: &Arc<Server>,
    connection: &Connection,
    request: Request<Incoming>,
) -> Result<Response<Body>, Response<Body>> {
    let path = request.uri().path().to_ascii_lowercase();
    if path.starts_with("/sim/") {
        let (method, query) = (request.method().clone(), request.uri().query().unwrap_or_default().to_owned());
        let body = body(request).await?;
        return Ok(control::answer(server, &method, &path, &query, &body));
    }
    if path.ends_with("/oauth2/token") || path.ends_with("/oauth2/v2.0/token") {
        if request.method() != Method::POST {
            return Err(empty(StatusCode::METHOD_NOT_ALLOWED));
        }
        let (status, answer) = server.issuer.answer(&body(request).await?);
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return Ok(text(status, "application/json", answer.to_string()));
    }
    const PATHS: &[&str] = &[
        "/ews/exchange.asmx",
        "/ews/services.wsdl",
        "/autodiscover/autodiscover.xml",
        "/autodiscover/autodiscover.svc",
    ];
    if !PATHS.contains(&path.as_str()) {
        return Err(empty(StatusCode::NOT_FOUND));
    }
    let authorization =
        request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let account = match login::who(server, connection, authorization.as_deref()) {
        Ok(account) => account,
        Err(response) => {
            // Clients go on sending while they are refused; the connection stays usable when that is read.
            let _ = body(request).await?;
            return Err(response);
        }
    };
    // An application belongs to no mailbox: a front end would not know where to send it without this.
    if account.is_application() && path.starts_with("/ews/") && !request.headers().contains_key("x-anchormailbox") {
        let _ = body(request).await?;
        return Err(text(
            StatusCode::BAD_REQUEST,
            "text/plain; charset=utf-8",
            "X-AnchorMailbox is missing.".to_owned(),
        ));
    }
    match *request.method() {
        Method::POST => {
            let body = body(request).await?;
            if path.starts_with("/autodiscover/") {
                discover(server, &path, &body)
            } else {
                ews::answer(server, &account, body).await
            }
        }
        Method::GET | Method::HEAD => {
            Ok(text(StatusCode::OK, "text/html; charset=utf-8", "<html><body>EWS</body></html>".to_owned()))
        }
        _ => Err(empty(StatusCode::METHOD_NOT_ALLOWED)),
    }
}

#[expect(clippy::result_large_err, reason = "an answer is what it is for")]
fn discover(server: &Server, path: &str, body: &[u8]) -> Result<Response<Body>, Response<Body>> {
    let mut state = server.state();
    let struck = state.moods.strike("Autodiscover", "", Instant::now());
    let origin = server.origin();
    let place = Place { origin: &origin, circle: struck == Some(Mood::RedirectLoop) };
    let request = String::from_utf8_lossy(body);
    if path.ends_with(".xml") {
        return Ok(xml(StatusCode::OK, autodiscover::plain(&state.world, &place, &request)));
    }
    let answer = autodiscover::soap(&state.world, &place, &request);
    answer.map(|body| xml(StatusCode::OK, body)).ok_or_else(|| empty(StatusCode::BAD_REQUEST))
}

/// Answers a request.
///
/// # Errors
/// None; what goes wrong is an answer too, or ends the connection.
pub async fn answer(
    server: Arc<Server>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    Ok(route(&server, &connection, request).await.unwrap_or_else(|refusal| refusal))
}
