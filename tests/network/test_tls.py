"""TLS contexts, by real handshakes in memory: versions, ciphers, certificates both ways, and clear errors."""

import asyncio
import os
import pty
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop

from gateway.app.bounded_http import Room
from gateway.network.accepting import TlsAcceptor
from gateway.network.tls import ServerFiles, ServerTls, TlsUnusable, client_context, expires_at, server_context
from tests.network.authority import Authority, Issued

LATER = datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def issued(authority: Authority) -> Issued:
    return authority.issue()


def server_of(issued: Issued, client_ca: str = "", minimum: str = "1.2") -> ssl.SSLContext:
    return server_context(issued.files(client_ca=client_ca, minimum=minimum))


def shaken(
    server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost", session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends after a handshake; raises ``ssl.SSLError``."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=name, session=session),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    waiting = list(ends)
    for _ in range(20):
        for end in tuple(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                continue
        if not waiting:
            # In TLS 1.3 a refused client certificate shows only afterwards.
            ends[1].write(b"hello")
            assert ends[0].read(5) == b"hello"
            return ends
    raise AssertionError("the handshake does not end")


def limited(client: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client of exactly one version."""
    with warnings.catch_warnings():
        # The old ones are what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        client.minimum_version = client.maximum_version = version
    return client


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


# --- certificates of clients


def test_a_client_certificate_is_asked_for_but_not_needed(authority: Authority, issued: Issued) -> None:
    server = server_of(issued, str(authority.certificate))
    assert shaken(server, authority.trust())[1].getpeercert() is None
    phone = authority.issue("phone7", client=True)
    client = authority.trust()
    client.load_cert_chain(phone.certificate, phone.key)
    shown = shaken(server, client)[1].getpeercert()
    assert shown is not None
    assert shown["subjectAltName"] == (("DNS", "phone7"),)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_by_somebody_else(authority: Authority, issued: Issued, version: ssl.TLSVersion) -> None:
    stranger = Authority(authority.directory, "stranger").issue("phone7", client=True)
    client = limited(authority.trust(), version)
    client.load_cert_chain(stranger.certificate, stranger.key)
    with pytest.raises(ssl.SSLError):
        shaken(server_of(issued, str(authority.certificate)), client)


def test_without_an_authority_no_client_certificate_is_asked_for(authority: Authority, issued: Issued) -> None:
    phone = authority.issue("phone7", client=True)
    client = authority.trust()
    client.load_cert_chain(phone.certificate, phone.key)
    assert shaken(server_of(issued), client)[1].getpeercert() is None


def test_an_expired_client_certificate(authority: Authority, issued: Issued) -> None:
    phone = authority.issue("phone7", client=True, ends=datetime.now(UTC) - timedelta(hours=1))
    client = authority.trust()
    client.load_cert_chain(phone.certificate, phone.key)
    with pytest.raises(ssl.SSLError, match="expired"):
        shaken(server_of(issued, str(authority.certificate)), client)


def test_a_client_certificate_may_be_required(authority: Authority, issued: Issued) -> None:
    server = server_context(issued.files(client_ca=str(authority.certificate), client_required=True))
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with pytest.raises(ssl.SSLError):
            shaken(server, limited(authority.trust(), version))
        phone = authority.issue("phone7", client=True)
        client = limited(authority.trust(), version)
        client.load_cert_chain(phone.certificate, phone.key)
        assert shaken(server, client)[1].getpeercert()


def again(server: ssl.SSLContext, client: ssl.SSLContext, version: ssl.TLSVersion) -> bool | None:
    """Whether a client takes up the session of its last connection."""
    limited(client, version)
    first = shaken(server, client)[0]
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname="localhost", session=first.session),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(10):
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    assert ends[0].version()
    return ends[0].session_reused


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_taken_up_again_only_where_they_prove_nothing(
    authority: Authority, issued: Issued, version: ssl.TLSVersion
) -> None:
    tls = ServerTls(issued.files())
    assert again(tls.context, authority.trust(), version) is True
    asking = ServerTls(issued.files(client_ca=str(authority.certificate)))
    phone = authority.issue("phone7", client=True)
    client = authority.trust()
    client.load_cert_chain(phone.certificate, phone.key)
    if version is ssl.TLSVersion.TLSv1_3:
        assert again(asking.context, client, version) is False


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_outlives_the_files_that_were_read_again(
    authority: Authority, issued: Issued, version: ssl.TLSVersion
) -> None:
    """Its authority may be the one that was taken out."""
    file = authority.directory / "clients.pem"
    file.write_bytes(authority.certificate.read_bytes())
    tls = ServerTls(issued.files(client_ca=str(file)))
    phone, client = authority.issue("phone7", client=True), limited(authority.trust(), version)
    client.load_cert_chain(phone.certificate, phone.key)
    session = shaken(tls.context, client)[0].session
    file.write_bytes(Authority(authority.directory, "other").certificate.read_bytes())
    tls.reload()
    with pytest.raises(ssl.SSLError):
        shaken(tls.context, client, session=session)


# --- revoked certificates


def client_of(authority: Authority, version: ssl.TLSVersion) -> tuple[Issued, ssl.SSLContext]:
    phone, client = authority.issue("phone7", client=True), limited(authority.trust(), version)
    client.load_cert_chain(phone.certificate, phone.key)
    return phone, client


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_is_revoked_when_the_list_is_read_again(
    authority: Authority, issued: Issued, version: ssl.TLSVersion
) -> None:
    lost, losing = client_of(authority, version)
    _, keeping = client_of(authority, version)
    tls = ServerTls(issued.files(client_ca=str(authority.certificate), client_crl=str(authority.revoke())))
    assert shaken(tls.context, losing)[1].getpeercert()
    authority.revoke(lost)
    tls.reload()
    with pytest.raises(ssl.SSLError):
        shaken(tls.context, losing)
    assert shaken(tls.context, keeping)[1].getpeercert()
    assert shaken(tls.context, limited(authority.trust(), version))[1].getpeercert() is None


def test_a_list_that_has_ended_or_is_another_authority_s_lets_nobody_in(authority: Authority, issued: Issued) -> None:
    _, client = client_of(authority, ssl.TLSVersion.TLSv1_3)
    old = authority.revoke(ends=datetime.now(UTC) - timedelta(hours=1))
    for crl in (old, Authority(authority.directory, "other").revoke()):
        server = server_context(issued.files(client_ca=str(authority.certificate), client_crl=str(crl)))
        with pytest.raises(ssl.SSLError):
            shaken(server, client)


def test_each_authority_has_its_list(authority: Authority, issued: Issued) -> None:
    other = Authority(authority.directory, "other")
    both, lists = authority.directory / "both.pem", authority.directory / "lists.pem"
    both.write_bytes(authority.certificate.read_bytes() + other.certificate.read_bytes())
    phones = [client_of(each, ssl.TLSVersion.TLSv1_3) for each in (authority, other)]
    for _, client in phones:
        client.load_verify_locations(authority.certificate)
    lists.write_bytes(authority.revoke().read_bytes() + other.revoke(phones[1][0]).read_bytes())
    server = server_context(issued.files(client_ca=str(both), client_crl=str(lists)))
    assert shaken(server, phones[0][1])[1].getpeercert()
    with pytest.raises(ssl.SSLError):
        shaken(server, phones[1][1])


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_a_list_that_is_none(authority: Authority, issued: Issued, content: bytes) -> None:
    file = authority.revoke()
    tls = ServerTls(issued.files(client_ca=str(authority.certificate), client_crl=str(file)))
    file.write_bytes(content)
    with pytest.raises(TlsUnusable, match=r"client_crl .* holds no PEM list of revoked certificates: name a file"):
        tls.reload()


# --- certificates by name


def named(authority: Authority, *names: str) -> tuple[Issued, tuple[str, str]]:
    issued = authority.issue(*names)
    return issued, (str(issued.certificate), str(issued.key))


def test_each_name_has_its_certificate(authority: Authority) -> None:
    default, _ = named(authority, "localhost")
    _, mail = named(authority, "mail.corp.example", "Phones.Corp.Example")
    _, wild = named(authority, "*.field.example")
    server = server_context(default.files(names=(mail, wild)))

    def shown(asked: str) -> object:
        client = authority.trust()
        client.check_hostname = False
        shown = shaken(server, client, asked)[0].getpeercert()
        assert shown is not None
        return [pair[1] for pair in cast("list[tuple[str, str]]", shown["subjectAltName"])]

    assert shown("mail.corp.example") == shown("PHONES.corp.example") == ["mail.corp.example", "Phones.Corp.Example"]
    assert shown("one.field.example") == ["*.field.example"]
    for other in ("two.one.field.example", "field.example", "localhost", "elsewhere.example", "127.0.0.1"):
        assert shown(other) == ["localhost"], other


def test_what_is_asked_of_clients_does_not_hang_on_the_name(authority: Authority) -> None:
    default, _ = named(authority, "localhost")
    _, mail = named(authority, "mail.corp.example")
    server = server_context(default.files(names=(mail,), client_ca=str(authority.certificate), client_required=True))
    for name in ("localhost", "mail.corp.example"):
        with pytest.raises(ssl.SSLError):
            shaken(server, authority.trust(), name)
        with pytest.raises(ssl.SSLError):
            shaken(server, limited(authority.trust(), ssl.TLSVersion.TLSv1_1), name)


def test_an_error_of_a_named_certificate_says_which(authority: Authority, issued: Issued) -> None:
    _, mail = named(authority, "mail.corp.example")
    _, nameless = named(authority, "192.0.2.7")
    for pair, words in (
        ((mail[0], "missing.key"), r"\[tls\] names, number 2: key missing.key cannot be read"),
        (("missing.pem", mail[1]), r"\[tls\] names, number 2: certificate missing.pem cannot be read"),
        ((mail[0], str(issued.key)), r"\[tls\] names, number 2: key .* is not the key of"),
        (nameless, r"\[tls\] names, number 2: certificate .* is for no DNS name"),
    ):
        with pytest.raises(TlsUnusable, match=words):
            server_context(issued.files(names=(mail, pair)))


def test_all_of_them_are_read_again(authority: Authority, issued: Issued) -> None:
    other, mail = named(authority, "mail.corp.example")
    tls = ServerTls(issued.files(names=(mail,)))

    def serial() -> object:
        shown = shaken(tls.context, authority.trust(), "mail.corp.example")[0].getpeercert()
        assert shown is not None
        return shown["serialNumber"]

    before = serial()
    renewed, _ = named(authority, "mail.corp.example")
    other.certificate.write_bytes(renewed.certificate.read_bytes())
    with pytest.raises(TlsUnusable):
        tls.reload()
    assert serial() == before
    other.key.write_bytes(renewed.key.read_bytes())
    tls.reload()
    assert serial() != before


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
