"""Header fields: Host, those that decide given twice, Expect, Upgrade, Connection, and words of a front proxy's."""

from tests.hostile.case import SMUGGLED, SYNC, Case, altered, bare, case, credentials, framed, line, usual

_HOST = b"Host: mail.example"


def _host(name: str, tries: str, published: str, value: bytes, gets: str = "400 close") -> Case:
    return case(f"host-{name}", tries, published, altered(_HOST, b"Host:" + value), gets)


HOSTS = (
    case("host-none", "no Host", "RFC 9112 §3.2; CWE-644", usual(without=b"host"), "400 close"),
    case(
        "host-two", "two of them", "RFC 9112 §3.2; Host of Troubles (2016)", usual(b"Host: other.example"), "400 close"
    ),
    case("host-two-equal", "the same twice", "COMP-DUPLICATE-HOST-SAME", usual(_HOST), "400 close"),
    case("host-two-by-case", "HOST and Host", "Host of Troubles (2016)", usual(b"HOST: mail.example"), "400 close"),
    case(
        "host-indented",
        "a second one that is folded for some",
        "Host of Troubles (2016); Practical HTTP Host header attacks (2013)",
        usual(b" Host: other.example"),
        "400 close",
    ),
    _host("empty", "no name", "COMP-HOST-EMPTY-VALUE", b""),
    _host("list", "two names, comma", "SMUG-MULTIPLE-HOST-COMMA", b" mail.example, other.example"),
    _host("userinfo", "a name and a password before it", "COMP-HOST-WITH-USERINFO", b" a:b@mail.example"),
    _host("path", "a path behind it", "COMP-HOST-WITH-PATH", b" mail.example/x"),
    _host("scheme", "a scheme before it", "RFC 9110 §7.2", b" http://mail.example"),
    _host("port", "a port", "RFC 9110 §7.2", b" mail.example:8443", "200"),
    _host("port-junk", "letters for the port", "Practical HTTP Host header attacks (2013)", b" mail.example:other"),
    _host("port-at", ":@other.example", "Practical HTTP Host header attacks (2013)", b" mail.example:@other.example"),
    _host("port-empty", "a colon and no port", "RFC 3986 §3.2.3", b" mail.example:"),
    _host("port-large", "a port of six digits", "RFC 9110 §7.2", b" mail.example:100000"),
    _host("port-over", "a port above 65535 is a name like another", "RFC 9110 §7.2", b" mail.example:65536", "200"),
    _host("two-ports", "two ports", "Cracking the lens (2017)", b" mail.example:80:81"),
    _host("blank", "a blank within", "Host of Troubles (2016)", b" mail.example other.example"),
    _host("tab", "a tab within", "Host of Troubles (2016)", b" mail.example\tother"),
    _host("nul", "NUL within", "http-garden proxy bug 12", b" mail.example\0.other.example"),
    _host("8-bit", "8-bit around", "http-garden server bug 46", b" \xffmail.example\xff"),
    _host("percent", "%2e in the name", "RFC 3986 §3.2.2", b" mail%2eexample"),
    _host("underscore", "an underscore", "RFC 9110 §7.2", b" mail_1.example"),
    _host(
        "quotes",
        "markup, for a page that shows it",
        "Practical HTTP Host header attacks (2013)",
        b' "><script>.example',
    ),
    _host("backslash", "a backslash", "Cracking the lens (2017)", b" mail.example\\other"),
    _host("question", "? within", "Cracking the lens (2017)", b" mail.example?x"),
    _host("hash", "# within", "Cracking the lens (2017)", b" mail.example#x"),
    _host("ipv6", "an address of IPv6", "RFC 3986 §3.2.2", b" [2001:db8::1]:443", "200"),
    _host("ipv6-open", "a bracket that is not closed", "RFC 3986 §3.2.2", b" [2001:db8::1"),
    _host("ipv6-zone", "a zone in the address", "RFC 6874", b" [fe80::1%25eth0]"),
    _host("long", "a name of 300 letters", "RFC 1035 §2.3.4", b" " + b"a" * 300),
    _host("other", "another name than ours is only a name", "RFC 9110 §7.2", b" other.example", "200"),
)

