"""Bodies and steps that the tests of the whole gateway share."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.reporting import TIKTOK, Agent
from tests.support.running import Running

PING = bytes.fromhex("03016a00000d4548033630300001494a4b033500014c03456d61696c0001010101")
"""HeartbeatInterval 600, folder 5 of class Email ([MS-ASCMD] 2.2.1.13)."""
PING_CUT = bytes.fromhex("03016a00000d45470337000101")
"""Status 7: the folder hierarchy is to be synchronised anew."""
FOLDER_SYNC = bytes.fromhex("03016a00000756520330000101")
"""SyncKey 0 ([MS-ASCMD] 2.2.1.5)."""


async def ban_tiktok(gateway: Running, flag: str) -> None:
    """Ban an app by the command line; returns when it is in force."""
    await gateway.gatepost("ban", "add", "TikTok", "--id", f"android:{TIKTOK}", "--flag", flag, "--yes")


@asynccontextmanager
async def added_agent(gateway: Running) -> AsyncIterator[Agent]:
    """A new source of the gateway's, as its agent."""
    added = json.loads(await gateway.gatepost("source", "add", "agents", "--kind", "push", "--devices", "*", "--json"))
    agent = Agent(gateway.inventory, added["secret"])
    try:
        yield agent
    finally:
        await agent.client.aclose()
