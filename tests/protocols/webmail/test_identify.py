"""Who asks for what, which headers pass, and where a COPY or MOVE may lead."""

import base64

import pytest

from gateway.domain.access import AccessRequest, IdentityStrength, Protocol
from gateway.domain.identity import IdentityRules
from gateway.protocols.activesync.requests import Credentials
from gateway.protocols.answer import Answer
from gateway.protocols.http.request_head import parse_request
from gateway.protocols.webmail.headers import to_client, to_upstream
from gateway.protocols.webmail.identify import Speaker, WebmailAsked, identify
from gateway.protocols.webmail.paths import Places, Rule
from tests.support.raw_http import basic, request

PLACES = Places(("/SOGo/dav",), ("/jmap",))
ADDRESS = "192.0.2.7"


def asked(octets: bytes, rule: Rule = Rule.DAV, *, judged: bool = True) -> WebmailAsked | Answer:
    return identify(parse_request(octets), rule, PLACES, ADDRESS, IdentityRules(), judged=judged)


def propfind(**headers: str) -> bytes:
    return request("/SOGo/dav/anna/", b"", method="PROPFIND", user="anna", **headers)


def understood(octets: bytes, rule: Rule = Rule.DAV, *, judged: bool = True) -> WebmailAsked:
    found = asked(octets, rule, judged=judged)
    assert isinstance(found, WebmailAsked)
    return found


def status(octets: bytes, rule: Rule = Rule.DAV) -> int:
    found = asked(octets, rule)
    assert isinstance(found, Answer)
    return found.status


def test_all_devices_of_the_user_answer() -> None:
    assert understood(propfind()).request == AccessRequest(
        "anna", "", Protocol.WEBMAIL, IdentityStrength.USER_WIDE, "dav PROPFIND", "", ADDRESS
    )


def test_a_login_of_the_connection_is_in_no_representation() -> None:
    speaker = Speaker(Credentials("connection", "anna", b"1"), "anna", b"NTLM TlRMTVNTUAAD")
    assert "TlRM" not in repr(speaker)
    found = identify(
        *(parse_request(request("/mapi/emsmdb", Cookie="MapiContext=x; cadata=y")), Rule.MAPI, PLACES, ADDRESS),
        IdentityRules(),
        judged=True,
        speaker=speaker,
    )
    assert isinstance(found, WebmailAsked)
    assert found.request is not None
    assert found.request.login == "anna"
    passing = dict(found.fields or [])
    assert (passing[b"Authorization"], passing[b"Cookie"]) == (b"NTLM TlRMTVNTUAAD", b"MapiContext=x")


def test_a_token_names_its_owner() -> None:
    claims = base64.urlsafe_b64encode(b'{"upn": "anna@corp.example"}').rstrip(b"=").decode()
    found = understood(request("/jmap/", user="", Authorization=f"Bearer e30.{claims}.x"), Rule.JMAP)
    assert found.request is not None
    assert found.request.login == "anna@corp.example"


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        ("NTLM TlRMTVNTUAABAAAA", 401),
        ("Negotiate YII=", 401),
        ("Digest username=anna", 401),
        ("Bearer opaque", 401),
        ("Basic !", 401),
    ],
)
def test_credentials_that_name_nobody(authorization: str, expected: int) -> None:
    assert status(propfind(Authorization=authorization)) == expected


@pytest.mark.parametrize("judged", [True, False])
def test_credentials_of_a_connection_never_reach_the_pool(judged: bool) -> None:
    octets = request("/mapi/emsmdb", Authorization="NTLM TlRMTVNTUAABAAAA")
    found = asked(octets, Rule.MAPI, judged=judged)
    assert isinstance(found, Answer)
    assert found.status == 401
    assert [name for name, _ in found.headers if name == "WWW-Authenticate"] == ["WWW-Authenticate"]


def test_without_credentials_nobody_is_judged_and_no_cookie_goes_along() -> None:
    found = understood(request("/mapi/emsmdb", Cookie="MapiContext=x"), Rule.MAPI)
    assert (found.request, found.credentials) == (None, None)
    assert b"cookie" not in [name.lower() for name, _ in found.fields or []]


def test_what_a_server_can_do_is_no_secret() -> None:
    assert understood(request("/SOGo/dav/", method="OPTIONS", user="anna")).request is None


def test_open_for_a_network_nobody_is_judged() -> None:
    found = understood(request("/owa/", method="GET", Cookie="a=1; X-BEResource=evil; b=2"), Rule.OWA, judged=False)
    assert found.request is None
    assert dict(found.fields or [])[b"Cookie"] == b"a=1; b=2"


@pytest.mark.parametrize("method", ["LOCK", "UNLOCK", "ACL", "TRACE", "CONNECT", "SEARCH", "BPROPPATCH", "PATCH"])
def test_methods_are_an_allow_list(method: str) -> None:
    assert status(request("/SOGo/dav/anna/", method=method, user="anna")) == 405


QUERIES = pytest.mark.parametrize(
    "query",
    [
        *("access_token=x", "a=1&access_token=x", "ACCESS_TOKEN=x", "a;access%5Ftoken=x", "access_token"),
        *("%61ccess_token=x", "a=1&acce%73s%5ftoke%6E=x", "%2561ccess_token=x"),
        # ASP.NET reads these.
        *("%u0061ccess_token=x", "a=1&access%U005ftoken=x", "%25u0061ccess_token=x"),
        # PHP makes one name of these.
        *("access.token=x", "access%20token=x", "+access_token=x", "access[token=x", "access_token%5b%5d=x"),
    ],
)


