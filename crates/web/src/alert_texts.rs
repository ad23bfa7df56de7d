//! What alerts say: texts are made from code and parameters when they are read.

use serde_json::Value;

/// The words of an alert.
pub(crate) struct Words {
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) remedy: String,
}

/// Longest value of a parameter inside a text, in characters.
const MAX_VALUE: usize = 300;

/// Code, title, text and remedy. `{name}` is a parameter.
const TEXTS: &[(&str, &str, &str, &str)] = &[
    (
        "Unauthorized",
        "The mail server refuses the account",
        "The server did not accept the account of this mailbox: {message}",
        "Set the right login and password on the mailbox or its profile, then test and enable the mailbox again.",
    ),
    (
        "OutgoingEmailAuthenticationError",
        "The outgoing server refuses the account",
        "The outgoing server did not accept the account: {message}",
        "Set the right login and password, and ask the provider whether sending needs a permission of its own.",
    ),
    (
        "ConnectFailure",
        "The mail server cannot be reached",
        "No connection could be made: {message}",
        "Check host and port of the profile, the server, and the firewalls on the way. It is tried again by itself.",
    ),
    (
        "HostNotFound",
        "The mail server's name is unknown",
        "The name of the server could not be resolved: {message}",
        "Check the host of the profile for a spelling mistake, and the name servers of this installation.",
    ),
    (
        "SecureConnectionFailed",
        "No secure connection",
        "A protected connection could not be made: {message}",
        "Check the TLS choice and port of the profile, and that the server's certificate is valid for its host name.",
    ),
    (
        "MailboxInUse",
        "The mailbox is locked by another program",
        "The server lets only one program read the mailbox at a time: {message}",
        "Close other programs that read this mailbox, or let them leave pauses. It is tried again by itself.",
    ),
    (
        "LoginDelay",
        "The server asks for longer pauses",
        "The server does not allow the next login yet: {message}",
        "Raise the minimum polling interval of the profile to what the server asks for.",
    ),
    (
        "TimedOut",
        "The mail server takes too long",
        "An answer did not come in time: {message}",
        "Raise the request time-out of the profile if the server is known to be slow. It is tried again by itself.",
    ),
    (
        "ConnectionLost",
        "The connection broke",
        "The connection ended in the middle of the work: {message}",
        "Nothing needs doing unless it happens often; then look at the network and the server's log.",
    ),
    (
        "UidlReset",
        "The server renamed its messages",
        "The server gave new identities to messages that were known. They were recognised by their headers.",
        "Nothing needs doing. If records were made twice, tell the server's administrator.",
    ),
    (
        "OutcomeUnknown",
        "It is not known whether an email was sent",
        "The connection was lost after the whole message was handed over: {message}",
        "Ask a recipient or look into the Sent folder, then decide: sent, send again, or failed.",
    ),
    (
        "EmailUnparsable",
        "A message could not be read",
        "A message does not keep to the rules of email; its raw form was kept: {reason}",
        "Open the message in the mailbox itself. Other messages are not affected.",
    ),
    (
        "EmailTooLarge",
        "A message is too large",
        "A message is larger than the organisation allows: {message}",
        "Raise the largest message size in the organisation's settings, if such messages are wanted.",
    ),
    (
        "ItemUnavailable",
        "A message could not be fetched",
        "The server listed a message and then did not hand it over: {message}",
        "It is tried again by itself. If it stays, look at the message on the server.",
    ),
    (
        "MailboxConnected",
        "The mailbox is connected",
        "The test of {address} succeeded; its email is processed from now on.",
        "Nothing needs doing.",
    ),
    (
        "DeliveryFailed",
        "An email was not sent",
        "The email was given up: {message}",
        "Correct what the server complains of and send the email again.",
    ),
    (
        "WebhookEndpointDisabled",
        "Another program is not told of changes any more",
        "The webhook endpoint {name} was disabled ({reason}): {message}",
        "Mend the receiver, then resume the endpoint: it goes on where it stopped, from a place you name, or from now.",
    ),
    (
        "ItemQuarantined",
        "A message was set aside",
        "A message failed more than once and was set aside, so that the others go on: {message}",
        "It is tried again now and then. The alert's parameters name the message.",
    ),
];

/// The words for a code; unknown codes get general ones.
pub(crate) fn of(code: &str, parameters: &Value) -> Words {
    match TEXTS.iter().find(|(known, ..)| *known == code) {
        Some((_, title, text, remedy)) => {
            Words { title: (*title).to_owned(), text: fill(text, parameters), remedy: (*remedy).to_owned() }
        }
        None => Words {
            title: format!("Attention needed: {code}"),
            text: value(parameters, "message").unwrap_or_else(|| "No more is known.".to_owned()),
            remedy: "Look at the parameters, and at the log around the time of the last occurrence.".to_owned(),
        },
    }
}

fn value(parameters: &Value, name: &str) -> Option<String> {
    let text = match parameters.get(name)? {
        Value::String(text) => text.clone(),
        Value::Null => return None,
        other => other.to_string(),
    };
    Some(text.chars().take(MAX_VALUE).collect())
}

/// Replaces `{name}` once each; values are not looked at for further names.
fn fill(template: &str, parameters: &Value) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let Some((name, after)) = after.split_once('}') else { break };
        text.push_str(&value(parameters, name).unwrap_or_else(|| "(not known)".to_owned()));
        rest = after;
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_take_their_parameters_and_nothing_from_values() {
        let words = of("ConnectFailure", &json!({ "message": "{title} refused" }));
        assert_eq!(words.text, "No connection could be made: {title} refused");
        assert!(of("ConnectFailure", &json!({})).text.ends_with("(not known)"));
        assert!(of("ConnectFailure", &json!(null)).text.ends_with("(not known)"));
    }

    #[test]
    fn unknown_codes_still_say_something() {
        let words = of("SomethingNew", &json!({ "message": "x".repeat(1000) }));
        assert!(words.title.contains("SomethingNew"));
        assert_eq!(words.text.len(), MAX_VALUE);
    }
}
