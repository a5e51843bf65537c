"""What a client asked of an HTTP asker: read as inline, only from the headers that the asker sets itself."""

import pytest

from gateway.domain.access import IdentityStrength, Protocol
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import IdentityRules
from gateway.protocols.activesync.identify import Asked, identify
from gateway.protocols.answer import Answer
from gateway.protocols.authz import original
from gateway.protocols.authz.original import ClientQuestion, Kind, Misconfigured
from gateway.protocols.http.request_head import RequestHead, parse_request
from tests.protocols.authz.verdicts import DEFER, DENY
from tests.support.raw_http import basic

RULES = IdentityRules("corp.example")
EAS = "/Microsoft-Server-ActiveSync?Cmd=FolderSync&User=anna&DeviceId=ABC123&DeviceType=iPhone"
BASE64 = "/Microsoft-Server-ActiveSync?jAkJBAZBQkMxMjMAB0FuZHJvaWQ="


def head(*lines: str, first: str = "GET /authz/v1/nginx HTTP/1.1") -> RequestHead:
    return parse_request("\r\n".join((first, "Host: gatepost", *lines, "", "")).encode("latin-1"))


def nginx(method: str, uri: str, *lines: str, user: str = "Anna") -> ClientQuestion | Answer:
    named = [f"X-Original-Method: {method}", f"X-Original-URI: {uri}", "X-Client-IP: 192.0.2.7", *lines]
    named += [f"Authorization: {basic(user)}"] if user else []
    return original.question(*original.client_head(head(*named), Kind.NGINX), RULES)


def judged(found: ClientQuestion | Answer) -> ClientQuestion:
    assert isinstance(found, ClientQuestion)
    assert found.request is not None
    return found


@pytest.mark.parametrize("uri", [EAS, BASE64, EAS.replace("Cmd=FolderSync&", "") + "&Cmd=FolderSync"])
def test_activesync_is_read_as_inline(uri: str) -> None:
    found = judged(nginx("POST", uri, "MS-ASProtocolVersion: 14.0"))
    fields = f"Host: mail.example\r\nAuthorization: {basic('Anna')}\r\nMS-ASProtocolVersion: 14.0\r\n\r\n"
    inline = identify(parse_request(f"POST {uri} HTTP/1.1\r\n{fields}".encode()), "192.0.2.7", RULES)
    assert isinstance(inline, Asked)
    assert (found.request, found.command, found.version) == (inline.request, inline.query.command, inline.version)
    assert found.request is not None
    assert found.request.device_id == "abc123"


def test_the_client_cannot_choose_the_question() -> None:
    """Neither under another asker's names, nor by a second header of the same name."""
    forged = ("X-Forwarded-Uri: /other", "X-Forwarded-Method: OPTIONS", "X-Gatepost-User: mallory")
    assert judged(nginx("POST", EAS, *forged)).request == judged(nginx("POST", EAS)).request
    with pytest.raises(Misconfigured, match="x-original-uri comes more than once"):
        nginx("POST", EAS, "x-original-uri: /other")


@pytest.mark.parametrize("missing", ["X-Original-Method", "X-Original-URI"])
def test_what_the_asker_leaves_out_is_named(missing: str) -> None:
    lines = [each for each in ("X-Original-Method: POST", f"X-Original-URI: {EAS}") if not each.startswith(missing)]
    with pytest.raises(Misconfigured, match=f"{missing.lower()} is missing"):
        original.client_head(head(*lines), Kind.NGINX)


def test_forwarded() -> None:
    lines = ("X-Forwarded-Method: POST", f"X-Forwarded-Uri: {EAS}", "X-Forwarded-For: 6.6.6.6, 192.0.2.7")
    client, address = original.client_head(head(*lines, "X-Original-URI: /other"), Kind.FORWARDED)
    assert (client.method, client.path, address) == (b"POST", b"/Microsoft-Server-ActiveSync", "192.0.2.7")


def test_envoy_puts_its_prefix_before_the_path() -> None:
    asked = head(f"Authorization: {basic('anna')}", first=f"POST /authz/v1/envoy{EAS} HTTP/1.1")
    client, _ = original.client_head_behind(b"/authz/v1/envoy", asked)
    assert judged(original.question(client, "", RULES)).request == judged(nginx("POST", EAS)).request._replace(  # type: ignore[union-attr]
        client_address=""
    )


@pytest.mark.parametrize("uri", ["", "http://x/", "x", "/a b", "/ä", "*"])
def test_a_target_that_is_none(uri: str) -> None:
    with pytest.raises(InvalidValue):
        nginx("POST", uri)


@pytest.mark.parametrize(
    ("method", "uri", "user"),
    [
        ("OPTIONS", "/Microsoft-Server-ActiveSync", "anna"),
        ("OPTIONS", "/Microsoft-Server-ActiveSync", ""),
        ("POST", EAS, ""),
        ("POST", "/autodiscover/autodiscover.xml", "anna"),
        ("GET", "/Autodiscover/Autodiscover.json?Email=a@b", ""),
        ("PROPFIND", "/dav/anna/", ""),
        ("OPTIONS", "/dav/anna/", "anna"),
    ],
)
def test_let_through_unjudged(method: str, uri: str, user: str) -> None:
    found = nginx(method, uri, user=user)
    assert isinstance(found, ClientQuestion)
    assert found.request is None


