"""OAuth tokens as an identity provider signs them (RFC 7519, HS256), for a Dovecot that checks them by itself."""

import base64
import hashlib
import hmac
import json
import time

from tests.live.mail.dovecot import SIGNING_KEY


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
