"""Other people's mailboxes, names, zones, subscriptions."""

import threading

from exchangelib import DELEGATE, IMPERSONATION, Message
from exchangelib.errors import (
    ErrorAccessDenied,
    ErrorImpersonateUserDenied,
    ErrorInvalidWatermark,
    ErrorNonExistentMailbox,
    ErrorSubscriptionNotFound,
)
from exchangelib.properties import CreatedEvent, DeletedEvent, ModifiedEvent, MovedEvent, NewMailEvent, StatusEvent

from sim import account, post, raises

ann, bob = account("ann"), account("bob")

# Acting for others, and opening what is theirs.
as_ann = account("robot", access_type=IMPERSONATION, whose="ann")
Message(account=as_ann, folder=as_ann.sent, subject="By robot", to_recipients=["bob@example.test"]).send_and_save()
assert bob.inbox.get(subject="By robot").author.email_address == "ann@example.test"
assert ann.sent.filter(subject="By robot").count() == 1
beside = account("robot", access_type=DELEGATE, whose="bob")
assert beside.inbox.filter(subject="By robot").count() == 1
raises(ErrorImpersonateUserDenied, lambda: account("bob", access_type=IMPERSONATION, whose="ann").inbox.refresh())
raises(ErrorAccessDenied, lambda: account("bob", access_type=DELEGATE, whose="ann").inbox.refresh())
raises(ErrorNonExistentMailbox, lambda: account("robot", access_type=IMPERSONATION, whose="nobody").inbox.refresh())

# Names.
found = ann.protocol.resolve_names(["bo"])
assert [box.email_address for box in found] == ["bob@example.test"], found
box, contact = ann.protocol.resolve_names(["Cid"], return_full_contact_data=True)[0]
assert (box.email_address, contact.display_name) == ("cid@example.test", "Cid")

# Zones.
zones = {zone.id for zone in ann.protocol.get_timezones()}
assert "W. Europe Standard Time" in zones and len(zones) > 25

# Pull subscriptions.
kinds = ["NewMailEvent", "CreatedEvent", "ModifiedEvent", "MovedEvent", "DeletedEvent"]
subscription, watermark = bob.inbox.subscribe_to_pull(event_types=kinds)


def events(mark):
    found = []
    for notification in bob.inbox.get_events(subscription, mark):
        found += notification.events
    return found, found[-1].watermark


found, mark = events(watermark)
assert [type(event) for event in found] == [StatusEvent], found
Message(account=ann, folder=ann.sent, subject="Ping", to_recipients=["bob@example.test"]).send()
found, mark = events(watermark)
assert {type(event) for event in found} == {CreatedEvent, NewMailEvent}, found
got = bob.inbox.get(subject="Ping")
assert {event.item_id.id for event in found} == {got.id}
got.is_read = True
got.save(update_fields=["is_read"])
got.move(bob.drafts)
found, mark = events(mark)
assert [type(event) for event in found] == [ModifiedEvent, MovedEvent], found
assert found[1].item_id.id == got.id and found[1].parent_folder_id.id == bob.drafts.id
assert [type(event) for event in events(mark)[0]] == [StatusEvent]
raises(ErrorInvalidWatermark, lambda: events("AAAA"))
post("/sim/forget/states")
raises(ErrorInvalidWatermark, lambda: events(mark))
bob.inbox.unsubscribe(subscription)
raises(ErrorSubscriptionNotFound, lambda: events(watermark))

# Streaming ones.
with bob.inbox.streaming_subscription(event_types=kinds) as streaming:
    heard, ready = [], threading.Event()

    def listen():
        listener = account("bob")
        listener.protocol.config.max_connections = 2
        for notification in listener.inbox.get_streaming_events(streaming, connection_timeout=1, max_notifications_returned=1):
            heard.extend(notification.events)
        ready.set()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    Message(account=ann, folder=ann.sent, subject="Stream", to_recipients=["bob@example.test"]).send()
    assert ready.wait(30), "nothing was heard"
    assert {type(event) for event in heard} >= {CreatedEvent}, heard
post("/sim/forget/subscriptions")
print("ok")
