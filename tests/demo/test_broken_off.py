"""What is broken off in the midst is waited for: nothing of it is told behind the demo's last sentence."""

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.stage import Stage
from gateway.demo.values import DemoFailed


async def test_work_that_is_broken_off_leaves_nothing_to_tell(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    stage = Stage(tmp_path)
    # Several at once: the future of a gather holds its cancellation as an exception that somebody has to fetch.
    work = asyncio.gather(asyncio.Event().wait(), asyncio.Event().wait())
    waiting = asyncio.create_task(stage.during(work, "waiting"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert work.done()
    late = asyncio.gather(asyncio.Event().wait())
    with pytest.raises(DemoFailed, match="waiting: nothing came within 0 s"):
        await stage.during(late, "waiting", 0.0)
    del work, waiting, late
    gc.collect()
    await asyncio.sleep(0)
    assert told == []
