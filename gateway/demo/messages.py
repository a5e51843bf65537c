"""HTTP/1.1 messages from a stream, for both ends of the demo, by the gateway's own codec."""

import asyncio

from gateway.domain.errors import InvalidValue
from gateway.protocols.http.chunked import ChunkedReader
from gateway.protocols.http.request_head import RequestHead, parse_request
from gateway.protocols.http.response_head import ResponseHead, parse_response

BODY_LONGEST = 1 << 20


async def read_request(reader: asyncio.StreamReader) -> tuple[RequestHead, bytes] | None:
    """The next request; None at the end of the connection. Raises ``DomainError`` for what is no request."""
    octets = await _head(reader)
    if octets is None:
        return None
    head = parse_request(octets)
    return head, await _body(reader, head.content_length, chunked=head.chunked)


async def read_response(reader: asyncio.StreamReader, method: str) -> tuple[ResponseHead, bytes]:
    """The answer to a request of that method. Raises ``DomainError``, ``ConnectionError``."""
    octets = await _head(reader)
    if octets is None:
        raise ConnectionResetError("the connection was closed without an answer")
    head = parse_response(octets, method.encode())
    return head, await _body(reader, head.content_length, chunked=head.chunked)


async def _head(reader: asyncio.StreamReader) -> bytes | None:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise ConnectionResetError("the connection was closed within a message") from None
        return None
    except asyncio.LimitOverrunError:
        raise InvalidValue("the head of a message is too long") from None


async def _body(reader: asyncio.StreamReader, length: int | None, *, chunked: bool) -> bytes:
    if length is not None and length > BODY_LONGEST:
        raise InvalidValue("a message is longer than anything in the demo")
    try:
        if chunked:
            return await _chunks(reader)
        return await (reader.read(BODY_LONGEST) if length is None else reader.readexactly(length))
    except asyncio.IncompleteReadError:
        raise ConnectionResetError("the connection was closed within a message") from None


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    chunks, body = ChunkedReader(), b""
    while not chunks.done:
        octets = await reader.read(65536)
        if not octets:
            raise ConnectionResetError("the connection was closed within a message")
        content, _ = chunks.feed(octets)
        body += content
        if len(body) > BODY_LONGEST:
            raise InvalidValue("a message is longer than anything in the demo")
    return body
