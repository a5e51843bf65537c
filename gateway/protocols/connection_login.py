"""NTLM and Negotiate in HTTP (RFC 4559, [MS-NTHT]): logins of several messages, a connection's and no request's.

What a client says in ``Authorization`` is understood and written anew; of what a server says in ``WWW-Authenticate``
the challenges of these two schemes are read. A leg names somebody only if it is NTLM's last message, by itself or
within SPNEGO; whom a Kerberos ticket names the server alone can read.
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from enum import Enum
from typing import Final, NamedTuple

from gateway.domain.errors import InvalidValue
from gateway.protocols import ntlm, spnego
from gateway.protocols.activesync.headers import challenges_in

NTLM: Final = b"NTLM"
NEGOTIATE: Final = b"Negotiate"
SCHEMES: Final = {b"ntlm": NTLM, b"negotiate": NEGOTIATE}

_SCHEME = re.compile(rb"(ntlm|negotiate)(?: |\Z)", re.IGNORECASE)
_VALUE = re.compile(rb"([A-Za-z]+) +([A-Za-z0-9+/]+={0,2}) *\Z")


class Step(Enum):
    """What one message of a client does."""

    ASKS = "asks"
    """NTLM's first message: it wants to be challenged, and is nobody yet."""
    NAMES = "names"
    """NTLM's last message: whom it names can be read."""
    BEGINS_HIDDEN = "begins hidden"
    """A ticket, or another mechanism: it may be a whole login, and whose nobody can read here."""
    GOES_ON_HIDDEN = "goes on hidden"


class Leg(NamedTuple):
    """One message of a client's login."""

    scheme: bytes
    step: Step
    message: bytes
    """NTLM's own; empty: it is none."""
    value: bytes
    """Of ``Authorization``, written anew."""

    def __repr__(self) -> str:
        return f"Leg(scheme={self.scheme!r}, step={self.step})"


class Challenge(NamedTuple):
    """One of a server's."""

    scheme: bytes
    token: bytes
    """Empty: it merely offers the scheme."""

    def __repr__(self) -> str:
        return f"Challenge(scheme={self.scheme!r}, {len(self.token)} octets)"

    @property
    def value(self) -> bytes:
        """Of ``WWW-Authenticate``, written anew."""
        return self.scheme + b" " + b64encode(self.token) if self.token else self.scheme


def is_one(authorization: bytes) -> bool:
    """Whether ``Authorization`` is of one of these schemes, well-formed or not."""
    return _SCHEME.match(authorization) is not None


def read_leg(authorization: bytes) -> Leg:
    """The message that ``Authorization`` holds. Raises ``InvalidValue``."""
    found = _VALUE.match(authorization)
    scheme = SCHEMES.get(found[1].lower()) if found else None
    if found is None or scheme is None:
        raise InvalidValue("the login has no message")
    token = _decoded(found[2])
    step, message = _of_ntlm(token) if scheme == NTLM else _of_negotiate(token)
    return Leg(scheme, step, message, scheme + b" " + b64encode(token))


def _of_ntlm(token: bytes) -> tuple[Step, bytes]:
    kind = ntlm.kind_of(token)
    if kind == ntlm.NEGOTIATE:
        return Step.ASKS, token
    if kind == ntlm.AUTHENTICATE:
        return Step.NAMES, token
    raise InvalidValue("the login is no message of a client's")


def _of_negotiate(token: bytes) -> tuple[Step, bytes]:
    if token.startswith(ntlm.SIGNATURE):
        # Windows takes it without a wrapping, too.
        return _of_ntlm(token)
    read = spnego.read_token(token)
    if isinstance(read, spnego.GoesOn):
        if read.message.startswith(ntlm.SIGNATURE):
            return _of_ntlm(read.message)
        return Step.GOES_ON_HIDDEN, b""
    if read.of_ntlm.startswith(ntlm.SIGNATURE):
        step, message = _of_ntlm(read.of_ntlm)
        if step is not Step.ASKS:
            raise InvalidValue("the login begins with its end")
        return step, message
    return Step.BEGINS_HIDDEN, b""


def challenges(values: Iterable[bytes]) -> list[Challenge]:
    """Those of the two schemes in the values of ``WWW-Authenticate``; one that is malformed is left out."""
    found = []
    for piece in (piece for value in values for piece in challenges_in(value)):
        name, _, rest = piece.partition(b" ")
        scheme = SCHEMES.get(name.lower())
        if scheme is not None:
            try:
                found.append(Challenge(scheme, _decoded(rest.strip(b" ")) if rest.strip(b" ") else b""))
            except InvalidValue:
                continue
    return found


def answered(scheme: bytes, said: Iterable[Challenge]) -> Challenge | None:
    """The one challenge with a token of ``scheme``; None: there is none, or more than one, of which nobody knows."""
    tokens = [each for each in said if each.token]
    return tokens[0] if len(tokens) == 1 and tokens[0].scheme == scheme else None


def unicode_agreed(challenge: Challenge) -> bool | None:
    """How names are written in the answer to NTLM's challenge; None: it is none of NTLM."""
    message = challenge.token
    if challenge.scheme == NEGOTIATE and not message.startswith(ntlm.SIGNATURE):
        try:
            read = spnego.read_token(message)
        except InvalidValue:
            return None
        message = read.message if isinstance(read, spnego.GoesOn) and read.mechanism in (b"", spnego.NTLM) else b""
    return ntlm.agreed_on_unicode(message) if ntlm.kind_of(message) == ntlm.CHALLENGE else None


def _decoded(text: bytes) -> bytes:
    try:
        decoded = b64decode(text, validate=True)
    except binascii.Error:
        decoded = b""
    if not decoded or len(decoded) > spnego.TOKEN_LONGEST:
        raise InvalidValue("the login has no message, or one that is too long")
    return decoded
