"""Contacts, lists, tasks."""


from decimal import Decimal

from exchangelib import Contact, DistributionList, EWSDate, Task
from exchangelib.indexed_properties import EmailAddress, PhoneNumber, PhysicalAddress
from exchangelib.properties import Mailbox, Member
from exchangelib.recurrence import TaskRecurrence, WeeklyPattern

from sim import account

ann = account("ann")

# A contact with everything.
contact = Contact(
    account=ann, folder=ann.contacts, display_name="Ada Lovelace", given_name="Ada", surname="Lovelace", company_name="Engines", job_title="Analyst",
    file_as="Lovelace, Ada", department="Numbers", nickname="Countess", birthday=EWSDate(1815, 12, 10), body="notes",
    email_addresses=[EmailAddress(email="ada@x.test", label="EmailAddress1"), EmailAddress(email="al@x.test", label="EmailAddress2")],
    phone_numbers=[PhoneNumber(label="MobilePhone", phone_number="+44 1"), PhoneNumber(label="BusinessPhone", phone_number="+44 2")],
    physical_addresses=[PhysicalAddress(label="Business", street="St James's Sq", city="London", country="UK", zipcode="SW1")],
    categories=["VIP"], children=["Byron", "Anne"],
)
contact.save()
got = ann.contacts.get(surname="Lovelace")
assert (got.given_name, got.company_name, got.job_title, got.department) == ("Ada", "Engines", "Analyst", "Numbers")
assert got.display_name == "Ada Lovelace" and got.file_as == "Lovelace, Ada" and got.nickname == "Countess"
assert got.birthday == EWSDate(1815, 12, 10), got.birthday
assert {e.label: e.email for e in got.email_addresses} == {"EmailAddress1": "ada@x.test", "EmailAddress2": "al@x.test"}
assert {p.label: p.phone_number for p in got.phone_numbers if p.phone_number} == {"MobilePhone": "+44 1", "BusinessPhone": "+44 2"}
place = [a for a in got.physical_addresses if a.label == "Business"][0]
assert (place.street, place.city, place.country, place.zipcode) == ("St James's Sq", "London", "UK", "SW1")
assert got.body.strip() == "notes" and got.children == ["Byron", "Anne"] and got.complete_name.full_name == "Ada Lovelace"

# Changed in parts.
got.email_addresses = [EmailAddress(email="new@x.test", label="EmailAddress1")]
got.phone_numbers = [PhoneNumber(label="MobilePhone", phone_number="+44 9")]
got.job_title = None
got.save(update_fields=["email_addresses", "phone_numbers", "job_title"])
got = ann.contacts.get(surname="Lovelace")
assert [e.email for e in got.email_addresses if e.email] == ["new@x.test"], got.email_addresses
assert [p.phone_number for p in got.phone_numbers if p.phone_number] == ["+44 9"], got.phone_numbers
assert not got.job_title
assert ann.contacts.filter(company_name__startswith="Eng").count() == 1

# A list of people.
people = DistributionList(
    account=ann, folder=ann.contacts, display_name="Team",
    members={Member(mailbox=Mailbox(email_address="bob@example.test", mailbox_type="OneOff"), status="Normal")},
)
people.save()
team = ann.contacts.get(display_name="Team")
assert isinstance(team, DistributionList), team
assert [m.mailbox.email_address for m in team.members] == ["bob@example.test"]

# A task from beginning to end.
task = Task(account=ann, folder=ann.tasks, subject="Write", due_date=EWSDate(2026, 12, 24), start_date=EWSDate(2026, 12, 1), status="InProgress",
            percent_complete=Decimal(25), importance="High", body="a lot", total_work=120, companies=["X"])
task.save()
got = ann.tasks.get(subject="Write")
assert got.due_date == EWSDate(2026, 12, 24) and got.start_date == EWSDate(2026, 12, 1), (got.due_date, got.start_date)
assert got.status == "InProgress" and got.percent_complete == 25 and not got.is_complete and got.status_description == "In Progress"
assert got.total_work == 120 and got.companies == ["X"] and got.owner == "Ann"
got.complete()
got = ann.tasks.get(subject="Write")
assert got.is_complete and got.status == "Completed" and got.percent_complete == 100 and got.complete_date
got.status, got.percent_complete = "InProgress", Decimal(50)
got.save(update_fields=["status", "percent_complete"])
got = ann.tasks.get(subject="Write")
assert not got.is_complete and got.complete_date is None and got.percent_complete == 50, got.complete_date

# One that comes again.
rule = TaskRecurrence(pattern=WeeklyPattern(interval=2, weekdays=["Monday", "Friday"]), start=EWSDate(2026, 1, 5), number=4)
Task(account=ann, folder=ann.tasks, subject="Again", due_date=EWSDate(2026, 1, 5), recurrence=rule).save()
got = ann.tasks.get(subject="Again")
assert got.is_recurring and got.recurrence.pattern.interval == 2 and got.recurrence.boundary.number == 4
assert got.status == "NotStarted"
got.delete()
assert ann.tasks.all().count() == 1
print("ok")
