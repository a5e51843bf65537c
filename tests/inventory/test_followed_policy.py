"""A unit of work judges by the newest policy version of the store, whoever made it, and reads it only where it must."""

import asyncio
from dataclasses import replace

from gateway.domain.policy import PolicyVersion, first_policy, policy_of
from gateway.inventory.followed_policy import FollowedPolicy
from gateway.ports.store import Reading, Store, Writing


async def test_the_version_of_another_process_counts_at_once(store: Store) -> None:
    first = first_policy(1.0)
    await store.write(lambda writing: writing.put_policy(first))
    followed = FollowedPolicy(policy_of(first))
    seen: list[int] = []

    async def look(writing: Writing) -> None:
        await followed.catch_up(writing)
        seen.append(followed.policy.version.number)
        writing.log_people(["ann"])

    async def edit(writing: Writing) -> None:
        number = seen[-1] + 1
        await writing.put_policy(replace(first, number=number, summary=f"version {number}"))
        writing.log_policy(number)

    await store.write(look)
    for _ in range(2):
        await store.write(edit)
        await store.write(look)
        await store.write(look)
    assert seen == [1, 2, 2, 3, 3]


async def test_where_nothing_was_committed_nothing_is_read(store: Store) -> None:
    first = first_policy(1.0)
    await store.write(lambda writing: writing.put_policy(first))
    followed = FollowedPolicy(policy_of(first))
    async with store.read() as reading:
        await followed.catch_up(reading)
        calls: list[str] = []

        class Counting:
            async def sequence(self) -> int:
                return await reading.sequence()

            def __getattr__(self, name: str) -> object:
                calls.append(name)
                return getattr(reading, name)

        await followed.catch_up(Counting())  # type: ignore[arg-type]
        assert calls == []


class Slow:
    """A reading whose answers come when they are let go."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self.asked, self.open = asyncio.Event(), asyncio.Event()

    async def policy(self) -> PolicyVersion | None:
        """The newest version that it sees, late."""
        found = await self._reading.policy()
        self.asked.set()
        await self.open.wait()
        return found

    def __getattr__(self, name: str) -> object:
        return getattr(self._reading, name)


async def test_a_slow_reading_takes_no_version_back(store: Store) -> None:
    """What it saw is older than what a unit of work has found meanwhile: hits of the newer bans would be forgotten."""
    first = first_policy(1.0)
    await store.write(lambda writing: writing.put_policy(first))
    followed = FollowedPolicy(policy_of(first))

    async def edit(writing: Writing) -> None:
        newest = await writing.policy()
        assert newest is not None
        await writing.put_policy(replace(first, number=newest.number + 1))
        writing.log_policy(newest.number + 1)

    await store.write(followed.catch_up)
    await store.write(edit)
    async with store.read() as reading:
        slow = Slow(reading)
        late = asyncio.create_task(followed.catch_up(slow))  # type: ignore[arg-type]
        await slow.asked.wait()
        await store.write(edit)
        await store.write(followed.catch_up)
        assert followed.policy.version.number == 3
        slow.open.set()
        await late
    assert followed.policy.version.number == 3
    await store.write(followed.catch_up)
    assert followed.policy.version.number == 3
