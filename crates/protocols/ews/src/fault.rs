//! What went wrong, in the words of the rest of the system: one table from the server's codes and statuses to faults.
//! Nothing that was *sent* is ever part of a fault.

use std::time::Duration;

use lockstep_model::fault::{Fault, FaultClass, FaultScope};

/// Longest wait a server can ask for.
pub const MAX_BACK_OFF: Duration = Duration::from_secs(3_600);

/// Autodiscover leads in a circle, or has no end.
pub(crate) const REDIRECT_LOOP: &str = "RedirectLoop";

/// Least time that must be left to go on.
pub(crate) const SOME_TIME: Duration = Duration::from_nanos(1);

/// A request, or one item of it, that the server did not carry out: its own code and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The response code, such as `ErrorItemNotFound`; empty where the server gave none.
    pub code: String,
    /// The server's words.
    pub text: String,
    /// How long it wants to be left alone. A wish of zero says nothing and is none.
    pub back_off: Option<Duration>,
}

impl Refusal {
    /// Whether the server says this.
    pub fn is(&self, code: &str) -> bool {
        self.code == code
    }

    /// Whether a sync state, or the folder it was for, is no longer known: one begins again.
    pub fn forgot_the_state(&self) -> bool {
        matches!(self.code.as_str(), "ErrorInvalidSyncStateData" | "ErrorSyncFolderNotFound" | "ErrorInvalidSyncState")
    }

    /// Whether somebody else changed the item meanwhile: one reads it again.
    pub fn is_conflict(&self) -> bool {
        matches!(self.code.as_str(), "ErrorIrresolvableConflict" | "ErrorStaleObject")
    }

    /// The fault this is. `heard` is what the request was about: one item, or the mailbox as a whole. Codes that always
    /// concern more than an item say so themselves.
    pub fn fault(&self, heard: FaultScope) -> Fault {
        let (scope, class, code) = judge(&self.code, heard);
        let words = if self.code.is_empty() { self.text.clone() } else { format!("{}: {}", self.code, self.text) };
        let fault = Fault::new(scope, class, code, words);
        match self.back_off {
            Some(wait) => fault.after(wait.min(MAX_BACK_OFF)),
            None => fault,
        }
    }
}

/// The table. Codes are those of MS-OXWSCDATA `ResponseCodeType`.
fn judge(code: &str, heard: FaultScope) -> (FaultScope, FaultClass, &'static str) {
    use FaultClass::{Auth, Gone, Refused, Throttled, Transient};
    use FaultScope::{Item, Mailbox, Profile};
    match code {
        "ErrorServerBusy"
        | "ErrorTooManyObjectsOpened"
        | "ErrorExceededConnectionCount"
        | "ErrorExceededSubscriptionCount"
        | "ErrorConcurrencyQuotaExceeded"
        | "ErrorMessageTrackingTransientError" => (Mailbox, Throttled, "ServiceUnavailable"),
        "ErrorMailboxStoreUnavailable"
        | "ErrorMailboxMoveInProgress"
        | "ErrorInternalServerTransientError"
        | "ErrorInternalServerError"
        | "ErrorConnectionFailed"
        | "ErrorTimeoutExpired"
        | "ErrorInsufficientResources"
        | "ErrorADUnavailable"
        | "ErrorADOperation"
        | "ErrorProxyRequestNotAllowed"
        | "ErrorProxyRequestProcessingFailed"
        | "ErrorProxiedSubscriptionCallFailure"
        | "ErrorNoRespondingCASInDestinationSite"
        | "ErrorMailboxFailover"
        | "ErrorSiteLimitReached" => (Mailbox, Transient, "ServerTemporaryFailure"),
        "ErrorQuotaExceeded" | "ErrorMailboxHoldNotFound" => (Mailbox, Refused, "ErrorQuotaExceeded"),
        "ErrorInvalidSyncStateData" | "ErrorInvalidSyncState" | "ErrorSyncFolderNotFound" => {
            (Mailbox, Transient, "ListingRefused")
        }
        "ErrorNonExistentMailbox"
        | "ErrorNoPublicFolderServerAvailable"
        | "ErrorMailboxConfiguration"
        | "ErrorAccountDisabled"
        | "ErrorMissingEmailAddress"
        | "ErrorInvalidUserPrincipalName"
        | "ErrorInvalidUserSid" => (Mailbox, Refused, "MailboxNotFound"),
        "ErrorImpersonateUserDenied"
        | "ErrorImpersonationDenied"
        | "ErrorImpersonationFailed"
        | "ErrorInvalidExchangeImpersonationHeaderData"
        | "ErrorTokenSerializationDenied" => (Mailbox, Auth, "ImpersonationDenied"),
        "ErrorCannotGetExternalEcpUrl"
        | "ErrorPasswordExpired"
        | "ErrorPasswordChangeRequired"
        | "ErrorInvalidAuthorizationContext"
        | "ErrorInvalidClientAccessTokenRequest" => (Mailbox, Auth, "Unauthorized"),
        "ErrorAccessDenied" | "ErrorCreateItemAccessDenied" if heard == Item => (Item, Refused, "RefusedByPolicy"),
        "ErrorAccessDenied" | "ErrorCreateItemAccessDenied" => (Mailbox, Auth, "Unauthorized"),
        "ErrorItemNotFound"
        | "ErrorFolderNotFound"
        | "ErrorAttachmentDoesNotExist"
        | "ErrorInvalidAttachmentId"
        | "ErrorCalendarOccurrenceIsDeletedFromRecurrence"
            if heard == Item =>
        {
            (Item, Gone, "ItemGone")
        }
        "ErrorItemNotFound" | "ErrorFolderNotFound" => (Mailbox, Refused, "ServerPermanentFailure"),
        "ErrorIrresolvableConflict"
        | "ErrorStaleObject"
        | "ErrorItemSavePropertyError"
        | "ErrorItemCorrupt"
        | "ErrorContentConversionFailed"
        | "ErrorMimeContentInvalid"
        | "ErrorMimeContentConversionFailed"
        | "ErrorMimeContentInvalidBase64String" => (heard, Transient, "ItemUnavailable"),
        "ErrorSendAsDenied" => (Item, Refused, "ErrorSendAsDenied"),
        "ErrorSubmissionQuotaExceeded" => (Mailbox, Throttled, "ErrorSubmissionQuotaExceeded"),
        "ErrorMessageSizeExceeded" | "ErrorAttachmentSizeLimitExceeded" => (Item, Refused, "MessageTooLarge"),
        "ErrorInvalidRecipients" => (Item, Refused, "RecipientRefused"),
        "ErrorMessageDispositionRequired" | "ErrorMissingRecipients" => (Item, Refused, "NoRecipients"),
        "ErrorSchemaValidation"
        | "ErrorInvalidRequest"
        | "ErrorUnsupportedTypeForConversion"
        | "ErrorInvalidArgument" => {
            (heard, Refused, if heard == Item { "MessageRefused" } else { "ServerPermanentFailure" })
        }
        "ErrorInvalidServerVersion" | "ErrorClientDisconnected" => (Profile, Refused, "ProtocolViolation"),
        _ if heard == Item => (Item, Transient, "ItemUnavailable"),
        _ => (heard, Transient, "ServerTemporaryFailure"),
    }
}

