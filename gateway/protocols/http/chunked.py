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

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_QUOTED = rb'"(?:[\t !#-\[\]-~]|\\[\t -~])*+"'
# No blanks around the parts of an extension: RFC 9112 §7.1.1 calls them bad, and readers differ over them.
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,8}+)(?:;%b(?:=(?:%b|%b))?+)*+\Z" % (_TOKEN, _TOKEN, _QUOTED))
# No trailer says where a message ends or whom it is for (RFC 9110 §6.5.1): readers differ over such a one.
_TRAILER_LINE = re.compile(rb"(?!(?i:content-length|transfer-encoding|host):)%b:[\t -~\x80-\xff]*\Z" % _TOKEN)
_SIZE, _CONTENT, _CONTENT_END, _TRAILER = range(4)


class BadChunk(DomainError):  # noqa: N818
    """Octets that are no chunked body."""


class ChunkedReader:
    """Takes octets, gives the content. ``done`` once the last chunk and the trailer are read.

    Each octet is copied at most twice, however small the pieces are in which it comes.
    """

    __slots__ = ("_at", "_expecting", "_left", "_octets", "_trailer", "done")

    def __init__(self) -> None:
        self._octets = b""
        self._at = 0
        """Up to here ``_octets`` are read."""
        self._expecting = _SIZE
        self._left = 0
        """Octets of the present chunk still to come."""
        self._trailer = 0
        self.done = False

    def feed(self, octets: bytes) -> tuple[bytes, bytes]:
        """The content in ``octets``, and what stands behind the body's end. Raises ``BadChunk``."""
        self._octets = self._octets[self._at :] + octets if self._at < len(self._octets) else octets
        self._at = 0
        content: list[bytes] = []
        while not self.done and self._step(content):
            pass
        if not self.done:
            return b"".join(content), b""
        rest, self._octets = self._octets[self._at :], b""
        return b"".join(content), rest

    def _step(self, content: list[bytes]) -> bool:
        """One line or one piece of content; False: more octets are needed."""
        if self._expecting == _CONTENT:
            return self._take_content(content)
        if self._expecting == _CONTENT_END:
            return self._take_content_end()
        line = self._line()
        if line is None:
            return False
        if self._expecting == _SIZE:
            self._take_size(line)
        else:
            self._take_trailer(line)
        return True

    def _take_content(self, content: list[bytes]) -> bool:
        piece = self._octets[self._at : self._at + self._left]
        if not piece:
            return False
        content.append(piece)
        self._at += len(piece)
        self._left -= len(piece)
        if not self._left:
            self._expecting = _CONTENT_END
        return True

    def _take_content_end(self) -> bool:
        end = self._octets[self._at : self._at + 2]
        if not b"\r\n".startswith(end):
            raise BadChunk("a chunk does not end with CRLF")
        if len(end) < 2:
            return False
        self._at += 2
        self._expecting = _SIZE
        return True

    def _line(self) -> bytes | None:
        end = self._octets.find(b"\r\n", self._at, self._at + LINE_LONGEST + 2)
        if end < 0:
            beginning = self._octets[self._at : self._at + LINE_LONGEST + 2]
            if len(beginning) > LINE_LONGEST + 1 or b"\n" in beginning or b"\r" in beginning[:-1]:
                raise BadChunk("a line of the chunked body is too long or ends oddly")
            return None
        line = self._octets[self._at : end]
        self._at = end + 2
        return line

    def _take_size(self, line: bytes) -> None:
        found = _SIZE_LINE.match(line)
        if found is None:
            raise BadChunk("a chunk size is not hexadecimal")
        self._left = int(found[1], 16)
        self._expecting = _CONTENT if self._left else _TRAILER

    def _take_trailer(self, line: bytes) -> None:
        self._trailer += len(line) + 2
        if not line:
            self.done = True
        elif self._trailer > TRAILER_LONGEST or not _TRAILER_LINE.match(line):
            raise BadChunk("the trailer is malformed or too long")


def chunk(content: bytes) -> bytes:
    """One chunk; ``content`` must not be empty."""
    return b"%x\r\n%b\r\n" % (len(content), content)
