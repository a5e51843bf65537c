"""Messages of NTLM and Negotiate, as they stand in a header: what is within SPNEGO, and whom NTLM's last one names.

An input is one octet that says which scheme, and a token. The other reader is pyspnego, which is lenient: what we take,
it must take for the same.
"""

import struct
from base64 import b64decode, b64encode
from contextlib import suppress
from random import Random

from spnego._ntlm_raw.messages import Authenticate
from spnego._spnego import InitialContextToken, NegTokenInit, unpack_token

from gateway.domain.errors import InvalidValue
from gateway.domain.identity import canonical_login
from gateway.protocols import ntlm
from gateway.protocols.connection_login import (
    NEGOTIATE,
    NTLM,
    Challenge,
    Leg,
    Step,
    challenges,
    is_one,
    read_leg,
    unicode_agreed,
)
from tests.fuzz.heads import RULES
from tests.fuzz.judging import ACCEPTED, REFUSED, Target, hold, same
from tests.support.ntlm_messages import KERBEROS_OID, NTLM_OID, OEM, UNICODE, begun, challenge, first, goes_on, last


def check(octets: bytes) -> str:
    """See the module."""
    challenges([octets])
    with suppress(InvalidValue):
        read_leg(octets)
    scheme, token = NTLM if octets[:1] == b"N" else NEGOTIATE, octets[1:]
    unicode_agreed(Challenge(scheme, token))
    value = scheme.lower() + b"  " + b64encode(token)
    try:
        leg = read_leg(value)
    except InvalidValue:
        return REFUSED
    hold("it is one", is_one(value) and is_one(leg.value))
    same("the token", token, b64decode(leg.value.partition(b" ")[2]))
    if leg.scheme == NEGOTIATE and not token.startswith(ntlm.SIGNATURE):
        _within_alike(leg, token)
    else:
        same("a message as it is", token, leg.message)
    if leg.step is Step.NAMES:
        for unicode in (True, False):
            _named_alike(leg.message, unicode=unicode)
    return ACCEPTED


def _within_alike(leg: Leg, token: bytes) -> None:
    try:
        theirs = unpack_token(token)
    except (ValueError, IndexError, struct.error):
        # A mechanism that stands by itself, whose message is none of ASN.1; or one that it does not know.
        same("what only we take", Step.BEGINS_HIDDEN, leg.step)
        return
    if isinstance(theirs, InitialContextToken):
        same("what only we take", Step.BEGINS_HIDDEN, leg.step)
    elif isinstance(theirs, NegTokenInit):
        hold("a beginning", leg.step in (Step.ASKS, Step.BEGINS_HIDDEN))
        if leg.step is Step.ASKS:
            same("the first mechanism", theirs.mech_types[0], "1.3.6.1.4.1.311.2.2.10")
            same("the first message", theirs.mech_token, leg.message)
    elif leg.message:
        same("a further message", theirs.response_token, leg.message)


def _named_alike(message: bytes, *, unicode: bool) -> None:
    try:
        claim = ntlm.claimed(message, unicode=unicode)
    except InvalidValue:
        return
    theirs = Authenticate.unpack(message, encoding="utf-16-le" if unicode else "ascii")
    same("who", (theirs.domain_name or "", theirs.user_name), (claim.domain, claim.user))
    hold("it is no anonymous login", theirs.nt_challenge_response and not int(theirs.flags) & 0x800)
    with suppress(InvalidValue):
        login = ntlm.login_of(claim, RULES)
        same("the canonical login's own", login, canonical_login(login, RULES))


def grow(random: Random) -> bytes:
    """A message of a client's or a server's, mostly by itself or in its wrapping."""
    flags = random.choice((UNICODE, UNICODE, OEM, UNICODE | OEM, UNICODE | 0x800))
    user = random.choice(("anna", "anna", "ANNA@CORP.EXAMPLE", "", "CORP\\anna", "grün", "a\0b", " anna", "a" * 600))
    domain = random.choice(("CORP", "", "", "corp.example", "a\\b", "\u212b"))
    response = random.choice((bytes(24), bytes(60), b"", b"\0"))
    coding = random.choice(("", "", "", "utf-16-le", "utf-8"))
    try:
        named = last(user, domain, flags, response, coding)
    except UnicodeEncodeError:
        named = last("anna", domain if domain.isascii() else "", flags)
    message = random.choice((named, named, named, first(flags), challenge(flags)))
    if random.random() < 0.4:
        return random.choice((b"N", b"N", b"G")) + message
    lists = ((NTLM_OID,), (NTLM_OID, KERBEROS_OID), (KERBEROS_OID, NTLM_OID), (KERBEROS_OID,))
    wrapped = (
        begun(message, *random.choice(lists)),
        goes_on(message, random.choice((0, 1, 2, 3)), random.choice(("", NTLM_OID, KERBEROS_OID))),
    )
    return b"G" + random.choice(wrapped)


TARGET = Target(
    "connection-logins",
    "messages of NTLM and Negotiate with pyspnego",
    check,
    grow,
    (
        *(b"NTLMSSP\0", b"\x01\0\0\0", b"\x02\0\0\0", b"\x03\0\0\0", b"\x60", b"\xa1", b"\xa0", b"\xa2", b"\x30"),
        *(b"\x04", b"\x81\x80", b"\x82\x01\x00", b"\x80", bytes.fromhex("0606" + "2b0601050502"), b"\0\0", b"N", b"G"),
        bytes.fromhex("060a" + NTLM_OID),
    ),
    2048,
)
