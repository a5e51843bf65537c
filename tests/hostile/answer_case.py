"""One hostile or odd answer of a mail server: what it tries, and all that may come of it; the themes are beside it.

Each answers anna's Sync on a connection that has served somebody before and, if it may, serves somebody after.
"""

from dataclasses import dataclass
from typing import Final

MAIL: Final = b"mail"
SECRET: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret"
"""A whole second answer: the next person's, if somebody takes it for that."""
BROKEN: Final = 503
"""Nothing that could be taken for a whole answer: 503, or a connection cut in the middle."""


@dataclass(frozen=True, slots=True)
class AnswerCase:
    """See the module."""

    name: str
    tries: str
    published: str
    octets: bytes
    gets: int
    """The status at the phone; ``BROKEN``."""
    body: bytes
    reused: bool
    """Whether another person's request may go over the same connection."""
    then: str
    """What the server does then: ``stays``, ``closes``, ``resets``; ``late``: it sends ``SECRET`` on the idle
    connection; ``waits``: it stays, and the gateway's patience ends.
    A Sync may wait for an hour, and is then told "no changes"."""
    shows: tuple[tuple[str, str], ...]
    """Header fields at the phone; those of these names are all that it gets."""


def answer(
    name: str,
    tries: str,
    published: str,
    octets: bytes,
    gets: int = BROKEN,
    body: bytes = MAIL,
    *,
    reused: bool | None = None,
    then: str = "stays",
    shows: tuple[tuple[str, str], ...] = (),
) -> AnswerCase:
    """A case; what is answered well is a connection that may serve another person, unless told otherwise."""
    may = gets != BROKEN and then == "stays" if reused is None else reused
    return AnswerCase(name, tries, published, octets, gets, body, may, then, shows)


def ok(*lines: bytes, body: bytes = MAIL, first: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """An answer with these lines, none of them added."""
    return b"\r\n".join([first, *lines, b"", b""]) + body


def sized(*lines: bytes, body: bytes = MAIL, first: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """An answer with a right length."""
    return ok(*lines, b"Content-Length: %d" % len(body), body=body, first=first)


def coded(body: bytes, *lines: bytes, first: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """An answer with these octets for its chunked body."""
    return ok(b"Transfer-Encoding: chunked", *lines, body=body, first=first)


LENGTH = b"Content-Length: 4"
CHUNKED = b"4\r\nmail\r\n0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
