"""Which extensions a client is offered: those of the mail server that can be passed on, and nothing it has not.

CHUNKING and BINARYMIME are never offered, because the octets of a message would have no end that can be looked for;
no mechanism is offered that cannot be shown to the mail server again (``protocols.sasl``).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.protocols.sasl import Mechanism


@dataclass(frozen=True, slots=True, kw_only=True)
class Extensions:
    """What a mail server can do, as it says in its answer to EHLO after TLS."""

    mechanisms: frozenset[str] = frozenset()
    """In upper case."""
    size: int | None = None
    """Octets of a message at most; 0: it has the extension and no fixed limit; None: it has not."""
    eight_bit: bool = False
    utf8: bool = False
    dsn: bool = False
    status_codes: bool = False
    xclient: frozenset[str] = frozenset()
    """The attributes that it would be told (Postfix's XCLIENT), in upper case."""


UNKNOWN: Final = Extensions(mechanisms=frozenset(("PLAIN", "LOGIN")))
"""While the mail server has never answered: a client may try, and hears that it cannot be asked."""


def understood(listed: Mapping[str, str], mechanisms: Iterable[str]) -> Extensions:
    """``listed``: keywords in lower case with what stands behind them; ``mechanisms``: of AUTH, in any case."""
    size = listed.get("size")
    return Extensions(
        mechanisms=frozenset(each.upper() for each in mechanisms),
        size=None if size is None else _number(size),
        eight_bit="8bitmime" in listed,
        utf8="smtputf8" in listed,
        dsn="dsn" in listed,
        status_codes="enhancedstatuscodes" in listed,
        xclient=frozenset(listed.get("xclient", "").upper().split()),
    )


def _number(text: str) -> int:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def offered(extensions: Extensions) -> tuple[Mechanism, ...]:
    """The mechanisms by which a client may log in. A password reaches the mail server by PLAIN or LOGIN."""
    by_password = bool(extensions.mechanisms & {"PLAIN", "LOGIN"})
    return tuple(each for each in Mechanism if (each.value in extensions.mechanisms if each.by_token else by_password))


def size_limit(extensions: Extensions, ours: int) -> int:
    """Octets of a message at most, by both."""
    return min(extensions.size or ours, ours)


def ehlo(name: bytes, extensions: Extensions, *, most: int, starttls: bool, login: bool) -> bytes:
    """The answer to EHLO, without its last line's end. ``most``: octets of a message; ``login``: AUTH is taken now."""
    words = [name, b"PIPELINING", b"SIZE %d" % size_limit(extensions, most)]
    if starttls:
        words.append(b"STARTTLS")
    mechanisms = offered(extensions)
    if login and mechanisms:
        words.append(b"AUTH " + b" ".join(each.value.encode() for each in mechanisms))
    flags = (
        (b"ENHANCEDSTATUSCODES", extensions.status_codes),
        (b"8BITMIME", extensions.eight_bit),
        (b"DSN", extensions.dsn),
        (b"SMTPUTF8", extensions.utf8),
    )
    words += [word for word, has in flags if has]
    lines = [b"250-" + word for word in words[:-1]]
    return b"\r\n".join([*lines, b"250 " + words[-1]])