TWICE = (
    case(
        "two-credentials", "two Authorization lines", "RFC 9110 §5.3; CWE-235", usual(credentials(b"boss")), "400 close"
    ),
    case("two-equal-credentials", "the same twice", "RFC 9110 §5.3", usual(credentials()), "400 close"),
    case(
        "credentials-list",
        "two in one line",
        "RFC 9110 §11.6.2",
        altered(credentials(), credentials() + b", Basic Ym9zczpzZWNyZXQ="),
        "401",
    ),
    case(
        "two-versions",
        "MS-ASProtocolVersion twice",
        "[MS-ASHTTP] 2.2.1.1.2.6",
        usual(b"MS-ASProtocolVersion: 2.5"),
        "400",
    ),
    case(
        "version-list",
        "two versions in one line",
        "[MS-ASHTTP] 2.2.1.1.2.6",
        altered(b"MS-ASProtocolVersion: 14.1", b"MS-ASProtocolVersion: 14.1, 2.5"),
        "400",
    ),
    case("two-policy-keys", "X-MS-PolicyKey twice", "[MS-ASHTTP] 2.2.1.1.2.7", usual(b"X-MS-PolicyKey: 0"), "400"),
    case("two-agents", "User-Agent twice", "RFC 9110 §5.3", usual(b"User-Agent: other"), "400"),
    case("two-types", "Content-Type twice", "COMP-DUPLICATE-CT", usual(b"Content-Type: text/plain"), "400 close"),
    case(
        "two-cookies",
        "Cookie twice is one list",
        "RFC 6265 §5.4; RFC 9113 §8.2.3",
        usual(b"Cookie: a=b", b"Cookie: c=d"),
        "200",
    ),
    case(
        "underscore-credentials",
        "Authorization_ under another spelling",
        "httpoxy (2016)",
        usual(b"Ms_ASProtocolVersion: 2.5"),
        "200",
    ),
    case(
        "ntlm",
        "credentials that are bound to a connection",
        "[MS-NTHT]; RFC 4559 §5",
        altered(credentials(), b"Authorization: NTLM TlRMTVNTUAABAAAA"),
        "401",
    ),
    case("negotiate", "the same", "RFC 4559 §5", altered(credentials(), b"Authorization: Negotiate YII="), "401"),
    case(
        "basic-line-end",
        "a line end within the decoded name",
        "CWE-93",
        altered(credentials(), b"Authorization: Basic " + b"YW5uYQ0KOnNlY3JldA=="),
        "401",
    ),
    case(
        "basic-nul",
        "NUL within the decoded name",
        "CWE-158",
        altered(credentials(), b"Authorization: Basic " + b"YW5uYQA6c2VjcmV0"),
        "401",
    ),
    case(
        "basic-no-colon",
        "a name without a password",
        "RFC 7617 §2",
        altered(credentials(), b"Authorization: Basic YW5uYQ=="),
        "401",
    ),
    case("basic-not-base64", "no base64", "RFC 7617 §2", altered(credentials(), b"Authorization: Basic !!!!"), "401"),
    case(
        "basic-padding",
        "base64 with bits that belong to nothing: the name is the same",
        "RFC 4648 §3.5",
        altered(credentials(), credentials()[:-2] + b"R="),
        "200",
    ),
    case(
        "basic-two-in-one",
        "two pieces of base64: some readers end at the first =",
        "RFC 4648 §3.3",
        altered(credentials(), b"Authorization: Basic Ym9zcw==OnNlY3JldA=="),
        "401",
    ),
    case(
        "other-user-in-credentials",
        "another person's name in the credentials",
        "[MS-ASHTTP] 2.2.1.1.1.2",
        altered(credentials(), credentials(b"bert")),
        "400",
    ),
)

