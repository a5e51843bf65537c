"""From a request's head to the question that is judged, for other mail by HTTP.

None of these protocols names a device, so all devices of the user answer. Who the user is, credentials say and nothing
else, be they the request's or its connection's (``Speaker``): a cookie carries no name that could be trusted.
"""

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

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

_TOKEN_NAME = re.compile(rb"[ +]*access[_ .+\[]token", re.IGNORECASE)
"""RFC 6750 §2.3: some servers would believe it rather than Authorization. PHP takes a blank, a dot and a bracket within
a name for an underscore, and leaves out blanks before it."""
_BETWEEN_PARAMETERS = re.compile(rb"[&;?]")


class Speaker(NamedTuple):
    """For whom a request speaks whose login is its connection's (NTLM, Negotiate)."""

    credentials: Credentials | None
    """What tells apart the sessions of who has logged in and of who merely says so; None: it names nobody."""
    login: str | None
    """Canonical; None: nobody that could be judged."""
    authorization: bytes
    """What the mail server gets to read of it; empty: nothing, it knows the connection. In no representation."""

    def __repr__(self) -> str:
        return f"Speaker(credentials={self.credentials!r}, login={self.login!r})"


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
    speaker: Speaker | None = None,
) -> WebmailAsked | Answer:
    """What is asked, or the answer to a request that cannot be asked.

    ``judged``: under a verdict; ``certificate``: of the client's connection; ``speaker``: where that is logged in, or
    about to be.
    """
    if head.method not in METHODS[rule]:
        return refusals.method_not_allowed(rule)
    try:
        if b"destination" in head.named:
            check_destination(head.named[b"destination"], head.named[b"host"], places)
    except InvalidValue as error:
        return refusals.wrong_destination(_sentence(error))
    try:
        if speaker is not None:
            return _spoken(head, rule, client_address, certificate, speaker, judged=judged)
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
    action, fields = _forwarded(head, rule, client_address, judged=judged)
    authorization = head.named.get(b"authorization")
    if authorization is None:
        if judged and carries_token(head.query):
            return not_authenticated("mail")
        # Nobody was judged: nothing that might be taken for a log-in goes along.
        return WebmailAsked(rule, action, None, None, _without(b"cookie", fields) if judged else fields)
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
    return WebmailAsked(rule, action, credentials, _question(login, action, client_address, certificate), fields)


def _spoken(
    head: RequestHead,
    rule: Rule,
    client_address: str,
    certificate: CertificateShown | None,
    speaker: Speaker,
    *,
    judged: bool,
) -> WebmailAsked:
    """What is asked by a connection that somebody logs in on, or has logged in on. Raises ``InvalidValue``."""
    action, fields = _forwarded(head, rule, client_address, judged=judged)
    fields = _without(b"authorization", fields)
    if speaker.authorization:
        fields.append((b"Authorization", speaker.authorization))
    if not judged:
        return WebmailAsked(rule, action, speaker.credentials, None, fields)
    if carries_token(head.query):
        raise InvalidValue("a token in the URL beside credentials")
    if speaker.login is None:
        return WebmailAsked(rule, action, None, None, _without(b"cookie", fields))
    request = _question(speaker.login, action, client_address, certificate)
    return WebmailAsked(rule, action, speaker.credentials, request, fields)


def _forwarded(head: RequestHead, rule: Rule, client_address: str, *, judged: bool) -> tuple[str, list[Pair]]:
    """Rule and method, and the headers for the mail server. Raises ``InvalidValue``."""
    fields = to_upstream(rule, head.fields, judged=judged)
    fields.append((b"X-Forwarded-For", client_address.encode("ascii", "replace")))
    return f"{rule} {head.method.decode('ascii')}", fields


def _without(name: bytes, fields: list[Pair]) -> list[Pair]:
    return [each for each in fields if each[0].lower() != name]


def _question(login: str, action: str, client_address: str, certificate: CertificateShown | None) -> AccessRequest:
    strength = strength_of(certificate=certificate)
    return AccessRequest(login, "", Protocol.WEBMAIL, strength, action, "", client_address, certificate=certificate)


def carries_token(query: bytes | None) -> bool:
    """Whether a URL's query names a token that a server could believe."""
    pieces = (piece.partition(b"=")[0] for piece in _BETWEEN_PARAMETERS.split(query or b""))
    # Twice, for a server behind one that has done it.
    names = (unquote_to_bytes(unquote_to_bytes(name)) for name in pieces)
    # What is not to be read here, "%u0061", is a letter to ASP.NET.
    return any(_TOKEN_NAME.match(name) or b"%u" in name.lower() for name in names)
