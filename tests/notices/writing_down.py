"""The process that writes down who is told, to be killed: ``python -m tests.notices.writing_down DATABASE PEOPLE``."""

import asyncio
import sys

from gateway.notices.recipients import Recipients
from gateway.storage.sql import open_store
from tests.notices.stage import NOON, Crowd, composer, ids, people

PAGE = 20


async def write_down(database: str, number: int) -> None:
    store = await open_store(database, writable=True)
    print("planning", flush=True)
    recipients = Recipients(store, composer(), Crowd(ids(people(number))), lambda: NOON, page=PAGE)
    await recipients.run(True)


if __name__ == "__main__":
    asyncio.run(write_down(sys.argv[1], int(sys.argv[2])))
