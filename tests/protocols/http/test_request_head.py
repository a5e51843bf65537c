"""Request heads, octet by octet: what is accepted, and what is refused under which name."""

import re
import time

import pytest

from gateway.protocols.http.request_head import FIELDS_MOST, BadRequest, RequestHead, parse_request

LINE = b"POST /Microsoft-Server-ActiveSync?Cmd=Ping HTTP/1.1"


def head(*lines: bytes, line: bytes = LINE, host: bytes = b"Host: mail.example") -> bytes:
    return b"\r\n".join([line, *([host] if host else []), *lines, b"", b""])


def refused(octets: bytes) -> tuple[str, int]:
    with pytest.raises(BadRequest) as error:
        parse_request(octets)
    return error.value.reason, error.value.status


def test_a_usual_head() -> None:
    found = parse_request(
        head(b"Authorization: Basic YTpi", b"content-LENGTH:12", b"X-Empty:", b"X-Blanks: \t a  b \t")
    )
    assert found == RequestHead(
        method=b"POST",
        path=b"/Microsoft-Server-ActiveSync",
        query=b"Cmd=Ping",
        fields=[
            (b"Host", b"mail.example"),
            (b"Authorization", b"Basic YTpi"),
            (b"content-LENGTH", b"12"),
            (b"X-Empty", b""),
            (b"X-Blanks", b"a  b"),
        ],
        named={
            b"host": b"mail.example",
            b"authorization": b"Basic YTpi",
            b"content-length": b"12",
            b"x-empty": b"",
            b"x-blanks": b"a  b",
        },
        content_length=12,
        chunked=False,
        keep_alive=True,
        expects_continue=False,
        modern=True,
    )


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", b"/", None),
        (b"/?", b"/", b""),
        (b"/a?b?c", b"/a", b"b?c"),
        (b"//a/../b", b"//a/../b", None),
        (b"/%00%2f", b"/%00%2f", None),
    ],
)
def test_targets_are_kept_as_they_came(target: bytes, path: bytes, query: bytes | None) -> None:
    found = parse_request(head(line=b"GET " + target + b" HTTP/1.1"))
    assert (found.path, found.query) == (path, query)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"GET http://mail.example/ HTTP/1.1", "absolute_form"),
        (b"GET HTTP://mail.example/ HTTP/1.1", "absolute_form"),
        (b"GET http://other.example/ HTTP/1.1", "absolute_form"),
        (b"GET https://mail.example:443/ HTTP/1.1", "absolute_form"),
        (b"CONNECT mail.example:443 HTTP/1.1", "absolute_form"),
        (b"CONNECT 192.0.2.1:443 HTTP/1.1", "request_line"),
        (b"OPTIONS * HTTP/1.1", "request_line"),
        (b"GET mail.example HTTP/1.1", "request_line"),
        (b"GET \\\\mail HTTP/1.1", "request_line"),
        (b"GET / HTTP/0.9", "request_line"),
        (b"GET / HTTP/1.2", "request_line"),
        (b"GET / HTTP/2.0", "request_line"),
        (b"GET / HTTP/2", "request_line"),
        (b"GET / HTTP/11.1", "request_line"),
        (b"GET / HTTP/1.1.1", "request_line"),
        (b"GET / http/1.1", "request_line"),
        (b"GET / HTTP/1,1", "request_line"),
        (b"GET /", "request_line"),
        (b"GET", "request_line"),
        (b"", "request_line"),
        (b"PRI * HTTP/2.0", "request_line"),
        (b"get / HTTP/1.1", "request_line"),
        (b"GeT / HTTP/1.1", "request_line"),
        (b"GE / HTTP/1.1", "request_line"),
        (b"G3T / HTTP/1.1", "request_line"),
        (b"M-SEARCH / HTTP/1.1", "request_line"),
        (b"A" * 21 + b" / HTTP/1.1", "request_line"),
        (b" GET / HTTP/1.1", "request_line"),
        (b"GET  / HTTP/1.1", "request_line"),
        (b"GET /  HTTP/1.1", "request_line"),
        (b"GET / HTTP/1.1 ", "request_line"),
        (b"GET\t/ HTTP/1.1", "request_line"),
        (b"GET\x0b/ HTTP/1.1", "request_line"),
        (b"GET /a b HTTP/1.1", "request_line"),
        (b"GET /a\tb HTTP/1.1", "request_line"),
        (b"GET /\x7f HTTP/1.1", "request_line"),
        (b"GET /\xc3\xa4 HTTP/1.1", "request_line"),
        (b"GET /\x01 HTTP/1.1", "request_line"),
        (b"GET /\0 HTTP/1.1", "nul"),
        (b"\r\nGET / HTTP/1.1", "request_line"),
        (b"GET / HTTP/1.1\r", "bare_line_end"),
        (b"GET / HTTP/1.1\n", "bare_line_end"),
        (b"\xff\xf4\xff\xfd\x06GET / HTTP/1.1", "request_line"),
        (b"\x16\x03\x01\x02\x02\x01", "request_line"),
        (b"EHLO mail.example", "request_line"),
    ],
)
def test_request_lines_that_are_refused(line: bytes, reason: str) -> None:
    assert refused(head(line=line)) == (reason, 400)


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        (b"X-A : b", "blank_before_colon"),
        (b"X-A\t: b", "blank_before_colon"),
        (b"Content-Length : 5", "blank_before_colon"),
        (b"Transfer-Encoding\t:chunked", "blank_before_colon"),
        (b" X-A: b", "folded_line"),
        (b"\tX-A: b", "folded_line"),
        (b"X-A: b\r\n c", "folded_line"),
        (b"X-A: b\r\n\tc", "folded_line"),
        (b"X-A: b\r\n ", "folded_line"),
        (b"X-A: b\nX-B: c", "bare_line_end"),
        (b"X-A: b\rX-B: c", "bare_line_end"),
        (b"X-A: b\r\r\nX-B: c", "bare_line_end"),
        (b"X-A: b\n\nGET / HTTP/1.1", "bare_line_end"),
        (b"X-A: b\0", "nul"),
        (b"X\0A: b", "nul"),
        (b"X-A: b\x01", "field_line"),
        (b"X-A: b\x0b", "field_line"),
        (b"X-A: b\x0c", "field_line"),
        (b"X-A: b\x1b[31m", "field_line"),
        (b"X-A: b\x7f", "field_line"),
        (b"X-A", "field_line"),
        (b": b", "field_line"),
        (b":", "field_line"),
        (b"X A: b", "field_line"),
        (b"X\xc3\xa4: b", "field_line"),
        (b"X\x80: b", "field_line"),
        (b"X(A): b", "field_line"),
        (b"X@A: b", "field_line"),
        (b'"X": b', "field_line"),
        (b"X/A: b", "field_line"),
        (b"A" * 65 + b": b", "field_line"),
        (b"=?utf-8?q?X?=: b", "field_line"),
    ],
)
def test_field_lines_that_are_refused(field: bytes, reason: str) -> None:
    assert refused(head(field)) == (reason, 400)
    assert refused(head(field, b"X-Last: 1")) == (reason, 400)


