"""A pytest plugin: with several processes what takes longest begins first, lest one of them end long after the others.

Whole gateways and real servers take seconds for each test, all else milliseconds.
"""

import pytest

LONG = ("live", "test_upgrade.py", "test_faults.py", "test_backup.py", "demo", "soak", "system", "faults")
"""Folders and files of tests, the longest first."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put them in order; within a folder it stays as it was."""
    if items and items[0].config.pluginmanager.hasplugin("xdist"):
        items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    parts = item.path.relative_to(item.config.rootpath).parts
    return next((place for place, folder in enumerate(LONG) if folder in parts), len(LONG))
