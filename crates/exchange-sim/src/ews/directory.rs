//! Operations that are not about items: names, time zones, ids, settings of clients.

use chrono::{DateTime, Offset, TimeZone, Utc};
use windows_timezones::WindowsTimezone;

use super::{
    answer::{self, Fault, Part, code},
    call::Call,
    write,
    xml::{self, Element, Writer},
};
use crate::world::{value::Person, zone};

/// `ResolveNames`: everybody whose name or address begins with what was asked, or has it as a word.
pub fn resolve(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    let asked = request.text_of("UnresolvedEntry").unwrap_or_default().to_lowercase();
    let asked = asked.strip_prefix("smtp:").unwrap_or(&asked);
    let full = xml::is_true(request.attribute("ReturnFullContactData"));
    let fits = |person: &&Person| {
        let name = person.name.to_lowercase();
        person.address.to_lowercase().starts_with(asked)
            || name.split_whitespace().any(|word| word.starts_with(asked))
            || name == asked
    };
    let found: Vec<_> = call.world.people().filter(|person| !asked.is_empty() && fits(person)).cloned().collect();
    let list = |w: &mut Writer| {
        let total = found.len().to_string();
        let attributes = [("TotalItemsInView", total.as_str()), ("IncludesLastItemInRange", "true")];
        w.element("m:ResolutionSet", &attributes, |w| {
            for person in &found {
                w.element("t:Resolution", &[], |w| {
                    write::mailbox(w, person);
                    if full {
                        w.element("t:Contact", &[], |w| {
                            w.leaf("t:DisplayName", &person.name);
                            w.element("t:EmailAddresses", &[], |w| {
                                let address = format!("SMTP:{}", person.address);
                                w.leaf_with("t:Entry", &[("Key", "EmailAddress1")], &address);
                            });
                            w.leaf("t:ContactSource", "ActiveDirectory");
                        });
                    }
                });
            }
        });
    };
    answer::response(w, "ResolveNames", |w| match found.len() {
        0 => {
            let none: Part = Err(Fault::new(code::NO_RESULTS, "No results were found."));
            answer::message(w, "ResolveNames", &none, |_, ()| {});
        }
        1 => answer::message(w, "ResolveNames", &Ok(()), |w, ()| list(w)),
        _ => w.element("m:ResolveNamesResponseMessage", &[("ResponseClass", "Warning")], |w| {
            w.leaf("m:MessageText", "Multiple results were found.");
            w.leaf("m:ResponseCode", code::MULTIPLE_RESULTS);
            w.leaf("m:DescriptiveLinkKey", "0");
            list(w);
        }),
    });
    Ok(())
}

fn bias(minutes: i32) -> String {
    let sign = if minutes < 0 { "-" } else { "" };
    format!("{sign}PT{}H{}M", minutes.abs() / 60, minutes.abs() % 60)
}

/// How far a zone is from UTC in winter of the year `now` is in, in minutes; west is positive, as Windows counts.
fn offset(name: &str, now: DateTime<Utc>) -> i32 {
    let january = now.date_naive().format("%Y-01-01T00:00:00").to_string().parse().unwrap_or(now.naive_utc());
    zone::by_name(name).map_or(0, |zone| -zone.offset_from_utc_datetime(&january).fix().local_minus_utc() / 60)
}

