"""What the demo does as administrator and as inventory agent: the admin API, and reports signed by the push rules.

Each call is one request as any client makes it; every refusal is a ``DemoFailed`` with the gateway's own sentence.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx

from gateway.demo.values import DemoFailed
from gateway.inventory.sources.push.payload import FULL
from gateway.inventory.sources.push.signatures import sign

ANSWER_SECONDS = 30.0
MEDIA_TYPE = "application/cloudevents+json"


@dataclass(frozen=True, slots=True)
class InstalledApp:
    """An app on the phone (Android)."""

    id: str
    name: str


class Administrator:
    """A client of the admin API."""

    def __init__(self, url: str, token: str, seconds: float = ANSWER_SECONDS) -> None:
        """``seconds``: how long an answer is waited for."""
        self._http = httpx.AsyncClient(
            base_url=f"{url}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=seconds,
            trust_env=False,
        )

    async def close(self) -> None:
        """Hang up."""
        await self._http.aclose()

    async def status(self) -> dict[str, Any]:
        """How the gateway stands."""
        return await self._ask("GET", "/status")

    async def add_source(self, name: str) -> str:
        """Add a source of reports; its secret."""
        return str((await self._ask("POST", "/sources", {"name": name}))["secret"])

    async def add_ban(self, name: str, app_id: str, flag: str, text: str) -> dict[str, Any]:
        """Ban an Android app; what the API says about the new policy version."""
        matcher = {"kind": "id", "value": app_id, "platform": "android"}
        return await self._ask("POST", "/bans", {"name": name, "matchers": [matcher], "flag": flag, "text": text})

    async def set_flag(self, ban: str, flag: str) -> dict[str, Any]:
        """Turn a ban's flag."""
        return await self._ask("PUT", f"/flags/bans/{ban}", {"flag": flag})

    async def why(self, user: str, device_id: str) -> dict[str, Any]:
        """Why one device is let through or refused."""
        answer = await self._ask("GET", "/why", query={"user": user, "device": device_id})
        found: dict[str, Any] = answer["answers"][0]
        return found

    async def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, query: dict[str, str] | None = None
    ) -> dict[str, Any]:
        response = await self._http.request(method, path, json=body, params=query)
        try:
            answer: dict[str, Any] = response.json()
        except ValueError:
            raise DemoFailed(
                f"the admin API answered {method} {path} with {response.status_code} and no JSON"
            ) from None
        if not response.is_success:
            raise DemoFailed(f"the admin API refused {method} {path}: {answer.get('detail', response.status_code)}")
        return answer


class Agent:
    """An inventory agent: says which apps are on the phone, signed with its source's secret."""

    def __init__(self, url: str, secret: str) -> None:
        self._url = f"{url}/inventory/v1/reports"
        self._secret = secret
        self._sequence = 0
        self._http = httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False)

    async def close(self) -> None:
        """Hang up."""
        await self._http.aclose()

    async def report(self, user: str, device_id: str, apps: Sequence[InstalledApp]) -> None:
        """Send the full list of a phone's apps; returns when it is stored."""
        message_id, now = str(uuid4()), time.time()
        body = json.dumps(self._event(message_id, now, user, device_id, apps)).encode()
        headers = {
            "Content-Type": MEDIA_TYPE,
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now)),
            "webhook-signature": sign(message_id, int(now), body, self._secret),
        }
        response = await self._http.post(self._url, content=body, headers=headers)
        if response.status_code != 202:
            raise DemoFailed(f"the report was answered {response.status_code}, not 202: {response.text[:200]}")

    def _event(
        self, message_id: str, now: float, user: str, device_id: str, apps: Sequence[InstalledApp]
    ) -> dict[str, object]:
        self._sequence += 1
        moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        ids = [
            {"type": "mdm_id", "value": f"demo-{device_id}"},
            {"type": "eas_device_id", "value": device_id},
            {"type": "user", "value": user},
        ]
        return {
            "specversion": "1.0",
            "id": message_id,
            "source": "https://agent.demo.example",
            "type": FULL,
            "subject": f"android/{device_id}",
            "time": moment,
            "data": {
                "kind": "full",
                "scope": "device",
                "generated_at": moment,
                "sequence": self._sequence,
                "collector": {"name": "demo-agent", "version": "1", "platform": "android", "os_version": "16"},
                "device": {"ids": ids, "ownership": "company"},
                "app_count": len(apps),
                "apps": [{"platform": "android", "id": app.id, "name": app.name} for app in apps],
            },
        }
