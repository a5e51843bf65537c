"""From a request's head to the question that is judged, for other mail by HTTP.

None of these protocols names a device, so all devices of the user answer. Who the user is, credentials say and nothing
else: a cookie carries no name that could be trusted.
"""

import re
from typing import NamedTuple

from gateway.domain.access import AccessRequest, Protocol, strength_of
from gateway.domain.certificate import CertificateShown
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import IdentityRules
from gateway.domain.verdict import Verdict
from gateway.protocols.activesync.identify import login_of
from gateway.protocols.activesync.refusals import malformed, not_authenticated
from gateway.protocols.activesync.requests import Credentials, Unusable, read_authorization
from gateway.protocols.answer import Answer
from gateway.protocols.http.request_head import RequestHead
from gateway.protocols.http.writing import Pair
from gateway.protocols.webmail import refusals
from gateway.protocols.webmail.destination import check_destination
from gateway.protocols.webmail.headers import to_upstream
from gateway.protocols.webmail.paths import METHODS, Places, Rule
from gateway.protocols.wording import app_named

_TOKEN_IN_QUERY = re.compile(rb"(?:\A|[&;])access(?:_|%5f)token(?:=|\Z)", re.IGNORECASE)
"""RFC 6750 §2.3: some servers would believe it rather than Authorization."""


class WebmailAsked(NamedTuple):
    """What a request asks."""

    rule: Rule
    action: str
    """Rule and method."""
    credentials: Credentials | None
    request: AccessRequest | None
    """What is judged; None: nothing (no credentials, OPTIONS, or open without a verdict)."""
    fields: list[Pair] | None
    """Headers for the mail server; None once they are on their way."""

    def denied(self, verdict: Verdict) -> Answer:
        """The refusal in the rule's own form."""
        return refusals.deny(self.rule, app_named(verdict), verdict.note)


def identify(
    head: RequestHead,
    rule: Rule,
    places: Places,
    client_address: str,
    rules: IdentityRules,
    *,
    judged: bool,
    certificate: CertificateShown | None = None,
) -> WebmailAsked | Answer:
    """What is asked, or the answer to a request that cannot be asked.

    ``judged``: under a verdict; ``certificate``: of the client's connection.
    """
    if head.method not in METHODS[rule]:
        return refusals.method_not_allowed(rule)
    try:
        if b"destination" in head.named:
            check_destination(head.named[b"destination"], head.named[b"host"], places)
    except InvalidValue as error:
        return refusals.wrong_destination(_sentence(error))
    try:
        return _identified(head, rule, client_address, rules, certificate, judged=judged)
    except InvalidValue as error:
        return malformed(f"{_sentence(error)}.")


def _sentence(error: InvalidValue) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}"


def _identified(
    head: RequestHead,
    rule: Rule,
    client_address: str,
    rules: IdentityRules,
    certificate: CertificateShown | None,
    *,
    judged: bool,
) -> WebmailAsked | Answer:
    action = f"{rule} {head.method.decode('ascii')}"
    fields = to_upstream(rule, head.fields, judged=judged)
    fields.append((b"X-Forwarded-For", client_address.encode("ascii", "replace")))
    authorization = head.named.get(b"authorization")
    if authorization is None:
        if judged and carries_token(head.query):
            return not_authenticated("mail")
        # Nobody was judged: nothing that might be taken for a log-in goes along.
        kept = [each for each in fields if each[0].lower() != b"cookie"] if judged else fields
        return WebmailAsked(rule, action, None, None, kept)
    credentials = read_authorization(authorization)
    if isinstance(credentials, Unusable):
        # NTLM and Negotiate belong to a connection, and ours to the mail server are everybody's.
        return not_authenticated("mail")
    if not judged:
        return WebmailAsked(rule, action, credentials, None, fields)
    if carries_token(head.query):
        raise InvalidValue("a token in the URL beside credentials")
    if head.method == b"OPTIONS":
        # What the server can do is told truthfully, or clients give up the account.
        return WebmailAsked(rule, action, credentials, None, fields)
    login = login_of(credentials, rules)
    if login is None:
        return not_authenticated("mail")
    strength = strength_of(certificate=certificate)
    request = AccessRequest(login, "", Protocol.WEBMAIL, strength, action, "", client_address, certificate=certificate)
    return WebmailAsked(rule, action, credentials, request, fields)


def carries_token(query: bytes | None) -> bool:
    """Whether a URL's query names a token that a server could believe."""
    return _TOKEN_IN_QUERY.search(query or b"") is not None
