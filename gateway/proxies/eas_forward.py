"""An ActiveSync request as it goes to the mail server: rebuilt from what was understood."""

from gateway.protocols.activesync.commands import PARKING, Command
from gateway.protocols.activesync.identify import Asked
from gateway.protocols.activesync.versions import Version
from gateway.protocols.http.chunked import LAST_CHUNK, chunk
from gateway.protocols.http.request_head import RequestHead
from gateway.protocols.http.writing import request_head

_TARGET = b"/Microsoft-Server-ActiveSync"


def forwarded(asked: Asked, head: RequestHead, body: bytes, *, complete: bool) -> tuple[bytes, bool]:
    """The head with what there is of the body, and whether more of it goes in chunks.

    Chunks are written anew unless the whole body is here already.
    """
    assert asked.fields is not None
    target = _TARGET if head.query is None else _TARGET + b"?" + asked.query.render()
    if head.chunked and not complete:
        framing = b"Transfer-Encoding: chunked\r\n"
        return _head(asked, head, target, framing) + (chunk(body) if body else b""), True
    length = len(body) if head.chunked else head.content_length
    # OPTIONS has no body here (see ``body_agrees``) and needs no length (RFC 9110 §8.6).
    framing = b"Content-Length: %d\r\n" % length if length or head.method == b"POST" else b""
    return _head(asked, head, target, framing) + body, False


def _head(asked: Asked, head: RequestHead, target: bytes, framing: bytes) -> bytes:
    assert asked.fields is not None
    return request_head(head.method, target, head.named[b"host"], asked.fields, framing)


def more(octets: bytes, *, last: bool) -> bytes:
    """A further piece of a body in chunks."""
    return (chunk(octets) if octets else b"") + (LAST_CHUNK if last else b"")


def may_wait(asked: Asked) -> bool:
    """Whether the mail server may keep the request waiting: a Ping, and a Sync from 12.1 on."""
    if asked.query.command not in PARKING:
        return False
    return asked.query.command is Command.PING or (asked.version is not None and asked.version >= Version.V12_1)
