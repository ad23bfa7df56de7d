"""DavMail, which turns the server into IMAP, CalDAV and CardDAV: what IMAP and DAV clients get of it."""

import base64
import http.client
import imaplib
import os
import re

from exchangelib import CalendarItem, Contact, EWSDateTime, EWSTimeZone, Message
from exchangelib.indexed_properties import EmailAddress
from exchangelib.items import SEND_TO_NONE

from sim import account

IMAP, DAV = int(os.environ["DAVMAIL_IMAP"]), int(os.environ["DAVMAIL_DAV"])
ann, bob = account("ann"), account("bob")
zone = EWSTimeZone("Europe/Berlin")

# IMAP: listed, appended, found, flagged, moved, deleted.
imap = imaplib.IMAP4("127.0.0.1", IMAP)
imap.login("ann@example.test", "secret")
names = b" ".join(imap.list()[1])
assert all(name in names for name in (b"INBOX", b"Drafts", b"Sent", b"Trash")), names
Message(account=bob, folder=bob.sent, subject="By EWS", body="hello", to_recipients=["ann@example.test"]).send()
assert imap.select("INBOX")[1] == [b"1"]
typ, data = imap.uid("SEARCH", None, "UNSEEN")
uid = data[0].split()[0]
text = imap.uid("FETCH", uid, "(BODY.PEEK[])")[1][0][1]
assert b"Subject: By EWS" in text and b"hello" in text, text
imap.uid("STORE", uid, "+FLAGS", "(\\Seen)")
assert ann.inbox.get(subject="By EWS").is_read
raw = b"From: x@y.test\r\nTo: ann@example.test\r\nSubject: Appended\r\nMessage-ID: <q@q.test>\r\n\r\nbody\r\n"
assert imap.append("INBOX", "(\\Seen)", None, raw)[0] == "OK"
got = ann.inbox.get(subject="Appended")
assert got.is_read and not got.is_draft and got.mime_content == raw
assert imap.create("Work")[0] == "OK"
imap.select("INBOX")
uid = imap.uid("SEARCH", None, "SUBJECT", "Appended")[1][0].split()[0]
assert imap.uid("COPY", uid, "Work")[0] == "OK"
assert imap.select("Work")[1] == [b"1"]
imap.uid("STORE", "1:*", "+FLAGS", "(\\Deleted)")
imap.expunge()
assert imap.select("Work")[1] == [b"0"]
imap.logout()


def dav(method, path, body="", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", DAV, timeout=40)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    headers["Authorization"] = "Basic " + base64.b64encode(b"ann@example.test:secret").decode()
    connection.request(method, path, body.encode(), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


# CardDAV: a card made here is a contact there, and the other way round.
CARDS = "/users/ann@example.test/contacts/"
card = "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:c1\r\nFN:Ada Lovelace\r\nN:Lovelace;Ada;;;\r\nEMAIL;TYPE=work:ada@x.test\r\nTEL;TYPE=cell:+44 1\r\nORG:Engines\r\nEND:VCARD\r\n"
status, text = dav("PUT", CARDS + "c1.vcf", card, Content_Type="text/vcard")
assert status in (200, 201, 204), (status, text)
got = ann.contacts.get(surname="Lovelace")
assert (got.given_name, got.display_name, got.company_name) == ("Ada", "Ada Lovelace", "Engines"), got
assert "ada@x.test" in [entry.email for entry in got.email_addresses or []], got
Contact(account=ann, folder=ann.contacts, given_name="Bo", surname="Diddley", display_name="Bo Diddley",
        email_addresses=[EmailAddress(email="bo@x.test", label="EmailAddress1")]).save()
status, text = dav("PROPFIND", CARDS, '<D:propfind xmlns:D="DAV:"><D:prop><D:getetag/></D:prop></D:propfind>', Depth="1", Content_Type="text/xml")
assert status == 207, (status, text)
hrefs = [href for href in re.findall(r"<D:href>([^<]*)</D:href>", text) if href.endswith(".vcf")]
assert len(hrefs) == 2, text
cards = [dav("GET", href)[1] for href in hrefs]
assert any("FN:Bo Diddley" in card and "bo@x.test" in card for card in cards) and any("ada@x.test" in card for card in cards), cards

# CalDAV: the same with appointments.
DAYS = "/users/ann@example.test/calendar/"
event = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//t//EN\r\nBEGIN:VEVENT\r\nUID:e1\r\nDTSTAMP:20260101T000000Z\r\n"
    "DTSTART:20270503T080000Z\r\nDTEND:20270503T090000Z\r\nSUMMARY:By DAV\r\nRRULE:FREQ=WEEKLY;COUNT=3\r\n"
    "END:VEVENT\r\nEND:VCALENDAR\r\n"
)
status, text = dav("PUT", DAYS + "e1.ics", event, Content_Type="text/calendar; charset=utf-8")
assert status in (200, 201, 204), (status, text)
got = ann.calendar.get(subject="By DAV")
assert got.type == "RecurringMaster" and got.recurrence.boundary.number == 3, got
CalendarItem(account=ann, folder=ann.calendar, subject="By EWS", start=EWSDateTime(2027, 6, 1, 9, tzinfo=zone), end=EWSDateTime(2027, 6, 1, 10, tzinfo=zone)).save(send_meeting_invitations=SEND_TO_NONE)
status, text = dav("PROPFIND", DAYS, '<D:propfind xmlns:D="DAV:"><D:prop><D:getetag/></D:prop></D:propfind>', Depth="1", Content_Type="text/xml")
hrefs = [href for href in re.findall(r"<D:href>([^<]*)</D:href>", text) if href.lower().endswith((".ics", ".eml"))]
assert len(hrefs) == 2, text
events = [dav("GET", href)[1] for href in hrefs]
assert any("SUMMARY:By EWS" in event and "090000" in event for event in events), events
assert any("RRULE" in event and "SUMMARY:By DAV" in event for event in events), events
print("ok")
