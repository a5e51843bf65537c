"""Signatures of messages by Standard Webhooks 1.0.0.

The signed content is ``id.timestamp.body`` with the body as it travelled, coded or not. ``v1`` is HMAC-SHA256 under a
shared secret, ``v1a`` is ed25519. A message may carry several signatures and a source may have several secrets, so
that secrets can be exchanged without a gap; one pair that fits suffices.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.domain.errors import InvalidValue
from gateway.inventory.sources.push.secrets import PRIVATE, PUBLIC, SHARED, key_of

TOLERANCE_SECONDS = 300
"""How far the moment of sending may be from ours, either way (Standard Webhooks, "Verifying webhook authenticity")."""
SIGNATURES_AT_MOST = 8
"""A source has four secrets at most."""
PUBLIC_KEY_OCTETS = 32_768
"""To try a signature with a public key takes as long as to hash so many octets, or longer."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")
_TIMESTAMP = re.compile(r"[0-9]{1,12}\Z")


@dataclass(frozen=True, slots=True)
class Signed:
    """What the three headers of a message say."""

    message_id: str
    timestamp: int
    """Epoch seconds of this attempt; a retry has the same id and another timestamp."""
    signatures: tuple[tuple[str, bytes], ...]
    """Version and signature; those of versions not known here are left out."""

    def is_fresh(self, now: float) -> bool:
        """Whether it was sent within the tolerance."""
        return abs(now - self.timestamp) <= TOLERANCE_SECONDS

    def fits(self, body: bytes, secrets: Iterable[str]) -> bool:
        """Whether one of the signatures was made with one of the secrets. Looks at all of them, in constant time."""
        fitting = False
        for secret in secrets:
            kind, key = key_of(secret)
            check = {SHARED: _fits_hmac, PUBLIC: _fits_ed25519}.get(kind)
            if check is not None:
                fitting |= check(self, key, body)
        return fitting

    def cost(self, body: bytes, secrets: Iterable[str]) -> int:
        """What ``fits`` would take, in octets to be hashed."""
        keys = Counter(secret.startswith(PUBLIC) for secret in secrets)
        tries = len(self.signatures) * keys[True]
        return (keys[False] + tries) * len(body) + tries * PUBLIC_KEY_OCTETS

    @property
    def prefix(self) -> bytes:
        """What stands before the body in the signed content."""
        return f"{self.message_id}.{self.timestamp}.".encode("ascii")


def read_headers(headers: Mapping[str, str]) -> Signed:
    """Read ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``; raises ``InvalidValue``."""
    message_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    signature = headers.get("webhook-signature", "")
    missing = [
        name
        for name, value in (
            ("webhook-id", message_id),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", signature),
        )
        if not value
    ]
    if missing:
        raise InvalidValue(f"the header {missing[0]} is missing: sign each report with the source's secret")
    if not _ID.match(message_id):
        raise InvalidValue("webhook-id has 1 to 128 letters, digits, hyphens and underscores")
    if not _TIMESTAMP.match(timestamp):
        raise InvalidValue("webhook-timestamp is the moment of sending in whole seconds since 1970")
    return Signed(message_id, int(timestamp), _signatures(signature))


def sign(message_id: str, timestamp: int, body: bytes, secret: str) -> str:
    """The value of ``webhook-signature`` by one secret, shared or private; raises ``InvalidValue``."""
    kind, key = key_of(secret)
    message = Signed(message_id, timestamp, ())
    if kind == SHARED:
        return "v1," + base64.b64encode(_hmac(message, key, body)).decode()
    if kind == PRIVATE:
        made = Ed25519PrivateKey.from_private_bytes(key[:32]).sign(message.prefix + body)
        return "v1a," + base64.b64encode(made).decode()
    raise InvalidValue("a public key cannot sign: give the private key (whsk_) or the shared secret (whsec_)")


def _signatures(header: str) -> tuple[tuple[str, bytes], ...]:
    pieces = header.split(" ")
    if len(pieces) > SIGNATURES_AT_MOST:
        raise InvalidValue(f"webhook-signature holds more than {SIGNATURES_AT_MOST} signatures")
    found = []
    for piece in pieces:
        version, comma, text = piece.partition(",")
        if not comma:
            raise InvalidValue('webhook-signature is a list of "v1,BASE64" or "v1a,BASE64", separated by single blanks')
        if version not in ("v1", "v1a"):
            continue
        try:
            found.append((version, base64.b64decode(text, validate=True)))
        except (binascii.Error, ValueError):
            raise InvalidValue("a signature in webhook-signature is no base64") from None
    return tuple(found)


def _hmac(message: Signed, key: bytes, body: bytes) -> bytes:
    made = hmac.new(key, message.prefix, hashlib.sha256)
    made.update(body)
    return made.digest()


def _fits_hmac(message: Signed, key: bytes, body: bytes) -> bool:
    wanted = _hmac(message, key, body)
    fitting = False
    for version, signature in message.signatures:
        if version == "v1":
            fitting |= hmac.compare_digest(wanted, signature)
    return fitting


def _fits_ed25519(message: Signed, key: bytes, body: bytes) -> bool:
    public = Ed25519PublicKey.from_public_bytes(key)
    fitting = False
    for version, signature in message.signatures:
        if version != "v1a":
            continue
        try:
            public.verify(signature, message.prefix + body)
            fitting = True
        except InvalidSignature:
            continue
    return fitting
