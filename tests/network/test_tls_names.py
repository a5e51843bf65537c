"""Certificates by name: which one is shown to whom, and all of them are read again."""

import ssl
from typing import cast

import pytest

from gateway.network.tls import ServerTls, TlsUnusable, server_context
from tests.network.authority import Authority, Issued
from tests.network.handshakes import limited, shaken


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
