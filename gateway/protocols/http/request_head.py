"""A request's head, understood whole or refused whole (RFC 9112 §2–§6).

One expression recognises the entire head, so nothing passes that was not looked at; whatever two servers might read
differently is refused: bare LF or CR, folded lines, blanks before a colon, two lengths, a length beside chunks, a
target that is not a plain path.
"""

import re
from typing import Final, NamedTuple

from gateway.domain.errors import DomainError

HEAD_LONGEST: Final = 32 << 10
"""Octets of a head, tokens of 16 KiB included."""
FIELDS_MOST: Final = 64

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
# Possessive throughout: no head, however long, makes the expression go back over it.
_HEAD = re.compile(
    rb"([A-Z]{3,20}+) (/[!-~]*+) HTTP/1\.([01])\r\n"
    rb"((?:" + _TOKEN + rb"{1,64}+:[^\x00-\x08\x0a-\x1f\x7f]*+\r\n)*+)\r\n\Z"
)
_FIELD = re.compile(rb"([^:\r\n]+):[\t ]*((?:[^\r\n]*[^\t \r\n])?)[\t ]*\r\n")
_HOST = re.compile(rb"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z")
_LENGTH = re.compile(rb"[0-9]{1,15}\Z")
# Another coding within the chunks, which is framed and not understood (RFC 9112 §6.1); anything else is no framing.
_CODED = re.compile(rb"(?!chunked\b)" + _TOKEN + rb"{1,32}+[\t ]*+,[\t ]*+chunked\Z", re.IGNORECASE)
_TABBED_CODING = re.compile(rb"(?:\A|\n)(?i:transfer-encoding):[^\r]*\t")
"""RFC 9110 §5.5 lets a tab stand around a value, yet some servers take ``chunked`` and a tab for no chunks."""


class BadRequest(DomainError):  # noqa: N818  (the name of the status)
    """A head that is refused; ``status`` is the answer's, ``reason`` a name for the metrics."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


def why_hopeless(octets: bytes, limit: int) -> BadRequest | None:
    """Why the beginning of a head will never be one, if it is known already."""
    if len(octets) >= limit:
        return BadRequest("head_too_long", 431)
    if b"\0" in octets:
        return BadRequest("nul")
    if b"\n\n" in octets:
        # It never ends with CRLF CRLF: no use in waiting for that.
        return BadRequest("bare_line_end")
    return None


class RequestHead(NamedTuple):
    """A request line and its fields."""

    method: bytes
    path: bytes
    query: bytes | None
    """Behind the first question mark; None: there is none."""
    fields: list[tuple[bytes, bytes]]
    """Name and value as received, without blanks around the value."""
    named: dict[bytes, bytes]
    """The same by lower-case name; of repeated names the last, of Connection all."""
    content_length: int
    """0 without a body; meaningless when ``chunked``."""
    chunked: bool
    keep_alive: bool
    expects_continue: bool
    modern: bool
    """HTTP/1.1; a client of 1.0 knows no chunks (RFC 9112 §6.1)."""


def parse_request(head: bytes) -> RequestHead:
    """Understand a head, from the request line to the empty line inclusive. Raises ``BadRequest``."""
    found = _HEAD.match(head)
    if found is None:
        raise BadRequest(_why_not(head))
    method, target, minor, block = found.groups()
    fields = _FIELD.findall(block)
    named = {name.lower(): value for name, value in fields}
    if len(named) != len(fields):
        _check_repeated(fields)
        if b"connection" in named:
            # RFC 9110 §5.3: several lines are one list, and each of them may say close.
            named[b"connection"] = b", ".join(value for name, value in fields if name.lower() == b"connection")
    if len(fields) > FIELDS_MOST:
        raise BadRequest("too_many_fields", 431)
    host = named.get(b"host")
    if host is None or not _HOST.match(host):
        raise BadRequest("host")
    modern = minor == b"1"
    length, chunked = _framing(named, modern=modern)
    if chunked and _TABBED_CODING.search(block):
        raise BadRequest("transfer_coding")
    path, mark, query = target.partition(b"?")
    connection = named.get(b"connection")
    keep_alive = modern and (connection is None or b"close" not in connection.lower())
    expect = named.get(b"expect")
    if expect is not None and expect.lower() != b"100-continue":
        raise BadRequest("expect", 417)
    return RequestHead(
        method,
        path,
        query if mark else None,
        fields,
        named,
        length,
        chunked,
        keep_alive,
        expect is not None and modern,
        modern,
    )


_ONCE = frozenset(
    (
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"expect",
        b"authorization",
        b"content-type",
        b"content-encoding",
    )
)


def _check_repeated(fields: list[tuple[bytes, bytes]]) -> None:
    seen = set()
    for name, _ in fields:
        folded = name.lower()
        if folded in seen and folded in _ONCE:
            raise BadRequest("repeated_field")
        seen.add(folded)


def _framing(named: dict[bytes, bytes], *, modern: bool) -> tuple[int, bool]:
    """Length and whether chunked (RFC 9112 §6.3)."""
    coding, length = named.get(b"transfer-encoding"), named.get(b"content-length")
    if coding is not None:
        if length is not None:
            raise BadRequest("length_and_coding")
        if not modern or coding.lower() != b"chunked":
            raise BadRequest("transfer_coding", 501 if modern and _CODED.match(coding) else 400)
        return 0, True
    if length is None:
        return 0, False
    if not _LENGTH.match(length):
        raise BadRequest("content_length")
    return int(length), False


def _why_not(head: bytes) -> str:
    """A name for what is wrong, for metrics and tests."""
    line, _, rest = head.partition(b"\r\n")
    if b"\0" in head:
        return "nul"
    if b"\n" in head.replace(b"\r\n", b"") or b"\r" in head.replace(b"\r\n", b""):
        return "bare_line_end"
    if re.match(rb"[A-Z]+ [a-zA-Z][a-zA-Z0-9+.-]*:", line):
        return "absolute_form"
    if not re.match(rb"[A-Z]{3,20} /[!-~]* HTTP/1\.[01]\Z", line):
        return "request_line"
    if re.search(rb"(?:\A|\r\n)[ \t]", rest):
        return "folded_line"
    if re.search(rb"(?:\A|\r\n)[^:\r\n]*[ \t]:", rest):
        return "blank_before_colon"
    return "field_line"
