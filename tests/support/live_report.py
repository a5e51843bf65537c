"""A pytest plugin: what lies under ``tests/live`` is marked ``live``, and the last lines say how much of it ran.

With ``GATEPOST_REQUIRE_LIVE=1`` a live test that is skipped has failed: a machine that promised real servers had none.
"""

import os
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest

REQUIRED = "GATEPOST_REQUIRE_LIVE"
OUTCOME = "live"
"""The property of a report that says what became of a live test: it travels from the process that ran it."""


class LiveCount:
    """What is known of the live tests of a whole run, also when several processes share it."""

    def __init__(self) -> None:
        self.run: set[str] = set()
        self.skipped: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test by what its report says."""
        for name, reason in report.user_properties:
            if name == OUTCOME and reason:
                self.skipped[report.nodeid] = str(reason)
            elif name == OUTCOME:
                self.run.add(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The line itself."""
        reasons = "; ".join(f"{count} × {reason}" for reason, count in Counter(self.skipped.values()).most_common())
        more = f" ({reasons})" if reasons else ""
        terminalreporter.write_line(f"live: {len(self.run)} run, {len(self.skipped)} skipped{more}")


COUNT = pytest.StashKey[LiveCount]()


def _required() -> bool:
    return os.environ.get(REQUIRED, "") not in ("", "0")


def _lies_under_live(path: Path, root: Path) -> bool:
    return path.is_relative_to(root) and "live" in path.relative_to(root).parts


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count."""
    config.stash[COUNT] = LiveCount()
    config.pluginmanager.register(config.stash[COUNT])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs real servers."""
    for item in items:
        if _lies_under_live(item.path, item.config.rootpath):
            item.add_marker("live")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A whole file may be skipped while it is read."""
    report = yield
    if report.outcome == "skipped" and _lies_under_live(collector.path, collector.config.rootpath):
        reason = _reason(report.longrepr)
        collector.config.stash[COUNT].skipped[collector.nodeid] = reason
        if _required():
            report.outcome, report.longrepr = "failed", f"{REQUIRED}=1, yet skipped: {reason}"
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count, and turn a skip into a failure where real servers were promised."""
    report = yield
    if item.get_closest_marker("live") is None:
        return report
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = _reason(report.longrepr)
        report.user_properties.append((OUTCOME, reason))
        if _required():
            report.outcome, report.longrepr = "failed", f"{REQUIRED}=1, yet skipped: {reason}"
    elif report.when == "call":
        report.user_properties.append((OUTCOME, ""))
    return report


def _reason(longrepr: object) -> str:
    text = str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)
    return text.removeprefix("Skipped: ")