@pytest.mark.parametrize(
    "name", ["X-HTTP-Method-Override", "x-http-method", "X-Method-Override", "X_HTTP_Method-Override"]
)
@pytest.mark.parametrize("uri", ["/Microsoft-Server-ActiveSync", "/dav/anna/"])
@pytest.mark.parametrize("user", ["anna", ""])
def test_a_method_in_a_header_is_no_way_round(uri: str, name: str, user: str) -> None:
    """OPTIONS is let through unjudged; a server that goes by such a header would run another method."""
    found = nginx("OPTIONS", uri, f"{name}: POST", user=user)
    assert isinstance(found, Answer)
    assert found.status == 400


@pytest.mark.parametrize("uri", [EAS, "/owa/", "/dav/anna/"])
def test_a_cookie_is_no_way_round(uri: str) -> None:
    found = nginx("POST", uri, "Cookie: session=1", user="")
    assert isinstance(found, Answer)
    assert found.status == 401


@pytest.mark.parametrize("authorization", ["Negotiate YII", "NTLM TlRM", "Digest a=b", "Basic %%%", "Bearer opaque"])
@pytest.mark.parametrize("uri", [EAS, "/EWS/Exchange.asmx"])
def test_credentials_that_name_nobody(uri: str, authorization: str) -> None:
    found = nginx("POST", uri, f"Authorization: {authorization}", user="")
    assert isinstance(found, Answer)
    assert found.status == 401


@pytest.mark.parametrize(
    "path",
    [
        "/%4dicrosoft-Server-ActiveSync",
        "//Microsoft-Server-ActiveSync",
        "/x/../Microsoft-Server-ActiveSync",
        "/Microsoft-Server-ActiveSync/",
        "/Microsoft-Server-ActiveSync/default.eas",
        "/%254dicrosoft-Server-ActiveSync",
        "/Microsoft-Server-ActiveSyncX",
        "/SOGo/Microsoft-Server-ActiveSync",
        "/x/%2e%2e/dav/",
        "/dav//anna/",
        "/dav;x/anna/",
    ],
)
def test_another_spelling_is_no_way_round(path: str) -> None:
    found = nginx("POST", path + EAS[EAS.index("?") :])
    assert isinstance(found, Answer)
    assert found.status == 404


@pytest.mark.parametrize("user", ["anna", ""])
@pytest.mark.parametrize("uri", ["/jmap/session?access_token=x", "/jmap/?a&%61ccess_token=x", EAS + "&access_token=x"])
def test_a_token_in_the_url_is_no_way_round(user: str, uri: str) -> None:
    """Some servers would believe it rather than Authorization (RFC 6750 §2.3)."""
    found = nginx("GET" if "jmap" in uri else "POST", uri, user=user)
    assert isinstance(found, Answer)
    assert found.status == 400


def test_activesync_that_inline_would_refuse() -> None:
    for uri, lines, status in (
        (EAS + "&DeviceId=other", (), 400),
        (EAS.replace("User=anna", "User=bert"), (), 400),
        (EAS.replace("FolderSync", "Nonsense"), (), 501),
        (EAS, ("Content-Encoding: gzip",), 415),
    ):
        found = nginx("POST", uri, *lines)
        assert isinstance(found, Answer)
        assert found.status == status


def test_other_paths_are_judged_by_all_devices() -> None:
    found = judged(nginx("PROPFIND", "/dav/anna/"))
    assert found.request is not None
    assert (found.request.login, found.request.device_id) == ("anna@corp.example", "")
    assert (found.request.protocol, found.request.strength) == (Protocol.WEBMAIL, IdentityStrength.USER_WIDE)


def test_refusals_in_the_dialect_of_the_request() -> None:
    modern = judged(nginx("POST", EAS, "MS-ASProtocolVersion: 16.1"))
    older = judged(nginx("POST", EAS, "MS-ASProtocolVersion: 12.1"))
    webmail = judged(nginx("GET", "/owa/"))
    assert original.refusal(modern, DENY, 30).body == bytes.fromhex("03016a000007564c03313239000101")
    for asked in (older, webmail):
        refused = original.refusal(asked, DENY, 30)
        assert (refused.status, refused.body) == (
            403,
            b"Mail on this device is blocked by your organization. Ask your help desk.",
        )
    for asked in (modern, older, webmail):
        deferred = original.refusal(asked, DEFER, 30)
        assert (deferred.status, dict(deferred.headers)["Retry-After"]) == (503, "30")


@pytest.mark.parametrize(
    ("query", "target"),
    [
        (b"url=https%3A%2F%2Fmail.example%2Fx%3FCmd%3DSync%26User%3Da%2540b", b"/x?Cmd=Sync&User=a%40b"),
        (b"url=http%3A%2F%2Fmail.example%3A8080%2Fx", b"/x"),
        (b"url=https%3A%2F%2Fmail.example", b"/"),
        (b"url=%2Fx", b"/"),
    ],
)
def test_a_whole_url_in_the_query(query: bytes, target: bytes) -> None:
    asked = original.client_head_in_query(
        parse_request(b"GET /authz/v1/blocked?" + query + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    )
    assert (asked.method, asked.path + (b"?" + asked.query if asked.query else b"")) == (b"POST", target)


@pytest.mark.parametrize(
    "query", [b"", b"url=", b"uri=https%3A%2F%2Fx%2F", b"url=https%3A%2F%2Fx%2Fa+b", b"url=https%3A%2F%2Fx%2F%00"]
)
def test_a_query_that_is_no_url(query: bytes) -> None:
    with pytest.raises(InvalidValue):
        original.client_head_in_query(
            parse_request(b"GET /authz/v1/blocked?" + query + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        )
