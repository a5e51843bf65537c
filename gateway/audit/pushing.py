"""Sends signed checkpoints to where they cannot be taken back: a webhook of somebody else's.

The body is the note itself, ``text/plain``; what it says is signed, so the way needs no secrecy. Where a secret is set,
the request is signed by Standard Webhooks as well, so that the receiver knows that it comes from here. Only the newest
checkpoint is sent: it stands for all before it.
"""

import asyncio
import base64
import hashlib
import hmac
import ssl
from collections.abc import Callable
from typing import Protocol

import httpx

from gateway.domain.audit.stored import StoredCheckpoint
from gateway.domain.errors import DomainError

PUSH_SECONDS = 10.0
"""For the whole of it."""
SECRET_PREFIX = "whsec_"  # noqa: S105  (how secrets begin)


class NotPushed(Exception):  # noqa: N818
    """It did not arrive, or nobody said so; one sentence."""


class Push(Protocol):
    """A way outside."""

    async def __call__(self, checkpoint: StoredCheckpoint) -> None:
        """Send a checkpoint; returns when it has arrived. Raises ``NotPushed``. May be called again with the same."""
        ...


class WebhookPush:
    """POSTs notes to a URL."""

    def __init__(self, url: str, secret: str, authorities: str, now: Callable[[], float]) -> None:
        """``secret``: ``whsec_…`` or empty; ``authorities``: a PEM file, or empty. Raises ``DomainError``."""
        self._url = url
        self._key = _key_of(secret) if secret else b""
        self._now = now
        self._tls = _context(authorities)

    async def __call__(self, checkpoint: StoredCheckpoint) -> None:
        """Send a checkpoint; any 2xx means that it has arrived."""
        body = checkpoint.note.encode()
        headers = {
            "content-type": "text/plain; charset=utf-8",
            "user-agent": "Gatepost",
            **self._signed(body, checkpoint),
        }
        try:
            # The machine's proxy settings are for other things; redirects would take it to somebody else. httpx's own
            # time is for each octet: an answer that drips would hold up the next signing.
            async with (
                asyncio.timeout(PUSH_SECONDS),
                httpx.AsyncClient(verify=self._tls, timeout=PUSH_SECONDS, trust_env=False) as client,
                client.stream("POST", self._url, content=body, headers=headers) as answer,
            ):
                status = answer.status_code
        except TimeoutError:
            raise NotPushed(f"the webhook has not answered within {PUSH_SECONDS:.0f} s") from None
        except (httpx.HTTPError, OSError, ssl.SSLError) as error:
            raise NotPushed(f"the webhook cannot be reached: {type(error).__name__}: {error}") from None
        if not 200 <= status < 300:
            raise NotPushed(f"the webhook answered {status}")

    def _signed(self, body: bytes, checkpoint: StoredCheckpoint) -> dict[str, str]:
        if not self._key:
            return {}
        message_id = "audit-" + hashlib.sha256(body).hexdigest()[:32]
        moment = str(int(self._now()))
        made = hmac.digest(self._key, f"{message_id}.{moment}.".encode() + body, "sha256")
        return {
            "webhook-id": message_id,
            "webhook-timestamp": moment,
            "webhook-signature": "v1," + base64.b64encode(made).decode(),
        }


def _key_of(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        raise DomainError("[audit] webhook_secret is no secret: it is whsec_ and base64") from None


def _context(authorities: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authorities or None)
    except (OSError, ssl.SSLError) as error:
        raise DomainError(f"[audit] webhook_ca {authorities} cannot be read: {error}") from None
