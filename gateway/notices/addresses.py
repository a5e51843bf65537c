"""Where a person's notices go to, and whether that is an address a mail server can take."""

import re

from gateway.ports.store import Person

LONGEST = 254
"""RFC 5321 4.5.3.1.3, without the angle brackets."""
_LOCAL = re.compile(r"[^\s@<>()\[\]\\,;:\"\x00-\x1f\x7f]{1,64}")
_DOMAIN = re.compile(r"[^\W_]([\w-]{0,61}[^\W_])?(\.[^\W_]([\w-]{0,61}[^\W_])?)*")


def is_address(text: str) -> bool:
    """Whether notices can be sent there: one address, nothing quoted, no address literal."""
    local, _, domain = text.rpartition("@")
    whole = len(text) <= LONGEST and text.isprintable()
    return whole and _LOCAL.fullmatch(local) is not None and _DOMAIN.fullmatch(domain) is not None


def address_of(person: Person) -> str:
    """The person's own, or the login where that is one; empty: the person cannot be told."""
    wanted = person.address or person.person_id
    return wanted if is_address(wanted) else ""
