"""What a client asked of an HTTP proxy that asks us: nginx, Caddy, Traefik, Envoy.

Each kind of asker says it under names of its own, and only these are read: a client can send any other header itself.
From there on an ActiveSync request is understood by the very reader that serves phones inline. Whatever is not
ActiveSync or Autodiscover is the person's mail by another HTTP protocol, judged by all devices of the person.
"""

import re
from enum import Enum
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from gateway.domain.access import AccessRequest, Protocol, strength_of
from gateway.domain.certificate import CertificateShown
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import IdentityRules
from gateway.domain.shown import WRONG_LOGINS
from gateway.domain.verdict import Effect, Verdict
from gateway.protocols.activesync import refusals
from gateway.protocols.activesync.commands import Command
from gateway.protocols.activesync.identify import identify, login_of
from gateway.protocols.activesync.requests import Mount, Unusable, mount_of, read_authorization
from gateway.protocols.activesync.versions import Version
from gateway.protocols.answer import Answer
from gateway.protocols.http.request_head import RequestHead
from gateway.protocols.webmail.identify import carries_token
from gateway.protocols.webmail.paths import is_plain

_METHOD = re.compile(rb"[A-Z]{3,20}\Z")
_TARGET = re.compile(rb"/[!-~]*\Z")
_ADDRESS = re.compile(rb"[0-9A-Fa-f:.]{2,45}\Z")
_DISGUISES: Final = (b"microsoft-server-activesync", b"default.eas")
_OTHER_METHODS: Final = frozenset((b"x-http-method-override", b"x-http-method", b"x-method-override"))
"""By which some servers run another method than the request's: inline they stay here, and an asker passes them on."""


class Misconfigured(InvalidValue):
    """The asker does not say what it must say; the text names the header, for whoever configures it."""


class Names(NamedTuple):
    """The headers in which an asker says what its client asked; in lower case."""

    method: bytes
    uri: bytes
    address: bytes
    """Of a list of addresses the last one is the asker's own word."""


class Kind(Enum):
    """The two customs there are."""

    NGINX = Names(b"x-original-method", b"x-original-uri", b"x-client-ip")
    FORWARDED = Names(b"x-forwarded-method", b"x-forwarded-uri", b"x-forwarded-for")


class ClientQuestion(NamedTuple):
    """What is judged."""

    request: AccessRequest | None
    """None: let through unjudged: OPTIONS, Autodiscover, and what has no credentials (the mail server answers 401)."""
    command: Command | None = None
    """ActiveSync's; None: another path."""
    version: Version | None = None


def client_head(head: RequestHead, kind: Kind) -> tuple[RequestHead, str]:
    """The head of the client's own request, and its address (empty: not said).

    Raises ``Misconfigured`` where the asker leaves out or repeats what it must say, and ``InvalidValue`` for a method
    or target that is none.
    """
    names = kind.value
    return as_asked(head, _said_once(head, names.method), _said_once(head, names.uri)), _address(head, names.address)


def client_head_behind(prefix: bytes, head: RequestHead) -> tuple[RequestHead, str]:
    """The same for an asker that puts ``prefix`` before the client's own path, and uses its method (Envoy)."""
    path = head.path.removeprefix(prefix)
    target = path if head.query is None else path + b"?" + head.query
    return as_asked(head, head.method, target), _address(head, b"x-forwarded-for")


def client_head_in_query(head: RequestHead) -> RequestHead:
    """The same for a question that has the client's whole URL in its own query, ``url=…`` (Traefik's error pages).

    Raises ``Misconfigured`` and ``InvalidValue``.
    """
    name, _, value = (head.query or b"").partition(b"=")
    if name != b"url" or not value:
        raise Misconfigured("the query is not url={url}: take it over from the example configuration")
    behind_scheme = unquote_to_bytes(value.replace(b"+", b" ")).partition(b"://")[2]
    return as_asked(head, b"POST", b"/" + behind_scheme.partition(b"/")[2])


def as_asked(head: RequestHead, method: bytes, target: bytes) -> RequestHead:
    """``head`` with the client's own method and target. Raises ``InvalidValue``."""
    if not _METHOD.match(method) or not _TARGET.match(target):
        raise InvalidValue("the request has no proper method or path")
    path, mark, query = target.partition(b"?")
    return head._replace(method=method, path=path, query=query if mark else None)


