"""Chunked bodies: sizes, extensions, line ends and trailers that readers take in different ways.

The first chunk begins like a Sync, so what is wrong comes too late for another answer than 400 and the end.
"""

from tests.hostile.case import SMUGGLED, SYNC, Case, case, chunked, chunks

_N = b"%x" % len(SYNC)
_END = b"0\r\n\r\n"


def _body(name: str, tries: str, published: str, octets: bytes, gets: str = "400 close", *bodies: bytes) -> Case:
    return case(name, tries, published, chunked(octets), gets, *bodies)


def _size(name: str, tries: str, published: str, line: bytes, gets: str = "400 close") -> Case:
    """A size line, then the content it should be about."""
    return _body(name, tries, published, line + SYNC + b"\r\n" + _END, gets)


SIZES = (
    _size("hex-prefix", "0x14", "SMUG-CHUNK-HEX-PREFIX; http-garden server bug 25, proxy bug 19", b"0x" + _N + b"\r\n"),
    _size("upper-hex-prefix", "0X14", "http-garden server bug 1", b"0X" + _N + b"\r\n"),
    _size("plus", "+14", "SMUG-CHUNK-SIZE-PLUS; CVE-2022-24761 (Waitress)", b"+" + _N + b"\r\n"),
    _size("minus", "-14", "SMUG-CHUNK-NEGATIVE", b"-" + _N + b"\r\n"),
    _size("underscore", "1_4", "SMUG-CHUNK-UNDERSCORE; CVE-2023-47627 (aiohttp)", b"1_4\r\n"),
    _size("leading-blank", " 14", "SMUG-CHUNK-LEADING-SP; http-garden proxy bug 24", b" " + _N + b"\r\n"),
    _size("leading-tab", "a tab before the size", "HDiff (2022)", b"\t" + _N + b"\r\n"),
    _size("trailing-blank", "14 and a blank", "SMUG-CHUNK-SIZE-TRAILING-OWS", _N + b" \r\n"),
    _size("trailing-tab", "14 and a tab", "RFC 9112 §7.1.1", _N + b"\t\r\n"),
    _size("trailing-vertical-tab", "14\\x0b", "HTTP Desync Attacks (2019)", _N + b"\x0b\r\n"),
    _size(
        "trailing-letters",
        "14ZZ, its longest valid prefix being 14",
        "http-garden server bug 22, proxy bug 7",
        _N + b"ZZ\r\n",
    ),
    _size("decimal-point", "14.0", "HDiff (2022)", _N + b".0\r\n"),
    _size("nul", "14\\0", "http-garden server bug 43", _N + b"\0\r\n"),
    _size("8-bit", "14\\x85", "http-garden server bug 12", _N + b"\x85\r\n"),
    _size("full-width-digits", "digits of another script", "Python's int()", "１４\r\n".encode()),
    _size("empty", "no size at all", "http-garden server bug 17", b"\r\n"),
    _size("only-extension", ";a=b without a size", "RFC 9112 §7.1", b";a=b\r\n"),
    _size("list", "14,14", "HDiff (2022)", _N + b"," + _N + b"\r\n"),
    _body(
        "upper-case",
        "hexadecimal in upper case",
        "COMP-CHUNKED-HEX-UPPERCASE",
        b"1A\r\n" + SYNC + bytes(6) + b"\r\n" + _END,
        "200",
        SYNC + bytes(6),
    ),
    _body(
        "cr-digit-lf",
        "a size line of which a proxy forwarded the head and not the body",
        "http-garden proxy bug 4",
        chunks(SYNC, end=b"1\r0\n"),
    ),
    _size("leading-zeros", "00000014", "RFC 9112 §7.1; CVE-2012-3544 (Tomcat)", _N.rjust(8, b"0") + b"\r\n", "200"),
    _size("too-many-zeros", "a size of nine digits", "RFC 9112 §7.1", _N.rjust(9, b"0") + b"\r\n"),
    _size(
        "a-thousand-zeros",
        "a size of a thousand digits",
        "CVE-2015-3183 (Apache httpd)",
        _N.rjust(1000, b"0") + b"\r\n",
    ),
    _size("over-32-bits", "2^32 + 20", "CVE-2014-0075 (Tomcat)", b"100000014\r\n"),
    _size(
        "over-64-bits",
        "2^64 + 20",
        "MAL-CHUNK-SIZE-OVERFLOW; CVE-2017-7657 (Jetty); CVE-2021-32714 (hyper)",
        b"10000000000000014\r\n",
    ),
    _size("sign-bit", "the largest 64-bit number", "CVE-2013-2028 (nginx)", b"FFFFFFFFFFFFFFFF\r\n"),
    _size("not-hexadecimal", "a word", "http-garden server bug 47, proxy bug 2", b"INVALID!!!\r\n"),
    _body(
        "zero-with-sign",
        "+0 and a request behind it",
        "SMUG-CHUNK-INVALID-SIZE-DESYNC",
        chunks(SYNC, end=b"+0\r\n\r\n") + SMUGGLED,
    ),
    _body("zero-hexadecimal", "-0x0 for the last chunk", "http-garden proxy bug 19", chunks(SYNC, end=b"-0x0\r\n\r\n")),
    _body(
        "many-zeros-last", "the last chunk's size is 00000", "RFC 9112 §7.1", chunks(SYNC, end=b"00000\r\n\r\n"), "200"
    ),
    _body("no-chunks", "an empty body", "COMP-CHUNKED-EMPTY", _END, "200", b""),
    _body(
        "several",
        "many small chunks",
        "COMP-CHUNKED-MULTI",
        chunks(*(SYNC[at : at + 1] for at in range(len(SYNC)))),
        "200",
    ),
    _body(
        "size-short",
        "two octets more than the size says",
        "SMUG-CHUNK-SPILL; Funky Chunks (2025) spill",
        b"%x\r\n" % (len(SYNC) - 2) + SYNC + b"\r\n" + _END,
    ),
    _body(
        "size-long",
        "two octets less than the size says",
        "Funky Chunks (2025) length-based spill",
        b"%x\r\n" % (len(SYNC) + 2) + SYNC + b"\r\n" + _END,
    ),
)

