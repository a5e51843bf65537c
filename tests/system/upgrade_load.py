"""Load over an upgrade, and what became of each request: served, or how it was lost."""

import asyncio
import ssl
import time
from collections import Counter
from dataclasses import dataclass, field
from string import ascii_lowercase
from typing import Any
from uuid import uuid4

import httpx

from tests.support.raw_http import Client, HttpAnswer, eas, request
from tests.support.reporting import HARMLESS, Agent
from tests.support.running import Running
from tests.support.spine import FOLDER_SYNC, PING

PING_EXPIRED = bytes.fromhex("03016a00000d45470331000101")
"""Status 1: nothing has changed ([MS-ASCMD] 2.2.3.177.11)."""


@dataclass(slots=True)
class Load:
    """Phones that ask, phones that wait and agents that report, all at the same time."""

    gateway: Running
    secret: str
    tls: ssl.SSLContext
    """What every second phone believes."""
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    """Message ids of reports with a success."""
    report_seconds: list[float] = field(default_factory=list)
    ask_seconds: list[float] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, *, asking: int, fresh: int, waiting: int, reporting: int) -> None:
        """Until ``over``. ``asking`` keep their connection, ``fresh`` come with a new one each time."""
        async with asyncio.TaskGroup() as group:
            for number in range(asking):
                group.create_task(self._asks(f"asker{number}", keeps=True))
            for number in range(fresh):
                group.create_task(self._asks(f"fresh{number}", keeps=False))
            for number in range(waiting):
                group.create_task(self._waits(f"waiter{number}"))
            for number in range(reporting):
                group.create_task(self._reports(number))

    async def _asks(self, user: str, *, keeps: bool) -> None:
        octets = request(eas("FolderSync", user, f"ID{user.upper()}"), FOLDER_SYNC, user=user)
        client: Client | None = None
        served = 0
        while not self.over.is_set():
            if client is None:
                client, served = await self._connected(user), 0
                if client is None:
                    continue
            began = time.monotonic()
            answer = await self._answered(client, octets)
            self.ask_seconds.append(time.monotonic() - began)
            if answer.status == 200 and not answer.closed and answer.body == f"mail for {user}".encode():
                self.seen["served"] += 1
                served += 1
            elif answer.status == 0 and not answer.body and served:
                # The only loss that the drain promises: a kept connection, closed between two requests.
                self.seen["closed between requests"] += 1
            else:
                self._lost("asked", answer)
            last = answer.header("connection") == "close"
            if last:
                self.seen["told to come again"] += 1
            if answer.closed or last or not keeps:
                client.abort()
                client = None
            await asyncio.sleep(0.02)
        if client is not None:
            client.abort()

    async def _waits(self, user: str) -> None:
        octets = request(eas("Ping", user, f"ID{user.upper()}"), PING, user=user)
        over = asyncio.create_task(self.over.wait())
        while not self.over.is_set():
            client = await self._connected(user)
            if client is None:
                continue
            answered = asyncio.create_task(self._answered(client, octets, patience=600))
            await asyncio.wait({answered, over}, return_when=asyncio.FIRST_COMPLETED)
            if answered.done():
                answer = answered.result()
                if answer.body == PING_EXPIRED and not answer.closed:
                    self.seen["sent back"] += 1
                else:
                    self._lost("waited", answer)
            answered.cancel()
            client.abort()

    async def _connected(self, user: str) -> Client | None:
        plain, secure = self.gateway.listening["http"]
        try:
            if int(user.lstrip(ascii_lowercase)) % 2:
                return await Client.connected(secure, tls=self.tls)
            return await Client.connected(plain)
        except OSError as error:
            self.wrong.append(f"no connection: {error!r}")
            return None

    async def _answered(self, client: Client, octets: bytes, patience: float = 20) -> HttpAnswer:
        try:
            client.write(octets)
            async with asyncio.timeout(patience):
                return await client._read("POST")
        except OSError:
            return HttpAnswer(0, (), b"", closed=True)

    def _lost(self, what: str, answer: HttpAnswer) -> None:
        self.wrong.append(f"{what}: {answer.status} closed={answer.closed} {answer.body[:40]!r}")

    async def _reports(self, number: int) -> None:
        """Like an agent: the same message again until it is acknowledged."""
        agent = Agent(self.gateway.inventory, self.secret)
        try:
            while not self.over.is_set():
                event = agent.event(f"agent{number}", f"IDAGENT{number}", HARMLESS)
                event["id"] = f"{number}-{uuid4()}"
                await self._until_acknowledged(agent, event)
                await asyncio.sleep(0.005)
        finally:
            await agent.client.aclose()

    async def _until_acknowledged(self, agent: Agent, event: dict[str, Any]) -> None:
        began, fresh = time.monotonic(), True
        while True:
            used = self.acknowledged and fresh
            try:
                answer = await agent.send(event)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
                if used:
                    self.seen["report: closed between requests"] += 1
                else:
                    self.wrong.append(f"report: {error!r}")
                fresh = False
                continue
            except httpx.HTTPError as error:
                self.wrong.append(f"report: {error!r}")
                return
            if answer.status_code in (200, 202):
                self.acknowledged.append(str(event["id"]))
                self.report_seconds.append(time.monotonic() - began)
                return
            self.wrong.append(f"report: {answer.status_code} {answer.text[:80]}")
            return