@pytest.mark.parametrize("value", [b"\xc3\xa4", b"\x80\xff", b"a\tb", b"", b"a:b", b'()<>@,;\\"/[]?={}', b"x" * 20_000])
def test_values_that_are_kept(value: bytes) -> None:
    assert parse_request(head(b"X-A: " + value)).named[b"x-a"] == value


def test_every_octet_in_a_name_and_in_a_value() -> None:
    token = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    for octet in range(256):
        one = bytes((octet,))
        for lines, accepted in [
            (head(b"X" + one + b"A: b"), one in token or one == b":"),
            (head(b"X-A: b" + one + b"c"), one == b"\t" or (octet >= 32 and octet != 127)),
            (head(line=b"GET /a" + one + b"c HTTP/1.1"), 33 <= octet <= 126),
        ]:
            try:
                parse_request(lines)
            except BadRequest:
                assert not accepted, (octet, lines)
            else:
                assert accepted, (octet, lines)


@pytest.mark.parametrize(
    "fields",
    [
        (b"Content-Length: 5", b"Content-Length: 5"),
        (b"Content-Length: 5", b"content-length: 6"),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"TRANSFER-ENCODING: identity"),
        (b"Host: other.example",),
        (b"host: mail.example",),
        (b"Authorization: Basic YTpi", b"Authorization: Basic Yzpk"),
        (b"Content-Type: a/b", b"content-type: c/d"),
        (b"Content-Encoding: gzip", b"Content-Encoding: br"),
        (b"Expect: 100-continue", b"Expect: 100-continue"),
    ],
)
def test_what_may_stand_once(fields: tuple[bytes, ...]) -> None:
    assert refused(head(*fields)) == ("repeated_field", 400)


