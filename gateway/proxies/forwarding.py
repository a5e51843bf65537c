"""A request as it goes to the mail server: its head written anew from what was understood, its body framed anew."""

from collections.abc import Iterable

from gateway.protocols.http.chunked import LAST_CHUNK, chunk
from gateway.protocols.http.request_head import RequestHead
from gateway.protocols.http.writing import Pair, request_head

_WITH_CONTENT = frozenset((b"POST", b"PUT"))
"""Methods whose length is told even where it is 0; the others need none then (RFC 9110 §8.6)."""


def written_anew(
    head: RequestHead, target: bytes, fields: Iterable[Pair], body: bytes, *, complete: bool
) -> tuple[bytes, bool]:
    """The head with what there is of the body, and whether more of it goes in chunks.

    Chunks are written anew unless the whole body is here already.
    """
    host = head.named[b"host"]
    if head.chunked and not complete:
        octets = request_head(head.method, target, host, fields, b"Transfer-Encoding: chunked\r\n")
        return octets + (chunk(body) if body else b""), True
    length = len(body) if head.chunked else head.content_length
    framing = b"Content-Length: %d\r\n" % length if length or head.method in _WITH_CONTENT else b""
    return request_head(head.method, target, host, fields, framing) + body, False


def more(octets: bytes, *, last: bool) -> bytes:
    """A further piece of a body in chunks."""
    return (chunk(octets) if octets else b"") + (LAST_CHUNK if last else b"")
