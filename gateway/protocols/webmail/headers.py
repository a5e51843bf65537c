"""Which headers pass between a client and the mail server, by allow-list in both directions, for each rule.

As with ActiveSync, front ends of mail servers believe many: whom a request is for, where it is to go, which method is
meant. What is not named here stays here. A cookie may stand for a log-in of somebody else than the credentials beside
it, so under a verdict none passes but those by which MAPI finds its session, which belongs to the user who made it
([MS-OXCMAPIHTTP]). Hop-by-hop headers, Content-Length, Host and X-Forwarded-For are the proxy's.
"""

import re
from collections.abc import Iterable
from enum import Enum
from typing import Final

from gateway.domain.errors import InvalidValue
from gateway.protocols.activesync.headers import usable_challenges
from gateway.protocols.connection_login import NEGOTIATE, NTLM, challenges
from gateway.protocols.http.writing import Pair
from gateway.protocols.webmail.paths import Rule

_SINGLE: Final = frozenset(
    (
        *(b"authorization", b"content-type", b"content-encoding", b"user-agent", b"soapaction"),
        *(b"depth", b"destination", b"overwrite", b"x-requesttype", b"x-requestid"),
    )
)
"""At most one each: servers differ in which of two they believe."""
_REQUEST_ALWAYS: Final = frozenset(
    (
        *(b"accept", b"accept-charset", b"accept-encoding", b"accept-language", b"authorization", b"cache-control"),
        *(b"content-encoding", b"content-language", b"content-type", b"if-match", b"if-modified-since"),
        *(b"if-none-match", b"if-range", b"if-unmodified-since", b"pragma", b"range", b"user-agent"),
        *(b"client-request-id", b"return-client-request-id"),
    )
)
_REQUEST: Final[dict[Rule, frozenset[bytes]]] = {
    Rule.EWS: frozenset((b"soapaction",)),
    Rule.MAPI: frozenset(
        (
            *(b"x-clientapplication", b"x-clientinfo", b"x-deviceinfo", b"x-mapihttpcapability", b"x-requestid"),
            *(b"x-requesttype", b"cookie"),
        )
    ),
    Rule.OWA: frozenset((b"action", b"cookie", b"origin", b"referer", b"x-requested-with")),
    Rule.DAV: frozenset(
        (
            *(b"brief", b"depth", b"destination", b"if", b"if-schedule-tag-match", b"overwrite", b"prefer"),
            *(b"schedule-reply",),
        )
    ),
    Rule.JMAP: frozenset((b"last-event-id",)),
}
_OWA_PREFIX: Final = b"x-owa-"
"""OWA has dozens of its own, the token against forged requests among them."""

_RESPONSE_ALWAYS: Final = frozenset(
    (
        *(b"accept-ranges", b"allow", b"cache-control", b"content-disposition", b"content-encoding"),
        *(b"content-language", b"content-range", b"content-type", b"date", b"etag", b"expires", b"last-modified"),
        *(b"location", b"pragma", b"retry-after", b"vary", b"www-authenticate", b"x-content-type-options"),
        *(b"request-id", b"client-request-id"),
    )
)
_RESPONSE: Final[dict[Rule, frozenset[bytes]]] = {
    Rule.EWS: frozenset(),
    Rule.MAPI: frozenset(
        (
            *(b"set-cookie", b"x-clientinfo", b"x-expirationinfo", b"x-pendingperiod", b"x-requestid"),
            *(b"x-requesttype", b"x-responsecode", b"x-serverapplication"),
        )
    ),
    Rule.OWA: frozenset(
        (
            b"content-security-policy",
            b"referrer-policy",
            b"set-cookie",
            b"strict-transport-security",
            b"x-frame-options",
        )
    ),
    Rule.DAV: frozenset((b"dav", b"ms-author-via", b"preference-applied", b"schedule-tag")),
    Rule.JMAP: frozenset(),
}

_MAPI_SESSION: Final = frozenset((b"mapicontext", b"mapisequence", b"mapirouting"))
_DIRECTING: Final = (b"x-beresource", b"x-anonresource")
"""Cookies by which Exchange's front end let itself be sent anywhere (CVE-2021-26855)."""
_ABSOLUTE = re.compile(rb"https?://([^/?#@\\]{1,300})(/.*)?\Z", re.IGNORECASE | re.DOTALL)


