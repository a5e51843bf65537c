"""A Valkey of the harness's own that keeps a dump, so that it can come back as an old copy of itself."""

import asyncio
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

from gateway.storage.redis import find_binary


class CacheUnderTest:
    """One server on a unix socket, through all its starts."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.socket = directory / "valkey.sock"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it on what its dump holds; returns when it answers."""
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "dir": str(self.directory),
            "save": "",
            "appendonly": "no",
            "dbfilename": "dump.rdb",
        }
        self._process = await asyncio.create_subprocess_exec(
            str(find_binary()),
            *(word for name, value in settings.items() for word in (f"--{name}", value)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(20):
            while await self.ask("PING") != b"+PONG":  # noqa: ASYNC110  (another program's socket)
                await asyncio.sleep(0.01)

    async def ask(self, *words: str) -> bytes:
        """The first line of its answer; nothing where it does not run."""
        try:
            reader, writer = await asyncio.open_unix_connection(str(self.socket))
        except OSError:
            return b""
        try:
            command = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
            writer.write(f"*{len(words)}\r\n{command}".encode())
            return (await reader.readline()).strip()
        except OSError:
            return b""
        finally:
            writer.close()

    async def order(self, *words: str) -> None:
        """Ask, and see that it obeys."""
        answer = await self.ask(*words)
        if answer != b"+OK":
            raise AssertionError(f"{words}: {answer!r}")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    async def kill(self) -> None:
        """End it as a loss of power does."""
        if self._process is not None and self._process.returncode is None:
            self.signal(signal.SIGKILL)
            await self._process.wait()
        self._process = None

    async def keep_copy(self) -> None:
        """Write what it holds now into a copy beside the dump."""
        await self.order("SAVE")
        shutil.copy(self.directory / "dump.rdb", self.directory / "old.rdb")

    def put_back(self) -> None:
        """Put the copy in place of the dump, for the next start."""
        shutil.copy(self.directory / "old.rdb", self.directory / "dump.rdb")

    def forget(self) -> None:
        """The next start has nothing."""
        (self.directory / "dump.rdb").unlink(missing_ok=True)
