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
        fresh = server_context(*self._files)

        def exchanged(connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
            connection.context = fresh

        # Listeners hold the first context, and of an authority in it nothing can be taken out: each handshake changes
        # over to the fresh one at its beginning (SSL_set_SSL_CTX), whether the client names a server or not.
        self.context.sni_callback = exchanged


def server_context(certificate: str, key: str, client_ca: str = "", minimum: str = "1.2") -> ssl.SSLContext:
    """A context for listeners. ``key`` empty: it is in the certificate's file. Raises ``TlsUnusable``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[minimum]
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    _load_chain(context, certificate, key)
    if client_ca:
        _load_authorities(context, client_ca, "[tls] client_ca")
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_context(authorities: str = "") -> ssl.SSLContext:
    """A context for connections to a mail server; ``authorities`` empty: those of the system. Always verifies."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if authorities:
        _load_authorities(context, authorities, "[http] upstream_ca")
    return context


class _Protected(Exception):  # noqa: N818
    """OpenSSL asks for the passphrase of a key; it must not ask at a terminal."""


def _no_passphrase() -> str:
    raise _Protected


def _load_chain(context: ssl.SSLContext, certificate: str, key: str) -> None:
    _first_certificate(certificate)
    held = f"[tls] key {key}" if key else f"[tls] certificate {certificate}"
    if key:
        _check_readable(key, "[tls] key")
    try:
        context.load_cert_chain(certificate, key or None, _no_passphrase)
    except _Protected:
        raise TlsUnusable(
            f"{held} is protected by a passphrase, and nobody is here to type it: "
            f"write the key without one (openssl pkey -in {key or certificate} -out NEW)"
        ) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsUnusable(
                f"{held} is not the key of {certificate}: name the key that this certificate was made for"
            ) from None
        if error.reason in (None, "NO_START_LINE", "PEM_LIB"):
            remedy = "name a PEM file with the certificate's key" if key else "set [tls] key to the file of its key"
            raise TlsUnusable(f"{held} holds no private key: {remedy}") from None
        raise TlsUnusable(
            f"[tls] certificate {certificate} cannot be used with its key ({error.reason}): "
            "the file must hold the server's certificate first, then its issuers"
        ) from None


def _load_authorities(context: ssl.SSLContext, path: str, setting: str) -> None:
    _check_readable(path, setting)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise TlsUnusable(
            f"{setting} {path} holds no PEM certificates of authorities ({error.reason}): "
            "name a file that holds the certificate of the issuer"
        ) from None


def _check_readable(path: str, setting: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise TlsUnusable(
            f"{setting} {path} cannot be read ({error.strerror}): name a file that this user may read"
        ) from None


def _first_certificate(path: str) -> x509.Certificate:
    _check_readable(path, "[tls] certificate")
    try:
        return x509.load_pem_x509_certificates(Path(path).read_bytes())[0]
    except ValueError:
        raise TlsUnusable(
            f"[tls] certificate {path} holds no PEM certificate: "
            "name a file that holds the server's certificate first, then its issuers"
        ) from None


def expires_at(certificate: str) -> float:
    """When the first certificate of a PEM file expires, in epoch seconds. Raises ``TlsUnusable``."""
    return _first_certificate(certificate).not_valid_after_utc.timestamp()
