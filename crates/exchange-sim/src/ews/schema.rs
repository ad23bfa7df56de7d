//! The properties of items: how requests name them, how elements name them, and what they hold, in the schema's order.

use crate::world::item::Class;

/// What a property holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string or a word of an enumeration.
    Text,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Double,
    /// A point in time.
    Instant,
    /// Base64.
    Bytes,
    /// A list of strings.
    Strings,
    /// A body.
    Body,
    /// One mailbox.
    Person,
    /// Mailboxes.
    People,
    /// Members of a list.
    Members,
    /// Attendees.
    Attendees,
    /// Texts by key.
    Entries,
    /// Postal addresses by key.
    Places,
    /// A recurrence.
    Recurrence,
    /// A time zone.
    Zone,
    /// Made when it is asked for, in a shape of its own.
    Special,
}

/// A property.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// The first half of its name: which kind of item it belongs to.
    pub set: &'static str,
    /// The second half; the element's name, and the world's.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
}

const fn field(set: &'static str, name: &'static str, kind: Kind) -> Field {
    Field { set, name, kind }
}

/// All of them.
#[rustfmt::skip]
pub static FIELDS: &[Field] = &[
    field("item", "MimeContent", Kind::Special),
    field("item", "ItemId", Kind::Special),
    field("item", "ParentFolderId", Kind::Special),
    field("item", "ItemClass", Kind::Text),
    field("item", "Subject", Kind::Text),
    field("item", "Sensitivity", Kind::Text),
    field("item", "Body", Kind::Body),
    field("item", "Attachments", Kind::Special),
    field("item", "DateTimeReceived", Kind::Instant),
    field("item", "Size", Kind::Int),
    field("item", "Categories", Kind::Strings),
    field("item", "Importance", Kind::Text),
    field("item", "InReplyTo", Kind::Text),
    field("item", "IsSubmitted", Kind::Bool),
    field("item", "IsDraft", Kind::Bool),
    field("item", "IsFromMe", Kind::Bool),
    field("item", "IsResend", Kind::Bool),
    field("item", "IsUnmodified", Kind::Bool),
    field("item", "InternetMessageHeaders", Kind::Special),
    field("item", "DateTimeSent", Kind::Instant),
    field("item", "DateTimeCreated", Kind::Instant),
    field("item", "ResponseObjects", Kind::Special),
    field("item", "ReminderDueBy", Kind::Instant),
    field("item", "ReminderIsSet", Kind::Bool),
    field("item", "ReminderMinutesBeforeStart", Kind::Int),
    field("item", "DisplayCc", Kind::Text),
    field("item", "DisplayTo", Kind::Text),
    field("item", "HasAttachments", Kind::Bool),
    field("item", "Culture", Kind::Text),
    field("item", "EffectiveRights", Kind::Special),
    field("item", "LastModifiedName", Kind::Text),
    field("item", "LastModifiedTime", Kind::Instant),
    field("item", "IsAssociated", Kind::Bool),
    field("item", "WebClientReadFormQueryString", Kind::Text),
    field("item", "WebClientEditFormQueryString", Kind::Text),
    field("item", "ConversationId", Kind::Special),
    field("item", "UniqueBody", Kind::Special),
    field("item", "Flag", Kind::Special),
    field("item", "Preview", Kind::Text),
    field("item", "TextBody", Kind::Special),
    field("message", "Sender", Kind::Person),
    field("message", "ToRecipients", Kind::People),
    field("message", "CcRecipients", Kind::People),
    field("message", "BccRecipients", Kind::People),
    field("message", "IsReadReceiptRequested", Kind::Bool),
    field("message", "IsDeliveryReceiptRequested", Kind::Bool),
    field("message", "ConversationIndex", Kind::Bytes),
    field("message", "ConversationTopic", Kind::Text),
    field("message", "From", Kind::Person),
    field("message", "InternetMessageId", Kind::Text),
    field("message", "IsRead", Kind::Bool),
    field("message", "IsResponseRequested", Kind::Bool),
    field("message", "References", Kind::Text),
    field("message", "ReplyTo", Kind::People),
    field("message", "ReceivedBy", Kind::Person),
    field("message", "ReceivedRepresenting", Kind::Person),
    field("message", "ReminderMessageData", Kind::Special),
    field("postitem", "PostedTime", Kind::Instant),
    field("meeting", "AssociatedCalendarItemId", Kind::Special),
    field("meeting", "IsDelegated", Kind::Bool),
    field("meeting", "IsOutOfDate", Kind::Bool),
    field("meeting", "HasBeenProcessed", Kind::Bool),
    field("meeting", "ResponseType", Kind::Text),
    field("meeting", "ProposedStart", Kind::Instant),
    field("meeting", "ProposedEnd", Kind::Instant),
    field("meetingRequest", "MeetingRequestType", Kind::Text),
    field("meetingRequest", "IntendedFreeBusyStatus", Kind::Text),
    field("calendar", "UID", Kind::Text),
    field("calendar", "RecurrenceId", Kind::Instant),
    field("calendar", "DateTimeStamp", Kind::Instant),
    field("calendar", "Start", Kind::Instant),
    field("calendar", "End", Kind::Instant),
    field("calendar", "OriginalStart", Kind::Instant),
    field("calendar", "IsAllDayEvent", Kind::Bool),
    field("calendar", "LegacyFreeBusyStatus", Kind::Text),
    field("calendar", "Location", Kind::Text),
    field("calendar", "When", Kind::Text),
    field("calendar", "IsMeeting", Kind::Bool),
    field("calendar", "IsCancelled", Kind::Bool),
    field("calendar", "IsRecurring", Kind::Bool),
    field("calendar", "MeetingRequestWasSent", Kind::Bool),
    field("calendar", "IsResponseRequested", Kind::Bool),
    field("calendar", "CalendarItemType", Kind::Text),
    field("calendar", "MyResponseType", Kind::Text),
    field("calendar", "Organizer", Kind::Person),
    field("calendar", "RequiredAttendees", Kind::Attendees),
    field("calendar", "OptionalAttendees", Kind::Attendees),
    field("calendar", "Resources", Kind::Attendees),
    field("calendar", "ConflictingMeetingCount", Kind::Int),
    field("calendar", "AdjacentMeetingCount", Kind::Int),
    field("calendar", "ConflictingMeetings", Kind::Special),
    field("calendar", "AdjacentMeetings", Kind::Special),
    field("calendar", "Duration", Kind::Text),
    field("calendar", "TimeZone", Kind::Text),
    field("calendar", "AppointmentReplyTime", Kind::Instant),
    field("calendar", "AppointmentSequenceNumber", Kind::Int),
    field("calendar", "AppointmentState", Kind::Int),
    field("calendar", "Recurrence", Kind::Recurrence),
    field("calendar", "FirstOccurrence", Kind::Special),
    field("calendar", "LastOccurrence", Kind::Special),
    field("calendar", "ModifiedOccurrences", Kind::Special),
    field("calendar", "DeletedOccurrences", Kind::Special),
    field("calendar", "MeetingTimeZone", Kind::Zone),
    field("calendar", "StartTimeZone", Kind::Zone),
    field("calendar", "EndTimeZone", Kind::Zone),
    field("calendar", "ConferenceType", Kind::Int),
    field("calendar", "AllowNewTimeProposal", Kind::Bool),
    field("calendar", "IsOnlineMeeting", Kind::Bool),
    field("calendar", "MeetingWorkspaceUrl", Kind::Text),
    field("calendar", "NetShowUrl", Kind::Text),
    field("contacts", "FileAs", Kind::Text),
    field("contacts", "FileAsMapping", Kind::Text),
    field("contacts", "DisplayName", Kind::Text),
    field("contacts", "GivenName", Kind::Text),
    field("contacts", "Initials", Kind::Text),
    field("contacts", "MiddleName", Kind::Text),
    field("contacts", "Nickname", Kind::Text),
    field("contacts", "CompleteName", Kind::Special),
    field("contacts", "CompanyName", Kind::Text),
    field("contacts", "EmailAddresses", Kind::Entries),
    field("contacts", "PhysicalAddresses", Kind::Places),
    field("contacts", "PhoneNumbers", Kind::Entries),
    field("contacts", "AssistantName", Kind::Text),
    field("contacts", "Birthday", Kind::Instant),
    field("contacts", "BusinessHomePage", Kind::Text),
    field("contacts", "Children", Kind::Strings),
    field("contacts", "Companies", Kind::Strings),
    field("contacts", "ContactSource", Kind::Text),
    field("contacts", "Department", Kind::Text),
    field("contacts", "Generation", Kind::Text),
    field("contacts", "ImAddresses", Kind::Entries),
    field("contacts", "JobTitle", Kind::Text),
    field("contacts", "Manager", Kind::Text),
    field("contacts", "Mileage", Kind::Text),
    field("contacts", "OfficeLocation", Kind::Text),
    field("contacts", "PostalAddressIndex", Kind::Text),
    field("contacts", "Profession", Kind::Text),
    field("contacts", "SpouseName", Kind::Text),
    field("contacts", "Surname", Kind::Text),
    field("contacts", "WeddingAnniversary", Kind::Instant),
    field("contacts", "HasPicture", Kind::Bool),
    field("contacts", "PhoneticFullName", Kind::Text),
    field("contacts", "PhoneticFirstName", Kind::Text),
    field("contacts", "PhoneticLastName", Kind::Text),
    field("contacts", "Alias", Kind::Text),
    field("contacts", "Notes", Kind::Text),
    field("contacts", "Photo", Kind::Bytes),
    field("contacts", "UserSMIMECertificate", Kind::Special),
    field("contacts", "MSExchangeCertificate", Kind::Special),
    field("contacts", "DirectoryId", Kind::Text),
    field("contacts", "ManagerMailbox", Kind::Person),
    field("contacts", "DirectReports", Kind::People),
    field("distributionlist", "Members", Kind::Members),
    field("task", "ActualWork", Kind::Int),
    field("task", "AssignedTime", Kind::Instant),
    field("task", "BillingInformation", Kind::Text),
    field("task", "ChangeCount", Kind::Int),
    field("task", "Companies", Kind::Strings),
    field("task", "CompleteDate", Kind::Instant),
    field("task", "Contacts", Kind::Strings),
    field("task", "DelegationState", Kind::Text),
    field("task", "Delegator", Kind::Text),
    field("task", "DueDate", Kind::Instant),
    field("task", "IsAssignmentEditable", Kind::Bool),
    field("task", "IsComplete", Kind::Bool),
    field("task", "IsRecurring", Kind::Bool),
    field("task", "IsTeamTask", Kind::Bool),
    field("task", "Mileage", Kind::Text),
    field("task", "Owner", Kind::Text),
    field("task", "PercentComplete", Kind::Double),
    field("task", "Recurrence", Kind::Recurrence),
    field("task", "StartDate", Kind::Instant),
    field("task", "Status", Kind::Text),
    field("task", "StatusDescription", Kind::Text),
    field("task", "TotalWork", Kind::Int),
];

