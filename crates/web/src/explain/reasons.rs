//! Why an item is no record, in words, and what to do about it.

use lockstep_engine::acceptance::Reason;
use lockstep_model::catalogue;
use lockstep_store::item_failures::DROPPED;

/// What is said to somebody who asks for an item with this reason.
pub(crate) fn sentence(reason: &str) -> String {
    if let Some(reason) = Reason::from_code(reason) {
        return reason.sentence().to_owned();
    }
    if reason == DROPPED {
        return "A person has decided that the message is not to be read.".to_owned();
    }
    match catalogue::find(reason) {
        Some(entry) => format!("{}.", entry.title),
        None => format!("The message could not be recorded ({reason})."),
    }
}

/// What to do when the message is wanted after all.
pub(super) fn remedy(reason: &str) -> String {
    let remedy = match Reason::from_code(reason) {
        Some(Reason::OwnMessage) => "Nothing needs doing: look for the record of the sent email.",
        Some(Reason::TooLarge) => {
            "Raise the organisation's max_message_bytes if such messages are wanted; the next ones are then recorded."
        }
        Some(Reason::TooOld) => {
            "Set the mailbox's process_email_from, or the profile's process_emails_from, to an earlier date."
        }
        Some(Reason::NoRecipientMatch) => {
            "Make a user or queue with an address in To or Cc, or set the owner's track_option to all."
        }
        Some(Reason::NoCorrelationMatch) => {
            "Set the track_option of a recipient to one that accepts such messages, or make the sender a contact."
        }
        None if reason == DROPPED => "Nothing needs doing. The message is still in the mailbox itself.",
        None => catalogue::find(reason).map_or("Look into the mailbox-worker's log.", |entry| entry.remedy),
    };
    remedy.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F25: every reason has its sentence and its remedy.
    #[test]
    fn f25_every_reason_is_explained() {
        let codes = Reason::ALL.iter().map(|reason| reason.code()).chain([DROPPED, "ItemUnavailable", "WorkerDied"]);
        for code in codes {
            assert!(sentence(code).ends_with('.') && !sentence(code).contains(code), "{code}");
            assert!(remedy(code).ends_with('.'), "{code}");
        }
        assert_eq!(sentence("NoCorrelationMatch"), Reason::NoCorrelationMatch.sentence());
        assert!(sentence("Newer").contains("Newer"), "a reason of a later version is at least named");
    }
}
