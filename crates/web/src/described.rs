//! A request holds nothing that its route does not take: the description of the API says what that is, and what is not
//! described is refused instead of left unread.

use std::{collections::HashMap, sync::OnceLock};

use axum::{
    body::{Body, HttpBody, to_bytes},
    extract::Request,
};
use utoipa::openapi::{
    RefOr,
    path::{Operation, Parameter, ParameterIn, PathItem},
};

use crate::{
    api,
    json::clip,
    problem::Problem,
    query::{MAX_NAME, known},
};

/// So much of a body that should not be there is read, in bytes.
const MAX_SURPLUS: usize = 1024;

/// What a route takes.
#[derive(Debug)]
struct Takes {
    body: bool,
    parameters: Vec<String>,
}

/// Refuses a query parameter or a body that the route does not take. An empty object is no body.
///
/// # Errors
/// 422 that says so.
pub(crate) async fn only(method: &str, path: &str, request: Request) -> Result<Request, Problem> {
    let method = if method == "HEAD" { "GET" } else { method };
    let Some(takes) = routes().get(method).and_then(|paths| paths.get(path)) else { return Ok(request) };
    for (name, _) in url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()) {
        if !takes.parameters.iter().any(|parameter| *parameter == name) {
            let names: Vec<&str> = takes.parameters.iter().map(String::as_str).collect();
            return Err(Problem::field(&clip(&name, MAX_NAME), "unknown", known(&names)));
        }
    }
    if takes.body || request.body().is_end_stream() {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let nothing = match to_bytes(body, MAX_SURPLUS).await {
        Ok(bytes) => bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).eq(*b"{}") || bytes.is_empty(),
        Err(_) => false,
    };
    if nothing {
        return Ok(Request::from_parts(parts, Body::empty()));
    }
    let detail = format!("{method} takes no body here, and would not look at this one: send none, or {{}}.");
    Err(Problem::unprocessable(detail))
}

type Routes = HashMap<&'static str, HashMap<String, Takes>>;

fn routes() -> &'static Routes {
    static ROUTES: OnceLock<Routes> = OnceLock::new();
    ROUTES.get_or_init(|| {
        let mut routes = Routes::new();
        for (path, item) in api::openapi().paths.paths {
            for (method, operation) in operations(item) {
                routes.entry(method).or_default().insert(path.clone(), takes(operation));
            }
        }
        routes
    })
}

fn operations(item: PathItem) -> impl Iterator<Item = (&'static str, Operation)> {
    let all = [("GET", item.get), ("PUT", item.put), ("POST", item.post), ("PATCH", item.patch)];
    let all = all.into_iter().chain([("DELETE", item.delete)]);
    all.filter_map(|(method, operation)| operation.map(|operation| (method, operation)))
}

fn takes(operation: Operation) -> Takes {
    let name = |parameter: RefOr<Parameter>| match parameter {
        RefOr::T(parameter) if matches!(parameter.parameter_in, ParameterIn::Query) => Some(parameter.name),
        _ => None,
    };
    let parameters = operation.parameters.unwrap_or_default();
    Takes { body: operation.request_body.is_some(), parameters: parameters.into_iter().filter_map(name).collect() }
}
