//! What an organisation chooses about contacts, tasks and appointments. It is written with the organisation's settings.

use lockstep_model::record::schema::Options;

use crate::{Result, Tx};

/// The organisation's choices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemOptions {
    /// Home and other address of contacts are synchronised, not only the mailing address (K3).
    pub all_addresses: bool,
    /// A record that leaves the filters is deleted in the mailbox instead of unlinked (L8).
    pub leaving_deletes: bool,
    /// A task deleted on the server is deleted in the CRM (K8).
    pub tasks_are_deleted_in_crm: bool,
    /// A meeting cancelled in the CRM is cancelled on the server (J12).
    pub cancelling_spreads: bool,
    /// Attendees hear of changes of past meetings too (J12).
    pub past_meeting_updates: bool,
    /// Attachments of single appointments are synchronised, both ways (J11).
    pub appointment_attachments: bool,
    /// Items that people give this category become records: one line, 1 to 100 characters.
    pub tracked_category: String,
    /// The category that items of deactivated contacts are given (K4): one line, 1 to 100 characters.
    pub inactive_category: String,
}

impl Default for ItemOptions {
    fn default() -> Self {
        Self {
            all_addresses: false,
            leaving_deletes: false,
            tasks_are_deleted_in_crm: true,
            cancelling_spreads: false,
            past_meeting_updates: false,
            appointment_attachments: false,
            tracked_category: "Tracked to CRM".to_owned(),
            inactive_category: "Inactive in CRM".to_owned(),
        }
    }
}

impl ItemOptions {
    /// What of them decides directions of fields.
    pub const fn of_fields(&self) -> Options {
        Options { attachments: self.appointment_attachments, all_addresses: self.all_addresses }
    }
}

/// The choices as they are now; the defaults before the organisation was set up. One small read, made with each batch of
/// work, so that a change needs no restart.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn read(tx: &mut Tx) -> Result<ItemOptions> {
    let found = sqlx::query_as!(
        ItemOptions,
        "/* item_options::read */ SELECT all_addresses, leaving_deletes, tasks_are_deleted_in_crm, cancelling_spreads,
             past_meeting_updates, appointment_attachments, tracked_category, inactive_category
         FROM organisations",
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(found.unwrap_or_default())
}