def test_other_fields_may_repeat() -> None:
    found = parse_request(head(b"X-A: 1", b"x-a: 2", b"Cookie: a", b"Cookie: b"))
    assert found.fields[1:] == [(b"X-A", b"1"), (b"x-a", b"2"), (b"Cookie", b"a"), (b"Cookie", b"b")]
    assert found.named[b"x-a"] == b"2"


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"Host:",
        b"Host: a b",
        b"Host: a,b",
        b"Host: user@mail.example",
        b"Host: mail.example/path",
        b"Host: mail.example:",
        b"Host: mail.example:443443",
        b"Host: mail.example:-1",
        b"Host: http://mail.example",
        b"Host: [::1",
        b"Host: [::1]x",
        b"Host: [::g]",
        b"Host: m\xc3\xa4il.example",
        b"Host: mail_example",
        b"Host: " + b"a" * 254,
    ],
)
def test_hosts_that_are_refused(host: bytes) -> None:
    assert refused(head(host=host)) == ("host", 400)
    assert refused(head(host=host, line=b"GET / HTTP/1.0")) == ("host", 400)


@pytest.mark.parametrize(
    "host", [b"a", b"mail.example:8080", b"192.0.2.1", b"[::1]:443", b"[2001:db8::1]", b"A.B-c.d."]
)
def test_hosts(host: bytes) -> None:
    assert parse_request(head(host=b"Host: " + host)).named[b"host"] == host


@pytest.mark.parametrize(
    ("fields", "reason", "status"),
    [
        ((b"Content-Length: 5", b"Transfer-Encoding: chunked"), "length_and_coding", 400),
        ((b"Transfer-Encoding: chunked", b"Content-Length: 0"), "length_and_coding", 400),
        ((b"Transfer-Encoding: identity",), "transfer_coding", 400),
        ((b"Transfer-Encoding: gzip, chunked",), "transfer_coding", 501),
        ((b"Transfer-Encoding: chunked, chunked",), "transfer_coding", 400),
        ((b"Transfer-Encoding: chunked, identity",), "transfer_coding", 400),
        ((b"Transfer-Encoding: xchunked",), "transfer_coding", 400),
        ((b"Transfer-Encoding: chunked;q=1",), "transfer_coding", 400),
        ((b'Transfer-Encoding: "chunked"',), "transfer_coding", 400),
        ((b"Transfer-Encoding: \x0bchunked",), "field_line", 400),
        ((b"Transfer-Encoding: chunked\xa0",), "transfer_coding", 400),
        ((b"Transfer-Encoding: chunked\t",), "transfer_coding", 400),
        ((b"X-A: b", b"transfer-encoding:\tchunked"), "transfer_coding", 400),
        ((b"Transfer-Encoding:",), "transfer_coding", 400),
        ((b"Content-Length:",), "content_length", 400),
        ((b"Content-Length: -1",), "content_length", 400),
        ((b"Content-Length: +1",), "content_length", 400),
        ((b"Content-Length: 1.0",), "content_length", 400),
        ((b"Content-Length: 0x10",), "content_length", 400),
        ((b"Content-Length: 1 1",), "content_length", 400),
        ((b"Content-Length: 5, 5",), "content_length", 400),
        ((b"Content-Length: 5,6",), "content_length", 400),
        ((b"Content-Length: " + b"1" * 16,), "content_length", 400),
        ((b"Content-Length: \xb2",), "content_length", 400),
        ((b"Content-Length: 1_0",), "content_length", 400),
        ((b"Expect: 200-ok",), "expect", 417),
        ((b"Expect: 100-continue, x",), "expect", 417),
        ((b"Expect:",), "expect", 417),
    ],
)
def test_framing_that_is_refused(fields: tuple[bytes, ...], reason: str, status: int) -> None:
    assert refused(head(*fields)) == (reason, status)


