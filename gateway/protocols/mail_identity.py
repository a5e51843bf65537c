"""From a login by IMAP, POP3 or SMTP to the question that is judged.

These protocols carry no device. A device credential behind the user's name names one, and so does the certificate that
the client has shown within TLS; without them all devices of the user answer. A token may name another owner than the
name beside it: then two questions are asked.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.domain import credential
from gateway.domain.access import AccessRequest, Protocol, strength_of
from gateway.domain.certificate import CertificateShown
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import IdentityRules, canonical_login
from gateway.protocols.activesync.token_claims import read_claims


@dataclass(frozen=True, slots=True)
class Presented:
    """What a client has shown of itself."""

    protocol: Protocol
    user: bytes = field(repr=False)
    """The name as it was given; a device credential may stand behind it."""
    address: str
    certificate: CertificateShown | None = None
    token: bytes = field(default=b"", repr=False)
    """The secret, where it is a token and may name its owner."""


class Identified(NamedTuple):
    """Who it is, if what was shown is good."""

    request: AccessRequest
    user: bytes
    """The user's own name; the mail server is asked with this very name."""
    owner: AccessRequest | None = None
    """The same question about whom the token names, where that is not the user."""


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
    return Identified(request, name.encode(), _about_the_owner(request, presented.token, rules))


def _about_the_owner(request: AccessRequest, token: bytes, rules: IdentityRules) -> AccessRequest | None:
    claims = read_claims(token, owner=rules.token_claim) if token else None
    if claims is None or not claims.owner:
        return None
    try:
        owner = canonical_login(claims.owner, rules)
    except InvalidValue:
        # A name that nobody logs in by; whose it is, only the mail server knows.
        return None
    return None if owner == request.login else request._replace(login=owner)
