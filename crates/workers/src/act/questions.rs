//! Questions to people before an item becomes a record: an appointment that takes time which is taken (J9), and a contact
//! that is there already (K10). Who was asked is waited for, and what was answered is done.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_connector::items::{Folder, Item};
use lockstep_engine::{
    duplicate_contact::Traits,
    merge::{Rules, Step},
    recurrence,
    scheduling_conflict::{AHEAD, Booking, first_clash},
};
use lockstep_model::{
    record::{Field, Fields, Kind, RecordId, State, Value},
    remote::RemoteKey,
};
use lockstep_store::{
    Tx,
    alerts::{self, Severity, Subject},
    fields, filters, intents, item_retries,
    item_retries::Which,
    links,
    questions::{self, CREATE, DUPLICATE_CONTACT, IGNORE, LINK, NO, Question, SCHEDULING_CONFLICT, Standing, YES},
    records::{self, Record},
    rights::Privilege,
};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::{
    act::{
        Act, REVIEW_EVERY, failures,
        gather::{Batch, Case},
    },
    mailbox::Stopped,
};

/// What the next transaction writes of questions.
#[derive(Default)]
pub(super) struct Pending {
    /// What is asked, with what the alert's text is made of.
    asked: Vec<(Question, Json)>,
    /// Questions that were known, and whose items were looked at.
    looked: Vec<Question>,
    /// Items that wait for an answer or were decided against: whatever else they waited for is over.
    waiting: Vec<Which>,
    /// Items that are looked at once more: when another of their batch is a record, or when they are linked.
    later: Vec<(Folder, RemoteKey)>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.looked.is_empty() && self.waiting.is_empty() && self.later.is_empty()
    }
}

/// What becomes of an item that is to be a record.
enum Decision {
    /// It becomes one.
    Create,
    /// It is tied to this record.
    Link(Box<Record>),
    /// Nothing, until somebody answers or the item changes.
    Wait,
    /// Nothing before another item of the batch is a record: the two are much alike.
    Later,
}

/// Items of the batch that become records in it, as far as others are held against them.
#[derive(Default)]
struct Coming {
    bookings: Vec<(Kind, Fields)>,
    contacts: Vec<Traits>,
}

/// Adds the items whose questions are due to a batch, and the records that no longer wait for an answer.
pub(super) async fn due(act: &Act<'_>, tx: &mut Tx, limit: i64, batch: &mut Batch) -> Result<(), Stopped> {
    for question in questions::due(tx, act.run.mailbox.id, limit).await? {
        if question.answer.as_deref().is_some_and(|answer| answer != LINK) {
            batch.records.extend(question.record.map(|(_, id)| id));
        }
        let folder = Folder::ALL.into_iter().find(|folder| folder.name() == question.folder);
        if let Some(folder) = folder.filter(|_| batch.due.iter().all(|(_, key)| *key != question.item)) {
            batch.due.push((folder, question.item));
        }
    }
    Ok(())
}

/// Takes what has to be asked before out of a batch, and does what was answered.
pub(super) async fn consider(act: &mut Act<'_>, batch: &Batch, cases: &mut Vec<Case>) -> Result<(), Stopped> {
    let mailbox = act.run.mailbox.id;
    let listed = batch.heads.iter().map(|(_, head)| &head.key);
    let keys: Vec<_> = listed.chain(&batch.deleted).chain(batch.due.iter().map(|(_, key)| key)).cloned().collect();
    let mut tx = act.context.store.begin().await?;
    let known: HashMap<_, _> = questions::of(&mut tx, mailbox, &keys)
        .await?
        .into_iter()
        .map(|question| (question.item.clone(), question))
        .collect();
    let still: BTreeSet<_> = cases.iter().filter_map(item_key).cloned().collect();
    for (key, question) in &known {
        // It is gone, has a record by now, or nobody tracks it any more.
        if !still.contains(key) && (!question.by_hand || batch.deleted.contains(key)) {
            act.over.push(Which::Item(key.clone()));
        }
    }
    let (mut coming, mut tied, mut kept) = (Coming::default(), BTreeSet::new(), Vec::with_capacity(cases.len()));
    for mut case in std::mem::take(cases) {
        let creates = case.plan.steps.iter().any(|step| matches!(step, Step::CreateRecord { .. }));
        let (Which::Item(key), Some(item), true) = (&case.which, &case.item, creates) else {
            kept.push(case);
            continue;
        };
        let question = known.get(key);
        let decision = match item.kind {
            Kind::Appointment | Kind::RecurringAppointment => {
                appointment(act, &mut tx, item, question, &mut coming.bookings).await?
            }
            Kind::Contact => {
                contact(act, &mut tx, item, question, &case.rules, &mut coming.contacts, &mut tied).await?
            }
            _ => Decision::Create,
        };
        let pending = &mut act.questions;
        pending.looked.extend(question.cloned());
        match decision {
            Decision::Create => kept.push(case),
            Decision::Link(record) => {
                case.plan = Step::Link { record: record.id(), remote: key.clone() }.into();
                case.record = Some(*record);
                // Nothing moves by that, and both sides are to be merged.
                pending.later.push((case.folder, key.clone()));
                kept.push(case);
            }
            Decision::Wait => pending.waiting.push(case.which),
            Decision::Later => pending.later.push((case.folder, key.clone())),
        }
    }
    let contacts: Vec<_> = kept.iter().filter_map(created_for).collect();
    tied.extend(questions::in_question(&mut tx, mailbox, &contacts).await?);
    kept.retain(|case| created_for(case).is_none_or(|record| !tied.contains(&record)));
    *cases = kept;
    Ok(())
}

