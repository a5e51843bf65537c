"""Which credentials were accepted lately: keyed, bounded, and proved one at a time."""

import asyncio

import pytest

from gateway.proxies import proved as module
from gateway.proxies.proved import REMEMBERED_SECONDS, Proved


class Clock:
    """Stands still until it is put forward."""

    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


async def test_for_a_day_and_not_longer() -> None:
    clock = Clock()
    proved = Proved(clock)
    digest = proved.digest("anna", b"secret")
    assert not proved.knows(digest)
    proved.end(digest, accepted=True)
    assert proved.knows(digest)
    assert not proved.knows(proved.digest("bert", b"secret"))
    assert not proved.knows(proved.digest("anna", b"other"))
    clock.now += REMEMBERED_SECONDS + 1
    assert not proved.knows(digest)


async def test_a_refusal_counts_at_once_and_no_word_changes_nothing() -> None:
    proved = Proved()
    digest = proved.digest("anna", b"secret")
    proved.end(digest, accepted=True)
    proved.end(digest, accepted=None)
    assert proved.knows(digest)
    proved.end(digest, accepted=False)
    assert not proved.knows(digest)


def test_another_process_has_other_digests() -> None:
    assert Proved().digest("anna", b"secret") != Proved().digest("anna", b"secret")


async def test_of_too_many_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED_MOST", 3)
    proved = Proved()
    for digest in range(5):
        proved.end(digest, accepted=True)
    assert [digest for digest in range(5) if proved.knows(digest)] == [2, 3, 4]
    assert len(proved) == 3


async def test_one_proves_and_the_others_wait() -> None:
    proved, order = Proved(), list[str]()

    async def prove(name: str, accepted: bool) -> None:
        await proved.turn(1)
        if proved.knows(1):
            order.append(f"{name} knows")
            return
        proved.begin(1)
        order.append(f"{name} asks")
        await asyncio.sleep(0)
        proved.end(1, accepted=accepted)

    await asyncio.gather(prove("a", False), prove("b", True), prove("c", True), prove("d", True))
    assert order == ["a asks", "b asks", "c knows", "d knows"]


async def test_a_turn_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURN_SECONDS", 0.0)
    proved = Proved()
    proved.begin(1)
    assert not await proved.turn(1)
    assert await proved.turn(2)
    proved.end(1, accepted=None)
    assert await proved.turn(1)
