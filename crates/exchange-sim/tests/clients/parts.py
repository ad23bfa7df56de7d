"""What hangs on items: attachments, extended properties, categories."""

import io

from exchangelib import ExtendedProperty, FileAttachment, ItemAttachment, Message
from exchangelib.errors import ErrorInvalidAttachmentId

from sim import account, raises

ann, bob = account("ann"), account("bob")


class Link(ExtendedProperty):
    property_set_id = "2c1b7e0e-55ac-4b4e-9f0e-000000000001"
    property_name = "Link"
    property_type = "String"


class Numbers(ExtendedProperty):
    distinguished_property_set_id = "Common"
    property_id = 0x8A01
    property_type = "IntegerArray"


class Flags(ExtendedProperty):
    property_tag = 0x0E07
    property_type = "Integer"


for name, kind in (("link", Link), ("numbers", Numbers), ("flags", Flags)):
    Message.register(name, kind)

# Files, large ones too, given with the item and after it.
large = bytes(range(256)) * 4096
message = Message(account=ann, folder=ann.drafts, subject="parts", body="see", to_recipients=["bob@example.test"])
message.attach(FileAttachment(name="first.txt", content=b"first"))
message.save()
message.attach(FileAttachment(name="large.bin", content=large, content_type="application/x-thing"))
message.attach(FileAttachment(name="logo.png", content=b"\x89PNG", is_inline=True, content_id="logo@x"))
got = ann.drafts.get(subject="parts")
assert got.has_attachments
names = {one.name: one for one in got.attachments}
assert sorted(names) == ["first.txt", "large.bin", "logo.png"]
assert names["large.bin"].size == len(large) and names["large.bin"].content_type == "application/x-thing"
assert names["first.txt"].content == b"first" and names["large.bin"].content == large
assert names["logo.png"].is_inline and names["logo.png"].content_id == "logo@x", names["logo.png"]
with names["large.bin"].fp as stream:
    read = io.BytesIO()
    while piece := stream.read(65536):
        read.write(piece)
assert read.getvalue() == large

# Items.
inner = Message(subject="inner", body="inside", to_recipients=["c@x.test"])
got.attach(ItemAttachment(name="inner", item=inner))
got = ann.drafts.get(subject="parts")
one = [one for one in got.attachments if isinstance(one, ItemAttachment)][0]
assert one.item.subject == "inner" and "inside" in one.item.body

# Taken away again.
first = [one for one in got.attachments if one.name == "first.txt"][0]
again = [one for one in ann.drafts.get(subject="parts").attachments if one.name == "first.txt"][0]
got.detach(first)
got = ann.drafts.get(subject="parts")
assert "first.txt" not in [one.name for one in got.attachments]
raises(ErrorInvalidAttachmentId, lambda: again.content)

# They go where the message goes, and can be read out of its MIME form.
got.send()
came = bob.inbox.get(subject="parts")
names = {one.name: one for one in came.attachments}
assert names["large.bin"].content == large
assert b"large.bin" in came.mime_content

# A message that came as MIME has its attachments.
mime = (
    b"From: a@x.test\r\nTo: bob@example.test\r\nSubject: mime parts\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n'
    b'--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename="t.csv"\r\n\r\n1,2\r\n--b--\r\n'
)
Message(account=ann, folder=ann.sent, mime_content=mime).send()
csv = bob.inbox.get(subject="mime parts").attachments[0]
assert (csv.name, csv.content_type, csv.content) == ("t.csv", "text/csv", b"1,2"), csv

# Extended properties and categories.
item = Message(account=ann, folder=ann.inbox, subject="link", link="L-1", numbers=[1, 2, 3], categories=["A", "B"])
item.save()
found = ann.inbox.get(link="L-1")
assert found.numbers == [1, 2, 3] and found.link == "L-1" and found.categories == ["A", "B"]
assert found.flags & 8, found.flags
found.link = "L-2"
found.categories = None
found.save(update_fields=["link", "categories"])
assert ann.inbox.filter(link="L-1").count() == 0
found = ann.inbox.get(link="L-2")
assert found.categories is None
copy = found.copy(ann.drafts)
assert ann.drafts.get(subject="link").link == "L-2"  # a copy carries it too
found.link = None
found.save(update_fields=["link"])
assert ann.inbox.get(subject="link").link is None
assert ann.inbox.filter(categories__contains=["A"]).count() == 0
# As a sent, not a draft, one: the flags say so.
item = Message(account=ann, folder=ann.inbox, subject="flagged", flags=1)
item.save()
got = ann.inbox.get(subject="flagged")
assert not got.is_draft, got
print("ok")
