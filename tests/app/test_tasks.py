"""The tasks of a child process: the first that ends takes the others along; one that fails shows in the exit code."""

import asyncio
from collections.abc import Awaitable

import pytest
from structlog.testing import capture_logs

from gateway.app.child import _live
from gateway.app.tasks import Tasks
from gateway.app.worker import tell_of_the_end
from gateway.runtime.link import Message

SECONDS = 10.0


class Link:
    """Keeps what the supervisor is told."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        self.sent.append(message)


async def life(*works: Awaitable[object], closed: list[str]) -> None:
    """One as a worker has it."""
    tasks = Tasks(works, tell_of_the_end)
    try:
        await tasks.until_one_ends()
    finally:
        await tasks.end()
        closed.append("all")
    tasks.see_that_none_failed()


async def goes_on() -> None:
    await asyncio.Event().wait()


async def fails() -> None:
    raise ValueError("never expected")


async def ends() -> None:
    return


@pytest.mark.parametrize(("first", "code"), [(ends, 0), (fails, 1)])
async def test_the_exit_code_says_whether_it_was_an_end_in_order(first: object, code: int) -> None:
    link, closed = Link(), list[str]()
    assert callable(first)
    with capture_logs() as logged:
        async with asyncio.timeout(SECONDS):
            assert await _live(link, life(goes_on(), first(), closed=closed)) == code  # type: ignore[arg-type]
    assert closed == ["all"]
    # It could begin: a sentence would be taken for a start that cannot succeed.
    assert link.sent == []
    assert [entry["event"] for entry in logged] == ["worker_task_failed"] * code


async def test_a_task_that_fails_while_all_end_counts_too() -> None:
    async def fails_at_its_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("never expected")

    closed: list[str] = []
    with capture_logs() as logged:
        assert await _live(Link(), life(fails_at_its_end(), ends(), closed=closed)) == 1  # type: ignore[arg-type]
    assert [entry["event"] for entry in logged] == ["worker_task_failed"]
