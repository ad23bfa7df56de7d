"""Moves the appointment with the subject named on the command line one hour on, as its owner does in a calendar."""

import os
import sys
from datetime import timedelta

from exchangelib import DELEGATE, Account, Configuration, Credentials, Version
from exchangelib.version import EXCHANGE_2016

config = Configuration(
    service_endpoint=os.environ["EWS_URL"],
    credentials=Credentials(os.environ["EWS_USER"], os.environ["EWS_PASSWORD"]),
    version=Version(build=EXCHANGE_2016),
)
account = Account(primary_smtp_address=os.environ["EWS_USER"], config=config, autodiscover=False, access_type=DELEGATE)
appointment = account.calendar.get(subject=sys.argv[1])
appointment.start += timedelta(hours=1)
appointment.end += timedelta(hours=1)
appointment.save(update_fields=["start", "end"], send_meeting_invitations="SendToNone")
