//! The endpoint of Exchange Web Services.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{Response, StatusCode, header};

use super::reply::{self, Body, empty, xml};
use crate::{
    auth::Account,
    clock,
    ews::{
        answer::{Fault, code},
        call::Call,
        soap::{self, Answer, Request},
        subscriptions,
    },
    moods::Mood,
    server::Server,
};

/// How often a stream says that it is still there.
const PULSE: Duration = Duration::from_secs(30);

fn refused(fault: &Fault) -> Response<Body> {
    xml(StatusCode::INTERNAL_SERVER_ERROR, soap::fault(fault))
}

/// Whose mailbox the request is about, and whether all others are open to it too.
fn whom(server: &Server, account: &Account, request: &Request) -> Result<(u32, bool), Fault> {
    let state = server.state();
    let find = |address: &str| {
        let missing = || Fault::new(code::NO_MAILBOX, "The SMTP address has no mailbox associated with it.");
        state.world.find(address).ok_or_else(missing)
    };
    let Some(address) = &request.as_whom else { return Ok((find(&account.person.address)?, account.everywhere)) };
    if !account.everywhere && !account.person.is(address) {
        let text = "The account does not have permission to impersonate the requested user.";
        return Err(Fault::new(code::IMPERSONATE_DENIED, text));
    }
    Ok((find(address)?, false))
}

/// Lets what was changed or listed look as if somebody else had been there.
fn spoil(request: &mut Request, mood: &Mood) {
    if *mood == Mood::Gone
        && let Some(ids) = request.operation.children.iter_mut().find(|child| child.name == "ItemIds")
        && let Some(first) = ids.children.first_mut()
    {
        for (name, value) in &mut first.attributes {
            if name == "Id" {
                *value = crate::ews::ids::item(crate::ews::ids::ItemRef {
                    mailbox: crate::ews::ids::read_item(value).map_or(0, |id| id.mailbox),
                    item: crate::world::item::ItemId(u64::MAX),
                    original: None,
                });
            }
        }
    }
}

fn carry_out(server: &Server, who: (u32, bool), request: &Request) -> Result<Answer, Fault> {
    let answer = {
        let mut state = server.state();
        let state = &mut *state;
        soap::answer(&mut state.world, &mut state.subscriptions, who, request, clock::now())
    };
    server.stir();
    answer
}

/// Sends what happens, until the time is over or the client has gone.
async fn stream(server: Arc<Server>, who: (u32, bool), ids: Vec<String>, minutes: u64) -> Response<Body> {
    let (sender, response) = reply::stream();
    tokio::spawn(async move {
        let end = tokio::time::Instant::now() + Duration::from_secs(minutes * 60);
        let mut changed = server.changed.subscribe();
        let send = async |body: String| sender.send(Ok(Bytes::from(soap::envelope(&body)))).await.is_ok();
        if !send(subscriptions::status("OK")).await {
            return;
        }
        loop {
            changed.mark_unchanged();
            let (piece, over) = {
                let mut state = server.state();
                let state = &mut *state;
                let (me, everywhere) = who;
                let (world, subscriptions) = (&mut state.world, &mut state.subscriptions);
                let mut call = Call { world, subscriptions, me, everywhere, now: clock::now() };
                subscriptions::piece(&mut call, &ids)
            };
            let gone = match piece {
                Some(piece) => !send(piece).await,
                None => false,
            };
            if gone || over {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(end) => {
                    send(subscriptions::status("Closed")).await;
                    return;
                }
                () = sender.closed() => return,
                () = tokio::time::sleep(PULSE) => {
                    if !send(subscriptions::status("OK")).await {
                        return;
                    }
                }
                _ = changed.changed() => {}
            }
        }
    });
    response
}

/// Answers a request.
pub(super) async fn answer(
    server: &Arc<Server>,
    account: &Account,
    body: Vec<u8>,
) -> Result<Response<Body>, Response<Body>> {
    let text = String::from_utf8(body).map_err(|_| refused(&Fault::schema("The request is not UTF-8.")))?;
    let mut request = soap::read(text.trim_start_matches('\u{feff}')).map_err(|fault| refused(&fault))?;
    let who = whom(server, account, &request).map_err(|fault| refused(&fault))?;
    let address = request.as_whom.clone().unwrap_or_else(|| account.person.address.clone());
    let struck = server.state().moods.strike(&request.operation.name, &address, Instant::now());
    let mut cut = None;
    if let Some(mood) = struck {
        spoil(&mut request, &mood);
        match mood {
            Mood::Busy { back_off_ms } => return Err(refused(&Fault::busy(back_off_ms))),
            Mood::Unavailable { retry_after } => {
                let mut response = empty(StatusCode::SERVICE_UNAVAILABLE);
                if let Some(seconds) = retry_after {
                    response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from(seconds));
                }
                return Err(response);
            }
            Mood::Blocked => {
                let text = "EWS is disabled for this tenant.".to_owned();
                return Err(reply::text(StatusCode::FORBIDDEN, "text/plain; charset=utf-8", text));
            }
            Mood::Internal => return Err(refused(&Fault::new(code::INTERNAL, "An internal server error occurred."))),
            Mood::Conflict if request.operation.name == "UpdateItem" => {
                return Err(conflict());
            }
            Mood::Hang { seconds } => tokio::time::sleep(Duration::from_secs(seconds)).await,
            Mood::Cut { after } => cut = Some(after),
            Mood::Conflict | Mood::Gone | Mood::Budget { .. } | Mood::RedirectLoop => {}
        }
    }
    match carry_out(server, who, &request).map_err(|fault| refused(&fault))? {
        Answer::Stream(ids, minutes) => Ok(stream(Arc::clone(server), who, ids, minutes).await),
        Answer::Whole(body) => Ok(match cut {
            Some(after) => reply::cut(&body, after),
            None => xml(StatusCode::OK, body),
        }),
    }
}

fn conflict() -> Response<Body> {
    let mut w = crate::ews::xml::Writer::default();
    let fault: Result<(), Fault> = Err(crate::world::Error::Conflict.into());
    crate::ews::answer::response(&mut w, "UpdateItem", |w| {
        crate::ews::answer::message(w, "UpdateItem", &fault, |_, ()| {});
    });
    xml(StatusCode::OK, soap::envelope(&w.finish()))
}
