//! What both sides last agreed on, and how it moves when something has been written.

use std::collections::BTreeSet;

use lockstep_model::record::{Field, Fields, RecordVersion, RemoteVersion, schema::Direction};

use super::{Merge, Rules, Seen};

/// The last agreement of a link, by side: a server may keep another form of a value than the CRM does, and neither
/// form is a change.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Base {
    /// The record's values when they were agreed on.
    pub crm: Fields,
    /// The item's values then.
    pub server: Fields,
    /// Fields that were written to the server, and where it has something else now: somebody's later change, or its own
    /// form of ours. It counts as changed there, and the CRM's value goes into the history when it gives way.
    pub unclear: BTreeSet<Field>,
    /// The versions at which nothing was left to do. `None` while something is: then values are compared. Whoever
    /// changes a field's direction or a user's rights sets it to `None`.
    pub settled: Option<(RecordVersion, RemoteVersion)>,
}

/// What a write to the server left behind, as read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The item now.
    pub now: Seen<RemoteVersion>,
    /// Whether that is for certain what our write made of it, and not somebody's later change: it has the version the
    /// write's answer named.
    pub sure: bool,
}

impl Base {
    /// The agreement after a merge was carried out, wholly or in part. With each side as it was planned with comes
    /// what was written there: `None` when nothing was, and then what should have been is planned again. The record
    /// is read in the transaction that writes it.
    #[must_use]
    pub fn after(
        &self,
        merge: &Merge,
        (crm, crm_written): (&Seen<RecordVersion>, Option<&Seen<RecordVersion>>),
        (server, server_written): (&Seen<RemoteVersion>, Option<&Written>),
        rules: &Rules,
    ) -> Self {
        let mut base = Self { settled: None, ..self.clone() };
        for field in &merge.agreed {
            base.crm.copy(*field, &crm.fields);
            base.server.copy(*field, &server.fields);
            base.unclear.remove(field);
        }
        if let Some(written) = server_written {
            let mut planned = Fields::default();
            planned.apply(&merge.to_server);
            base.confirm(merge.to_server.fields(), &planned, written);
        }
        if let Some(written) = crm_written {
            for field in merge.to_crm.fields() {
                base.server.copy(field, &server.fields);
                base.crm.copy(field, &written.fields);
                base.unclear.remove(&field);
            }
        }
        let (crm, server) = (crm_written.unwrap_or(crm), server_written.map_or(server, |written| &written.now));
        base.settle(crm, server, rules);
        base
    }

    /// The agreement after an item was created from a record.
    pub fn of_new_item(crm: &Seen<RecordVersion>, values: &Fields, written: &Written, rules: &Rules) -> Self {
        let mut base = Self::default();
        // What a server puts into fields we left empty is its default, not somebody's change.
        let sent = rules.directions.iter().map(|(field, _)| field).filter(|field| rules.flow(*field).to_server);
        base.confirm(sent, values, written);
        base.settle(crm, &written.now, rules);
        base
    }

    /// The agreement after a record was created from an item.
    pub fn of_new_record(
        server: &Seen<RemoteVersion>,
        values: &Fields,
        written: &Seen<RecordVersion>,
        rules: &Rules,
    ) -> Self {
        let mut base = Self::default();
        for (field, _) in rules.directions.iter().filter(|(field, _)| rules.flow(*field).to_crm) {
            base.server.copy(field, values);
            base.crm.copy(field, &written.fields);
        }
        base.settle(written, server, rules);
        base
    }

    /// Takes over what a write to the server left of some fields; it is certain that the write was done.
    pub(super) fn confirm(&mut self, fields: impl Iterator<Item = Field>, planned: &Fields, written: &Written) {
        for field in fields {
            let (value, now) = (planned.get(field), written.now.fields.get(field));
            self.crm.copy(field, planned);
            if written.sure || value == now {
                self.server.copy(field, &written.now.fields);
                self.unclear.remove(&field);
            } else {
                self.server.copy(field, planned);
                self.unclear.insert(field);
            }
        }
    }

    /// Notes the versions if nothing on either side differs from what was agreed.
    fn settle(&mut self, crm: &Seen<RecordVersion>, server: &Seen<RemoteVersion>, rules: &Rules) {
        let nothing_left = rules.directions.iter().filter(|(_, way)| *way != Direction::Neither).all(|(field, _)| {
            self.crm.get(field) == crm.fields.get(field) && self.server.get(field) == server.fields.get(field)
        });
        self.settled = (nothing_left && self.unclear.is_empty()).then(|| (crm.version, server.version.clone()));
    }
}
