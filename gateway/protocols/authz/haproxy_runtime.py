"""HAProxy's runtime API (its management guide, §9.3): the lines that are written, and what comes back as values.

One line holds commands with semicolons in between; a line that ends in ``<<`` is followed by its payload up to an empty
line. Words that come from outside (keys) are letters and digits only, so nothing has to be quoted.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from gateway.domain.errors import InvalidValue

LINE_LONGEST: Final = 12_000
"""Octets of a line or payload; HAProxy's buffer has 16,384 by default, and its command stands in it too."""
PIECE_LONGEST: Final = 64 << 10
"""Characters of an answer that are understood at a time: some 250 sessions, in two or three milliseconds."""
KEY = re.compile(r"[0-9A-Za-z]{16,128}\Z")
"""What a key of the map looks like: a digest."""
_SESSION = re.compile(r"(0x[0-9a-f]+): proto=\S+ src=(\S+):([0-9]+) ", re.MULTILINE)
_VERSION = re.compile(r"New version created: ([0-9]+)")
_ENTRY = re.compile(r"0x[0-9a-f]+ (\S+) (.*)\Z")


class RuntimeSession(NamedTuple):
    """One line of ``show sess``."""

    pointer: str
    """By which it is shut down."""
    source: str
    """``ADDRESS:PORT`` of its client."""


def source(address: str, port: int) -> str:
    """How a client's end is written here: IPv4 that a socket for both families shows as IPv6 is IPv4."""
    if ":" not in address:
        return f"{address}:{port}"
    try:
        read = ipaddress.IPv6Address(address.strip("[]"))
    except ValueError:
        return f"{address}:{port}"
    # ::ffff:192.0.2.7 has two spellings, and not everybody uses the same.
    return f"{read.ipv4_mapped or read}:{port}"


SHOW_SESSIONS: Final = "show sess"


def sessions(text: str) -> tuple[RuntimeSession, ...]:
    """What ``show sess`` says, or some of its lines."""
    return tuple(RuntimeSession(each[1], _shown(each[2], each[3])) for each in _SESSION.finditer(text))


def _shown(address: str, port: str) -> str:
    """As ``source``; inet_ntop(3) writes most addresses in that very way, and reading one takes as long as all else."""
    plain = not address.startswith((":", "[")) and (":" not in address or "." not in address)
    return f"{address}:{port}" if plain else source(address, int(port))


def pieces(text: str, longest: int = PIECE_LONGEST) -> Iterator[str]:
    """A long answer cut at ends of lines, so that not all of it has to be understood at once."""
    at = 0
    while at < len(text):
        end = text.rfind("\n", at, at + longest) + 1 or text.find("\n", at) + 1 or len(text)
        yield text[at:end]
        at = end


def shutdowns(pointers: Iterable[str]) -> Iterator[str]:
    """Lines that end these sessions."""
    return _lines(f"shutdown session {pointer}" for pointer in pointers)


def _lines(commands: Iterable[str]) -> Iterator[str]:
    line = ""
    for command in commands:
        if line and len(line) + len(command) > LINE_LONGEST:
            yield line
            line = ""
        line = f"{line};{command}" if line else command
    if line:
        yield line


# --- maps


def prepared(text: str) -> int:
    """The number of the version that ``prepare map`` has made. Raises ``InvalidValue``."""
    found = _VERSION.search(text)
    if found is None:
        raise InvalidValue(f"no new version of the map: {said(text)}")
    return int(found[1])


def additions(path: str, entries: Iterable[tuple[str, str]], version: int | None = None) -> Iterator[str]:
    """Lines with payload that add entries, in bounded pieces; to a version that is not in force yet, or at once."""
    command = f"add map {path} <<\n" if version is None else f"add map @{version} {path} <<\n"
    piece: list[str] = []
    size = 0
    for key, value in entries:
        row = f"{key} {value}\n"
        if piece and size + len(row) > LINE_LONGEST:
            yield command + "".join(piece)
            piece, size = [], 0
        piece.append(row)
        size += len(row)
    if piece:
        yield command + "".join(piece)


def edits(path: str, changed: Mapping[str, str | None]) -> Iterator[str]:
    """Lines that give entries another value, or (None) take them away. Each costs HAProxy a look at all entries."""
    return _lines(
        f"del map {path} {key}" if value is None else f"set map {path} {key} {value}" for key, value in changed.items()
    )


def entries(text: str) -> dict[str, str]:
    """What ``show map`` says."""
    return {found[1]: found[2] for line in text.splitlines() if (found := _ENTRY.match(line))}


def done(text: str) -> None:
    """See that commands which say nothing when all is well have said nothing. Raises ``InvalidValue``."""
    if text.strip():
        raise InvalidValue(said(text))


def said(text: str) -> str:
    """An answer in one short line."""
    return " ".join(text.split())[:200] or "nothing"