/// What a status line and a few headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status<'a> {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`, as a duration.
    pub retry_after: Option<Duration>,
    /// `Location`.
    pub location: Option<&'a str>,
    /// The beginning of the body, as text.
    pub body: &'a str,
}

/// The fault of an answer that is no SOAP.
pub fn of_status(answer: &Status<'_>) -> Fault {
    use FaultClass::{Auth, Refused, Throttled, Transient, Unreachable};
    use FaultScope::{Item, Mailbox, Profile};
    let words = answer.body.trim();
    let said = format!("the server answered with HTTP status {}: {words}", answer.status);
    let (scope, class, code) = match answer.status {
        401 => (Mailbox, Auth, "Unauthorized"),
        403 if is_block(words) => (Profile, Refused, "EwsBlocked"),
        403 => (Mailbox, Refused, "ServerPermanentFailure"),
        413 => (Item, Refused, "MessageTooLarge"),
        429 => (Mailbox, Throttled, "ServiceUnavailable"),
        503 if answer.retry_after.is_some() => (Mailbox, Throttled, "ServiceUnavailable"),
        503 => (Profile, Transient, "ServiceUnavailable"),
        502 | 504 => (Profile, Unreachable, "ServiceUnavailable"),
        300..=399 => {
            let target = answer.location.unwrap_or("another place");
            let message = format!("the server sends clients on to {target}; set that location on the profile");
            return Fault::new(Profile, Refused, "ProtocolViolation", message);
        }
        200..=299 | 404 | 405 => {
            let message = format!("{said}; there is no Exchange Web Services endpoint at this location");
            return Fault::new(Profile, Refused, "ProtocolViolation", message);
        }
        408 | 500..=599 => (Mailbox, Transient, "ServerTemporaryFailure"),
        _ => (Mailbox, Refused, "ServerPermanentFailure"),
    };
    let fault = Fault::new(scope, class, code, said);
    match answer.retry_after.filter(|_| matches!(class, Throttled | Transient | Unreachable)) {
        Some(wait) => fault.after(wait.min(MAX_BACK_OFF)),
        None => fault,
    }
}

/// Whether a 403 says that nobody of this tenant, or none with this application, may use EWS.
fn is_block(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    let says = |sign: &str| words.contains(sign);
    (says("ews") || says("exchange web services"))
        && ["disabled", "not enabled", "not allowed", "blocked", "is off", "retired"].iter().any(|sign| says(sign))
}

/// A fault of one mailbox.
pub(crate) fn mailbox(class: FaultClass, code: &str, message: impl AsRef<str>) -> Fault {
    Fault::new(FaultScope::Mailbox, class, code, message)
}

/// A fault of one message.
pub(crate) fn item(class: FaultClass, code: &str, message: impl AsRef<str>) -> Fault {
    Fault::new(FaultScope::Item, class, code, message)
}

/// The connection ended in the middle of an exchange.
pub(crate) fn lost(why: &impl std::fmt::Display) -> Fault {
    mailbox(FaultClass::Transient, "ConnectionLost", format!("the connection to the server was lost: {why}"))
}

/// An answer that is no EWS.
pub(crate) fn violation(what: impl AsRef<str>) -> Fault {
    mailbox(FaultClass::Transient, "ProtocolViolation", what)
}

/// What happens before the server has answered at all concerns the server.
pub(crate) fn before_first_answer(fault: Fault) -> Fault {
    match fault.code.as_str() {
        "TimedOut" | "ConnectionLost" => Fault { scope: FaultScope::Profile, class: FaultClass::Unreachable, ..fault },
        _ => fault,
    }
}

/// A message went out whole, and what became of it was not heard.
pub(crate) fn outcome_unknown(why: &Fault) -> Fault {
    let message = format!("no answer to the complete message: {}: {}", why.code, why.message);
    mailbox(FaultClass::Unclear, "OutcomeUnknown", message)
}
