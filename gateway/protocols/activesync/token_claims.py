"""What a bearer token says of itself (RFC 7519): its owner and its end, read without checking the signature.

Nothing here proves anything. The owner counts only after the upstream accepted that very token, and the end only ever
shortens how long its acceptance is remembered. An opaque token has no claims.
"""

import binascii
import json
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from math import isfinite
from typing import Final

from gateway.domain.identity import LOGIN_LONGEST

CLAIMS_LONGEST: Final = 12 << 10
"""Octets of the encoded claims."""
_NESTED_MOST = 200
"""Brackets of any kind: the JSON reader recurses."""
_OWNER = ("upn", "preferred_username", "unique_name", "email")
"""The claims that name a mailbox's login, the most binding first (Entra ID, AD FS, Keycloak)."""


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """The claims that matter here."""

    owner: str
    """Login as written; empty when no claim names one."""
    expires_at: float | None
    """Epoch seconds; None: it does not say."""


def read_claims(token: bytes, *, owner: str = "") -> TokenClaims | None:
    """The claims of a signed token; None for any other. Never raises.

    ``owner`` is the claim that names its owner, and then no other does; empty: the first of the usual ones.
    """
    parts = token.split(b".")
    if len(parts) != 3 or len(parts[1]) > CLAIMS_LONGEST:
        return None
    try:
        text = urlsafe_b64decode(parts[1] + b"=" * (-len(parts[1]) % 4)).decode("utf-8")
        if text.count("{") + text.count("[") > _NESTED_MOST:
            return None
        claims = json.loads(text)
    except (binascii.Error, ValueError):
        return None
    return (
        TokenClaims(_owner(claims, (owner,) if owner else _OWNER), _expiry(claims))
        if isinstance(claims, dict)
        else None
    )


def _owner(claims: dict[str, object], names: tuple[str, ...]) -> str:
    for name in names:
        value = claims.get(name)
        if isinstance(value, str) and 0 < len(value) <= LOGIN_LONGEST and value.isprintable():
            return value
    return ""


def _expiry(claims: dict[str, object]) -> float | None:
    value = claims.get("exp")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e12 or not isfinite(value):
        return None
    return float(value)