EXPECT = (
    case(
        "expect",
        "100-continue with the body at once",
        "SMUG-EXPECT-100-CL; RFC 9110 §10.1.1",
        usual(b"Expect: 100-continue"),
        "200",
    ),
    case(
        "expect-and-next",
        "the same, its body being a request",
        "SMUG-EXPECT-100-CL-DESYNC; HTTP/1.1 Must Die (2025)",
        usual(b"Expect: 100-continue", body=SYNC + SMUGGLED),
        "200",
        SYNC + SMUGGLED,
    ),
    case("expect-upper-case", "100-CONTINUE", "RFC 9110 §10.1.1", usual(b"Expect: 100-CONTINUE"), "200"),
    case("expect-unknown", "an expectation nobody knows", "COMP-EXPECT-UNKNOWN", usual(b"Expect: 200-ok"), "417 close"),
    case(
        "expect-obscured", "y 100-continue", "HTTP/1.1 Must Die (2025)", usual(b"Expect: y 100-continue"), "417 close"
    ),
    case(
        "expect-folded",
        "the value on the next line",
        "CVE-2025-32094 (Akamai); HTTP/1.1 Must Die (2025)",
        usual(b"Expect:\r\n 100-continue"),
        "400 close",
    ),
    case(
        "expect-by-lf",
        "the value behind a bare LF",
        "HTTP/1.1 Must Die (2025)",
        usual(b"Expect:\n100-continue"),
        "400 close",
    ),
    case(
        "expect-two",
        "two expectations",
        "HTTP/1.1 Must Die (2025)",
        usual(b"Expect: 100-continue", b"Expect: 100-continue"),
        "400 close",
    ),
    case("expect-list", "100-continue, x", "RFC 9110 §10.1.1", usual(b"Expect: 100-continue, x=y"), "417 close"),
    case("expect-empty", "no value", "RFC 9110 §10.1.1", usual(b"Expect:"), "417 close"),
    case(
        "expect-old",
        "HTTP/1.0 gets no interim answer",
        "COMP-NO-1XX-HTTP10; RFC 9110 §15.2",
        usual(b"Expect: 100-continue", first=line(version=b"HTTP/1.0")),
        "200 close",
    ),
    case(
        "expect-no-body",
        "100-continue without a body",
        "RFC 9110 §10.1.1",
        usual(b"Expect: 100-continue", body=b""),
        "200",
        b"",
    ),
    case(
        "expect-chunked",
        "100-continue with chunks",
        "RFC 9110 §10.1.1",
        framed(
            b"Expect: 100-continue", b"Transfer-Encoding: chunked", body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(SYNC), SYNC)
        ),
        "200",
    ),
    case(
        "expect-get",
        "100-continue with a GET and its body",
        "HTTP/1.1 Must Die (2025) 0.CL",
        bare(b"GET / HTTP/1.1", b"Expect: 100-continue", b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED),
        "404 close",
    ),
    case(
        "expect-refused",
        "100-continue, refused from the head",
        "CVE-2024-24791 (Go)",
        usual(b"Expect: 100-continue", b"Content-Encoding: gzip"),
        "415 close",
    ),
)

