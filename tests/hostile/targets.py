"""Request lines: targets that lead somewhere else for another reader."""

from tests.hostile.case import TARGET, Case, bare, case, line, usual

_QUERY = (TARGET % b"anna").split(b"?")[1]
_PLACE = b"/Microsoft-Server-ActiveSync"


def _at(name: str, tries: str, published: str, target: bytes, gets: str) -> Case:
    return case(name, tries, published, usual(first=line(target=target)), gets)


def _query(name: str, tries: str, published: str, query: bytes, gets: str) -> Case:
    return _at(name, tries, published, _PLACE + b"?" + query, gets)


PATHS = (
    _at("doubled-slash", "//", "Breaking Parser Logic (2018)", b"/" + TARGET % b"anna", "404"),
    _at("dot-segment", "/./", "RFC 3986 §5.2.4", b"/." + TARGET % b"anna", "404"),
    _at("dot-dot", "/x/../", "RFC 3986 §5.2.4", b"/x/.." + TARGET % b"anna", "404"),
    _at(
        "dot-dot-out",
        "from the open place to a closed one",
        "CVE-2021-41773 (Apache httpd)",
        _PLACE + b"/../owa/",
        "404",
    ),
    _at("dot-dot-encoded", "/%2e%2e/", "CVE-2021-41773 (Apache httpd)", _PLACE + b"/.%2e/owa/", "404"),
    _at("dot-dot-encoded-twice", "/%252e%252e/", "CVE-2021-42013 (Apache httpd)", _PLACE + b"/%252e%252e/owa/", "404"),
    _at(
        "semicolon-dots", "/..;/", "Breaking Parser Logic (2018); CVE-2020-5902 (BIG-IP)", _PLACE + b"/..;/owa/", "404"
    ),
    _at(
        "semicolon",
        ";param behind the place",
        "Breaking Parser Logic (2018); RFC 3986 §3.3",
        _PLACE + b";x=1?" + _QUERY,
        "404",
    ),
    _at("encoded-slash", "%2f", "CVE-2021-29492 (Envoy)", b"/%2fMicrosoft-Server-ActiveSync?" + _QUERY, "404"),
    _at("encoded-letter", "%4dicrosoft", "RFC 3986 §2.3", b"/%4dicrosoft-Server-ActiveSync?" + _QUERY, "404"),
    _at("encoded-nul", "%00", "MAL-URL-PERCENT-NULL", _PLACE + b"%00?" + _QUERY, "404"),
    _at(
        "encoded-line-end",
        "%0d%0a and a header line",
        "MAL-URL-PERCENT-CRLF",
        _PLACE + b"%0d%0aX-A:%20b?" + _QUERY,
        "404",
    ),
    _at("encoded-question-mark", "%3f", "CVE-2021-34473 (Exchange)", _PLACE + b"%3f" + _QUERY, "404"),
    _at(
        "percent-u", "%u002f, which IIS knew", "IIS %u encoding", b"/%u002fMicrosoft-Server-ActiveSync?" + _QUERY, "404"
    ),
    _at("overlong", "%c0%af", "CVE-2000-0884 (IIS)", b"/%c0%afMicrosoft-Server-ActiveSync?" + _QUERY, "404"),
    _at(
        "overlong-raw",
        "the same, not encoded",
        "MAL-URL-OVERLONG-UTF8",
        b"/\xc0\xafMicrosoft-Server-ActiveSync?" + _QUERY,
        "400 close",
    ),
    _at(
        "backslash",
        "a backslash for a slash",
        "MAL-URL-BACKSLASH",
        b"/owa\\..\\Microsoft-Server-ActiveSync?" + _QUERY,
        "404",
    ),
    _at(
        "backslash-first",
        "\\ at the beginning",
        "MAL-URL-BACKSLASH",
        b"\\Microsoft-Server-ActiveSync?" + _QUERY,
        "400 close",
    ),
    _at("trailing-slash", "a slash behind the place", "RFC 3986 §6.2.3", _PLACE + b"/?" + _QUERY, "404"),
    _at(
        "trailing-dot",
        "a dot behind the place, which Windows drops",
        "IIS 8.3 and trailing dots",
        _PLACE + b".?" + _QUERY,
        "404",
    ),
    _at("stream", "::$DATA", "CVE-1999-0278 (IIS)", _PLACE + b"::$DATA?" + _QUERY, "404"),
    _at("extension", "/default.eas", "[MS-ASHTTP] 2.2.1.1.1", _PLACE + b"/default.eas?" + _QUERY, "404"),
    _at(
        "other-case",
        "another case, the same place for IIS",
        "RFC 3986 §6.2.2.1",
        (TARGET % b"anna").replace(b"M", b"m").replace(b"S", b"S"),
        "200",
    ),
    _at("tilde-name", "a short name of Windows", "IIS short names (2012)", b"/MICROS~1?" + _QUERY, "404"),
    _at("fragment", "# in the target", "CVE-2023-45539 (HAProxy)", _PLACE + b"#?" + _QUERY, "404"),
    _at("fragment-in-query", "# in the query", "CVE-2023-45539 (HAProxy)", TARGET % b"anna" + b"#x", "400"),
    _at(
        "proxyshell",
        "Autodiscover with another place in its query",
        "CVE-2021-34473 (Exchange)",
        b"/autodiscover/autodiscover.json?@a.example/mapi/nspi/?&Email=autodiscover/autodiscover.json%3f@a.example",
        "501",
    ),
    _at(
        "proxynotshell",
        "the same towards PowerShell",
        "CVE-2022-41040 (Exchange)",
        b"/autodiscover/autodiscover.json?a@a.example/powershell",
        "501",
    ),
    _at("proxylogon", "a script of ECP", "CVE-2021-26855 (Exchange)", b"/ecp/x.js", "404"),
    _at("other-mail-http", "EWS", "closed by the allow-list", b"/EWS/Exchange.asmx", "404"),
)

