"""The supervisor with real children: start, death, restart, reload, drain, and giving up."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from gateway.runtime import child_output, hanging, starting
from gateway.runtime import supervisor as supervising
from gateway.runtime.child import CACHE_STARTS_VARIABLE, ChildSpec
from gateway.storage.redis import EmbeddedValkey
from tests.support.supervised import ROOT, SCRIPT, Supervised, child, supervised, workers

CONTROL = child("control", "control", control=True)


def worker_news(run: Supervised, name: str) -> list[tuple[bool, int]]:
    """What control heard of a worker: alive, policy version."""
    return [
        (message["alive"], message["status"].get("policy_version", 0))
        for message in run.took("worker")
        if message["name"] == name
    ]


def environment_names(pid: int) -> set[bytes]:
    """The names of a process's variables."""
    content = Path(f"/proc/{pid}/environ").read_bytes()
    return {each.partition(b"=")[0] for each in content.split(b"\0")}


async def test_ready_when_all_are_and_zero_when_ended() -> None:
    async with supervised([CONTROL, *workers(2)]) as run:
        await run.ready()
        assert run.logs("ready")[0]["workers"] == 2
        pids = {await run.ask() for _ in range(60)}
        assert len(pids) == 2
        assert await run.end() == 0
        # Control is told last: workers still hand it what they saw.
        assert [line["pid"] in pids for line in run.events("ending")] == [True, True, False]
        assert not any(line["gone"] for line in run.events("ending"))


async def test_control_hears_of_every_worker() -> None:
    async with supervised([CONTROL, *workers(2)]) as run:
        await run.until(lambda: {(True, 1)} <= set(worker_news(run, "worker-1")))
        await run.until(lambda: {(True, 1)} <= set(worker_news(run, "worker-2")))


async def test_a_dead_worker_loses_no_queued_connection_and_comes_back() -> None:
    async with supervised([CONTROL, *workers(1)]) as run:
        await run.ready()
        first = await run.ask()
        assert await run.ask(b"die\n") == 0
        # Nobody serves now; the connection waits in the socket that the supervisor holds.
        second = await run.ask()
        assert second not in (0, first)
        await run.until(lambda: worker_news(run, "worker-1")[-1] == (True, 1))
        heard = worker_news(run, "worker-1")
        assert heard[heard.index((False, 0), 1) :].count((True, 0)) == 1
        assert [entry["how"] for entry in run.logs("child_ended")] == ["ended with code 9"]


async def test_a_killed_control_is_told_again_of_all_workers() -> None:
    async with supervised([CONTROL, *workers(1)]) as run:
        await run.until(lambda: (True, 1) in worker_news(run, "worker-1"))
        first = run.events("took")[0]["pid"]
        os.kill(first, signal.SIGKILL)
        await run.until(lambda: any(line["pid"] != first for line in run.events("took")))
        fresh = next(line for line in run.events("took") if line["pid"] != first)
        assert fresh["message"]["status"]["policy_version"] == 1
        assert [entry["how"] for entry in run.logs("child_ended")] == ["ended by SIGKILL"]