def to_upstream(rule: Rule, pairs: Iterable[Pair], *, judged: bool) -> list[Pair]:
    """The headers of a request that go to the mail server.

    ``judged``: under a verdict. Raises ``InvalidValue`` when a header that decides something is given twice.
    """
    allowed = _REQUEST_ALWAYS | _REQUEST[rule]
    passing: list[Pair] = []
    seen: set[bytes] = set()
    for name, value in pairs:
        folded = name.lower()
        if folded not in allowed and not (rule is Rule.OWA and folded.startswith(_OWA_PREFIX)):
            continue
        if folded in _SINGLE:
            if folded in seen:
                raise InvalidValue(f"the header {folded.decode('ascii')} is given twice")
            seen.add(folded)
        kept = _cookies(value, judged=judged) if folded == b"cookie" else value
        if kept or folded != b"cookie":
            passing.append((name, kept))
    return passing


def _cookies(value: bytes, *, judged: bool) -> bytes:
    pieces = [piece.strip() for piece in value.split(b";")]
    return b"; ".join(piece for piece in pieces if piece and _cookie_passes(piece, judged=judged))


def _cookie_passes(cookie: bytes, *, judged: bool) -> bool:
    name = cookie.partition(b"=")[0].strip().lower()
    return name in _MAPI_SESSION if judged else not name.startswith(_DIRECTING)


class Offer(Enum):
    """Which logins that are bound to a connection a client may be offered."""

    NONE = "none"
    NAMED = "named"
    """Those by which somebody is named who can be judged: NTLM; Negotiate, which may hide who it is, where there is no
    NTLM beside it."""
    NTLM = "ntlm"
    """The same, for who has just come by Negotiate and was hidden."""
    ALL = "all"


def offered(pairs: Iterable[Pair], offer: Offer) -> list[Pair]:
    """The challenges of an answer's that merely offer such a login, as far as they pass."""
    values = [value for name, value in pairs if name.lower() == b"www-authenticate"]
    there = dict.fromkeys(each.scheme for each in challenges(values) if not each.token)
    passing = {
        Offer.NONE: (),
        Offer.NAMED: (NTLM,) if NTLM in there else (NEGOTIATE,),
        Offer.NTLM: (NTLM,),
        Offer.ALL: (NEGOTIATE, NTLM),
    }[offer]
    return [(b"WWW-Authenticate", scheme) for scheme in there if scheme in passing]


def to_client(rule: Rule, pairs: Iterable[Pair], host: bytes, *, judged: bool) -> list[Pair]:
    """The headers of an answer that go to the client.

    Challenges bound to a connection are left out (``offered``), which may leave a 401 without any. ``Location`` becomes
    a path, and is left out where it leads to another host than ``host``, the request's own.
    """
    allowed = _RESPONSE_ALWAYS | _RESPONSE[rule]
    passing: list[Pair] = []
    for name, value in pairs:
        folded = name.lower()
        if folded in allowed or (rule is Rule.OWA and folded.startswith(_OWA_PREFIX)):
            told = _told(folded, value, host, judged=judged)
            if told:
                passing.append((name, told))
    return passing


def _told(name: bytes, value: bytes, host: bytes, *, judged: bool) -> bytes:
    if name == b"www-authenticate":
        return usable_challenges(value)
    if name == b"set-cookie":
        return value if _cookie_passes(value, judged=judged) else b""
    if name == b"location":
        return _location(value, host)
    return value


def _location(value: bytes, host: bytes) -> bytes:
    """Without scheme and host: the mail server may believe that it is reached without TLS."""
    found = _ABSOLUTE.match(value)
    if found is None:
        # ``//host`` and ``/\host`` lead to another host as well (WHATWG URL).
        return value if re.match(rb"/(?![/\\])", value) else b""
    own = host.lower().partition(b":")[0] if not host.startswith(b"[") else host.lower()
    named = found[1].lower()
    if named not in (host.lower(), own, own + b":80", own + b":443"):
        return b""
    path: bytes = found[2] or b"/"
    return path if re.match(rb"/(?![/\\])", path) else b""
