"""Sync states, change keys, conflicts, pages."""

from exchangelib import Folder, Message
from exchangelib.errors import ErrorChangeKeyRequired, ErrorInvalidSyncStateData, ErrorIrresolvableConflict, ErrorStaleObject
from exchangelib.items import NEVER_OVERWRITE
from exchangelib.services import SendItem

from sim import account, post, raises

ann = account("ann")


def changes(folder, state=None, **more):
    """One whole round: the changes and the state after it."""
    folder.item_sync_state = state
    found = list(folder.sync_items(sync_state=state, only_fields=["subject"], **more))
    return found, folder.item_sync_state


# The folders.
kinds = [(kind, folder.name) for kind, folder in ann.root.sync_hierarchy()]
assert ("create", "Inbox") in kinds and ("create", "Calendar") in kinds, kinds
state = ann.root.folder_sync_state
sub = Folder(parent=ann.inbox, name="Sub")
sub.save()
assert [(kind, f.name) for kind, f in ann.root.sync_hierarchy(sync_state=state)] == [("create", "Sub")]
state = ann.root.folder_sync_state
sub.name = "Other"
sub.save()
assert [(kind, f.name) for kind, f in ann.root.sync_hierarchy(sync_state=state)] == [("update", "Other")]
state = ann.root.folder_sync_state
assert list(ann.root.sync_hierarchy(sync_state=state)) == []

# The items, in pages.
ann.bulk_create(folder=sub, items=[Message(subject=f"m{n}", to_recipients=["b@x.test"]) for n in range(9)])
found, state = changes(sub, max_changes_returned=4)
assert [kind for kind, _ in found] == ["create"] * 9
assert changes(sub, state)[0] == []
items = {item.subject: item for _, item in found}
one = sub.get(subject="m1")
one.subject = "changed"
one.save(update_fields=["subject"])
two = sub.get(subject="m2")
two.is_read = not two.is_read
two.save(update_fields=["is_read"])
sub.get(subject="m3").delete()
sub.get(subject="m4").move(ann.inbox)
found, state = changes(sub, state)
kinds = sorted(kind for kind, _ in found)
assert kinds == ["delete", "delete", "read_flag_change", "update"], kinds
assert [item.subject for kind, item in found if kind == "update"] == ["changed"]
gone = {item.id for kind, item in found if kind == "delete"}
assert gone == {items["m3"].id, items["m4"].id}
flag = [item for kind, item in found if kind == "read_flag_change"][0]
assert flag[1] == two.is_read and flag[0].id == two.id, flag
# What is ignored does not come.
ignored = Message(account=ann, folder=sub, subject="ignored", to_recipients=["b@x.test"])
ignored.save()
assert changes(sub, state, ignore=[ignored])[0] == []

# States that are none, and states that were lost.
for wrong in ("garbage", "c2ltMSAxIDEgMQ=="):
    raises(ErrorInvalidSyncStateData, lambda: changes(sub, wrong))
raises(ErrorInvalidSyncStateData, lambda: changes(ann.inbox, state))
post("/sim/forget/states")
raises(ErrorInvalidSyncStateData, lambda: changes(sub, state))
assert len(changes(sub)[0]) == 8

# Change keys.
item = sub.get(subject="m5")
stale = item.changekey
item.subject = "m5 again"
item.save(update_fields=["subject"])
assert item.changekey != stale
item.changekey = stale
item.subject = "too late"
raises(ErrorIrresolvableConflict, lambda: item.save(update_fields=["subject"], conflict_resolution=NEVER_OVERWRITE))
assert sub.get(id=item.id, changekey=None).subject == "m5 again"
item.save(update_fields=["subject"])  # the other ways do not ask
assert sub.get(id=item.id, changekey=None).subject == "too late"
item.changekey = stale
raises(ErrorStaleObject, lambda: item.send(save_copy=False))
send = SendItem(account=ann)
raises(ErrorChangeKeyRequired, lambda: list(send.call(items=[(item.id, None)], saved_item_folder=None)))
print("ok")
