"""Two lengths, odd lengths, and a length beside chunks."""

from tests.hostile.case import PREFIX, SMUGGLED, SYNC, bare, case, chunks, framed, usual

N = len(SYNC)
_BOTH = chunks(SYNC) + SMUGGLED


def _length(value: bytes, body: bytes = SYNC) -> bytes:
    return framed(b"Content-Length:" + value, body=body)


BESIDE_CHUNKS = (
    case(
        "cl-te",
        "the front goes by the length, the back by the chunks",
        "HTTP Desync Attacks (2019) CL.TE; SMUG-CL-TE-BOTH",
        framed(b"Content-Length: %d" % len(_BOTH), b"Transfer-Encoding: chunked", body=_BOTH),
        "400 close",
    ),
    case(
        "te-cl",
        "the front goes by the chunks, the back by the length",
        "HTTP Desync Attacks (2019) TE.CL; SMUG-TECL-PIPELINE",
        framed(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=chunks(SMUGGLED)),
        "400 close",
    ),
    case(
        "cl-te-agreeing",
        "both, and both right",
        "RFC 9112 §6.3; SMUG-CLTE-PIPELINE; SMUG-CLTE-CONN-CLOSE; http-garden proxy bug 23",
        framed(b"Content-Length: %d" % len(chunks(SYNC)), b"Transfer-Encoding: chunked", body=chunks(SYNC)),
        "400 close",
    ),
    case(
        "te-cl-agreeing",
        "both, the other way round",
        "CVE-2019-20445 (Netty); SMUG-TECL-CONN-CLOSE",
        framed(b"Transfer-Encoding: chunked", b"Content-Length: %d" % len(chunks(SYNC)), body=chunks(SYNC)),
        "400 close",
    ),
    case(
        "cl-te-zero",
        "an empty chunked body within a length of 6, one octet left over",
        "SMUG-CLTE-DESYNC; HTTP Desync Attacks (2019)",
        framed(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\nX"),
        "400 close",
    ),
    case(
        "te-cl-zero",
        "the last chunk before the end of the length",
        "SMUG-TECL-DESYNC",
        framed(b"Transfer-Encoding: chunked", b"Content-Length: 30", body=b"0\r\n\r\n" + bytes(25)),
        "400 close",
    ),
    case(
        "cl-te-get",
        "a whole GET behind the last chunk",
        "SMUG-CLTE-SMUGGLED-GET",
        framed(
            b"Content-Length: 45",
            b"Transfer-Encoding: chunked",
            body=b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        "400 close",
    ),
    case(
        "cl-te-head",
        "a whole HEAD behind the last chunk, whose answer's length is no body",
        "SMUG-CLTE-SMUGGLED-HEAD",
        framed(
            b"Content-Length: 46",
            b"Transfer-Encoding: chunked",
            body=b"0\r\n\r\nHEAD /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        "400 close",
    ),
    case(
        "te-cl-chunk-size-as-prefix",
        "the length ends within the chunk size line",
        "SMUG-TECL-SMUGGLED-GET",
        framed(
            b"Content-Length: 4", b"Transfer-Encoding: chunked", body=b"2e\r\n" + PREFIX + bytes(10) + b"\r\n0\r\n\r\n"
        ),
        "400 close",
    ),
    case(
        "cl-plus-te",
        "a length with a sign beside chunks",
        "SMUG-CLTE-SMUGGLED-GET-CL-PLUS",
        framed(b"Content-Length: +%d" % len(_BOTH), b"Transfer-Encoding: chunked", body=_BOTH),
        "400 close",
    ),
    case(
        "cl-letters-te",
        "a length with letters beside chunks",
        "SMUG-CLTE-SMUGGLED-GET-CL-NON-NUMERIC",
        framed(b"Content-Length: %dabc" % len(_BOTH), b"Transfer-Encoding: chunked", body=_BOTH),
        "400 close",
    ),
    case(
        "cl-zero-te",
        "a length of 0 beside chunks",
        "RFC 9112 §6.3; HTTP Desync Attacks (2019)",
        framed(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=chunks(SYNC)),
        "400 close",
    ),
    case(
        "cl-empty-te",
        "an empty length beside chunks",
        "CVE-2023-40225 (HAProxy)",
        framed(b"Content-Length:", b"Transfer-Encoding: chunked", body=chunks(SYNC)),
        "400 close",
    ),
    case(
        "cl-in-a-get-with-te",
        "both in a GET",
        "HTTP Desync Attacks (2019); T-Reqs (2021) body in GET",
        bare(b"GET / HTTP/1.1", b"Content-Length: 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\nX"),
        "400 close",
    ),
    case(
        "te-0-in-options",
        "OPTIONS with chunks that a back end does not read",
        "TE.0 (2024)",
        bare(b"OPTIONS / HTTP/1.1", b"Transfer-Encoding: chunked", body=chunks(SMUGGLED)),
        "404",
    ),
)

SEVERAL = (
    case(
        "two-lengths",
        "two lengths, first the right one",
        "RFC 9110 §8.6; Watchfire (2005); SMUG-DUPLICATE-CL; http-garden server bug 33",
        framed(b"Content-Length: %d" % N, b"Content-Length: 0"),
        "400 close",
    ),
    case(
        "two-lengths-last-right",
        "two lengths, last the right one",
        "http-garden server bug 23, proxy bug 22; SMUG-DUPLICATE-CL-SMUGGLED-GET",
        framed(b"Content-Length: 0", b"Content-Length: %d" % (N + len(SMUGGLED)), body=SYNC + SMUGGLED),
        "400 close",
    ),
    case(
        "two-equal-lengths",
        "the same length twice, which RFC 9110 lets one take",
        "RFC 9110 §8.6; CVE-2020-10108 (Twisted)",
        framed(b"Content-Length: %d" % N, b"Content-Length: %d" % N),
        "400 close",
    ),
    case(
        "two-lengths-apart",
        "the second one far from the first",
        "CVE-2005-2090 (Tomcat)",
        framed(b"Content-Length: %d" % N, b"X-A: b", b"X-B: c", b"content-length: %d" % (N + 1)),
        "400 close",
    ),
    case(
        "three-lengths",
        "three lengths, two of them equal",
        "HDiff (2022)",
        framed(b"Content-Length: %d" % N, b"Content-Length: 1", b"Content-Length: %d" % N),
        "400 close",
    ),
    case(
        "an-empty-length-first",
        "an empty length before the true one",
        "http-garden server bug 42, proxy bug 11; CVE-2023-40225 (HAProxy)",
        framed(b"Content-Length:", b"Content-Length: %d" % N),
        "400 close",
    ),
    case(
        "list-of-equal-lengths", "5, 5", "RFC 9110 §8.6; SMUG-CL-COMMA-SAME", _length(b" %d, %d" % (N, N)), "400 close"
    ),
    case("list-of-lengths", "5, 6", "SMUG-CL-COMMA-DIFFERENT", _length(b" %d, %d" % (N, N + 1)), "400 close"),
    case("list-without-blank", "5,5", "CVE-2019-16792 (Waitress)", _length(b" %d,%d" % (N, N)), "400 close"),
    case("list-of-three", "5, 5, 5", "SMUG-CL-COMMA-TRIPLE", _length(b" %d, %d, %d" % (N, N, N)), "400 close"),
    case("list-ending-empty", "5,", "RFC 9110 §5.6.1", _length(b" %d," % N), "400 close"),
    case(
        "length-under-another-case",
        "CONTENT-LENGTH beside Content-Length",
        "HTTP Desync Attacks (2019); HDiff (2022)",
        framed(b"CONTENT-LENGTH: 1", b"Content-Length: %d" % N),
        "400 close",
    ),
)

ODD = (
    case(
        "plus",
        "+20",
        "CVE-2021-32715 (hyper); CVE-2023-40167 (Jetty); http-garden server bug 10",
        _length(b" +%d" % N),
        "400 close",
    ),
    case("minus", "-20", "SMUG-CL-NEGATIVE; http-garden server bug 26", _length(b" -%d" % N), "400 close"),
    case("minus-zero", "-0", "SMUG-CL-NEGATIVE-ZERO", _length(b" -0", b""), "400 close"),
    case("minus-one", "-1: the largest number without a sign", "CVE-2020-15049 (Squid)", _length(b" -1"), "400 close"),
    case("hexadecimal", "0x14", "SMUG-CL-HEX-PREFIX; http-garden proxy bug 1", _length(b" 0x%x" % N), "400 close"),
    case("octal-prefix", "0o24", "SMUG-CL-OCTAL", _length(b" 0o%o" % N), "400 close"),
    case(
        "leading-zero",
        "020: twenty, or sixteen to a reader of octal",
        "http-garden server bug 32; SMUG-CL-LEADING-ZEROS-OCTAL",
        _length(b" 0%d" % N),
        "200",
    ),
    case("leading-zeros", "0000020", "SMUG-CL-LEADING-ZEROS", _length(b" %07d" % N), "200"),
    case(
        "double-zero",
        "00, and a request behind it",
        "SMUG-CL-DOUBLE-ZERO",
        framed(b"Content-Length: 00", body=b""),
        "200",
        b"",
    ),
    case("underscore", "2_0", "SMUG-CL-UNDERSCORE; CVE-2022-24761 (Waitress)", _length(b" 2_0"), "400 close"),
    case("plus-and-underscore", "+2_0", "http-garden server bug 10", _length(b" +2_0"), "400 close"),
    case("inner-blank", "2 0", "SMUG-CL-INTERNAL-SPACE; CVE-2018-7159 (Node.js)", _length(b" 2 0"), "400 close"),
    case("two-numbers", "20 30", "CVE-2020-15049 (Squid)", _length(b" %d 30" % N), "400 close"),
    case("decimal-point", "20.0", "HDiff (2022)", _length(b" %d.0" % N), "400 close"),
    case("exponent", "2e1", "HDiff (2022)", _length(b" 2e1"), "400 close"),
    case("letters-behind", "20Z", "http-garden server bug 29", _length(b" %dZ" % N), "400 close"),
    case("word", "twenty", "RFC 9110 §8.6", _length(b" twenty"), "400 close"),
    case(
        "empty", "no number", "MAL-CL-EMPTY; http-garden server bugs 16 and 38, proxy bug 5", _length(b" "), "400 close"
    ),
    case("quoted", "the number in quotation marks", "T-Reqs (2021)", _length(b' "%d"' % N), "400 close"),
    case(
        "blanks-around",
        "  20  : blanks that belong to no value",
        "SMUG-CL-EXTRA-LEADING-SP; SMUG-CL-TRAILING-SPACE",
        _length(b"  %d  " % N),
        "200",
    ),
    case("tab-before", "a tab before the number", "MAL-CL-TAB-BEFORE-VALUE", _length(b"\t%d" % N), "200"),
    case("no-blank-before", "no blank before the number", "RFC 9112 §5", _length(b"%d" % N), "200"),
    case("vertical-tab-behind", "20\\x0b", "CVE-2019-18277 (HAProxy)", _length(b" %d\x0b" % N), "400 close"),
    case("form-feed-before", "\\x0c20", "HTTP Desync Attacks (2019)", _length(b" \x0c%d" % N), "400 close"),
    case("nul-behind", "20\\0", "http-garden server bugs 35 and 43", _length(b" %d\0" % N), "400 close"),
    case("no-break-space", "\\xa020", "http-garden server bugs 12 and 41", _length(b" \xa0%d" % N), "400 close"),
    case("next-line", "20\\x85", "http-garden server bug 41", _length(b" %d\x85" % N), "400 close"),
    case(
        "arabic-digits",
        "digits of another script",
        "HDiff (2022); Python's int()",
        _length(" ٢٠".encode()),
        "400 close",
    ),
    case("superscript", "a superscript digit of Latin-1", "Python's isdigit()", _length(b" \xb2"), "400 close"),
    case("parameter", "20;q=1", "HDiff (2022)", _length(b" %d;q=1" % N), "400 close"),
    case("over-32-bits", "2^32 + 20", "CVE-2014-0099 (Tomcat)", _length(b" 4294967316"), "413 close"),
    case("over-64-bits", "2^64 + 20", "MAL-CL-OVERFLOW", _length(b" 18446744073709551636"), "400 close"),
    case(
        "a-thousand-digits",
        "a number of a thousand digits",
        "CVE-2014-0099 (Tomcat); CVE-2020-10735 (CPython)",
        _length(b" " + b"9" * 1000),
        "400 close",
    ),
    case(
        "a-thousand-zeros",
        "a thousand zeros before the number",
        "RFC 9110 §8.6",
        _length(b" " + b"0" * 1000 + b"20"),
        "400 close",
    ),
    case(
        "huge",
        "a terabyte, and nothing of it",
        "MAL-POST-CL-HUGE-NO-BODY",
        _length(b" 1099511627776", b""),
        "413 close",
    ),
    case(
        "shorter-than-the-body",
        "two octets less than there are: they begin the next request",
        "RFC 9112 §6.3; CVE-2020-26281 (async-h1)",
        framed(b"Content-Length: %d" % (N - 2)),
        "200 waits 408 close",
        SYNC[:-2],
        behind="200 400 close",
        bodies_behind=(SYNC[:-2],),
    ),
    case(
        "one-longer-than-the-body",
        "an octet more than there is: it is taken from the next request",
        "COMP-POST-CL-UNDERSEND; RFC 9112 §6.3",
        framed(b"Content-Length: %d" % (N + 1)),
        "waits close",
        behind="200 501",
        bodies_behind=(SYNC + b"P",),
    ),
)

DISGUISED = (
    case(
        "underscore-for-hyphen",
        "Content_Length, which gateway interfaces read as Content-Length",
        "NORM-UNDERSCORE-CL; HTTP Desync Attacks (2019)",
        usual(b"Content_Length: 1"),
        "200",
    ),
    case(
        "length-without-colon",
        "no colon at all",
        "http-garden server bug 28; CVE-2019-20444 (Netty)",
        framed(b"Content-Length %d" % N),
        "400 close",
    ),
    case(
        "length-blank-before-colon",
        "Content-Length : 20",
        "CVE-2019-16276 (Go); NORM-SP-BEFORE-COLON-CL; http-garden server bug 3",
        framed(b"Content-Length : %d" % N),
        "400 close",
    ),
    case("length-tab-in-name", "Content<TAB>Length", "NORM-TAB-IN-NAME", usual(b"Content\tLength: 1"), "400 close"),
    case(
        "length-blank-in-name",
        "Content Length",
        "CVE-2021-37147 (Traffic Server)",
        usual(b"Content Length: 1"),
        "400 close",
    ),
    case(
        "length-first-line-indented",
        "the first header line is indented",
        "http-garden server bug 4",
        usual(first=b"POST / HTTP/1.1\r\n Content-Length: 1"),
        "400 close",
    ),
    case(
        "length-8-bit-behind-name",
        "Content-Length\\x85",
        "http-garden server bug 20",
        usual(b"Content-Length\x85: 1"),
        "400 close",
    ),
    case(
        "length-nul-in-name", "Content-Length\\0", "CVE-2019-9900 (Envoy)", usual(b"Content-Length\0: 1"), "400 close"
    ),
    case(
        "length-overlong-name",
        "a name whose length overflows eight bits",
        "CVE-2021-40346 (HAProxy)",
        usual(b"Content-Length0" + b"a" * 255 + b": 1"),
        "400 close",
    ),
    case(
        "length-behind-bare-lf",
        "a line end within another value",
        "http-garden server bug 2; CVE-2021-41136 (Puma)",
        usual(b"X-A: b\nContent-Length: 1"),
        "400 close",
    ),
    case(
        "length-behind-bare-cr",
        "a CR within another value",
        "http-garden server bug 13, proxy bug 10",
        usual(b"X-A: b\rContent-Length: 1"),
        "400 close",
    ),
    case(
        "length-folded",
        "the number on the next line",
        "RFC 9112 §5.2",
        framed(b"Content-Length:\r\n %d" % N),
        "400 close",
    ),
)

CASES = BESIDE_CHUNKS + SEVERAL + ODD + DISGUISED
