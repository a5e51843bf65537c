"""Where a request goes, and whose credentials it carries."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import InvalidValue
from gateway.protocols.activesync.query import parse_query
from gateway.protocols.activesync.requests import (
    AUTHORIZATION_LONGEST,
    Credentials,
    Mount,
    Unusable,
    effective_version,
    mount_of,
    published_at,
    read_authorization,
)
from gateway.protocols.activesync.versions import Version


def basic(pair: str | bytes) -> bytes:
    return b"Basic " + base64.b64encode(pair.encode() if isinstance(pair, str) else pair)


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        (b"/Microsoft-Server-ActiveSync", Mount.EAS),
        (b"/microsoft-server-activesync", Mount.EAS),
        (b"/MICROSOFT-SERVER-ACTIVESYNC", Mount.EAS),
        (b"/autodiscover/autodiscover.xml", Mount.AUTODISCOVER_V1),
        (b"/AutoDiscover/AutoDiscover.xml", Mount.AUTODISCOVER_V1),
        (b"/autodiscover/autodiscover.json", Mount.AUTODISCOVER_V2),
        (b"/Autodiscover/Autodiscover.json/v1.0/ada.b+c@corp.example", Mount.AUTODISCOVER_V2),
        (b"/autodiscover/autodiscover.json/v1.0/ada%40corp.example", Mount.AUTODISCOVER_V2),
    ],
)
def test_what_is_served(path: bytes, mount: Mount) -> None:
    assert mount_of(path) is mount


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"/",
        b"Microsoft-Server-ActiveSync",
        b"/Microsoft-Server-ActiveSync/",
        b"//Microsoft-Server-ActiveSync",
        b"/Microsoft-Server-ActiveSync/default.eas",
        b"/Microsoft-Server-ActiveSync/Proxy/default.eas",
        b"/Microsoft-Server-ActiveSync;x",
        b"/Microsoft-Server-ActiveSync\x00",
        b"/Microsoft-Server-ActiveSync%20",
        b"/Microsoft%2DServer-ActiveSync",
        b"/Microsoft-Server-ActiveSync\\",
        b"/./Microsoft-Server-ActiveSync",
        b"/x/../Microsoft-Server-ActiveSync",
        b"/SOGo/Microsoft-Server-ActiveSync",
        b"/z-push/Microsoft-Server-ActiveSync",
        b"/default.eas",
        b"/EWS/Exchange.asmx",
        b"/powershell",
        b"/autodiscover/autodiscover.json/v1.0/ada@corp.example/EWS",
        b"/autodiscover/autodiscover.json/v1.0/ada@corp.example?x",
        b"/autodiscover/autodiscover.json/@corp.example/owa",
        b"/autodiscover/autodiscover.json/v1.0/a%2F..%2F@x",
        b"/autodiscover/autodiscover.json/v1.0/" + b"a" * 65 + b"@x",
        b"/autodiscover/autodiscover.xml/",
    ],
)
def test_what_is_not_served(path: bytes) -> None:
    assert mount_of(path) is None


@given(st.binary(max_size=60))
def test_nothing_but_the_list_is_served(path: bytes) -> None:
    assert mount_of(path) is None or path.lower().startswith((b"/microsoft-server-activesync", b"/autodiscover/"))
    assert mount_of(b"/Microsoft-Server-ActiveSync" + path) is (None if path else Mount.EAS)
    assert mount_of(path + b"/Microsoft-Server-ActiveSync") is (None if path else Mount.EAS)


@pytest.mark.parametrize("public_url", ["https://mail.example", "https://mail.example/"])
def test_published_addresses_are_served(public_url: str) -> None:
    assert published_at(Mount.EAS, public_url) == "https://mail.example/Microsoft-Server-ActiveSync"
    for mount in Mount:
        assert mount_of(published_at(mount, public_url).removeprefix("https://mail.example").encode()) is mount


@pytest.mark.parametrize(
    ("value", "user"),
    [
        (basic("ada@corp.example:secret"), "ada@corp.example"),
        (basic("CORP\\ada:with:colons"), "CORP\\ada"),
        (basic("ada:"), "ada"),
        (basic("jörg:ü"), "jörg"),
        (basic("jörg:ü".encode("latin-1")), "jörg"),
        (b"bASIC   " + basic("ada:x")[6:] + b"  ", "ada"),
    ],
)
def test_basic_credentials(value: bytes, user: str) -> None:
    assert read_authorization(value) == Credentials("basic", user, value)


def test_a_token_names_nobody() -> None:
    credentials = read_authorization(b"Bearer eyJh.eyJz.c2ln")
    assert credentials == Credentials("bearer", "", b"Bearer eyJh.eyJz.c2ln")
    assert isinstance(credentials, Credentials)
    assert credentials.token == b"eyJh.eyJz.c2ln"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"NTLM TlRMTVNTUAABAAAA", Unusable.CONNECTION_BOUND),
        (b"ntlm", Unusable.CONNECTION_BOUND),
        (b"Negotiate YII=", Unusable.CONNECTION_BOUND),
        (b"Kerberos x", Unusable.CONNECTION_BOUND),
        (b'Digest username="ada"', Unusable.UNKNOWN_SCHEME),
        (b"", Unusable.MALFORMED),
        (b"Basic", Unusable.MALFORMED),
        (b"Basic !!!!", Unusable.MALFORMED),
        (b"Basic YQ==YQ==", Unusable.MALFORMED),
        (b"Basic YWRhOng=, Basic Ym9iOng=", Unusable.MALFORMED),
        (basic("no colon"), Unusable.MALFORMED),
        (basic(":password"), Unusable.MALFORMED),
        (basic("a\x00b:x"), Unusable.MALFORMED),
        (basic("a\r\nb:x"), Unusable.MALFORMED),
        (b"Bearer", Unusable.MALFORMED),
        (b"Bearer a b", Unusable.MALFORMED),
        (b"Bearer a,b", Unusable.MALFORMED),
        (b"Bearer a\x00", Unusable.MALFORMED),
        (b" Basic YWRhOng=", Unusable.MALFORMED),
        (b"Basic\tYWRhOng=", Unusable.MALFORMED),
        (b"Bearer " + b"a" * AUTHORIZATION_LONGEST, Unusable.MALFORMED),
    ],
)
def test_unusable_credentials(value: bytes, why: Unusable) -> None:
    assert read_authorization(value) is why


@given(st.binary(max_size=100) | st.binary(max_size=60).map(basic))
def test_credentials_are_read_or_unusable(value: bytes) -> None:
    credentials = read_authorization(value)
    if isinstance(credentials, Credentials) and credentials.scheme == "basic":
        assert credentials.user
        assert credentials.raw is value


def test_secrets_are_not_shown() -> None:
    value = basic("ada:hunter2hunter2")
    shown = repr(read_authorization(value))
    assert "ada" in shown
    assert value.decode()[6:] not in shown
    assert "token" not in repr(read_authorization(b"Bearer token"))


PLAIN = b"Cmd=Sync&User=a&DeviceId=A&DeviceType=x"
COMPACT = b"jAAJBAp2MTQwRGV2aWNlAApTbWFydFBob25l"


def test_the_version_of_a_request() -> None:
    assert effective_version(parse_query(PLAIN), None) is None
    assert effective_version(parse_query(PLAIN), b"16.1") is Version.V16_1
    assert effective_version(parse_query(COMPACT), None) is Version.V14_0
    assert effective_version(parse_query(COMPACT), b"14.0") is Version.V14_0
    with pytest.raises(InvalidValue):
        effective_version(parse_query(COMPACT), b"2.5")
