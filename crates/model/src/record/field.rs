//! Every field that is synchronised, under one name for all protocols.

use super::Shape;

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident = $text:literal: $shape:ident),+ $(,)?) => {
        /// A field of a record.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field {
            $($(#[$doc])* $name,)+
        }

        impl Field {
            /// Every field.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The name in settings and in the API.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// What kind of value it holds.
            pub const fn shape(self) -> Shape {
                match self {
                    $(Self::$name => Shape::$shape,)+
                }
            }
        }
    };
}

fields! {
    /// Subject of an appointment or a task.
    Subject = "subject": Text,
    /// Body of an appointment, notes of a task or contact; the CRM's description.
    Body = "description": Text,
    /// Priority.
    Importance = "importance": Importance,
    /// What the record is about, as the CRM names it.
    Regarding = "regarding": Text,
    /// Place of an appointment.
    Location = "location": Text,
    /// Start, end and all-day of a single appointment.
    Time = "time": When,
    /// Free/busy.
    ShowAs = "show_as": ShowAs,
    /// Who holds the meeting.
    Organiser = "organiser": People,
    /// Who has to come.
    RequiredAttendees = "required_attendees": People,
    /// Who may come.
    OptionalAttendees = "optional_attendees": People,
    /// Digests of the attached files.
    Attachments = "attachments": Files,
    /// The whole series of a recurring appointment.
    Recurrence = "recurrence": Series,
    /// When a task is due.
    DueDate = "due_date": Instant,
    /// When a task starts.
    StartDate = "start_date": Instant,
    /// When a task was completed; the CRM's actual end.
    CompletedDate = "completed_date": Instant,
    /// How much of a task is done.
    PercentComplete = "percent_complete": Percent,
    /// State of a task.
    Status = "status": TaskStatus,
    /// Name of a contact, in parts.
    FullName = "full_name": Name,
    /// First name in syllables.
    YomiFirstName = "yomi_first_name": Text,
    /// Last name in syllables.
    YomiLastName = "yomi_last_name": Text,
    /// Nickname.
    Nickname = "nickname": Text,
    /// Job title.
    JobTitle = "job_title": Text,
    /// Department.
    Department = "department": Text,
    /// The company, by name; the CRM's parent account.
    Company = "company": Text,
    /// Manager's name.
    Manager = "manager": Text,
    /// Assistant's name.
    Assistant = "assistant": Text,
    /// Names of children.
    Children = "children": Text,
    /// Name of spouse or partner.
    Spouse = "spouse": Text,
    /// Birthday.
    Birthday = "birthday": Date,
    /// Anniversary.
    Anniversary = "anniversary": Date,
    /// Government id.
    GovernmentId = "government_id": Text,
    /// First email address.
    Email1 = "email_1": Text,
    /// Second email address.
    Email2 = "email_2": Text,
    /// Third email address.
    Email3 = "email_3": Text,
    /// Web page.
    WebPage = "web_page": Text,
    /// FTP site.
    FtpSite = "ftp_site": Text,
    /// Business phone.
    BusinessPhone = "business_phone": Text,
    /// Second business phone.
    BusinessPhone2 = "business_phone_2": Text,
    /// Business fax.
    BusinessFax = "business_fax": Text,
    /// Home phone.
    HomePhone = "home_phone": Text,
    /// Second home phone.
    HomePhone2 = "home_phone_2": Text,
    /// Mobile phone.
    MobilePhone = "mobile_phone": Text,
    /// Another phone; the CRM's third.
    OtherPhone = "other_phone": Text,
    /// The assistant's phone.
    AssistantPhone = "assistant_phone": Text,
    /// Number to call back.
    Callback = "callback": Text,
    /// Main phone of the company.
    CompanyPhone = "company_phone": Text,
    /// Pager.
    Pager = "pager": Text,
    /// Mailing address; the business address where all addresses are synchronised.
    MailingAddress = "mailing_address": Place,
    /// Home address; only where all addresses are synchronised.
    HomeAddress = "home_address": Place,
    /// Other address; only where all addresses are synchronised.
    OtherAddress = "other_address": Place,
}
