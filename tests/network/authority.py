"""An authority of a test's own, and certificates by it that are right or wrong in one chosen way."""

import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.network.tls import ServerFiles

_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Issued:
    """PEM files of one certificate."""

    certificate: Path
    key: Path

    def replace(self, other: "Issued") -> None:
        """Put another certificate in place of this one, as an ACME client does."""
        for mine, its in ((self.certificate, other.certificate), (self.key, other.key)):
            fresh = mine.with_suffix(".new")
            fresh.write_bytes(its.read_bytes())
            fresh.replace(mine)

    def files(self, **more: Any) -> ServerFiles:
        """As the gateway's listeners are told of them."""
        return ServerFiles(certificate=str(self.certificate), key=str(self.key), **more)

    def server(self) -> ssl.SSLContext:
        """A context of the standard library's own that shows it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


@dataclass(slots=True)
class Authority:
    """Issues certificates into a directory."""

    directory: Path
    name: str = "one"
    certificate: Path = field(init=False)
    _key: ec.EllipticCurvePrivateKey = field(init=False)
    _issued: int = 0

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self.directory / f"authority-{self.name}.pem"
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        own = (
            self._builder(_name(f"authority {self.name}"), self._key, datetime.now(UTC) + DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
        )
        self.certificate.write_bytes(_pem(own.sign(self._key, hashes.SHA256())))

    def issue(
        self,
        *names: str,
        ends: datetime | None = None,
        client: bool = False,
        passphrase: bytes = b"",
        with_rsa: bool = False,
        subject: x509.Name | None = None,
        further: Sequence[x509.GeneralName] = (),
    ) -> Issued:
        """A certificate for DNS names and addresses; with ``ends`` past, an expired one.

        ``further``: what else stands in its subjectAltName.
        """
        self._issued += 1
        key: _Key = rsa.generate_private_key(65537, 2048) if with_rsa else ec.generate_private_key(ec.SECP256R1())
        named = [_alternative(name) for name in names or (() if further else ("localhost", "127.0.0.1"))]
        alternative = x509.SubjectAlternativeName([*named, *further])
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            self._builder(subject or _name("leaf"), key, ends or datetime.now(UTC) + DAY)
            .add_extension(alternative, critical=False)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(issuer, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        place = self.directory / f"{self.name}-{self._issued}"
        issued = Issued(place.with_suffix(".pem"), place.with_suffix(".key"))
        issued.certificate.write_bytes(_pem(certificate))
        cipher = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        issued.key.write_bytes(key.private_bytes(pem, pkcs8, cipher))
        return issued

    def revoke(self, *revoked: Issued, ends: datetime | None = None) -> Path:
        """Its list of revoked certificates, always in the same file; with ``ends`` past, an old one."""
        until = ends or datetime.now(UTC) + DAY
        began = min(until, datetime.now(UTC)) - DAY
        builder = x509.CertificateRevocationListBuilder(_name(f"authority {self.name}"), began, until)
        for each in revoked:
            serial = x509.load_pem_x509_certificate(each.certificate.read_bytes()).serial_number
            one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(began).build()
            builder = builder.add_revoked_certificate(one)
        path = self.directory / f"revoked-{self.name}.pem"
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return path

    def trust(self) -> ssl.SSLContext:
        """A context of the standard library's own for clients that know the authority."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def _builder(self, subject: x509.Name, key: _Key, ends: datetime) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(_name(f"authority {self.name}"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(ends, datetime.now(UTC)) - DAY)
            .not_valid_after(ends)
        )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
