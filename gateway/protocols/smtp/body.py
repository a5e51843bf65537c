"""A message on its way behind DATA: where it ends, and what may not be in it (RFC 5321 §2.3.8, §4.1.1.4, §4.5.2).

The octets pass as they are, dot-stuffed already. Two servers that differ over where a message ends would take part of
one for commands (smuggling), so the only end is CRLF ``.`` CRLF, and a CR or LF that stands alone, or a NUL, which
some servers skip, spoils the message before the octet leaves.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_END: Final = b"\r\n.\r\n"


class Fault(StrEnum):
    """Why a message is not passed on to its end."""

    BARE_LINE_END = "bare_line_end"
    NUL = "nul"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True)
class Piece:
    """What came of some octets."""

    passed: bytes = b""
    """For the mail server; with the end it is all of the message, its last dot included."""
    ended: bool = False
    rest: bytes = b""
    """What the client sent behind the end."""


class Body:
    """One message. ``most``: its octets at most, without its end."""

    __slots__ = ("_before", "_held", "_most", "fault", "size")

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = False
        """A CR came last: it leaves with what follows, if that is right."""
        self._before = b"\r\n"
        """The last octets before those that come next; a message that is empty ends with its first line."""
        self.size = 0
        self.fault: Fault | None = None
        """Once there is one, nothing passes any more."""

    def take(self, octets: bytes) -> Piece:
        """Octets as they come, in whatever pieces; not called again after the end."""
        if self._held:
            octets = b"\r" + octets
        self._held = octets.endswith(b"\r")
        if self._held:
            octets = octets[:-1]
        at = (self._before + octets).find(_END)
        ended = at >= 0
        end = at + len(_END) - len(self._before) if ended else len(octets)
        message = octets[:end] if ended else octets
        self._judge(message)
        self._before = (self._before + message)[-3:]
        rest = (octets[end:] + b"\r" if self._held else octets[end:]) if ended else b""
        return Piece(b"" if self.fault else message, ended, rest)

    def _judge(self, message: bytes) -> None:
        self.size += len(message)
        if self.fault is not None:
            return
        if not message.count(b"\n") == message.count(b"\r\n") == message.count(b"\r"):
            self.fault = Fault.BARE_LINE_END
        elif b"\0" in message:
            self.fault = Fault.NUL
        elif self.size > self._most + len(_END):
            self.fault = Fault.TOO_LARGE
