"""TLS contexts, with errors that say which file is wrong and what to do about it."""

import ssl
from pathlib import Path

from cryptography import x509

from gateway.domain.errors import DomainError

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2; 1.3 has no others than good ones (RFC 9325 §4.2)."""
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class TlsUnusable(DomainError):  # noqa: N818
    """A certificate, key or authority file cannot be used; the text says which and why."""


class ServerTls:
    """The certificate that listeners show. ``reload`` reads the files again; new connections use what they say then."""

    def __init__(self, certificate: str, key: str, client_ca: str = "", minimum: str = "1.2") -> None:
        self._files = (certificate, key, client_ca, minimum)
        self.context = server_context(*self._files)

    def reload(self) -> None:
        """Read the files again. Raises ``TlsUnusable`` and keeps what was in use."""
        server_context(*self._files)
        certificate, key, client_ca, _ = self._files
        self.context.load_cert_chain(certificate, key or None)
        if client_ca:
            self.context.load_verify_locations(client_ca)


def server_context(certificate: str, key: str, client_ca: str = "", minimum: str = "1.2") -> ssl.SSLContext:
    """A context for listeners. ``key`` empty: it is in the certificate's file. Raises ``TlsUnusable``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[minimum]
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    _load_chain(context, certificate, key)
    if client_ca:
        _load_authorities(context, client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_context(authorities: str = "") -> ssl.SSLContext:
    """A context for connections to a mail server; ``authorities`` empty: those of the system. Always verifies."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if authorities:
        _load_authorities(context, authorities)
    return context


def _load_chain(context: ssl.SSLContext, certificate: str, key: str) -> None:
    for path in filter(None, (certificate, key)):
        _check_readable(path)
    try:
        context.load_cert_chain(certificate, key or None)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsUnusable(
                f"the key {key or certificate} does not belong to the certificate {certificate}"
            ) from None
        raise TlsUnusable(
            f"{certificate} with key {key or certificate} is no usable PEM certificate chain and key ({error.reason}); "
            "the file must hold the server's certificate first, then its issuers"
        ) from None


def _load_authorities(context: ssl.SSLContext, path: str) -> None:
    _check_readable(path)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise TlsUnusable(f"{path} holds no PEM certificates of authorities ({error.reason})") from None


def _check_readable(path: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise TlsUnusable(f"{path} cannot be read ({error.strerror}); name a file that this user may read") from None


def expires_at(certificate: str) -> float:
    """When the first certificate of a PEM file expires, in epoch seconds. Raises ``TlsUnusable``."""
    _check_readable(certificate)
    try:
        first = x509.load_pem_x509_certificates(Path(certificate).read_bytes())[0]
    except ValueError:
        raise TlsUnusable(f"{certificate} holds no PEM certificate") from None
    return first.not_valid_after_utc.timestamp()
