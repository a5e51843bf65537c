"""Processes that are killed after a while, again and again, and the database that they leave behind."""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.postgres_server import postgres_server

SECONDS_AT_MOST = 1_800.0
LOOK_SECONDS = 0.1

Over = Callable[[], Awaitable[bool]]
"""Looks at the database, from outside: whether all is done."""


@contextmanager
def database(*, postgresql: bool) -> Iterator[str]:
    """The URL of an empty one: SQLite, or a PostgreSQL of its own, which syncs to disk as it comes."""
    if postgresql:
        with postgres_server() as server:
            yield server.emptied("kills")
    else:
        with tempfile.TemporaryDirectory() as directory:
            yield f"sqlite:///{Path(directory) / 'gatepost.db'}"


async def lived(module: str, *words: str, moment: Awaitable[None] | None, over: Over) -> bool:
    """One life of ``python -m module``: killed at that moment, or let go on until all is over; whether that is so.

    Its first line says that it has begun. SIGKILL ends it in each case.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *words, stdout=asyncio.subprocess.PIPE, stderr=None
    )
    assert child.stdout is not None
    try:
        async with asyncio.timeout(SECONDS_AT_MOST):
            assert await child.stdout.readline(), f"{module} ended at once"
            if moment is not None:
                await moment
                return False
            while not await over():
                assert child.returncode is None, f"{module} ended by itself: {child.returncode}"
                await asyncio.sleep(LOOK_SECONDS)
            return True
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def killed(
    module: str,
    *words: str,
    kills: int,
    moment: Callable[[], Awaitable[None]],
    over: Over,
    after: Callable[[], Awaitable[object]],
) -> None:
    """So many lives that end by a kill, with ``after`` behind each, then one until all is over."""
    for _ in range(kills):
        await lived(module, *words, moment=moment(), over=over)
        await after()
    assert await lived(module, *words, moment=None, over=over)
