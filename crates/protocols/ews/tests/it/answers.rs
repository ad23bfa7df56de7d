//! Answers as servers write them: samples in odd but allowed forms, and whatever bytes may arrive.

use std::time::Duration;

use lockstep_ews::{
    codec::{
        answer, attachment, create_item, find_item, folder, get_item,
        id::ItemId,
        property::{Extended, LINK},
        resolve_names, sync_folder_hierarchy, sync_folder_items,
    },
    item::{appointment, contact, series, task},
    xml::Element,
};
use proptest::prelude::*;

use crate::records::HOME;

fn message(inside: &str) -> Element {
    let document = format!(
        r#"<m:AnyResponseMessage xmlns:m="m" xmlns:t="t" ResponseClass="Success">{inside}</m:AnyResponseMessage>"#
    );
    Element::read(document.as_bytes()).unwrap()
}

#[test]
fn a_page_of_changes_in_any_order() {
    use sync_folder_items::Change;
    let page = sync_folder_items::read(&message(
        r#"<m:Changes>
          <t:Create><t:Message><t:Size>12</t:Size><t:ItemId ChangeKey="K" Id="1"/></t:Message></t:Create>
          <t:ReadFlagChange><t:IsRead>true</t:IsRead><t:ItemId Id="2"/></t:ReadFlagChange>
          <t:Future><t:ItemId Id="x"/></t:Future>
          <t:Delete><t:ItemId Id="3"/></t:Delete><t:Delete/>
          <t:Update><t:Task><t:ItemId Id="4"/></t:Task></t:Update></m:Changes>
        <m:IncludesLastItemInRange> false </m:IncludesLastItemInRange><m:SyncState> AbC= </m:SyncState>"#,
    ));
    let page = page.unwrap();
    assert_eq!((page.state.as_str(), page.last, page.changes.len()), ("AbC=", false, 4));
    let Change::Created(created) = &page.changes[0] else { panic!("{:?}", page.changes) };
    assert_eq!(ItemId::of_item(created), Some(ItemId { id: "1".into(), change_key: "K".into() }));
    assert_eq!(page.changes[1], Change::ReadFlag(ItemId::whatever("2"), true));
    assert_eq!(page.changes[2], Change::Deleted(ItemId::whatever("3")));
    assert_eq!(sync_folder_items::read(&message("<m:Changes/>")), None, "no state, no page");
}

#[test]
fn folders_names_searches_and_attachments() {
    let hierarchy = sync_folder_hierarchy::read(&message(
        r#"<m:SyncState>S</m:SyncState><m:IncludesLastFolderInRange>true</m:IncludesLastFolderInRange><m:Changes>
        <t:Create><t:CalendarFolder><t:FolderId Id="F"/><t:FolderClass>IPF.Appointment</t:FolderClass><t:DisplayName>Kalender</t:DisplayName></t:CalendarFolder></t:Create>
        <t:Delete><t:FolderId Id="G"/></t:Delete></m:Changes>"#,
    ));
    let hierarchy = hierarchy.unwrap();
    assert!(hierarchy.last);
    let sync_folder_hierarchy::Change::Created(created) = &hierarchy.changes[0] else { panic!("{hierarchy:?}") };
    assert_eq!(
        (created.id.as_str(), created.class.as_str(), created.name.as_str()),
        ("F", "IPF.Appointment", "Kalender")
    );
    assert_eq!(hierarchy.changes[1], sync_folder_hierarchy::Change::Deleted("G".into()));
    let found = find_item::read(&message(
        r#"<m:RootFolder IndexedPagingOffset="7" TotalItemsInView="9" IncludesLastItemInRange="false"><t:Items><t:Contact><t:ItemId Id="1"/></t:Contact></t:Items></m:RootFolder>"#,
    ));
    let found = found.unwrap();
    assert_eq!((found.items.len(), found.last, found.next_offset), (1, false, 7));
    let names = resolve_names::read(&message(
        r#"<m:ResolutionSet><t:Resolution><t:Mailbox><t:Name>Ann</t:Name><t:EmailAddress>ann@x.test</t:EmailAddress><t:RoutingType>SMTP</t:RoutingType><t:MailboxType>Mailbox</t:MailboxType></t:Mailbox></t:Resolution>
        <t:Resolution><t:Mailbox><t:EmailAddress>/o=x</t:EmailAddress><t:RoutingType>EX</t:RoutingType></t:Mailbox></t:Resolution></m:ResolutionSet>"#,
    ));
    assert_eq!(names.iter().map(|one| one.address.as_str()).collect::<Vec<_>>(), ["ann@x.test", ""]);
    let item = message(
        r#"<t:Attachments><t:FileAttachment><t:AttachmentId Id="A"/><t:Name>a.txt</t:Name><t:Size>5</t:Size><t:IsInline>true</t:IsInline></t:FileAttachment>
        <t:ItemAttachment><t:AttachmentId Id="B"/><t:Name>mail</t:Name></t:ItemAttachment><t:FileAttachment/></t:Attachments>"#,
    );
    let listed = attachment::list(&item);
    assert_eq!(
        listed.iter().map(|one| (one.id.as_str(), one.size, one.inline, one.is_item)).collect::<Vec<_>>(),
        [("A", 5, true, false), ("B", 0, false, true)]
    );
}

