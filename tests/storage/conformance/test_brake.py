"""Every store keeps one fleet brake, to the letter."""

from gateway.domain.brake import NO_BRAKE, Brake, Hold, Release, Trouble
from gateway.ports.store import Store


async def test_it_is_kept_and_replaced(store: Store) -> None:
    async with store.read() as reading:
        assert await reading.brake() == NO_BRAKE
    hold = Hold("agents", Trouble.HITS, 1.5, 7, "TikTok", holding=False, confirmed_by="ann", confirmed_until=9.25)
    for brake in (
        Brake(17.125, (hold, Hold("jamf", Trouble.STALE, 2.0, 1)), (Release("a", Trouble.GAPS, "bob", 3.0),)),
        Brake(None),
    ):
        _, changes = await store.write(lambda writing, brake=brake: writing.put_brake(brake))  # type: ignore[misc]
        assert changes == ()
        async with store.read() as reading:
            assert await reading.brake() == brake
