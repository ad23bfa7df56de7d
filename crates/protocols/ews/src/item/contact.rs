//! Contacts (MS-OXWSCONT 2.2.4).

use chrono::{NaiveDate, TimeDelta};
use lockstep_model::record::{Field, Fields, LinkId, Patch, PersonName, PostalAddress, Value};

use super::{
    Class, MAX_TEXT, REGARDING, Updates, kept, put, put_text, read_common, row, text_of, values, write_body,
    write_extended,
};
use crate::{
    codec::{
        property::{Extended, Property},
        time,
        update_item::Update,
    },
    xml::{Element, Writer},
};

/// In the order of the schema.
const TEXTS: &[row::Row] = &[
    (Field::Nickname, "contacts:Nickname", "Nickname"),
    (Field::Company, "contacts:CompanyName", "CompanyName"),
    (Field::Assistant, "contacts:AssistantName", "AssistantName"),
    (Field::WebPage, "contacts:BusinessHomePage", "BusinessHomePage"),
    (Field::Department, "contacts:Department", "Department"),
    (Field::JobTitle, "contacts:JobTitle", "JobTitle"),
    (Field::Manager, "contacts:Manager", "Manager"),
    (Field::Spouse, "contacts:SpouseName", "SpouseName"),
];

const EMAILS: &[(Field, &str)] =
    &[(Field::Email1, "EmailAddress1"), (Field::Email2, "EmailAddress2"), (Field::Email3, "EmailAddress3")];

const PHONES: &[(Field, &str)] = &[
    (Field::AssistantPhone, "AssistantPhone"),
    (Field::BusinessFax, "BusinessFax"),
    (Field::BusinessPhone, "BusinessPhone"),
    (Field::BusinessPhone2, "BusinessPhone2"),
    (Field::Callback, "Callback"),
    (Field::CompanyPhone, "CompanyMainPhone"),
    (Field::HomePhone, "HomePhone"),
    (Field::HomePhone2, "HomePhone2"),
    (Field::MobilePhone, "MobilePhone"),
    (Field::OtherPhone, "OtherTelephone"),
    (Field::Pager, "Pager"),
];

const PLACES: &[(Field, &str)] =
    &[(Field::MailingAddress, "Business"), (Field::HomeAddress, "Home"), (Field::OtherAddress, "Other")];

/// The parts of a postal address: the property's name and the element, in the order of the schema.
const PARTS: [(&str, &str); 5] = [
    ("contacts:PhysicalAddress:Street", "Street"),
    ("contacts:PhysicalAddress:City", "City"),
    ("contacts:PhysicalAddress:State", "State"),
    ("contacts:PhysicalAddress:CountryOrRegion", "CountryOrRegion"),
    ("contacts:PhysicalAddress:PostalCode", "PostalCode"),
];

const EXTENDED: &[(Field, Extended)] = &[
    (Field::YomiFirstName, Extended::Distinguished("Address", 0x802c, "String")),
    (Field::YomiLastName, Extended::Distinguished("Address", 0x802d, "String")),
    (Field::GovernmentId, Extended::Tag(0x3a07, "String")),
    (Field::FtpSite, Extended::Tag(0x3a4c, "String")),
];

const DATES: &[row::Row] = &[
    (Field::Birthday, "contacts:Birthday", "Birthday"),
    (Field::Anniversary, "contacts:WeddingAnniversary", "WeddingAnniversary"),
];

/// What has to be asked for.
pub(super) fn properties() -> Vec<Property> {
    let mut all = vec![Property::Field("item:Body")];
    let plain = ["contacts:GivenName", "contacts:MiddleName", "contacts:Surname", "contacts:Children"];
    all.extend(plain.into_iter().chain(TEXTS.iter().chain(DATES).map(|(_, uri, _)| *uri)).map(Property::Field));
    all.extend(EMAILS.iter().map(|(_, key)| Property::Indexed("contacts:EmailAddress", key)));
    all.extend(PHONES.iter().map(|(_, key)| Property::Indexed("contacts:PhoneNumber", key)));
    for (_, key) in PLACES {
        all.extend(PARTS.iter().map(|(uri, _)| Property::Indexed(uri, key)));
    }
    all.extend(EXTENDED.iter().map(|(_, property)| Property::Extended(*property)));
    all
}

fn parts(place: &PostalAddress) -> [&str; 5] {
    [&place.street, &place.city, &place.region, &place.country, &place.postal_code].map(String::as_str)
}

/// Days are points in time on the server: midnight somewhere, or shortly before noon UTC. Half a day later it is that day
/// nearly everywhere.
fn read_day(text: &str) -> Option<NaiveDate> {
    Some(time::read(text)?.checked_add_signed(TimeDelta::hours(12))?.date_naive())
}

