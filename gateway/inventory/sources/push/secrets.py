"""Secrets of push sources, in the spelling of Standard Webhooks.

``whsec_`` and base64 of 24 to 64 bytes: a shared secret for HMAC-SHA256. ``whpk_`` and base64 of 32 bytes: an ed25519
public key; its other half, ``whsk_``, stays with the sender.
"""

import base64
import binascii
import secrets

from gateway.domain.errors import InvalidValue

SHARED = "whsec_"
PUBLIC = "whpk_"
PRIVATE = "whsk_"
_SECRET_BYTES = 32
_SHARED_LENGTHS = range(24, 65)
_ED25519_LENGTHS = range(32, 33)
_PRIVATE_LENGTHS = range(32, 65)


def new_secret() -> str:
    """A fresh shared secret of 256 random bits."""
    return SHARED + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def key_of(secret: str) -> tuple[str, bytes]:
    """The kind of a secret (its prefix) and the key within it.

    Raises ``InvalidValue``, without the secret in its text, for another prefix, bad base64 or a wrong length. A private
    key may be the 32-byte seed alone or seed and public key together, as libraries write both.
    """
    prefix = next((each for each in (SHARED, PUBLIC, PRIVATE) if secret.startswith(each)), "")
    if not prefix:
        raise InvalidValue("a source's secret begins with whsec_ (shared), whpk_ (public key) or whsk_ (private key)")
    try:
        key = base64.b64decode(secret.removeprefix(prefix), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidValue(f"what follows {prefix} is no base64") from None
    lengths = {SHARED: _SHARED_LENGTHS, PUBLIC: _ED25519_LENGTHS, PRIVATE: _PRIVATE_LENGTHS}[prefix]
    if len(key) not in lengths or (prefix == PRIVATE and len(key) not in (32, 64)):
        raise InvalidValue(f"the secret has {len(key)} bytes: {prefix} takes {lengths.start} to {lengths.stop - 1}")
    return prefix, key
