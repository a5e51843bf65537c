"""``Authorization``, the claims of a token, and logins: nothing raises, nothing is read in two ways."""

import base64
import json
import re
from random import Random

from gateway.domain.errors import InvalidValue
from gateway.domain.identity import LOGIN_LONGEST, canonical_login
from gateway.protocols.activesync.requests import Credentials, Unusable, read_authorization
from gateway.protocols.activesync.token_claims import read_claims
from tests.fuzz.heads import RULES
from tests.fuzz.judging import ACCEPTED, REFUSED, Target, hold, same

_BASIC = re.compile(rb"(?i:basic) +((?:[A-Za-z0-9+/]{4})*+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|=*)) *\Z")
"""Padding that nothing needs is taken, as CPython's decoder does: it makes no other user."""
_OWNERS = ("upn", "preferred_username", "unique_name", "email")
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def check(octets: bytes) -> str:
    """See the module."""
    claims = read_claims(octets)
    if claims is not None:
        _claims_alike(octets, claims.owner, claims.expires_at)
    _login(octets.decode("utf-8", "replace"))
    ours = read_authorization(octets)
    if isinstance(ours, Unusable):
        if ours is Unusable.MALFORMED and _basic_user(octets):
            return "stricter: basic"
        return ACCEPTED if claims is not None else REFUSED
    same("the whole value", octets, ours.raw)
    hold("credentials are not shown", octets not in repr(ours).encode() or len(octets) < 12)
    if ours.scheme == "basic":
        same("the user", _basic_user(octets), ours.user)
        _login(ours.user)
    else:
        _bearer(octets, ours)
    return ACCEPTED


def _bearer(octets: bytes, ours: Credentials) -> None:
    same("a token's user", (ours.scheme, ours.user), ("bearer", ""))
    same("the token", octets.partition(b" ")[2].strip(b" "), ours.token)
    read_claims(ours.token)


def _basic_user(octets: bytes) -> str:
    """The user of Basic credentials by another decoder; empty: there is none."""
    found = _BASIC.match(octets)
    if found is None or len(octets) > 16 << 10:
        return ""
    bits = "".join(f"{_ALPHABET.index(digit):06b}" for digit in found[1].rstrip(b"="))
    decoded = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8))
    user, colon, _ = decoded.partition(b":")
    try:
        name = user.decode()
    except UnicodeDecodeError:
        name = user.decode("latin-1")
    controls = any(ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0 for letter in name)
    return name if colon and not controls else ""


def _claims_alike(token: bytes, owner: str, expires_at: float | None) -> None:
    part = token.split(b".")[1].replace(b"-", b"+").replace(b"_", b"/")
    claims = json.loads(base64.b64decode(part + b"=" * (-len(part) % 4)))
    hold("claims are an object", isinstance(claims, dict))
    stated = [claims.get(name) for name in _OWNERS]
    hold("the owner is stated", owner == "" or owner in [each for each in stated if isinstance(each, str)])
    hold("the owner is printable and short", owner.isprintable() and len(owner) <= LOGIN_LONGEST)
    hold("an end is a moment", expires_at is None or (0 <= expires_at <= 1e12 and expires_at == claims["exp"]))


def _login(text: str) -> None:
    try:
        login = canonical_login(text, RULES)
    except InvalidValue:
        return
    same("the canonical login's own", login, canonical_login(login, RULES))
    hold("a login is printable", login.isprintable() and login)


def grow(random: Random) -> bytes:
    """Credentials of a scheme, or a token by itself."""
    kind = random.random()
    if kind < 0.45:
        user = random.choice(("anna", "CORP\\anna", "ünï@corp.example", "", "a:b", "a\0", "ANNA@CORP.EXAMPLE", "ﬀ"))
        coding = random.choice(("utf-8", "utf-8", "latin-1"))
        secret = base64.b64encode(f"{user}:secret".encode(coding, "replace"))
        return random.choice((b"Basic ", b"basic  ", b"BASIC ")) + secret + random.choice((b"", b"", b" "))
    if kind < 0.55:
        names = ("anna", "Anna@corp.example", "CORP\\anna", " anna", "an na", "a@b@c", "ǰ@x", "ß", "\u212b\\İ")
        return random.choice(names).encode()
    claims: dict[str, object] = {}
    while random.random() < 0.7:
        name = random.choice((*_OWNERS, "exp", "sub"))
        claims[name] = random.choice(("anna@corp.example", "", "a\n", 1e12, 1795162630, -1, True, None, 1e400, [], {}))
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
    token = b"e30.%b.c2ln" % part
    return b"Bearer " + token if kind < 0.8 else token


TARGET = Target(
    "credentials",
    "Authorization, token claims and logins with second readers",
    check,
    grow,
    (
        *(
            b"Basic ",
            b"Bearer ",
            b"Negotiate ",
            b"NTLM ",
            b"=",
            b"==",
            b".",
            b"e30.",
            b".e30.",
            b"YTpi",
            b"OnA=",
            b"  ",
        ),
        *(b"eyJ1cG4iOiJhIn0", b"eyJleHAiOjFlNDAwfQ", b"-", b"_", b"\\", b"@", b"\xef\xac\x80", b"\xe1\xba\x9e"),
    ),
    2048,
)
