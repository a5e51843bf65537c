"""Servers as child processes: free ports, start under another user, wait until it answers, end by its own id."""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 60.0
STOP_SECONDS = 2.0


def free_ports(count: int) -> list[int]:
    """Ports that are free now, below those that the kernel gives to outgoing connections."""
    held: list[socket.socket] = []
    while len(held) < count:
        sock = socket.socket()
        try:
            sock.bind(("127.0.0.1", random.randrange(20_000, 32_000)))
            held.append(sock)
        except OSError:
            sock.close()
    ports = [sock.getsockname()[1] for sock in held]
    for sock in held:
        sock.close()
    return ports


@dataclass(frozen=True, slots=True)
class Child:
    """One server with everything that it starts itself."""

    name: str
    running: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        """The last lines of its output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def until_port(self, port: int) -> None:
        """Wait until something listens there."""
        self._until(lambda: _listens(port), f"does not listen on {port}")

    def until_said(self, words: str) -> None:
        """Wait until it has said so: some listen before they serve."""
        self._until(lambda: words in self.log.read_text(errors="replace"), f"has not said {words!r}")

    def _until(self, so: Callable[[], bool], else_it: str) -> None:
        give_up_at = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up_at:
            if self.running.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self.running.returncode}: {self.said()}")
            if so():
                return
            time.sleep(0.05)
        raise AssertionError(f"{self.name} {else_it}: {self.said()}")

    def stop(self) -> None:
        """End it; what does not end in time is killed together with its children, which share its session."""
        if self.running.poll() is None:
            self.running.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.running.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self.running.pid, signal.SIGKILL)
        self.running.wait()


def start(
    name: str,
    command: Sequence[str],
    directory: Path,
    *,
    user: str = "root",
    environment: Mapping[str, str] | None = None,
) -> Child:
    """Start a server in a session of its own, with its output in ``directory``; it ends when this thread does."""
    log = directory / f"{name}.out"
    with log.open("wb") as output:
        running = subprocess.Popen(
            ("setpriv", "--pdeathsig", "TERM", "--reuid", user, "--regid", user, "--init-groups", "--", *command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(directory), **(environment or {})},
            start_new_session=True,
        )
    return Child(name, running, log)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def run(command: Sequence[str], directory: Path, user: str = "root") -> None:
    """Run a command to its end; its output is the error."""
    done = subprocess.run(
        ("setpriv", "--reuid", user, "--regid", user, "--init-groups", "--", *command),
        cwd=directory,
        capture_output=True,
        timeout=60,
        check=False,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(directory)},
    )
    if done.returncode:
        raise AssertionError(f"{command[0]} ended with {done.returncode}: {done.stdout!r} {done.stderr!r}")
