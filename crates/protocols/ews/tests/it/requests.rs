//! The requests as they are written: golden documents, checked by eye against the schema once.

use lockstep_ews::codec::{
    attachment,
    create_item::{self, Disposition, How, Invitations},
    delete_item::{self, Thoroughness},
    envelope::{self, Header},
    find_item::{self, Restriction},
    folder, get_item,
    id::{FolderRef, ItemId, ItemRef},
    move_item,
    property::{Extended, LINK, Property, Shape},
    resolve_names, send_item, sync_folder_hierarchy, sync_folder_items,
    update_item::{self, Conflicts, Update},
};
use lockstep_ews::xml::Element;

/// The golden document of that name. `LOCKSTEP_WRITE_GOLDEN=1` writes it.
pub(crate) fn golden(name: &str, document: &str) {
    let path = format!("{}/tests/golden/{name}.xml", env!("CARGO_MANIFEST_DIR"));
    let shown = document.replace("><", ">\n<") + "\n";
    if std::env::var_os("LOCKSTEP_WRITE_GOLDEN").is_some() {
        std::fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
        std::fs::write(&path, &shown).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("{path} is not there"));
    assert_eq!(shown, expected, "{name}");
}

fn id() -> ItemId {
    ItemId { id: "AAMk/+=".into(), change_key: "CQAA".into() }
}

#[test]
fn requests_are_what_the_schema_wants() {
    let inbox = FolderRef::Distinguished("inbox");
    let shape = Shape {
        more: vec![
            Property::Field("item:Size"),
            Property::Indexed("contacts:EmailAddress", "EmailAddress1"),
            Property::Extended(LINK),
            Property::Extended(Extended::Distinguished("Common", 0x8554, "String")),
            Property::Extended(Extended::Tag(0x1035, "String")),
            Property::Extended(Extended::DistinguishedName("PublicStrings", "keywords", "StringArray")),
        ],
        ..Shape::default()
    };
    let header = Header { as_whom: Some("ann@example.test".into()) };
    let requests = [
        ("envelope", envelope::envelope(&header, "<m:Operation/>")),
        ("get_folder", folder::request(&[inbox.clone(), FolderRef::Id("F1".into())], &Shape::default())),
        (
            "sync_folder_hierarchy",
            sync_folder_hierarchy::request(&FolderRef::Distinguished("msgfolderroot"), Some("S1")),
        ),
        ("sync_folder_items", sync_folder_items::request(&inbox, &shape, Some("S<1>"), 900)),
        ("sync_folder_items_first", sync_folder_items::request(&inbox, &Shape::default(), None, 0)),
        (
            "get_item",
            get_item::request(
                &[
                    id().into(),
                    ItemRef::Occurrence { master: id(), index: 3 },
                    ItemRef::MasterOf(ItemId::whatever("occurrence")),
                ],
                &Shape { all: true, mime: true, text_body: true, more: Vec::new() },
            ),
        ),
        (
            "find_item",
            find_item::request(
                &FolderRef::Distinguished("calendar"),
                &Shape::default(),
                Some(&Restriction::And(vec![
                    Restriction::Equals(Property::Extended(LINK), "a&b".into()),
                    Restriction::Or(vec![
                        Restriction::Exists(Property::Field("item:Subject")),
                        Restriction::Not(Box::new(Restriction::AtLeast(
                            Property::Field("calendar:Start"),
                            "2024-01-01T00:00:00Z".into(),
                        ))),
                    ]),
                ])),
                100,
                50,
            ),
        ),
        (
            "create_message",
            create_item::request(How::Message(Disposition::SendAndSaveCopy), Some(&inbox), "<t:Message/>"),
        ),
        ("create_appointment", create_item::request(How::Appointment(Invitations::None), None, "<t:CalendarItem/>")),
        ("create_contact", create_item::request(How::Other, None, "<t:Contact/>")),
        (
            "update_item",
            update_item::request(
                &id().into(),
                &[
                    Update::Set(Property::Field("item:Subject"), "<t:Task><t:Subject>x</t:Subject></t:Task>".into()),
                    Update::Delete(Property::Field("task:DueDate")),
                ],
                Conflicts::NeverOverwrite,
                Invitations::ChangedAndCopy,
            ),
        ),
        ("delete_item", delete_item::request(&[id().into()], Thoroughness::Soft, true, true)),
        ("move_item", move_item::request(&[id().into()], &FolderRef::Id("F2".into()))),
        ("send_item", send_item::request(&id(), Some(&FolderRef::Distinguished("sentitems")))),
        ("get_attachment", attachment::get("A1")),
        ("create_attachment", {
            let (before, after) = attachment::create_around(&id(), "a \"b\".txt", "text/plain");
            [before.as_str(), "eA==", after].concat()
        }),
        ("delete_attachment", attachment::delete("A1")),
        ("resolve_names", resolve_names::request("ann@example.test")),
    ];
    for (name, request) in requests {
        golden(&format!("request/{name}"), &request);
        if name != "envelope" {
            let whole = envelope::envelope(&Header::default(), &request);
            let read = Element::read(whole.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(read.list("Body").len(), 1, "{name}");
        }
    }
}
