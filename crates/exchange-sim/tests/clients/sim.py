"""What the scripts share: an account at the server named in the environment, and the switch for faults."""

import json
import os
import urllib.request

import requests
from exchangelib import DELEGATE, Account, Configuration, Credentials, FaultTolerance, Version
from exchangelib.protocol import BaseProtocol
from exchangelib.version import EXCHANGE_2016

URL = os.environ["EWS_URL"]
ORIGIN = URL.rsplit("/EWS/", 1)[0]
BaseProtocol.TIMEOUT = 20
AUTHORITY = os.environ.get("EWS_AUTHORITY")
if AUTHORITY:

    class Trusting(requests.adapters.HTTPAdapter):
        """Trusts the authority that the server made."""

        def cert_verify(self, conn, url, verify, cert):
            super().cert_verify(conn=conn, url=url, verify=AUTHORITY, cert=cert)

    BaseProtocol.HTTP_ADAPTER_CLS = Trusting


def account(name, password="secret", access_type=DELEGATE, whose=None, retry=False, **more):
    """The mailbox of `whose` (their own, unless said otherwise) as `name` opens it."""
    config = Configuration(
        service_endpoint=URL,
        credentials=Credentials(f"{name}@example.test", password),
        retry_policy=FaultTolerance(max_wait=30) if retry else None,
        version=Version(build=EXCHANGE_2016),
        **more,
    )
    address = f"{whose or name}@example.test"
    return Account(primary_smtp_address=address, config=config, autodiscover=False, access_type=access_type)


def post(path, body=b"", method="POST"):
    request = urllib.request.Request(ORIGIN + path, data=body, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()


def moods(*rules):
    """Switches these faults on in place of those before."""
    post("/sim/moods", json.dumps(rules).encode(), "PUT")


def raises(kind, work):
    """Checks that `work` fails with an error of a kind, and gives it back."""
    try:
        work()
    except kind as error:
        return error
    raise AssertionError(f"{kind} was expected")
