"""The client's certificate in an asker's headers: every spelling of it, and what is none."""

import base64
from urllib.parse import quote

import pytest

from gateway.protocols.authz.client_certificate import LONGEST, der_of, handed_on
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
    [b"{http.request.tls.client.certificate_der_base64}", b"%", b"not base64!", b"A" * (LONGEST + 1), PEM + PEM],
)
def test_what_is_none(value: bytes) -> None:
    assert der_of(value) is None


def head(*lines: str) -> bytes | None:
    return handed_on(parse_request("\r\n".join(["GET / HTTP/1.1", "Host: x", *lines, "", ""]).encode()))


def test_by_header() -> None:
    value = BASE64.decode()
    assert head() is None
    assert head(f"X-Client-Cert: {value}") == DER
    assert head(f"X-Forwarded-Tls-Client-Cert: {value}") == DER
    assert head(f"Auth-SSL-Cert: {value}", "Auth-SSL-Verify: SUCCESS") == DER
    assert head(f"X-Client-Cert: {value}", "X-Client-Cert-Verify: FAILED:self signed certificate") is None
    assert head("X-Client-Cert-Verify: NONE") is None


@pytest.mark.parametrize(
    "lines",
    [
        ("X-Client-Cert: AAAA", "X-Client-Cert: BBBB"),
        ("X-Client-Cert: AAAA", "X-Forwarded-Tls-Client-Cert: AAAA"),
        ("X-Client-Cert: AAAA", "X-Client-Cert-Verify: SUCCESS", "X-Client-Cert-Verify: NONE"),
    ],
)
def test_twice_is_a_mistake_of_the_configuration(lines: tuple[str, ...]) -> None:
    with pytest.raises(Misconfigured, match="comes more than once"):
        head(*lines)
