//! What tests ask of the simulation itself: faults, lost states, mail from outside. No password is asked for it.

use hyper::{Method, Response, StatusCode};

use super::reply::{Body, empty, text};
use crate::{clock, mime, moods::Rule, server::Server};

fn problem(why: &str) -> Response<Body> {
    text(StatusCode::BAD_REQUEST, "text/plain; charset=utf-8", why.to_owned())
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// `PUT /sim/moods` with a list of rules puts them in place of those before, `GET` shows those that are on.
/// `POST /sim/forget/states`, `/sim/forget/subscriptions` and `/sim/forget/tokens` lose what clients were given; `POST /sim/deliver?to=ADDRESS`
/// lays a message from outside into an inbox.
pub(super) fn answer(server: &Server, method: &Method, path: &str, query: &str, body: &[u8]) -> Response<Body> {
    let mut state = server.state();
    match (method, path) {
        (&Method::GET, "/sim/moods") => match serde_json::to_string(state.moods.rules()) {
            Ok(rules) => text(StatusCode::OK, "application/json", rules),
            Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
        },
        (&Method::PUT, "/sim/moods") => match serde_json::from_slice::<Vec<Rule>>(body) {
            Ok(rules) => {
                state.moods.set(rules);
                empty(StatusCode::NO_CONTENT)
            }
            Err(error) => problem(&error.to_string()),
        },
        (&Method::POST, "/sim/forget/states") => {
            state.world.mailboxes_mut().for_each(crate::world::mailbox::Mailbox::forget_states);
            empty(StatusCode::NO_CONTENT)
        }
        (&Method::POST, "/sim/forget/tokens") => {
            server.issuer.forget();
            empty(StatusCode::NO_CONTENT)
        }
        (&Method::POST, "/sim/forget/subscriptions") => {
            state.subscriptions.clear();
            drop(state);
            server.stir();
            empty(StatusCode::NO_CONTENT)
        }
        (&Method::POST, "/sim/deliver") => {
            let number = parameter(query, "to").and_then(|address| state.world.find(&address.replace("%40", "@")));
            let Some(number) = number else { return problem("nobody has this address") };
            let now = clock::now();
            let Ok(mailbox) = state.world.mailbox_mut(number) else { return problem("nobody has this address") };
            let inbox = mailbox.home("inbox");
            let laid = mailbox.receive(inbox, mime::read(body, now), now);
            drop(state);
            server.stir();
            empty(if laid.is_ok() { StatusCode::NO_CONTENT } else { StatusCode::INTERNAL_SERVER_ERROR })
        }
        _ => empty(StatusCode::NOT_FOUND),
    }
}