/// Whether items of a class have properties of a set.
pub fn has(class: Class, set: &str) -> bool {
    use Class::{
        CalendarItem, Contact, DistributionList, MeetingCancellation, MeetingRequest, MeetingResponse, PostItem, Task,
    };
    match set {
        "item" => true,
        "message" => class.is_mail(),
        "postitem" => class == PostItem,
        "meeting" => matches!(class, MeetingRequest | MeetingResponse | MeetingCancellation),
        "meetingRequest" => class == MeetingRequest,
        "calendar" => matches!(class, CalendarItem | MeetingRequest | MeetingResponse | MeetingCancellation),
        "contacts" => matches!(class, Contact | DistributionList),
        "distributionlist" => class == DistributionList,
        "task" => class == Task,
        _ => false,
    }
}

/// The property an element of an item names.
pub fn by_element(class: Class, name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name == name && has(class, field.set))
}

/// The property with a name as requests have it, such as `item:Subject`.
pub fn by_uri(uri: &str) -> Option<&'static Field> {
    let (set, name) = uri.split_once(':')?;
    FIELDS.iter().find(|field| field.set == set && field.name == name)
}

/// The property whose entries such a name and an index point at, and the part of the entry.
pub fn by_indexed_uri(uri: &str) -> Option<(&'static Field, Option<&str>)> {
    let mut parts = uri.split(':').skip(1);
    let name = match parts.next()? {
        "EmailAddress" => "EmailAddresses",
        "PhoneNumber" => "PhoneNumbers",
        "ImAddress" => "ImAddresses",
        "PhysicalAddress" => "PhysicalAddresses",
        _ => return None,
    };
    FIELDS.iter().find(|field| field.name == name).map(|field| (field, parts.next()))
}