/// The same property is written as a number, in hexadecimal, in capitals or with more attributes by different servers.
#[test]
fn extended_properties_are_found_however_they_are_named() {
    let item = message(
        r#"<t:ExtendedProperty><t:ExtendedFieldURI PropertyTag="0x3A07" PropertyType="String"/><t:Value>one</t:Value></t:ExtendedProperty>
        <t:ExtendedProperty><t:ExtendedFieldURI PropertyType="String" PropertyId="32812" DistinguishedPropertySetId="Address"/><t:Value>two</t:Value></t:ExtendedProperty>
        <t:ExtendedProperty><t:ExtendedFieldURI PropertySetId="6B3BD5AC-5C0B-4B56-9A5D-3A6D0F6C9E11" PropertyName="LockstepLink" PropertyType="String"/><t:Value>three</t:Value></t:ExtendedProperty>
        <t:ExtendedProperty><t:ExtendedFieldURI PropertyTag="0x1" PropertyType="String"/></t:ExtendedProperty><t:ExtendedProperty/>"#,
    );
    assert_eq!(Extended::Tag(0x3a07, "String").read(&item), Some("one"));
    assert_eq!(Extended::Distinguished("Address", 0x802c, "String").read(&item), Some("two"));
    assert_eq!(LINK.read(&item), Some("three"));
    assert_eq!(Extended::Tag(1, "String").read(&item), None);
}

#[test]
fn messages_are_judged_one_by_one() {
    let response = Element::read(
        br#"<R><ResponseMessages>
        <M ResponseClass="Success"><ResponseCode>NoError</ResponseCode></M>
        <M ResponseClass="Error"><MessageText>gone</MessageText><ResponseCode>ErrorItemNotFound</ResponseCode><DescriptiveLinkKey>0</DescriptiveLinkKey></M>
        <M ResponseClass="Warning"><MessageText>not reached</MessageText><ResponseCode>ErrorBatchProcessingStopped</ResponseCode></M>
        <M ResponseClass="Warning"><ResponseCode>ErrorNameResolutionMultipleResults</ResponseCode></M>
        <M ResponseClass="Error"><ResponseCode>ErrorServerBusy</ResponseCode><MessageXml><Value Name="Other">9</Value><Value Name="BackOffMilliseconds">77</Value></MessageXml></M>
        </ResponseMessages></R>"#,
    );
    let response = response.unwrap();
    let judged: Vec<_> =
        answer::messages(&response).map(|one| one.map(|_| ()).map_err(|r| (r.code, r.back_off))).collect();
    assert_eq!(
        judged,
        [
            Ok(()),
            Err(("ErrorItemNotFound".into(), None)),
            Err(("ErrorBatchProcessingStopped".into(), None)),
            Ok(()),
            Err(("ErrorServerBusy".into(), Some(Duration::from_millis(77)))),
        ]
    );
    assert!(answer::only(&Element::default()).is_err());
}

/// A series as Exchange shows it, with an occurrence that was moved and one that was deleted.
const SERIES: &str = r#"<t:CalendarItem xmlns:t="x"><t:ItemId Id="M"/><t:Subject>weekly</t:Subject><t:Start>2024-03-04T08:00:00Z</t:Start><t:End>2024-03-04T09:00:00Z</t:End><t:IsAllDayEvent>false</t:IsAllDayEvent><t:CalendarItemType>RecurringMaster</t:CalendarItemType><t:Recurrence><t:RelativeMonthlyRecurrence><t:Interval>2</t:Interval><t:DaysOfWeek>Weekday</t:DaysOfWeek><t:DayOfWeekIndex>Last</t:DayOfWeekIndex></t:RelativeMonthlyRecurrence><t:EndDateRecurrence><t:StartDate>2024-03-04+01:00</t:StartDate><t:EndDate>2025-03-04Z</t:EndDate></t:EndDateRecurrence></t:Recurrence><t:ModifiedOccurrences><t:Occurrence><t:ItemId Id="O"/><t:Start>2024-05-02T08:00:00Z</t:Start><t:End>2024-05-02T09:30:00Z</t:End><t:OriginalStart>2024-05-31T07:00:00Z</t:OriginalStart></t:Occurrence></t:ModifiedOccurrences><t:DeletedOccurrences><t:DeletedOccurrence><t:Start>2024-07-31T07:00:00Z</t:Start></t:DeletedOccurrence></t:DeletedOccurrences><t:StartTimeZone Id="W. Europe Standard Time"/></t:CalendarItem>"#;

