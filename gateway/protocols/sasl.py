"""SASL as the mail protocols use it: PLAIN, LOGIN, XOAUTH2, OAUTHBEARER, read from a client, written for a server.

These four carry a password or a token that can be shown to the mail server again; nothing else is spoken here. What
was read is never passed on as it came: a response is understood whole (RFC 4616, RFC 7628) and written anew. A
response for somebody else (another authorization identity) is read, and refused by ``checked``. Passwords and tokens
are in no representation and in no error.
"""

import binascii
import re
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Final

from gateway.domain.errors import InvalidValue

RESPONSE_LONGEST: Final = 12288
"""Octets of one response in base64 (RFC 4954 §4)."""
USER_LONGEST: Final = 1024
"""Octets of a user name; what is a person's name is bounded further by ``canonical_login``."""
CANCEL: Final = b"*"
"""What a client sends in place of a response to give up (RFC 9051 §6.2.2, RFC 5034 §4, RFC 4954 §4)."""
USERNAME_PROMPT: Final = b"VXNlcm5hbWU6"
PASSWORD_PROMPT: Final = b"UGFzc3dvcmQ6"
"""``Username:`` and ``Password:``; some clients look for exactly these."""

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_UNSENDABLE = re.compile(rb"[\0\r\n]")
"""What no password can hold in every one of the protocols."""
_TOKEN = rb"(?i:bearer) ([A-Za-z0-9._~+/-]{1,12288}+=*+)"  # RFC 6750 §2.1
_XOAUTH2 = re.compile(rb"user=([^\x01]*+)\x01auth=%b\x01\x01\Z" % _TOKEN)
_OAUTHBEARER = re.compile(rb"[ny],(?:a=([^,\x01]*+))?,\x01((?:[A-Za-z]++=[^\x01]*+\x01)++)\x01\Z")
_AUTH_PAIR = re.compile(rb"(?:\A|\x01)auth=%b(?=\x01)" % _TOKEN)
_SASLNAME = re.compile(rb"(?:[^=,]|=2C|=3D)*+\Z")


class Mechanism(StrEnum):
    """The mechanisms that are spoken; each hands its secret over."""

    PLAIN = "PLAIN"
    LOGIN = "LOGIN"
    XOAUTH2 = "XOAUTH2"
    OAUTHBEARER = "OAUTHBEARER"

    __hash__ = str.__hash__  # Enum's own is a Python function: several times as slow on every look-up

    @property
    def by_token(self) -> bool:
        """Whether the secret is an OAuth token, else a password."""
        return self in (Mechanism.XOAUTH2, Mechanism.OAUTHBEARER)


def mechanism(name: bytes) -> Mechanism | None:
    """The mechanism of that name in any case; None: it is not spoken here."""
    return _BY_NAME.get(name.upper())


_BY_NAME: Final = {each.value.encode(): each for each in Mechanism}


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who says to be whom, as octets."""

    mechanism: Mechanism
    """How they came. IMAP's LOGIN and POP3's USER and PASS count as PLAIN: they carry the same."""
    user: bytes = field(repr=False)
    """As it was given: a device credential may stand behind the name."""
    secret: bytes = field(repr=False)
    authzid: bytes = field(default=b"", repr=False)
    """On whose behalf; empty once ``checked``."""

    @property
    def name(self) -> str:
        """The user as text, for looking up a person: UTF-8, else the Latin-1 of older clients."""
        try:
            return self.user.decode("utf-8")
        except UnicodeDecodeError:
            return self.user.decode("latin-1")


class Fault(Enum):
    """Why a response is of no use."""

    CANCELLED = "cancelled"
    ENCODING = "encoding"
    """No base64, or too much of it."""
    FORM = "form"
    """Not what the mechanism sends, or a name or secret that cannot be."""
    FOR_ANOTHER = "for_another"
    """The user wants to act as somebody else."""


class BadResponse(InvalidValue):
    """A SASL response that is refused; its text holds nothing of the response."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"the SASL response is refused: {fault.value}")
        self.fault = fault


def checked(credentials: Credentials) -> Credentials:
    """The same if a server may be asked about them, without an authorization identity. Raises ``BadResponse``.

    An authorization identity is accepted if it is the user's own name: libsasl sends that. An empty password is never
    shown to a server: some directories take it for an anonymous bind and say yes (RFC 4513 §5.1.2).
    """
    user, secret = credentials.user, credentials.secret
    if not user or len(user) > USER_LONGEST or _CONTROL.search(user) or not secret or _UNSENDABLE.search(secret):
        raise BadResponse(Fault.FORM)
    if not credentials.authzid:
        return credentials
    if credentials.authzid != user:
        raise BadResponse(Fault.FOR_ANOTHER)
    return Credentials(credentials.mechanism, user, secret)


