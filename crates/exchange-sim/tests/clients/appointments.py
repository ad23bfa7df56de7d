"""Appointments: series with exceptions, meetings with answers, time zones."""

from datetime import timedelta

from exchangelib import Attendee, CalendarItem, EWSDate, EWSDateTime, EWSTimeZone
from exchangelib.errors import ErrorCalendarOccurrenceIsDeletedFromRecurrence
from exchangelib.items import (
    SEND_ONLY_TO_ALL,
    SEND_TO_ALL_AND_SAVE_COPY,
    SEND_TO_NONE,
    MeetingCancellation,
    MeetingRequest,
    MeetingResponse,
)
from exchangelib.recurrence import DailyPattern, Recurrence, RelativeMonthlyPattern, WeeklyPattern

from sim import account, raises

ann, bob, cid = account("ann"), account("bob"), account("cid")
zone = EWSTimeZone("Europe/Berlin")


def at(*parts):
    return EWSDateTime(*parts, tzinfo=zone)


# One appointment.
one = CalendarItem(account=ann, folder=ann.calendar, subject="One", start=at(2026, 5, 1, 10), end=at(2026, 5, 1, 11), location="Here",
                   legacy_free_busy_status="OOF", reminder_is_set=True, reminder_minutes_before_start=15)
one.save(send_meeting_invitations=SEND_TO_NONE)
got = ann.calendar.get(subject="One")
assert got.start == at(2026, 5, 1, 10) and got.end == at(2026, 5, 1, 11) and got.location == "Here"
assert got.type == "Single" and got.uid and not got.is_meeting and got.legacy_free_busy_status == "OOF"
assert got.reminder_is_set and got.reminder_minutes_before_start == 15 and got.my_response_type == "Organizer"
assert got._start_timezone == zone, got._start_timezone
assert got.duration == "PT60M" and got.organizer.email_address == "ann@example.test"
day = CalendarItem(account=ann, folder=ann.calendar, subject="Day", start=EWSDate(2026, 5, 2), end=EWSDate(2026, 5, 2), is_all_day=True)
day.save(send_meeting_invitations=SEND_TO_NONE)
got = ann.calendar.get(subject="Day")
assert got.is_all_day and got.start == EWSDate(2026, 5, 2) and got.end == EWSDate(2026, 5, 2), (got.start, got.end)

# A series over a change of the clocks.
rule = Recurrence(pattern=WeeklyPattern(interval=1, weekdays=["Monday"], first_day_of_week="Monday"), start=EWSDate(2026, 10, 12), number=4)
series = CalendarItem(account=ann, folder=ann.calendar, subject="Weekly", start=at(2026, 10, 12, 9), end=at(2026, 10, 12, 10), recurrence=rule)
series.save(send_meeting_invitations=SEND_TO_NONE)


def view(subject="Weekly"):
    found = ann.calendar.view(start=at(2026, 10, 1), end=at(2026, 12, 1))
    return [item for item in found if item.subject.startswith(subject)]


assert [item.start for item in view()] == [at(2026, 10, day, 9) for day in (12, 19, 26)] + [at(2026, 11, 2, 9)]
assert {item.type for item in view()} == {"Occurrence"}
master = ann.calendar.get(subject="Weekly")
assert master.type == "RecurringMaster" and master.recurrence.boundary.number == 4
assert master.first_occurrence.start == at(2026, 10, 12, 9) and master.last_occurrence.start == at(2026, 11, 2, 9)
second = master.occurrence(2)
second.refresh()
assert second.start == at(2026, 10, 19, 9) and second.type == "Occurrence"
second.subject, second.start, second.end = "Weekly, late", at(2026, 10, 19, 14), at(2026, 10, 19, 15)
second.save(update_fields=["subject", "start", "end"], send_meeting_invitations=SEND_TO_NONE)
third = master.occurrence(3)
third.refresh()
third.delete(send_meeting_cancellations=SEND_TO_NONE)
assert [(i.subject, i.start, i.type) for i in view()] == [
    ("Weekly", at(2026, 10, 12, 9), "Occurrence"),
    ("Weekly, late", at(2026, 10, 19, 14), "Exception"),
    ("Weekly", at(2026, 11, 2, 9), "Occurrence"),
], view()
master = ann.calendar.get(subject="Weekly")
assert [o.start for o in master.modified_occurrences] == [at(2026, 10, 19, 14)]
assert [o.original_start for o in master.modified_occurrences] == [at(2026, 10, 19, 9)]
assert [o.start for o in master.deleted_occurrences] == [at(2026, 10, 26, 9)], master.deleted_occurrences
raises(ErrorCalendarOccurrenceIsDeletedFromRecurrence, lambda: master.occurrence(3).refresh())
late = view("Weekly, late")[0]
late.refresh()
assert late.original_start == at(2026, 10, 19, 9) and late.uid == master.uid

