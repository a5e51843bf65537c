"""Where frames of HTTP/2 end in a stream of octets, and the frame by which a server lets its client go.

A stream that somebody else writes may be added to only between two frames, and not within a block of headers
(RFC 9113 §4.1, §4.3). Nothing is judged here: whoever wrote the octets knows the protocol.
"""

from typing import Final

_HEAD_OCTETS: Final = 9
_BLOCKS: Final = frozenset((0x1, 0x5, 0x9))
"""HEADERS, PUSH_PROMISE and CONTINUATION (§6.2, §6.6, §6.10)."""
_END_HEADERS: Final = 0x4

GOAWAY: Final = b"\0\0\x08\x07\0\0\0\0\0" + b"\x7f\xff\xff\xff" + b"\0\0\0\0"
"""No more requests on this connection, please; those that are under way are answered (§6.8)."""


class FrameEnds:
    """Follows one direction of a connection."""

    __slots__ = ("_begun", "_head", "_in_block", "_left")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        """Octets of the present frame's payload still to come."""
        self._in_block = False
        self._begun = False

    @property
    def between(self) -> bool:
        """Whether another frame may stand here. Not before the first one, which must be the server's SETTINGS."""
        return self._begun and not (self._left or self._head or self._in_block)

    def passed(self, octets: bytes) -> None:
        """These octets were written."""
        at = 0
        while at < len(octets):
            if self._left:
                taken = min(self._left, len(octets) - at)
                self._left -= taken
            else:
                taken = min(_HEAD_OCTETS - len(self._head), len(octets) - at)
                self._head += octets[at : at + taken]
                if len(self._head) == _HEAD_OCTETS:
                    self._begin(self._head)
            at += taken

    def _begin(self, head: bytes) -> None:
        self._left = int.from_bytes(head[:3])
        self._in_block = head[3] in _BLOCKS and not head[4] & _END_HEADERS
        self._head = b""
        self._begun = True
