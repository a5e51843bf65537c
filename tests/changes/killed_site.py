"""A gateway whose control process is killed, its phones, and a look at whether every change in its store is whole."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import httpx

from gateway.audit.keys import AuditKey, Seals, find_or_make_key
from gateway.audit.verification import verified
from gateway.changes.desk import change_and_policy
from gateway.domain.change import PolicyChange
from gateway.domain.evidence import PersonRecord
from gateway.domain.policy import PolicyVersion
from gateway.inventory.records import load_record
from gateway.storage.sql import SqlStore, open_store
from tests.changes.wholeness import refused, what_is_wrong
from tests.faults.gateway_under_test import GatewayUnderTest
from tests.support.raw_http import Client, HttpAnswer, ask, eas, request
from tests.support.spine import FOLDER_SYNC, PING, PING_CUT
from tests.support.upstream import MailboxServer
from tests.system.two_people import RULES, banned, holder

BAN = "TikTok"
HOLDERS = {BAN: 24, "Other": 4}
PHONES = (*((holder(BAN, each), f"tiktok{each}") for each in range(4)), (holder("Other", 0), "other0"))
BACK_SECONDS = 180.0
CUT_SECONDS = 10.0


@dataclass(slots=True)
class Phone:
    """One phone, which waits for mail whenever it may."""

    user: str
    device: str
    waiting: asyncio.Task[HttpAnswer] | None = None
    client: Client | None = None

    async def park(self, url: str, mailbox: MailboxServer) -> None:
        """Ask for what is new, if it does not already."""
        if self.waiting is not None:
            return
        before = mailbox.parked
        self.client = await Client.connected(url)
        self.client.write(request(eas("Ping", self.user, self.device), PING, user=self.user))
        self.waiting = asyncio.create_task(self.client.answer(within_seconds=3_600))
        await mailbox.until_parked(before + 1)

    async def wrong(self, url: str, deny: bool) -> str:
        """Why it is not treated as decided; empty: it is. One that was cut waits no more."""
        if deny and self.waiting is not None:
            done, _ = await asyncio.wait({self.waiting}, timeout=CUT_SECONDS)
            if not done or self.waiting.result().body != PING_CUT:
                return f"{self.device} is denied and waits on"
            self.drop()
        if not deny and self.waiting is not None and self.waiting.done():
            return f"{self.device} is allowed and was cut: {self.waiting.result()}"
        question = request(eas("FolderSync", self.user, self.device), FOLDER_SYNC, user=self.user)
        # Either worker may take it.
        answers = [await ask(url, question) for _ in range(4)]
        served = [each.body == f"mail for {self.user}".encode() for each in answers]
        return "" if set(served) == {not deny} else f"{self.device} is {'denied' if deny else 'allowed'}, but {served}"

    def drop(self) -> None:
        """Hang up."""
        if self.client is not None:
            self.client.close()
        if self.waiting is not None:
            self.waiting.cancel()
        self.client = self.waiting = None


class KilledSite:
    """See the module. ``database``: the URL of its store."""

    def __init__(self, gateway: GatewayUnderTest, mailbox: MailboxServer, database: str) -> None:
        self.gateway = gateway
        self.mailbox = mailbox
        self.database = database
        self.phones = [Phone(*each) for each in PHONES]
        self.records: Sequence[PersonRecord] = ()
        self.second_token = ""
        """Of somebody who approves."""

    @property
    def key(self) -> AuditKey:
        """What the gateway seals its audit log with."""
        return find_or_make_key(self.gateway.data_dir)[0]

    async def reading(self) -> SqlStore:
        """Its store, to look at."""
        return await open_store(self.database, writable=False)

    async def newest(self) -> tuple[PolicyChange, PolicyVersion]:
        """The newest change and version."""
        store = await self.reading()
        async with store.read() as reading:
            (change,), policy = await reading.policy_changes(1), await reading.policy()
        await store.close()
        assert policy is not None
        return change, policy

    async def change(self, number: int) -> PolicyChange:
        """One of them."""
        store = await self.reading()
        async with store.read() as reading:
            change, _ = await change_and_policy(reading, number)
        await store.close()
        return change

    async def begin(self) -> None:
        """A ban that only reports, a second person, and people as the store has them."""
        matcher = {"kind": "id", "value": f"android:{banned(BAN).id}"}
        await self.ask("/bans", {"name": BAN, "matchers": [matcher]})
        self.second_token = (await self.ask("/tokens", {"operator": "second"}))["token"]
        store = await self.reading()
        async with store.read() as reading:
            people = await reading.people(limit=1_000)
            self.records = [await load_record(reading, each.person_id, RULES) for each in people]
        await store.close()

    async def ask(self, path: str, body: dict[str, object], method: str = "POST", token: str = "") -> dict[str, str]:
        """One request to the API. Raises ``httpx.HTTPError``."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.gateway.api() as api:
            answer = await api.request(method, path, json=body, timeout=30, headers=headers)
        told: dict[str, str] = answer.raise_for_status().json()
        return told

    async def park_all(self) -> None:
        """Let everybody wait who may."""
        denied = await self._refused()
        for phone in self.phones:
            if (phone.user, phone.device) not in denied:
                await phone.park(self.gateway.url("http"), self.mailbox)

    async def until_back(self, without: Sequence[int]) -> None:
        """Until another control process answers, and every worker judges by the newest version."""
        async with asyncio.timeout(BACK_SECONDS), self.gateway.api() as api:
            while True:
                with suppress(httpx.HTTPError, OSError, KeyError):
                    if set(self.gateway.pids("control")) - set(without) and await self._all_follow(api):
                        return
                # Not more often: two cores start a process meanwhile.
                await asyncio.sleep(0.1)

    async def _all_follow(self, api: httpx.AsyncClient) -> bool:
        ready = (await api.get(f"{self.gateway.url('admin')}/readyz", timeout=2)).status_code == 200
        told = (await api.get("/status", timeout=5)).json()["gateway"]["workers"]
        _, policy = await self.newest()
        return ready and [each["policy_version"] for each in told] == [policy.number] * self.gateway.workers

    async def _refused(self) -> frozenset[tuple[str, str]]:
        _, policy = await self.newest()
        return refused(self.records, policy, time.time())

    async def wrong(self, when: str) -> list[str]:
        """Everything that is half done, and every phone that is not treated as decided."""
        store = await self.reading()
        async with store.read() as reading:
            wrong = await what_is_wrong(reading, self.records, time.time())
        await store.close()
        denied = await self._refused()
        for phone in self.phones:
            wrong.append(await phone.wrong(self.gateway.url("http"), (phone.user, phone.device) in denied))
        return [f"{when}: {each}" for each in wrong if each]

    async def end(self) -> tuple[int, int, list[str]]:
        """The last look: how many changes and versions, and what is wrong with the audit log."""
        for phone in self.phones:
            phone.drop()
        store = await self.reading()
        async with store.read() as reading:
            head = await reading.audit_head()
            sound = await verified(reading, [self.key.verifier(head.origin)], Seals(self.key), [])
            versions = len(await reading.policies(100_000))
            changes = len(await reading.policy_changes(100_000))
        await store.close()
        return changes, versions, [f"audit log: {each}" for each in sound.damages]
