//! Answers: SOAP faults, response messages with their codes, and the wish to be left alone wherever it may stand.

use std::time::Duration;

use crate::{fault::Refusal, xml::Element};

/// The wish to be left alone, in whatever element it stands. Zero says nothing.
fn back_off(element: &Element) -> Option<Duration> {
    let own = || {
        let named = element.name == "Value" && element.attribute("Name") == Some("BackOffMilliseconds");
        let bare = element.name == "BackOffMilliseconds";
        (named || bare).then(|| element.text.trim().parse().ok().map(Duration::from_millis)).flatten()
    };
    own().filter(|wait| !wait.is_zero()).or_else(|| element.children.iter().find_map(back_off))
}

/// The last part of a qualified name, which is the code in `faultcode`.
fn bare(text: &str) -> &str {
    text.rsplit(':').next().unwrap_or(text).trim()
}

/// What a SOAP fault says.
pub fn of_fault(fault: &Element) -> Refusal {
    let detail = fault.child("detail").or_else(|| fault.child("Detail"));
    let code = detail.and_then(|detail| detail.find("ResponseCode")).map(|code| code.text.trim());
    let code = code.filter(|code| !code.is_empty());
    let code = code.or_else(|| fault.text_of("faultcode").map(bare)).unwrap_or_default().to_owned();
    let text = fault.text_of("faultstring").or_else(|| detail.and_then(|detail| detail.text_of("Message")));
    Refusal { code, text: text.unwrap_or_default().to_owned(), back_off: back_off(fault) }
}

/// The body of an envelope: the operation's response.
///
/// # Errors
/// A SOAP fault; `None` inside where the document is no envelope with a body.
pub fn body(envelope: &Element) -> Result<&Element, Option<Refusal>> {
    if envelope.name != "Envelope" {
        return Err(None);
    }
    let inside = envelope.child("Body").and_then(|body| body.children.first()).ok_or(None)?;
    if inside.name == "Fault" { Err(Some(of_fault(inside))) } else { Ok(inside) }
}

/// One response message, judged: a warning counts as a success where its code is known to be harmless.
///
/// # Errors
/// What the server said no to.
pub fn judged(message: &Element) -> Result<&Element, Refusal> {
    let code = message.text_of("ResponseCode").unwrap_or_default();
    let class = message.attribute("ResponseClass").unwrap_or("Success");
    if class == "Success" && matches!(code, "" | "NoError") {
        return Ok(message);
    }
    // A name that several people have is an answer with all of them.
    if class == "Warning" && code == "ErrorNameResolutionMultipleResults" {
        return Ok(message);
    }
    let text = message.text_of("MessageText").unwrap_or_default().to_owned();
    Err(Refusal { code: code.to_owned(), text, back_off: back_off(message) })
}

/// The response messages of a response, in the order of the request's items.
pub fn messages(response: &Element) -> impl Iterator<Item = Result<&Element, Refusal>> {
    response.list("ResponseMessages").iter().map(judged)
}

/// The only response message.
///
/// # Errors
/// What the server said no to, or an answer without one.
pub fn only(response: &Element) -> Result<&Element, Refusal> {
    let missing =
        || Refusal { code: String::new(), text: "an answer without a response message".into(), back_off: None };
    messages(response).next().unwrap_or_else(|| Err(missing()))
}
