"""At the first start the cache server begins beside the children: they wait for it before they use it.

Without this a child that has loaded quicker than the server would take it for one that is away, and begin with doubts.
Children that are started later wait for nothing: then it runs, or is away.
"""

import asyncio
from urllib.parse import unquote, urlsplit

WITHIN_SECONDS = 15.0
"""The supervisor gives the whole start up by then."""
EVERY_SECONDS = 0.005


async def until_it_listens(url: str, within_seconds: float = WITHIN_SECONDS) -> None:
    """Wait until a server listens at ``unix://…``, no longer than that; never raises."""
    path, loop = unquote(urlsplit(url).path), asyncio.get_running_loop()
    until = loop.time() + within_seconds
    while loop.time() < until:
        try:
            async with asyncio.timeout_at(until):
                _, writer = await asyncio.open_unix_connection(path)
        except (OSError, TimeoutError):
            await asyncio.sleep(EVERY_SECONDS)
        else:
            writer.close()
            return
