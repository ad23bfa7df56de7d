//! What goes with a write beside values of fields: no reminder, and one category among those that people gave.

use lockstep_connector::{
    Deadline,
    items::{Beside, CategoryChange},
};
use lockstep_model::fault::Fault;

use crate::{
    client::Client,
    codec::{
        get_item,
        id::{ItemId, ItemRef},
        property::{Property, Shape},
        update_item::Update,
    },
    fault::Refusal,
    item::Class,
    xml::Writer,
};

const CATEGORIES: Property = Property::Field("item:Categories");

/// The updates of an item in the state that `id` names; none where it is so already. Of categories a listing tells only
/// so many, so they are read as they are: a change writes all of them.
pub(super) async fn updates(
    client: &mut Client,
    class: Class,
    id: &ItemId,
    beside: &Beside,
    deadline: &Deadline,
) -> Result<Result<Vec<Update>, Refusal>, Fault> {
    let mut updates = Vec::new();
    if beside.no_reminder && class == Class::Appointment {
        updates.push(no_reminder(class));
    }
    if let Some((change, name)) = &beside.category {
        // In that state or not at all: the update is refused where somebody was faster since.
        let asked = get_item::request(&[ItemRef::Item(id.clone())], &Shape::ids_and([CATEGORIES]));
        let message = match client.call_one(&asked, deadline).await? {
            Ok(message) => message,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let there: Vec<String> = get_item::read(&message)
            .map(|item| item.list("Categories").iter().map(|name| name.text.clone()).collect())
            .unwrap_or_default();
        updates.extend(changed(class, &there, *change, name));
    }
    Ok(Ok(updates))
}

/// Turns the reminder off.
fn no_reminder(class: Class) -> Update {
    let mut w = Writer::default();
    w.element(class.element(), &[], |w| w.leaf("t:ReminderIsSet", "false"));
    Update::Set(Property::Field("item:ReminderIsSet"), w.finish())
}

/// All categories as they are to be, where that is a change.
fn changed(class: Class, there: &[String], change: CategoryChange, name: &str) -> Option<Update> {
    let has = there.iter().any(|known| is(known, name));
    if has == (change == CategoryChange::Given) {
        return None;
    }
    let mut wanted: Vec<&str> = there.iter().map(String::as_str).filter(|known| !is(known, name)).collect();
    if change == CategoryChange::Given {
        wanted.push(name);
    }
    if wanted.is_empty() {
        return Some(Update::Delete(CATEGORIES));
    }
    let mut w = Writer::default();
    w.element(class.element(), &[], |w| {
        w.element("t:Categories", &[], |w| wanted.iter().for_each(|name| w.leaf("t:String", name)));
    });
    Some(Update::Set(CATEGORIES, w.finish()))
}

/// Whether two names are one category. White space around a name is not told apart.
fn is(one: &str, other: &str) -> bool {
    one.trim() == other.trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(there: &[&str], change: CategoryChange) -> Option<String> {
        let there: Vec<_> = there.iter().map(|name| (*name).to_owned()).collect();
        changed(Class::Contact, &there, change, "Inactive").map(|update| match update {
            Update::Set(_, element) => element,
            Update::Delete(_) => "none".to_owned(),
        })
    }

    /// K4: people's other categories are written as they were, and nothing is written where nothing changes.
    #[test]
    fn k4_one_category_comes_and_goes() {
        use CategoryChange::{Given, Taken};
        let element = |names: &[&str]| {
            let names: String = names.iter().map(|name| format!("<t:String>{name}</t:String>")).collect();
            Some(format!("<t:Contact><t:Categories>{names}</t:Categories></t:Contact>"))
        };
        assert_eq!(shown(&[], Given), element(&["Inactive"]));
        assert_eq!(shown(&["Red", " own "], Given), element(&["Red", " own ", "Inactive"]));
        assert_eq!(shown(&["Red", "Inactive"], Given), None);
        assert_eq!(shown(&["Red", " Inactive", "Blue", "Inactive"], Taken), element(&["Red", "Blue"]));
        assert_eq!(shown(&["Inactive"], Taken).as_deref(), Some("none"));
        assert_eq!(shown(&["Red"], Taken), None);
    }
}
