"""A self-signed P-256 certificate for 127.0.0.1, as PEM files in the forms that the proxies want."""

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Certificate:
    """Where the files are."""

    certificate: Path
    key: Path
    both: Path
    """HAProxy and mitmproxy want one file."""

    def client(self) -> ssl.SSLContext:
        """What a phone checks with: nothing; that is not what is measured."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context


def make_certificate(directory: Path, name: str = "bench") -> Certificate:
    """A new key and certificate, valid for a day."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.corp.example")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("mail.corp.example"), address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    public = signed.public_bytes(serialization.Encoding.PEM)
    made = Certificate(directory / f"{name}.pem", directory / f"{name}.key", directory / f"{name}-both.pem")
    for path, octets in ((made.certificate, public), (made.key, secret), (made.both, public + secret)):
        path.touch(0o600)
        path.write_bytes(octets)
    return made
