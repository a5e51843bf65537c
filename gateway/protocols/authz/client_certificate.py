"""The client's certificate as an asker hands it on: nginx, Caddy, Traefik, HAProxy and nginx's mail proxy.

A certificate is no secret, so whoever can send the header itself has anybody's: it is read only where the settings say
that this kind of asker always sets it, and what is read here proves nothing (``client_certificates.handed_on`` does).
Percent-encoded PEM, PEM without its lines, and base64 of DER are one thing.
"""

import binascii
import re
from base64 import b64decode
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.protocols.authz.original import Misconfigured
from gateway.protocols.http.request_head import RequestHead

LONGEST: Final = 32 << 10
"""Octets of the header."""
_NAMES: Final = (b"x-client-cert", b"x-forwarded-tls-client-cert", b"auth-ssl-cert")
_VERIFIED: Final = (b"x-client-cert-verify", b"auth-ssl-verify")
_PEM: Final = re.compile(rb"\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")


def handed_on(head: RequestHead) -> bytes | None:
    """The certificate in DER; None: the client has shown none, or the asker found fault with it.

    Raises ``Misconfigured`` where a header comes more than once: one of them is the client's own.
    """
    verified = _said(head, _VERIFIED)
    if verified is not None and verified != b"SUCCESS":
        return None
    value = _said(head, _NAMES)
    return None if value is None else der_of(value)


def _said(head: RequestHead, names: tuple[bytes, ...]) -> bytes | None:
    said = [(name, value) for name, value in head.fields if name.lower() in names]
    if len(said) > 1:
        name = said[0][0].lower().decode("ascii", "replace")
        raise Misconfigured(f"the header {name} comes more than once: set it as the example configuration does")
    return said[0][1] if said and said[0][1] else None


def der_of(value: bytes) -> bytes | None:
    """The certificate in DER; None: there is none. A plus is a plus. Of a chain the first is the client's own."""
    # Caddy sends its placeholder as it stands where there is no certificate.
    if len(value) > LONGEST or value.startswith(b"{"):
        return None
    text = unquote_to_bytes(value).split(b",")[0]
    whole = _PEM.fullmatch(text)
    try:
        return b64decode(b"".join((whole[1] if whole else text).split()), validate=True) or None
    except binascii.Error:
        return None
