"""Faults that were switched on: what a client sees of them."""

import time

from exchangelib import Message
from exchangelib.errors import (
    ErrorInternalServerError,
    ErrorIrresolvableConflict,
    ErrorItemNotFound,
    ErrorServerBusy,
    RateLimitError,
    TransportError,
)

from sim import account, moods, raises

ann, bob, patient = account("ann"), account("bob"), account("robot", retry=True, whose="ann")
items = [Message(subject=f"m{n}", to_recipients=["b@x.test"]) for n in range(3)]
made = ann.bulk_create(folder=ann.inbox, items=items)

# Busy: with a time to wait, without one, only for some, only so often.
moods({"mood": "busy", "back_off_ms": 1500, "times": 1})
error = raises(ErrorServerBusy, lambda: ann.inbox.refresh())
assert error.back_off == 1.5, error.back_off
ann.inbox.refresh()
moods({"mood": "busy", "back_off_ms": None, "mailbox": "bob@example.test"})
raises(ErrorServerBusy, lambda: bob.inbox.refresh())
ann.inbox.refresh()
moods({"mood": "busy", "back_off_ms": 1000, "operation": "FindItem", "times": 1})
begin = time.monotonic()
assert patient.inbox.all().count() == 3 and time.monotonic() - begin >= 1
moods({"mood": "budget", "requests": 3, "seconds": 60})
for _ in range(3):
    ann.inbox.refresh()
assert 0 < raises(ErrorServerBusy, lambda: ann.inbox.refresh()).back_off <= 60

# Not there, not allowed, broken.
moods({"mood": "unavailable", "retry_after": 7, "times": 1})
raises((RateLimitError, TransportError, ErrorServerBusy), lambda: ann.inbox.refresh())
moods({"mood": "blocked", "times": 1})
raises((TransportError, OSError), lambda: ann.inbox.refresh())
moods({"mood": "internal", "times": 1})
raises(ErrorInternalServerError, lambda: ann.inbox.refresh())
for after in (0, 40):
    moods({"mood": "cut", "after": after, "times": 1})
    raises((TransportError, OSError), lambda: ann.inbox.refresh())
moods({"mood": "hang", "seconds": 2, "times": 1})
begin = time.monotonic()
ann.inbox.refresh()
assert time.monotonic() - begin >= 2

# Conflicts, and one of a batch that is gone.
item = ann.inbox.get(subject="m1")
moods({"mood": "conflict", "operation": "UpdateItem", "times": 1})
item.subject = "changed"
raises(ErrorIrresolvableConflict, lambda: item.save(update_fields=["subject"]))
item.save(update_fields=["subject"])
moods({"mood": "gone", "operation": "GetItem", "times": 1})
found = list(ann.fetch(made))
assert isinstance(found[0], ErrorItemNotFound) and [one.subject for one in found[1:]] == ["changed", "m2"], found
assert all(one.subject for one in ann.fetch(made))
print("ok")
