//! What goes with a write to an item beside values of fields: the category of deactivated contacts (K4), and that nobody
//! is reminded (J10).

use lockstep_connector::items::{Beside, CategoryChange, Item, MOST_CATEGORIES};
use lockstep_engine::{
    merge::{
        ItemPlan, Pair,
        deletion::Why,
        inactive,
        plan::{Crm, Server, Tie},
    },
    reminder,
};
use lockstep_model::record::Kind;
use lockstep_store::{item_options::ItemOptions, records::Record};

use crate::act::{
    Act,
    gather::{Case, seen_record},
};

/// Has the plan of a pair write the category of a deactivated contact, where no value is written.
pub(super) fn planned(act: &Act<'_>, pair: &Pair, record: Option<&Record>, item: Option<&Item>, plan: &mut ItemPlan) {
    // What the user may not read any more, or is another's now, is not told of.
    let theirs = matches!(pair.crm, Crm::Here(_) | Crm::Left);
    let (Some(record), Some(item), Server::Here(server), true) = (record, item, &pair.server, theirs) else { return };
    if category(&act.options, record, item, pair.tie, plan).is_some() {
        inactive::write_anyway(plan, pair, server);
    }
}

/// What goes with a case's write.
pub(super) fn of(act: &Act<'_>, case: &Case) -> Beside {
    let Some(record) = &case.record else { return Beside::default() };
    let tie = match case.link.as_ref().and_then(|link| link.unlinked.as_ref()) {
        None => Tie::Linked,
        Some(_) => Tie::Unlinked(Why::LeftFilters),
    };
    let category = case.item.as_ref().and_then(|item| category(&act.options, record, item, tie, &case.plan));
    let appointment = matches!(case.kind, Kind::Appointment | Kind::RecurringAppointment | Kind::ServiceActivity);
    let values = case.plan.merge.merged(&seen_record(record).fields);
    let now = act.context.store.clock().now();
    Beside { no_reminder: appointment && !reminder::is_due(&values, now), category }
}

fn category(
    options: &ItemOptions,
    record: &Record,
    item: &Item,
    tie: Tie,
    plan: &ItemPlan,
) -> Option<(CategoryChange, String)> {
    let Record::Contact(person) = record else { return None };
    let name = options.inactive_category.trim();
    let categories = &item.head.categories;
    let found = categories.iter().any(|known| known.trim() == name);
    // Where not all are told, nobody knows: the write looks at them, and changes nothing where nothing is to be changed.
    let marked = if !found && categories.len() >= MOST_CATEGORIES { person.active } else { found };
    let given = inactive::change(person.active, marked, tie, &plan.steps)?;
    Some((if given { CategoryChange::Given } else { CategoryChange::Taken }, name.to_owned()))
}