async def test_what_makes_hashes_the_same_in_every_process_does_not_reach_children(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Workers find phones by keyed hashes of what strangers send: nobody may know the key."""
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    async with supervised([CONTROL, *workers(1)]) as run:
        await run.ready()
        (pid,) = {await run.ask()}
        names = environment_names(pid)
        assert b"PATH" in names
        assert b"PYTHONHASHSEED" not in names


async def test_the_signal_by_which_others_rotate_logs_ends_nothing() -> None:
    async with supervised(workers(1)) as run:
        await run.ready()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert await run.ask()
        assert await run.end() == 0


async def test_hangup_becomes_reload() -> None:
    async with supervised([CONTROL, *workers(2)]) as run:
        await run.ready()
        os.kill(os.getpid(), signal.SIGHUP)
        await run.until(lambda: len(run.took("reload")) == 3)


async def test_a_changed_file_becomes_reload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "WATCH_SECONDS", 0.05)
    certificate = tmp_path / "certificate.pem"
    certificate.write_text("old")
    async with supervised(workers(1), watched_files=[str(certificate)]) as run:
        await run.ready()
        certificate.write_text("newer")
        await run.until(lambda: run.took("reload"))


@pytest.mark.parametrize("stopped", [False, True], ids=["says nothing", "stopped"])
async def test_a_worker_that_hangs_is_ended_and_comes_back(monkeypatch: pytest.MonkeyPatch, stopped: bool) -> None:
    """It tells its status once only; a stopped one cannot even die of the first signal."""
    monkeypatch.setattr(supervising, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(hanging, "HANGS_AFTER_SECONDS", 0.5)
    async with supervised([CONTROL, *workers(1)]) as run:
        await run.ready()
        first = await run.ask()
        if stopped:
            os.kill(first, signal.SIGSTOP)
        await run.until(lambda: run.logs("child_ended"))
        assert run.logs("child_hangs")[0]["pid"] == first
        assert run.logs("child_ended")[0]["how"] == ("ended by SIGKILL" if stopped else "ended by SIGUSR1")
        await run.until(lambda: run.logs("child_ready"))
        # The control process has no status to tell.
        assert {entry["name"] for entry in run.logs("child_ended")} == {"worker-1"}


async def test_a_worker_that_hangs_before_it_ever_serves_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(hanging, "STARTS_WITHIN_SECONDS", 0.5)
    async with supervised([child("worker-1", "silent", number=1)]) as run:
        assert await run.ended() == 1
        assert len(run.logs("child_hangs")) == starting.START_TRIES
        assert "while starting" in run.supervisor.failure


async def test_who_does_not_end_in_time_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "AFTER_DRAIN_SECONDS", 0.1)
    async with supervised(workers(1, "stubborn"), drain_seconds=0.1) as run:
        await run.ready()
        assert await run.end() == 0
        assert [entry["name"] for entry in run.logs("child_killed")] == ["worker-1"]


async def test_a_second_signal_ends_at_once() -> None:
    async with supervised(workers(1, "stubborn"), drain_seconds=3600) as run:
        await run.ready()
        os.kill(os.getpid(), signal.SIGINT)
        await run.until(lambda: run.took("drain"))
        os.kill(os.getpid(), signal.SIGINT)
        assert await run.ended() == 0


async def test_nothing_listens_after_the_end() -> None:
    async with supervised(workers(1), drain_seconds=10) as run:
        await run.ready()
        port = run.port
        await run.end()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_a_start_that_fails_gives_its_reason_once() -> None:
    dying = [child(f"worker-{number}", "dies", "no database at /nowhere", number=number) for number in (1, 2)]
    async with supervised([CONTROL, *dying]) as run:
        assert await run.ended() == 1
        assert run.text.count("no database at /nowhere") == 1
        assert "worker-" in run.supervisor.failure
        assert run.logs("ready") == []


async def test_a_child_that_knows_why_it_cannot_start_is_believed_at_once() -> None:
    async with supervised([child("worker-1", "fails", "the key does not fit", number=1)]) as run:
        assert await run.ended() == 1
        assert run.supervisor.failure == "the key does not fit"


async def test_a_start_that_fails_for_a_known_reason_prints_nothing_else() -> None:
    async with supervised([child("worker-1", "silent", number=1), child("worker-2", "fails", "it is full")]) as run:
        assert await run.ended() == 1
        assert run.text == ""
        assert run.supervisor.failure == "it is full"


async def test_what_fails_after_all_are_ready_ends_the_start() -> None:
    def full_disk() -> None:
        raise OSError("no space left")

    async with supervised([CONTROL, *workers(1)], on_ready=full_disk) as run:
        assert await run.ended() == 1
        assert "no space left" in run.supervisor.failure
        assert run.logs("ready") == []


async def test_a_child_that_speaks_nonsense_is_killed() -> None:
    async with supervised([child("worker-1", "nonsense", number=1)]) as run:
        assert await run.ended() == 1
        assert len(run.logs("child_speaks_nonsense")) == starting.START_TRIES
        assert "SIGKILL" in run.supervisor.failure


async def test_a_start_may_fail_once(tmp_path: Path) -> None:
    async with supervised([child("worker-1", "dies-once", str(tmp_path / "tried"), number=1)]) as run:
        await run.ready()
        assert run.text.count("the first time never works") == 1
        assert await run.end() == 0


async def test_a_start_can_be_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "GIVING_UP_SECONDS", 0.1)
    monkeypatch.setattr(child_output, "HELD_SECONDS", 0.01)
    async with supervised([*workers(1), child("worker-2", "silent", number=2)], drain_seconds=3600) as run:
        await run.until(lambda: run.events("waiting"))
        assert await run.end() == 0
        assert run.logs("ready") == []


async def test_a_program_that_is_not_there() -> None:
    spec = ChildSpec("worker-1", ("/no/such/program",))
    async with supervised([spec]) as run:
        assert await run.ended() == 1
        assert "could not be started" in run.supervisor.failure


class Cache:
    """An embedded server that is a plain child."""

    def __init__(self, starts: list[bool]) -> None:
        self.starts, self.stopped = starts, 0
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        if not self.starts.pop(0):
            raise RuntimeError("the cache server did not start")
        self.process = await asyncio.create_subprocess_exec("sleep", "1000")

    async def wait(self) -> int:
        assert self.process is not None
        return await self.process.wait()

    async def stop(self) -> None:
        self.stopped += 1
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


async def test_the_cache_server_is_restarted_until_it_runs_and_stopped_last() -> None:
    cache = Cache([True, False, False, True])
    async with supervised(workers(1), embedded=cache) as run:
        await run.ready()
        assert cache.process is not None
        cache.process.kill()
        await run.until(lambda: run.logs("cache_server_restarted"))
        assert len(run.logs("cache_server_not_started")) == 2
        assert await run.end() == 0
        assert (cache.stopped, cache.process.returncode) == (1, -signal.SIGKILL)


async def test_children_begin_beside_the_cache_server_and_know_that_it_begins() -> None:
    """They have a lot to load; one that begins again finds it there, or away."""
    began = asyncio.Event()

    class Slow(Cache):
        async def start(self) -> None:
            await began.wait()
            await super().start()

    async with supervised(workers(1), embedded=Slow([True])) as run:
        await run.until(lambda: run.supervisor.kept and run.supervisor.kept[0].child is not None)
        first = run.supervisor.kept[0].child
        assert first is not None
        assert CACHE_STARTS_VARIABLE.encode() in environment_names(first.pid)
        began.set()
        await run.ready()
        await run.ask(b"die\n")
        assert CACHE_STARTS_VARIABLE.encode() not in environment_names(await run.ask())


async def test_the_cache_server_of_the_product(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path)
    async with supervised(workers(1), embedded=valkey) as run:
        await run.ready()
        first = valkey.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await run.until(lambda: run.logs("cache_server_restarted"))
        second = valkey.pid
        assert second not in (None, first)
        assert await run.end() == 0
    assert second is not None
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


async def test_a_cache_server_that_cannot_start_ends_the_whole() -> None:
    with pytest.raises(RuntimeError, match="did not start"):
        async with supervised(workers(1), embedded=Cache([False])) as run:
            await run.ended()


async def test_children_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "whole.py"
    script.write_text(f"""
import asyncio, sys
from gateway.runtime.child import ChildSpec
from gateway.runtime.sockets import bind_all
from gateway.runtime.supervisor import Supervisor

async def main():
    specs = [ChildSpec(f"worker-{{n}}", (sys.executable, {str(SCRIPT)!r}, "worker"), ("http",), n) for n in (1, 2)]
    sockets = bind_all({{"http": ["http://127.0.0.1:0"]}}, 2)
    await Supervisor(specs, sockets, on_ready=lambda: print("ready", flush=True)).run()

asyncio.run(main())
""")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while (await process.stdout.readline()) != b"ready\n":
            assert process.returncode is None
        children = _children(process.pid)
        assert len(children) == 2
        ends = [_end_of(pid) for pid in children]
        process.kill()
        await process.wait()
        await asyncio.gather(*ends)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _end_of(pid: int) -> asyncio.Future[None]:
    """Done when a process that is nobody's child here has ended."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    fd = os.pidfd_open(pid)

    def gone() -> None:
        loop.remove_reader(fd)
        os.close(fd)
        ended.set_result(None)

    loop.add_reader(fd, gone)
    return ended
