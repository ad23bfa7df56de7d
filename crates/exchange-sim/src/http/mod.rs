//! Requests by their paths.

mod control;
mod ews;
mod reply;

use std::{convert::Infallible, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header};

use crate::{
    auth::{Account, basic},
    server::Server,
};
use reply::{Body, empty, text};

/// The largest request: a message of 150 MB and its encoding.
const LARGEST: usize = 256 << 20;
/// How long a client may take to send it.
const BODY: Duration = Duration::from_secs(300);

/// What is remembered of a connection between its requests.
#[derive(Debug, Default)]
pub struct Connection {}

/// Who asks, or the answer that asks who it is.
#[expect(clippy::result_large_err, reason = "an answer is what it is for")]
fn who(server: &Server, _connection: &Connection, authorization: Option<&str>) -> Result<Account, Response<Body>> {
    let known = match authorization.and_then(|value| value.split_once(' ')) {
        Some((scheme, value)) if scheme.eq_ignore_ascii_case("basic") => basic::check(&server.accounts, value).cloned(),
        _ => None,
    };
    known.ok_or_else(|| {
        let mut response = empty(StatusCode::UNAUTHORIZED);
        let basic = header::HeaderValue::from_static("Basic realm=\"exchange-sim\"");
        response.headers_mut().append(header::WWW_AUTHENTICATE, basic);
        response
    })
}

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
    if path != "/ews/exchange.asmx" && path != "/ews/services.wsdl" {
        return Err(empty(StatusCode::NOT_FOUND));
    }
    let authorization =
        request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let account = match who(server, connection, authorization.as_deref()) {
        Ok(account) => account,
        Err(response) => {
            // Clients go on sending while they are refused; the connection stays usable when that is read.
            let _ = body(request).await?;
            return Err(response);
        }
    };
    match *request.method() {
        Method::POST => {
            let body = body(request).await?;
            ews::answer(server, &account, body).await
        }
        Method::GET | Method::HEAD => {
            Ok(text(StatusCode::OK, "text/html; charset=utf-8", "<html><body>EWS</body></html>".to_owned()))
        }
        _ => Err(empty(StatusCode::METHOD_NOT_ALLOWED)),
    }
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
