"""Paths of other mail by HTTP: whatever we serve leads to the same place for a server that decodes more than we do.

The other reader takes a path as the most lenient of servers would: it undoes escapes as often as there are any, takes
backslashes and what Unicode makes equal for slashes, drops parameters, blanks and dots at the ends of names, goes up
where a path goes up, and knows no case. A path that we serve must end there where it ends for us.
"""

import unicodedata
from random import Random
from urllib.parse import unquote_to_bytes

from gateway.protocols.webmail.paths import Discovery, Places, Rule, is_plain
from tests.fuzz.judging import ACCEPTED, REFUSED, Target, hold, same

DAV, JMAP = ("/SOGo/dav", "/caldav"), ("/jmap",)
PLACES = Places(DAV, JMAP)
Place = Rule | Discovery | None
_EXACT: dict[tuple[str, ...], Place] = {
    **{("ews", name): Rule.EWS for name in ("exchange.asmx", "services.wsdl", "messages.xsd", "types.xsd")},
    **{("mapi", name): Rule.MAPI for name in ("emsmdb", "nspi")},
    (".well-known", "caldav"): Discovery.DAV,
    (".well-known", "carddav"): Discovery.DAV,
    (".well-known", "jmap"): Rule.JMAP,
}
_UNDER: tuple[tuple[tuple[str, ...], Rule], ...] = (
    (("owa",), Rule.OWA),
    (("oab",), Rule.MAPI),
    (("sogo", "dav"), Rule.DAV),
    (("caldav",), Rule.DAV),
    (("jmap",), Rule.JMAP),
)


def _decoded(path: bytes) -> str:
    while (further := unquote_to_bytes(path)) != path:
        path = further
    return unicodedata.normalize("NFKC", path.decode("utf-8", "replace"))


def by_the_most_lenient(path: bytes) -> Place:
    """Where such a server would look."""
    names: list[str] = []
    for piece in _decoded(path).replace("\\", "/").split("/"):
        name = piece.partition(";")[0]
        if name in ("", "."):
            continue
        if not name.strip(". "):
            del names[-1:]
            continue
        names.append(name.rstrip(". ").casefold())
    found = _EXACT.get(tuple(names))
    return found or next((rule for start, rule in _UNDER if tuple(names[: len(start)]) == start), None)


def check(octets: bytes) -> str:
    """See the module."""
    ours, theirs = PLACES.of(octets), by_the_most_lenient(octets)
    if ours is None:
        return REFUSED if theirs is None else "stricter: place"
    same("where it leads", ours, theirs)
    hold("only plain paths are served", is_plain(octets))
    hold("nothing goes up", b".." not in [segment.strip() for segment in octets.split(b"/")])
    return ACCEPTED


_STARTS = (
    *(b"/EWS/Exchange.asmx", b"/ews/types.xsd", b"/mapi/emsmdb", b"/MAPI/nspi/", b"/OAB/0a/oab.xml", b"/owa/", b"/owa"),
    *(b"/SOGo/dav/anna/Calendar/", b"/caldav", b"/jmap/", b"/jmap/eventsource", b"/.well-known/caldav"),
    *(b"/.well-known/jmap/", b"/sogo/dav/x", b"/ecp/", b"/PowerShell", b"/Microsoft-Server-ActiveSync", b"/", b"/SOGo"),
)
_PIECES = (
    *(b"..", b".", b"%2e%2e", b"%2E.", b"%252e%252e", b"...", b".. ", b"%20", b"%00", b";x=y", b"%3b", b"\\", b"%5c"),
    *(
        b"%2f",
        b"%252f",
        b"//",
        b"\xef\xbc\x8f",
        b"%ef%bc%8f",
        b"%ef%bc%8e%ef%bc%8e",
        b"%e2%80%a5",
        b"%c0%af",
        b"%u002f",
    ),
    *(b"anna", b"Calendar", b"ecp", b"EWS", b"Exchange.asmx", b"%41", b"%c3%bc", b"a b", b"?x", b"#x", b"%", b"%zz"),
    *(b"%ff", b"%c5%bf", b"\xe2\x84\xaa", b"%2"),
)


def grow(random: Random) -> bytes:
    """A path that is served, mostly, with something behind or within it."""
    path = random.choice(_STARTS)
    while random.random() < 0.6:
        piece = random.choice(_PIECES)
        kind = random.random()
        if kind < 0.5:
            path += random.choice((b"/", b"")) + piece
        elif kind < 0.8:
            at = random.randrange(len(path) + 1)
            path = path[:at] + piece + path[at:]
        else:
            path = piece + path
    return path


TARGET = Target("places", "paths of other mail by HTTP with the most lenient of servers", check, grow, _PIECES, 512)
