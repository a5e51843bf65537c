"""The push receiver over a store, and a sender whose signatures are made without the code under test."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
from fastapi import FastAPI

from gateway.domain.bans import Ban, Matcher, MatcherKind
from gateway.domain.evidence import PersonRecord
from gateway.domain.identity import identity_rules
from gateway.domain.inventory import Inventory, Platform, Scope
from gateway.domain.policy import Policy, first_policy, policy_of
from gateway.inventory.claims import CLAIMS_PER_NAME
from gateway.inventory.consequences import Evidence
from gateway.inventory.ingest import Ingest
from gateway.inventory.records import load_record
from gateway.inventory.sources.push.intake import ReceiverLimits
from gateway.inventory.sources.push.receiver import create_receiver
from gateway.ports.store import Change, Source, Store, Writing
from tests.inventory import agreement
from tests.inventory.events import NOW, SUBJECT, TIKTOK

RULES = identity_rules("example.com", {"EXAMPLE": "example.com"})
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
OTHER_SECRET = "whsec_" + base64.b64encode(b"fedcba9876543210fedcba9876543210").decode()
BANNED = policy_of(
    replace(first_policy(NOW), bans=(Ban("TikTok", (Matcher(MatcherKind.ID, TIKTOK, Platform.ANDROID),)),))
)
MEDIA_TYPE = "application/cloudevents+json"


def source(name: str = "agents", **fields: Any) -> Source:
    """A push source that may report for everything."""
    usual: dict[str, Any] = {"devices": "*", "max_scope": Scope.DEVICE, "max_age": 86400.0, "secrets": (SECRET,)}
    return Source(name, "push", **{**usual, **fields})


def v1(secret: str, message_id: str, timestamp: int | str, body: bytes) -> str:
    """A signature by the words of Standard Webhooks: HMAC-SHA256 over ``id.timestamp.body``."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


@dataclass(slots=True)
class Receiving:
    """A receiver whose every answer must be one that its contract promises."""

    store: Store
    now: float = NOW
    limits: ReceiverLimits = field(default_factory=ReceiverLimits)
    policy: Policy = BANNED
    published: list[Change] = field(default_factory=list)
    count: Callable[[str], None] = lambda outcome: None
    claims_per_name: int = CLAIMS_PER_NAME
    client: httpx.AsyncClient = field(init=False)
    ingest: Ingest = field(init=False)
    app: FastAPI = field(init=False)
    sent: int = 0

    def __post_init__(self) -> None:
        self.ingest = Ingest(
            Evidence(self.store, RULES, self.publish, lambda: self.policy), lambda: self.now, self.claims_per_name
        )
        self.app = create_receiver(self.ingest, self.store, lambda: self.now, self.limits, self.count)
        # What fails inside must leave as an answer, as behind a real server.
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://gatepost")

    async def publish(self, changes: Sequence[Change]) -> None:
        """Remember what would go to the workers."""
        self.published.extend(changes)

    async def post(
        self,
        event: object,
        *,
        message_id: str = "",
        secret: str = SECRET,
        timestamp: int | str | None = None,
        **headers: str,
    ) -> httpx.Response:
        """Sign and send an event, or octets as they are; ``headers`` with ``_`` for ``-`` replace (empty: none)."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        self.sent += 1
        name = message_id or f"auto_{self.sent}"
        at = int(self.now) if timestamp is None else timestamp
        usual = {
            "content-type": MEDIA_TYPE,
            "webhook-id": name,
            "webhook-timestamp": str(at),
            "webhook-signature": v1(secret, name, at, body),
        }
        usual.update({key.replace("_", "-"): value for key, value in headers.items()})
        given = {key: value for key, value in usual.items() if value}
        response = await self.client.post(agreement.PATH, content=body, headers=given)
        agreement.check(response)
        return response

    async def status(self, event: object, **how: Any) -> tuple[int, str]:
        """Send; the status code and the acknowledgement's status or the problem's kind."""
        response = await self.post(event, **how)
        body = response.json()
        return response.status_code, str(body.get("type", body["status"])).removeprefix("urn:gatepost:problem:")

    async def write(self, *puts: Any) -> None:
        """Put sources, people, mail devices and pins into the store."""

        async def work(writing: Writing) -> None:
            for each in puts:
                kind = {"Source": "source", "Person": "person", "MailDevice": "mail_device", "PinnedBinding": "pin"}
                await getattr(writing, f"put_{kind[type(each).__name__]}")(each)

        await self.store.write(work)

    async def inventory(self, subject: str = SUBJECT, source_id: str = "agents") -> Inventory | None:
        """What is stored of a device."""
        async with self.store.read() as reading:
            return await reading.inventory(source_id, subject)

    async def apps(self, subject: str = SUBJECT) -> list[str]:
        """The ids of the apps that are stored of a device."""
        inventory = await self.inventory(subject)
        return [] if inventory is None else sorted(app.id for app in inventory.apps)

    async def record(self, login: str) -> PersonRecord:
        """The record that follows from the store."""
        async with self.store.read() as reading:
            return await load_record(reading, login, RULES)

    async def remembered(self, message_id: str, source_id: str = "agents") -> bool:
        """Whether a message id was used."""
        async with self.store.read() as reading:
            return await reading.message(source_id, message_id) is not None

    async def sequence(self) -> int:
        """How far the change log goes."""
        async with self.store.read() as reading:
            return await reading.sequence()
