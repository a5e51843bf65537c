"""A policy version that was being put in force when its follower was interrupted reaches every session all the same."""

import asyncio
from dataclasses import replace

from gateway.decision.decision_point import DecisionPoint
from gateway.decision.device_cache import DeviceCache
from gateway.decision.policy_feed import PolicyFeed
from gateway.domain.access import AccessRequest
from gateway.domain.bans import Flag
from gateway.domain.evidence import PersonRecord
from gateway.domain.verdict import Effect, Verdict
from gateway.ports.store import Writing
from gateway.storage.memory import MemoryStore
from tests.decision.test_decision_point import DIRTY, policy

SESSIONS = 300


class Phone:
    """A session that waits."""

    def __init__(self, request: AccessRequest) -> None:
        self.request = request
        self.told: list[Effect] = []
        self.first = asyncio.Event()

    def verdict_turned(self, verdict: Verdict) -> None:
        """Its end."""
        self.told.append(verdict.effect)
        self.first.set()


async def put(store: MemoryStore, flag: Flag, number: int) -> None:
    async def work(writing: Writing) -> None:
        await writing.put_policy(policy(flag, number=number).version)
        writing.log_policy(number)

    await store.write(work)


async def test_it_is_put_in_force_anew() -> None:
    async def read(login: str) -> PersonRecord:
        return replace(DIRTY, person_id=login, logins=(login,))

    store = MemoryStore()
    await put(store, Flag.REPORT_ONLY, 1)
    decision = DecisionPoint(DeviceCache(read), policy(Flag.REPORT_ONLY))
    feed = PolicyFeed(store, None, decision)
    await feed.start()
    phones = [Phone(AccessRequest(f"p{number}@corp.example", "d1")) for number in range(SESSIONS)]
    for phone in phones:
        assert (await decision.judge_loading(phone.request)).effect is Effect.ALLOW
        decision.sessions.add(phone)
    await put(store, Flag.ENFORCE, 2)

    catching_up = asyncio.create_task(feed.catch_up())
    await phones[0].first.wait()
    catching_up.cancel()
    await asyncio.gather(catching_up, return_exceptions=True)
    assert not all(phone.told for phone in phones)
    assert feed.policy_in_force == 1

    await feed.catch_up()
    assert all(phone.told for phone in phones)
    assert feed.policy_in_force == 2
    await decision.close()
