//! `FindItem` with a restriction (MS-OXWSSRCH 3.1.4.2).

use super::{
    id::FolderRef,
    property::{Property, Shape},
};
use crate::xml::{Element, Writer};

/// Which items are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restriction {
    /// The property is there.
    Exists(Property),
    /// The property has this value.
    Equals(Property, String),
    /// The property is this or later; for points in time.
    AtLeast(Property, String),
    /// All of them hold.
    And(Vec<Restriction>),
    /// One of them holds.
    Or(Vec<Restriction>),
    /// It does not hold.
    Not(Box<Restriction>),
}

impl Restriction {
    fn write(&self, w: &mut Writer) {
        let compare = |w: &mut Writer, name: &str, property: &Property, value: &str| {
            w.element(name, &[], |w| {
                property.write(w);
                w.element("t:FieldURIOrConstant", &[], |w| w.empty("t:Constant", &[("Value", value)]));
            });
        };
        match self {
            Self::Exists(property) => w.element("t:Exists", &[], |w| property.write(w)),
            Self::Equals(property, value) => compare(w, "t:IsEqualTo", property, value),
            Self::AtLeast(property, value) => compare(w, "t:IsGreaterThanOrEqualTo", property, value),
            Self::And(all) => w.element("t:And", &[], |w| all.iter().for_each(|one| one.write(w))),
            Self::Or(some) => w.element("t:Or", &[], |w| some.iter().for_each(|one| one.write(w))),
            Self::Not(one) => w.element("t:Not", &[], |w| one.write(w)),
        }
    }
}

/// One page of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The items found.
    pub items: Vec<Element>,
    /// Nothing follows.
    pub last: bool,
    /// Where the next page begins.
    pub next_offset: u32,
}

/// Asks for the items of a folder for which a restriction holds, from an offset on.
pub fn request(folder: &FolderRef, shape: &Shape, which: Option<&Restriction>, offset: u32, limit: u16) -> String {
    let mut w = Writer::default();
    w.element("m:FindItem", &[("Traversal", "Shallow")], |w| {
        shape.write(w, "m:ItemShape");
        let (limit, offset) = (limit.clamp(1, 1_000).to_string(), offset.to_string());
        w.empty(
            "m:IndexedPageItemView",
            &[("MaxEntriesReturned", &limit), ("Offset", &offset), ("BasePoint", "Beginning")],
        );
        if let Some(which) = which {
            w.element("m:Restriction", &[], |w| which.write(w));
        }
        w.element("m:ParentFolderIds", &[], |w| folder.write(w));
    });
    w.finish()
}

/// Asks for the appointments of a calendar within a window, occurrences of series one by one.
pub fn view(folder: &FolderRef, shape: &Shape, from: &str, to: &str, limit: u16) -> String {
    let mut w = Writer::default();
    w.element("m:FindItem", &[("Traversal", "Shallow")], |w| {
        shape.write(w, "m:ItemShape");
        let limit = limit.clamp(1, 1_000).to_string();
        w.empty("m:CalendarView", &[("MaxEntriesReturned", &limit), ("StartDate", from), ("EndDate", to)]);
        w.element("m:ParentFolderIds", &[], |w| folder.write(w));
    });
    w.finish()
}

/// The page in a response message.
pub fn read(message: &Element) -> Option<Page> {
    let root = message.child("RootFolder")?;
    let attribute = |name| root.attribute(name);
    let last = !matches!(attribute("IncludesLastItemInRange"), Some("false" | "0"));
    let next_offset = attribute("IndexedPagingOffset").and_then(|text| text.parse().ok()).unwrap_or(0);
    Some(Page { items: root.list("Items").to_vec(), last, next_offset })
}