LINE_ENDS = (
    _size("lf-behind-size", "the size line ends with LF", "CVE-2025-22871 (Go); http-garden proxy bug 13", _N + b"\n"),
    _size(
        "cr-behind-size", "the size line ends with CR", "SMUG-CHUNK-BARE-CR-TERM; http-garden server bug 31", _N + b"\r"
    ),
    _size("cr-cr-lf-behind-size", "CR CR LF", "CVE-2025-55315 (Kestrel)", _N + b"\r\r\n"),
    _size("lf-cr-behind-size", "LF CR", "Funky Chunks (2025)", _N + b"\n\r"),
    _size("cr-and-another", "CR and any octet", "http-garden server bug 31", _N + b"\rX"),
    _body(
        "lf-behind-content",
        "the content ends with LF",
        "SMUG-CHUNK-LF-TERM; http-garden proxy bug 13",
        _N + b"\r\n" + SYNC + b"\n" + _END,
    ),
    _body("cr-behind-content", "the content ends with CR", "Funky Chunks (2025)", _N + b"\r\n" + SYNC + b"\r" + _END),
    _body(
        "nothing-behind-content",
        "no line end behind the content",
        "SMUG-CHUNK-MISSING-TRAILING-CRLF",
        _N + b"\r\n" + SYNC + _END,
    ),
    _body(
        "two-octets-behind-content",
        "any two octets where the line end belongs",
        "CVE-2025-43859 (h11); Funky Chunks (2025) TWO.ONE",
        _N + b"\r\n" + SYNC + b"XX" + _END,
    ),
    _body(
        "line-end-too-many",
        "an empty line between chunks",
        "http-garden proxy bug 17",
        _N + b"\r\n" + SYNC + b"\r\n\r\n" + _END,
    ),
    _body(
        "blanks-behind-content", "blanks before the line end", "RFC 9112 §7.1", _N + b"\r\n" + SYNC + b"  \r\n" + _END
    ),
    _body("lf-ends-trailer", "LF for the last line", "SMUG-CHUNK-LF-TRAILER", chunks(SYNC, end=b"0\r\n\n") + SMUGGLED),
    _body("cr-ends-trailer", "CR for the last line", "Funky Chunks (2025)", chunks(SYNC, end=b"0\r\n\rX") + SMUGGLED),
    _body(
        "two-octets-for-the-end",
        "a trailer line where one reader sees the end and a request",
        "CVE-2023-40175 (Puma); http-garden server bug 39",
        chunks(SYNC, end=b"0\r\nX:") + SMUGGLED,
    ),
    _body(
        "all-by-lf",
        "every line ends with LF",
        "RFC 9112 §2.2",
        (_N + b"\r\n" + SYNC + b"\r\n" + _END).replace(b"\r\n", b"\n"),
    ),
    _body(
        "last-size-by-lf",
        "the last size line ends with LF",
        "CVE-2019-16785 (Waitress)",
        chunks(SYNC, end=b"0\n\r\n") + SMUGGLED,
    ),
)