@pytest.mark.parametrize(
    ("fields", "length", "chunked"),
    [
        ((), 0, False),
        ((b"Content-Length: 0",), 0, False),
        ((b"Content-Length: 0005",), 5, False),
        ((b"Content-Length:\t 999999999999999 ",), 999_999_999_999_999, False),
        ((b"Transfer-Encoding: chunked",), 0, True),
        ((b"TRANSFER-ENCODING:  CHUNKED ",), 0, True),
        ((b"X-A: a\tb\t", b"Transfer-Encoding: chunked", b"X-B:\t"), 0, True),
    ],
)
def test_framing(fields: tuple[bytes, ...], length: int, chunked: bool) -> None:
    found = parse_request(head(*fields))
    assert (found.content_length, found.chunked) == (length, chunked)


def test_a_client_of_the_old_version() -> None:
    old = b"POST / HTTP/1.0"
    found = parse_request(head(b"Connection: keep-alive", b"Expect: 100-continue", line=old))
    assert (found.modern, found.keep_alive, found.expects_continue) == (False, False, False)
    # RFC 9112 §6.1: a coding in HTTP/1.0 is faulty framing.
    assert refused(head(b"Transfer-Encoding: chunked", line=old)) == ("transfer_coding", 400)


@pytest.mark.parametrize(
    ("value", "keep_alive"),
    [(b"keep-alive", True), (b"close", False), (b"Close", False), (b"upgrade, close", False), (b"upgrade", True)],
)
def test_whether_the_connection_stays(value: bytes, keep_alive: bool) -> None:
    assert parse_request(head(b"Connection: " + value)).keep_alive is keep_alive


@pytest.mark.parametrize("order", [(b"close", b"x-a"), (b"x-a", b"close")])
def test_whether_the_connection_stays_by_two_fields(order: tuple[bytes, bytes]) -> None:
    assert not parse_request(head(*(b"Connection: " + value for value in order))).keep_alive


def test_an_upgrade_is_no_reason_to_refuse() -> None:
    assert parse_request(head(b"Upgrade: websocket", b"Connection: Upgrade")).named[b"upgrade"] == b"websocket"


def test_expect() -> None:
    assert parse_request(head(b"Expect: 100-Continue", b"Content-Length: 5")).expects_continue


def test_how_many_fields() -> None:
    many = [b"X-%d: 1" % number for number in range(FIELDS_MOST - 1)]
    assert len(parse_request(head(*many)).fields) == FIELDS_MOST
    assert refused(head(*many, b"X-More: 1")) == ("too_many_fields", 431)


@pytest.mark.parametrize(
    "octets",
    [
        b"GET " + b"/" * 60_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X-A:" + b" " * 60_000 + b"\x01\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 8_000 + b"\x01\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X" * 60_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nX-A: " + b"\r" * 60_000 + b"\r\n\r\n",
        b"G" * 60_000,
        b"GET / HTTP/1.1\r\nX-A: " + b" a" * 30_000 + b"\x01\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X-A" + b" " * 60_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 4_000 + b" \t" * 10_000 + b"\r\n\r\n",
    ],
    ids=range(9),
)
def test_no_head_takes_long(octets: bytes) -> None:
    """Anybody may send these: the time grows with the octets, not with their square."""
    began = time.process_time()
    with pytest.raises(BadRequest):
        parse_request(octets)
    assert time.process_time() - began < 0.5


def test_a_head_is_whole_or_none() -> None:
    whole = head(b"Content-Length: 5")
    for end in range(len(whole)):
        with pytest.raises(BadRequest):
            parse_request(whole[:end])
    for more in (b"x", b"\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        with pytest.raises(BadRequest):
            parse_request(whole + more)


def test_the_names_of_refusals_are_names() -> None:
    """They are labels of metrics."""
    for octets in (head(line=b""), head(b"x"), head(b"Expect: x"), head(host=b""), head(b" x"), head(b"x :")):
        assert re.fullmatch("[a-z_]+", refused(octets)[0])
