"""The report receiver under a flood: of forged reports, and of connections that begin a request and never end it."""

import asyncio
import random
import time
from contextlib import suppress

from tests.faults.fault import fault
from tests.faults.site import Site

FLOODERS = 40
IDLERS = 300
SECONDS = 3.0


@fault(told_by="report_not_authentic")
async def receiver_flooded(site: Site, rng: random.Random) -> None:
    """Forged reports on forty connections, one after the other on each, while the agents go on."""
    body = b"{" + b" " * 2000 + b"}"

    async def flood() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.gateway.ports["inventory"])
        try:
            while True:
                writer.write(_head(len(body)) + body)
                length = 0
                while (line := await reader.readline()) != b"\r\n":
                    if not line:
                        return
                    if line.lower().startswith(b"content-length:"):
                        length = int(line[15:])
                await reader.readexactly(length)
        finally:
            writer.transport.abort()

    async def flood_on() -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                await flood()
            await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(flood_on()) for _ in range(FLOODERS)]
    await asyncio.sleep(SECONDS)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _head(length: int) -> bytes:
    lines = (
        "POST /inventory/v1/reports HTTP/1.1",
        "Host: reports.example",
        "Content-Type: application/cloudevents+json",
        "webhook-id: forged",
        f"webhook-timestamp: {int(time.time())}",
        f"webhook-signature: v1,{'A' * 43}=",
        f"Content-Length: {length}",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@fault()
async def receiver_held_open(site: Site, rng: random.Random) -> None:
    """Hundreds of connections that send half a head and wait."""
    writers = []
    try:
        for _ in range(IDLERS):
            _, writer = await asyncio.open_connection("127.0.0.1", site.gateway.ports["inventory"])
            writer.write(b"POST /inventory/v1/reports HTTP/1.1\r\nHost:")
            writers.append(writer)
        await asyncio.sleep(SECONDS)
    finally:
        for writer in writers:
            writer.transport.abort()
