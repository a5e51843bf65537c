"""Too much of something: heads, fields, lines, bodies, requests; and too little."""

from tests.hostile.case import SYNC, bare, case, framed, line, usual

_MANY = [b"X-%d: a" % number for number in range(200)]

CASES = (
    case(
        "long-target",
        "a target of 100 KiB",
        "MAL-LONG-URL; RFC 9110 §15.5.15",
        usual(first=line(target=b"/" + b"a" * 100_000)),
        "431 close",
    ),
    case("long-value", "a value of 100 KiB", "MAL-LONG-HEADER-VALUE", usual(b"X-A: " + b"a" * 100_000), "431 close"),
    case("long-name", "a name of 100 KiB", "MAL-LONG-HEADER-NAME", usual(b"X" * 100_000 + b": a"), "431 close"),
    case("long-name-65", "a name of 65 octets", "RFC 9110 §5.4", usual(b"X" * 65 + b": a"), "400 close"),
    case("long-name-64", "a name of 64 octets is the longest", "RFC 9110 §5.4", usual(b"X" * 64 + b": a"), "200"),
    case("value-below-the-limit", "a value of 16 KiB", "RFC 9110 §5.4", usual(b"X-A: " + b"a" * 16_384), "200"),
    case(
        "head-at-the-limit",
        "a head of 32 KiB and one octet",
        "RFC 9110 §5.4",
        usual(b"X-A: " + b"a" * (32_768 - len(usual()) - 2 - 4 + len(SYNC))),
        "431 close",
    ),
    case("many-fields", "200 header lines", "RFC 9110 §5.4; CVE-2011-4885 hash flooding", usual(*_MANY), "431 close"),
    case("fields-at-the-limit", "64 header lines", "RFC 9110 §5.4", usual(*_MANY[: 64 - 9]), "200"),
    case("fields-over-the-limit", "65 header lines", "RFC 9110 §5.4", usual(*_MANY[: 64 - 8]), "431 close"),
    case("ten-thousand-fields", "10,000 header lines", "MAL-MANY-HEADERS", usual(*[b"X-A: b"] * 10_000), "431 close"),
    case("same-field-often", "the same header 50 times", "RFC 9110 §5.3", usual(*[b"Cookie: a=b"] * 50), "200"),
    case(
        "only-colons",
        "a head of colons",
        "CVE-2023-25725 (HAProxy)",
        bare(b"GET / HTTP/1.1", *[b":"] * 1000),
        "400 close",
    ),
    case(
        "only-blanks",
        "a value of 30,000 blanks",
        "CVE-2020-5236 (Waitress)",
        usual(b"X-A: " + b" " * 30_000 + b"\x01"),
        "400 close",
    ),
    case(
        "blanks-and-letters",
        "a value that has an expression go back",
        "CVE-2020-5236 (Waitress)",
        usual(b"X-A: " + b" a" * 12_000 + b"\x01"),
        "400 close",
    ),
    case(
        "long-credentials",
        "credentials of 17 KiB",
        "RFC 9110 §11",
        usual(b"Authorization: Bearer " + b"a" * 17_000, without=b"authorization"),
        "401",
    ),
    case("long-cookie", "a cookie of 20 KiB", "RFC 6265 §6.1", usual(b"Cookie: a=" + b"b" * 20_000), "200"),
    case(
        "body-over-the-limit",
        "a body of a length that is refused before any of it",
        "RFC 9110 §15.5.14",
        framed(b"Content-Length: 104857601", body=b""),
        "413 close",
    ),
    case(
        "many-small-chunks",
        "a body of a thousand chunks",
        "RFC 9112 §7.1",
        framed(
            b"Transfer-Encoding: chunked",
            body=b"".join(b"1\r\n%c\r\n" % octet for octet in SYNC + bytes(1000)) + b"0\r\n\r\n",
        ),
        "200",
        SYNC + bytes(1000),
    ),
    case(
        "hundred-requests",
        "a hundred requests in one",
        "RFC 9112 §9.3.2",
        bare(b"GET / HTTP/1.1") * 100,
        " ".join(["404"] * 100),
    ),
    case(
        "hundred-and-a-bad-one",
        "a bad one behind them",
        "RFC 9112 §9.3.2",
        bare(b"GET / HTTP/1.1") * 20 + b"GET\r\n\r\n",
        " ".join(["404"] * 20) + " 400 close",
    ),
)
