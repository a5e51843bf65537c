"""The head of a back end's answer, which may be odd: old servers, broken ones, captured ones (RFC 9112 §4, §6.3).

What cannot be framed with certainty is refused; the proxy answers 502 then.
"""

import re
from typing import Final, NamedTuple

from gateway.domain.errors import DomainError

HEAD_LONGEST: Final = 64 << 10

_HEAD = re.compile(
    rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t -~\x80-\xff]*+))?\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[^\x00-\x08\x0a-\x1f\x7f]*+\r\n)*+)\r\n\Z"
)
_FIELD = re.compile(rb"([^:\r\n]+):[\t ]*((?:[^\r\n]*[^\t \r\n])?)[\t ]*\r\n")
_LENGTH = re.compile(rb"[0-9]{1,15}\Z")


class BadResponse(DomainError):  # noqa: N818
    """An answer that cannot be passed on."""


class ResponseHead(NamedTuple):
    """A status line and its fields."""

    status: int
    reason: bytes
    fields: list[tuple[bytes, bytes]]
    content_length: int | None
    """None: chunked, or until the connection closes."""
    chunked: bool
    keep_alive: bool
    """The connection may be used again once the body is read to its end."""


def parse_response(head: bytes, request_method: bytes) -> ResponseHead:
    """Understand a head up to the empty line inclusive. Raises ``BadResponse``."""
    found = _HEAD.match(head)
    if found is None:
        raise BadResponse("the mail server's answer has a malformed head")
    minor, status_text, reason, block = found.groups()
    status = int(status_text)
    fields = _FIELD.findall(block)
    length, chunked, closing = _framing(fields)
    if status < 200 or status in (204, 304) or request_method == b"HEAD":
        length, chunked = 0, False
    keep_alive = minor == b"1" and not closing and (chunked or length is not None)
    return ResponseHead(status, reason or b"", fields, length, chunked, keep_alive)


def _framing(fields: list[tuple[bytes, bytes]]) -> tuple[int | None, bool, bool]:
    length: bytes | None = None
    coding: bytes | None = None
    closing = False
    for name, value in fields:
        folded = name.lower()
        if folded == b"content-length":
            if length is not None and length != value:
                raise BadResponse("the mail server's answer has two lengths")
            length = value
        elif folded == b"transfer-encoding":
            if coding is not None or value.lower() != b"chunked":
                raise BadResponse("the mail server's answer has an unknown transfer coding")
            coding = value
        elif folded == b"connection":
            closing = closing or b"close" in value.lower()
    if coding is not None and length is not None:
        raise BadResponse("the mail server's answer has a length beside chunks")
    if length is not None and not _LENGTH.match(length):
        raise BadResponse("the mail server's answer has a malformed length")
    return None if length is None else int(length), coding is not None, closing
