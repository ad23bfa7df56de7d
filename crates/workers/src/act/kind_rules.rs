//! What holds for every record of a kind, for one user.

use std::collections::BTreeMap;

use lockstep_engine::merge::{
    Rules,
    rules::{Access, Standing},
};
use lockstep_model::{
    filter::Expression,
    id::UserId,
    record::{
        Field, Kind,
        schema::{self, Directions},
    },
};
use lockstep_store::{Tx, directions, filters, rights};

/// What holds for every record of a kind.
#[derive(Clone, Debug)]
pub(crate) struct KindRules {
    directions: Directions,
    access: BTreeMap<Field, Access>,
    filters: Vec<Expression>,
}

impl KindRules {
    /// Reads what holds for a user.
    pub(crate) async fn read(tx: &mut Tx, user: UserId, kind: Kind) -> lockstep_store::Result<Self> {
        let of_rights = rights::Kind::of(kind.name()).unwrap_or(rights::Kind::Contact);
        let unreadable = rights::withheld_fields(tx, user, of_rights, false).await?;
        let unwritable = rights::withheld_fields(tx, user, of_rights, true).await?;
        let mut access = BTreeMap::new();
        for row in schema::fields(kind) {
            let held =
                |names: &[String]| names.iter().any(|name| column(row.field) == name || row.field.name() == name);
            // What a record is about travels in a property of ours. Nobody sets that but us, and what it says is not
            // believed: it could name a record that the user may not see.
            let ours = row.field == Field::Regarding;
            let (readable, writable) = (!held(&unreadable), !held(&unwritable) && !ours);
            if !(readable && writable) {
                access.insert(row.field, Access { readable, writable: readable && writable });
            }
        }
        Ok(Self {
            directions: directions::of(tx, kind).await?,
            access,
            filters: filters::in_force(tx, user, kind).await?,
        })
    }

    /// The filters of the user.
    pub(crate) fn filters(&self) -> &[Expression] {
        &self.filters
    }

    /// The rules without a restriction by an item's state.
    pub(crate) fn open(&self) -> Rules {
        self.rules(Standing::Open, true)
    }

    /// The rules for one record: `writable` says whether the user may write it at all.
    pub(crate) fn rules(&self, standing: Standing, writable: bool) -> Rules {
        let mut access = self.access.clone();
        if !writable {
            for (field, _) in self.directions.iter() {
                access.entry(field).or_insert(Access::FULL).writable = false;
            }
        }
        Rules { directions: self.directions.clone(), access, standing }
    }
}

/// The name under which a field is secured where it is a column of its own.
fn column(field: Field) -> &'static str {
    match field {
        Field::Email1 => "address",
        Field::FullName => "name",
        other => other.name(),
    }
}
