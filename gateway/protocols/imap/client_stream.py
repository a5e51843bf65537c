"""A client's octets after login, followed as far as the end of a session wants: is a command half sent, is it in IDLE.

It is not exact, and nothing that matters hangs on it: a server may decline a literal that a client announced, and what
follows is a command then, where this takes it for the literal. Whether a line of ours may be written is for
``ResponseFollower`` to say, and that is exact.
"""

import re
from typing import Final

_ENDING: Final = 96
"""Octets of an unfinished line that are remembered: a tag with IDLE has room, and ``{n+}`` with half of a CRLF."""
_LITERAL: Final = re.compile(rb"\{([0-9]{1,19}+)\+?\}\r\n")
_IDLE: Final = re.compile(rb"(?:\A|\r\n)[^ \r\n]{1,64}+ (?i:IDLE) {0,4}+\r\n\Z")  # RFC 2177


class ClientFollower:
    """Follows the octets from the client to the mail server."""

    __slots__ = ("_behind_literal", "_left", "_line", "idling")

    def __init__(self) -> None:
        self._left = 0
        """Octets of a literal still to come."""
        self._line = b""
        """The end of the unfinished line."""
        self._behind_literal = False
        self.idling = False
        """Whether the last thing the client said is IDLE."""

    @property
    def at_boundary(self) -> bool:
        """Whether every command so far is whole."""
        return not (self._left or self._line or self._behind_literal)

    def follow(self, octets: bytes) -> None:
        """The next octets."""
        self.idling = False
        at = self._left
        if at:
            if at >= len(octets):
                self._left = at - len(octets)
                return
            self._left = 0
        elif self._line or self._behind_literal:
            # A blank stands for what is not remembered: here no line begins.
            octets = (self._line or b" ") + octets
        self._line = b""
        while (found := _LITERAL.search(octets, at)) is not None:
            self._behind_literal = True
            at = found.end() + int(found[1])
            if at >= len(octets):
                self._left = at - len(octets)
                return
        end = octets.rfind(b"\r\n", at)
        if end >= 0:
            self._behind_literal = False
            self.idling = end + 2 == len(octets) and _IDLE.search(octets, max(at, end - _ENDING)) is not None
            at = end + 2
        rest = octets[at : at + _ENDING + 1]
        begun_here = len(rest) <= _ENDING and not self._behind_literal
        self._line = rest if begun_here else b" " + octets[max(at, len(octets) - _ENDING) :]
