//! `GetItem` and `FindItem`.

use std::cmp::Ordering;

use chrono::TimeDelta;

use super::{
    answer::{self, Fault, Part},
    call::Call,
    folders,
    path::{self, Path},
    restriction,
    shape::{self, Shape},
    time,
    view::View,
    xml::{Element, Writer},
};
use crate::world::{
    folder::FolderId,
    item::Class,
    mailbox::Mailbox,
    search::{self, Condition, Paged},
};

/// How many appointments a calendar's view shows at most, as on the real thing.
const CALENDAR: usize = 1_000;

/// `GetItem`.
pub fn get(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    let shape = shape::read(request.child("ItemShape"))?;
    answer::response(w, "GetItem", |w| {
        for element in request.list("ItemIds") {
            let found: Part<_> = call.item(element).and_then(|id| Ok(View::find(call.mailbox(id.mailbox)?, id)?));
            answer::message(w, "GetItem", &found, |w, view| {
                w.element("m:Items", &[], |w| shape::write_item(w, view, &shape));
            });
        }
    });
    Ok(())
}

/// What a search by folder brings together.
struct Search {
    shape: Shape,
    condition: Option<Condition<Path>>,
    order: Vec<(Path, bool)>,
    words: Option<String>,
}

impl Search {
    fn fits(&self, view: &View<'_>) -> bool {
        let by_words = |words: &String| {
            let fields = [path_text(view, "Subject"), super::body::plain(&view.content).to_lowercase()];
            words.split_whitespace().all(|word| {
                let word = word.rsplit(':').next().unwrap_or(word).trim_matches('"').to_lowercase();
                fields.iter().any(|field| field.contains(&word))
            })
        };
        self.condition.as_ref().is_none_or(|one| one.holds(&|path| path::of_item(view, path)))
            && self.words.as_ref().is_none_or(by_words)
    }

    fn compare(&self, one: &View<'_>, two: &View<'_>) -> Ordering {
        for (path, descending) in &self.order {
            let (first, second) = (path::of_item(one, path), path::of_item(two, path));
            let found = match (first.first(), second.first()) {
                (Some(first), Some(second)) => first.compare(second),
                (first, second) => first.is_some().cmp(&second.is_some()),
            };
            let found = if *descending { found.reverse() } else { found };
            if found.is_ne() {
                return found;
            }
        }
        Ordering::Equal
    }
}

fn path_text(view: &View<'_>, name: &str) -> String {
    view.content.text(name).to_lowercase()
}

/// The appointments and occurrences that a calendar shows between two points in time.
fn calendar<'a>(mailbox: &'a Mailbox, folder: FolderId, view: &Element) -> Part<Paged<View<'a>>> {
    let at = |name: &str| view.attribute(name).and_then(time::read);
    let (Some(from), Some(to)) = (at("StartDate"), at("EndDate")) else {
        return Err(Fault::schema("A calendar view needs StartDate and EndDate"));
    };
    if to < from {
        return Err(Fault::new("ErrorCalendarEndDateIsEarlierThanStartDate", "EndDate is before StartDate."));
    }
    if to - from > TimeDelta::days(731) {
        return Err(Fault::new("ErrorCalendarViewRangeTooBig", "A calendar view spans two years at most."));
    }
    let limit =
        view.attribute("MaxEntriesReturned").and_then(|text| text.parse().ok()).unwrap_or(CALENDAR).min(CALENDAR);
    let mut found = Vec::new();
    for item in mailbox.items_in(folder).into_iter().filter_map(|id| mailbox.items.get(&id)) {
        if item.content.class != Class::CalendarItem {
            continue;
        }
        if item.content.recurrence().is_some() {
            for one in item.occurrences(from, to) {
                found.push((one.start, View::occurrence(mailbox, item, one.original)?));
            }
        } else if let (Some(start), Some(end)) = (item.content.instant("Start"), item.content.instant("End"))
            && start < to
            && (end > from || start >= from)
        {
            found.push((start, View::of(mailbox, item)));
        }
    }
    found.sort_by_key(|(start, _)| *start);
    Ok(search::page(found.into_iter().map(|(_, view)| view).collect(), 0, limit, false))
}

/// `FindItem`.
pub fn find(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    let search = Search {
        shape: shape::read(request.child("ItemShape"))?,
        condition: restriction::read(request)?,
        order: restriction::read_order(request)?,
        words: request.text_of("QueryString").filter(|words| !words.is_empty()).map(str::to_owned),
    };
    let associated = request.attribute("Traversal") == Some("Associated");
    let (offset, limit, from_end) = folders::page(request, &["IndexedPageItemView", "ContactsView"]);
    answer::response(w, "FindItem", |w| {
        for parent in request.list("ParentFolderIds") {
            let found: Part<_> = call.folder(parent).and_then(|(number, folder)| {
                let mailbox = call.mailbox(number)?;
                if let Some(view) = request.child("CalendarView") {
                    return calendar(mailbox, folder, view);
                }
                let items = mailbox.items_in(folder).into_iter().filter_map(|id| mailbox.items.get(&id));
                let mut all: Vec<_> = items
                    .map(|item| View::of(mailbox, item))
                    .filter(|view| view.content.is("IsAssociated") == associated && search.fits(view))
                    .collect();
                if search.order.is_empty() {
                    // The newest first, unless somebody wishes otherwise.
                    all.reverse();
                } else {
                    all.sort_by(|one, two| search.compare(one, two));
                }
                Ok(search::page(all, offset, limit, from_end))
            });
            answer::message(w, "FindItem", &found, |w, page| {
                let (next, total) = (page.next.to_string(), page.total.to_string());
                let last = if page.last { "true" } else { "false" };
                let attributes = [
                    ("IndexedPagingOffset", next.as_str()),
                    ("TotalItemsInView", &total),
                    ("IncludesLastItemInRange", last),
                ];
                w.element("m:RootFolder", &attributes, |w| {
                    w.element("t:Items", &[], |w| {
                        page.elements.iter().for_each(|view| shape::write_item(w, view, &search.shape));
                    });
                });
            });
        }
    });
    Ok(())
}
