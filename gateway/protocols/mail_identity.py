"""From a login by IMAP, POP3 or SMTP to the question that is judged.

These protocols carry no device. A device credential behind the user's name names one, and so does the certificate that
the client has shown within TLS; without them all devices of the user answer.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.domain import credential
from gateway.domain.access import AccessRequest, Protocol, strength_of
from gateway.domain.certificate import CertificateShown
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import IdentityRules, canonical_login


@dataclass(frozen=True, slots=True)
class Presented:
    """What a client has shown of itself."""

    protocol: Protocol
    user: bytes = field(repr=False)
    """The name as it was given; a device credential may stand behind it."""
    address: str
    certificate: CertificateShown | None = None


class Identified(NamedTuple):
    """Who it is, if what was shown is good."""

    request: AccessRequest
    user: bytes
    """The user's own name; the mail server is asked with this very name."""


def identity_of(presented: Presented, rules: IdentityRules) -> Identified | None:
    """The question; None: the name can be nobody's, and no mail server is asked about it.

    A name that is no UTF-8 is refused: another reader could take it for another person's.
    """
    try:
        name, shown = credential.split(presented.user.decode("utf-8"))
        login = canonical_login(name, rules)
    except (UnicodeDecodeError, InvalidValue):
        return None
    request = AccessRequest(
        login,
        device_id="",
        protocol=presented.protocol,
        strength=strength_of(credential=shown, certificate=presented.certificate),
        action="LOGIN",
        client_address=presented.address,
        credential=shown,
        certificate=presented.certificate,
    )
    return Identified(request, name.encode())
