//! Tasks (MS-OXWSTASK 2.2.4). A recurring one, and one that somebody gave to somebody else, is not synchronised.

use lockstep_model::record::{Field, Fields, Importance, LinkId, Patch, TaskStatus, Value};

use super::{Class, REGARDING, Updates, put, put_text, read_common, row, text_of, values, write_body, write_extended};
use crate::{
    codec::{property::Property, time, update_item::Update},
    xml::{Element, Writer},
};

/// In the order of the schema.
const INSTANTS: &[row::Row] = &[
    (Field::CompletedDate, "task:CompleteDate", "CompleteDate"),
    (Field::DueDate, "task:DueDate", "DueDate"),
    (Field::StartDate, "task:StartDate", "StartDate"),
];

const STATUS: &[(TaskStatus, &str)] = &[
    (TaskStatus::NotStarted, "NotStarted"),
    (TaskStatus::InProgress, "InProgress"),
    (TaskStatus::Completed, "Completed"),
    (TaskStatus::Waiting, "WaitingOnOthers"),
    (TaskStatus::Deferred, "Deferred"),
];

/// What has to be asked for.
pub(super) fn properties() -> Vec<Property> {
    let plain = [
        "item:Subject",
        "item:Body",
        "item:Importance",
        "task:PercentComplete",
        "task:Status",
        "task:IsRecurring",
        "task:DelegationState",
        "task:Delegator",
        "task:IsTeamTask",
    ];
    plain.into_iter().chain(INSTANTS.iter().map(|(_, uri, _)| *uri)).map(Property::Field).collect()
}

/// The schema's word for an importance.
pub(super) fn importance_word(importance: Importance) -> &'static str {
    match importance {
        Importance::Low => "Low",
        Importance::Normal => "Normal",
        Importance::High => "High",
    }
}

/// Reads an item's importance into its field.
pub(super) fn read_importance(fields: &mut Fields, item: &Element) {
    let importance = match item.text_of("Importance") {
        Some("Low") => Importance::Low,
        Some("High") => Importance::High,
        Some("Normal") => Importance::Normal,
        _ => return,
    };
    put(fields, Field::Importance, Value::Importance(importance));
}

/// The importance of a record.
pub(super) fn importance_of(fields: &Fields) -> Option<&'static str> {
    match fields.get(Field::Importance) {
        Some(Value::Importance(importance)) => Some(importance_word(*importance)),
        _ => None,
    }
}

/// Why a task is never synchronised, where it is one of those.
pub fn apart(item: &Element) -> Option<&'static str> {
    if item.bool_of("IsRecurring").unwrap_or(false) {
        return Some("a recurring task");
    }
    let handed_on = item.text_of("DelegationState").is_some_and(|state| !matches!(state, "" | "NoMatch" | "Max"));
    let by_somebody = item.text_of("Delegator").is_some_and(|name| !name.trim().is_empty());
    let assigned = handed_on || by_somebody || item.bool_of("IsTeamTask").unwrap_or(false);
    assigned.then_some("an assigned task")
}

/// Reads a task.
pub fn read(item: &Element) -> Fields {
    let mut fields = Fields::default();
    read_common(&mut fields, item);
    put_text(&mut fields, Field::Subject, item, "Subject");
    read_importance(&mut fields, item);
    for (field, _, element) in INSTANTS {
        if let Some(at) = item.text_of(element).and_then(time::read) {
            put(&mut fields, *field, Value::Instant(at));
        }
    }
    if let Some(share) = item.number_of::<f64>("PercentComplete").filter(|share| share.is_finite()) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100 by the bounds just set")]
        let percent = share.clamp(0.0, 100.0).round() as u8;
        put(&mut fields, Field::PercentComplete, Value::Percent(percent));
    }
    let status = item.text_of("Status").and_then(|word| STATUS.iter().find(|(_, known)| *known == word));
    if let Some((status, _)) = status {
        put(&mut fields, Field::Status, Value::TaskStatus(*status));
    }
    fields
}

fn instant_of(fields: &Fields, field: Field) -> Option<String> {
    match fields.get(field) {
        Some(Value::Instant(at)) => Some(time::write(*at)),
        _ => None,
    }
}

fn percent_of(fields: &Fields) -> Option<String> {
    match fields.get(Field::PercentComplete) {
        Some(Value::Percent(percent)) => Some(percent.to_string()),
        _ => None,
    }
}

fn status_of(fields: &Fields) -> Option<&'static str> {
    match fields.get(Field::Status) {
        Some(Value::TaskStatus(status)) => STATUS.iter().find(|(known, _)| known == status).map(|(_, word)| *word),
        _ => None,
    }
}

/// The element of a new task.
pub fn create(fields: &Fields, link: Option<LinkId>) -> String {
    let mut w = Writer::default();
    let leaf = |w: &mut Writer, name: &str, text: Option<&str>| {
        if let Some(text) = text {
            w.leaf(name, text);
        }
    };
    w.open(Class::Task.element(), &[]);
    leaf(&mut w, "t:Subject", text_of(fields, Field::Subject));
    if let Some(body) = text_of(fields, Field::Body) {
        write_body(&mut w, body);
    }
    leaf(&mut w, "t:Importance", importance_of(fields));
    let regarding = text_of(fields, Field::Regarding).map(|text| (REGARDING, text));
    write_extended(&mut w, link, regarding.as_slice());
    // A day of completion completes a task, so it goes only with a task that is.
    let done = status_of(fields).is_none_or(|status| status == "Completed");
    if done {
        leaf(&mut w, "t:CompleteDate", instant_of(fields, Field::CompletedDate).as_deref());
    }
    leaf(&mut w, "t:DueDate", instant_of(fields, Field::DueDate).as_deref());
    leaf(&mut w, "t:PercentComplete", percent_of(fields).as_deref());
    leaf(&mut w, "t:StartDate", instant_of(fields, Field::StartDate).as_deref());
    leaf(&mut w, "t:Status", status_of(fields));
    w.close(Class::Task.element());
    w.finish()
}

/// The changes that carry a patch out. The server lets status, percentage and day of completion follow each other; what
/// was said last wins, so the status comes first.
pub fn updates(patch: &Patch) -> Vec<Update> {
    let fields = values(patch);
    let mut updates = Updates::new(Class::Task);
    let mut order: Vec<Field> = patch.fields().collect();
    order.sort_by_key(|field| match field {
        Field::Status => 0,
        Field::PercentComplete => 1,
        Field::CompletedDate => 2,
        _ => 3,
    });
    for field in order {
        if updates.common(&fields, field) {
            continue;
        }
        match field {
            Field::Subject => updates.text("item:Subject", "t:Subject", text_of(&fields, field)),
            Field::Importance => updates.text("item:Importance", "t:Importance", importance_of(&fields)),
            Field::Status => updates.text("task:Status", "t:Status", status_of(&fields).or(Some("NotStarted"))),
            Field::PercentComplete => {
                let percent = percent_of(&fields);
                updates.text("task:PercentComplete", "t:PercentComplete", percent.as_deref().or(Some("0")));
            }
            _ => {
                if let Some((_, uri, element)) = row::find(INSTANTS, field) {
                    updates.text(uri, &format!("t:{element}"), instant_of(&fields, field).as_deref());
                }
            }
        }
    }
    updates.list
}
