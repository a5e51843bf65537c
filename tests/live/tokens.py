"""OAuth tokens as an identity provider signs them (RFC 7519, HS256), and a Dovecot told to check them by itself."""

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path

SIGNING_KEY = b"a key that only the test and its Dovecot know"
DOVECOT = """
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={directory}/keys/
username_attribute = email
"""
"""``tokens.conf`` of the passdb ``oauth2``."""


def accept_tokens(directory: Path) -> None:
    """Write what that passdb needs; keys are found by their issuer's name, algorithm and id."""
    (directory / "tokens.conf").write_text(DOVECOT.format(directory=directory))
    key = directory / "keys" / "default" / "HS256" / "default"
    key.parent.mkdir(parents=True)
    key.write_bytes(base64.b64encode(SIGNING_KEY))


def token(user: str, *, key: bytes = SIGNING_KEY, for_seconds: float = 3600.0) -> str:
    """One for ``user``; with another key a forged one, with less than no time one that has ended."""
    now = time.time()
    claims = {"sub": user, "email": user, "iat": int(now - 7200), "exp": int(now + for_seconds), "scope": "mail"}
    signed = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims)}"
    return f"{signed}.{_encoded(hmac.digest(key, signed.encode(), hashlib.sha256))}"


def _part(values: dict[str, object]) -> str:
    return _encoded(json.dumps(values).encode())


def _encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
