"""A control process that is killed in the middle of a change leaves it whole or undone; the whole of it: ``kills``."""

from tests.changes.kills import run


async def test_whole_or_not_at_all() -> None:
    found = await run(3, seed=2)
    assert found.wrong == []
    assert (found.kills, sum(found.where.values())) == (3, 3)


async def test_at_each_step() -> None:
    found = await run(4, seed=3, by="step")
    assert found.wrong == []
    assert found.kills == 4
    assert len(found.at) > 1
