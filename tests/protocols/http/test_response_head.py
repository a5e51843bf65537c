"""Answers' heads: odd ones are read as others read them, and what cannot be framed is refused."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.protocols.http.response_head import BadResponse, ResponseHead, fields_of, parse_response
from tests.protocols.http.peers import NotAccepted, by_h11_response, by_httptools_response
from tests.support.evidence_strategies import thorough


def head(*lines: bytes, line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([line, *lines, b"", b""])


def is_refused(octets: bytes, method: bytes = b"POST") -> bool:
    try:
        parse_response(octets, method)
    except BadResponse:
        return True
    return False


def test_a_usual_head() -> None:
    assert parse_response(head(b"Content-Length: 12", b"X-Empty:", b"X-Blanks: \t a  b \t"), b"POST") == ResponseHead(
        status=200,
        reason=b"OK",
        fields=[(b"Content-Length", b"12"), (b"X-Empty", b""), (b"X-Blanks", b"a  b")],
        content_length=12,
        chunked=False,
        keep_alive=True,
    )


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        (b"HTTP/1.1 200", 200, b""),
        (b"HTTP/1.1 200 ", 200, b""),
        (b"HTTP/1.1 404 Not Found", 404, b"Not Found"),
        (b"HTTP/1.1 449 Retry after \xe4", 449, b"Retry after \xe4"),
        (b"HTTP/1.1 200 a\tb", 200, b"a\tb"),
        (b"HTTP/1.1 200  OK", 200, b" OK"),
        (b"HTTP/1.0 599 Odd", 599, b"Odd"),
        (b"HTTP/1.1 100 Continue", 100, b"Continue"),
    ],
)
def test_status_lines(line: bytes, status: int, reason: bytes) -> None:
    found = parse_response(head(line=line), b"GET")
    assert (found.status, found.reason) == (status, reason)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"HTTP/1.1",
        b"HTTP/1.1 ",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 600 OK",
        b"HTTP/1.1 099 OK",
        b"HTTP/1.1 000 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1\t200 OK",
        b"HTTP/1.2 200 OK",
        b"HTTP/2 200 OK",
        b"HTTP/2.0 200 OK",
        b"HTTP/0.9 200 OK",
        b"http/1.1 200 OK",
        b"ICY 200 OK",
        b"HTTP/1.1 200OK",
        b"HTTP/1.1 +20 OK",
        b"HTTP/1.1 2x0 OK",
        b"HTTP/1.1 200 O\0K",
        b"HTTP/1.1 200 O\x1bK",
        b"HTTP/1.1 200 O\x7fK",
        b"HTTP/1.1 200 O\rK",
        b"HTTP/1.1 200 O\nK",
        b" HTTP/1.1 200 OK",
        b"\r\nHTTP/1.1 200 OK",
        b"<html>",
        b"SSH-2.0-OpenSSH_9.9",
        b"220 mail.example ESMTP",
    ],
)
def test_status_lines_that_are_refused(line: bytes) -> None:
    assert is_refused(head(line=line))


@pytest.mark.parametrize(
    "field",
    [
        b"X-A : b",
        b" X-A: b",
        b"X-A: b\r\n c",
        b"X-A: b\nX-B: c",
        b"X-A: b\rX-B: c",
        b"X-A: b\0",
        b"X-A: b\x0b",
        b"X-A: b\x7f",
        b"X-A",
        b": b",
        b"X A: b",
        b"X\xe4: b",
    ],
)
def test_field_lines_that_are_refused(field: bytes) -> None:
    assert is_refused(head(field))
    assert is_refused(head(field, b"Content-Length: 0"))


@pytest.mark.parametrize(
    "fields",
    [
        (b"Content-Length: 5", b"Content-Length: 6"),
        (b"Content-Length: 5", b"content-length: 05"),
        (b"Content-Length: 5, 5",),
        (b"Content-Length:",),
        (b"Content-Length: -5",),
        (b"Content-Length: +5",),
        (b"Content-Length: 5 5",),
        (b"Content-Length: 0x5",),
        (b"Content-Length: 5.0",),
        (b"Content-Length: \xb2",),
        (b"Content-Length: " + b"1" * 16,),
        (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: gzip, chunked",),
        (b"Transfer-Encoding: gzip",),
        (b"Transfer-Encoding: identity",),
        (b"Transfer-Encoding:",),
        (b"Transfer-Encoding: chunked, chunked",),
        (b"Transfer-Encoding: xchunked",),
    ],
)
def test_framing_that_is_refused(fields: tuple[bytes, ...]) -> None:
    assert is_refused(head(*fields))
    # Whatever the status: a proxy before us may not know that it has no body.
    assert is_refused(head(*fields, line=b"HTTP/1.1 304 Not Modified"))


@pytest.mark.parametrize(
    ("fields", "length", "chunked", "keep_alive"),
    [
        ((), None, False, False),
        ((b"Content-Length: 0",), 0, False, True),
        ((b"Content-Length: 005",), 5, False, True),
        ((b"Content-Length: 5", b"content-length:  5 "), 5, False, True),
        ((b"Transfer-Encoding: Chunked\t",), None, True, True),
        ((b"Content-Length: 5", b"Connection: close"), 5, False, False),
        ((b"Content-Length: 5", b"Connection: x-a, CLOSE"), 5, False, False),
        ((b"Transfer-Encoding: chunked", b"Connection: keep-alive"), None, True, True),
        ((b"Content-Length: 5", b"Connection: close", b"Connection: keep-alive"), 5, False, False),
        ((b"Content-Length: 5", b"Connection: x-a", b"connection: close"), 5, False, False),
    ],
)
def test_framing(fields: tuple[bytes, ...], length: int | None, chunked: bool, keep_alive: bool) -> None:
    found = parse_response(head(*fields), b"POST")
    assert (found.content_length, found.chunked, found.keep_alive) == (length, chunked, keep_alive)
    old = parse_response(head(*fields, line=b"HTTP/1.0 200 OK"), b"POST")
    assert (old.content_length, old.chunked, old.keep_alive) == (length, chunked, False)


@pytest.mark.parametrize(
    ("line", "method"),
    [
        (b"HTTP/1.1 204 No Content", b"POST"),
        (b"HTTP/1.1 304 Not Modified", b"GET"),
        (b"HTTP/1.1 100 Continue", b"POST"),
        (b"HTTP/1.1 103 Early Hints", b"POST"),
        (b"HTTP/1.1 200 OK", b"HEAD"),
    ],
)
@pytest.mark.parametrize("fields", [(), (b"Content-Length: 5",), (b"Transfer-Encoding: chunked",)])
def test_answers_without_a_body(line: bytes, method: bytes, fields: tuple[bytes, ...]) -> None:
    """RFC 9112 §6.3, whatever their fields say; what they say may still come, and must not be the next answer."""
    found = parse_response(head(*fields, line=line), method)
    untrue = bool(fields) and found.status in (204, 304)
    assert (found.content_length, found.chunked, found.keep_alive) == (0, False, not untrue)


def test_a_head_is_whole_or_none() -> None:
    whole = head(b"Content-Length: 5")
    for end in range(len(whole)):
        assert is_refused(whole[:end])
    for more in (b"x", b"\r\n", whole):
        assert is_refused(whole + more)


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 200 " + b" " * 60_000 + b"\x01\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A:" + b" " * 60_000 + b"\x01\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 8_000 + b"\x01\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X" * 60_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: " + b" a" * 30_000 + b"\x01\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"Content-Length: 1\r\n" * 3_000 + b"Content-Length: 2\r\n\r\n",
    ],
    ids=range(6),
)
def test_no_head_takes_long(octets: bytes) -> None:
    began = time.process_time()
    assert is_refused(octets)
    assert time.process_time() - began < 0.5


def test_blanks_are_none_of_the_value() -> None:
    assert fields_of(b"A: b \t\r\nC:\r\nD:   \r\nE: f g\r\n") == [
        (b"A", b"b"),
        (b"C", b""),
        (b"D", b""),
        (b"E", b"f g"),
    ]


ODD = st.sampled_from([b"", b" ", b"\t", b"\r", b"\n", b"\0", b":", b",", b"\x7f", b"\xff", b"\r\n", b"\r\n "])
FIELDS = st.builds(
    lambda name, odd, before, value: name + odd + b":" + before + value,
    st.sampled_from([b"Content-Length", b"Transfer-Encoding", b"Connection", b"X-A", b"content-length"]),
    st.one_of(st.just(b""), st.just(b""), st.just(b""), ODD),
    st.sampled_from([b"", b" ", b"\t"]),
    st.sampled_from([b"5", b"05", b"5, 5", b"chunked", b"Chunked", b"identity", b"close", b"keep-alive", b"", b"a b"])
    | st.binary(max_size=4),
)
HEADS = st.builds(
    lambda version, status, reason, fields: head(*fields, line=b"HTTP/" + version + b" " + status + reason),
    st.sampled_from([b"1.1", b"1.1", b"1.0", b"2.0"]),
    st.sampled_from([b"200", b"204", b"304", b"404", b"449", b"500", b"503", b"599", b"20", b"600"]),
    st.sampled_from([b" OK", b" ", b"", b" a\tb", b" \xe4", b"  x"]),
    st.lists(FIELDS, max_size=3),
)
MUTATIONS = st.lists(st.tuples(st.integers(0, 120), st.integers(0, 2), ODD | st.binary(max_size=2)), max_size=2)
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


@thorough
@given(HEADS, MUTATIONS)
@example(head(b"Content-Length: 5", b"Content-Length: 5"), [])
@example(head(b"Transfer-Encoding: chunked"), [])
@example(head(b"Transfer-Encoding: chunked", line=b"HTTP/1.1 304"), [])
def test_what_we_accept_h11_accepts_with_the_same_meaning(
    octets: bytes, mutations: list[tuple[int, int, bytes]]
) -> None:
    for place, cut, put in mutations:
        octets = octets[:place] + put + octets[place + cut :]
    try:
        ours = parse_response(octets, b"GET")
    except BadResponse:
        return
    if ours.status < 200:
        return
    length = min(5000, 7 if ours.content_length is None else ours.content_length)
    body = CHUNKS if ours.chunked else bytes(length)
    if ours.content_length is not None and ours.content_length > 5000:
        return
    try:
        seen = by_h11_response(octets + body, b"GET", ended=ours.content_length is None and not ours.chunked)
    except NotAccepted as error:
        raise AssertionError((error, octets)) from None
    assert (seen.status, seen.whole) == (ours.status, True)
    assert seen.body == (b"hello" if ours.chunked else body)
    assert [name.lower() for name, _ in ours.fields if name.lower() == b"x-a"] == [
        name for name, _ in seen.fields if name == b"x-a"
    ]
    assert seen.keep_alive or not ours.keep_alive


@pytest.mark.parametrize(
    "octets",
    [
        head(b"Content-Length: 5") + b"hello",
        head(b"Transfer-Encoding: chunked") + CHUNKS,
        head(b"X-A:", b"X-B: \xe4 \t", b"Content-Length: 0"),
        head(line=b"HTTP/1.1 204 "),
        head(b"Content-Length: 5", line=b"HTTP/1.1 304 Not Modified"),
        head(b"Content-Length: 2", line=b"HTTP/1.0 449 Odd") + b"ab",
    ],
)
def test_httptools_agrees(octets: bytes) -> None:
    end = octets.index(b"\r\n\r\n") + 4
    ours, seen = parse_response(octets[:end], b"GET"), by_httptools_response(octets)
    assert (seen.status, seen.whole) == (ours.status, True)
    assert [(name, value.rstrip(b" \t")) for name, value in seen.fields] == ours.fields