def read_plain(message: bytes) -> Credentials:
    """PLAIN: authzid NUL authcid NUL password (RFC 4616 §2). Raises ``BadResponse``."""
    parts = message.split(b"\0")
    if len(parts) != 3:
        raise BadResponse(Fault.FORM)
    return Credentials(Mechanism.PLAIN, parts[1], parts[2], parts[0])


def read_xoauth2(message: bytes) -> Credentials:
    """XOAUTH2 as Google and Microsoft document it. Raises ``BadResponse``."""
    found = _XOAUTH2.match(message)
    if found is None:
        raise BadResponse(Fault.FORM)
    return Credentials(Mechanism.XOAUTH2, found[1], found[2])


def read_oauthbearer(message: bytes) -> Credentials:
    """OAUTHBEARER (RFC 7628 §3.1). Raises ``BadResponse``.

    The user is the authorization identity, which this mechanism leaves optional; without one only the token would
    know whose it is, and the response is refused.
    """
    found = _OAUTHBEARER.match(message)
    pairs = _AUTH_PAIR.findall(found[2]) if found is not None else []
    if found is None or not found[1] or not _SASLNAME.match(found[1]) or len(pairs) != 1:
        raise BadResponse(Fault.FORM)
    user = found[1].replace(b"=2C", b",").replace(b"=3D", b"=")
    return Credentials(Mechanism.OAUTHBEARER, user, pairs[0])


_READERS: Final = {
    Mechanism.PLAIN: read_plain,
    Mechanism.XOAUTH2: read_xoauth2,
    Mechanism.OAUTHBEARER: read_oauthbearer,
}


def decoded(response: bytes) -> bytes:
    """The message in one response; ``=`` is the empty one (RFC 4959 §3). Raises ``BadResponse``."""
    if response == b"=":
        return b""
    if len(response) > RESPONSE_LONGEST:
        raise BadResponse(Fault.ENCODING)
    try:
        return binascii.a2b_base64(response, strict_mode=True)
    except binascii.Error:
        raise BadResponse(Fault.ENCODING) from None


def encoded(message: bytes) -> bytes:
    """A message as a response or challenge in base64."""
    return binascii.b2a_base64(message, newline=False)


class Exchange:
    """The server's side of one authentication: responses in, challenges and at last credentials out."""

    __slots__ = ("_mechanism", "_user")

    def __init__(self, chosen: Mechanism) -> None:
        self._mechanism = chosen
        self._user: bytes | None = None
        """LOGIN: the name, once it is known."""

    def respond(self, response: bytes | None) -> bytes | Credentials:
        """Take a response as it stands on the line; the next challenge (in base64), or ``checked`` credentials.

        None begins an exchange whose command carried no initial response. Raises ``BadResponse``; the exchange is over
        then.
        """
        if response is None:
            return USERNAME_PROMPT if self._mechanism is Mechanism.LOGIN else b""
        if response == CANCEL:
            raise BadResponse(Fault.CANCELLED)
        message = decoded(response)
        if self._mechanism is not Mechanism.LOGIN:
            return checked(_READERS[self._mechanism](message))
        if self._user is None:
            self._user = message
            return PASSWORD_PROMPT
        return checked(Credentials(Mechanism.LOGIN, self._user, message))


def initial_response(credentials: Credentials) -> bytes:
    """The one response (in base64) that logs these credentials in at a server; passwords by PLAIN."""
    user, secret = credentials.user, credentials.secret
    if credentials.mechanism is Mechanism.XOAUTH2:
        return encoded(b"user=%b\x01auth=Bearer %b\x01\x01" % (user, secret))
    if credentials.mechanism is Mechanism.OAUTHBEARER:
        name = user.replace(b"=", b"=3D").replace(b",", b"=2C")
        return encoded(b"n,a=%b,\x01auth=Bearer %b\x01\x01" % (name, secret))
    return encoded(b"\0%b\0%b" % (user, secret))


def replayed_by(credentials: Credentials) -> Mechanism:
    """The mechanism by which a server is asked about these credentials."""
    return credentials.mechanism if credentials.mechanism.by_token else Mechanism.PLAIN


def after_failure(chosen: Mechanism) -> bytes:
    """What a client answers (in base64) to the challenge with which a server explains a refused token.

    Nothing more is decided by it: the refusal follows (RFC 7628 §3.2.3).
    """
    return b"AQ==" if chosen is Mechanism.OAUTHBEARER else b""
