//! What goes wrong with a submission server, as faults. Every one made here carries the server's words or ours, never
//! what was sent to it.

use std::{io, time::Duration};

use lockstep_model::fault::{Fault, FaultClass, FaultScope};

use crate::codec::reply::{Kind, Reply};

/// Where in the conversation a refusal was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Greeting, EHLO or STARTTLS.
    Greeting,
    /// AUTH.
    Login,
    /// MAIL FROM.
    Sender,
    /// DATA, or the final dot.
    Message,
}

const REMEDY_PORT: &str = "check the outgoing port";

/// The fault of a reply that refuses what `stage` asked for.
pub(crate) fn of_reply(stage: Stage, reply: &Reply) -> Fault {
    let words = reply.words();
    let kind = reply.kind();
    let later = kind == Kind::Later;
    let scope = if stage == Stage::Greeting { FaultScope::Profile } else { FaultScope::Mailbox };
    if matches!(kind, Kind::Done | Kind::GoOn) {
        return violation(scope, &format!("the server's answer does not fit: {words}"));
    }
    if is_rate_limit(reply) {
        return Fault::new(scope, FaultClass::Throttled, rate_code(stage), words);
    }
    if reply.code == 421 {
        let policy = reply.enhanced.is_some_and(|code| code.subject == 7);
        let class = if policy { FaultClass::Throttled } else { FaultClass::Transient };
        return Fault::new(scope, class, "ServiceUnavailable", words);
    }
    if matches!(reply.code, 530 | 534 | 535 | 538) {
        return Fault::new(FaultScope::Mailbox, FaultClass::Auth, "OutgoingEmailAuthenticationError", words);
    }
    if matches!(reply.code, 500 | 502) && matches!(stage, Stage::Greeting | Stage::Login) {
        let message = format!("{words}; {REMEDY_PORT}");
        return Fault::new(FaultScope::Profile, FaultClass::Refused, "SmtpUnrecognisedCommand", message);
    }
    let class = if later { FaultClass::Transient } else { FaultClass::Refused };
    match stage {
        Stage::Greeting => Fault::new(scope, class, "ServiceUnavailable", words),
        Stage::Login if later => Fault::new(scope, class, "AuthenticationUnavailable", words),
        Stage::Login => Fault::new(scope, FaultClass::Auth, "OutgoingEmailAuthenticationError", words),
        Stage::Sender | Stage::Message => of_message(stage, reply, class, words),
    }
}

fn of_message(stage: Stage, reply: &Reply, class: FaultClass, words: String) -> Fault {
    let item = |code| Fault::new(FaultScope::Item, class, code, &words);
    let lower = words.to_ascii_lowercase();
    let about = |subject, detail| reply.enhanced.is_some_and(|e| e.subject == subject && e.detail == detail);
    let send_as = ["sendasdenied", "send as", "not owned by"].iter().any(|sign| lower.contains(sign));
    if about(7, 60) || (send_as && class == FaultClass::Refused) {
        return item("ErrorSendAsDenied");
    }
    let too_large = about(3, 4) || about(2, 3) || (reply.code == 552 && lower.contains("size"));
    if too_large || (reply.code == 552 && (lower.contains("too large") || lower.contains("too big"))) {
        return item("MessageTooLarge");
    }
    if about(2, 2) || (reply.code == 552 && reply.enhanced.is_none()) {
        // Said to the sender it is the account that is full, until somebody makes room in it, whichever digit the answer
        // begins with. Said of the message it may be about a recipient's mailbox, so that a "later" is taken at its word.
        let class = if stage == Stage::Sender { FaultClass::Refused } else { class };
        return Fault::new(FaultScope::Mailbox, class, "ErrorQuotaExceeded", words);
    }
    if is_storage(reply) {
        return item("ServerStorageFull");
    }
    if stage == Stage::Message && reply.enhanced.is_some_and(|code| code.subject == 7) {
        return item("RefusedByPolicy");
    }
    match (stage, class) {
        (Stage::Sender, FaultClass::Refused) => item("SenderRefused"),
        (Stage::Sender, _) => item("SenderDeferred"),
        (_, FaultClass::Refused) => item("MessageRefused"),
        _ => item("MessageDeferred"),
    }
}

/// The server's own disk is full (RFC 3463 §3.4: x.3.1).
fn is_storage(reply: &Reply) -> bool {
    reply.enhanced.is_some_and(|code| code.subject == 3 && code.detail == 1)
}

/// The server takes no more recipients with this message (RFC 3463 §3.6: x.5.3; RFC 5321 §4.5.3.1.10, where 552 means
/// the same as 452).
fn is_full_envelope(reply: &Reply) -> bool {
    let told = reply.enhanced.is_some_and(|code| code.subject == 5 && code.detail == 3);
    told || (matches!(reply.code, 452 | 552) && reply.words().to_ascii_lowercase().contains("too many recipients"))
}

/// The next transaction takes the rest, and it need not wait for that: this one has taken some.
const NEXT_ENVELOPE: Duration = Duration::from_secs(1);

