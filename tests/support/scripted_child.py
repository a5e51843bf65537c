"""A child of the supervisor that does what its words say, and tells on standard error what it is told.

Words: a kind (``worker``, ``control``, ``patient``, ``stubborn``, ``dies``, ``fails``, ``nonsense``, ``silent``), then
what the kind takes. A connection to its ``http`` socket gets its pid; one that sends ``die`` kills it. A ``patient``
one takes two files: it stands by when the first is there, and is ready when it was told to begin and the second is
there; it fails with the words in that.
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


async def held_by(file: Path) -> str:
    """Wait for the file; what it holds."""
    while not os.path.exists(file):  # noqa: ASYNC110, ASYNC240  (the test makes it)
        await asyncio.sleep(0.01)
    return file.read_text()  # noqa: ASYNC240


async def wait_for_turn(link: SupervisorLink, begun: asyncio.Event, stand_by: Path, begin: Path) -> None:
    """As a control process does, but as late as a test wants."""
    tell("waiting")
    await held_by(stand_by)
    link.send({"type": "standing_by"})
    await begun.wait()
    if sentence := await held_by(begin):
        link.send({"type": "failed", "sentence": sentence})
        os._exit(1)
    link.send({"type": "ready"})


async def serve(link: SupervisorLink, *, stubborn: bool, waits_for: tuple[str, ...] = ()) -> None:
    """Until told to drain."""
    drained, begun = asyncio.Event(), asyncio.Event()
    version = 1

    def take(message: Mapping[str, Any]) -> None:
        tell("took", message=message)
        if message["type"] == "drain" and not stubborn:
            drained.set()
        if message["type"] == "begin":
            begun.set()

    servers = [await asyncio.start_server(answer, sock=each.socket) for each in link.sockets("http")]
    turn = asyncio.create_task(wait_for_turn(link, begun, *map(Path, waits_for))) if waits_for else None
    if turn is None:
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
    if turn is not None:
        turn.cancel()


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
    asyncio.run(serve(link, stubborn=kind == "stubborn", waits_for=words if kind == "patient" else ()))


if __name__ == "__main__":
    main(*sys.argv[1:])