QUERIES = (
    _query("two-commands", "Cmd twice", "HTTP parameter pollution (2009)", _QUERY + b"&Cmd=Ping", "400"),
    _query("two-users", "User twice", "HTTP parameter pollution (2009)", _QUERY + b"&User=boss", "400"),
    _query("two-users-by-case", "User and user", "HTTP parameter pollution (2009)", _QUERY + b"&user=boss", "400"),
    _query("two-devices", "DeviceId twice", "HTTP parameter pollution (2009)", _QUERY + b"&DeviceId=PHONE2", "400"),
    _query(
        "two-devices-encoded",
        "DeviceId twice, once encoded",
        "HTTP parameter pollution (2009)",
        _QUERY + b"&Device%49d=PHONE2",
        "400",
    ),
    case(
        "semicolon-separates",
        "; between parameters is none, and goes on encoded",
        "CVE-2021-23336 (CPython)",
        usual(first=line(target=_PLACE + b"?" + _QUERY + b";DeviceId=PHONE2")),
        "200",
        target=_PLACE + b"?" + _QUERY + b"%3BDeviceId%3DPHONE2",
    ),
    _query("two-question-marks", "a second ?", "RFC 3986 §3.4", b"?" + _QUERY, "400"),
    _query("nul-in-value", "%00 in a value", "RFC 3986 §7.3", _QUERY.replace(b"PHONE1", b"PHONE1%00"), "400"),
    _query(
        "line-end-in-value",
        "%0d%0a in a value",
        "CWE-113 response splitting",
        _QUERY.replace(b"Android", b"Android%0d%0aX-A:%20b"),
        "400",
    ),
    _query(
        "other-user",
        "another User than the credentials'",
        "[MS-ASHTTP] 2.2.1.1.1.2",
        _QUERY.replace(b"anna", b"boss"),
        "400",
    ),
    _query("stray-percent", "% without two digits", "RFC 3986 §2.1", _QUERY.replace(b"Android", b"Andr%id"), "400"),
    _query("overlong-percent", "%c0%ae in a value", "RFC 3629 §3", _QUERY.replace(b"Android", b"%c0%aeA"), "400"),
    _query("no-value", "a parameter without a value", "[MS-ASHTTP] 2.2.1.1.1", _QUERY + b"&SaveInSent", "400"),
    _query(
        "many",
        "forty parameters",
        "hash flooding (2011)",
        _QUERY + b"".join(b"&a%d=b" % each for each in range(40)),
        "400",
    ),
    _query("long", "a query of 8 KiB", "MAL-LONG-URL", _QUERY + b"&a=" + b"b" * 8192, "400"),
)

