"""A client's commands, cut out of its octets: lines that end with CRLF, and the literals behind them.

Nothing is interpreted here but what frames: ``{n}`` and ``{n+}`` at the end of a line (RFC 9051 §4.3, RFC 7888). A
bare CR or LF ends nothing and is refused, as is whatever exceeds its bound before it is kept. However the octets are
split, the commands are the same.
"""

import re
from typing import Final, NamedTuple

from gateway.protocols.lines import LineReader, Unframeable

LINES_LONGEST: Final = 16 << 10
"""Octets of one command outside its literals, and of a line of SASL; tokens that carry groups reach 8 KiB."""
LITERAL_LONGEST: Final = 8 << 10
LITERALS_LONGEST: Final = 32 << 10
"""Octets of all literals of one command."""
LITERALS_MOST: Final = 64
PIPELINED_MOST: Final = 64 << 10
"""Octets that may wait while nobody takes them; the reader of a socket pauses there (``crowded``)."""

_LITERAL = re.compile(rb"\{([0-9]{1,20}+)(\+?)\}\Z")
_LITERAL_HEADER_LONGEST = 24


class Framed(NamedTuple):
    """One whole command: each line but the last ends in the announcement of the literal that follows it."""

    lines: list[bytes]
    literals: list[bytes]

    def __repr__(self) -> str:
        return f"Framed({len(self.lines)} lines)"  # there may be a password in them


class Announced(NamedTuple):
    """A command that waits to be told whether its literal may be sent (``go_on`` or ``drop``)."""

    line: bytes
    """The command's first line."""
    size: int
    allowed: bool
    """Whether the literal is within the bounds."""

    def __repr__(self) -> str:
        return f"Announced(size={self.size}, allowed={self.allowed})"


class CommandFramer:
    """Takes octets, gives commands."""

    __slots__ = ("_left", "_lines", "_literals", "_octets", "_passes_over", "_skipped", "_taken", "_waits")

    def __init__(self, *, passes_over: bool = False) -> None:
        """``passes_over``: a literal that comes unasked and is too large is left out, not an end of everything."""
        self._octets = LineReader(LINES_LONGEST, PIPELINED_MOST)
        self._lines: list[bytes] = []
        self._literals: list[bytes] = []
        self._taken = 0
        """Octets of ``_lines``."""
        self._left = -1
        """Octets of the literal that is being read; -1: a line is."""
        self._waits = False
        """A literal was announced, and nobody has said yet that it may come."""
        self._passes_over = passes_over
        self._skipped = False
        """The literal that is being read is left out."""

    def receive(self, octets: bytes) -> None:
        """More octets. Raises ``Unframeable`` if more than is allowed are waiting already."""
        self._octets.receive(octets)

    @property
    def crowded(self) -> bool:
        """Whether nothing more may be received until something was taken."""
        return self._octets.crowded

    @property
    def empty(self) -> bool:
        """Whether every octet received was taken."""
        return self._octets.empty and not self._lines

    def next(self) -> Framed | Announced | None:
        """The next command, or the question whether its literal may come; None: more octets are needed.

        Raises ``Unframeable``.
        """
        while not self._waits:
            if self._left >= 0 and not self._literal():
                return None
            line = self._octets.line()
            if line is None:
                return None
            announced = self._take(line)
            if announced is not None:
                return announced
            if self._left < 0:
                return self._whole()
        return None

    def _literal(self) -> bool:
        """Whether all of the literal has come."""
        if self._skipped:
            self._left -= self._octets.skip(self._left)
            literal = None if self._left else b""
        else:
            literal = self._octets.take(self._left)
        if literal is None:
            return False
        self._literals.append(literal)
        self._left, self._skipped = -1, False
        return True

    def _take(self, line: bytes) -> Announced | None:
        """A line of a command, the last one unless it announces a literal."""
        self._lines.append(line)
        self._taken += len(line) + 2
        if self._taken > LINES_LONGEST:
            raise Unframeable("line_too_long")
        found = _LITERAL.search(line, max(0, len(line) - _LITERAL_HEADER_LONGEST)) if line.endswith(b"}") else None
        if found is None:
            return None
        size = self._left = int(found[1])
        together = size + sum(map(len, self._literals))
        allowed = size <= LITERAL_LONGEST and together <= LITERALS_LONGEST and len(self._literals) < LITERALS_MOST
        if not found[2]:
            self._waits = True
            return Announced(self._lines[0], size, allowed)
        if not allowed:
            # Its octets follow without being asked for (RFC 7888 §4), and nobody wants to read them.
            if not self._passes_over or len(self._literals) >= LITERALS_MOST:
                raise Unframeable("literal_too_large")
            self._skipped = True
        return None

    def go_on(self) -> None:
        """The literal announced may come."""
        self._waits = False

    def drop(self) -> None:
        """The literal was declined, and the command with it: what follows is the next command (RFC 9051 §4.3)."""
        self._waits = False
        self._left = -1
        self._whole()

    def line(self) -> bytes | None:
        """The next line without its end, as in an exchange of SASL; None: more octets are needed.

        Raises ``Unframeable``.
        """
        return self._octets.line()

    def _whole(self) -> Framed:
        framed = Framed(self._lines, self._literals)
        self._lines, self._literals, self._taken = [], [], 0
        return framed

    def rest(self) -> bytes:
        """Everything that was received and not taken; nothing of it is kept."""
        return self._octets.rest()
