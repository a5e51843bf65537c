"""Where a POP3 server's answers end, followed after login so that a session is closed between two of them.

Whether an answer has many lines follows from its command (RFC 1939 §5, RFC 2449 §5, RFC 6856 §3), so the client's side
is followed too. Bodies are only searched for their end. What is remembered is a byte for each command not answered
yet, within a bound; beyond it, or behind an answer that is none, nothing is claimed any more (``lost``).
"""

from typing import Final

OUTSTANDING_MOST: Final = 4096
"""Commands that wait for their answers."""
STATUS_LONGEST: Final = 4096
"""Octets; a status line has 512 (RFC 2449 §4)."""

_COMMAND_LONGEST: Final = 64
"""Octets of an unfinished command that are remembered: the word, and whether anything follows it."""
_MANY_LINES: Final = frozenset((b"RETR", b"TOP", b"CAPA"))
_MANY_LINES_FOR_ALL: Final = frozenset((b"LIST", b"UIDL", b"LANG"))
"""With an argument their answer is one line."""
_END: Final = b"\r\n.\r\n"
_DOTS_MOST: Final = 32
"""Dots within lines, for each piece, after which the search is for the whole end: bodies in base64 have none at all."""


class ResponseFollower:
    """Follows both directions of a session."""

    __slots__ = ("_body", "_command", "_expected", "_tail", "lost")

    def __init__(self) -> None:
        self._command = b""
        """The beginning of the client's unfinished line."""
        self._expected = bytearray()
        """For each command not answered yet whether its answer has many lines."""
        self._body = False
        """Within the lines behind a status line."""
        self._tail = b""
        """Within a body its last octets, else the unfinished status line."""
        self.lost = False

    @property
    def at_boundary(self) -> bool:
        """Whether everything the client was sent is whole answers."""
        return not (self.lost or self._body or self._tail)

    @property
    def outstanding(self) -> int:
        """Commands whose answers have not begun."""
        return len(self._expected)

    def asked(self, octets: bytes) -> None:
        """The client's next octets."""
        if self.lost:
            return
        *lines, rest = octets.split(b"\n")
        for line in lines:
            if self._command:
                line, self._command = self._command + line, b""
            self._expected.append(_has_many_lines(line))
        self._command = (self._command + rest)[:_COMMAND_LONGEST]
        if len(self._expected) > OUTSTANDING_MOST:
            self._lose()

    def follow(self, octets: bytes) -> None:
        """The server's next octets."""
        if self.lost:
            return
        if self._tail:
            octets, self._tail = self._tail + octets, b""
        at, size = 0, len(octets)
        while at < size:
            if self._body:
                end = _end_of_body(octets, at)
                if end < 0:
                    self._tail = octets[max(at, size - len(_END) + 1) :]
                    return
                self._body = False
                at = end + len(_END)
                continue
            end = octets.find(b"\r\n", at, at + STATUS_LONGEST)
            if end < 0:
                self._tail = octets[at:]
                if size - at >= STATUS_LONGEST:
                    self._lose()
                return
            at = self._answered(octets, at, end)

    def _answered(self, octets: bytes, start: int, end: int) -> int:
        """A whole status line; where to go on. Behind it a body begins with the end of this line."""
        many_lines = bool(self._expected.pop(0)) if self._expected else False
        if octets.startswith(b"+OK", start):
            self._body = many_lines
            return end if many_lines else end + 2
        if not octets.startswith(b"-ERR", start):
            self._lose()
        return end + 2

    def _lose(self) -> None:
        self.lost = True
        self._expected.clear()
        self._command = self._tail = b""


def _end_of_body(octets: bytes, at: int) -> int:
    """Where the end of a body begins; -1: nowhere."""
    search = at
    for _ in range(_DOTS_MOST):
        dot = octets.find(b".", search)
        if dot < 0:
            return -1
        if dot - 2 >= at and octets.startswith(_END, dot - 2):
            return dot - 2
        search = dot + 1
    return octets.find(_END, max(at, search - 2))


def _has_many_lines(line: bytes) -> bool:
    words = line[:_COMMAND_LONGEST].split(None, 2)
    if not words:
        return False
    verb = words[0].upper()
    return verb in _MANY_LINES or (verb in _MANY_LINES_FOR_ALL and len(words) == 1)