fn item_key(case: &Case) -> Option<&RemoteKey> {
    match &case.which {
        Which::Item(key) => Some(key),
        Which::Record(..) => None,
    }
}

/// The contact that a case makes an item for.
fn created_for(case: &Case) -> Option<RecordId> {
    let creates =
        case.kind == Kind::Contact && case.plan.steps.iter().any(|step| matches!(step, Step::CreateItem { .. }));
    case.record.as_ref().filter(|_| creates).map(Record::id)
}

/// What was answered, as long as it holds: for what the item said when it was asked.
fn answered<'q>(question: Option<&'q Question>, code: &str, about: &[u8]) -> Option<&'q str> {
    let question = question.filter(|question| question.code == code)?;
    let holds = question.about.as_deref().is_none_or(|asked| asked == about);
    question.answer.as_deref().filter(|_| holds)
}

/// J9: an appointment is no record before somebody has seen that its time is taken.
async fn appointment(
    act: &mut Act<'_>,
    tx: &mut Tx,
    item: &Item,
    question: Option<&Question>,
    coming: &mut Vec<(Kind, Fields)>,
) -> Result<Decision, Stopped> {
    let (now, new) = (tx.now(), as_booking(item.kind, &item.fields));
    let times = [Field::Time, Field::Recurrence].map(|field| item.fields.get(field).map(fields::write_value));
    let about = digest(&json!(times));
    match answered(question, SCHEDULING_CONFLICT, &about) {
        Some(NO) => return Ok(Decision::Wait),
        Some(_) => {
            coming.push((item.kind, item.fields.clone()));
            return Ok(Decision::Create);
        }
        None => {}
    }
    if coming.iter().any(|(kind, fields)| first_clash(new, as_booking(*kind, fields), now).is_some()) {
        return Ok(Decision::Later);
    }
    let clash = if new.takes_time() {
        let window = window(&item.fields, now);
        let taken = questions::bookings(tx, act.user, act.address.as_ref(), window, item.head.uid.as_deref()).await?;
        let clashes = taken.iter().filter_map(|record| match record {
            Record::Activity(activity) => {
                let (kind, state, draft) = (activity.kind, activity.state, activity.draft);
                let booking = Booking { kind, state, draft, fields: &activity.fields };
                first_clash(new, booking, now).map(|starts| (starts, kind, record.id()))
            }
            Record::Contact(_) => None,
        });
        clashes.min()
    } else {
        None
    };
    let Some((starts, kind, record)) = clash else {
        coming.push((item.kind, item.fields.clone()));
        return Ok(Decision::Create);
    };
    let parameters = json!({ "record": named(kind, record), "starts": starts.to_rfc3339() });
    ask(act, item, SCHEDULING_CONFLICT, about, (kind, record), &[YES, NO], parameters);
    Ok(Decision::Wait)
}

/// K10: a contact is no second record before somebody has said so.
async fn contact(
    act: &mut Act<'_>,
    tx: &mut Tx,
    item: &Item,
    question: Option<&Question>,
    rules: &Rules,
    coming: &mut Vec<Traits>,
    tied: &mut BTreeSet<RecordId>,
) -> Result<Decision, Stopped> {
    let sought = Traits::of(&item.fields);
    let about = digest(&json!([
        sought.addresses.iter().map(lockstep_model::address::AddressKey::as_str).collect::<Vec<_>>(),
        sought.name,
        sought.telephones
    ]));
    match answered(question, DUPLICATE_CONTACT, &about) {
        Some(IGNORE) => return Ok(Decision::Wait),
        Some(CREATE) => {
            coming.push(sought);
            return Ok(Decision::Create);
        }
        Some(_) => {
            let wanted: Vec<_> = question.and_then(|question| question.record).map(|(_, id)| id).into_iter().collect();
            let free = linkable(act, tx, &wanted).await?;
            let record = records::read(tx, &wanted).await?.pop().filter(|record| free.contains(&record.id()));
            if let Some(record) = record.filter(|record| !tied.contains(&record.id())) {
                tied.insert(record.id());
                return Ok(Decision::Link(Box::new(record)));
            }
        }
        None => {}
    }
    if coming.iter().any(|other| other.same_person(&sought)) {
        return Ok(Decision::Later);
    }
    let mut alike = questions::like(tx, act.user, &sought.addresses, &sought.name).await?;
    // What the user may not read of a record does not tell who it is.
    let hidden: Vec<_> = rules.access.iter().filter(|(_, access)| !access.readable).map(|(field, _)| *field).collect();
    alike.retain(|record| {
        let mut fields = record.fields();
        hidden.iter().for_each(|field| fields.copy(*field, &Fields::default()));
        Traits::of(&fields).same_person(&sought)
    });
    let ids: Vec<_> = alike.iter().map(Record::id).collect();
    let free = linkable(act, tx, &ids).await?;
    let Some(record) = ids.iter().find(|id| free.contains(id)).or(ids.first()).copied() else {
        coming.push(sought);
        return Ok(Decision::Create);
    };
    let answers: &[&str] = if free.contains(&record) { &[LINK, CREATE, IGNORE] } else { &[CREATE, IGNORE] };
    if free.contains(&record) {
        tied.insert(record);
    }
    let parameters = json!({ "record": named(Kind::Contact, record), "answers": answers.join(", ") });
    ask(act, item, DUPLICATE_CONTACT, about, (Kind::Contact, record), answers, parameters);
    Ok(Decision::Wait)
}