/// What one recipient was answered; `accepted` tells whether another one was accepted before. `Err` when the answer
/// concerns the whole conversation.
pub(crate) fn of_recipient(reply: &Reply, accepted: bool) -> Result<Result<(), Fault>, Fault> {
    match (reply.code, reply.kind()) {
        (421 | 530, _) | (_, Kind::GoOn) => Err(of_reply(Stage::Sender, reply)),
        (_, Kind::Done) => Ok(Ok(())),
        (_, kind) => {
            let limited = is_rate_limit(reply);
            let about = |subject, detail| reply.enhanced.is_some_and(|e| e.subject == subject && e.detail == detail);
            let class = if kind == Kind::No { FaultClass::Refused } else { FaultClass::Transient };
            if is_full_envelope(reply) {
                let fault = |class| Fault::new(FaultScope::Item, class, "TooManyRecipients", reply.words());
                let fault = if accepted {
                    fault(FaultClass::Throttled).after(NEXT_ENVELOPE)
                } else {
                    fault(FaultClass::Transient)
                };
                return Ok(Err(fault));
            }
            let (class, code) = match kind {
                _ if limited => (FaultClass::Transient, "ErrorSubmissionQuotaExceeded"),
                _ if about(2, 2) || (reply.code == 552 && reply.enhanced.is_none()) => (class, "RecipientMailboxFull"),
                _ if is_storage(reply) => (class, "ServerStorageFull"),
                Kind::No => (FaultClass::Refused, "RecipientRefused"),
                _ => (FaultClass::Transient, "RecipientDeferred"),
            };
            Ok(Err(Fault::new(FaultScope::Item, class, code, reply.words())))
        }
    }
}

/// Servers say "you send too much" under many codes; the words and the subject "policy" (x.7.x) tell.
fn is_rate_limit(reply: &Reply) -> bool {
    let words = reply.words().to_ascii_lowercase();
    let says = |signs: &[&str]| signs.iter().any(|sign| words.contains(sign));
    let policy = reply.enhanced.is_some_and(|code| code.subject == 7);
    if reply.enhanced.is_some_and(|code| code.subject == 1 && code.detail <= 10) {
        // About one address, which may be quoted and hold any word.
        return false;
    }
    says(&[
        "rate limit",
        "ratelimit",
        "sending limit",
        "submission limit",
        "daily limit",
        "hourly limit",
        "too many messages",
        "too many connections",
        "too many concurrent",
        "submissionquota",
        "sending quota",
        "throttl",
    ]) || (policy && says(&["too many", "too fast", "limit exceeded", "slow down", "rate exceeded", "quota"]))
}

fn rate_code(stage: Stage) -> &'static str {
    match stage {
        Stage::Greeting | Stage::Login => "ServiceUnavailable",
        Stage::Sender | Stage::Message => "ErrorSubmissionQuotaExceeded",
    }
}

/// A socket's error while waiting for a reply or writing.
pub(crate) fn of_io(scope: FaultScope, error: &io::Error) -> Fault {
    if error.kind() == io::ErrorKind::InvalidData {
        return violation(scope, &error.to_string());
    }
    let class = if scope == FaultScope::Profile { FaultClass::Unreachable } else { FaultClass::Transient };
    Fault::new(scope, class, "ConnectionLost", error.to_string())
}

/// The server said something that the protocol does not allow here.
pub(crate) fn violation(scope: FaultScope, what: &str) -> Fault {
    match scope {
        FaultScope::Profile => {
            Fault::new(scope, FaultClass::Unreachable, "ProtocolViolation", format!("{what}; {REMEDY_PORT}"))
        }
        _ => Fault::new(scope, FaultClass::Transient, "ProtocolViolation", what),
    }
}

/// A fault from before the server has greeted us concerns the server, not the account.
pub(crate) fn before_greeting(fault: Fault) -> Fault {
    if fault.code == "TimedOut" {
        return Fault::new(FaultScope::Profile, FaultClass::Unreachable, "TimedOut", fault.message);
    }
    fault
}

/// STARTTLS is wanted and not to be had.
pub(crate) fn no_starttls(why: &str) -> Fault {
    Fault::new(FaultScope::Profile, FaultClass::Unreachable, "SecureConnectionFailed", why)
}

/// The server offers no mechanism that the profile's choice allows.
pub(crate) fn no_mechanism(wanted: &str) -> Fault {
    let message = format!("the server does not offer AUTH {wanted} on this connection");
    Fault::new(FaultScope::Profile, FaultClass::Refused, "AuthenticationMethodNotOffered", message)
}

/// The conversation is over: an earlier message was broken off, or the server has gone.
pub(crate) fn conversation_over() -> Fault {
    let message = "the connection was given up with an earlier message; open another session";
    Fault::new(FaultScope::Mailbox, FaultClass::Transient, "ConnectionLost", message)
}

/// The message is larger than the server's limit.
pub(crate) fn too_large(limit: u64) -> Fault {
    let message = format!("the message is larger than the {limit} bytes the server accepts");
    Fault::new(FaultScope::Item, FaultClass::Refused, "MessageTooLarge", message)
}

/// The message could not be read to its end, so it was not sent.
pub(crate) fn body_unreadable(why: &str) -> Fault {
    Fault::new(FaultScope::Item, FaultClass::Transient, "BodyUnreadable", why)
}

/// An envelope that cannot be said to the server.
pub(crate) fn envelope(code: &str, why: impl ToString) -> Fault {
    Fault::new(FaultScope::Item, FaultClass::Refused, code, why.to_string())
}

/// The final dot was sent, at least in part, and no answer to it was understood.
pub(crate) fn outcome_unknown(why: &Fault) -> Fault {
    let message = format!("no answer to the complete message: {}: {}", why.code, why.message);
    Fault::new(FaultScope::Mailbox, FaultClass::Unclear, "OutcomeUnknown", message)
}
