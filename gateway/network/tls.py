"""TLS contexts, with errors that say which file is wrong and what to do about it."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from gateway.domain.errors import DomainError

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2; 1.3 has no others than good ones (RFC 9325 §4.2)."""
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class TlsUnusable(DomainError):  # noqa: N818
    """A certificate, key or authority file cannot be used; the text says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFiles:
    """What listeners show and ask for, by files. ``key`` empty: it is in the certificate's file."""

    certificate: str
    key: str = ""
    client_ca: str = ""
    """Authorities of client certificates; empty: none are asked for."""
    client_crl: str = ""
    """Lists of what those authorities have revoked, one of each; empty: nobody asks for them."""
    client_required: bool = False
    """Whether a client without a certificate is turned away."""
    minimum: str = "1.2"
    names: tuple[tuple[str, str], ...] = ()
    """Further certificates with their keys, each shown to whoever asks for a name that it is for."""
    alpn: tuple[str, ...] = ("http/1.1",)
    """What is spoken within TLS (RFC 7301); empty: nothing is agreed on."""


class ServerTls:
    """The certificates that listeners show. ``reload`` reads the files again; connections from then on use them."""

    def __init__(self, files: ServerFiles) -> None:
        self._files = files
        self.context = server_context(files)
        """To be asked for at each handshake: a fresh one knows neither the sessions nor the authorities of the last."""

    def reload(self) -> None:
        """Read the files again. Raises ``TlsUnusable`` and keeps what was in use."""
        self.context = server_context(self._files)


def server_context(files: ServerFiles) -> ssl.SSLContext:
    """A context for listeners. Raises ``TlsUnusable``."""
    context = _shown(files, files.certificate, files.key, "[tls] certificate", "[tls] key")
    by_name: dict[str, ssl.SSLContext] = {}
    for number, (certificate, key) in enumerate(files.names, 1):
        where = f"[tls] names, number {number}:"
        one = _shown(files, certificate, key, f"{where} certificate", f"{where} key")
        for name in _names_of(certificate, f"{where} certificate"):
            by_name.setdefault(name, one)
    if by_name:

        def choose(connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, default: ssl.SSLContext) -> None:
            chosen = None if name is None else _for_name(by_name, name.lower())
            if chosen is not None:
                connection.context = chosen

        context.sni_callback = choose
    return context


def _shown(files: ServerFiles, certificate: str, key: str, setting: str, key_setting: str) -> ssl.SSLContext:
    """A context with one certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[files.minimum]
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_COMPRESSION
    if files.alpn:
        context.set_alpn_protocols(list(files.alpn))
    _load_chain(context, certificate, key, setting, key_setting)
    if files.client_ca:
        _load_authorities(context, files.client_ca, "[tls] client_ca")
        if files.client_crl:
            _load_revoked(context, files.client_crl, "[tls] client_crl")
        context.verify_mode = ssl.CERT_REQUIRED if files.client_required else ssl.CERT_OPTIONAL
        # A session that is taken up again shows no certificate: what was good an hour ago would still be.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    return context


def _for_name(by_name: Mapping[str, ssl.SSLContext], name: str) -> ssl.SSLContext | None:
    """By the whole name, or by a wildcard for its first label (RFC 9525 §6.3)."""
    return by_name.get(name) or by_name.get("*." + name.partition(".")[2])


def client_context(
    authorities: str = "", part: str = "http", alpn: str = "http/1.1", *, setting: str = ""
) -> ssl.SSLContext:
    """A context for connections to a mail server; ``authorities`` empty: those of the system. Always verifies.

    ``part``: the section whose ``upstream_ca`` they are, or ``setting``: the setting that names them. ``alpn``: what is
    spoken; empty: nothing is said of it.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if alpn:
        context.set_alpn_protocols([alpn])
    if authorities:
        _load_authorities(context, authorities, setting or f"[{part}] upstream_ca")
    return context


class _Protected(Exception):  # noqa: N818
    """OpenSSL asks for the passphrase of a key; it must not ask at a terminal."""


def _no_passphrase() -> str:
    raise _Protected


def _load_chain(context: ssl.SSLContext, certificate: str, key: str, setting: str, key_setting: str) -> None:
    _first_certificate(certificate, setting)
    held = f"{key_setting} {key}" if key else f"{setting} {certificate}"
    if key:
        _check_readable(key, key_setting)
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
            remedy = (
                "name a PEM file with the certificate's key" if key else f"set {key_setting} to the file of its key"
            )
            raise TlsUnusable(f"{held} holds no private key: {remedy}") from None
        raise TlsUnusable(
            f"{setting} {certificate} cannot be used with its key ({error.reason}): "
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


def _load_revoked(context: ssl.SSLContext, path: str, setting: str) -> None:
    """From now on a client certificate is good only if a list of its issuer that has not ended leaves it out."""
    _check_readable(path, setting)
    remedy = "name a file that holds the list of revoked certificates of each authority in client_ca"
    try:
        x509.load_pem_x509_crl(Path(path).read_bytes())
        context.load_verify_locations(path)
    except ValueError:
        raise TlsUnusable(f"{setting} {path} holds no PEM list of revoked certificates: {remedy}") from None
    except ssl.SSLError as error:
        raise TlsUnusable(f"{setting} {path} cannot be used ({error.reason}): {remedy}") from None
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF


def _check_readable(path: str, setting: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise TlsUnusable(
            f"{setting} {path} cannot be read ({error.strerror}): name a file that this user may read"
        ) from None


def _first_certificate(path: str, setting: str = "[tls] certificate") -> x509.Certificate:
    _check_readable(path, setting)
    try:
        return x509.load_pem_x509_certificates(Path(path).read_bytes())[0]
    except ValueError:
        raise TlsUnusable(
            f"{setting} {path} holds no PEM certificate: "
            "name a file that holds the server's certificate first, then its issuers"
        ) from None


def _names_of(path: str, setting: str) -> list[str]:
    """The DNS names that a certificate is for, in lower case."""
    try:
        found = _first_certificate(path, setting).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = found.value.get_values_for_type(x509.DNSName)
    except (x509.ExtensionNotFound, ValueError):
        names = []
    if not names:
        raise TlsUnusable(
            f"{setting} {path} is for no DNS name, so nobody can ask for it: name one with a subjectAltName"
        )
    return [name.lower() for name in names]


def expires_at(certificate: str) -> float:
    """When the first certificate of a PEM file expires, in epoch seconds. Raises ``TlsUnusable``."""
    return _first_certificate(certificate).not_valid_after_utc.timestamp()