def _said_once(head: RequestHead, name: bytes) -> bytes:
    said = [value for field, value in head.fields if field.lower() == name]
    if len(said) != 1 or not said[0]:
        found = "is missing" if not said or not said[0] else "comes more than once"
        raise Misconfigured(f"the header {name.decode()} {found}: take it over from the example configuration")
    return said[0]


def _address(head: RequestHead, name: bytes) -> str:
    """For the log only, so an odd one is left out."""
    lines = [value for field, value in head.fields if field.lower() == name]
    last = b",".join(lines).rpartition(b",")[2].strip()
    return last.decode("ascii") if _ADDRESS.match(last) else ""


def question(
    head: RequestHead, client_address: str, rules: IdentityRules, certificate: CertificateShown | None = None
) -> ClientQuestion | Answer:
    """What the client's own ``head`` asks, or the answer to a request that cannot be asked. Never raises.

    ``certificate``: what the client has shown to the asker, verified.
    """
    mount = mount_of(head.path)
    # Many servers make one name of hyphens and underscores (RFC 3875 §4.1.18).
    if any(name.replace(b"_", b"-") in _OTHER_METHODS for name in head.named):
        return refusals.malformed()
    if mount is Mount.EAS:
        return _activesync(head, client_address, rules, certificate)
    if mount is not None:
        return ClientQuestion(None)
    if _is_disguised(head.path) or not is_plain(head.path):
        return refusals.no_such_path()
    if carries_token(head.query):
        return refusals.malformed()
    try:
        return _webmail(head, client_address, rules, certificate)
    except InvalidValue:
        return refusals.not_authenticated("mail")


def _activesync(
    head: RequestHead, client_address: str, rules: IdentityRules, certificate: CertificateShown | None
) -> ClientQuestion | Answer:
    asked = identify(head, client_address, rules, certificate)
    if isinstance(asked, Answer):
        return asked
    unproved = asked.credentials is None and asked.query.command is not Command.OPTIONS
    if unproved and b"cookie" in head.named:
        # A front end of the mail server might take it for a log-in; inline it would be left out.
        return refusals.not_authenticated("mail")
    return ClientQuestion(asked.request, asked.query.command, asked.version)


def _is_disguised(path: bytes) -> bool:
    """Whether a server that decodes or merges what we do not could take ``path`` for ActiveSync's."""
    decoded = unquote_to_bytes(unquote_to_bytes(path)).lower()
    return any(disguise in decoded for disguise in _DISGUISES)


def _webmail(
    head: RequestHead, client_address: str, rules: IdentityRules, certificate: CertificateShown | None
) -> ClientQuestion | Answer:
    """Raises ``InvalidValue`` for a login that is none."""
    authorization = head.named.get(b"authorization")
    if authorization is None:
        return refusals.not_authenticated("mail") if b"cookie" in head.named else ClientQuestion(None)
    credentials = read_authorization(authorization)
    login = None if isinstance(credentials, Unusable) else login_of(credentials, rules)
    if login is None:
        return refusals.not_authenticated("mail")
    if head.method == b"OPTIONS":
        # What the server can do is told truthfully, or clients give up the account.
        return ClientQuestion(None)
    action = head.method.decode("ascii")
    return ClientQuestion(
        AccessRequest(
            login,
            "",
            Protocol.WEBMAIL,
            strength_of(certificate=certificate),
            action,
            client_address=client_address,
            certificate=certificate,
        )
    )


def refusal(asked: ClientQuestion, verdict: Verdict, retry_after_seconds: int) -> Answer:
    """What the client is told in its own dialect where the verdict is not ALLOW.

    Without a word of what was found: its credentials are not proved yet, so it may be anybody who knows a name.
    """
    if verdict.effect is Effect.DEFER:
        return refusals.defer(retry_after_seconds)
    if verdict.reason in WRONG_LOGINS:
        return refusals.not_authenticated("mail")
    return refusals.forbidden() if asked.command is None else refusals.deny(asked.command, asked.version)
