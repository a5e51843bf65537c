"""Answers and forwarded heads as octets."""

from collections.abc import Iterable
from email.utils import formatdate

from gateway.protocols.answer import Answer

Pair = tuple[bytes, bytes]


def written(answer: Answer, *, close: bool, head_only: bool = False) -> bytes:
    """An answer of ours with its length; ``head_only`` for an answer to HEAD."""
    lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    lines.append(f"Date: {formatdate(usegmt=True)}")
    lines.append(f"Content-Length: {len(answer.body)}")
    if close:
        lines.append("Connection: close")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
    return head if head_only else head + answer.body


def request_head(method: bytes, target: bytes, host: bytes, fields: Iterable[Pair], framing: bytes) -> bytes:
    """The head of a request to the back end; ``framing`` is the complete line that frames the body, or nothing."""
    lines = b"".join([b"%b: %b\r\n" % pair for pair in fields])
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b%b\r\n" % (method, target, host, lines, framing)


def response_head(status: int, reason: bytes, fields: Iterable[Pair], framing: bytes) -> bytes:
    """The head of an answer that is passed on."""
    lines = b"".join([b"%b: %b\r\n" % pair for pair in fields])
    return b"HTTP/1.1 %d %b\r\n%b%b\r\n" % (status, reason, lines, framing)
