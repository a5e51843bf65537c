"""The client's certificate in an asker's headers: every spelling of it, and what is none."""

import base64
from urllib.parse import quote

import pytest

from gateway.protocols.authz.client_certificate import LONGEST, NAMES, der_of, handed_on
from gateway.protocols.authz.original import Misconfigured
from gateway.protocols.http.request_head import parse_request

DER = bytes(range(0x30, 0x30 + 100)) + b"\xfb\xff\xfe"
BASE64 = base64.b64encode(DER)
LINES = b"\n".join(BASE64[begin : begin + 64] for begin in range(0, len(BASE64), 64))
PEM = b"-----BEGIN CERTIFICATE-----\n" + LINES + b"\n-----END CERTIFICATE-----\n"


def test_the_certificate_has_plus_and_slash() -> None:
    assert b"+" in BASE64
    assert b"/" in BASE64


@pytest.mark.parametrize(
    "value",
    [
        quote(PEM, safe="").encode(),
        quote(PEM, safe="+/=").encode(),
        PEM.replace(b"\n", b"%0A").replace(b" ", b"%20"),
        BASE64,
        quote(BASE64).encode(),
        BASE64 + b"," + BASE64[::-1].replace(b"=", b"A"),
        PEM,
    ],
)
def test_every_spelling(value: bytes) -> None:
    assert der_of(value) == DER


@pytest.mark.parametrize(
    "value",
    [
        b"{http.request.tls.client.certificate_der_base64}",
        b"%",
        b"not base64!",
        b"A" * (LONGEST + 1),
        PEM + PEM,
        b"QUJD====",
    ],
)
def test_what_is_none(value: bytes) -> None:
    assert der_of(value) is None


def head(asker: str, *lines: str) -> bytes | None:
    octets = "\r\n".join(["GET / HTTP/1.1", "Host: x", *lines, "", ""]).encode()
    return handed_on(parse_request(octets), NAMES[asker])


OWN = {
    "nginx": "X-Client-Cert",
    "haproxy": "X-Client-Cert",
    "forward": "X-Client-Cert",
    "traefik": "X-Forwarded-Tls-Client-Cert",
    "nginx_mail": "Auth-SSL-Cert",
}


@pytest.mark.parametrize("asker", NAMES)
def test_by_the_askers_own_header_and_by_no_other(asker: str) -> None:
    """Of all others nobody takes out what clients send."""
    value = BASE64.decode()
    assert head(asker) is None
    for name in set(OWN.values()):
        assert head(asker, f"{name}: {value}") == (DER if name == OWN[asker] else None)
    others = [f"{name}: AAAA" for name in sorted(set(OWN.values()) - {OWN[asker]})]
    assert head(asker, *others, f"{OWN[asker]}: {value}") == DER


def test_what_the_asker_found_is_its_own_word_too() -> None:
    value = BASE64.decode()
    assert head("nginx_mail", f"Auth-SSL-Cert: {value}", "Auth-SSL-Verify: SUCCESS") == DER
    assert head("nginx", f"X-Client-Cert: {value}", "X-Client-Cert-Verify: FAILED:self signed certificate") is None
    assert head("nginx", "X-Client-Cert-Verify: NONE") is None
    # These say nothing of it, so it is their client who does, to be rid of a certificate that speaks against it.
    for asker in ("forward", "haproxy", "traefik"):
        unsaid = ("X-Client-Cert-Verify: NONE", "Auth-SSL-Verify: NONE")
        assert head(asker, f"{OWN[asker]}: {value}", *unsaid) == DER


@pytest.mark.parametrize(
    "lines",
    [
        ("X-Client-Cert: AAAA", "X-Client-Cert: BBBB"),
        ("X-Client-Cert: AAAA", "X-Client-Cert-Verify: SUCCESS", "X-Client-Cert-Verify: NONE"),
    ],
)
def test_twice_is_a_mistake_of_the_configuration(lines: tuple[str, ...]) -> None:
    with pytest.raises(Misconfigured, match="comes more than once"):
        head("nginx", *lines)
