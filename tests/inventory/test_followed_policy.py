"""A unit of work judges by the newest policy version of the store, whoever made it, and reads it only where it must."""

from dataclasses import replace

from gateway.domain.policy import first_policy, policy_of
from gateway.inventory.followed_policy import FollowedPolicy
from gateway.ports.store import Store, Writing


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
