"""What we write: h11 reads it as it was meant, and nothing in it breaks out of its line."""

from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.answer import Answer
from gateway.protocols.http.chunked import LAST_CHUNK, chunk
from gateway.protocols.http.request_head import parse_request
from gateway.protocols.http.response_head import parse_response
from gateway.protocols.http.writing import request_head, response_head, written
from tests.protocols.http.peers import by_h11_request, by_h11_response

NAMES = st.from_regex(rb"X-[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}", fullmatch=True)
VALUES = st.from_regex(rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]{0,20}[!-~\x80-\xff])?)?", fullmatch=True)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=8)
TARGETS = st.from_regex(rb"/[!-~]{0,30}", fullmatch=True)


def lowered(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in fields]


@given(st.sampled_from([b"GET", b"POST", b"OPTIONS", b"PROPFIND"]), TARGETS, FIELDS, st.binary(max_size=50))
def test_a_forwarded_request(method: bytes, target: bytes, fields: list[tuple[bytes, bytes]], body: bytes) -> None:
    framing = b"Content-Length: %d\r\n" % len(body)
    octets = request_head(method, target, b"mail.internal:8443", fields, framing)
    seen = by_h11_request(octets + body)
    assert (seen.method, seen.target, seen.body, seen.whole) == (method, target, body, True)
    own = [(b"host", b"mail.internal:8443"), *lowered(fields), (b"content-length", b"%d" % len(body))]
    assert seen.fields == own
    again = parse_request(octets)
    assert (again.method, again.content_length) == (method, len(body))
    assert again.fields[1:-1] == fields


@given(FIELDS, st.lists(st.binary(min_size=1, max_size=20), max_size=4))
def test_a_forwarded_request_in_chunks(fields: list[tuple[bytes, bytes]], pieces: list[bytes]) -> None:
    octets = request_head(b"POST", b"/", b"a", fields, b"Transfer-Encoding: chunked\r\n")
    seen = by_h11_request(octets + b"".join(map(chunk, pieces)) + LAST_CHUNK)
    assert (seen.body, seen.whole) == (b"".join(pieces), True)


def test_a_forwarded_request_without_a_body() -> None:
    seen = by_h11_request(request_head(b"GET", b"/", b"a", (), b""))
    assert (seen.fields, seen.body, seen.whole) == ([(b"host", b"a")], b"", True)


@given(
    st.sampled_from([200, 207, 401, 404, 449, 500, 503, 599]),
    st.sampled_from([b"", b"OK", b"Retry after sending a PROVISION command", b"a\tb"]),
    FIELDS,
    st.binary(max_size=50),
)
def test_a_forwarded_answer(status: int, reason: bytes, fields: list[tuple[bytes, bytes]], body: bytes) -> None:
    octets = response_head(status, reason, fields, b"Content-Length: %d\r\n" % len(body))
    seen = by_h11_response(octets + body, b"POST")
    assert (seen.status, seen.body, seen.whole) == (status, body, True)
    assert seen.fields == [*lowered(fields), (b"content-length", b"%d" % len(body))]
    again = parse_response(octets, b"POST")
    assert (again.status, again.reason, again.content_length) == (status, reason, len(body))
    assert again.fields[:-1] == fields


@pytest.mark.parametrize("close", [True, False])
@pytest.mark.parametrize("head_only", [True, False])
def test_an_answer_of_ours(close: bool, head_only: bool) -> None:
    answer = Answer(403, "Forbidden", (("X-A", "b"), ("X-A", "c")), b"no mail")
    octets = written(answer, close=close, head_only=head_only)
    seen = by_h11_response(octets, b"HEAD" if head_only else b"GET")
    assert (seen.status, seen.whole, seen.keep_alive) == (403, True, not close)
    assert seen.body == (b"" if head_only else b"no mail")
    fields = dict(seen.fields)
    # RFC 9110 §9.3.2: the length that a GET would have got.
    assert fields[b"content-length"] == b"7"
    assert [value for name, value in seen.fields if name == b"x-a"] == [b"b", b"c"]
    assert parsedate_to_datetime(fields[b"date"].decode()).tzinfo is not None


def test_an_answer_of_ours_with_odd_letters() -> None:
    """What Latin-1 cannot say becomes a question mark: a header never fails an answer."""
    octets = written(Answer(200, "OK", (("X-A", "é日"),), "é".encode()), close=False)
    seen = by_h11_response(octets, b"GET")
    assert (dict(seen.fields)[b"x-a"], seen.body) == (b"\xe9?", "é".encode())


@given(FIELDS)
def test_what_we_read_we_may_write(fields: list[tuple[bytes, bytes]]) -> None:
    """A head that passed the reading cannot become two by being written anew."""
    read = parse_request(request_head(b"GET", b"/", b"a", fields, b""))
    octets = request_head(read.method, read.path, read.named[b"host"], read.fields[1:], b"")
    assert parse_request(octets) == read
    assert octets.count(b"\r\n\r\n") == 1
