"""The body of one request as it comes: which octets are its own, by its length or its chunks (RFC 9112 §6)."""

from gateway.protocols.http.chunked import ChunkedReader
from gateway.protocols.http.request_head import RequestHead


class RequestBody:
    """One that is not empty."""

    __slots__ = ("_chunks", "left", "received")

    def __init__(self, length: int, *, chunked: bool) -> None:
        self._chunks = ChunkedReader() if chunked else None
        self.left = 0 if chunked else length
        """Octets that are known to come still; with chunks nobody knows."""
        self.received = 0
        """Octets of content so far."""

    @property
    def whole(self) -> bool:
        """Whether all of it was there."""
        return self._chunks.done if self._chunks is not None else not self.left

    def feed(self, octets: bytes) -> tuple[bytes, bytes]:
        """Content of this body, and what stands behind its end. Raises ``BadChunk``."""
        if self._chunks is not None:
            content, rest = self._chunks.feed(octets)
        else:
            content, rest = octets[: self.left], octets[self.left :]
            self.left -= len(content)
        self.received += len(content)
        return content, rest


def request_body(head: RequestHead) -> RequestBody | None:
    """What follows a head; None: nothing."""
    if not head.chunked and not head.content_length:
        return None
    return RequestBody(head.content_length, chunked=head.chunked)
