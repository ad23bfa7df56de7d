//! What holds for every request: an id, a span, figures, a bound on how many and how long, and no panic outside.

use std::{panic::AssertUnwindSafe, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use tracing::Instrument;
use uuid::Uuid;

use crate::{problem::Problem, state::App};

const REQUEST_ID: &str = "x-request-id";

/// The outermost layer.
pub(crate) async fn around(State(state): State<App>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let method = known_method(request.method());
    let id = Uuid::now_v7().to_string();
    let span = tracing::info_span!("web.request", http.route = %route, http.method = method, request.id = %id);
    let started = Instant::now();
    let mut response = bounded(&state, &route, request, next).instrument(span.clone()).await;
    let elapsed = started.elapsed();
    let status = response.status();
    state.metrics.requests.with_label_values(&[route.as_str(), method, status.as_str()]).inc();
    state.metrics.duration.with_label_values(&[route.as_str(), method]).observe(elapsed.as_secs_f64());
    span.in_scope(|| {
        tracing::debug!(status = status.as_u16(), elapsed_ms = elapsed.as_millis(), "answered");
    });
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn bounded(state: &App, route: &str, request: Request, next: Next) -> Response {
    let Ok(_room) = state.room.try_acquire() else {
        return Problem::unavailable("Too many requests are being answered at the moment. Try again shortly.")
            .into_response();
    };
    let upload = request.method() == Method::POST && route.ends_with("/attachments");
    let within = if upload { state.limits.upload_timeout() } else { state.limits.timeout() };
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(within, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!("a handler panicked");
            Problem::internal().into_response()
        }
        Err(_) => Problem::unavailable("The request took too long.").into_response(),
    }
}

/// Methods as labels: clients may invent others.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// No route has this path.
pub(crate) async fn not_found() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no-such-route",
        "Not found",
        "There is no such path. GET /api/v1/openapi.json lists all there are.",
    )
}

/// The route has other methods; the Allow header names them.
pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let shown: String = uri.path().chars().take(200).collect();
    let detail = format!("{shown} does not take {}; see the Allow header.", known_method(&method));
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail)
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use axum::{Router, body::Body, middleware::from_fn_with_state, routing::get};
    use lockstep_connector::AddressRules;
    use lockstep_model::clock::SystemClock;
    use lockstep_store::{PoolOptions, Store, Vault};
    use tower::ServiceExt;

    use super::*;
    use crate::{AppState, WebConfig};

    fn app(max_concurrent: usize) -> Router {
        let options = PoolOptions {
            max_connections: 1,
            acquire_timeout: Duration::from_secs(1),
            statement_timeout: Duration::from_secs(1),
            application_name: String::new(),
        };
        let vault = Vault::new([("k".to_owned(), vec![0; 32])]).unwrap();
        let clock = Arc::new(SystemClock::default());
        let store = Store::open("postgres://nobody@127.0.0.1:1/none", &options, clock, vault).unwrap();
        let mut config = WebConfig::default();
        config.limits.max_concurrent = max_concurrent;
        let registry = prometheus::Registry::new();
        let receivers = AddressRules::default();
        let state = AppState::new(store, Vec::new(), |_| false, receivers, &config, &registry).unwrap();
        Router::new()
            .route("/panic", get(panics))
            .route("/slow", get(std::future::pending::<()>))
            .layer(from_fn_with_state(state, around))
    }

    async fn panics() -> &'static str {
        panic!("geheim")
    }

    async fn get_path(app: &Router, path: &str) -> (u16, String) {
        let request = Request::builder().uri(path.to_owned()).body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_without_internals() {
        let (status, body) = get_path(&app(8), "/panic").await;
        assert_eq!(status, 500);
        assert!(body.contains("/problems/internal") && !body.contains("geheim"));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_requests_end_and_do_not_take_all_room() {
        let app = app(1);
        let slow = tokio::spawn({
            let app = app.clone();
            async move { get_path(&app, "/slow").await }
        });
        tokio::task::yield_now().await;
        let (status, body) = get_path(&app, "/slow").await;
        assert_eq!(status, 503);
        assert!(body.contains("Too many"));
        let (status, body) = slow.await.unwrap();
        assert_eq!(status, 503);
        assert!(body.contains("too long"));
    }
}
