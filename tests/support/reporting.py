"""Signed reports as an inventory agent sends them, signed by the reference library of Standard Webhooks."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

import httpx
from standardwebhooks.webhooks import Webhook

TIKTOK = "com.zhiliaoapp.musically"
HARMLESS = ("com.google.android.gm", "org.mozilla.firefox", "org.thoughtcrime.securesms")


@dataclass(slots=True)
class Agent:
    """One source with its secret; numbers its reports by itself."""

    url: str
    secret: str
    sequence: int = 0
    client: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=30))

    def event(
        self,
        login: str,
        device_id: str,
        apps: Sequence[str],
        *,
        device: str = "",
        generated_at: float | None = None,
        scope: str = "device",
    ) -> dict[str, object]:
        """A full report as a CloudEvent."""
        self.sequence += 1
        at = datetime.now(UTC) if generated_at is None else datetime.fromtimestamp(generated_at, UTC)
        ids = [{"type": "mdm_id", "value": device or f"agent-{device_id}"}, {"type": "user", "value": login}]
        if device_id:
            ids.append({"type": "eas_device_id", "value": device_id})
        return {
            "specversion": "1.0",
            "id": str(uuid4()),
            "source": "https://agent.example/fleet",
            "type": "com.example.mailgateway.app-inventory.full.v1",
            "subject": f"android/{device or device_id}",
            "time": _time(at),
            "datacontenttype": "application/json",
            "sequence": f"{self.sequence:020}",
            "data": {
                "kind": "full",
                "scope": scope,
                "generated_at": _time(at),
                "sequence": self.sequence,
                "collector": {"name": "example-agent", "version": "1", "platform": "android", "os_version": "16"},
                "device": {"ids": ids, "ownership": "company"},
                "app_count": len(apps),
                "apps": [{"platform": "android", "id": name, "name": name} for name in apps],
            },
        }

    async def send(self, event: dict[str, object]) -> httpx.Response:
        """Sign and send; the answer as it came."""
        body, name, now = json.dumps(event), str(event["id"]), datetime.now(UTC)
        headers = {
            "Content-Type": "application/cloudevents+json",
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(self.secret).sign(name, now, body),
        }
        return await self.client.post(f"{self.url}/inventory/v1/reports", content=body, headers=headers)

    async def report(self, login: str, device_id: str, apps: Sequence[str]) -> None:
        """Send a full list and see that it was accepted."""
        answer = await self.send(self.event(login, device_id, apps))
        if answer.status_code not in (200, 202):
            raise AssertionError(f"{answer.status_code}: {answer.text}")

    async def clean(self, login: str, device_id: str) -> None:
        """Report harmless apps only."""
        await self.report(login, device_id, HARMLESS)

    async def dirty(self, login: str, device_id: str, app: str = TIKTOK) -> None:
        """Report a banned app among harmless ones."""
        await self.report(login, device_id, (*HARMLESS, app))


def _time(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
