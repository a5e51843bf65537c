"""The access request: who asks for what, with which device, by which protocol.

Proxies and external-authorization endpoints build one of these from their protocol's bytes; ``decide`` judges
it (NIST SP 800-207: enforcement point asks decision point).
"""

from enum import IntEnum, StrEnum
from typing import NamedTuple

from gateway.domain.certificate import CertificateShown
from gateway.domain.credential import CredentialShown


class Protocol(StrEnum):
    """The way in. Policy may differ by protocol."""

    ACTIVESYNC = "activesync"
    WEBMAIL = "webmail"
    IMAP = "imap"
    POP3 = "pop3"
    SMTP = "smtp"


class IdentityStrength(IntEnum):
    """How well the device is known, weakest first."""

    USER_WIDE = 0
    DEVICE_ID = 1
    DEVICE_CREDENTIAL = 2
    CLIENT_CERTIFICATE = 3

    @property
    def word(self) -> str:
        """As it stands in logs and answers."""
        return self.name.lower()


class AccessRequest(NamedTuple):
    """One question to the decision point.

    A named tuple and not a dataclass: one is built per mail request, and it is the cheapest immutable record.
    """

    login: str
    """Canonical login name (``identity.canonical_login``), the one the credentials prove."""
    device_id: str
    """Canonical DeviceId (``identity.canonical_device_id``); empty for a user-wide request, and with a credential."""
    protocol: Protocol = Protocol.ACTIVESYNC
    strength: IdentityStrength = IdentityStrength.DEVICE_ID
    action: str = ""
    """The protocol's own word for what is asked: an ActiveSync command, ``LOGIN``, ``MAIL``."""
    device_type: str = ""
    """As the client states it; never trusted for an allow."""
    client_address: str = ""
    credential: CredentialShown | None = None
    """Shown with the login; ``decide`` finds out whether it is good, and which device it stands for."""
    certificate: CertificateShown | None = None
    """Of the connection; ``decide`` finds out whether it is the user's, and which device it names."""


def strength_of(
    device_id: str = "", credential: CredentialShown | None = None, certificate: CertificateShown | None = None
) -> IdentityStrength:
    """How well the device is known by what was shown."""
    if certificate is not None and certificate.device_key:
        return IdentityStrength.CLIENT_CERTIFICATE
    if credential is not None:
        return IdentityStrength.DEVICE_CREDENTIAL
    return IdentityStrength.DEVICE_ID if device_id else IdentityStrength.USER_WIDE
