"""Paths: what is served, and a corpus of those by which another server might be led elsewhere."""

import pytest

from gateway.protocols.activesync.requests import mount_of
from gateway.protocols.webmail.paths import Discovery, Places, Rule, is_plain

PLACES = Places(("/SOGo/dav", "/dav"), ("/jmap",))


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/EWS/Exchange.asmx", Rule.EWS),
        ("/ews/exchange.ASMX", Rule.EWS),
        ("/EWS/Services.wsdl", Rule.EWS),
        ("/mapi/emsmdb/", Rule.MAPI),
        ("/mapi/nspi", Rule.MAPI),
        ("/OAB/4cf45b1d-0f5a-4cd1-9d3e-9a4dbb5f1e3a/oab.xml", Rule.MAPI),
        ("/owa", Rule.OWA),
        ("/owa/", Rule.OWA),
        ("/owa/auth/logon.aspx", Rule.OWA),
        ("/owa/anna@corp.example/", Rule.OWA),
        ("/SOGo/dav", Rule.DAV),
        ("/SOGo/dav/anna/Calendar/personal/a%20b%25.ics", Rule.DAV),
        ("/SOGo/dav/anna@corp.example/Gr%C3%BC%C3%9Fe/", Rule.DAV),
        ("/dav/calendars/user/anna%40corp.example/", Rule.DAV),
        ("/jmap/session", Rule.JMAP),
        ("/.well-known/jmap", Rule.JMAP),
        ("/.well-known/caldav", Discovery.DAV),
        ("/.well-known/carddav/", Discovery.DAV),
    ],
)
def test_what_is_served(path: str, place: object) -> None:
    assert PLACES.of(path.encode()) is place


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/",
            "/ecp",
            "/ecp/",
            "/powershell",
            "/PowerShell/",
            "/rpc/rpcproxy.dll",
            "/api/v2.0/me",
            "/public",
            "/exchange/anna",
        ),
        *(
            "/exchweb",
            "/SOGo",
            "/SOGo/",
            "/SOGo/so/anna",
            "/SOGo/davs",
            "/sogo/dav",
            "/SOGo/DAV",
            "/davx",
            "/jmapx",
            "/owax",
        ),
        *(
            "/EWS",
            "/EWS/",
            "/EWS/Exchange.asmx/",
            "/EWS/Exchange.asmx/x",
            "/EWS/UM2007Legacy.asmx",
            "/mapi",
            "/mapi/emsmdb/x",
        ),
        *("/.well-known", "/.well-known/caldav/x", "/.well-known/autoconfig/mail/config-v1.1.xml"),
    ],
)
def test_what_is_not(path: str) -> None:
    assert is_plain(path.encode())
    assert PLACES.of(path.encode()) is None


HOSTILE = [
    *(
        "/SOGo/dav/..",
        "/SOGo/dav/../so/anna",
        "/SOGo/dav/./x",
        "/SOGo/dav/.../x",
        "/owa/../ecp/",
        "/owa/..%20/ecp",
        "/owa/x./y",
    ),
    *(
        "/SOGo/dav/%2e%2e/so",
        "/SOGo/dav/%2E./so",
        "/SOGo/dav/.%2e/so",
        "/SOGo/dav/%252e%252e/so",
        "/SOGo/dav/x%20",
        "/owa/a%20/b",
    ),
    *(
        "/SOGo/dav/%2fso",
        "/SOGo/dav/..%2fso",
        "/SOGo/dav/x%2Fy",
        "/SOGo/dav/x%5cy",
        "/SOGo/dav/x\\y",
        "/SOGo/dav/%255c..",
    ),
    *("/SOGo/dav//x", "//SOGo/dav/x", "/SOGo//dav/x", "/SOGo/dav/x//", "/owa//ecp"),
    *("/SOGo/dav;x=/../so", "/SOGo/dav/x;v=1", "/SOGo/dav/..;/so", "/SOGo/dav/x%3by", "/owa/;/ecp", "/owa/..;/ecp/"),
    *("/SOGo/dav/%00", "/SOGo/dav/x%0d%0ay", "/SOGo/dav/x%09y", "/SOGo/dav/x%7fy", "/SOGo/dav/%c2%85"),
    *(
        "/SOGo/dav/%c0%af../so",
        "/SOGo/dav/%c0%ae%c0%ae/so",
        "/SOGo/dav/%e0%80%af",
        "/SOGo/dav/%ff",
        "/SOGo/dav/%f8%80%80%80%af",
    ),
    *(
        "/SOGo/dav/%ef%bc%8e%ef%bc%8e/so",
        "/SOGo/dav/%e2%80%a4%e2%80%a4/so",
        "/SOGo/dav/%e2%80%a5/so",
        "/SOGo/dav/x%ef%bc%8fy",
    ),
    *("/SOGo/dav/x%ef%bc%bcy", "/SOGo/dav/x%ef%bc%9by", "/SOGo/dav/%ef%bc%852e%ef%bc%852e/so"),
    *(
        "/SOGo/dav/%u002e%u002e/so",
        "/SOGo/dav/%2",
        "/SOGo/dav/%",
        "/SOGo/dav/%zz",
        "/SOGo/dav/x#y",
        "/SOGo/dav/x?y",
        "/SOGo/dav/<x>",
    ),
    *(
        "/SOGo/dav/x|y",
        "/SOGo/dav/x^y",
        "/SOGo/dav/x`y",
        "/SOGo/dav/{x}",
        '/SOGo/dav/"x"',
        "/SOGo/dav/[x]",
        "/SOGo/dav/\u00e9",
    ),
    *("SOGo/dav/x", "", "*", "http://mail.example/SOGo/dav/x", "/SOGo/dav/" + "x" * 5000),
    *("/%53OGo/dav/x/%2e", "/owa%2f..%2fecp", "/%2e/owa", "/owa/%2e%2e%2fecp"),
    "/Microsoft-Server-ActiveSync/../SOGo/dav/anna",
    "/Microsoft-Server-ActiveSync/..;/SOGo/dav/anna",
    "/Microsoft-Server-ActiveSync/%2e%2e/SOGo/dav/anna",
    "/Microsoft-Server-ActiveSync/..%2fSOGo/dav/anna",
    "/Microsoft-Server-ActiveSync;/SOGo/dav/anna",
    "/autodiscover/autodiscover.xml/../../SOGo/dav/anna",
    "/autodiscover/autodiscover.json/v1.0/../../../SOGo/dav/a@b.example",
]


@pytest.mark.parametrize("path", HOSTILE)
def test_what_might_lead_elsewhere_is_no_path(path: str) -> None:
    octets = path.encode("latin-1")
    assert PLACES.of(octets) is None
    assert not is_plain(octets)
    assert mount_of(octets) is None


@pytest.mark.parametrize(
    "path", ["/%53OGo/dav/x", "/SOGo%64av/x", "/%6fwa/", "/Microsoft-Server-ActiveSync/SOGo/dav/anna"]
)
def test_a_place_is_written_without_escapes_and_stands_first(path: str) -> None:
    assert PLACES.of(path.encode()) is None


def test_every_octet_of_a_mount_counts() -> None:
    path = b"/SOGo/dav/anna/"
    for at in range(len("/SOGo/dav")):
        for octet in range(256):
            changed = path[:at] + bytes((octet,)) + path[at + 1 :]
            assert (PLACES.of(changed) is Rule.DAV) == (changed == path or (octet == ord("/") and at == 0)), changed
