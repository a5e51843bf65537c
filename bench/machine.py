"""Processes and what the kernel says of them: CPU time in nanoseconds (schedstat), memory, children, cores.

Whatever is under test has ``PROXY_CORE`` for itself; load and mail server share ``LOAD_CORE``. Children are ended by
their id, and nothing here outlives its ``with``.
"""

import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

ALL_CORES = sorted(os.sched_getaffinity(0))
os.environ["PATH"] += ":/usr/sbin:/sbin"  # where nginx and HAProxy are, also for others than root
PROXY_CORE, LOAD_CORE = ALL_CORES[0], ALL_CORES[-1]
_TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 60.0
END_SECONDS = 40.0


class Missing(Exception):  # noqa: N818
    """Something that a part needs is not installed; the text says what and how to get it."""


def need(*programs: str) -> None:
    """Raise ``Missing`` for a program that is not on PATH."""
    absent = [name for name in programs if shutil.which(name) is None]
    if absent:
        raise Missing(f"{', '.join(absent)} not installed: run bench/install.sh as root")


def cpu_seconds(pids: Sequence[int]) -> float:
    """CPU time of processes with all their threads."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def descendants(pid: int) -> tuple[int, ...]:
    """A process with all below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        # It ended while we looked.
        return (pid,)
    return (pid, *(each for child in children for each in descendants(int(child))))


def family_cpu(pid: int) -> float:
    """CPU time of a process and of all below it, those included that have ended and were waited for.

    For servers with a process for each connection. What has ended counts in ticks of the kernel's clock.
    """
    total = 0.0
    for each in descendants(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            total += cpu_seconds([each])
            # Of the fields behind the name, the 14th and 15th: cutime and cstime (proc(5)).
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[13]) + int(fields[14])) / _TICKS
    return total


def private_kb(pids: Sequence[int]) -> int:
    """Memory that is these processes' own."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_Dirty:"):
                total += int(line.split()[1])
    return total


@contextmanager
def child(
    core: int | None, *argv: str, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A child on one core (None: any), ended at the end; its output is a pipe, its standard error goes nowhere."""
    placed = () if core is None else ("taskset", "-c", str(core))
    started = subprocess.Popen(
        [*placed, *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


@contextmanager
def python_child(core: int, module: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A module of ours on one core; inside it has printed its first line, that it listens."""
    with child(core, sys.executable, "-m", module, *words) as started:
        assert started.stdout is not None
        if not started.stdout.readline():
            raise SystemExit(f"{module} did not start")
        yield started


def wait_until(condition: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Ask again and again."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise SystemExit(f"waited {seconds:.0f} s in vain until {what}")
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as sock:
        sock.settimeout(1.0)
        return sock.connect_ex(("127.0.0.1", port)) == 0


def wait_for_quiet(pids: Sequence[int], busy: float = 0.05, seconds: float = 300.0) -> None:
    """Until processes use less than ``busy`` seconds of CPU time per second, three seconds on end.

    What phones said of themselves is written down then, and records are in the cache.
    """
    until, calm = time.monotonic() + seconds, 0
    while calm < 3:
        before = cpu_seconds(pids)
        time.sleep(1.0)
        calm = calm + 1 if cpu_seconds(pids) - before < busy else 0
        if time.monotonic() > until:
            raise SystemExit("what is measured does not come to rest")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment, for servers that cannot choose one themselves."""
    with ExitStack() as stack:
        socks = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [sock.getsockname()[1] for sock in socks]


def raise_open_files() -> int:
    """As many open files as this user may have."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Keep this process to one core meanwhile; None: to any."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, ALL_CORES if core is None else [core])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
