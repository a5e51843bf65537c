"""A pytest plugin: how tests are shared out among several processes (pytest-xdist).

The tests of a file run in one of them, since they may share a gateway; all that share the real servers are one lot.
What takes longest begins first, lest one process end long after the others: whole gateways and real servers take
seconds for each test, all else milliseconds. In a fresh clone each process loads another share of the files first, and
finds those of the others with their asserts rewritten already.
"""

import importlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

LONG = ("live", "test_upgrade.py", "test_faults.py", "test_backup.py", "demo", "soak", "system", "faults")
"""Folders and files of tests, the longest first."""


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """One lot for each file, and one for all live tests."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "live" if "live" in file.split("/") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """In place of those of pytest-xdist, some of which need what a newer pytest does not let them do."""
    return ByFile(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Load the files of all tests beforehand, where all of them are collected, in another order in each process."""
    here = getattr(session.config, "workerinput", None)
    if here is None or session.config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    count, number = here["workercount"], int(here["workerid"].removeprefix("gw"))
    for file in in_turn(sorted(session.config.rootpath.glob("tests/**/test_*.py")), count, number):
        name = ".".join(file.relative_to(session.config.rootpath).with_suffix("").parts)
        with suppress(Exception, pytest.skip.Exception):  # collecting says what is wrong with it
            importlib.import_module(name)


def in_turn(files: Sequence[Path], count: int, number: int) -> list[Path]:
    """All files for one of so many processes, its own share first."""
    return [file for step in range(count) for file in files[(number + step) % count :: count]]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put them in order; within a folder it stays as it was."""
    if items and items[0].config.pluginmanager.hasplugin("xdist"):
        items.sort(key=lambda item: _place(item.path.relative_to(item.config.rootpath).parts))


def _place(parts: Sequence[str]) -> int:
    return next((place for place, name in enumerate(LONG) if name in parts), len(LONG))
