//! What both sides last agreed on, and how it moves when something has been written.

use lockstep_model::record::{Field, Fields, Patch, RecordVersion, RemoteVersion, schema::Direction};

use super::{Merge, Rules, Seen};

/// The last agreement of a link, by side: a server may keep another form of a value than the CRM does, and neither
/// form is a change.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Base {
    /// The record's values when they were agreed on.
    pub crm: Fields,
    /// The item's values then.
    pub server: Fields,
    /// The versions at which nothing was left to do. `None` while something is: then values are compared. Whoever
    /// changes a field's direction or a user's rights sets it to `None`.
    pub settled: Option<(RecordVersion, RemoteVersion)>,
}

/// What a write left behind, as read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Written<V> {
    /// The record or item now.
    pub now: Seen<V>,
    /// Whether that is for certain what our write made of it, and not somebody's later change: it has the version the
    /// write's answer named, or was read in the same transaction.
    pub sure: bool,
}

impl Base {
    /// The agreement after a merge was carried out, wholly or in part: a side that was not written is `None`, and
    /// what should have been written there is planned again.
    #[must_use]
    pub fn after(
        &self,
        merge: &Merge,
        (crm, crm_written): (&Seen<RecordVersion>, Option<&Written<RecordVersion>>),
        (server, server_written): (&Seen<RemoteVersion>, Option<&Written<RemoteVersion>>),
        rules: &Rules,
    ) -> Self {
        let mut base = Self { settled: None, ..self.clone() };
        for field in &merge.agreed {
            base.crm.copy(*field, &crm.fields);
            base.server.copy(*field, &server.fields);
        }
        if let Some(written) = server_written {
            base.confirm_server(&merge.to_server, written);
        }
        if let Some(written) = crm_written {
            for (field, value) in merge.to_crm.iter() {
                if written.sure || written.now.fields.get(field) == value {
                    base.server.copy(field, &server.fields);
                    base.crm.copy(field, &written.now.fields);
                }
            }
        }
        let crm = crm_written.map_or(crm, |written| &written.now);
        let server = server_written.map_or(server, |written| &written.now);
        base.settle(crm, server, rules);
        base
    }

    /// The agreement after an item was created from a record.
    pub fn of_new_item(
        crm: &Seen<RecordVersion>,
        values: &Fields,
        written: &Written<RemoteVersion>,
        rules: &Rules,
    ) -> Self {
        let mut base = Self::default();
        for (field, _) in rules.directions.iter().filter(|(field, _)| rules.flow(*field).to_server) {
            // What a server puts into fields we left empty is its default, not somebody's change.
            if written.sure || written.now.fields.get(field) == values.get(field) {
                base.crm.copy(field, values);
                base.server.copy(field, &written.now.fields);
            }
        }
        base.settle(crm, &written.now, rules);
        base
    }

    /// The agreement after a record was created from an item.
    pub fn of_new_record(
        server: &Seen<RemoteVersion>,
        values: &Fields,
        written: &Written<RecordVersion>,
        rules: &Rules,
    ) -> Self {
        let mut base = Self::default();
        for (field, _) in rules.directions.iter().filter(|(field, _)| rules.flow(*field).to_crm) {
            if written.sure || written.now.fields.get(field) == values.get(field) {
                base.server.copy(field, values);
                base.crm.copy(field, &written.now.fields);
            }
        }
        base.settle(&written.now, server, rules);
        base
    }

    /// Takes over what a write to the server left of a patch. Where that cannot be told from somebody's later change,
    /// only values that are exactly as planned count.
    pub(super) fn confirm_server(&mut self, patch: &Patch, written: &Written<RemoteVersion>) -> bool {
        let mut any = false;
        for (field, value) in patch.iter() {
            if written.sure || written.now.fields.get(field) == value {
                self.put_crm(field, patch);
                self.server.copy(field, &written.now.fields);
                any = true;
            }
        }
        any
    }

    fn put_crm(&mut self, field: Field, patch: &Patch) {
        let mut planned = Fields::default();
        planned.apply(patch);
        self.crm.copy(field, &planned);
    }

    /// Notes the versions if nothing on either side differs from what was agreed.
    fn settle(&mut self, crm: &Seen<RecordVersion>, server: &Seen<RemoteVersion>, rules: &Rules) {
        let nothing_left = rules.directions.iter().filter(|(_, way)| *way != Direction::Neither).all(|(field, _)| {
            self.crm.get(field) == crm.fields.get(field) && self.server.get(field) == server.fields.get(field)
        });
        self.settled = nothing_left.then(|| (crm.version, server.version.clone()));
    }
}
