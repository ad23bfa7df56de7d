//! Plans as plain data: the steps that bring the two sides of one item together.

use lockstep_model::{
    id::MailboxId,
    record::{Field, Fields, Kind, LinkId, Patch, RecordId, RecordVersion, RemoteVersion},
    remote::RemoteKey,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    Base, Merge, Rules, Seen, Side,
    deletion::{self, Choices, Event, Facts, Verdict, Why},
    diff::{is_pending, merge},
};

/// The mark a write to the server carries, so that a second try finds what the first one did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub Uuid);

impl Key {
    /// Of an item created for a record: the same whenever and however often it is tried, so that a mailbox never
    /// gets two items for one record.
    pub fn of_creation(mailbox: MailboxId, record: RecordId) -> Self {
        Self::hashed(b"create", mailbox.0, record.0, "")
    }

    /// Of a change of a linked item in the state that was seen.
    pub fn of_change(link: LinkId, expected: &RemoteVersion) -> Self {
        Self::hashed(b"change", link.0, Uuid::nil(), &expected.0)
    }

    fn hashed(what: &[u8], first: Uuid, second: Uuid, rest: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [what, first.as_bytes(), second.as_bytes(), rest.as_bytes()] {
            hash.update(part);
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

/// One step. Those on the server are conditional on the version that was seen; so are those in the CRM, where a
/// mismatch plans the item again.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Ask the server for this one item by its name: it was missing in a listing, and that proves nothing.
    Look {
        /// The item.
        remote: RemoteKey,
    },
    /// Create an item and link it.
    CreateItem {
        /// Its mark.
        key: Key,
        /// Its values.
        values: Fields,
    },
    /// Write to an item.
    UpdateItem {
        /// The step's mark.
        key: Key,
        /// The item.
        remote: RemoteKey,
        /// Only in this state.
        expected: RemoteVersion,
        /// What is written.
        patch: Patch,
    },
    /// Delete an item; a meeting is cancelled by that. The link goes too.
    DeleteItem {
        /// The step's mark.
        key: Key,
        /// The item.
        remote: RemoteKey,
        /// Only in this state.
        expected: RemoteVersion,
    },
    /// Create a record and link it.
    CreateRecord {
        /// Its kind.
        kind: Kind,
        /// Its values.
        values: Fields,
    },
    /// Write to a record.
    UpdateRecord {
        /// The record.
        record: RecordId,
        /// Only in this state.
        expected: RecordVersion,
        /// What is written.
        patch: Patch,
    },
    /// Delete a record; the link goes too.
    DeleteRecord {
        /// The record.
        record: RecordId,
        /// Only in this state.
        expected: RecordVersion,
    },
    /// Note that values became equal without being written.
    Agree {
        /// The fields.
        fields: Vec<Field>,
    },
    /// Tie a record to an item that was made for it, and merge them from the next cycle on.
    Link {
        /// The record.
        record: RecordId,
        /// The item.
        remote: RemoteKey,
    },
    /// Take up an unlinked pair again, from where it was.
    Relink,
    /// Both stay, and are left alone from now on.
    Unlink {
        /// Why.
        why: Why,
    },
    /// Nothing is left on either side: the link goes.
    Forget,
    /// A deletion waits for a person to agree.
    Hold {
        /// Where the deletion would be carried out.
        side: Side,
    },
}

impl Step {
    /// Whether it writes to the mail server, and so needs an intent.
    pub const fn is_remote(&self) -> bool {
        matches!(self, Self::CreateItem { .. } | Self::UpdateItem { .. } | Self::DeleteItem { .. })
    }

    /// Whether it changes a record or an item.
    pub const fn writes(&self) -> bool {
        self.is_remote()
            || matches!(self, Self::CreateRecord { .. } | Self::UpdateRecord { .. } | Self::DeleteRecord { .. })
    }

    /// The side on which it deletes.
    pub const fn deletes(&self) -> Option<Side> {
        match self {
            Self::DeleteItem { .. } => Some(Side::Server),
            Self::DeleteRecord { .. } => Some(Side::Crm),
            _ => None,
        }
    }
}

/// What is to be done about one item.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ItemPlan {
    /// In this order. Remote steps come first.
    pub steps: Vec<Step>,
    /// What the merge behind an update decided; with the receipts it makes the new base.
    pub merge: Merge,
}

impl From<Step> for ItemPlan {
    fn from(step: Step) -> Self {
        Self { steps: vec![step], merge: Merge::default() }
    }
}

/// What the CRM has of a link.
#[derive(Clone, Debug, PartialEq)]
pub enum Crm {
    /// The record, and it belongs into the mailbox.
    Here(Seen<RecordVersion>),
    /// The record is cancelled, and belongs into the mailbox.
    Cancelled(Seen<RecordVersion>),
    /// The record exists, but belongs there no longer: it left the filters, or the user lost the right to read it.
    Left,
    /// The record belongs to another user now.
    Reassigned,
    /// The record was deleted: its tombstone was read.
    Deleted,
}

/// What the server has of a link.
#[derive(Clone, Debug, PartialEq)]
pub enum Server {
    /// The item. Where the server lists changes only and this one is not among them, as it was last read.
    Here(Seen<RemoteVersion>),
    /// The item was deleted: the server reported that, or says there is none when asked for this one.
    Deleted,
    /// The item is missing in a listing.
    Unseen,
}

/// How a pair hangs together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tie {
    /// Changes flow.
    Linked,
    /// They stand side by side; remembered so that neither is taken for new.
    Unlinked(Why),
}