fn write_day(day: NaiveDate) -> String {
    format!("{day}T11:59:00Z")
}

/// Reads a contact.
pub fn read(item: &Element) -> Fields {
    let mut fields = Fields::default();
    read_common(&mut fields, item);
    for (field, _, element) in TEXTS {
        put_text(&mut fields, *field, item, element);
    }
    let text = |name| {
        let text = item.child(name).map(|child| child.text.as_str()).unwrap_or_default();
        lockstep_model::text::block(text, MAX_TEXT)
    };
    let name = PersonName { first: text("GivenName"), middle: text("MiddleName"), last: text("Surname") };
    put(&mut fields, Field::FullName, Value::Name(name));
    let children: Vec<_> = item.list("Children").iter().map(|child| child.text.as_str()).collect();
    put(&mut fields, Field::Children, kept(&children.join(", "), MAX_TEXT));
    for (lists, name) in [(EMAILS, "EmailAddresses"), (PHONES, "PhoneNumbers")] {
        for (field, key) in lists {
            if let Some(entry) = entry(item, name, key) {
                put(&mut fields, *field, kept(&entry.text, MAX_TEXT));
            }
        }
    }
    for (field, key) in PLACES {
        let Some(entry) = entry(item, "PhysicalAddresses", key) else { continue };
        let part = |at: usize| {
            let text = entry.child(PARTS[at].1).map(|part| part.text.as_str()).unwrap_or_default();
            lockstep_model::text::block(text, MAX_TEXT)
        };
        let place =
            PostalAddress { street: part(0), city: part(1), region: part(2), country: part(3), postal_code: part(4) };
        put(&mut fields, *field, Value::Place(place));
    }
    for (field, _, element) in DATES {
        if let Some(day) = item.text_of(element).and_then(read_day) {
            put(&mut fields, *field, Value::Date(day));
        }
    }
    for (field, property) in EXTENDED {
        if let Some(text) = property.read(item) {
            put(&mut fields, *field, kept(text, MAX_TEXT));
        }
    }
    fields
}

fn entry<'e>(item: &'e Element, list: &str, key: &str) -> Option<&'e Element> {
    item.list(list).iter().find(|entry| entry.attribute("Key") == Some(key))
}

fn name_of(fields: &Fields) -> Option<&PersonName> {
    match fields.get(Field::FullName) {
        Some(Value::Name(name)) => Some(name),
        _ => None,
    }
}

fn place_of(fields: &Fields, field: Field) -> Option<&PostalAddress> {
    match fields.get(field) {
        Some(Value::Place(place)) => Some(place),
        _ => None,
    }
}

fn day_of(fields: &Fields, field: Field) -> Option<String> {
    match fields.get(field) {
        Some(Value::Date(day)) => Some(write_day(*day)),
        _ => None,
    }
}

