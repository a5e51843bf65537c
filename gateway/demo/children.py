"""The demo's own helpers as processes: modules of this package, which end with the demo whatever becomes of it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.demo.values import DemoFailed
from gateway.storage.redis import die_with_parent

END_SECONDS = 5.0


@asynccontextmanager
async def child(module: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that runs a module; what it writes comes by its ``stdout``. It is ended at the end."""
    command = (sys.executable, "-m", module, *arguments)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, die_with_parent.__file__, str(os.getpid()), *command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(END_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def first_line(process: asyncio.subprocess.Process, what: str, seconds: float) -> str:
    """The first line of a helper that tells in it that it is ready. Raises ``DemoFailed``."""
    assert process.stdout is not None
    try:
        async with asyncio.timeout(seconds):
            line = await process.stdout.readline()
    except TimeoutError:
        raise DemoFailed(f"{what} was not ready after {seconds:g} s") from None
    if not line:
        raise DemoFailed(f"{what} ended at once")
    return line.decode().strip()
