"""Where the answers of a mail server end, followed after login so that a last line can be put between two of them.

The grammar is that of RFC 9051 §9: a literal is announced by ``{n}`` or ``~{n}`` at the end of a line, quoted strings
hold no line ends, and literals stand only in untagged data: in status lines the same octets are somebody's free text.
Every octet is looked at once, by searching for ``}``; inside a literal none is. What is remembered is the beginning
and the end of an unfinished line.
"""

import re
from typing import Final

_BEGINNING: Final = 10
"""Octets of a line by which data is told from status: as many as ``* PREAUTH`` and a blank have."""
_ENDING: Final = 24
"""Octets at the end of a line in which ``{n}`` and half of a CRLF have room."""
_DIGITS_MOST: Final = 19
_DATA: Final = re.compile(rb"\* (?!(?i:OK|NO|BAD|BYE|PREAUTH)(?: |\r|\Z))")
_BRACES_MOST: Final = 32
"""Braces within lines, for each piece, after which the search is for such as end a line: faster then, slower before."""


class ResponseFollower:
    """Follows the octets from the mail server to the client, as they are written."""

    __slots__ = ("_behind_literal", "_left", "_line")

    def __init__(self) -> None:
        self._left = 0
        """Octets of a literal still to come."""
        self._line = b""
        """The unfinished line: of a long one the beginning and the end."""
        self._behind_literal = False
        """The unfinished line goes on behind a literal, so it is data whatever it begins with."""

    @property
    def at_boundary(self) -> bool:
        """Whether everything so far is whole answers: here a line of ours may stand."""
        return not (self._left or self._line or self._behind_literal)

    def follow(self, octets: bytes) -> None:
        """The next octets."""
        at = self._left
        if at:
            if at >= len(octets):
                self._left = at - len(octets)
                return
            self._left = 0
        elif self._line:
            octets = self._line + octets
            self._line = b""
        at = self._past_literals(octets, at)
        if at < 0:
            return
        end = octets.rfind(b"\r\n", at)
        if end >= 0:
            self._behind_literal = False
            at = end + 2
        if at < len(octets):
            self._keep(octets[at:] if len(octets) - at <= _BEGINNING + _ENDING else octets, at)

    def _past_literals(self, octets: bytes, start: int) -> int:
        """Where the part begins that announces no literal; -1: all is used up by one."""
        size = len(octets)
        search, within = start, 0
        while True:
            brace = octets.find(b"}" if within < _BRACES_MOST else b"}\r\n", search)
            if brace < 0:
                return start
            if octets[brace + 1 : brace + 3] != b"\r\n":
                search = brace + 1
                within += 1
                continue
            length = self._announced(octets, start, brace)
            if length is None:
                self._behind_literal = False
                start = search = brace + 3
                continue
            self._behind_literal = True
            start = search = brace + 3 + length
            if start >= size:
                self._left = start - size
                return -1

    def _announced(self, octets: bytes, start: int, brace: int) -> int | None:
        """The length of the literal that the line ending at ``brace`` announces; None: it announces none."""
        opening = octets.rfind(b"{", max(start, brace - _DIGITS_MOST - 1), brace)
        digits = octets[opening + 1 : brace]
        if opening < 0 or not digits.isdigit():
            return None
        line = octets.rfind(b"\r\n", start, brace)
        if line < 0 and self._behind_literal:
            return int(digits)
        return int(digits) if _DATA.match(octets, start if line < 0 else line + 2) else None

    def _keep(self, octets: bytes, at: int) -> None:
        """Remember an unfinished line; ``octets`` are that line, or hold it from ``at`` on."""
        if len(octets) <= _BEGINNING + _ENDING:
            self._line = octets
        else:
            beginning = octets[at : at + _BEGINNING]
            if beginning.endswith(b"\r"):
                # A stray CR here and a stray LF there must not become the end of a line.
                beginning = beginning[:-1] + b" "
            self._line = beginning + octets[-_ENDING:]

    def to_boundary(self, octets: bytes) -> int | None:
        """Follow ``octets`` only as far as the first boundary: how many of them; None: all, and none was met.

        For the last octets before a cut; slower than ``follow``.
        """
        at = 0
        while at < len(octets):
            end = at + self._left if self._left else octets.find(b"\n", at) + 1 or len(octets)
            self.follow(octets[at:end])
            at = min(end, len(octets))
            if self.at_boundary:
                return at
        return None
