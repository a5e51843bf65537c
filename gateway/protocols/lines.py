"""Lines that end with CRLF, cut out of a peer's octets within bounds; what IMAP and POP3 are made of.

A bare CR or LF ends nothing and is refused: two readers that differ over it would differ over what was said. Whatever
exceeds its bound is refused before it is kept, and however the octets are split, the lines are the same.
"""

from gateway.domain.errors import InvalidValue


class Unframeable(InvalidValue):
    """Octets behind which nothing can be understood; the connection ends. ``reason`` is a name for the metrics."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the peer's lines cannot be told apart: {reason}")
        self.reason = reason


class LineReader:
    """Takes octets, gives lines, or as many octets as are asked for."""

    __slots__ = ("_longest", "_octets", "_searched", "_waiting_most")

    def __init__(self, longest: int, waiting_most: int) -> None:
        """``longest``: octets of a line without its end; ``waiting_most``: how many may wait untaken."""
        self._longest = longest
        self._waiting_most = waiting_most
        self._octets = bytearray()
        self._searched = 0
        """Up to here there is no end of a line."""

    def receive(self, octets: bytes) -> None:
        """More octets. Raises ``Unframeable`` if more than is allowed are waiting already."""
        if self.crowded:
            raise Unframeable("too_much_waiting")
        self._octets += octets

    @property
    def crowded(self) -> bool:
        """Whether nothing more may be received until something was taken."""
        return len(self._octets) > self._waiting_most

    @property
    def empty(self) -> bool:
        """Whether every octet received was taken."""
        return not self._octets

    def line(self) -> bytes | None:
        """The next line without its end; None: more octets are needed. Raises ``Unframeable``."""
        octets = self._octets
        end = octets.find(b"\n", self._searched, self._longest + 2)
        if end < 0:
            if len(octets) >= self._longest + 2:
                raise Unframeable("line_too_long")
            unseen, self._searched = max(0, self._searched - 1), len(octets)
            if octets.find(b"\r", unseen, max(0, len(octets) - 1)) >= 0:
                raise Unframeable("bare_line_end")
            return None
        line = self._cut(end + 1)
        if line.find(b"\r") != end - 1 or end == 0:
            raise Unframeable("bare_line_end")
        return line[:-2]

    def take(self, size: int) -> bytes | None:
        """The next ``size`` octets, whatever they are; None: more are needed."""
        return self._cut(size) if len(self._octets) >= size else None

    def skip(self, most: int) -> int:
        """Leave out as many octets as there are, and no more than ``most``: how many."""
        size = min(most, len(self._octets))
        self._cut(size)
        return size

    def rest(self) -> bytes:
        """Everything that was received and not taken; nothing of it is kept."""
        return self._cut(len(self._octets))

    def _cut(self, size: int) -> bytes:
        octets = bytes(self._octets[:size])
        del self._octets[:size]
        self._searched = 0
        return octets