/// One link with both its sides as they are now.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The link.
    pub link: LinkId,
    /// Its record.
    pub record: RecordId,
    /// Its item.
    pub remote: RemoteKey,
    /// How they hang together.
    pub tie: Tie,
    /// Their last agreement.
    pub base: Base,
    /// The CRM's side.
    pub crm: Crm,
    /// The server's side.
    pub server: Server,
}

/// Plans one link.
pub fn plan(pair: &Pair, rules: &Rules, facts: Facts, choices: Choices) -> ItemPlan {
    match pair.tie {
        Tie::Linked => plan_linked(pair, rules, facts, choices),
        Tie::Unlinked(why) => plan_unlinked(pair, why, rules, facts, choices),
    }
}

fn plan_linked(pair: &Pair, rules: &Rules, facts: Facts, choices: Choices) -> ItemPlan {
    let judge = |event| deletion::judge(event, facts, choices);
    match (&pair.crm, &pair.server) {
        (Crm::Deleted, Server::Deleted) => Step::Forget.into(),
        (_, Server::Unseen) => Step::Look { remote: pair.remote.clone() }.into(),
        (Crm::Here(crm), Server::Here(server)) => plan_merge(pair, crm, server, rules),
        (Crm::Cancelled(crm), Server::Here(server)) => match judge(Event::RecordCancelled) {
            Verdict::Delete => delete_item(pair, server),
            Verdict::Unlink(_) | Verdict::Keep(_) => plan_merge(pair, crm, server, rules),
        },
        (Crm::Deleted, Server::Here(server)) => gone_in_crm(pair, server, judge(Event::RecordDeleted), rules),
        (Crm::Left, Server::Here(server)) => gone_in_crm(pair, server, judge(Event::RecordLeft), rules),
        (Crm::Reassigned, Server::Here(server)) => gone_in_crm(pair, server, judge(Event::RecordReassigned), rules),
        // A record this mailbox has no more part in is not deleted from here.
        (Crm::Left | Crm::Reassigned, Server::Deleted) => Step::Forget.into(),
        (Crm::Here(crm) | Crm::Cancelled(crm), Server::Deleted) => match judge(Event::ItemDeleted) {
            Verdict::Delete if is_pending(&pair.base, Side::Crm, &crm.fields, rules) => {
                Step::Unlink { why: Why::Changed }.into()
            }
            Verdict::Delete => Step::DeleteRecord { record: pair.record, expected: crm.version }.into(),
            Verdict::Unlink(why) | Verdict::Keep(why) => Step::Unlink { why }.into(),
        },
    }
}

/// Plans a link whose record has left the filters and can still be read: a task that was completed, say. Where the two
/// are only let go, they are brought in step a last time before.
pub fn plan_leaving(pair: &Pair, last: Seen<RecordVersion>, rules: &Rules, facts: Facts, choices: Choices) -> ItemPlan {
    let left = plan(&Pair { crm: Crm::Left, ..pair.clone() }, rules, facts, choices);
    let (Tie::Linked, Server::Here(server)) = (pair.tie, &pair.server) else { return left };
    match left.steps.as_slice() {
        [Step::Unlink { why: Why::LeftFilters }] => {
            let mut last = plan_merge(pair, &last, server, rules);
            last.steps.extend(left.steps);
            last
        }
        _ => left,
    }
}

