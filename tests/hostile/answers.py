"""Hostile and odd answers of a mail server: what they try, and all that may come of each.

Each answers anna's Sync on a connection that has served somebody before and, if it may, serves somebody after.
"""

from dataclasses import dataclass
from typing import Final

MAIL: Final = b"mail"
SECRET: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret"
"""A whole second answer: the next person's, if somebody takes it for that."""
BROKEN: Final = 503
"""Nothing that could be taken for a whole answer: 503, or a connection cut in the middle."""


@dataclass(frozen=True, slots=True)
class AnswerCase:
    """See the module."""

    name: str
    tries: str
    published: str
    octets: bytes
    gets: int
    """The status at the phone; ``BROKEN``."""
    body: bytes
    reused: bool
    """Whether another person's request may go over the same connection."""
    then: str
    """What the server does then: ``stays``, ``closes``, ``resets``; ``late``: it sends ``SECRET`` on the idle
    connection; ``waits``: it stays, and the gateway's patience ends.
    A Sync may wait for an hour, and is then told "no changes"."""
    shows: tuple[tuple[str, str], ...]
    """Header fields at the phone; those of these names are all that it gets."""


def answer(
    name: str,
    tries: str,
    published: str,
    octets: bytes,
    gets: int = BROKEN,
    body: bytes = MAIL,
    *,
    reused: bool | None = None,
    then: str = "stays",
    shows: tuple[tuple[str, str], ...] = (),
) -> AnswerCase:
    """A case; what is answered well is a connection that may serve another person, unless told otherwise."""
    may = gets != BROKEN and then == "stays" if reused is None else reused
    return AnswerCase(name, tries, published, octets, gets, body, may, then, shows)


