"""The chunked transfer coding, read strictly (RFC 9112 §7.1).

Extensions and trailers are bounded and dropped; a size is hexadecimal digits and nothing else; every line ends with
CRLF. What we write has neither extensions nor trailers.
"""

import re
from typing import Final

from gateway.domain.errors import DomainError

LINE_LONGEST: Final = 256
TRAILER_LONGEST: Final = 4096
LAST_CHUNK: Final = b"0\r\n\r\n"

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[\t ]*;[\t -~]*)?\Z")
_TRAILER_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\Z")


class BadChunk(DomainError):  # noqa: N818
    """Octets that are no chunked body."""


class ChunkedReader:
    """Takes octets, gives the content. ``done`` once the last chunk and the trailer are read."""

    __slots__ = ("_buffer", "_in_trailer", "_left", "_trailer", "done")

    def __init__(self) -> None:
        self._buffer = b""
        self._left = -1
        """Octets of the present chunk still to come; -1: a size line comes next."""
        self._in_trailer = False
        self._trailer = 0
        self.done = False

    def feed(self, octets: bytes) -> tuple[bytes, bytes]:
        """The content in ``octets``, and what stands behind the body's end. Raises ``BadChunk``."""
        self._buffer += octets
        content: list[bytes] = []
        while not self.done and self._step(content):
            pass
        if not self.done:
            return b"".join(content), b""
        rest, self._buffer = self._buffer, b""
        return b"".join(content), rest

    def _step(self, content: list[bytes]) -> bool:
        """One line or one piece of content; False: more octets are needed."""
        if self._left > 0:
            piece = self._buffer[: self._left]
            if not piece:
                return False
            content.append(piece)
            self._left -= len(piece)
            self._buffer = self._buffer[len(piece) :]
            return True
        if self._left == 0:
            return self._end_of_chunk()
        line = self._line()
        if line is None:
            return False
        if self._in_trailer:
            self._take_trailer(line)
        else:
            self._take_size(line)
        return True

    def _end_of_chunk(self) -> bool:
        if len(self._buffer) < 2:
            if self._buffer and self._buffer != b"\r":
                raise BadChunk("a chunk does not end with CRLF")
            return False
        if self._buffer[:2] != b"\r\n":
            raise BadChunk("a chunk does not end with CRLF")
        self._buffer = self._buffer[2:]
        self._left = -1
        return True

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > LINE_LONGEST or b"\n" in self._buffer:
                raise BadChunk("a line of the chunked body is too long or ends oddly")
            return None
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        if len(line) > LINE_LONGEST:
            raise BadChunk("a line of the chunked body is too long")
        return line

    def _take_size(self, line: bytes) -> None:
        found = _SIZE_LINE.match(line)
        if found is None:
            raise BadChunk("a chunk size is not hexadecimal")
        size = int(found[1], 16)
        if size:
            self._left = size
        else:
            self._in_trailer = True

    def _take_trailer(self, line: bytes) -> None:
        self._trailer += len(line) + 2
        if not line:
            self.done = True
        elif self._trailer > TRAILER_LONGEST or not _TRAILER_LINE.match(line):
            raise BadChunk("the trailer is malformed or too long")


def chunk(content: bytes) -> bytes:
    """One chunk; ``content`` must not be empty."""
    return b"%x\r\n%b\r\n" % (len(content), content)
