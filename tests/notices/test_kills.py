"""A sending process that is killed in the middle tells nobody twice and forgets nobody; the whole of it: ``kills``."""

from tests.notices.kills import run


async def test_nobody_twice_and_nobody_forgotten() -> None:
    found = await run(60, kills=2, seed=3, transmit_seconds=200.0)
    assert found.sound, found
    assert found.kills == 2
    assert found.states["sent"] > 40