@QUERIES
def test_a_second_token_in_the_url(query: str) -> None:
    assert status(request(f"/jmap/?{query}", method="GET", user="anna"), Rule.JMAP) == 400


@QUERIES
def test_a_token_in_the_url_alone(query: str) -> None:
    """It would be served without a verdict, by a server that believes it."""
    assert status(request(f"/jmap/?{query}", method="POST"), Rule.JMAP) == 401
    assert isinstance(asked(request(f"/jmap/?{query}", method="POST"), Rule.JMAP, judged=False), WebmailAsked)


MOVE = "http://mail.example/SOGo/dav/anna/Calendar/b.ics"


@pytest.mark.parametrize(
    "destination",
    [
        MOVE,
        MOVE.replace("http:", "https:"),
        "http://MAIL.example:80/SOGo/dav/x",
        "https://mail.example:443/SOGo/dav/x",
        "/SOGo/dav/x",
    ],
)
def test_a_destination_of_this_server(destination: str) -> None:
    found = understood(request("/SOGo/dav/a.ics", method="MOVE", user="anna", Destination=destination))
    assert dict(found.fields or [])[b"Destination"].decode() == destination


@pytest.mark.parametrize(
    "destination",
    [
        *(
            "http://elsewhere.example/SOGo/dav/x",
            "http://mail.example:8080/SOGo/dav/x",
            "//elsewhere.example/SOGo/dav/x",
        ),
        *("http://mail.example@elsewhere.example/SOGo/dav/x", "http://mail.example/SOGo/so/anna", "/SOGo/so/anna"),
        *(
            "/SOGo/dav/../so/anna",
            "/SOGo/dav/%2e%2e/so",
            "/SOGo/dav/x%2fy",
            "/SOGo/dav;/x",
            "x",
            "",
            "file:///SOGo/dav/x",
        ),
        *("http://mail.example", "http://mail.example/SOGo/dav/x?y", "http://mail.example/SOGo/dav/x#y", "/jmap/x"),
        "https://mail.example:80/SOGo/dav/x",
    ],
)
def test_any_other_destination(destination: str) -> None:
    octets = request("/SOGo/dav/a.ics", method="MOVE", user="anna")
    octets = octets.replace(b"\r\n\r\n", f"\r\nDestination: {destination}\r\n\r\n".encode())
    assert status(octets) == 403


def test_two_destinations() -> None:
    octets = propfind(Destination=MOVE).replace(b"\r\n\r\n", f"\r\nDestination: {MOVE}\r\n\r\n".encode())
    assert status(octets) == 400


def test_headers_that_pass() -> None:
    given = propfind(
        *(),
        **{
            "Depth": "1",
            "If": "(<urn:x>)",
            "If_Match": '"1"',
            "X_HTTP_Method_Override": "GET",
            "X_Original_URL": "/ecp",
            "X_Forwarded_For": "10.0.0.1",
            "Cookie": "session=other",
            "Connection": "X-Secret",
            "Upgrade": "websocket",
        },
    )
    names = {name.lower() for name, _ in understood(given).fields or []}
    assert names == {b"authorization", b"depth", b"if", b"if-match", b"x-forwarded-for"}
    assert dict(understood(given).fields or [])[b"X-Forwarded-For"] == ADDRESS.encode()


def test_owa_has_headers_of_its_own() -> None:
    pairs = [(b"X-OWA-CANARY", b"x"), (b"X-BackEndHost", b"y"), (b"X-CommonAccessToken", b"z")]
    assert to_upstream(Rule.OWA, pairs, judged=False) == [(b"X-OWA-CANARY", b"x")]
    assert to_upstream(Rule.DAV, pairs, judged=True) == []


def test_a_mapi_session_is_found_again() -> None:
    pairs = [(b"Cookie", b"MapiContext=a; X-BackEndCookie=b; cadata=c; MapiSequence=d")]
    assert to_upstream(Rule.MAPI, pairs, judged=True) == [(b"Cookie", b"MapiContext=a; MapiSequence=d")]
    answered = [(b"Set-Cookie", b"MapiContext=a; path=/mapi"), (b"Set-Cookie", b"cadata=c")]
    assert to_client(Rule.MAPI, answered, b"mail.example", judged=True) == answered[:1]


@pytest.mark.parametrize(
    ("location", "told"),
    [
        (b"http://mail.example/SOGo/dav/", b"/SOGo/dav/"),
        (b"https://MAIL.example:443/x?y", b"/x?y"),
        (b"https://mail.example", b"/"),
        (b"/SOGo/dav/", b"/SOGo/dav/"),
        (b"https://internal.example/x", b""),
        (b"//internal.example/x", b""),
        (b"/\\internal.example/x", b""),
        (b"https://mail.example//internal.example/x", b""),
        (b"https://mail.example@internal.example/x", b""),
        (b"javascript:x", b""),
    ],
)
def test_where_an_answer_leads(location: bytes, told: bytes) -> None:
    pairs = to_client(Rule.DAV, [(b"Location", location)], b"mail.example", judged=True)
    assert pairs == ([(b"Location", told)] if told else [])


def test_an_answers_challenges() -> None:
    pairs = [(b"WWW-Authenticate", b"Negotiate"), (b"WWW-Authenticate", b'NTLM, Basic realm="x"'), (b"Server", b"x")]
    assert to_client(Rule.EWS, pairs, b"mail.example", judged=True) == [(b"WWW-Authenticate", b'Basic realm="x"')]


def test_nothing_of_the_credentials_is_shown() -> None:
    assert basic("anna").split()[1] not in repr(understood(propfind()).credentials)
