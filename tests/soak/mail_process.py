"""The mail server of a soak in a process of its own, which says when each request was there.

In the process of the clients a request would count as relayed only after some rounds of a loop that has all clients to
look after: seconds when they all come at once, on a slow machine.
"""

import asyncio
import random
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter

import uvloop

from tests.faults.judging import Judge
from tests.soak.mail_server import MailServer

END_SECONDS = 5.0


class MailProcess:
    """That process as the clients know it, a moment later."""

    def __init__(self, judge: Judge, process: Process) -> None:
        self.received: Counter[str] = Counter()
        """By command."""
        self.parked: Counter[str] = Counter()
        """Pings that wait, by device; none with 0."""
        self.connections = 0
        self.url = ""
        self._judge = judge
        self._process = process
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def begun(cls, judge: Judge, seed: int) -> "MailProcess":
        """Started, and taking connections at ``url``."""
        words = ("-m", "tests.soak.mail_process", str(seed))
        process = await asyncio.create_subprocess_exec(sys.executable, *words, stdin=PIPE, stdout=PIPE)
        made = cls(judge, process)
        made.url = (await made._line()).strip()
        made._reading = asyncio.create_task(made._read())
        return made

    async def _line(self) -> str:
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode()

    async def _read(self) -> None:
        while line := await self._line():
            what, *more = line.split()
            match what:
                case "relayed":
                    at, device, command = more
                    self.received[command] += 1
                    self._judge.relayed(device, command, float(at))
                case "parked":
                    self.parked[more[0]] += 1
                case "unparked":
                    self.parked[more[0]] -= 1
                    if not self.parked[more[0]]:
                        del self.parked[more[0]]
                case "connected":
                    self.connections = int(more[0])

    async def close(self) -> None:
        """End it. Raises what was wrong with what it said."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(END_SECONDS):
            await self._process.wait()
            if self._reading is not None:
                await self._reading


class Teller:
    """In that process: writes down what happens, and sends it once in each round of the loop."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport
        self._lines: list[str] = []

    def _tell(self, line: str) -> None:
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._send)
        self._lines.append(line)

    def _send(self) -> None:
        self._transport.write("".join(self._lines).encode())
        self._lines = []

    def relayed(self, device: str, command: str) -> None:
        """By the clock of the machine, which is that of the clients."""
        self._tell(f"relayed {time.monotonic():.6f} {device} {command}\n")

    def parked(self, device: str) -> None:
        """A Ping waits."""
        self._tell(f"parked {device}\n")

    def unparked(self, device: str) -> None:
        """It does no more."""
        self._tell(f"unparked {device}\n")

    def connected(self, number: int) -> None:
        """So many connections."""
        self._tell(f"connected {number}\n")


async def serve(seed: int) -> None:
    """Until the other end closes."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, sys.stdout)
    server = MailServer(Teller(transport), random.Random(seed))
    transport.write((await server.listen() + "\n").encode())
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    await server.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
