"""Logging in with NTLM, over plain connections and over TLS; Autodiscover."""

import requests
from exchangelib import NTLM, Message
from exchangelib.autodiscover.protocol import AutodiscoverProtocol
from exchangelib.configuration import Configuration
from exchangelib.credentials import Credentials
from exchangelib.errors import UnauthorizedError
from requests_ntlm import HttpNtlmAuth

from sim import AUTHORITY, ORIGIN, URL, account, moods, raises

# With the client's own NTLM: integrity codes, and bindings to the channel where there is TLS.
ann = account("ann", auth_type=NTLM)
Message(account=ann, folder=ann.sent, subject="By NTLM", to_recipients=["ann@example.test"]).send()
assert ann.inbox.filter(subject="By NTLM").count() == 1
raises(UnauthorizedError, lambda: account("ann", "wrong", auth_type=NTLM).inbox.refresh())

# The connection is known, not the request.
with requests.Session() as session:
    session.verify, session.trust_env = AUTHORITY or True, False
    session.auth = HttpNtlmAuth("EXAMPLE\\ann", "secret")
    assert session.get(URL).status_code == 200
    session.auth = None
    assert session.get(URL).status_code == 200
with requests.Session() as session:
    session.verify, session.trust_env = AUTHORITY or True, False
    answer = session.get(URL)
    assert answer.status_code == 401 and "NTLM" in answer.headers["WWW-Authenticate"]
    session.auth = HttpNtlmAuth("ann@example.test", "secret")
    assert session.get(URL).status_code == 200
    session.auth = HttpNtlmAuth("bob", "secrets")
    assert requests.get(URL, auth=session.auth, verify=session.verify).status_code == 401

# Autodiscover, both dialects.
config = Configuration(service_endpoint=f"{ORIGIN}/autodiscover/autodiscover.svc", credentials=Credentials("ann@example.test", "secret"))
found = AutodiscoverProtocol(config=config).get_user_settings("bob@example.test")
assert found.autodiscover_smtp_address == "bob@example.test" and found.ews_url == URL, found
plain = (
    '<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"><Request>'
    "<EMailAddress>{}</EMailAddress><AcceptableResponseSchema>"
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema>"
    "</Request></Autodiscover>"
)


def ask(address):
    auth = ("ann@example.test", "secret")
    return requests.post(f"{ORIGIN}/autodiscover/autodiscover.xml", plain.format(address), auth=auth, verify=AUTHORITY or True).text


assert f"<EwsUrl>{URL}</EwsUrl>" in ask("bob@example.test")
assert "<ErrorCode>500</ErrorCode>" in ask("nobody@example.test")
if not AUTHORITY:
    moods({"mood": "redirect_loop"})
    assert "<RedirectUrl>" in ask("ann@example.test")
    assert AutodiscoverProtocol(config=config).get_user_settings("ann@example.test").redirect_url
print("ok")