#[test]
fn a_series_with_its_exceptions() {
    use lockstep_model::record::{
        Field, Value,
        series::{Days, End, Exception, Length, Nth, OnDay, Pattern},
    };
    let master = Element::read(SERIES.as_bytes()).unwrap();
    let modified = series::modified(&master);
    let changed = Element::read(b"<CalendarItem><Subject>longer</Subject></CalendarItem>").unwrap();
    let pairs: Vec<_> = modified.into_iter().map(|one| (one, Some(changed.clone()))).collect();
    let fields = series::read(&master, &pairs, HOME).unwrap();
    let Some(Value::Series(series)) = fields.get(Field::Recurrence) else { panic!("{fields:?}") };
    assert_eq!(
        (series.rule.every, &series.rule.pattern),
        (2, &Pattern::Monthly(OnDay::Relative { nth: Nth::Last, days: Days::WORKING }))
    );
    assert_eq!(series.end, End::Until("2025-03-04".parse().unwrap()));
    let exceptions: Vec<_> = series.exceptions.iter().map(|(at, one)| (at.to_string(), one)).collect();
    assert_eq!(exceptions[1], ("2024-07-31 09:00:00".to_owned(), &Exception::Cancelled));
    assert_eq!(exceptions[0].0, "2024-05-31 09:00:00", "named by its own local time, summer time included");
    let Exception::Changed(changed) = exceptions[0].1 else { panic!("{exceptions:?}") };
    assert_eq!((changed.start.to_string().as_str(), changed.length), ("2024-05-02 10:00:00", Length::Minutes(90)));
    assert_eq!(changed.fields.fields().collect::<Vec<_>>(), [Field::Subject]);
}

/// Everything that reads an answer, on whatever it is.
fn read_all(element: &Element) {
    let _ = (answer::body(element).is_ok(), answer::judged(element).is_ok(), answer::only(element).is_ok());
    let _ = (sync_folder_items::read(element), sync_folder_hierarchy::read(element), find_item::read(element));
    let _ = (folder::read(element), get_item::read(element), create_item::read(element), attachment::list(element));
    let _ = (resolve_names::read(element), attachment::created(element));
    let _ = (contact::read(element), task::read(element), appointment::read(element, HOME));
    let modified = series::modified(element).into_iter().map(|one| (one, Some(element.clone()))).collect::<Vec<_>>();
    let _ = series::read(element, &modified, HOME);
    element.children.iter().for_each(read_all);
}

proptest! {
    /// A document with bytes changed, cut or doubled is read or refused; nothing panics.
    #[test]
    fn spoilt_answers_do_no_harm(changes in prop::collection::vec((0_usize..SERIES.len(), any::<u8>()), 0..6), cut in 0_usize..SERIES.len()) {
        let mut bytes = SERIES.as_bytes().to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        if let Ok(element) = Element::read(&bytes) {
            read_all(&element);
        }
        let _ = Element::read(&bytes[..cut]);
    }

    /// Values of any sort in the places of others.
    #[test]
    fn strange_values_do_no_harm(value in "[-+0-9TZ:.a-zA-Z]{0,28}|[0-9]{1,30}|\\PC{0,12}") {
        prop_assume!(!value.contains(['<', '&']));
        for known in ["2024-03-04T08:00:00Z", "2024-05-02T09:30:00Z", "2024-05-31T07:00:00Z", "2024-03-04+01:00", "2025-03-04Z", "Weekday", "Last", ">2<", "W. Europe Standard Time"] {
            let new = if known == ">2<" { format!(">{value}<") } else { value.clone() };
            if let Ok(element) = Element::read(SERIES.replace(known, &new).as_bytes()) {
                read_all(&element);
            }
        }
    }
}
