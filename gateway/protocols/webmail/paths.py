"""Which rule a path falls under, if any.

A path is looked at once, as it was received, and goes on as it was received: so whatever another server might read in
another way (dot segments, doubled or escaped slashes, parameters behind ``;``, escapes of escapes, what Unicode or
Windows makes equal to those) is no path here. The names by which Exchange is reached count in any case, as with IIS;
all others as they are written.
"""

import re
import unicodedata
from collections.abc import Iterable
from enum import Enum, StrEnum
from typing import Final
from urllib.parse import unquote_to_bytes

PATH_LONGEST: Final = 4096
"""Octets."""

_PLAIN = re.compile(rb"(?:/(?:[A-Za-z0-9._~!$&'()*+,=:@-]|%[0-9A-Fa-f]{2})*+)++\Z")
"""RFC 3986 §3.3 without ``;``."""
_SUSPECT = re.compile(r"[/\\;\x00-\x1f\x7f-\x9f]|%[0-9A-Fa-f]{2}")


class Rule(StrEnum):
    """What can be opened."""

    EWS = "ews"
    MAPI = "mapi"
    OWA = "owa"
    DAV = "dav"
    JMAP = "jmap"


class Discovery(Enum):
    """A place that says where another one is."""

    DAV = "dav"
    """RFC 6764 §5."""


METHODS: Final[dict[Rule, frozenset[bytes]]] = {
    Rule.EWS: frozenset((b"GET", b"POST")),
    Rule.MAPI: frozenset((b"GET", b"HEAD", b"POST")),
    Rule.OWA: frozenset((b"GET", b"HEAD", b"POST")),
    Rule.DAV: frozenset(
        (
            *(b"OPTIONS", b"GET", b"HEAD", b"PUT", b"DELETE", b"POST", b"PROPFIND", b"PROPPATCH", b"REPORT"),
            *(b"MKCOL", b"MKCALENDAR", b"COPY", b"MOVE"),
        )
    ),
    Rule.JMAP: frozenset((b"GET", b"POST")),
}
"""No LOCK, which no client of calendars needs, and no ACL: what a person's devices may do is not to be passed on."""

_EXACT: Final[dict[bytes, Rule]] = {
    b"/ews/exchange.asmx": Rule.EWS,
    b"/ews/services.wsdl": Rule.EWS,
    b"/ews/messages.xsd": Rule.EWS,
    b"/ews/types.xsd": Rule.EWS,
    b"/mapi/emsmdb": Rule.MAPI,
    b"/mapi/emsmdb/": Rule.MAPI,
    b"/mapi/nspi": Rule.MAPI,
    b"/mapi/nspi/": Rule.MAPI,
}
_UNDER: Final = ((b"/owa", Rule.OWA), (b"/oab", Rule.MAPI))
_WELL_KNOWN: Final[dict[bytes, Rule | Discovery]] = {
    b"/.well-known/caldav": Discovery.DAV,
    b"/.well-known/carddav": Discovery.DAV,
    b"/.well-known/jmap": Rule.JMAP,
}


class Places:
    """What leads where: Exchange's own paths, and those of the DAV and JMAP servers behind this gateway."""

    def __init__(self, dav_paths: Iterable[str], jmap_paths: Iterable[str]) -> None:
        """Paths without a slash at their end, like ``/SOGo/dav``."""
        self._mounts = [(path.encode(), Rule.DAV) for path in dav_paths]
        self._mounts += [(path.encode(), Rule.JMAP) for path in jmap_paths]

    def of(self, path: bytes) -> Rule | Discovery | None:
        """What ``path`` (as received, without the query) leads to; None: nothing is served there."""
        if not is_plain(path):
            return None
        folded = path.lower()
        found = _EXACT.get(folded) or _WELL_KNOWN.get(path.removesuffix(b"/"))
        if found is not None:
            return found
        return _first(folded, _UNDER) or _first(path, self._mounts)


def _first(path: bytes, mounts: Iterable[tuple[bytes, Rule]]) -> Rule | None:
    return next((rule for mount, rule in mounts if path == mount or path.startswith(mount + b"/")), None)


def is_plain(path: bytes) -> bool:
    """Whether every server reads the path alike. A slash may end it."""
    if len(path) > PATH_LONGEST or not _PLAIN.match(path):
        return False
    segments = path[1:].split(b"/")
    return all(map(_is_plain_segment, segments[:-1])) and (not segments[-1] or _is_plain_segment(segments[-1]))


def _is_plain_segment(segment: bytes) -> bool:
    try:
        text = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        return False
    # Windows drops dots and blanks at the end of a name, so "... " is a way up as well.
    return bool(text) and text == text.rstrip(". ") and not any(map(_SUSPECT.search, {text, _made_equal(text)}))


def _made_equal(text: str) -> str:
    """What Unicode takes for the same: a full-width solidus for a slash."""
    equal = unicodedata.normalize("NFKC", text)
    # A name of nothing but look-alikes of dots.
    return equal if equal.strip(". ") else "/"
