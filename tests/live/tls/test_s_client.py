"""What OpenSSL's own client gets of the gateway: versions, ciphers, names, client certificates, renewal under way."""

import asyncio
import signal

import pytest

from tests.live.tls.secured import ASK, CORPORATE, MAIL, Secured, serial_of
from tests.network.authority import Authority, Issued

pytestmark = pytest.mark.asyncio(loop_scope="session")

WEAK = "@SECLEVEL=0"


@pytest.mark.parametrize(("version", "spoken"), [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
async def test_versions_that_are_spoken(secure: Secured, version: str, spoken: str) -> None:
    said = await secure.s_client(version)
    assert f"New, {spoken}, Cipher is" in said
    assert "Verify return code: 0 (ok)" in said
    assert MAIL in said


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
async def test_versions_that_are_not(secure: Secured, version: str) -> None:
    said = await secure.s_client(version, "-cipher", f"ALL:{WEAK}")
    assert "Cipher is (NONE)" in said
    assert MAIL not in said
    await secure.until_counted("version")


@pytest.mark.parametrize("name", ["localhost", CORPORATE])
@pytest.mark.parametrize(
    "cipher", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES256-SHA384", "DHE", "3DES", "RC4", "aNULL"]
)
async def test_ciphers_that_are_not(secure: Secured, name: str, cipher: str) -> None:
    """Without forward secrecy, in CBC, or broken."""
    said = await secure.s_client("-tls1_2", "-servername", name, "-cipher", f"{cipher}:{WEAK}")
    assert MAIL not in said
    assert "Cipher is (NONE)" in said or "no cipher match" in said


@pytest.mark.parametrize(
    ("name", "cipher"),
    [
        ("localhost", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ("localhost", "ECDHE-ECDSA-CHACHA20-POLY1305"),
        (CORPORATE, "ECDHE-RSA-AES256-GCM-SHA384"),
    ],
)
async def test_ciphers(secure: Secured, name: str, cipher: str) -> None:
    said = await secure.s_client("-tls1_2", "-servername", name, "-cipher", cipher)
    assert f"Cipher is {cipher}" in said
    assert "Compression: NONE" in said
    assert MAIL in said


@pytest.mark.parametrize(("offered", "chosen"), [("h2,http/1.1", "ALPN protocol: http/1.1"), ("h2", "No ALPN")])
async def test_the_protocol(secure: Secured, offered: str, chosen: str) -> None:
    assert chosen in await secure.s_client("-alpn", offered)


async def test_each_name_has_its_certificate(secure: Secured) -> None:
    assert await secure.shown("-servername", CORPORATE) == serial_of(secure.corporate)
    for words in (("-servername", "localhost"), ("-servername", "elsewhere.example"), ("-noservername",)):
        assert await secure.shown(*words) == serial_of(secure.own)


async def test_nothing_is_negotiated_anew(secure: Secured) -> None:
    """Renegotiation of TLS 1.2 costs the server more than the client."""
    client = await secure.begun("-tls1_2", commands=True)
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write(b"R\n")
    said = b""
    async with asyncio.timeout(30):
        while b"no renegotiation" not in said:
            said += await client.stdout.readline() or pytest.fail(said.decode())
    assert b"RENEGOTIATING" in said
    client.kill()
    await client.communicate()


async def test_keys_are_updated_under_way(secure: Secured) -> None:
    """Both directions (RFC 8446 §4.6.3), before the request: its answer is by the new keys."""
    client = await secure.begun("-tls1_3", commands=True)
    assert client.stdin is not None
    assert client.stdout is not None
    said = b""
    async with asyncio.timeout(30):
        # A line that is a letter alone is a command of its own.
        for _ in range(2):
            client.stdin.write(b"K\n")
            said = b""
            while b"KEYUPDATE" not in said:
                said += await client.stdout.readline() or pytest.fail(said.decode())
        client.stdin.write(ASK)
        while MAIL.encode() not in said:
            said += await client.stdout.read(65536) or pytest.fail(said.decode())
    client.kill()
    await client.communicate()


async def test_an_early_word_is_not_taken(secure: Secured) -> None:
    """0-RTT can be replayed (RFC 8446 §8)."""
    assert "Max Early Data: 0" in await secure.s_client("-tls1_3")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_a_session_is_taken_up_again(secure: Secured, version: str, tmp_path: object) -> None:
    """By the same worker; the ticket of one is nothing to another, and the handshake is a whole one then."""
    file = f"{tmp_path}/session"
    said = await secure.s_client(version, "-sess_out", file)
    assert MAIL in said
    for _ in range(30):
        said = await secure.s_client(version, "-sess_in", file)
        assert MAIL in said
        if "Reused, TLSv1" in said:
            return
    raise AssertionError(said)


# --- client certificates


def credentials(issued: Issued) -> tuple[str, ...]:
    return ("-cert", str(issued.certificate), "-key", str(issued.key))


async def test_a_client_shows_its_certificate(guarded: Secured) -> None:
    said = await guarded.s_client(*credentials(guarded.authority.issue("phone7", client=True)))
    assert "New, TLSv1.3" in said
    assert MAIL in said


async def test_a_client_without_one_or_with_a_strangers(guarded: Secured) -> None:
    said = await guarded.s_client()
    assert "Cipher is TLS_" in said
    stranger = Authority(guarded.authority.directory, "stranger").issue("phone7", client=True)
    refused = await guarded.s_client(*credentials(stranger))
    for_servers = await guarded.s_client(*credentials(guarded.authority.issue("phone7")))
    assert MAIL not in said + refused + for_servers
    await guarded.until_counted("client_certificate")


async def test_no_session_of_a_client_with_a_certificate(guarded: Secured) -> None:
    said = await guarded.s_client(*credentials(guarded.authority.issue("phone7", client=True)))
    assert "Post-Handshake New Session Ticket arrived" not in said


async def test_an_older_version_where_the_newest_is_the_least(guarded: Secured) -> None:
    said = await guarded.s_client("-tls1_2", *credentials(guarded.authority.issue("phone7", client=True)))
    assert "Cipher is (NONE)" in said


# --- renewal


async def test_certificates_are_renewed_under_live_connections(secure: Secured) -> None:
    """All of them, by signal and by the change of a file alone; a broken one leaves the old in place and says so."""
    open_one = await secure.begun()
    assert open_one.stdout is not None
    assert open_one.stdin is not None
    early = b""
    while b"Verify return code" not in early:
        early += await asyncio.wait_for(open_one.stdout.read(65536), 30)
    before = secure.logged("certificate_reloaded")
    secure.corporate.replace(secure.authority.issue(CORPORATE, with_rsa=True))
    secure.own.replace(secure.authority.issue())
    secure.gateway.process.send_signal(signal.SIGHUP)
    await secure.until_logged("certificate_reloaded", before + 2)
    assert await secure.shown() == serial_of(secure.own)
    assert await secure.shown("-servername", CORPORATE) == serial_of(secure.corporate)
    # The connection of before goes on.
    open_one.stdin.write(ASK)
    rest, _ = await asyncio.wait_for(open_one.communicate(), 30)
    assert MAIL in rest.decode(errors="replace")

    good = serial_of(secure.corporate)
    kept = secure.corporate.certificate.read_bytes()
    failed = secure.logged("certificate_not_reloaded")
    secure.corporate.certificate.write_bytes(kept[:200])
    secure.own.replace(secure.authority.issue())
    await secure.until_logged("certificate_not_reloaded", failed + 2)
    told = next(entry for entry in secure.gateway.log if entry["event"] == "certificate_not_reloaded")
    assert "[tls] names, number 1: certificate" in str(told["reason"])
    assert await secure.shown("-servername", CORPORATE) == good
    reloaded = secure.logged("certificate_reloaded")
    secure.corporate.certificate.write_bytes(kept)
    await secure.until_logged("certificate_reloaded", reloaded + 2)
    assert await secure.shown() == serial_of(secure.own)
