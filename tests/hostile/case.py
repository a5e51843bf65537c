"""One hostile request: its octets, what they try, where that is published, and all that may come of it.

``gets`` are the statuses that the client receives, in order; its last word says what becomes of the connection when it
does not simply stay: ``close``. ``waits`` means that the gateway wants more octets: the deadline passes, and what
follows it happens then. Whatever is behind the octets on a connection that stays must be answered as if nothing had
been before it; ``behind`` says otherwise where the octets are not whole and take from what follows.
"""

import base64
from dataclasses import dataclass
from typing import Final

TARGET: Final = b"/Microsoft-Server-ActiveSync?Cmd=Sync&User=%b&DeviceId=PHONE1&DeviceType=Android"
SYNC: Final = bytes.fromhex("03016a00455c4f4b033000015203350001010101")
"""Sync, key 0, folder 5 ([MS-ASCMD] 2.2.1.21)."""
VICTIM: Final = b"boss"
"""Whose mail a smuggled request asks for."""


@dataclass(frozen=True, slots=True)
class Case:
    """See the module."""

    name: str
    tries: str
    published: str
    octets: bytes
    gets: str
    bodies: tuple[bytes, ...]
    """Of the requests that reach the mail server, in order; each is anna's Sync."""
    target: bytes = b""
    """At which they reach it; empty: as the phone wrote it."""
    behind: str = ""
    """What is answered when another request follows at once; empty: ``gets``, then that request's answer."""
    bodies_behind: tuple[bytes, ...] = ()


def case(
    name: str,
    tries: str,
    published: str,
    octets: bytes,
    gets: str,
    *bodies: bytes,
    target: bytes = b"",
    behind: str = "",
    bodies_behind: tuple[bytes, ...] = (),
) -> Case:
    """A case; unless told otherwise each 200 is the mail server's answer to a Sync with the usual body."""
    reached = bodies or (SYNC,) * gets.split().count("200")
    return Case(name, tries, published, octets, gets, reached, target, behind, bodies_behind)


def credentials(user: bytes = b"anna") -> bytes:
    """The line that logs somebody in."""
    return b"Authorization: Basic " + base64.b64encode(user + b":secret")


def line(method: bytes = b"POST", target: bytes = b"", version: bytes = b"HTTP/1.1", user: bytes = b"anna") -> bytes:
    """A request line; the target is anna's Sync."""
    return b" ".join((method, target or TARGET % user, version))


def usual_lines(user: bytes = b"anna") -> list[bytes]:
    """The header lines of a phone's request, all but those that frame its body."""
    return [
        b"Host: mail.example",
        credentials(user),
        b"MS-ASProtocolVersion: 14.1",
        b"X-MS-PolicyKey: 3942919513",
        b"Connection: keep-alive",
        b"User-Agent: Android-Mail/2026.10",
        b"Accept: */*",
        b"Content-Type: application/vnd.ms-sync.wbxml",
    ]


def framed(
    *framing: bytes, body: bytes = SYNC, first: bytes = b"", without: bytes = b"", end: bytes = b"\r\n"
) -> bytes:
    """A phone's request with these lines in place of its Content-Length.

    ``without`` leaves out the lines that begin so; ``end`` ends every line.
    """
    lines = [each for each in usual_lines() if not without or not each.lower().startswith(without.lower())]
    return end.join([first or line(), *lines, *framing, b"", b""]) + body


def usual(*more: bytes, body: bytes = SYNC, first: bytes = b"", without: bytes = b"", end: bytes = b"\r\n") -> bytes:
    """A phone's request with a right length and more lines."""
    return framed(*more, b"Content-Length: %d" % len(body), body=body, first=first, without=without, end=end)


def altered(old: bytes, new: bytes) -> bytes:
    """A phone's request in which some octets are others."""
    octets = usual()
    assert octets.count(old) == 1, old
    return octets.replace(old, new)


def bare(first: bytes, *lines: bytes, body: bytes = b"") -> bytes:
    """A request of nobody in particular."""
    return b"\r\n".join([first, b"Host: mail.example", *lines, b"", b""]) + body


SMUGGLED: Final = (
    b"\r\n".join([line(user=VICTIM), *usual_lines(VICTIM), b"Content-Length: %d" % len(SYNC), b"", b""]) + SYNC
)
"""The request that must never arrive as one."""
INNOCENT: Final = usual().replace(b"User=anna", b"User=bert").replace(credentials(), credentials(b"bert"))
"""Somebody else's request, with nothing the matter."""
PREFIX: Final = b"GET /smuggled HTTP/1.1\r\nX-Ignored: "
"""The beginning of one, to be completed by the next person's."""


def chunks(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


def chunked(body: bytes, *more: bytes) -> bytes:
    """A phone's request with these octets for its chunked body."""
    return framed(b"Transfer-Encoding: chunked", *more, body=body)
