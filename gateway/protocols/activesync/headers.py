"""Which headers pass between phone and back end, by allow-list in both directions (names are compared without case).

Phones have few headers ([MS-ASHTTP] 2.2.1.1.2, 2.2.2.1.2), front ends of mail servers believe many: whom a request is
for, where it is to go, who asked. So what is not named here stays here, and so do the back end's own names. Hop-by-hop
headers, Content-Length, Host, Date and X-Forwarded-For are the proxy's.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from gateway.domain.errors import InvalidValue
from gateway.protocols.activesync.commands import Command
from gateway.protocols.activesync.requests import Mount, published_at
from gateway.protocols.activesync.versions import HEADER_VALUES

Pair = tuple[bytes, bytes]

_SINGLE = frozenset(
    (
        b"authorization",
        b"content-type",
        b"ms-asprotocolversion",
        b"ms-asacceptmultipart",
        b"x-ms-policykey",
        b"user-agent",
    )
)
"""At most one each: servers differ in which of two they believe."""
REQUEST_HEADERS: Final = _SINGLE | frozenset(
    (
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"cookie",  # 16.x and token clients must return what they got ([MS-ASHTTP] 2.2.1.1.2.4)
        b"client-request-id",
        b"return-client-request-id",
    )
)
"""What a phone's request may carry to the back end."""

OPTIONS_HEADERS: Final = frozenset(
    (b"ms-asprotocolversions", b"ms-asprotocolcommands", b"ms-server-activesync", b"allow", b"public")
)
"""What an answer to OPTIONS is about ([MS-ASHTTP] 2.2.4.1.2); a refused phone is told it truthfully as well."""
RESPONSE_HEADERS: Final = OPTIONS_HEADERS | frozenset(
    (
        b"content-type",
        b"content-encoding",
        b"cache-control",
        b"expires",
        b"pragma",
        b"vary",
        b"set-cookie",
        b"retry-after",
        b"www-authenticate",
        b"x-ms-rp",
        b"x-ms-location",
        b"x-ms-asthrottle",
        b"x-ms-credentials-expire",
        b"x-ms-credential-service-url",
        b"request-id",
        b"client-request-id",
    )
)
"""What an answer may carry to the phone; ``Location`` is not among it: no redirect leads round the gateway."""

ALTERED: Final = frozenset(
    (b"ms-asprotocolversions", b"x-ms-rp", b"ms-asprotocolcommands", b"www-authenticate", b"x-ms-location")
)
"""Those among them that do not pass as they came."""

_COMMAND_NAMES = frozenset(command.value.encode() for command in Command if command is not Command.OPTIONS)
# A quoted text that does not end ends with the value, so that the expression never goes back over it.
_CHALLENGE_PIECES = re.compile(rb'(?:[^",]++|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z))++', re.DOTALL)
_PARAMETER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*=")
_USABLE_SCHEMES = frozenset((b"basic", b"bearer"))


def to_upstream(pairs: Iterable[Pair], *, readable: bool = False) -> list[Pair]:
    """The headers of a request that go to the back end.

    ``readable``: its answer will be read here, so no coding is accepted for it. Raises ``InvalidValue`` when a header
    that decides something is given twice.
    """
    passing: list[Pair] = []
    seen: set[bytes] = set()
    for name, value in pairs:
        folded = name.lower()
        if folded not in REQUEST_HEADERS or (readable and folded == b"accept-encoding"):
            continue
        if folded in _SINGLE:
            if folded in seen:
                raise InvalidValue(f"the header {folded.decode('ascii')} is given twice")
            seen.add(folded)
        passing.append((name, value))
    return passing


def to_client(pairs: Iterable[Pair], public_url: str) -> list[Pair]:
    """The headers of the back end's answer that go to the phone.

    Versions and commands are those that the back end offers and this gateway understands; challenges bound to a
    connection are left out, which may leave a 401 without any; ``X-MS-Location`` (451) names our own address, or
    nothing when ``public_url`` is empty.
    """
    passing: list[Pair] = []
    for name, value in pairs:
        folded = name.lower()
        if folded in RESPONSE_HEADERS:
            told = _told(folded, value, public_url)
            if told:
                passing.append((name, told))
    return passing


def _told(name: bytes, value: bytes, public_url: str) -> bytes:
    if name in (b"ms-asprotocolversions", b"x-ms-rp"):
        return _known(value, HEADER_VALUES)
    if name == b"ms-asprotocolcommands":
        return _known(value, _COMMAND_NAMES)
    if name == b"www-authenticate":
        return usable_challenges(value)
    if name == b"x-ms-location":
        return published_at(Mount.EAS, public_url).encode("ascii") if public_url else b""
    return value


def _known(value: bytes, understood: Iterable[bytes]) -> bytes:
    return b",".join(piece for piece in (each.strip() for each in value.split(b",")) if piece in understood)


def usable_challenges(value: bytes) -> bytes:
    """``WWW-Authenticate`` without the schemes that authenticate a connection (NTLM, Negotiate) or are unknown.

    One value may hold several challenges (RFC 9110 §11.6.1): a piece between commas begins one unless it is a
    parameter, ``name=value``.
    """
    kept: list[bytes] = []
    keeping = False
    for piece in challenges_in(value):
        if not _PARAMETER.match(piece):
            keeping = piece.split(b" ", 1)[0].lower() in _USABLE_SCHEMES
        if keeping:
            kept.append(piece)
    return b", ".join(kept)


def challenges_in(value: bytes) -> Iterator[bytes]:
    """The pieces between the commas of a ``WWW-Authenticate``: a challenge's beginning, or a further parameter."""
    for found in _CHALLENGE_PIECES.finditer(value):
        piece = found[0].strip(b" \t")
        if piece:
            yield piece