fn gone_in_crm(pair: &Pair, server: &Seen<RemoteVersion>, verdict: Verdict, rules: &Rules) -> ItemPlan {
    match verdict {
        Verdict::Delete if is_pending(&pair.base, Side::Server, &server.fields, rules) => {
            Step::Unlink { why: Why::Changed }.into()
        }
        Verdict::Delete => delete_item(pair, server),
        Verdict::Unlink(why) | Verdict::Keep(why) => Step::Unlink { why }.into(),
    }
}

fn delete_item(pair: &Pair, server: &Seen<RemoteVersion>) -> ItemPlan {
    let key = Key::of_change(pair.link, &server.version);
    Step::DeleteItem { key, remote: pair.remote.clone(), expected: server.version.clone() }.into()
}

/// A pair that was unlinked because the record left the filters is taken up again when it comes back, as long as its
/// item is still there. All others are left alone until nothing is left of them.
fn plan_unlinked(pair: &Pair, why: Why, rules: &Rules, facts: Facts, choices: Choices) -> ItemPlan {
    match (&pair.crm, &pair.server) {
        (Crm::Deleted, Server::Deleted) => Step::Forget.into(),
        (Crm::Here(_) | Crm::Left | Crm::Reassigned, Server::Deleted) if why == Why::LeftFilters => Step::Forget.into(),
        (Crm::Here(_), Server::Here(_)) if why == Why::LeftFilters => {
            let mut plan = plan_linked(pair, rules, facts, choices);
            plan.steps.insert(0, Step::Relink);
            plan
        }
        _ => ItemPlan::default(),
    }
}

fn plan_merge(pair: &Pair, crm: &Seen<RecordVersion>, server: &Seen<RemoteVersion>, rules: &Rules) -> ItemPlan {
    let merge = merge(&pair.base, crm, server, rules);
    let mut steps = Vec::new();
    if !merge.to_server.is_empty() {
        steps.push(Step::UpdateItem {
            key: Key::of_change(pair.link, &server.version),
            remote: pair.remote.clone(),
            expected: server.version.clone(),
            patch: merge.to_server.clone(),
        });
    }
    if !merge.to_crm.is_empty() {
        let (record, expected, patch) = (pair.record, crm.version, merge.to_crm.clone());
        steps.push(Step::UpdateRecord { record, expected, patch });
    }
    if !merge.agreed.is_empty() {
        steps.push(Step::Agree { fields: merge.agreed.clone() });
    }
    ItemPlan { steps, merge }
}

/// Plans a record that belongs into the mailbox and has no link there.
pub fn plan_new_record(
    mailbox: MailboxId,
    record: RecordId,
    crm: &Seen<RecordVersion>,
    rules: &Rules,
) -> Option<ItemPlan> {
    let values = flowing(&crm.fields, rules, Side::Server);
    (!values.is_empty()).then(|| Step::CreateItem { key: Key::of_creation(mailbox, record), values }.into())
}

/// Where an item comes from that no link knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It carries no mark of ours, and nobody asked to have it in the CRM.
    Untracked,
    /// Somebody asked to have it in the CRM.
    Tracked,
    /// It carries the mark of a record that is linked to another item: a person has copied it.
    Copy,
    /// It carries the mark of a record that belongs into the mailbox and is linked to nothing: it was made for it.
    Ours(RecordId),
}

/// Plans an item that has no link.
pub fn plan_new_item(
    remote: &RemoteKey,
    server: &Seen<RemoteVersion>,
    origin: Origin,
    rules: &Rules,
) -> Option<ItemPlan> {
    match origin {
        Origin::Untracked | Origin::Copy => None,
        Origin::Ours(record) => Some(Step::Link { record, remote: remote.clone() }.into()),
        Origin::Tracked => {
            let values = flowing(&server.fields, rules, Side::Crm);
            let kind = rules.directions.kind();
            (!values.is_empty()).then(|| Step::CreateRecord { kind, values }.into())
        }
    }
}

/// The values that may flow to a side.
fn flowing(source: &Fields, rules: &Rules, to: Side) -> Fields {
    let mut values = Fields::default();
    for (field, _) in source.iter() {
        let flow = rules.flow(field);
        if (to == Side::Crm && flow.to_crm) || (to == Side::Server && flow.to_server) {
            values.copy(field, source);
        }
    }
    values
}