/// Which of these contacts can be tied to an item of this mailbox: those that belong there by the user's filters, for any
/// other would be let go of again, and have no item there yet, nor one under way.
async fn linkable(act: &mut Act<'_>, tx: &mut Tx, ids: &[RecordId]) -> Result<BTreeSet<RecordId>, Stopped> {
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mailbox = act.run.mailbox.id;
    let mut free = records::permitted(tx, act.user, Privilege::Read, ids).await?;
    for link in links::of(tx, mailbox, ids, &[], &[]).await? {
        free.remove(&link.record);
    }
    for intent in intents::of(tx, mailbox).await? {
        free.remove(&intent.record);
    }
    let among: Vec<_> = free.iter().map(|id| id.0).collect();
    let (user, kind, rules) = (act.user, Kind::Contact, act.rules_of(tx, Kind::Contact).await?);
    let limit = i64::try_from(among.len()).unwrap_or(i64::MAX);
    let question = filters::Question { user, kind, filters: rules.filters(), among: Some(&among), after: None, limit };
    Ok(filters::passing(tx, question).await?.into_iter().map(RecordId).collect())
}

/// Writes down what was asked and looked at. `done` is what needs no question any more.
pub(super) async fn settle(act: &Act<'_>, tx: &mut Tx, done: &[Which]) -> Result<(), Stopped> {
    let mailbox = act.run.mailbox.id;
    let every = TimeDelta::from_std(act.context.scale.apply(REVIEW_EVERY)).unwrap_or(TimeDelta::MAX);
    let again = tx.now() + every;
    let pending = &act.questions;
    let over: Vec<_> =
        done.iter().filter_map(|which| if let Which::Item(key) = which { Some(key.clone()) } else { None }).collect();
    questions::forget(tx, mailbox, &over).await?;
    for which in item_retries::clear(tx, mailbox, &pending.waiting).await? {
        let key = failures::alert_key(&which);
        alerts::resolve(tx, failures::NOT_SYNCHRONISED, Subject::Item(mailbox, &key)).await?;
    }
    questions::looked_at(tx, mailbox, &pending.looked, again).await?;
    for (question, parameters) in &pending.asked {
        let (code, subject) = (question.code.as_str(), Subject::Item(mailbox, &question.item));
        let told = match questions::ask(tx, mailbox, question, again).await? {
            Standing::Anew => false,
            Standing::Open => alerts::is_open(tx, code, subject).await?,
            Standing::Answered => true,
        };
        if !told {
            alerts::raise(tx, code, Severity::Error, subject, parameters.clone()).await?;
        }
    }
    for (folder, key) in &pending.later {
        item_retries::ask(tx, mailbox, folder.name(), key).await?;
    }
    Ok(())
}

fn ask(
    act: &mut Act<'_>,
    item: &Item,
    code: &str,
    about: Vec<u8>,
    record: (Kind, RecordId),
    answers: &[&str],
    parameters: Json,
) {
    let question = Question {
        item: item.head.key.clone(),
        folder: Folder::of(item.kind).name().to_owned(),
        code: code.to_owned(),
        about: Some(about),
        record: Some(record),
        answers: answers.iter().map(|&answer| answer.to_owned()).collect(),
        by_hand: !item.head.categories.contains(&act.options.tracked_category),
        answer: None,
    };
    act.questions.asked.push((question, parameters));
}

fn as_booking(kind: Kind, fields: &Fields) -> Booking<'_> {
    Booking { kind, state: State::Open, draft: false, fields }
}

/// Where to look for what takes the same time.
fn window(fields: &Fields, now: DateTime<Utc>) -> (DateTime<Utc>, Option<DateTime<Utc>>) {
    match fields.get(Field::Time) {
        Some(Value::When(when)) => {
            let (starts, ends) = recurrence::span(when);
            (starts.max(now), Some(ends))
        }
        _ => (now, now.checked_add_days(AHEAD)),
    }
}

fn named(kind: Kind, record: RecordId) -> String {
    format!("{} {}", kind.name(), record.0)
}

fn digest(of: &Json) -> Vec<u8> {
    Sha256::digest(of.to_string().as_bytes()).to_vec()
}