/// The name of the element of an item.
pub fn element(class: Class) -> &'static str {
    match class {
        Class::Item => "Item",
        Class::Message => "Message",
        Class::PostItem => "PostItem",
        Class::CalendarItem => "CalendarItem",
        Class::Contact => "Contact",
        Class::DistributionList => "DistributionList",
        Class::Task => "Task",
        Class::MeetingRequest => "MeetingRequest",
        Class::MeetingResponse => "MeetingResponse",
        Class::MeetingCancellation => "MeetingCancellation",
    }
}

/// The class an element makes; none for elements that are not items.
pub fn class(element: &str) -> Option<Class> {
    Some(match element {
        "Item" => Class::Item,
        "Message" => Class::Message,
        "PostItem" => Class::PostItem,
        "CalendarItem" => Class::CalendarItem,
        "Contact" => Class::Contact,
        "DistributionList" => Class::DistributionList,
        "Task" => Class::Task,
        "MeetingRequest" => Class::MeetingRequest,
        "MeetingResponse" => Class::MeetingResponse,
        "MeetingCancellation" => Class::MeetingCancellation,
        _ => return None,
    })
}

/// Whether clients get a property without asking for it by name, when they ask for all.
pub fn in_all(field: &Field) -> bool {
    !matches!(
        field.name,
        "MimeContent"
            | "UniqueBody"
            | "TextBody"
            | "Preview"
            | "Photo"
            | "UserSMIMECertificate"
            | "MSExchangeCertificate"
    )
}

/// Whether it is among those clients get when they ask for the usual.
pub fn in_default(field: &Field) -> bool {
    const USUAL: &[&str] = &[
        "ItemId",
        "Subject",
        "Sensitivity",
        "Body",
        "Attachments",
        "Size",
        "DateTimeSent",
        "DateTimeCreated",
        "HasAttachments",
        "ToRecipients",
        "CcRecipients",
        "From",
        "IsRead",
        "Start",
        "End",
        "Location",
        "LegacyFreeBusyStatus",
        "IsRecurring",
        "CalendarItemType",
        "Organizer",
        "RequiredAttendees",
        "OptionalAttendees",
        "FileAs",
        "DisplayName",
        "CompleteName",
        "CompanyName",
        "EmailAddresses",
        "PhoneNumbers",
        "Surname",
        "DueDate",
        "PercentComplete",
        "StartDate",
        "Status",
    ];
    USUAL.contains(&field.name)
}
