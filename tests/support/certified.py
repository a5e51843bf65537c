"""Client certificates of people's devices, and a gateway's listeners that ask for them."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from gateway.domain.identity import identity_rules
from gateway.network.client_certificate import Issuers, Revoked
from gateway.network.tls import ServerTls
from gateway.proxies.client_certificates import CertificateFields, ClientCertificates
from tests.network.authority import Authority, Issued

FIELDS = CertificateFields(user="email", device="subject_serial", device_key="serial")
RULES = identity_rules("corp.example", {})


@dataclass(slots=True)
class Enrolment:
    """An authority that gives each device a certificate: the user's address, and the serial number of the device."""

    authority: Authority
    shown: Issued = field(init=False)
    crl: Path = field(init=False)
    _revoked: list[Issued] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shown = self.authority.issue()
        self.crl = self.authority.revoke()

    def issue(self, user: str, serial: str, ends: datetime | None = None) -> Issued:
        """For one device of a user; empty: that field is left out."""
        names = [x509.NameAttribute(NameOID.COMMON_NAME, "device")]
        if serial:
            names.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, serial))
        further = [x509.RFC822Name(user)] if user else [x509.DNSName("device.corp.example")]
        return self.authority.issue(client=True, ends=ends, subject=x509.Name(names), further=further)

    def client(self, issued: Issued | None) -> ssl.SSLContext:
        """A client that shows it."""
        context = self.authority.trust()
        context.check_hostname = False
        if issued is not None:
            context.load_cert_chain(issued.certificate, issued.key)
        return context

    def device(self, user: str, serial: str) -> ssl.SSLContext:
        """A client with a new certificate."""
        return self.client(self.issue(user, serial))

    def expired(self, user: str, serial: str) -> ssl.SSLContext:
        """One whose certificate has ended yesterday."""
        return self.client(self.issue(user, serial, datetime.now(UTC) - timedelta(days=1)))

    def server(self, alpn: tuple[str, ...] = ()) -> ServerTls:
        """What listeners show and ask for."""
        files = self.shown.files(client_ca=str(self.authority.certificate), client_crl=str(self.crl), alpn=alpn)
        return ServerTls(files)

    def reader(self, fields: CertificateFields = FIELDS) -> Callable[[Callable[[], float]], ClientCertificates]:
        """Makes what reads certificates, for a front's own time."""

        def made(now: Callable[[], float]) -> ClientCertificates:
            revoked, issuers = Revoked(str(self.crl)), Issuers(str(self.authority.certificate))
            return ClientCertificates(fields, RULES, revoked=revoked, issuers=issuers, now=now)

        return made

    def revoke(self, *issued: Issued) -> None:
        """Put them onto the list, in the same file."""
        self._revoked += issued
        self.authority.revoke(*self._revoked)
