"""Makes so many contacts and appointments as the command line says, and prints how many seconds it took."""

import os
import sys
import time
from datetime import datetime, timedelta

from exchangelib import DELEGATE, Account, CalendarItem, Configuration, Contact, Credentials, EWSTimeZone, Version
from exchangelib.indexed_properties import EmailAddress, PhoneNumber
from exchangelib.version import EXCHANGE_2016

contacts, appointments = int(sys.argv[1]), int(sys.argv[2])
config = Configuration(
    service_endpoint=os.environ["EWS_URL"],
    credentials=Credentials(os.environ["EWS_USER"], os.environ["EWS_PASSWORD"]),
    version=Version(build=EXCHANGE_2016),
)
account = Account(primary_smtp_address=os.environ["EWS_USER"], config=config, autodiscover=False, access_type=DELEGATE)
zone = EWSTimeZone("Europe/Berlin")
people = [
    Contact(
        given_name=f"First{n}",
        surname=f"Last{n}",
        display_name=f"First{n} Last{n}",
        job_title="Buyer",
        email_addresses=[EmailAddress(label="EmailAddress1", email=f"person{n}@customer.test")],
        phone_numbers=[PhoneNumber(label="BusinessPhone", phone_number=f"+49 30 {n:06}")],
    )
    for n in range(contacts)
]
first = datetime(2027, 1, 1, 9, tzinfo=zone)
meetings = [
    CalendarItem(
        subject=f"Meeting {n}",
        location=f"Room {n % 40}",
        start=first + timedelta(days=n),
        end=first + timedelta(days=n, hours=1),
    )
    for n in range(appointments)
]
account.root.refresh()
begun = time.monotonic()
account.contacts.bulk_create(items=people, chunk_size=200)
account.calendar.bulk_create(items=meetings, chunk_size=200)
print(time.monotonic() - begun)
