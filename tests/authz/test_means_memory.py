"""What cuts that fail leave in memory, where nobody collects garbage."""

import asyncio
import sys
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any
from weakref import WeakSet, ref

import pytest

from gateway.authz import command_means
from gateway.authz.command_means import CommandMeans
from gateway.authz.cutter import CutFailed
from gateway.authz.haproxy_client import HaproxyClient
from gateway.authz.haproxy_means import HaproxyMeans
from tests.support.fronted import until


class Targets(list[str]):
    """Of one cut."""


@pytest.mark.usefixtures("no_collector")
async def test_nothing_of_a_cut_at_an_haproxy_that_is_away(tmp_path: Path) -> None:
    means = HaproxyMeans([HaproxyClient(f"unix://{tmp_path}/none")])
    targets = Targets(["2001:db8::2:10001"])
    left = ref(targets)
    with pytest.raises(CutFailed, match="No such file or directory"):
        await means.cut(targets)
    del targets
    assert left() is None


@pytest.mark.usefixtures("no_collector")
async def test_nothing_of_programs_that_do_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks, read = WeakSet[asyncio.Task[Any]](), command_means._read_some

    async def watched(process: Process) -> str:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        del task
        return await read(process)

    monkeypatch.setattr(command_means, "_read_some", watched)
    monkeypatch.setattr(command_means, "SECONDS", 0.1)
    means = CommandMeans([sys.executable, "-c", "import time; time.sleep(600)", "{user}"])
    with pytest.raises(CutFailed, match="does not end within"):
        await means.cut(["anna", "bert"])
    # The loop tells of the programs' end, and lets them go.
    await until(lambda: len(tasks) == 0)
