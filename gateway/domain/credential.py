"""Device credentials: what a person writes behind the user name so that a protocol without device ids has one.

``anna@corp.example%ID-SECRET``: the last ``%`` splits. The ID is public and stands in logs; the secret has 130 random
bits, and SHA-256 of it is kept: nobody finds it by trying, so a slow hash would cost every login and stop no one. The
password stays the user's own and is proved by the mail server as before.

The form is fixed, so a name that has a ``%`` of its own is a name, and whatever has the form is a credential: one
that does not exist is wrong, and never the plain name.
"""

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from gateway.domain.errors import InvalidValue

ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
"""Of RFC 4648 §6, in lower case; read in any."""
ID_LENGTH: Final = 8
SECRET_LENGTH: Final = 26
"""Characters of five bits."""
DEVICE_PREFIX: Final = "credential:"
"""Begins the id of a device that is known by its credential only. No ActiveSync DeviceId has a colon."""

_ID: Final = re.compile(rf"[a-z2-7]{{{ID_LENGTH}}}\Z")
_WITH_CREDENTIAL: Final = re.compile(
    rf"(.*)%([a-z2-7]{{{ID_LENGTH}}})-([a-z2-7]{{{SECRET_LENGTH}}})((?:@[^@%]*)?)\Z",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
"""Some programs want a mail address for a name, so the domain may stand behind as well."""


@dataclass(frozen=True, slots=True)
class CredentialShown:
    """A credential as a client shows it. The secret itself is forgotten at once."""

    id: str
    digest: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeviceCredential:
    """A credential of a person that is good now."""

    id: str
    digest: str = field(repr=False)
    device_id: str
    """The device that it stands for: a canonical DeviceId, or ``DEVICE_PREFIX`` and its own ID."""


def digest_of(credential_id: str, secret: str) -> str:
    """What is kept of a secret; of no use for another ID."""
    return sha256(f"gatepost device credential\0{credential_id}\0{secret}".encode()).hexdigest()


def split(name: str) -> tuple[str, CredentialShown | None]:
    """The user's own name, and the credential behind it if there is one."""
    found = _WITH_CREDENTIAL.match(name)
    if found is None:
        return name, None
    credential_id, secret = found[2].lower(), found[3].lower()
    return found[1] + found[4], CredentialShown(credential_id, digest_of(credential_id, secret))


def holds_credential(name: str) -> bool:
    """Whether a secret stands in a name: such a name is nobody's, and must get into no log and no store."""
    return "%" in name and _WITH_CREDENTIAL.match(name) is not None


def standing_behind(shown: CredentialShown, held: Iterable[DeviceCredential]) -> DeviceCredential | None:
    """The credential that was shown; None: it is wrong, revoked, or another person's."""
    for each in held:
        if each.id == shown.id and hmac.compare_digest(each.digest, shown.digest):
            return each
    return None


def device_known_by(credential_id: str) -> str:
    """The id of a device that nothing but its credential names."""
    return DEVICE_PREFIX + credential_id


def credential_id(text: str) -> str:
    """An ID as people write it. Raises ``InvalidValue``."""
    folded = text.strip().lower()
    if not _ID.match(folded):
        raise InvalidValue(f"the ID of a credential has {ID_LENGTH} letters and digits: see credential list")
    return folded
