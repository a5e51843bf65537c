"""A pytest plugin: how tests are shared out among several processes (pytest-xdist).

The tests of a file run in one of them, since they may share a gateway; all that share the real servers are one lot.
What takes longest begins first, lest one process end long after the others: whole gateways and real servers take
seconds for each test, all else milliseconds.
"""

from collections.abc import Sequence
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


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put them in order; within a folder it stays as it was."""
    if items and items[0].config.pluginmanager.hasplugin("xdist"):
        items.sort(key=lambda item: _place(item.path.relative_to(item.config.rootpath).parts))


def _place(parts: Sequence[str]) -> int:
    return next((place for place, name in enumerate(LONG) if name in parts), len(LONG))
