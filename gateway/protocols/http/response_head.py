"""The head of a back end's answer, which may be odd: old servers, broken ones, captured ones (RFC 9112 §4, §6.3).

What cannot be framed with certainty is refused; the proxy answers 502 then.
"""

import re
from typing import Final, NamedTuple

from gateway.domain.errors import DomainError

HEAD_LONGEST: Final = 64 << 10
LENGTH_DIGITS: Final = 15

_HEAD = re.compile(
    rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t -~\x80-\xff]*+))?\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[^\x00-\x08\x0a-\x1f\x7f]*+\r\n)*+)\r\n\Z"
)
_FIELD = re.compile(rb"([^:]++):[\t ]*+([^\r]*+)\r\n")
"""For a block that ``_HEAD`` has recognised."""


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
    fields = fields_of(block)
    named = {name.lower(): value for name, value in fields}
    if len(named) != len(fields):
        _check_repeated(fields)
    length, chunked = _framing(named)
    # A body where none may be (RFC 9110 §6.4.1): if it comes after all, it would be taken for the next answer.
    bodiless = status in (204, 304)
    untrue = bodiless and (chunked or bool(length))
    if status < 200 or bodiless or request_method == b"HEAD":
        length, chunked = 0, False
    # A list may stand on several lines (RFC 9110 §5.3).
    closing = b"connection" in named and any(
        b"close" in value.lower() for name, value in fields if name.lower() == b"connection"
    )
    keep_alive = minor == b"1" and not closing and not untrue and (chunked or length is not None)
    return ResponseHead(status, reason or b"", fields, length, chunked, keep_alive)


def fields_of(block: bytes) -> list[tuple[bytes, bytes]]:
    """Names and values of recognised header lines, without blanks around the values."""
    fields = _FIELD.findall(block)
    if b" \r\n" in block or b"\t\r\n" in block:
        return [(name, value.rstrip(b"\t ")) for name, value in fields]
    return fields


def _check_repeated(fields: list[tuple[bytes, bytes]]) -> None:
    """What frames the body stands once, or says the same twice."""
    lengths = {value for name, value in fields if name.lower() == b"content-length"}
    codings = [value for name, value in fields if name.lower() == b"transfer-encoding"]
    if len(lengths) > 1 or len(codings) > 1:
        raise BadResponse("the mail server's answer has two lengths or codings")


def _framing(named: dict[bytes, bytes]) -> tuple[int | None, bool]:
    """Length and whether chunked (RFC 9112 §6.3)."""
    length, coding = named.get(b"content-length"), named.get(b"transfer-encoding")
    if coding is not None:
        if coding.lower() != b"chunked":
            raise BadResponse("the mail server's answer has an unknown transfer coding")
        if length is not None:
            raise BadResponse("the mail server's answer has a length beside chunks")
        return None, True
    if length is None:
        return None, False
    if not length.isdigit() or len(length) > LENGTH_DIGITS:
        raise BadResponse("the mail server's answer has a malformed length")
    return int(length), False