EXTENSIONS = (
    _size("extension", "a proper extension", "RFC 9112 §7.1.1; COMP-CHUNKED-EXTENSION", _N + b";a=b\r\n", "200"),
    _size("extension-without-value", "a name alone", "RFC 9112 §7.1.1", _N + b";a\r\n", "200"),
    _size("extension-quoted", "a quoted value with a semicolon", "RFC 9112 §7.1.1", _N + b';a="b;c\\""\r\n', "200"),
    _size("two-extensions", "two of them", "RFC 9112 §7.1.1", _N + b";a=b;c\r\n", "200"),
    _size("bare-semicolon", "a semicolon and no name", "SMUG-CHUNK-BARE-SEMICOLON", _N + b";\r\n"),
    _size("blank-before-extension", "14 ;a", "RFC 9112 §7.1.1 (bad blanks)", _N + b" ;a\r\n"),
    _size("invalid-name", "a name of other letters", "SMUG-CHUNK-EXT-INVALID-TOKEN", _N + b";[a]=b\r\n"),
    _size("open-quote", "a quotation mark that is never closed", "Funky Chunks (2025)", _N + b';a="b\r\n'),
    _size(
        "line-end-in-quotes",
        "a line end within quotation marks",
        "Funky Chunks (2025); RFC 9110 §5.6.4",
        _N + b';a="\r\n"\r\n',
    ),
    _size(
        "lf-in-extension",
        "a bare LF ends it for some",
        "SMUG-CHUNK-EXT-LF; Funky Chunks (2025) TERM.EXT; CVE-2024-52304 (aiohttp)",
        _N + b";a\nb\r\n",
    ),
    _size(
        "cr-in-extension",
        "a bare CR ends it for some",
        "SMUG-CHUNK-EXT-CR; http-garden server bug 36; CVE-2025-55315 (Kestrel)",
        _N + b";a\rb\r\n",
    ),
    _size("cr-before-extension", "a CR before the semicolon", "http-garden proxy bug 3", _N + b"\r;a\r\n"),
    _size("nul-in-extension", "NUL within", "SMUG-CHUNK-EXT-CTRL", _N + b";a\0b\r\n"),
    _size("8-bit-in-extension", "8-bit within", "RFC 9112 §7.1.1", _N + b";a=\xe4\r\n"),
    _body(
        "request-in-extension",
        "a smuggled request where one reader sees an extension",
        "Funky Chunks (2025) EXT.TERM; CVE-2025-58056 (Netty)",
        _N + b";\nGET /smuggled HTTP/1.1\r\n" + SYNC + b"\r\n" + _END,
    ),
    _size(
        "long-extension",
        "an extension of 64 KiB",
        "MAL-CHUNK-EXT-64K; CVE-2024-22019 (Node.js); CVE-2023-39326 (Go)",
        _N + b";a=" + b"b" * 65536 + b"\r\n",
    ),
)

