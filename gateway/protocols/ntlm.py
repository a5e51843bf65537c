"""NTLM messages as far as they say who logs in ([MS-NLMP] 2.2.1): which message it is, and whom the last one names.

The name is a claim, which the server's answer to that very message proves or not. So all that matters here is that the
server reads the same name: whatever two readers might read differently is refused. The letters are those on which
server and client have agreed; a name beyond ASCII must come in Unicode, since nobody knows the code page of the other
form. Nothing of a message is kept, and none is written here.
"""

import re
from typing import Final, NamedTuple

from gateway.domain.errors import InvalidValue
from gateway.domain.identity import IdentityRules, canonical_login

SIGNATURE: Final = b"NTLMSSP\0"
NEGOTIATE: Final = 1
CHALLENGE: Final = 2
AUTHENTICATE: Final = 3
NAME_LONGEST: Final = 1024
"""Octets of a user or domain name; what is a person's name is bounded further by ``canonical_login``."""

_SHORTEST: Final = {NEGOTIATE: 16, CHALLENGE: 32, AUTHENTICATE: 64}
"""Octets up to the flags, and those; of the challenge, up to its eight random octets. Windows 95 wrote shorter ones."""
_UNICODE: Final = 0x1
_ANONYMOUS: Final = 0x800
"""NTLMSSP_NEGOTIATE_UNICODE and NTLMSSP_ANONYMOUS ([MS-NLMP] 2.2.2.5)."""
_RESPONSE_SHORTEST: Final = 24
"""Octets of the response to the challenge in NTLM version 1; an anonymous login has none."""
_PLAIN = re.compile(rb"[!-~](?:[ -~]*[!-~])?\Z")


class Claimed(NamedTuple):
    """Whom an AUTHENTICATE message names."""

    domain: str
    user: str


def kind_of(message: bytes) -> int | None:
    """``NEGOTIATE``, ``CHALLENGE`` or ``AUTHENTICATE``; None: it is no message of NTLM, or too short for its kind."""
    kind = int.from_bytes(message[8:12], "little")
    shortest = _SHORTEST.get(kind)
    return kind if message.startswith(SIGNATURE) and shortest and len(message) >= shortest else None


def agreed_on_unicode(challenge: bytes) -> bool:
    """Whether names are in UTF-16 from a CHALLENGE message on; else each is in octets of some code page."""
    return bool(_flags(challenge, 20) & _UNICODE)


def claimed(message: bytes, *, unicode: bool) -> Claimed:
    """Whom an AUTHENTICATE message names; ``unicode``: what the challenge before it has said.

    Raises ``InvalidValue``: it names nobody (an anonymous login), or somebody whom two servers might read differently.
    """
    flags = _flags(message, 60)
    if bool(flags & _UNICODE) is not unicode:
        raise InvalidValue("the login has other letters than were agreed on")
    if flags & _ANONYMOUS or len(_field(message, 20)) < _RESPONSE_SHORTEST:
        raise InvalidValue("the login is anonymous")
    domain, user = (_text(_field(message, at), unicode=unicode) for at in (28, 36))
    if not user:
        raise InvalidValue("the login names nobody")
    return Claimed(domain, user)


def login_of(claim: Claimed, rules: IdentityRules) -> str:
    """The canonical login of ``DOMAIN`` and ``user``, of ``user`` alone, and of ``user@domain``.

    A name with a domain of its own beside another one is two names, of which servers believe this or that. Raises
    ``InvalidValue``.
    """
    domain, user = claim
    if "\\" in user or "\\" in domain or "@" in domain:
        raise InvalidValue("the login has a separator within a name")
    _, at, own = user.partition("@")
    if at and domain and rules.mail_domain(own) != rules.mail_domain(domain):
        raise InvalidValue("the login names two domains")
    return canonical_login(f"{domain}\\{user}" if domain and not at else user, rules)


def _flags(message: bytes, at: int) -> int:
    return int.from_bytes(message[at : at + 4], "little")


def _field(message: bytes, at: int) -> bytes:
    """What a field of eight octets points to: its length, as much as was reserved, and its offset."""
    length = int.from_bytes(message[at : at + 2], "little")
    offset = int.from_bytes(message[at + 4 : at + 8], "little")
    if length and not _SHORTEST[AUTHENTICATE] <= offset <= len(message) - length:
        raise InvalidValue("the login points out of itself")
    return message[offset : offset + length] if length else b""


def _text(octets: bytes, *, unicode: bool) -> str:
    if len(octets) > NAME_LONGEST:
        raise InvalidValue("the login has a name that is too long")
    if not unicode:
        if octets and not _PLAIN.match(octets):
            raise InvalidValue("the login has a name beyond ASCII that is not in Unicode")
        return octets.decode("ascii")
    try:
        return octets.decode("utf-16-le")
    except UnicodeDecodeError:
        raise InvalidValue("the login has a name that is not in Unicode") from None
