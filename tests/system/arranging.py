"""What the tests of a whole gateway set by the admin API, where no command needs to be tried."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.reporting import TIKTOK, Agent
from tests.support.running import Running


async def put(gateway: Running, path: str, body: dict[str, Any]) -> None:
    """Set something; returns when it is in force on every worker."""
    async with gateway.api() as api:
        answer = await api.put(path, json=body)
    if answer.status_code != 200:
        raise AssertionError(f"{path}: {answer.status_code} {answer.text}")


async def set_unknowns(gateway: Running, *names: str) -> None:
    """Refuse whoever is unknown for one of these reasons."""
    for name in names:
        await put(gateway, f"/flags/unknowns/{name}", {"setting": "deny"})


async def enforce_tiktok(gateway: Running, text: str = "") -> None:
    """Ban an app and enforce it."""
    matcher = {"kind": "id", "value": f"android:{TIKTOK}"}
    async with gateway.api() as api:
        body = {"name": "TikTok", "matchers": [matcher], "flag": "enforce", "text": text}
        answer = await api.post("/bans", json=body)
    if not answer.is_success:
        raise AssertionError(f"{answer.status_code} {answer.text}")


@asynccontextmanager
async def agent_of(gateway: Running, name: str = "agents", scope: str = "device") -> AsyncIterator[Agent]:
    """A new source of the gateway's, as its agent."""
    async with gateway.api() as api:
        answer = await api.post("/sources", json={"name": name, "kind": "push", "devices": "*", "scope": scope})
    if not answer.is_success:
        raise AssertionError(f"{answer.status_code} {answer.text}")
    agent = Agent(gateway.inventory, answer.json()["secret"])
    try:
        yield agent
    finally:
        await agent.client.aclose()


async def exported(gateway: Running, kind: str) -> list[dict[str, Any]]:
    """The details of all audit entries of a kind, as the command exports them; the log is verified, too."""
    lines = (await gateway.gatepost("audit", "export")).splitlines()
    verified = await gateway.gatepost("audit", "verify")
    found = re.match(r"intact: entries 1 to (\d+) ", verified)
    if found is None or int(found[1]) < len(lines):
        raise AssertionError(f"{len(lines)} entries were exported; {verified}")
    entries = [json.loads(line)["entry"] for line in lines]
    return [{"actor": each["actor"], **each.get("details", {})} for each in entries if each["kind"] == kind]
