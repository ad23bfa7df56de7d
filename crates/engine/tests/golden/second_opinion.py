"""Writes the expected part of every series in this folder, by other people's code.

For each case a calendar is made, as a mail server would send it, and expanded by recurring-ical-events 3.8.2 (icalendar
7.3.0, python-dateutil 2.9.0, tzdata 2026.6). What stands after "=" in a case is its answer and nothing of ours; our
own expansion has to say the same. Run as: python second_opinion.py *.txt (needs those packages, no network).
"""

import sys
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import icalendar
import recurring_ical_events


def moment(text, zone, all_day):
    if all_day:
        return date.fromisoformat(text[:10])
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def event(uid, start, length, all_day):
    made = icalendar.Event()
    made.add("uid", uid)
    made.add("dtstart", start)
    amount, unit = length
    made.add("duration", timedelta(minutes=amount) if unit == "minutes" else timedelta(days=amount))
    return made


def expand(lines):
    zone, length, all_day, until = None, None, False, None
    for line in lines:
        word, *rest = line.split()
        if word == "zone":
            zone = ZoneInfo(rest[0])
        elif word in ("minutes", "days"):
            length, all_day = (int(rest[0]), word), word == "days"
    master, overrides, window = None, [], None
    for line in lines:
        word, *rest = line.split()
        if word == "start":
            master = event("case", moment(rest[0], zone, all_day), length, all_day)
        elif word == "rule":
            parts = dict(part.split("=") for part in rest[0].split(";"))
            if "UNTIL" in parts and not all_day:
                # A local day in our files; the last second of it in UTC for a calendar.
                day = datetime.strptime(parts["UNTIL"], "%Y%m%d")
                last = day.replace(hour=23, minute=59, second=59, tzinfo=zone).astimezone(timezone.utc)
                parts["UNTIL"] = last.strftime("%Y%m%dT%H%M%SZ")
            rule = ";".join(f"{key}={value}" for key, value in parts.items())
            master.add("rrule", icalendar.vRecur.from_ical(rule))
        elif word == "cancel":
            master.add("exdate", moment(rest[0], zone, all_day))
        elif word == "move":
            amount = (int(rest[2]), length[1])
            changed = event("case", moment(rest[1], zone, all_day), amount, all_day)
            changed.add("recurrence-id", moment(rest[0], zone, all_day))
            overrides.append(changed)
        elif word == "window":
            window = [date.fromisoformat(day) for day in rest]
    calendar = icalendar.Calendar()
    for part in [master, *overrides]:
        calendar.add_component(part)
    first, last = window
    # A day of slack for zones; the window is one of local days by start.
    found = recurring_ical_events.of(calendar).between(first - timedelta(days=2), last + timedelta(days=2))
    told = []
    for one in found:
        start, end = one["DTSTART"].dt, one.end
        if all_day:
            if first <= start <= last:
                told.append(f"{start} {(end - start).days}")
        else:
            local = start.astimezone(zone)
            wall = start.replace(tzinfo=None)
            if first <= wall.date() <= last:
                utc = local.astimezone(timezone.utc)
                stop = utc + timedelta(minutes=(one["DURATION"].dt if "DURATION" in one else end - start).total_seconds() // 60)
                told.append(f"{wall:%Y-%m-%dT%H:%M} {utc:%Y-%m-%dT%H:%MZ} {stop:%Y-%m-%dT%H:%MZ}")
    return sorted(told)


def rewrite(path):
    head, *cases = open(path).read().split("\n\n")
    out = [head.strip("\n")]
    for case in cases:
        lines = [line for line in case.split("=\n")[0].strip().splitlines() if line and not line.startswith("#")]
        told = [line for line in case.split("=\n")[0].strip().splitlines()]
        out.append("\n".join([*told, "=", *expand(lines)]))
    open(path, "w").write("\n\n".join(out) + "\n")


for path in sys.argv[1:]:
    rewrite(path)
