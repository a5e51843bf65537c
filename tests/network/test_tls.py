"""TLS contexts, by real handshakes in memory: versions, ciphers, the protocol; our own connections verify."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest

from gateway.network.tls import client_context
from tests.network.authority import Authority, Issued
from tests.network.handshakes import limited, server_of, shaken


@pytest.mark.parametrize(
    ("minimum", "version", "accepted"),
    [
        ("1.2", ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
        ("1.2", ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
        ("1.3", ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
        ("1.3", ssl.TLSVersion.TLSv1_2, ""),
        ("1.2", ssl.TLSVersion.TLSv1_1, ""),
        ("1.2", ssl.TLSVersion.TLSv1, ""),
    ],
)
def test_versions(authority: Authority, issued: Issued, minimum: str, version: ssl.TLSVersion, accepted: str) -> None:
    client = limited(authority.trust(), version)
    if version < ssl.TLSVersion.TLSv1_2:
        client.set_ciphers("ALL:@SECLEVEL=0")
    server = server_of(issued, minimum=minimum)
    if not accepted:
        with pytest.raises(ssl.SSLError):
            shaken(server, client)
        return
    ours, theirs = shaken(server, client)
    assert (ours.version(), theirs.version()) == (accepted, accepted)


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384"])
def test_weak_ciphers_are_not_spoken(authority: Authority, issued: Issued, cipher: str) -> None:
    client = limited(authority.trust(), ssl.TLSVersion.TLSv1_2)
    client.set_ciphers(f"{cipher}:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        shaken(server_of(issued), client)


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"])
def test_ciphers(authority: Authority, issued: Issued, cipher: str) -> None:
    client = limited(authority.trust(), ssl.TLSVersion.TLSv1_2)
    client.set_ciphers(cipher)
    spoken = shaken(server_of(issued), client)[0].cipher()
    assert spoken is not None
    assert spoken[0] == cipher


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["h2", "http/1.1"], "http/1.1"), (["http/1.1"], "http/1.1"), (["h2"], None), ([], None)]
)
def test_the_protocol_is_http_1(authority: Authority, issued: Issued, offered: list[str], chosen: str | None) -> None:
    client = authority.trust()
    if offered:
        client.set_alpn_protocols(offered)
    ours, theirs = shaken(server_of(issued), client)
    assert ours.selected_alpn_protocol() == theirs.selected_alpn_protocol() == chosen


# --- our own connections verify


def test_a_server_is_verified(authority: Authority, issued: Issued) -> None:
    client = client_context(str(authority.certificate))
    shaken(issued.server(), client)
    shaken(issued.server(), client, "127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"[Hh]ostname mismatch"):
        shaken(issued.server(), client, "mail.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(issued.server(), client_context())
    expired = authority.issue(ends=datetime.now(UTC) - timedelta(hours=1))
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        shaken(expired.server(), client)
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(authority.issue(client=True).server(), client)
    with pytest.raises(ssl.SSLError):
        shaken(_old(issued), client)


def _old(issued: Issued) -> ssl.SSLContext:
    context = limited(issued.server(), ssl.TLSVersion.TLSv1_1)
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context