def ok(*lines: bytes, body: bytes = MAIL, first: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """An answer with these lines, none of them added."""
    return b"\r\n".join([first, *lines, b"", b""]) + body


def sized(*lines: bytes, body: bytes = MAIL, first: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """An answer with a right length."""
    return ok(*lines, b"Content-Length: %d" % len(body), body=body, first=first)


def coded(body: bytes, *lines: bytes, first: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """An answer with these octets for its chunked body."""
    return ok(b"Transfer-Encoding: chunked", *lines, body=body, first=first)


_LENGTH = b"Content-Length: 4"
_CHUNKS = b"4\r\nmail\r\n0\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

INTERIM = (
    answer("100", "100, then the answer", "RFC 9110 §15.2", _CONTINUE + sized(), 200),
    answer("102", "102", "RFC 2518 §10.1", b"HTTP/1.1 102 Processing\r\n\r\n" + sized(), 200),
    answer("103", "103 with links", "RFC 8297 §2", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + sized(), 200),
    answer("199", "one nobody knows", "RFC 9110 §15", b"HTTP/1.1 199 x\r\n\r\n" + sized(), 200),
    answer(
        "103-cookie",
        "a cookie in an interim answer",
        "CVE-2016-8743 (Apache httpd)",
        ok(b"Set-Cookie: a=b", first=b"HTTP/1.1 103 x", body=b"") + sized(),
        200,
        shows=(("set-cookie", ""),),
    ),
    answer(
        "eight",
        "eight of them",
        "CVE-2018-1000007 (curl) class: unbounded interim answers",
        _CONTINUE * 8 + sized(),
        200,
    ),
    answer("nine", "one more than is borne", "unbounded interim answers", _CONTINUE * 9 + sized()),
    answer("thousands", "and no end of them", "unbounded interim answers", _CONTINUE * 3000),
    answer(
        "101",
        "another protocol",
        "h2c Smuggling (2020); RFC 9110 §15.2.2",
        ok(b"Upgrade: h2c", b"Connection: Upgrade", first=b"HTTP/1.1 101 Switching Protocols"),
    ),
    answer(
        "100-with-body",
        "an interim answer with a body",
        "RFC 9110 §15.2",
        ok(_LENGTH, first=b"HTTP/1.1 100 Continue") + sized(),
    ),
    answer(
        "100-with-answer-for-a-body",
        "its body is an answer",
        "HTTP/1.1 Must Die (2025)",
        ok(b"Content-Length: %d" % len(SECRET), first=b"HTTP/1.1 100 Continue", body=SECRET) + sized(),
        200,
        b"secret",
        reused=False,
    ),
    answer(
        "100-two-framings",
        "length and chunks in an interim answer",
        "RFC 9112 §6.3",
        ok(_LENGTH, b"Transfer-Encoding: chunked", first=b"HTTP/1.1 100 Continue", body=b"") + sized(),
    ),
    answer(
        "100-behind",
        "an interim answer behind the final one",
        "CVE-2024-24791 (Go)",
        sized() + _CONTINUE,
        200,
        reused=False,
    ),
    answer("100-alone", "an interim answer, then the end", "RFC 9110 §15.2", _CONTINUE, then="closes"),
    answer(
        "100-for-ever",
        "an interim answer, then nothing",
        "RFC 9110 §15.2",
        _CONTINUE,
        200,
        b"",
        reused=False,
        then="waits",
    ),
)

LENGTHS = (
    answer("two-equal", "the same length twice", "RFC 9110 §8.6", ok(_LENGTH, _LENGTH), 200),
    answer("two", "two lengths", "RFC 9112 §6.3; Watchfire (2005)", ok(_LENGTH, b"Content-Length: 2")),
    answer("two-other-case", "two lengths, one in lower case", "HDiff (2022)", ok(b"content-length: 2", _LENGTH)),
    answer("list", "4, 4", "RFC 9110 §8.6", ok(b"Content-Length: 4, 4")),
    answer("plus", "+4", "CVE-2021-32715 (hyper)", ok(b"Content-Length: +4")),
    answer("minus", "-4", "RFC 9110 §8.6", ok(b"Content-Length: -4")),
    answer("hexadecimal", "0x4", "http-garden proxy bug 1", ok(b"Content-Length: 0x4")),
    answer("blank", "4 4", "RFC 9110 §8.6", ok(b"Content-Length: 4 4")),
    answer("empty", "no number", "CVE-2023-40225 (HAProxy)", ok(b"Content-Length:")),
    answer("superscript", "a digit of Latin-1", "Python's isdigit()", ok(b"Content-Length: \xb2")),
    answer("underscore", "1_0", "http-garden server bug 10", ok(b"Content-Length: 1_0", body=b"0123456789")),
    answer("vertical-tab", "4\\x0b", "CVE-2019-18277 (HAProxy)", ok(b"Content-Length: 4\x0b")),
    answer("leading-zeros", "0004", "RFC 9110 §8.6", ok(b"Content-Length: 0004"), 200),
    answer("over-64-bits", "2^64 + 4", "RFC 9110 §8.6", ok(b"Content-Length: 18446744073709551620")),
    answer(
        "and-chunks", "length and chunks", "RFC 9112 §6.3", ok(_LENGTH, b"Transfer-Encoding: chunked", body=_CHUNKS)
    ),
    answer(
        "chunks-and-length",
        "chunks and length",
        "RFC 9112 §6.3",
        ok(b"Transfer-Encoding: chunked", _LENGTH, body=_CHUNKS),
    ),
    answer("blank-before-colon", "Content-Length : 4", "RFC 9112 §5.1", ok(b"Content-Length : 4")),
    answer(
        "underscore-in-name",
        "Content_Length beside the length",
        "HTTP Desync Attacks (2019)",
        sized(b"Content_Length: 2"),
        200,
    ),
    answer("longer", "more is stated than comes", "RFC 9112 §8", ok(b"Content-Length: 400"), then="closes"),
    answer("longer-and-waits", "the rest never comes", "slow read", ok(b"Content-Length: 400"), then="waits"),
    answer(
        "longer-no-body",
        "a length, and nothing of the body",
        "RFC 9112 §8",
        ok(b"Content-Length: 400", body=b""),
        then="closes",
    ),
    answer(
        "shorter",
        "more comes than is stated",
        "response queue poisoning (2021)",
        ok(_LENGTH, body=b"mail and more"),
        200,
        reused=False,
    ),
    answer(
        "shorter-by-an-answer",
        "what is too much is a whole answer",
        "response queue poisoning (2021)",
        sized() + SECRET,
        200,
        reused=False,
    ),
    answer(
        "nothing-stated-but-body",
        "length 0 and a body",
        "response queue poisoning (2021)",
        ok(b"Content-Length: 0", body=SECRET),
        200,
        b"",
        reused=False,
    ),
    answer(
        "late",
        "a whole answer on the idle connection",
        "response queue poisoning (2021)",
        sized(),
        200,
        reused=False,
        then="late",
    ),
    answer("until-the-end", "no length: until the connection ends", "RFC 9112 §6.3", ok(), 200, then="closes"),
    answer(
        "until-the-end-kept-alive",
        "no length on a connection that is said to stay",
        "RFC 9112 §6.3",
        ok(b"Connection: keep-alive"),
        200,
        then="closes",
    ),
    answer(
        "until-the-end-two-answers",
        "no length: a second answer is part of the first",
        "RFC 9112 §6.3",
        ok(body=MAIL + SECRET),
        200,
        MAIL + SECRET,
        then="closes",
    ),
    answer("until-reset", "no length, and the end is a reset", "RFC 9112 §8", ok(), then="resets"),
    answer("until-never", "no length and no end", "RFC 9112 §8", ok(), then="waits"),
)

CODINGS = (
    answer("chunked", "chunks", "RFC 9112 §7.1", coded(_CHUNKS), 200),
    answer("upper-case", "CHUNKED", "RFC 9112 §7", ok(b"TRANSFER-ENCODING: CHUNKED", body=_CHUNKS), 200),
    answer("old", "chunks in HTTP/1.0", "RFC 9112 §6.1", coded(_CHUNKS, first=b"HTTP/1.0 200 OK"), 200, reused=False),
    answer("gzip", "gzip, chunked", "RFC 9112 §6.1", ok(b"Transfer-Encoding: gzip, chunked", body=_CHUNKS)),
    answer(
        "twice",
        "chunked twice",
        "http-garden proxy bug 25",
        ok(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=_CHUNKS),
    ),
    answer(
        "chunked-chunked", "chunked, chunked", "RFC 9112 §6.1", ok(b"Transfer-Encoding: chunked, chunked", body=_CHUNKS)
    ),
    answer("identity", "identity", "CVE-2021-33037 (Tomcat)", ok(b"Transfer-Encoding: identity")),
    answer("xchunked", "xchunked", "HTTP Desync Attacks (2019)", ok(b"Transfer-Encoding: xchunked", body=_CHUNKS)),
    answer("parameter", "chunked;q=1", "RFC 9112 §7.1", ok(b"Transfer-Encoding: chunked;q=1", body=_CHUNKS)),
    answer("comma", ",chunked", "http-garden proxy bug 18", ok(b"Transfer-Encoding: ,chunked", body=_CHUNKS)),
    answer(
        "vertical-tab", "\\x0bchunked", "CVE-2019-18277 (HAProxy)", ok(b"Transfer-Encoding: \x0bchunked", body=_CHUNKS)
    ),
    answer(
        "folded",
        "chunked on the next line",
        "CVE-2022-32215 (llhttp)",
        ok(b"Transfer-Encoding:\r\n chunked", body=_CHUNKS),
    ),
    answer(
        "blank-before-colon",
        "Transfer-Encoding : chunked",
        "CVE-2019-16869 (Netty)",
        ok(b"Transfer-Encoding : chunked", _LENGTH),
    ),
    answer(
        "underscore",
        "Transfer_Encoding beside a length",
        "smuggler underjoin1",
        sized(b"Transfer_Encoding: chunked"),
        200,
    ),
)


def _bad(name: str, tries: str, published: str, body: bytes, then: str = "stays") -> AnswerCase:
    return answer(f"chunk-{name}", tries, published, coded(body), then=then)


CHUNKS = (
    answer(
        "chunk-extension",
        "an extension is dropped",
        "RFC 9112 §7.1.1",
        coded(b'4;a=b;c="d"\r\nmail\r\n0;e\r\n\r\n'),
        200,
    ),
    answer(
        "chunk-trailer",
        "a trailer is dropped",
        "RFC 9112 §7.1.2",
        coded(b"4\r\nmail\r\n0\r\nSet-Cookie: a=b\r\n\r\n"),
        200,
        shows=(("set-cookie", ""),),
    ),
    answer(
        "chunk-trailer-length",
        "a length in the trailer",
        "RFC 9110 §6.5.1",
        coded(b"4\r\nmail\r\n0\r\nContent-Length: 9\r\n\r\n"),
    ),
    answer("chunk-none", "no content", "RFC 9112 §7.1", coded(b"0\r\n\r\n"), 200, b""),
    answer(
        "chunk-answer-behind",
        "a whole answer behind the last chunk",
        "response queue poisoning (2021)",
        coded(_CHUNKS + SECRET),
        200,
        reused=False,
    ),
    answer(
        "chunk-octet-behind",
        "an octet behind the last chunk",
        "response queue poisoning (2021)",
        coded(_CHUNKS + b"\n"),
        200,
        reused=False,
    ),
    _bad("word", "no number", "http-garden server bug 47", b"4\r\nmail\r\nzz\r\n"),
    _bad("hex-prefix", "0x4", "http-garden server bug 25", b"0x4\r\nmail\r\n0\r\n\r\n"),
    _bad("plus", "+4", "http-garden server bug 25", b"+4\r\nmail\r\n0\r\n\r\n"),
    _bad("minus", "-4", "http-garden server bug 25", b"-4\r\nmail\r\n0\r\n\r\n"),
    _bad("blank", "a blank behind the size", "RFC 9112 §7.1.1", b"4 \r\nmail\r\n0\r\n\r\n"),
    _bad("overflow", "2^64 + 4", "CVE-2017-7657 (Jetty)", b"10000000000000004\r\nmail\r\n0\r\n\r\n"),
    _bad("lf", "LF behind the size", "CVE-2025-22871 (Go)", b"4\nmail\r\n0\r\n\r\n"),
    _bad("lf-content", "LF behind the content", "http-garden proxy bug 13", b"4\r\nmail\n0\r\n\r\n"),
    _bad("spill", "more content than stated", "Funky Chunks (2025)", b"2\r\nmail\r\n0\r\n\r\n"),
    _bad("lf-extension", "a bare LF in an extension", "Funky Chunks (2025) TERM.EXT", b"4;a\nb\r\nmail\r\n0\r\n\r\n"),
    _bad("long-extension", "an endless extension", "CVE-2024-22019 (Node.js)", b"4;a=" + b"b" * 5000),
    _bad("long-trailer", "an endless trailer", "CVE-2023-46589 (Tomcat)", b"4\r\nmail\r\n0\r\n" + b"X-A: b\r\n" * 2000),
    _bad("bad-trailer", "a trailer without a colon", "CVE-2023-46846 (Squid)", b"4\r\nmail\r\n0\r\nX\r\n\r\n"),
    _bad("no-end", "no last chunk, then the end", "RFC 9112 §8", b"4\r\nmail\r\n", then="closes"),
    _bad("half", "half a chunk, then the end", "RFC 9112 §8", b"40\r\nmail", then="closes"),
    _bad("half-reset", "half a chunk, then a reset", "RFC 9112 §8", b"40\r\nmail", then="resets"),
    _bad("for-ever", "half a chunk, then nothing", "slow read", b"40\r\nmail", then="waits"),
    _bad("no-last-line-end", "all but the last line end", "RFC 9112 §8", b"4\r\nmail\r\n0\r\n", then="closes"),
)


def _line(name: str, tries: str, published: str, first: bytes, gets: int = BROKEN, **more: bool) -> AnswerCase:
    return answer(f"line-{name}", tries, published, sized(first=first), gets, **more)  # type: ignore[arg-type]


STATUS_LINES = (
    _line("no-reason", "no reason", "RFC 9112 §4", b"HTTP/1.1 200 ", 200),
    _line("no-reason-no-blank", "no reason and no blank", "RFC 9112 §4", b"HTTP/1.1 200", 200),
    _line("8-bit-reason", "8-bit in the reason", "RFC 9112 §4", b"HTTP/1.1 200 \xe4", 200),
    _line("1.0", "HTTP/1.0", "RFC 9112 §9.3", b"HTTP/1.0 200 OK", 200, reused=False),
    _line("1.2", "HTTP/1.2", "RFC 9112 §2.3", b"HTTP/1.2 200 OK"),
    _line("2.0", "HTTP/2.0", "RFC 9112 §2.3", b"HTTP/2.0 200 OK"),
    _line("0.9", "HTTP/0.9", "RFC 9112 §2.3", b"HTTP/0.9 200 OK"),
    _line("lower-case", "http/1.1", "RFC 9112 §2.3", b"http/1.1 200 OK"),
    _line("icy", "ICY", "SHOUTcast", b"ICY 200 OK"),
    _line("two-digits", "20", "RFC 9110 §15", b"HTTP/1.1 20 OK"),
    _line("four-digits", "2000", "RFC 9110 §15", b"HTTP/1.1 2000 OK"),
    _line("600", "600", "RFC 9110 §15", b"HTTP/1.1 600 OK"),
    _line("000", "000", "RFC 9110 §15", b"HTTP/1.1 000 OK"),
    _line("sign", "+200", "RFC 9110 §15", b"HTTP/1.1 +20 OK"),
    _line("two-blanks", "two blanks", "RFC 9112 §4", b"HTTP/1.1  200 OK"),
    _line("leading-blank", "a blank first", "RFC 9112 §4", b" HTTP/1.1 200 OK"),
    _line("leading-line", "an empty line first", "RFC 9112 §2.2", b"\r\nHTTP/1.1 200 OK"),
    _line(
        "cr-in-reason",
        "a CR in the reason, and a cookie",
        "CWE-113 response splitting",
        b"HTTP/1.1 200 OK\rSet-Cookie: a=b",
    ),
    _line(
        "lf-in-reason",
        "an LF in the reason, and a cookie",
        "CWE-113 response splitting",
        b"HTTP/1.1 200 OK\nSet-Cookie: a=b",
    ),
    _line("nul-in-reason", "NUL in the reason", "RFC 9112 §4", b"HTTP/1.1 200 O\0K"),
    answer("body-only", "a document without a head, as HTTP/0.9", "RFC 9112 §2.3", b"<html>mail</html>", then="closes"),
    answer("smtp", "another protocol", "ALPACA (2021)", b"220 mail.example ESMTP\r\n\r\n"),
    answer("tls-alert", "TLS where none is spoken", "ALPACA (2021)", bytes.fromhex("15030300020228") + b"\r\n\r\n"),
    answer("nothing", "the end in place of an answer", "RFC 9112 §9.3.1", b"", then="closes"),
    answer("reset", "a reset in place of an answer", "RFC 9112 §9.3.1", b"", then="resets"),
    answer("silence", "nothing", "slow read", b"", 200, b"", reused=False, then="waits"),
    answer("half-a-head", "half a head, then the end", "RFC 9112 §8", b"HTTP/1.1 200 OK\r\nContent-Le", then="closes"),
    answer(
        "half-a-head-reset", "half a head, then a reset", "RFC 9112 §8", b"HTTP/1.1 200 OK\r\nContent-Le", then="resets"
    ),
    answer(
        "half-a-head-waits",
        "half a head, then nothing",
        "slow read",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        200,
        b"",
        reused=False,
        then="waits",
    ),
    answer("by-lf", "every line ends with LF", "RFC 9112 §2.2", sized().replace(b"\r\n", b"\n"), then="closes"),
)


def _field(name: str, tries: str, published: str, line: bytes, gets: int = BROKEN, **shows: str) -> AnswerCase:
    wanted = tuple((key.replace("_", "-"), value) for key, value in shows.items())
    return answer(f"field-{name}", tries, published, sized(line), gets, shows=wanted)


FIELDS = (
    _field("folded", "a folded line", "RFC 9112 §5.2", b"X-A: b\r\n c"),
    _field("blank-before-colon", "X-A : b", "RFC 9112 §5.1", b"X-A : b"),
    _field("no-colon", "no colon", "RFC 9112 §5", b"X-A"),
    _field("no-name", "no name", "CVE-2023-25725 (HAProxy)", b": b"),
    _field("nul", "NUL", "RFC 9110 §5.5", b"X-A: \0"),
    _field("cr", "a bare CR, and a cookie", "CWE-113 response splitting", b"X-A: b\rSet-Cookie: a=b"),
    _field("lf", "a bare LF, and a cookie", "CWE-113 response splitting", b"X-A: b\nSet-Cookie: a=b"),
    _field("8-bit", "8-bit in a value", "RFC 9110 §5.5", b"Content-Type: text/\xe4", 200, content_type="text/\xe4"),
    _field(
        "location",
        "another address",
        "no redirect leads round the gateway",
        b"Location: https://other.example/",
        200,
        location="",
    ),
    _field(
        "x-ms-location",
        "another address for phones",
        "[MS-ASHTTP] 2.2.2.1.2",
        b"X-MS-Location: https://other.example/",
        200,
        x_ms_location="",
    ),
    _field("cookie", "cookies pass", "RFC 6265 §4.1", b"Set-Cookie: a=b; Path=/", 200, set_cookie="a=b; Path=/"),
    _field(
        "alt-svc",
        "another server for the next time",
        "RFC 7838 §3",
        b'Alt-Svc: h2="other.example:443"',
        200,
        alt_svc="",
    ),
    _field("refresh", "a redirect for browsers", "CWE-601", b"Refresh: 0; url=https://other.example/", 200, refresh=""),
    _field("upgrade", "an offer of another protocol", "RFC 9110 §7.8", b"Upgrade: h2c", 200, upgrade=""),
    _field(
        "hop",
        "a header named by Connection",
        "RFC 9110 §7.6.1",
        b"Connection: X-Hop\r\nX-Hop: 1",
        200,
        x_hop="",
        connection="",
    ),
    _field(
        "keep-alive",
        "words about the connection",
        "RFC 9112 appendix C",
        b"Keep-Alive: timeout=1000",
        200,
        keep_alive="",
    ),
    _field(
        "proxy-authenticate",
        "asks for a proxy's password",
        "RFC 9110 §11.7.1",
        b"Proxy-Authenticate: Basic",
        200,
        proxy_authenticate="",
    ),
    _field(
        "gzip",
        "a coded answer passes as it is",
        "RFC 9110 §8.4",
        b"Content-Encoding: gzip",
        200,
        content_encoding="gzip",
    ),
    _field(
        "charset",
        "a charset nobody knows",
        "RFC 9110 §8.3.2",
        b"Content-Type: text/plain; charset=x-\\u002f",
        200,
        content_type="text/plain; charset=x-\\u002f",
    ),
    _field(
        "names",
        "names of servers",
        "[MS-ASHTTP] 2.2.2.1.2",
        b"Server: x\r\nX-BEServer: mbx1\r\nX-FEServer: fe1\r\nX-Powered-By: y",
        200,
        server="",
        x_beserver="",
        x_feserver="",
        x_powered_by="",
    ),
    answer("field-close", "asks to close", "RFC 9112 §9.6", sized(b"Connection: close"), 200, reused=False),
    answer(
        "field-close-two-lines",
        "asks to close in a second line",
        "RFC 9110 §5.3",
        sized(b"Connection: keep-alive", b"Connection: x, ClOsE"),
        200,
        reused=False,
    ),
    answer("field-giant", "a head of 70 KiB", "RFC 9110 §5.4", sized(b"X_A: " + b"a" * 70_000)),
    answer("field-giant-endless", "a head without end", "RFC 9110 §5.4", b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 300_000),
    answer("field-many", "10,000 header lines", "RFC 9110 §5.4", sized(*[b"X-A: b"] * 10_000)),
    answer(
        "field-many-within",
        "5,000 header lines of which none passes",
        "RFC 9110 §5.4",
        sized(*[b"X-A: b"] * 5_000),
        200,
    ),
)


def _challenge(name: str, tries: str, *values: bytes, shows: str) -> AnswerCase:
    lines = [b"WWW-Authenticate: " + value for value in values]
    octets = sized(*lines, first=b"HTTP/1.1 401 Unauthorized")
    return answer(
        f"challenge-{name}", tries, "RFC 4559 §5; RFC 9110 §11.6.1", octets, 401, shows=(("www-authenticate", shows),)
    )


_OURS = 'Basic realm="mail", charset="UTF-8"'
CHALLENGES = (
    _challenge("ntlm", "only NTLM: the phone is asked for name and password", b"NTLM", shows=_OURS),
    _challenge("negotiate", "only Negotiate", b"Negotiate", shows=_OURS),
    _challenge("ntlm-token", "NTLM's second step", b"NTLM TlRMTVNTUAACAAAA", shows=_OURS),
    _challenge("two-lines", "NTLM and Basic", b"NTLM", b'Basic realm="a"', shows='Basic realm="a"'),
    _challenge("one-line", "both in one line", b'Negotiate, Basic realm="a"', shows='Basic realm="a"'),
    _challenge("other-case", "nTlM", b"nTlM", b"bAsIc realm=a", shows="bAsIc realm=a"),
    _challenge(
        "in-quotes",
        "a comma and NTLM within quotation marks",
        b'Basic realm="a, NTLM b"',
        shows='Basic realm="a, NTLM b"',
    ),
    _challenge("kerberos", "Kerberos and one nobody knows", b"Kerberos", b"Foo a=b", shows=_OURS),
    _challenge("none", "no challenge", shows=_OURS),
)


def _none(name: str, tries: str, octets: bytes, gets: int, *, reused: bool, then: str = "stays") -> AnswerCase:
    return answer(
        f"bodiless-{name}", tries, "RFC 9110 §6.4.1; RFC 9112 §6.3", octets, gets, b"", reused=reused, then=then
    )


_204, _304 = b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified"
BODILESS = (
    _none("204", "204", ok(first=_204, body=b""), 204, reused=True),
    _none("204-length-0", "204 with length 0", sized(first=_204, body=b""), 204, reused=True),
    _none("204-body", "204 with a body", sized(first=_204), 204, reused=False),
    _none(
        "204-length",
        "204 with a length, the body comes later",
        ok(b"Content-Length: 47", first=_204, body=b""),
        204,
        reused=False,
    ),
    _none("204-body-is-an-answer", "204, its body is an answer", sized(first=_204, body=SECRET), 204, reused=False),
    _none("204-unstated", "204 and octets behind it", ok(first=_204, body=SECRET), 204, reused=False),
    _none("204-chunked", "204 in chunks", coded(_CHUNKS, first=_204), 204, reused=False),
    _none(
        "204-late",
        "204, and an answer on the idle connection",
        ok(first=_204, body=b""),
        204,
        reused=False,
        then="late",
    ),
    _none("304", "304 nobody asked for", ok(first=_304, body=b""), 304, reused=True),
    _none("304-length", "304 with a length", ok(_LENGTH, first=_304, body=b""), 304, reused=False),
    _none("304-body", "304 with a body", sized(first=_304), 304, reused=False),
    answer("bodiless-205", "205 with a body", "RFC 9110 §15.3.6", sized(first=b"HTTP/1.1 205 Reset Content"), 205),
)

THEMES: Final[dict[str, tuple[AnswerCase, ...]]] = {
    "interim answers": INTERIM,
    "lengths and ends of answers": LENGTHS,
    "codings of answers": CODINGS,
    "chunks of answers": CHUNKS,
    "status lines, half heads, other protocols": STATUS_LINES,
    "header fields of answers": FIELDS,
    "challenges": CHALLENGES,
    "answers that have no body": BODILESS,
}