# Other rules.
rule = Recurrence(pattern=RelativeMonthlyPattern(interval=1, weekday="Friday", week_number="Last"), start=EWSDate(2026, 10, 1), end=EWSDate(2026, 12, 31))
CalendarItem(account=ann, folder=ann.calendar, subject="Last Friday", start=at(2026, 10, 30, 16), end=at(2026, 10, 30, 17), recurrence=rule).save(
    send_meeting_invitations=SEND_TO_NONE)
assert [i.start for i in view("Last Friday")] == [at(2026, 10, 30, 16), at(2026, 11, 27, 16)]
rule = Recurrence(pattern=DailyPattern(interval=10), start=EWSDate(2026, 10, 5))
CalendarItem(account=ann, folder=ann.calendar, subject="Endless", start=at(2026, 10, 5, 8), end=at(2026, 10, 5, 9), recurrence=rule).save(
    send_meeting_invitations=SEND_TO_NONE)
assert len(view("Endless")) == 6

# An invitation arrives; the answer comes back.
meeting = CalendarItem(account=ann, folder=ann.calendar, subject="Meet", start=at(2026, 6, 1, 9), end=at(2026, 6, 1, 10), body="agenda",
                       required_attendees=["bob@example.test"], optional_attendees=["cid@example.test"])
meeting.save(send_meeting_invitations=SEND_TO_ALL_AND_SAVE_COPY)
assert isinstance(ann.sent.get(subject="Meet"), MeetingRequest)
request = bob.inbox.get(subject="Meet")
assert isinstance(request, MeetingRequest) and request.start == at(2026, 6, 1, 9), request
entered = bob.calendar.get(subject="Meet")
assert entered.my_response_type == "NoResponseReceived" and entered.organizer.email_address == "ann@example.test"
assert request.associated_calendar_item_id.id == entered.id and entered.uid == ann.calendar.get(subject="Meet").uid
request.accept(body="I come")
assert bob.calendar.get(subject="Meet").my_response_type == "Accept"
answer = ann.inbox.get(subject="Accepted: Meet")
assert isinstance(answer, MeetingResponse) and answer.response_type == "Accept" and "I come" in answer.body
cid.calendar.get(subject="Meet").decline()
assert cid.calendar.filter(subject="Meet").count() == 0
got = ann.calendar.get(subject="Meet")
assert got.required_attendees[0].response_type == "Accept" and got.optional_attendees[0].response_type == "Decline"
assert got.is_meeting and got.meeting_request_was_sent

# It moves, and is called off.
got.start, got.end = at(2026, 6, 2, 9), at(2026, 6, 2, 10)
got.save(update_fields=["start", "end"], send_meeting_invitations=SEND_ONLY_TO_ALL)
assert bob.calendar.get(subject="Meet").start == at(2026, 6, 2, 9)
assert bob.inbox.filter(subject="Meet").count() == 1
ann.calendar.get(subject="Meet").cancel(body="no more")
assert ann.calendar.filter(subject="Meet").count() == 0
off = bob.inbox.get(subject="Canceled: Meet")
assert isinstance(off, MeetingCancellation), off
assert bob.calendar.get(subject="Canceled: Meet").is_cancelled

# A series of meetings, one of which moves and one of which does not take place.
rule = Recurrence(pattern=DailyPattern(interval=1), start=EWSDate(2026, 7, 1), number=3)
CalendarItem(account=ann, folder=ann.calendar, subject="Stand-up", start=at(2026, 7, 1, 9), end=at(2026, 7, 1, 9, 15), recurrence=rule,
             required_attendees=["bob@example.test"]).save(send_meeting_invitations=SEND_ONLY_TO_ALL)
master = ann.calendar.get(subject="Stand-up")
moved = master.occurrence(2)
moved.refresh()
moved.start, moved.end = moved.start + timedelta(hours=1), moved.end + timedelta(hours=1)
moved.save(update_fields=["start", "end"], send_meeting_invitations=SEND_ONLY_TO_ALL)
last = master.occurrence(3)
last.refresh()
last.delete(send_meeting_cancellations=SEND_ONLY_TO_ALL)
seen = [i.start for i in bob.calendar.view(start=at(2026, 7, 1), end=at(2026, 7, 8))]
assert seen == [at(2026, 7, 1, 9), at(2026, 7, 2, 10)], seen
print("ok")