FORMS = (
    case(
        "absolute",
        "absolute-form to ourselves",
        "RFC 9112 §3.2.2; COMP-ABSOLUTE-FORM",
        usual(first=line(target=b"http://mail.example" + TARGET % b"anna")),
        "400 close",
    ),
    case(
        "absolute-elsewhere",
        "absolute-form to another host",
        "SMUG-ABSOLUTE-URI-HOST-MISMATCH; Host of Troubles (2016); CVE-2016-4553 (Squid)",
        usual(first=line(target=b"http://other.example" + TARGET % b"anna")),
        "400 close",
    ),
    case(
        "absolute-userinfo",
        "absolute-form with a name and a password",
        "RFC 9110 §4.2.4",
        usual(first=line(target=b"http://boss:secret@mail.example/")),
        "400 close",
    ),
    case(
        "absolute-https",
        "absolute-form of another scheme",
        "Cracking the lens (2017)",
        usual(first=line(target=b"https://mail.example/")),
        "400 close",
    ),
    case(
        "absolute-file",
        "file:",
        "Cracking the lens (2017)",
        usual(first=line(target=b"file:///etc/passwd")),
        "400 close",
    ),
    case(
        "authority",
        "authority-form to POST",
        "RFC 9112 §3.2.3",
        usual(first=line(target=b"mail.example:443")),
        "400 close",
    ),
    case(
        "at-sign",
        "@other.example, which makes a back end's name a user's",
        "Cracking the lens (2017)",
        usual(first=line(target=b"@other.example/")),
        "400 close",
    ),
    case("no-target", "no target", "RFC9112-3-MISSING-TARGET", usual(first=b"POST HTTP/1.1"), "400 close"),
    case(
        "blank-in-target",
        "a blank in the target",
        "COMP-SPACE-IN-TARGET; CVE-2013-4547 (nginx)",
        usual(first=line(target=b"/ /Microsoft-Server-ActiveSync")),
        "400 close",
    ),
    case(
        "exclamation",
        "a target that is no path",
        "http-garden server bug 7",
        usual(first=line(target=b"!")),
        "400 close",
    ),
    case("star-get", "GET *", "COMP-ASTERISK-WITH-GET", bare(b"GET * HTTP/1.1"), "400 close"),
    case("options-star", "OPTIONS *", "RFC 9112 §3.2.4; COMP-OPTIONS-STAR", bare(b"OPTIONS * HTTP/1.1"), "400 close"),
    case(
        "two-blanks",
        "two blanks in the request line",
        "RFC9112-3-MULTI-SP-REQUEST-LINE",
        usual(first=line().replace(b" /", b"  /")),
        "400 close",
    ),
    case(
        "tab",
        "a tab in the request line",
        "COMP-REQUEST-LINE-TAB",
        usual(first=line().replace(b" /", b"\t/")),
        "400 close",
    ),
    case(
        "trailing-blank",
        "a blank behind the version",
        "COMP-VERSION-WHITESPACE",
        usual(first=line() + b" "),
        "400 close",
    ),
    case("leading-blank", "a blank before the method", "RFC 9112 §3", usual(first=b" " + line()), "400 close"),
    case("four-words", "a fourth word", "CVE-2016-8743 (Apache httpd)", usual(first=line() + b" x"), "400 close"),
)
