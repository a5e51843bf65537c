"""``gatepost demo`` as people start it: a process that tells, ends as it says, and leaves nothing behind."""

import asyncio
import json
import os
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.running import ROOT, clean_environment

WITHIN_SECONDS = 200.0
STORY = (
    *("mailbox", "starting", "ready", "options", "first_folder_sync", "first_sync", "why_unjudged"),
    *("first_report", "why_clean", "ping_parked", "ping_mail", "sync_new_mail", "ping_parked"),
    *("ban_added", "ping_untouched", "dirty_report", "report_cut", "refused", "refused_old", "not_reached", "why"),
    *("mail_while_refused", "report_only", "flows_report_only", "sync_after_report_only"),
    *("ping_parked", "enforce", "flag_cut", "refused_again"),
    *("mail_while_refused_again", "clean_report", "flows_clean", "sync_after_clean"),
)


@asynccontextmanager
async def demo(directory: Path, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A demo whose temporary directories are in ``directory``."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli.main", "demo", *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # A setting from outside must not reach the demo's gateway.
        env=clean_environment({"TMPDIR": str(directory), "GATEPOST_HTTP__UPSTREAM": "http://127.0.0.1:9"}),
        # A shell's background job ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def ended(process: asyncio.subprocess.Process) -> tuple[str, str]:
    """What it still wrote, on both streams, once it has ended."""
    out, err = await process.communicate()
    return out.decode(), err.decode()


async def step(process: asyncio.subprocess.Process, name: str) -> dict[str, str]:
    """The next step of that name, from a demo that tells in JSON."""
    assert process.stdout is not None
    async for line in process.stdout:
        told: dict[str, str] = json.loads(line)
        if told.get("name") == name:
            return told
    raise AssertionError(f"{name} was never told: {(await ended(process))[1]}")


def gateway_pid(told: dict[str, str]) -> int:
    """From the step that says that the gateway is ready."""
    found = re.match(r"process (\d+),", told["text"])
    assert found is not None
    return int(found[1])


async def until_gone(pid: int) -> None:
    """Wait for the end of a process that is nobody's child here."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    # Readable once the process has ended (pidfd_open(2)).
    loop.add_reader(descriptor, gone.set)
    try:
        await asyncio.wait_for(gone.wait(), WITHIN_SECONDS)
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def left_in(directory: Path) -> list[str]:
    """What a demo has left behind."""
    return sorted(each.name for each in directory.iterdir())


async def test_the_whole_story_ends_by_itself(tmp_path: Path) -> None:
    async with demo(tmp_path, "--once", "--json") as process:
        out, err = await ended(process)
    assert (process.returncode, err) == (0, "")
    steps = [json.loads(line) for line in out.splitlines()]
    assert [each["name"] for each in steps] == [*STORY, "stopped"]
    assert [each["at"] for each in steps] == sorted(each["at"] for each in steps)
    by_name = {each["name"]: each for each in steps}
    for cut in ("report_cut", "flag_cut"):
        assert 0 < by_name[cut]["seconds"] < 5
    assert "Status 129" in by_name["refused"]["text"]
    assert "HTTP 403" in by_name["refused_old"]["text"]
    assert "com.zhiliaoapp.musically" in by_name["why"]["text"]
    assert "not a real mail server" in by_name["mailbox"]["text"]
    assert left_in(tmp_path) == []


async def test_in_a_pipe_it_is_plain_lines(tmp_path: Path) -> None:
    async with demo(tmp_path, "--once", "--config", "some.toml") as process:
        out, err = await ended(process)
    assert process.returncode == 0
    assert "some.toml is not used" in err
    opening, *lines = out.splitlines()
    assert opening.startswith("Gatepost demo")
    assert "\x1b" not in out
    assert all(re.match(r" *\d+\.\d\d s  (gateway|mailbox|phone|agent|admin) +\S", line) for line in lines)
    assert len(lines) == len(STORY) + 1


@pytest.mark.timeout(240)
async def test_afterwards_it_stays_up_and_what_it_says_to_try_works(tmp_path: Path) -> None:
    async with demo(tmp_path, "--json") as process:
        pid = gateway_pid(await step(process, "ready"))
        await step(process, "sync_after_clean")
        assert process.stdout is not None
        invited = json.loads(await process.stdout.readline())
        async with httpx.AsyncClient(trust_env=False) as client:
            for name, url in invited["addresses"].items():
                # Phones and mailbox server want a password and another method; the others answer anybody.
                expected = {"phones": 501, "mailbox server": 404}.get(name, 200)
                assert (await client.get(url)).status_code == expected, name
        for words in invited["commands"]:
            await run(words, invited["config"])
        refused = await step(process, "state")
        assert refused["text"] == "FolderSync refused: HTTP 200, Status 129"
        assert "org.mozilla.firefox" in (await step(process, "why"))["text"]
        assert (await step(process, "state"))["text"] == "mail flows"
        process.send_signal(signal.SIGINT)
        _, err = await ended(process)
        assert (process.returncode, err) == (0, "")
    await until_gone(pid)
    assert left_in(tmp_path) == []


async def run(words: str, config: str) -> None:
    """A command as the demo writes it, after the ``export`` above it."""
    process = await asyncio.create_subprocess_exec(
        *shlex.split(words),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=clean_environment({"GATEPOST_CONFIG": config}),
        cwd=ROOT,
    )
    _, err = await process.communicate()
    assert process.returncode == 0, (words, err.decode())


async def test_a_gateway_that_dies_is_exit_1_and_one_sentence(tmp_path: Path) -> None:
    async with demo(tmp_path, "--json") as process:
        pid = gateway_pid(await step(process, "ready"))
        await step(process, "sync_after_clean")
        os.kill(pid, signal.SIGKILL)
        _, err = await ended(process)
    assert process.returncode == 1
    assert err.count("\n") == 1
    found = re.fullmatch(
        rf"gatepost: the demo failed: the gateway \(process {pid}\) has ended with exit code -9; .*"
        r"the gateway's log is (\S+)\n",
        err,
    )
    assert found is not None, err
    assert found[1].startswith(str(tmp_path))
    assert Path(found[1]).parent.name in left_in(tmp_path)


async def test_broken_off_in_the_middle_it_takes_everything_down(tmp_path: Path) -> None:
    async with demo(tmp_path, "--json") as process:
        pid = gateway_pid(await step(process, "ready"))
        process.send_signal(signal.SIGTERM)
        _, err = await ended(process)
    assert process.returncode == 1
    assert err == "gatepost: the demo was broken off in the middle of its story\n"
    await until_gone(pid)
    assert left_in(tmp_path) == []


async def test_a_demo_that_is_killed_takes_its_gateway_along(tmp_path: Path) -> None:
    async with demo(tmp_path, "--json") as process:
        pid = gateway_pid(await step(process, "ready"))
        process.kill()
        await process.communicate()
    await until_gone(pid)
