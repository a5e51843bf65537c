"""Client certificates as values: what stands in one, whether an authority of ours issued it, and what a list revokes.

Reading one takes some 100 µs, so it is done once for each connection. Whatever cannot be read in it is left out: the
chain was verified by TLS, so nothing here decides whether it is good, but for one that somebody else hands on.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, ObjectIdentifier

from gateway.network.tls import TlsUnusable

LONGEST: Final = 16 << 10
"""Octets of one; TLS itself takes more."""
VALUES_MOST: Final = 16
"""Of one kind that are read."""
KNOWN_MOST: Final = 10_000
"""Of those that askers hand on."""
VALUE_LONGEST: Final = 256
"""Characters; a longer value is left out."""
_UPN: Final = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
"""userPrincipalName, an otherName ([MS-WCCE] 2.2.2.7.7.4)."""
_UTF8_STRING: Final = 0x0C
_CLIENTS: Final = frozenset((ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE))
_UNREADABLE: Final = (
    *(ValueError, TypeError, OverflowError),
    *(x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType),
)
"""OpenSSL takes more for proper than cryptography reads."""


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """What stands in a certificate."""

    issuer: bytes
    """The authority's name (``authority_of``)."""
    number: int
    """Its serial number, unique for each authority (RFC 5280 §4.1.2.2)."""
    digest: str
    """SHA-256 of the whole of it, in lower-case hex."""
    ends_at: float
    """Epoch seconds."""
    common_names: tuple[str, ...] = ()
    subject_serials: tuple[str, ...] = ()
    """serialNumber of the subject (X.520 6.2.9), which is a device's, not the certificate's."""
    emails: tuple[str, ...] = ()
    """Of subjectAltName, as the next three; rfc822Name."""
    upns: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Its number and whose, for people: the number in hex and a digest of the authority's name."""
        return id_of(self.issuer, self.number)


def authority_of(name: x509.Name) -> bytes:
    """An authority's name in one spelling: kinds of strings, case and blanks do not count (RFC 5280 §7.1).

    An authority may write its name in its lists otherwise than in its certificates, and OpenSSL takes both for one.
    """
    relative = (sorted(f"{each.oid.dotted_string}={_folded(each.value)}" for each in part) for part in name.rdns)
    return "\n".join("+".join(part) for part in relative).encode("utf-8", "backslashreplace")


def _folded(value: str | bytes) -> str:
    return " ".join(str(value).split()).casefold()


def id_of(issuer: bytes, number: int) -> str:
    """The id of the certificate with that number by the authority of that name."""
    return f"{number:x}@{sha256(issuer).hexdigest()[:16]}"


def peer_certificate(der: bytes) -> PeerCertificate | None:
    """What stands in a certificate in DER; None: it is none, or too long."""
    try:
        with _quietly():
            certificate = _loaded(der)
            return None if certificate is None else _read(certificate, der)
    except _UNREADABLE:
        return None


def _loaded(der: bytes) -> x509.Certificate | None:
    if len(der) > LONGEST:
        return None
    certificate = x509.load_der_x509_certificate(der)
    # The signature is whole octets. A last one without its last bit would be the same signature in another spelling,
    # and the certificate another one by its digest.
    return certificate if der[-len(certificate.signature) - 1] == 0 else None


