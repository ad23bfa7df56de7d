//! Answers: response messages with their codes, and the faults of requests that cannot be answered at all.

use super::xml::Writer;
use crate::world::Error;

/// The response codes this server speaks.
#[allow(missing_docs, reason = "the names are the codes")]
pub mod code {
    pub const NO_ERROR: &str = "NoError";
    pub const INVALID_ID_MALFORMED: &str = "ErrorInvalidIdMalformed";
    pub const INVALID_CHANGE_KEY: &str = "ErrorInvalidChangeKey";
    pub const INVALID_REQUEST: &str = "ErrorInvalidRequest";
    pub const SCHEMA: &str = "ErrorSchemaValidation";
    pub const INVALID_OPERATION: &str = "ErrorInvalidOperation";
    pub const ITEM_NOT_FOUND: &str = "ErrorItemNotFound";
    pub const FOLDER_NOT_FOUND: &str = "ErrorFolderNotFound";
    pub const IRRESOLVABLE: &str = "ErrorIrresolvableConflict";
    pub const CHANGE_KEY_REQUIRED: &str = "ErrorChangeKeyRequired";
    pub const STALE: &str = "ErrorStaleObject";
    pub const INVALID_SYNC_STATE: &str = "ErrorInvalidSyncStateData";
    pub const ACCESS_DENIED: &str = "ErrorAccessDenied";
    pub const IMPERSONATE_DENIED: &str = "ErrorImpersonateUserDenied";
    pub const NO_MAILBOX: &str = "ErrorNonExistentMailbox";
    pub const NO_RESULTS: &str = "ErrorNameResolutionNoResults";
    pub const MULTIPLE_RESULTS: &str = "ErrorNameResolutionMultipleResults";
    pub const SUBSCRIPTION_NOT_FOUND: &str = "ErrorSubscriptionNotFound";
    pub const INVALID_WATERMARK: &str = "ErrorInvalidWatermark";
    pub const INVALID_SUBSCRIPTION: &str = "ErrorInvalidSubscription";
    pub const INVALID_PROPERTY_REQUEST: &str = "ErrorInvalidPropertyRequest";
    pub const INVALID_PROPERTY_SET: &str = "ErrorInvalidPropertySet";
    pub const SEND_NOT_DRAFT: &str = "ErrorInvalidOperation";
    pub const SERVER_BUSY: &str = "ErrorServerBusy";
    pub const INTERNAL: &str = "ErrorInternalServerError";
    pub const ITEM_SAVE: &str = "ErrorItemSave";
    pub const CONFIGURATION_MISSING: &str = "ErrorItemNotFound";
}

/// Why a part of a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// One of [`code`].
    pub code: &'static str,
    /// For people.
    pub text: String,
    /// What programs may need besides: names and values.
    pub details: Vec<(&'static str, String)>,
}

impl Fault {
    /// A fault.
    pub fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), details: Vec::new() }
    }

    /// A request that is not what the schema asks for.
    pub fn schema(text: impl Into<String>) -> Self {
        Self::new(code::SCHEMA, text)
    }

    /// The server is busy for so many milliseconds.
    pub fn busy(back_off: Option<u64>) -> Self {
        let mut fault =
            Self::new(code::SERVER_BUSY, "The server cannot service this request right now. Try again later.");
        fault.details.extend(back_off.map(|wait| ("BackOffMilliseconds", wait.to_string())));
        fault
    }

    /// Writes what programs may need.
    pub fn write_details(&self, w: &mut Writer) {
        if self.details.is_empty() {
            return;
        }
        w.element("m:MessageXml", &[], |w| {
            for (name, value) in &self.details {
                w.leaf_with("t:Value", &[("Name", name)], value);
            }
        });
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let code = match error {
            Error::FolderNotFound => code::FOLDER_NOT_FOUND,
            Error::FolderExists => "ErrorFolderExists",
            Error::FolderNameMissing => "ErrorFolderPropertRequestFailed",
            Error::FolderProtected => "ErrorDeleteDistinguishedFolder",
            Error::ItemNotFound => code::ITEM_NOT_FOUND,
            Error::AttachmentNotFound => "ErrorInvalidAttachmentId",
            Error::MailboxNotFound => code::NO_MAILBOX,
            Error::Conflict => code::IRRESOLVABLE,
            Error::SyncStateInvalid => code::INVALID_SYNC_STATE,
            Error::WatermarkLost => code::INVALID_WATERMARK,
            Error::OccurrenceOutOfRange => "ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange",
            Error::OccurrenceDeleted => "ErrorCalendarOccurrenceIsDeletedFromRecurrence",
            Error::OccurrenceNotFound => code::ITEM_NOT_FOUND,
            Error::NoRecipients => "ErrorInvalidRecipients",
            Error::NotAMeeting => "ErrorCalendarIsNotOrganizerForAccept",
            Error::Invalid(_) => code::INVALID_REQUEST,
        };
        Self::new(code, error.to_string())
    }
}

/// What is answered to one part of a request.
pub type Part<T = ()> = Result<T, Fault>;

/// Writes one response message: what `inside` writes, or the fault.
pub fn message<T>(w: &mut Writer, operation: &str, part: &Part<T>, inside: impl FnOnce(&mut Writer, &T)) {
    let name = format!("m:{operation}ResponseMessage");
    match part {
        Ok(value) => w.element(&name, &[("ResponseClass", "Success")], |w| {
            w.leaf("m:ResponseCode", code::NO_ERROR);
            inside(w, value);
        }),
        Err(fault) => w.element(&name, &[("ResponseClass", "Error")], |w| {
            w.leaf("m:MessageText", &fault.text);
            w.leaf("m:ResponseCode", fault.code);
            w.leaf("m:DescriptiveLinkKey", "0");
            fault.write_details(w);
            w.raw(remains(operation));
        }),
    }
}

/// What a response message has even when it has failed.
fn remains(operation: &str) -> &'static str {
    match operation {
        "SyncFolderItems" => "<m:SyncState/><m:IncludesLastItemInRange>true</m:IncludesLastItemInRange>",
        "SyncFolderHierarchy" => "<m:SyncState/><m:IncludesLastFolderInRange>true</m:IncludesLastFolderInRange>",
        "GetItem" | "CreateItem" | "UpdateItem" | "MoveItem" | "CopyItem" => "<m:Items/>",
        "GetFolder" | "CreateFolder" | "UpdateFolder" | "MoveFolder" => "<m:Folders/>",
        "GetAttachment" | "CreateAttachment" => "<m:Attachments/>",
        _ => "",
    }
}

/// Writes an operation's answer around its response messages.
pub fn response(w: &mut Writer, operation: &str, inside: impl FnOnce(&mut Writer)) {
    w.element(&format!("m:{operation}Response"), &[], |w| w.element("m:ResponseMessages", &[], inside));
}
