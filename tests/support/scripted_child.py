"""A child of the supervisor that does what its words say, and tells on standard error what it is told.

Words: a kind (``worker``, ``control``, ``stubborn``, ``dies``, ``fails``, ``nonsense``, ``silent``), then what the
kind takes. A connection to its ``http`` socket gets its pid; one that sends ``die`` kills it.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.runtime.link import LINK_VARIABLE, SupervisorLink


def tell(event: str, **more: object) -> None:
    """A line for the test."""
    print(json.dumps({"event": event, "pid": os.getpid(), **more}), file=sys.stderr, flush=True)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say who this is; die when asked to."""
    if await reader.readline() == b"die\n":
        os._exit(9)
    writer.write(f"{os.getpid()}\n".encode())
    await writer.drain()
    writer.close()


async def serve(link: SupervisorLink, *, stubborn: bool) -> None:
    """Until told to drain."""
    drained = asyncio.Event()
    version = 1

    def take(message: Mapping[str, Any]) -> None:
        tell("took", message=message)
        if message["type"] == "drain" and not stubborn:
            drained.set()

    servers = [await asyncio.start_server(answer, sock=each.socket) for each in link.sockets("http")]
    link.send({"type": "ready"})
    link.send({"type": "status", "policy_version": version, "sequence": 7, "metrics": []})
    gone = asyncio.create_task(link.run(take))
    await asyncio.wait({gone, asyncio.create_task(drained.wait())}, return_when=asyncio.FIRST_COMPLETED)
    for server in servers:
        server.close()
    if gone.done():
        gone.result()
    tell("ending", gone=gone.done())
    gone.cancel()


def main(kind: str, *words: str) -> None:
    """Be that kind of child."""
    if kind == "dies":
        sys.exit(words[0])
    if kind == "dies-once":
        marker = Path(words[0])
        if not marker.exists():
            marker.touch()
            sys.exit("the first time never works")
    link_fd = int(os.environ[LINK_VARIABLE])
    link = SupervisorLink.inherited()
    if kind == "fails":
        link.send({"type": "failed", "sentence": words[0]})
        sys.exit(1)
    if kind == "nonsense":
        os.write(link_fd, b"[]\n")
        signal.pause()
    if kind == "silent":
        tell("waiting")
        signal.pause()
    asyncio.run(serve(link, stubborn=kind == "stubborn"))


if __name__ == "__main__":
    main(*sys.argv[1:])
