"""Certificate files: read again while connections stand, and clear errors for what cannot be used."""

import asyncio
import os
import pty
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import uvloop

from gateway.app.bounded_http import Room
from gateway.network.accepting import TlsAcceptor
from gateway.network.tls import ServerFiles, ServerTls, TlsUnusable, client_context, expires_at, server_context
from tests.network.authority import Authority, Issued
from tests.network.handshakes import limited, server_of, shaken

LATER = datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC)


# --- reading the files again


def shown_by(tls: ServerTls, authority: Authority) -> object:
    certificate = shaken(tls.context, authority.trust())[0].getpeercert()
    assert certificate is not None
    return certificate["serialNumber"]


def test_a_renewed_certificate_is_shown_without_a_restart(authority: Authority, issued: Issued) -> None:
    tls = ServerTls(issued.files())
    before = shown_by(tls, authority)
    renewed = authority.issue()
    issued.certificate.write_bytes(renewed.certificate.read_bytes())
    issued.key.write_bytes(renewed.key.read_bytes())
    assert shown_by(tls, authority) == before
    tls.reload()
    assert shown_by(tls, authority) != before


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_listeners_show_the_renewed_one(
    authority: Authority, issued: Issued, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    tls = ServerTls(issued.files())

    class HangsUp(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport.close()

    async def serial(port: int) -> object:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=authority.trust())
        shown = writer.get_extra_info("peercert")["serialNumber"]
        assert await reader.read() == b""
        writer.close()
        return shown

    async def told() -> tuple[object, object, object]:
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        server = TlsAcceptor(sock, tls, HangsUp, Room(100, lambda limit: None), 10.0)
        server.start()
        before = await serial(port)
        renewed = authority.issue()
        issued.certificate.write_bytes(renewed.certificate.read_bytes())
        issued.key.write_bytes(renewed.key.read_bytes())
        tls.reload()
        after = await serial(port), await serial(port)
        server.close()
        return before, *after

    with asyncio.Runner(loop_factory=loop) as runner:
        before, after, again = runner.run(told())
    assert before != after == again


@pytest.mark.parametrize("spoiled", ["certificate", "key", "both"])
@pytest.mark.parametrize("content", [None, b"", b"garbage"])
def test_what_cannot_be_used_leaves_the_old_in_place(
    authority: Authority, issued: Issued, spoiled: str, content: bytes | None
) -> None:
    tls = ServerTls(issued.files(client_ca=str(authority.certificate)))
    before = shown_by(tls, authority)
    for file in (issued.certificate, issued.key) if spoiled == "both" else (getattr(issued, spoiled),):
        file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(TlsUnusable):
        tls.reload()
    assert shown_by(tls, authority) == before


def test_half_a_renewal_leaves_the_old_in_place(authority: Authority, issued: Issued) -> None:
    tls = ServerTls(issued.files())
    before = shown_by(tls, authority)
    issued.certificate.write_bytes(authority.issue().certificate.read_bytes())
    with pytest.raises(TlsUnusable):
        tls.reload()
    assert shown_by(tls, authority) == before


def test_a_further_authority_is_believed_after_reading_again(authority: Authority, issued: Issued) -> None:
    file = authority.directory / "clients.pem"
    file.write_bytes(authority.certificate.read_bytes())
    tls = ServerTls(issued.files(client_ca=str(file)))
    other = Authority(authority.directory, "other")
    phone = other.issue("phone7", client=True)
    client = authority.trust()
    client.load_cert_chain(phone.certificate, phone.key)
    with pytest.raises(ssl.SSLError):
        shaken(tls.context, client)
    file.write_bytes(authority.certificate.read_bytes() + other.certificate.read_bytes())
    tls.reload()
    assert shaken(tls.context, client)[1].getpeercert()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_an_authority_that_was_taken_out_is_believed_no_more(
    authority: Authority, issued: Issued, version: ssl.TLSVersion
) -> None:
    file = authority.directory / "clients.pem"
    other = Authority(authority.directory, "other")
    file.write_bytes(authority.certificate.read_bytes() + other.certificate.read_bytes())
    tls = ServerTls(issued.files(client_ca=str(file)))
    clients = []
    for each in (authority, other):
        phone, client = each.issue("phone7", client=True), limited(authority.trust(), version)
        client.load_cert_chain(phone.certificate, phone.key)
        assert shaken(tls.context, client)[1].getpeercert()
        clients.append(client)
    file.write_bytes(authority.certificate.read_bytes())
    tls.reload()
    assert shaken(tls.context, clients[0])[1].getpeercert()
    with pytest.raises(ssl.SSLError):
        shaken(tls.context, clients[1])
    # Whoever shows none is served as before, by name or without one.
    assert shaken(tls.context, limited(authority.trust(), version))[1].getpeercert() is None
    assert shaken(tls.context, limited(authority.trust(), version), "127.0.0.1")[1].getpeercert() is None


# --- files that cannot be used


def test_one_file_for_both(authority: Authority, issued: Issued) -> None:
    both = authority.directory / "both.pem"
    both.write_bytes(issued.certificate.read_bytes() + issued.key.read_bytes())
    shaken(server_context(ServerFiles(certificate=str(both))), authority.trust())


def test_each_error_names_its_file(authority: Authority, issued: Issued) -> None:
    missing, empty, garbage = (authority.directory / name for name in ("missing.pem", "empty.pem", "garbage.pem"))
    empty.write_bytes(b"")
    garbage.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    other = authority.issue()
    certificate, key, directory = str(issued.certificate), str(issued.key), str(authority.directory)
    for given, named in [
        ((str(missing), key), missing),
        ((str(empty), key), empty),
        ((str(garbage), key), garbage),
        ((directory, key), directory),
        ((key, certificate), key),
        ((certificate, str(missing)), missing),
        ((certificate, str(empty)), empty),
        ((certificate, str(garbage)), garbage),
        ((certificate, directory), directory),
        ((certificate, str(other.key)), other.key),
        ((certificate, ""), certificate),
        ((certificate, key, str(missing)), missing),
        ((certificate, key, str(empty)), empty),
        ((certificate, key, str(garbage)), garbage),
        ((certificate, key, directory), directory),
    ]:
        fields: dict[str, Any] = dict(zip(("certificate", "key", "client_ca"), given, strict=False))
        with pytest.raises(TlsUnusable) as refused:
            server_context(ServerFiles(**fields))
        assert str(named) in str(refused.value), given
        assert "\n" not in str(refused.value)
    for file in (missing, empty, garbage):
        with pytest.raises(TlsUnusable, match=str(file)):
            client_context(str(file))
        with pytest.raises(TlsUnusable, match=str(file)):
            expires_at(str(file))


def test_when_a_certificate_ends(authority: Authority) -> None:
    chain = authority.directory / "chain.pem"
    first = authority.issue(ends=LATER)
    chain.write_bytes(first.certificate.read_bytes() + authority.certificate.read_bytes())
    assert expires_at(str(chain)) == LATER.timestamp()


def test_a_protected_key_is_an_error_and_no_question(authority: Authority) -> None:
    """On a terminal OpenSSL would ask for the passphrase and wait for ever."""
    protected = authority.issue(passphrase=b"secret")
    with pytest.raises(TlsUnusable, match=str(protected.key)):
        server_of(protected)
    program = (
        # /dev/tty is where OpenSSL asks: make standard input that terminal.
        "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        "from gateway.network.tls import ServerFiles, TlsUnusable, server_context\n"
        "try: server_context(ServerFiles(certificate=sys.argv[1], key=sys.argv[2]))\n"
        "except TlsUnusable: sys.exit(7)"
    )
    ours, theirs = pty.openpty()
    try:
        ended = subprocess.run(
            [sys.executable, "-c", program, str(protected.certificate), str(protected.key)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert ended.returncode == 7
