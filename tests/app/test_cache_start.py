"""A child that begins before its cache server waits until that listens, and no longer than it must."""

import asyncio
import time
from pathlib import Path
from urllib.parse import quote

from gateway.app.cache_start import until_it_listens


async def test_it_waits_until_somebody_listens(tmp_path: Path) -> None:
    path = tmp_path / "a b.sock"
    waiting = asyncio.create_task(until_it_listens(f"unix://{quote(str(path))}"))
    await asyncio.sleep(0)
    assert not waiting.done()
    met = asyncio.Event()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.set()
        writer.close()

    async with await asyncio.start_unix_server(meet, path):
        async with asyncio.timeout(20):
            await waiting
            await met.wait()


async def test_where_nobody_ever_listens_it_goes_on(tmp_path: Path) -> None:
    began = time.monotonic()
    await until_it_listens(f"unix://{tmp_path}/none.sock", within_seconds=0.05)
    assert time.monotonic() - began >= 0.05