/// `GetServerTimeZones`: each zone with its standard time; the rules of its summer time are not given.
pub fn zones(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    let wanted: Vec<_> = request.list("Ids").iter().map(|id| id.text.trim().to_owned()).collect();
    let full = request.attribute("ReturnFullTimeZoneData") != Some("false");
    let names = WINDOWS.iter().filter(|name| wanted.is_empty() || wanted.iter().any(|id| id == *name));
    answer::response(w, "GetServerTimeZones", |w| {
        answer::message(w, "GetServerTimeZones", &Ok(()), |w, ()| {
            w.element("m:TimeZoneDefinitions", &[], |w| {
                for name in names {
                    debug_assert!(*name == "UTC" || name.parse::<WindowsTimezone>().is_ok(), "{name}");
                    let minutes = offset(name, call.now);
                    w.element("t:TimeZoneDefinition", &[("Id", name), ("Name", name)], |w| {
                        if full {
                            w.element("t:Periods", &[], |w| {
                                let period = [
                                    ("Bias", bias(minutes)),
                                    ("Name", "Standard".to_owned()),
                                    ("Id", "Standard".to_owned()),
                                ];
                                let period: Vec<_> =
                                    period.iter().map(|(name, value)| (*name, value.as_str())).collect();
                                w.empty("t:Period", &period);
                            });
                            w.element("t:TransitionsGroups", &[], |w| {
                                w.element("t:TransitionsGroup", &[("Id", "0")], |w| {
                                    w.element("t:Transition", &[], |w| {
                                        w.leaf_with("t:To", &[("Kind", "Period")], "Standard");
                                    });
                                });
                            });
                            w.element("t:Transitions", &[], |w| {
                                w.element("t:Transition", &[], |w| w.leaf_with("t:To", &[("Kind", "Group")], "0"));
                            });
                        }
                    });
                }
            });
        });
    });
    Ok(())
}

/// The zones this server offers.
const WINDOWS: &[&str] = &[
    "UTC",
    "GMT Standard Time",
    "Greenwich Standard Time",
    "W. Europe Standard Time",
    "Central Europe Standard Time",
    "Romance Standard Time",
    "Central European Standard Time",
    "FLE Standard Time",
    "GTB Standard Time",
    "Russian Standard Time",
    "Turkey Standard Time",
    "Israel Standard Time",
    "Arabian Standard Time",
    "India Standard Time",
    "Nepal Standard Time",
    "China Standard Time",
    "Singapore Standard Time",
    "Tokyo Standard Time",
    "AUS Eastern Standard Time",
    "New Zealand Standard Time",
    "Newfoundland Standard Time",
    "Atlantic Standard Time",
    "Eastern Standard Time",
    "Central Standard Time",
    "Mountain Standard Time",
    "US Mountain Standard Time",
    "Pacific Standard Time",
    "Alaskan Standard Time",
    "Hawaiian Standard Time",
    "E. South America Standard Time",
    "South Africa Standard Time",
];

/// `ConvertId`: all ids are of one format here, so it is checked and given back with its mailbox's address.
pub fn convert(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    let format = request.attribute("DestinationFormat").unwrap_or("EwsId");
    answer::response(w, "ConvertId", |w| {
        for element in request.list("SourceIds") {
            let id = element.attribute("Id").unwrap_or_default();
            // The id says whose mailbox it is of, whatever address came with it.
            let mailbox = super::ids::read_item(id).map(|id| id.mailbox);
            let mailbox = mailbox.or_else(|_| super::ids::read_folder(id).map(|(mailbox, _)| mailbox));
            let owner = mailbox.and_then(|number| Ok(call.mailbox(number)?.owner.address.clone()));
            answer::message(w, "ConvertId", &owner, |w, address| {
                let kind = "t:AlternateIdType";
                let attributes = [("xsi:type", kind), ("Format", format), ("Id", id), ("Mailbox", address)];
                w.empty("m:AlternateId", &attributes);
            });
        }
    });
    Ok(())
}

/// `GetUserConfiguration`: what clients keep in folders; nothing is there unless it was created.
pub fn configuration(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    let asked =
        request.child("UserConfigurationName").ok_or_else(|| Fault::schema("UserConfigurationName is missing"))?;
    let name = asked.attribute("Name").unwrap_or_default();
    let found: Part = call
        .folder_in(Some(asked))
        .and_then(|_| Err(Fault::new(code::ITEM_NOT_FOUND, format!("There is no configuration {name}."))));
    answer::response(w, "GetUserConfiguration", |w| answer::message(w, "GetUserConfiguration", &found, |_, ()| {}));
    Ok(())
}