/// The name as views show it.
fn shown(name: &PersonName) -> String {
    [&name.first, &name.middle, &name.last]
        .iter()
        .filter(|part| !part.is_empty())
        .map(|part| part.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

fn write_entry(w: &mut Writer, list: &str, key: &str, text: &str) {
    w.element(list, &[], |w| w.leaf_with("t:Entry", &[("Key", key)], text));
}

/// The element of a new contact.
pub fn create(fields: &Fields, link: Option<LinkId>) -> String {
    let mut w = Writer::default();
    w.open(Class::Contact.element(), &[]);
    if let Some(body) = text_of(fields, Field::Body) {
        write_body(&mut w, body);
    }
    let own = EXTENDED.iter().map(|(field, property)| (*property, *field)).chain([(REGARDING, Field::Regarding)]);
    let extended: Vec<_> = own.filter_map(|(property, field)| Some((property, text_of(fields, field)?))).collect();
    write_extended(&mut w, link, &extended);
    let text = |w: &mut Writer, field: Field| {
        if let (Some((_, _, element)), Some(text)) = (row::find(TEXTS, field), text_of(fields, field)) {
            w.leaf(&format!("t:{element}"), text);
        }
    };
    if let Some(name) = name_of(fields) {
        w.leaf("t:FileAsMapping", "LastCommaFirst");
        w.leaf("t:DisplayName", &shown(name));
        for (element, part) in [("t:GivenName", &name.first), ("t:MiddleName", &name.middle)] {
            if !part.is_empty() {
                w.leaf(element, part);
            }
        }
    }
    text(&mut w, Field::Nickname);
    text(&mut w, Field::Company);
    let entries = |w: &mut Writer, list: &str, all: &[(Field, &str)]| {
        let there: Vec<_> = all.iter().filter_map(|(field, key)| Some((*key, text_of(fields, *field)?))).collect();
        if !there.is_empty() {
            w.element(list, &[], |w| {
                there.iter().for_each(|(key, text)| w.leaf_with("t:Entry", &[("Key", key)], text));
            });
        }
    };
    entries(&mut w, "t:EmailAddresses", EMAILS);
    let places: Vec<_> = PLACES.iter().filter_map(|(field, key)| Some((*key, place_of(fields, *field)?))).collect();
    if !places.is_empty() {
        w.element("t:PhysicalAddresses", &[], |w| {
            for (key, place) in &places {
                w.element("t:Entry", &[("Key", key)], |w| {
                    for ((_, element), text) in PARTS.iter().zip(parts(place)) {
                        if !text.is_empty() {
                            w.leaf(&format!("t:{element}"), text);
                        }
                    }
                });
            }
        });
    }
    entries(&mut w, "t:PhoneNumbers", PHONES);
    text(&mut w, Field::Assistant);
    if let Some(day) = day_of(fields, Field::Birthday) {
        w.leaf("t:Birthday", &day);
    }
    text(&mut w, Field::WebPage);
    if let Some(children) = text_of(fields, Field::Children) {
        w.element("t:Children", &[], |w| w.leaf("t:String", children));
    }
    text(&mut w, Field::Department);
    text(&mut w, Field::JobTitle);
    text(&mut w, Field::Manager);
    text(&mut w, Field::Spouse);
    if let Some(name) = name_of(fields).filter(|name| !name.last.is_empty()) {
        w.leaf("t:Surname", &name.last);
    }
    if let Some(day) = day_of(fields, Field::Anniversary) {
        w.leaf("t:WeddingAnniversary", &day);
    }
    w.close(Class::Contact.element());
    w.finish()
}

/// The changes that carry a patch out.
pub fn updates(patch: &Patch) -> Vec<Update> {
    let fields = values(patch);
    let mut updates = Updates::new(Class::Contact);
    for field in patch.fields() {
        if updates.common(&fields, field) {
            continue;
        }
        let text = text_of(&fields, field);
        let listed = |all: &'static [(Field, &'static str)]| all.iter().find(|(known, _)| *known == field);
        if let Some((_, uri, element)) = row::find(TEXTS, field) {
            updates.text(uri, &format!("t:{element}"), text);
        } else if let Some((_, key)) = listed(EMAILS) {
            let property = Property::Indexed("contacts:EmailAddress", key);
            updates.set(property, text.map(|text| |w: &mut Writer| write_entry(w, "t:EmailAddresses", key, text)));
        } else if let Some((_, key)) = listed(PHONES) {
            let property = Property::Indexed("contacts:PhoneNumber", key);
            updates.set(property, text.map(|text| |w: &mut Writer| write_entry(w, "t:PhoneNumbers", key, text)));
        } else if let Some((_, key)) = listed(PLACES) {
            place(&mut updates, key, place_of(&fields, field));
        } else if let Some((_, property)) = EXTENDED.iter().find(|(known, _)| *known == field) {
            updates.extended(*property, text);
        } else if let Some((_, uri, element)) = row::find(DATES, field) {
            updates.text(uri, &format!("t:{element}"), day_of(&fields, field).as_deref());
        } else if field == Field::Children {
            let inside =
                text.map(|text| move |w: &mut Writer| w.element("t:Children", &[], |w| w.leaf("t:String", text)));
            updates.set(Property::Field("contacts:Children"), inside);
        } else if field == Field::FullName {
            full_name(&mut updates, name_of(&fields));
        }
    }
    updates.list
}

fn place(updates: &mut Updates, key: &'static str, place: Option<&PostalAddress>) {
    let texts = place.map(parts).unwrap_or_default();
    for ((uri, element), text) in PARTS.iter().zip(texts) {
        let inside = (!text.is_empty()).then_some(|w: &mut Writer| {
            w.element("t:PhysicalAddresses", &[], |w| {
                w.element("t:Entry", &[("Key", key)], |w| w.leaf(&format!("t:{element}"), text));
            });
        });
        updates.set(Property::Indexed(uri, key), inside);
    }
}

fn full_name(updates: &mut Updates, name: Option<&PersonName>) {
    let own = |pick: fn(&PersonName) -> &String| name.map(|name| pick(name).as_str()).filter(|text| !text.is_empty());
    updates.text("contacts:GivenName", "t:GivenName", own(|name| &name.first));
    updates.text("contacts:MiddleName", "t:MiddleName", own(|name| &name.middle));
    updates.text("contacts:Surname", "t:Surname", own(|name| &name.last));
    let shown = name.map(shown);
    updates.text("contacts:DisplayName", "t:DisplayName", shown.as_deref());
}
