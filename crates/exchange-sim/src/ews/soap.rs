//! Envelopes: reading a request's header and operation, answering it, faults.

use chrono::{DateTime, Utc};

use super::{
    answer::{Fault, code},
    attachments,
    call::Call,
    create, directory, find, folders, relocate,
    subscriptions::{self, Subscriptions},
    sync, update,
    xml::{self, Element, Writer},
};
use crate::world::World;

/// A request as it was read.
#[derive(Debug, Clone)]
pub struct Request {
    /// The schema's version, as the client wants it.
    pub version: String,
    /// As whom the caller wants to act: an address.
    pub as_whom: Option<String>,
    /// The operation and what it asks.
    pub operation: Element,
}

/// Reads an envelope.
///
/// # Errors
/// `ErrorSchemaValidation`.
pub fn read(text: &str) -> Result<Request, Fault> {
    let mut envelope = xml::read(text).map_err(Fault::schema)?;
    if envelope.name != "Envelope" {
        return Err(Fault::schema("This is no SOAP envelope."));
    }
    let header = envelope.child("Header").cloned().unwrap_or_default();
    let version = header.child("RequestServerVersion").and_then(|child| child.attribute("Version"));
    let version = version.unwrap_or("Exchange2007").to_owned();
    let who = header.child("ExchangeImpersonation").and_then(|child| child.child("ConnectingSID"));
    let as_whom = who.and_then(|who| who.children.first()).map(|child| child.text.trim().to_owned());
    let body = envelope.children.iter_mut().find(|child| child.name == "Body");
    let operation = body.and_then(|body| (!body.children.is_empty()).then(|| body.children.remove(0)));
    Ok(Request { version, as_whom, operation: operation.ok_or_else(|| Fault::schema("The body is empty."))? })
}

const OPEN: &str = concat!(
    r#"<?xml version="1.0" encoding="utf-8"?>"#,
    r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header>"#,
    r#"<h:ServerVersionInfo MajorVersion="15" MinorVersion="1" MajorBuildNumber="2507" MinorBuildNumber="6" "#,
    r#"Version="V2017_07_11" xmlns:h="http://schemas.microsoft.com/exchange/services/2006/types"/></s:Header><s:Body "#,
    r#"xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" "#,
    r#"xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages" "#,
    r#"xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types">"#
);
const CLOSE: &str = "</s:Body></s:Envelope>";

/// An envelope around what an operation answered.
pub fn envelope(body: &str) -> String {
    format!("{OPEN}{body}{CLOSE}")
}

/// An envelope with a fault; it goes with the HTTP status 500.
pub fn fault(fault: &Fault) -> String {
    let mut w = Writer::default();
    let server = matches!(fault.code, code::SERVER_BUSY | code::INTERNAL);
    w.element("s:Fault", &[], |w| {
        w.leaf_with(
            "faultcode",
            &[("xmlns:a", "http://schemas.microsoft.com/exchange/services/2006/types")],
            &format!("a:{}", fault.code),
        );
        w.leaf_with("faultstring", &[("xml:lang", "en-US")], &fault.text);
        w.element("detail", &[], |w| {
            let errors = "http://schemas.microsoft.com/exchange/services/2006/errors";
            w.leaf_with("e:ResponseCode", &[("xmlns:e", errors)], fault.code);
            w.leaf_with("e:Message", &[("xmlns:e", errors)], &fault.text);
            if server && !fault.details.is_empty() {
                w.element("t:MessageXml", &[], |w| {
                    for (name, value) in &fault.details {
                        w.leaf_with("t:Value", &[("Name", name)], value);
                    }
                });
            }
        });
    });
    envelope(&w.finish())
}

/// What a request is answered with.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// One envelope.
    Whole(String),
    /// One after the other: what happens to these subscriptions, for so many minutes.
    Stream(Vec<String>, u64),
}

/// Carries a request out.
///
/// # Errors
/// What makes it fail as a whole.
pub fn answer(
    world: &mut World,
    subscriptions: &mut Subscriptions,
    who: (u32, bool),
    request: &Request,
    now: DateTime<Utc>,
) -> Result<Answer, Fault> {
    let (me, everywhere) = who;
    let mut call = Call { world, subscriptions, me, everywhere, now };
    let (call, body, mut w) = (&mut call, &request.operation, Writer::default());
    match body.name.as_str() {
        "GetFolder" => folders::get(call, body, &mut w),
        "FindFolder" => folders::find(call, body, &mut w),
        "CreateFolder" => folders::create(call, body, &mut w),
        "UpdateFolder" => folders::update(call, body, &mut w),
        "DeleteFolder" => folders::delete(call, body, &mut w),
        "MoveFolder" => folders::relocate(call, body, &mut w),
        "EmptyFolder" => folders::empty(call, body, &mut w),
        "SyncFolderHierarchy" => sync::hierarchy(call, body, &mut w),
        "SyncFolderItems" => sync::items(call, body, &mut w),
        "GetItem" => find::get(call, body, &mut w),
        "FindItem" => find::find(call, body, &mut w),
        "CreateItem" => create::create(call, body, &mut w),
        "SendItem" => create::send(call, body, &mut w),
        "UpdateItem" => update::update(call, body, &mut w),
        "DeleteItem" => relocate::delete(call, body, &mut w),
        "MoveItem" => relocate::relocate(call, body, &mut w),
        "CopyItem" => relocate::copy(call, body, &mut w),
        "GetAttachment" => attachments::get(call, body, &mut w),
        "CreateAttachment" => attachments::create(call, body, &mut w),
        "DeleteAttachment" => attachments::delete(call, body, &mut w),
        "Subscribe" => subscriptions::subscribe(call, body, &mut w),
        "Unsubscribe" => subscriptions::unsubscribe(call, body, &mut w),
        "GetEvents" => subscriptions::events(call, body, &mut w),
        "GetStreamingEvents" => {
            let (ids, minutes) = subscriptions::stream_request(body);
            return Ok(Answer::Stream(ids, minutes));
        }
        "ResolveNames" => directory::resolve(call, body, &mut w),
        "GetServerTimeZones" => directory::zones(call, body, &mut w),
        "ConvertId" => directory::convert(call, body, &mut w),
        "GetUserConfiguration" => directory::configuration(call, body, &mut w),
        other => Err(Fault::new(code::INVALID_REQUEST, format!("The operation {other} is not supported."))),
    }?;
    Ok(Answer::Whole(envelope(&w.finish())))
}
