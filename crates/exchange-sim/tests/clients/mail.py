"""Mail: made, found, read, changed, moved, sent, received, deleted."""

from exchangelib import Body, FileAttachment, Folder, HTMLBody, Mailbox, Message, Q
from exchangelib.errors import ErrorFolderExists, ErrorItemNotFound, UnauthorizedError

from sim import account, post, raises

ann, bob = account("ann"), account("bob")

# The server is what it says it is.
assert ann.protocol.version.build.major_version == 15
raises(UnauthorizedError, lambda: account("ann", "wrong").root.refresh())

# Folders.
assert ann.inbox.name == "Inbox" and ann.sent.name == "Sent Items"
projects = Folder(parent=ann.inbox, name="Projects")
projects.save()
raises(ErrorFolderExists, lambda: Folder(parent=ann.inbox, name="projects").save())
projects.name = "Work"
projects.save()
assert {folder.name for folder in ann.inbox.walk()} == {"Work"}
assert [folder.name for folder in (ann.root / "Top of Information Store" / "Inbox").children] == ["Work"]

# A draft, from its making to its end.
draft = Message(account=ann, folder=ann.drafts, subject="Plan", body="first", to_recipients=["bob@example.test"])
draft.save()
assert draft.id and draft.changekey
first_key = draft.changekey
draft.body = HTMLBody("<p>second &amp; last</p>")
draft.categories = ["Green", "Blue"]
draft.importance = "High"
draft.save()
assert draft.changekey != first_key
read = ann.drafts.get(subject="Plan")
assert read.body == "<p>second &amp; last</p>" and isinstance(read.body, HTMLBody), read.body
assert read.text_body.strip() == "second & last", read.text_body
assert read.categories == ["Green", "Blue"] and read.importance == "High" and read.is_draft
assert read.author.email_address == "ann@example.test"
read.send()
assert ann.drafts.all().count() == 0
sent = ann.sent.get(subject="Plan")
got = bob.inbox.get(subject="Plan")
assert got.message_id == sent.message_id and got.message_id
assert not got.is_read and not got.is_draft and sent.is_read
assert got.sender.name == "Ann" and got.datetime_received and got.datetime_sent
assert b"Subject: Plan" in got.mime_content and got.headers

# With a message as it travels.
mime = (
    b"From: Ann <ann@example.test>\r\nTo: Bob <bob@example.test>\r\nBcc: cid@example.test\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <one@two.test>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n\r\nHallo \xc3\xa4\r\n"
)
Message(account=ann, folder=ann.sent, mime_content=mime).send_and_save()
for box in (bob, account("cid")):
    got = box.inbox.get(message_id="<one@two.test>")
    assert got.subject == "Gr\u00fc\u00dfe" and "Hallo \u00e4" in got.body, (got.subject, got.body)
    assert b"Bcc" not in got.mime_content and b"Hallo \xc3\xa4" in got.mime_content
assert ann.sent.get(message_id="<one@two.test>").to_recipients[0].email_address == "bob@example.test"

# Reply and forward.
got.reply("Re: hello", "thanks")
assert "thanks" in ann.inbox.get(subject="Re: hello").body
got.forward("Look", "see below", ["bob@example.test"])
assert bob.inbox.filter(subject="Look").count() == 1

# Mail from outside.
post("/sim/deliver?to=ann@example.test", b"From: x@elsewhere.test\r\nTo: ann@example.test\r\nSubject: From afar\r\n\r\nhi\r\n")
afar = ann.inbox.get(subject="From afar")
assert afar.sender.email_address == "x@elsewhere.test"

# Read, move, copy, delete.
assert ann.inbox.unread_count == 0  # as it was when the folder was read
ann.inbox.refresh()
assert ann.inbox.unread_count == 2, ann.inbox.unread_count
afar.is_read = True
afar.save(update_fields=["is_read"])
ann.inbox.refresh()
assert ann.inbox.unread_count == 1
old = afar.id
afar.move(projects)
assert afar.id != old and projects.get(subject="From afar").is_read
raises(ErrorItemNotFound, lambda: ann.inbox.get(id=old, changekey=None))
afar.copy(ann.inbox)
assert ann.inbox.filter(subject="From afar").count() == 1
afar.move_to_trash()
assert ann.trash.filter(subject="From afar").count() == 1 and projects.all().count() == 0
ann.inbox.get(subject="From afar").delete()
assert ann.inbox.filter(subject="From afar").count() == 0

# Many at once, found by conditions, ordered, in pages.
items = [
    Message(subject=f"Number {n:02}", body=f"body {n}", is_read=n % 2 == 0, to_recipients=[Mailbox(email_address="b@x.test")])
    for n in range(25)
]
made = ann.bulk_create(folder=projects, items=items)
assert len(made) == 25
assert projects.filter(is_read=True).count() == 13
assert projects.filter(subject__startswith="Number 1").count() == 10
assert projects.filter(Q(subject__icontains="NUMBER 01") | Q(subject="Number 24")).count() == 2
assert projects.exclude(subject__contains="1").filter(is_read=True).count() == 8
names = list(projects.all().order_by("-subject").values_list("subject", flat=True)[3:7])
assert names == ["Number 21", "Number 20", "Number 19", "Number 18"], names
paged = projects.all().order_by("subject")
paged.page_size = 7
assert [item.subject for item in paged] == [f"Number {n:02}" for n in range(25)]
found = list(ann.fetch(made + [(old, None)]))
assert isinstance(found[-1], ErrorItemNotFound) and all(item.subject for item in found[:-1])
assert all(done is True for done in ann.bulk_delete(made))
assert projects.all().count() == 0
projects.delete()
assert not list(ann.inbox.children)
print("ok")
