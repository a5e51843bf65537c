"""A process that is killed while it writes down who is told leaves nobody out; the whole of it: ``planning_kills``."""

from gateway.domain.notice import MailingState
from tests.notices.planning_kills import run


async def test_nobody_is_left_out_and_the_figures_are_true() -> None:
    found = await run(3_000, kills=3, seed=3)
    assert (found.notices, found.without_address, found.left_out) == (2_970, 30, 0)
    assert found.kills == 3
    assert found.state is MailingState.SENDING
