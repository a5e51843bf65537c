"""Hostile and odd answers: status lines, half heads, header fields, challenges, answers without a body."""

from tests.hostile.answer_case import BROKEN, CHUNKED, LENGTH, SECRET, AnswerCase, answer, coded, ok, sized


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
    _none("204-chunked", "204 in chunks", coded(CHUNKED, first=_204), 204, reused=False),
    _none(
        "204-late",
        "204, and an answer on the idle connection",
        ok(first=_204, body=b""),
        204,
        reused=False,
        then="late",
    ),
    _none("304", "304 nobody asked for", ok(first=_304, body=b""), 304, reused=True),
    _none("304-length", "304 with a length", ok(LENGTH, first=_304, body=b""), 304, reused=False),
    _none("304-body", "304 with a body", sized(first=_304), 304, reused=False),
    answer("bodiless-205", "205 with a body", "RFC 9110 §15.3.6", sized(first=b"HTTP/1.1 205 Reset Content"), 205),
)
