"""What stands in a request's head beside the query: where it goes, who sends it, which version it speaks.

Paths are an allow-list compared with the octets received: anything that another server might take for the same place
(``/SOGo/Microsoft-Server-ActiveSync``, ``/default.eas``, doubled slashes, percent signs) is no place here. Credentials
are read for the user name and otherwise handed on as they came.
"""

import binascii
import re
from base64 import b64decode
from enum import Enum, StrEnum
from typing import Final, NamedTuple

from gateway.protocols.activesync.query import EasQuery
from gateway.protocols.activesync.versions import Version, agreed_version

AUTHORIZATION_LONGEST: Final = 16 << 10
"""Octets of the whole value; tokens that carry groups reach 8 KiB."""

_SCHEME = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32})(?: +(.*))?\Z", re.DOTALL)
_TOKEN68 = re.compile(rb"[A-Za-z0-9._~+/-]+=*\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONNECTION_BOUND = frozenset((b"ntlm", b"negotiate", b"kerberos"))


class Mount(Enum):
    """The places that are served."""

    EAS = "eas"
    AUTODISCOVER_V1 = "autodiscover v1"
    AUTODISCOVER_V2 = "autodiscover v2"


_EXACT: dict[bytes, Mount] = {
    b"/microsoft-server-activesync": Mount.EAS,
    b"/autodiscover/autodiscover.xml": Mount.AUTODISCOVER_V1,
    b"/autodiscover/autodiscover.json": Mount.AUTODISCOVER_V2,
    b"/autodiscover/autodiscover.json/v1.0": Mount.AUTODISCOVER_V2,
    b"/autodiscover/autodiscover.json/v1.0/": Mount.AUTODISCOVER_V2,
}
_V2_ADDRESS = re.compile(
    rb"/autodiscover/autodiscover\.json/v1\.0/[a-z0-9._+'-]{1,64}(?:@|%40)[a-z0-9.-]{1,255}\Z", re.IGNORECASE
)


def mount_of(path: bytes) -> Mount | None:
    """What ``path`` (as received, without the query) leads to; None: nothing is served there.

    Case does not count, as with IIS; every other octet does. The mail address in a path of Autodiscover v2 is
    accepted and never used.
    """
    found = _EXACT.get(path.lower())
    if found is None and _V2_ADDRESS.match(path):
        return Mount.AUTODISCOVER_V2
    return found


_PUBLISHED: dict[Mount, str] = {
    Mount.EAS: "/Microsoft-Server-ActiveSync",
    Mount.AUTODISCOVER_V1: "/autodiscover/autodiscover.xml",
    Mount.AUTODISCOVER_V2: "/autodiscover/autodiscover.json",
}


def published_at(mount: Mount, public_url: str) -> str:
    """The address of ``mount`` that phones are told, ``public_url`` being scheme and host (``https://mail.example``)."""
    return public_url.rstrip("/") + _PUBLISHED[mount]


class Credentials(NamedTuple):
    """Credentials that one request carries whole. A named tuple because one is made per request."""

    scheme: str
    """``basic`` or ``bearer``; ``connection`` for those that are a connection's (``protocols/connection_login.py``)."""
    user: str
    """As written, not canonical; empty for bearer: a token's owner counts only once the upstream accepted it."""
    raw: bytes
    """The whole value of ``Authorization``; in no representation."""

    def __repr__(self) -> str:
        return f"Credentials(scheme={self.scheme!r}, user={self.user!r})"

    @property
    def token(self) -> bytes:
        """What stands behind the scheme: the token, or name and password in base64."""
        return self.raw.split(b" ", 1)[1].strip(b" ")


class Unusable(StrEnum):
    """Why credentials cannot be used here; the answer is 401 with the schemes that can."""

    CONNECTION_BOUND = "connection_bound"
    """NTLM, Negotiate: they authenticate a connection, and ours to the upstream are shared."""
    UNKNOWN_SCHEME = "unknown_scheme"
    MALFORMED = "malformed"


def read_authorization(value: bytes) -> Credentials | Unusable:
    """Whose credentials ``Authorization`` holds (RFC 9110 §11.6.2). Never raises; the caller deals with its absence."""
    if len(value) > AUTHORIZATION_LONGEST:
        return Unusable.MALFORMED
    parts = _SCHEME.match(value)
    if parts is None:
        return Unusable.MALFORMED
    scheme, rest = parts[1].lower(), (parts[2] or b"").rstrip(b" ")
    if scheme in _CONNECTION_BOUND:
        return Unusable.CONNECTION_BOUND
    if scheme == b"basic":
        return _basic(rest, value)
    if scheme == b"bearer":
        return Credentials("bearer", "", value) if _TOKEN68.match(rest) else Unusable.MALFORMED
    return Unusable.UNKNOWN_SCHEME


def _basic(rest: bytes, value: bytes) -> Credentials | Unusable:
    try:
        user, colon, _ = b64decode(rest, validate=True).partition(b":")
    except binascii.Error:
        return Unusable.MALFORMED
    name = _decoded(user)
    if not colon or not name or _CONTROL.search(name):
        return Unusable.MALFORMED
    return Credentials("basic", name, value)


def _decoded(user: bytes) -> str:
    """UTF-8, which our challenge asks for (RFC 7617 §2.1), else the Latin-1 of older clients."""
    try:
        return user.decode("utf-8")
    except UnicodeDecodeError:
        return user.decode("latin-1")


def effective_version(query: EasQuery, header: bytes | None) -> Version | None:
    """The version a request speaks, by the base64 query's octet or ``MS-ASProtocolVersion``; None: it names none.

    Raises ``InvalidValue`` for a version out of range, or two that differ.
    """
    return agreed_version(header, query.protocol_version)
