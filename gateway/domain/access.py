"""The access request: who asks for what, with which device, by which protocol.

Proxies and external-authorization endpoints build one of these from their protocol's bytes; ``decide`` judges
it (NIST SP 800-207: enforcement point asks decision point).
"""

from enum import IntEnum, StrEnum
from typing import NamedTuple


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


class AccessRequest(NamedTuple):
    """One question to the decision point.

    A named tuple and not a dataclass: one is built per mail request, and it is the cheapest immutable record.
    """

    login: str
    """Canonical login name (``identity.canonical_login``), the one the credentials prove."""
    device_id: str
    """Canonical DeviceId (``identity.canonical_device_id``); empty for a user-wide request."""
    protocol: Protocol = Protocol.ACTIVESYNC
    strength: IdentityStrength = IdentityStrength.DEVICE_ID
    action: str = ""
    """The protocol's own word for what is asked: an ActiveSync command, ``LOGIN``, ``MAIL``."""
    device_type: str = ""
    """As the client states it; never trusted for an allow."""
    client_address: str = ""