TRAILERS = (
    _body(
        "trailer",
        "a proper trailer",
        "RFC 9112 §7.1.2; COMP-CHUNKED-TRAILER-VALID",
        chunks(SYNC, end=b"0\r\nX-A: b\r\n\r\n"),
        "200",
    ),
    _body(
        "trailer-length",
        "a length in the trailer",
        "SMUG-TRAILER-CL; RFC 9110 §6.5.1",
        chunks(SYNC, end=b"0\r\nContent-Length: 5\r\n\r\n"),
    ),
    _body(
        "trailer-coding",
        "a coding in the trailer",
        "SMUG-TRAILER-TE",
        chunks(SYNC, end=b"0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ),
    _body(
        "trailer-host",
        "another Host in the trailer",
        "SMUG-TRAILER-HOST",
        chunks(SYNC, end=b"0\r\nHost: other.example\r\n\r\n"),
    ),
    _body(
        "trailer-credentials",
        "somebody else's credentials in the trailer",
        "SMUG-TRAILER-AUTH",
        chunks(SYNC, end=b"0\r\nAuthorization: Basic Ym9zczpzZWNyZXQ=\r\n\r\n"),
        "200",
    ),
    _body(
        "trailer-type",
        "another type in the trailer",
        "SMUG-TRAILER-CONTENT-TYPE",
        chunks(SYNC, end=b"0\r\nContent-Type: text/plain\r\n\r\n"),
        "200",
    ),
    _body(
        "trailer-forwarded-for",
        "an address in the trailer",
        "CVE-2025-12642 (lighttpd)",
        chunks(SYNC, end=b"0\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"),
        "200",
    ),
    _body(
        "trailer-is-a-request",
        "a request line in the trailer",
        "CVE-2025-58068 (eventlet)",
        chunks(SYNC, end=b"0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"),
    ),
    _body("trailer-folded", "a folded trailer line", "RFC 9112 §5.2", chunks(SYNC, end=b"0\r\nX-A: b\r\n c\r\n\r\n")),
    _body("trailer-blank-before-colon", "X-A : b", "RFC 9112 §5.1", chunks(SYNC, end=b"0\r\nX-A : b\r\n\r\n")),
    _body("trailer-no-colon", "no colon", "CVE-2023-46846 (Squid)", chunks(SYNC, end=b"0\r\nX-A\r\n\r\n")),
    _body(
        "trailer-lf",
        "a bare LF in a trailer line",
        "CVE-2023-45648 (Tomcat)",
        chunks(SYNC, end=b"0\r\nX-A: b\nX-C: d\r\n\r\n"),
    ),
    _body("trailer-nul", "NUL in a trailer line", "CVE-2023-45648 (Tomcat)", chunks(SYNC, end=b"0\r\nX-A: \0\r\n\r\n")),
    _body(
        "trailer-long",
        "a trailer of 8 KiB",
        "CVE-2023-46589 (Tomcat); CVE-2012-3544 (Tomcat)",
        chunks(SYNC, end=b"0\r\n" + b"X-A: b\r\n" * 1024 + b"\r\n"),
    ),
    _body(
        "trailer-long-line",
        "a trailer line of 300 octets",
        "CVE-2023-46589 (Tomcat)",
        chunks(SYNC, end=b"0\r\nX-A: " + b"b" * 300 + b"\r\n\r\n"),
    ),
)

UNFINISHED = (
    case(
        "no-last-chunk",
        "the last chunk never comes: the next request stands in its place",
        "COMP-CHUNKED-NO-FINAL",
        chunked(chunks(SYNC, end=b"")),
        "waits close",
        behind="400 close",
    ),
    case(
        "no-last-line-end",
        "the last line end never comes",
        "RFC 9112 §7.1; Funky Chunks (2025)",
        chunked(chunks(SYNC, end=b"0\r\n")),
        "waits close",
        behind="400 close",
    ),
)

CASES = SIZES + LINE_ENDS + EXTENSIONS + TRAILERS + UNFINISHED
