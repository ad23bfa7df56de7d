//! Why an item is no record, in words, and what to do about it.

use lockstep_engine::acceptance::Reason;
use lockstep_model::catalogue;
use lockstep_store::{erasure::ERASED, item_failures::DROPPED};
use uuid::Uuid;

/// What is said to somebody who asks for an item with this reason.
pub(crate) fn sentence(reason: &str) -> String {
    if let Some(reason) = Reason::from_code(reason) {
        return reason.sentence().to_owned();
    }
    if reason == DROPPED {
        return "A person has decided that the message is not to be read.".to_owned();
    }
    if reason == ERASED {
        return "Its email was erased, with the person it was about.".to_owned();
    }
    match catalogue::find(reason) {
        Some(entry) => format!("{}.", entry.title),
        None => format!("The message could not be recorded ({reason})."),
    }
}

/// What to do when a refused message is wanted after all: what changes the decision for messages to come, and what has
/// this one, `key` in `mailbox`, judged again.
pub(super) fn remedy(reason: &str, mailbox: Uuid, key: &str) -> String {
    let release = format!("lockstep item release {mailbox} {key}");
    let rule = match Reason::from_code(reason) {
        Some(Reason::OwnMessage) => return "Nothing needs doing: look for the record of the sent email.".to_owned(),
        Some(Reason::TestMessage) => return "Nothing needs doing; the message may be deleted.".to_owned(),
        Some(Reason::TooOld) => {
            return format!(
                "Test and enable the mailbox with an earlier start date, which has everything in it judged again, this \
                 message too: lockstep mailbox test {mailbox} --process-email-from DATE. The profile's \
                 process_emails_from must not be later; moving that helps by itself only mailboxes that join the \
                 profile."
            );
        }
        Some(Reason::TooLarge) => "Raise the organisation's max_message_bytes, at most to 150 MB",
        Some(Reason::RightsManaged) => "Set the organisation's restrict_rights_managed to false",
        Some(Reason::NoRecipientMatch) => {
            "Make a user or queue with an address in To or Cc, or set the owner's track_option to all"
        }
        Some(Reason::NoCorrelationMatch) => {
            "Set the track_option of a recipient to one that accepts such messages, or make the sender a contact"
        }
        None if reason == DROPPED => {
            return format!("The message is still in the mailbox. To have it judged after all: {release}.");
        }
        None if reason == ERASED => return "Nothing can be done: what was erased is not read again.".to_owned(),
        None => {
            let entry = catalogue::find(reason);
            return entry.map_or("Look into the mailbox-worker's log.", |entry| entry.remedy).to_owned();
        }
    };
    format!(
        "{rule}: that holds for messages to come. To have this one judged again afterwards: {release}; or all that were \
         refused for this reason: lockstep item judge-again {mailbox} --reason {reason}."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F25: every reason has its sentence and its remedy.
    #[test]
    fn f25_every_reason_is_explained() {
        let codes =
            Reason::ALL.iter().map(|reason| reason.code()).chain([DROPPED, ERASED, "ItemUnavailable", "WorkerDied"]);
        for code in codes {
            assert!(sentence(code).ends_with('.') && !sentence(code).contains(code), "{code}");
            assert!(remedy(code, Uuid::nil(), "6b31").ends_with('.'), "{code}");
        }
        // Each says what helps this message and what helps later ones.
        for code in ["TooLarge", "NoRecipientMatch", "NoCorrelationMatch"] {
            let text = remedy(code, Uuid::nil(), "6b31");
            assert!(text.contains("messages to come") && text.contains(" 6b31; or all"), "{text}");
            assert!(text.contains(&format!("judge-again {} --reason {code}.", Uuid::nil())), "{text}");
        }
        assert!(remedy("TooOld", Uuid::nil(), "6b31").contains("--process-email-from"));
        assert_eq!(sentence("NoCorrelationMatch"), Reason::NoCorrelationMatch.sentence());
        assert!(sentence("Newer").contains("Newer"), "a reason of a later version is at least named");
    }
}