UPGRADE = (
    case(
        "h2c",
        "an upgrade to HTTP/2 that a proxy lets through",
        "h2c Smuggling (2020)",
        usual(b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", without=b"connection").replace(
            b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c"
        ),
        "200",
    ),
    case(
        "websocket",
        "an upgrade that becomes a tunnel",
        "Websocket request smuggling (2019); COMP-UPGRADE-POST",
        usual(
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Version: 777",
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            without=b"connection",
        ),
        "200",
    ),
    case(
        "websocket-closed-place",
        "the same at a closed place",
        "COMP-UPGRADE-INVALID-VER",
        bare(b"GET /ws HTTP/1.1", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
        "404",
    ),
    case(
        "tls-upgrade",
        "Upgrade: TLS/1.0",
        "RFC 2817 §3",
        usual(b"Connection: Upgrade", b"Upgrade: TLS/1.0", without=b"connection"),
        "200",
    ),
    case(
        "upgrade-unknown",
        "a protocol nobody knows",
        "COMP-UPGRADE-UNKNOWN",
        usual(b"Connection: Upgrade", b"Upgrade: x/1", without=b"connection"),
        "200",
    ),
    case(
        "upgrade-not-in-connection",
        "Upgrade that Connection does not name",
        "COMP-UPGRADE-MISSING-CONN",
        usual(b"Upgrade: h2c"),
        "200",
    ),
    case(
        "upgrade-old",
        "Upgrade in HTTP/1.0",
        "COMP-UPGRADE-HTTP10",
        usual(b"Upgrade: h2c", first=line(version=b"HTTP/1.0")),
        "200 close",
    ),
)


def _connection(name: str, tries: str, published: str, value: bytes, gets: str = "200") -> Case:
    return case(
        f"connection-{name}", tries, published, altered(b"Connection: keep-alive", b"Connection: " + value), gets
    )


CONNECTION = (
    _connection(
        "authorization",
        "has a proxy drop the credentials",
        "Abusing hop-by-hop headers (2019)",
        b"close, Authorization",
        "200 close",
    ),
    _connection(
        "credentials", "the same, on a connection that stays", "Abusing hop-by-hop headers (2019)", b"Authorization"
    ),
    _connection("host", "has a proxy drop Host", "Abusing hop-by-hop headers (2019)", b"Host"),
    _connection("length", "has a proxy drop the length", "Abusing hop-by-hop headers (2019)", b"Content-Length"),
    _connection(
        "version", "has a proxy drop what the version is", "Abusing hop-by-hop headers (2019)", b"MS-ASProtocolVersion"
    ),
    _connection(
        "forwarded-for",
        "has a proxy drop our word about the address",
        "CVE-2022-31813 (Apache httpd)",
        b"X-Forwarded-For",
    ),
    _connection("cookie", "has a proxy drop cookies", "Abusing hop-by-hop headers (2019)", b"Cookie, X-MS-PolicyKey"),
    _connection("close-mixed", "cLoSe in a list", "RFC 9112 §9.6", b"x, cLoSe", "200 close"),
    _connection("quoted-close", '"close" in quotation marks', "RFC 9110 §7.6.1", b'"close"', "200 close"),
    _connection("empty", "no value", "RFC 9110 §7.6.1", b""),
    case("connection-two", "keep-alive and close", "RFC 9112 §9.3", usual(b"Connection: close"), "200 close"),
    case(
        "connection-proxy", "Proxy-Connection", "RFC 9112 appendix C.2.2", usual(b"Proxy-Connection: keep-alive"), "200"
    ),
    case(
        "keep-alive",
        "Keep-Alive with times",
        "RFC 9112 appendix C.2.2",
        usual(b"Keep-Alive: timeout=100000, max=1000000"),
        "200",
    ),
)

FRONTS = (
    case(
        "forwarded-for",
        "an address of one's choice",
        "CWE-348; RFC 7239 §8.1",
        usual(b"X-Forwarded-For: 10.0.0.1"),
        "200",
    ),
    case(
        "forwarded-for-two",
        "two of them, one odd",
        "CWE-348",
        usual(b"X-Forwarded-For: 10.0.0.1", b"x-forwarded-for: 127.0.0.1, evil"),
        "200",
    ),
    case(
        "forwarded",
        "Forwarded",
        "RFC 7239 §8.1",
        usual(b'Forwarded: for="[::1]";host=other.example;proto=https'),
        "200",
    ),
    case(
        "forwarded-host",
        "X-Forwarded-Host",
        "Practical Web Cache Poisoning (2018)",
        usual(b"X-Forwarded-Host: other.example", b"X-Host: other.example"),
        "200",
    ),
    case(
        "real-ip",
        "X-Real-IP, True-Client-IP, CF-Connecting-IP",
        "CWE-348",
        usual(b"X-Real-IP: 127.0.0.1", b"True-Client-IP: 127.0.0.1", b"CF-Connecting-IP: 127.0.0.1"),
        "200",
    ),
    case(
        "rewrite-url",
        "another address for IIS",
        "Practical Web Cache Poisoning (2018)",
        usual(b"X-Rewrite-URL: /owa/", b"X-Original-URL: /owa/"),
        "200",
    ),
    case(
        "access-token",
        "Exchange's own word of who is asking",
        "CVE-2021-34523 (Exchange)",
        usual(b"X-CommonAccessToken: VgEAVAdXaW5kb3dz", b"X-Rps-CAT: VgEAVAdXaW5kb3dz"),
        "200",
    ),
    case(
        "exchange-routing",
        "Exchange's headers between its own servers",
        "CVE-2021-26855 (Exchange)",
        usual(
            b"X-IsFromCafe: 1",
            b"X-AnchorMailbox: boss@corp.example",
            b"X-PublicFolderMailbox: boss",
            b"X-TargetServer: mbx1",
            b"X-OWA-ExplicitLogonUser: boss",
        ),
        "200",
    ),
    case(
        "exchange-wsecurity",
        "a token of federation",
        "[MS-ASHTTP] 2.2.1.1.2",
        usual(b"X-WLID-PUID: 1", b"X-MS-UserId: boss"),
        "200",
    ),
    case(
        "httpoxy",
        "Proxy, which gateway interfaces take for HTTP_PROXY",
        "CVE-2016-5385 httpoxy (2016)",
        usual(b"Proxy: http://other.example:8080"),
        "200",
    ),
    case(
        "remote-user",
        "words of a front that has logged somebody in",
        "CWE-290",
        usual(
            b"REMOTE_USER: boss", b"X-Remote-User: boss", b"X-Forwarded-User: boss", b"X-MS-CLIENT-PRINCIPAL-NAME: boss"
        ),
        "200",
    ),
    case(
        "client-certificate",
        "words of a front that has checked a certificate",
        "RFC 9440 §4",
        usual(b"Client-Cert: :AAAA:", b"X-ARR-ClientCert: AAAA", b"SSL_CLIENT_S_DN: CN=boss"),
        "200",
    ),
    case("own-debug", "words of tracing", "CWE-489", usual(b"X-Debug: 1", b"X-Trace: 1", b"Max-Forwards: 0"), "200"),
    case(
        "range",
        "a thousand ranges",
        "MAL-RANGE-OVERLAPPING; CVE-2011-3192 (Apache httpd)",
        usual(b"Range: bytes=" + b",".join(b"0-%d" % each for each in range(1000))),
        "200",
    ),
    case(
        "range-post",
        "a range with POST",
        "COMP-RANGE-POST; CVE-2015-1635 (IIS)",
        usual(b"Range: bytes=0-18446744073709551615"),
        "200",
    ),
    case(
        "conditional",
        "a condition that would have the answer be 304",
        "RFC 9110 §13",
        usual(b"If-None-Match: *", b"If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT"),
        "200",
    ),
    case("via-loop", "Via a hundred times", "RFC 9110 §7.6.3; CDN loops (2016)", usual(*[b"Via: 1.1 a"] * 40), "200"),
    case(
        "destination",
        "where DAV is to write",
        "RFC 4918 §10.3",
        usual(b"Destination: http://other.example/", b"Depth: infinity"),
        "200",
    ),
    case("soapaction", "another protocol's action", "SOAP 1.1 §6.1.1", usual(b"SOAPAction: x"), "200"),
)

CASES = HOSTS + TWICE + EXPECT + UPGRADE + CONNECTION + FRONTS
