"""From a login by IMAP, POP3 or SMTP to the question that is judged.

These protocols carry no device, so all devices of the user answer for it. Whatever names the device better one day (a
client certificate, a credential in the user name) comes in here and nowhere else.
"""

from dataclasses import dataclass

from gateway.domain.access import AccessRequest, IdentityStrength, Protocol
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import IdentityRules, canonical_login


@dataclass(frozen=True, slots=True)
class Presented:
    """What a client has shown of itself."""

    protocol: Protocol
    user: bytes
    """The name that its credentials are for; the mail server is asked with this very name."""
    address: str


def identity_of(presented: Presented, rules: IdentityRules) -> AccessRequest | None:
    """The question; None: the name can be nobody's, and no mail server is asked about it.

    A name that is no UTF-8 is refused: another reader could take it for another person's.
    """
    try:
        login = canonical_login(presented.user.decode("utf-8"), rules)
    except (UnicodeDecodeError, InvalidValue):
        return None
    return AccessRequest(
        login,
        device_id="",
        protocol=presented.protocol,
        strength=IdentityStrength.USER_WIDE,
        action="LOGIN",
        client_address=presented.address,
    )
