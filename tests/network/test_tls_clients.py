"""Certificates of clients: asked for, believed, revoked, and never proved by an old session."""

import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from gateway.network.tls import ServerTls, TlsUnusable, server_context
from tests.network.authority import Authority, Issued
from tests.network.handshakes import limited, server_of, shaken


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