@contextmanager
def _quietly() -> Iterator[None]:
    """Numbers that are not positive are read for now; nobody can do anything about a stranger's certificate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


def _read(certificate: x509.Certificate, der: bytes) -> PeerCertificate:
    names = _alternative_names(certificate)
    return PeerCertificate(
        issuer=authority_of(certificate.issuer),
        number=certificate.serial_number,
        digest=sha256(der).hexdigest(),
        ends_at=certificate.not_valid_after_utc.timestamp(),
        common_names=_of_subject(certificate, NameOID.COMMON_NAME),
        subject_serials=_of_subject(certificate, NameOID.SERIAL_NUMBER),
        emails=_kept(names.get_values_for_type(x509.RFC822Name)) if names else (),
        upns=_kept([_upn(each) for each in names.get_values_for_type(x509.OtherName)]) if names else (),
        dns_names=_kept(names.get_values_for_type(x509.DNSName)) if names else (),
        uris=_kept(names.get_values_for_type(x509.UniformResourceIdentifier)) if names else (),
    )


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, *_UNREADABLE):
        return None


def _of_subject(certificate: x509.Certificate, oid: ObjectIdentifier) -> tuple[str, ...]:
    return _kept([str(each.value) for each in certificate.subject.get_attributes_for_oid(oid)])


def _kept(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(each for each in values if 0 < len(each) <= VALUE_LONGEST and each.isprintable())[:VALUES_MOST]


def _upn(name: x509.OtherName) -> str:
    """A UTF8String of a short length; empty: another otherName."""
    value = name.value
    if name.type_id != _UPN or len(value) < 2 or value[0] != _UTF8_STRING:
        return ""
    head, length = (2, value[1]) if value[1] < 0x80 else (3, value[2] if value[1] == 0x81 and len(value) > 2 else -1)
    return value[head:].decode("utf-8", "replace") if len(value) - head == length else ""


class Revoked:
    """What the lists in a file revoke."""

    def __init__(self, path: str, setting: str = "[tls] client_crl") -> None:
        """Empty ``path``: nothing is revoked. Raises ``TlsUnusable``."""
        self._path, self._setting = path, setting
        self.ids = self._read()

    def reload(self) -> None:
        """Read the file again. Raises ``TlsUnusable`` and keeps what was known."""
        self.ids = self._read()

    def _read(self) -> frozenset[str]:
        if not self._path:
            return frozenset()
        try:
            lists = _lists_in(Path(self._path).read_bytes())
            return frozenset(id_of(issuer, number) for issuer, numbers in lists for number in numbers)
        except OSError as error:
            reason = error.strerror or "unreadable"
        except ValueError:
            reason = "no PEM list of revoked certificates"
        raise TlsUnusable(f"{self._setting} {self._path} cannot be used ({reason}): name a file that holds such lists")


def list_ends_at(path: str) -> float | None:
    """When the first of the lists in a file ends, in epoch seconds; None: never, or it cannot be read."""
    try:
        updates = [each.next_update_utc for each in _loaded_lists(Path(path).read_bytes())]
    except (OSError, ValueError):
        return None
    return min((each.timestamp() for each in updates if each is not None), default=None)


_END: Final = b"-----END X509 CRL-----"


def _lists_in(pem: bytes) -> list[tuple[bytes, list[int]]]:
    """The authority of each list, and the numbers on it. Raises ``ValueError``."""
    lists = _loaded_lists(pem)
    if not lists:
        raise ValueError("no list")
    return [(authority_of(each.issuer), [one.serial_number for one in each]) for each in lists]


def _loaded_lists(pem: bytes) -> list[x509.CertificateRevocationList]:
    return [x509.load_pem_x509_crl(part + _END) for part in pem.split(_END)[:-1]]


class Issuers:
    """Authorities, for certificates that somebody else took from a client and hands on.

    Only what one of them has signed itself is theirs: who hands a certificate on does not hand on its chain.
    """

    def __init__(self, path: str, setting: str = "[tls] client_ca") -> None:
        """Raises ``TlsUnusable``."""
        self._path, self._setting = path, setting
        self._authorities = self._read()
        self._known: dict[bytes, PeerCertificate] = {}
        """Those vouched for, by their digest: an asker hands on the same one with each request, a look takes 1 ms."""

    def reload(self) -> None:
        """Read the file again. Raises ``TlsUnusable`` and keeps what was known."""
        self._authorities = self._read()
        self._known.clear()

    def _read(self) -> list[x509.Certificate]:
        try:
            return x509.load_pem_x509_certificates(Path(self._path).read_bytes())
        except (OSError, ValueError):
            raise TlsUnusable(
                f"{self._setting} {self._path} holds no PEM certificates of authorities: "
                "name a file that holds the certificate of the issuer"
            ) from None

    def vouched(self, der: bytes, now: float) -> PeerCertificate | None:
        """What stands in a certificate that one of them has issued for clients and that has not ended; else None."""
        digest = sha256(der).digest()
        known = self._known.get(digest)
        if known is not None:
            return known if now < known.ends_at else None
        found = self._looked_at(der, now)
        if found is not None:
            if len(self._known) >= KNOWN_MOST:
                self._known.clear()
            self._known[digest] = found
        return found

    def _looked_at(self, der: bytes, now: float) -> PeerCertificate | None:
        try:
            with _quietly():
                certificate = _loaded(der)
                if certificate is None or not (_is_in_time(certificate, now) and _is_for_clients(certificate)):
                    return None
        except _UNREADABLE:
            return None
        issued = any(_has_issued(authority, certificate) for authority in self._authorities)
        return peer_certificate(der) if issued else None


def _is_in_time(certificate: x509.Certificate, now: float) -> bool:
    return certificate.not_valid_before_utc <= datetime.fromtimestamp(now, UTC) < certificate.not_valid_after_utc


def _has_issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
        basic = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    except (InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound, *_UNREADABLE):
        return False
    return basic.value.ca


def _is_for_clients(certificate: x509.Certificate) -> bool:
    """By extKeyUsage, where there is one (RFC 5280 §4.2.1.12), and no authority's own."""
    try:
        extensions = {each.oid: each.value for each in certificate.extensions}
    except _UNREADABLE:
        return False
    usage = extensions.get(ExtensionOID.EXTENDED_KEY_USAGE)
    basic = extensions.get(ExtensionOID.BASIC_CONSTRAINTS)
    if isinstance(basic, x509.BasicConstraints) and basic.ca:
        return False
    return not isinstance(usage, x509.ExtendedKeyUsage) or not _CLIENTS.isdisjoint(usage)
