"""Signed messages: what we take for authentic, ``standardwebhooks`` does too (``v1``), or ed25519 (``v1a``).

The input is four parts, one a line: id, timestamp, signatures, and the body behind them. ``SIGNED`` and ``SIGNED-A``
among the signatures stand for right ones of that very input, so that a change elsewhere does not make every one wrong.
"""

import base64
import hashlib
import hmac
from datetime import datetime, tzinfo
from random import Random
from unittest import mock

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import webhooks

from gateway.domain.errors import InvalidValue
from gateway.inventory.sources.push.signatures import read_headers, sign
from tests.fuzz.judging import ACCEPTED, REFUSED, Target, hold, same

NOW = 1_795_162_630
_KEY = bytes(range(32))
_SECRET = "whsec_" + base64.b64encode(_KEY).decode()
_OTHER = "whsec_" + base64.b64encode(b"another secret of 32 bytes......").decode()
_PRIVATE = Ed25519PrivateKey.from_private_bytes(_KEY)
_PUBLIC = "whpk_" + base64.b64encode(_PRIVATE.public_key().public_bytes_raw()).decode()


class _Clock(datetime):
    """The library's clock, standing."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "_Clock":
        return cls.fromtimestamp(NOW, tz)


def check(octets: bytes) -> str:
    """See the module."""
    parts = octets.split(b"\n", 3)
    if len(parts) < 4:
        return REFUSED
    message_id, timestamp, signature = (part.decode("latin-1") for part in parts[:3])
    body = parts[3]
    signature = signature.replace("SIGNED-A", _signed_a(parts[0], parts[1], body))
    signature = signature.replace("SIGNED", _signed(parts[0], parts[1], body))
    headers = {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": signature}
    shared, edwards = _by_library(headers, body), _by_ed25519(parts, signature)
    try:
        ours = read_headers(headers)
    except InvalidValue as error:
        hold("a refusal is short", len(str(error)) < 200)
        return f"stricter: {str(error).partition(':')[0]:.60}" if shared or edwards else REFUSED
    fresh = ours.is_fresh(NOW)
    fits = ours.fits(body, [_SECRET]), ours.fits(body, [_OTHER]), ours.fits(body, [_PUBLIC])
    same("by another secret", False, fits[1])
    if shared is not None:
        hold("the library refuses what we accept", shared or not (fresh and fits[0]))
    hold("ed25519 refuses what we accept", edwards or not fits[2])
    same("by one of three", fits[0] or fits[2], ours.fits(body, [_OTHER, _PUBLIC, _SECRET]))
    if fresh and any(fits):
        again = sign(ours.message_id, ours.timestamp, body, _SECRET)
        hold("what we sign fits", read_headers({**headers, "webhook-signature": again}).fits(body, [_SECRET]))
        return ACCEPTED
    return "stricter: signature" if shared else REFUSED


def _signed(message_id: bytes, timestamp: bytes, body: bytes) -> str:
    made = hmac.new(_KEY, b".".join((message_id, timestamp, body)), hashlib.sha256).digest()
    return base64.b64encode(made).decode()


def _signed_a(message_id: bytes, timestamp: bytes, body: bytes) -> str:
    return base64.b64encode(_PRIVATE.sign(b".".join((message_id, timestamp, body)))).decode()


def _by_library(headers: dict[str, str], body: bytes) -> bool | None:
    """Whether the library verifies it; None: it cannot say, as with a body that is no UTF-8."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    # One by one: a signature that it cannot read ends it before it has looked at a later one.
    pieces = headers["webhook-signature"].split(" ")
    with mock.patch.object(webhooks, "datetime", _Clock):
        return any(_verifies({**headers, "webhook-signature": piece}, text) for piece in pieces)


def _verifies(headers: dict[str, str], text: str) -> bool:
    try:
        webhooks.Webhook(_SECRET).verify(text, headers, json_parse=False)
    except (webhooks.WebhookVerificationError, ValueError, OverflowError, TypeError):
        return False
    return True


def _by_ed25519(parts: list[bytes], signature: str) -> bool:
    try:
        content = b".".join((parts[0], b"%d" % int(parts[1]), parts[3]))
    except ValueError:
        return False
    for piece in signature.split(" "):
        version, _, text = piece.partition(",")
        try:
            if version == "v1a":
                _PRIVATE.public_key().verify(base64.b64decode(text), content)
                return True
        except (ValueError, InvalidSignature):
            continue
    return False


def grow(random: Random) -> bytes:
    """A message, signed rightly or nearly."""
    message_id = random.choice((b"msg_1", b"msg-2", b"a" * 128, b"a" * 129, b"a.b", b"", b"\xe4"))
    when = random.choice((0, 0, 0, 299, -299, 300, -300, 301, -301, 10**9))
    timestamp = random.choice((b"%d", b"%d", b"%d", b"0%d", b"%d.0", b" %d", b"+%d", b"%d_0", b"1e%d")) % (NOW + when)
    if random.random() < 0.6:
        message_id, timestamp = b"msg_1", b"%d" % (NOW + when)
    choices = (b"v1,SIGNED", b"v1a,SIGNED-A", b"v1a,SIGNED", b"v1,SIGNED-A", b"v2,x", b"v1,", b"v1", b"")
    signatures = [
        random.choice((*choices, b"v1," + base64.b64encode(bytes(32)))) for _ in range(int(random.random() * 3))
    ]
    if random.random() < 0.7:
        signatures.insert(int(random.random() * 2), b"v1,SIGNED")
    body = random.choice((b"{}", b"", b"\n\n", b'{"a": "\xc3\xbc"}', b"\xff", b"v1,SIGNED"))
    return b"\n".join((message_id, timestamp, b" ".join(signatures), body))


TARGET = Target(
    "signatures",
    "signed messages with standardwebhooks and ed25519",
    check,
    grow,
    (
        *(b"v1,SIGNED", b" v1,SIGNED", b"v1a,SIGNED-A", b"v1,", b"v1a,", b"v2,x ", b"1795162630", b"1795162931", b"."),
        *(b"\n", b"msg_1", b"=", b"==", b",", b"AAAA", b"1e9", b"inf", b"nan", b"\xb2", b"v1,\xe4"),
    ),
    1500,
)
