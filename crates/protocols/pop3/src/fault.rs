//! What went wrong, in the words of the rest of the system. Nothing that was *sent* is ever part of a fault.

use std::{io, time::Duration};

use lockstep_model::fault::{Fault, FaultClass, FaultScope};

use crate::codec::response::{Reply, ResponseCode};

/// Wait after `[LOGIN-DELAY]` when the server did not announce how long.
const LOGIN_DELAY: Duration = Duration::from_secs(60);

/// Longest wait a server can ask for.
const MAX_LOGIN_DELAY: Duration = Duration::from_secs(3_600);

/// Least time that must be left to go on. [`lockstep_connector::Deadline::check`] lets a deadline that has just
/// ended pass when asked for none at all.
pub(crate) const SOME_TIME: Duration = Duration::from_nanos(1);

/// A fault of one mailbox.
pub(crate) fn mailbox(class: FaultClass, code: &str, message: impl AsRef<str>) -> Fault {
    Fault::new(FaultScope::Mailbox, class, code, message)
}

/// A fault of one message.
pub(crate) fn item(class: FaultClass, code: &str, message: impl AsRef<str>) -> Fault {
    Fault::new(FaultScope::Item, class, code, message)
}

/// A fault of the server.
pub(crate) fn profile(class: FaultClass, code: &str, message: impl AsRef<str>) -> Fault {
    Fault::new(FaultScope::Profile, class, code, message)
}

/// The connection ended in the middle of the conversation.
pub(crate) fn lost(error: &io::Error) -> Fault {
    mailbox(FaultClass::Transient, "ConnectionLost", format!("the connection to the server was lost: {error}"))
}

/// A line whose end did not come in time.
pub(crate) fn timed_out(at_most: Duration) -> Fault {
    let message = format!("the server did not end its line within {} s", at_most.as_secs_f32());
    mailbox(FaultClass::Transient, "TimedOut", message)
}

/// An answer that is no POP3.
pub(crate) fn violation(what: &str) -> Fault {
    mailbox(FaultClass::Transient, "ProtocolViolation", what)
}

/// The session was left in the middle of something and cannot be used any more.
pub(crate) fn out_of_step() -> Fault {
    let message = "an earlier answer of the server was not read to its end; the session cannot go on";
    mailbox(FaultClass::Transient, "SessionOutOfStep", message)
}

/// What happens before the greeting concerns the server, whoever's mailbox was meant. The end of our own time does
/// not.
pub(crate) fn before_greeting(fault: Fault) -> Fault {
    match fault.code.as_str() {
        "TimedOut" | "ConnectionLost" | "ProtocolViolation" => {
            Fault { scope: FaultScope::Profile, class: FaultClass::Unreachable, ..fault }
        }
        _ => fault,
    }
}

/// A greeting of `-ERR`.
pub(crate) fn greeting(reply: &Reply) -> Fault {
    let message = format!("the server refused the connection: {}", reply.words());
    if reply.code == Some(ResponseCode::SysTemp) {
        profile(FaultClass::Transient, "ServerTemporaryFailure", message)
    } else {
        profile(FaultClass::Unreachable, "GreetingRefused", message)
    }
}

/// A refusal whose response code says all; `None` where it depends on what was asked.
pub(crate) fn by_code(reply: &Reply, login_delay: Option<Duration>, words: &str) -> Option<Fault> {
    let said = |what: &str| format!("{what}: {words}");
    Some(match reply.code? {
        ResponseCode::InUse => {
            mailbox(FaultClass::Transient, "MailboxInUse", said("another session has the mailbox open"))
        }
        ResponseCode::LoginDelay => {
            let wait = login_delay.unwrap_or(LOGIN_DELAY).clamp(Duration::from_secs(1), MAX_LOGIN_DELAY);
            mailbox(FaultClass::Throttled, "LoginDelay", said("the last login was too short ago")).after(wait)
        }
        ResponseCode::SysTemp => {
            mailbox(FaultClass::Transient, "ServerTemporaryFailure", said("the server fails for now"))
        }
        ResponseCode::SysPerm => mailbox(FaultClass::Refused, "ServerPermanentFailure", said("the server fails")),
        ResponseCode::Auth | ResponseCode::Other => return None,
    })
}

/// The fault that an error of a body's reader carries, or the lost connection it is.
pub(crate) fn of_body(error: io::Error) -> Fault {
    match error.downcast::<Fault>() {
        Ok(fault) => fault,
        Err(error) => lost(&error),
    }
}
