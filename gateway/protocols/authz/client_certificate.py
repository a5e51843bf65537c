"""The client's certificate as an asker hands it on: nginx, Caddy, Traefik, HAProxy and nginx's mail proxy.

A certificate is no secret, so whoever can send the header itself has anybody's: it is read only where the settings say
that this kind of asker always sets it, only by the name that this kind sets, and what is read here proves nothing
(``client_certificates.handed_on`` does). Percent-encoded PEM, PEM without its lines, and base64 of DER are one thing.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from gateway.protocols.authz.original import Misconfigured
from gateway.protocols.http.request_head import RequestHead

LONGEST: Final = 32 << 10
"""Octets of the header."""
_PEM: Final = re.compile(rb"\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")


class Names(NamedTuple):
    """The headers by which one kind of asker says it, in lower case. By all other names a client may say it itself."""

    certificate: bytes
    verified: bytes = b""
    """What the asker found when it looked; empty: this kind does not say."""


NAMES: Final[Mapping[str, Names]] = {
    "nginx": Names(b"x-client-cert", b"x-client-cert-verify"),
    "haproxy": Names(b"x-client-cert"),
    "forward": Names(b"x-client-cert"),
    # Of this one Traefik leaves out what clients send, as of all X-Forwarded headers; not of any other.
    "traefik": Names(b"x-forwarded-tls-client-cert"),
    "nginx_mail": Names(b"auth-ssl-cert", b"auth-ssl-verify"),
}
"""By the askers of ``[authz] certificates_from``; Envoy has a field of its own. ``forward``: Caddy."""


def handed_on(head: RequestHead, names: Names) -> bytes | None:
    """The certificate in DER; None: the client has shown none, or the asker found fault with it.

    Raises ``Misconfigured`` where a header comes more than once: one of them is the client's own.
    """
    verified = _said(head, names.verified) if names.verified else None
    if verified is not None and verified != b"SUCCESS":
        return None
    value = _said(head, names.certificate)
    return None if value is None else der_of(value)


def _said(head: RequestHead, name: bytes) -> bytes | None:
    said = [value for field, value in head.fields if field.lower() == name]
    if len(said) > 1:
        raise Misconfigured(
            f"the header {name.decode()} comes more than once: set it as the example configuration does"
        )
    return said[0] if said and said[0] else None


def der_of(value: bytes) -> bytes | None:
    """The certificate in DER; None: there is none. A plus is a plus. Of a chain the first is the client's own."""
    # Caddy sends its placeholder as it stands where there is no certificate.
    if len(value) > LONGEST or value.startswith(b"{"):
        return None
    text = unquote_to_bytes(value).split(b",")[0]
    whole = _PEM.fullmatch(text)
    bare = b"".join((whole[1] if whole else text).split())
    try:
        # More padding than there can be is none to Python.
        return None if len(bare) % 4 or bare.endswith(b"===") else b64decode(bare, validate=True) or None
    except binascii.Error:
        return None
