"""For all tests: how hard hypothesis looks, the count of live tests in the last lines, and no garbage collector."""

import functools
import gc
import os
from collections.abc import Iterator

import pytest
import structlog
import typer.testing
from hypothesis import settings

from tests.support.migrated_stores import MigratedStores

pytest_plugins = ["tests.support.live_report", "tests.support.side_by_side", "tests.support.long_tests"]

# No deadline: the machine is shared, and a slow example is no wrong one.
settings.register_profile("ci", max_examples=60, deadline=None, print_blob=True)
settings.register_profile("fuzz", max_examples=20_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# What fails within a test is logged in plain words: with all values, in colour and in frames it takes a second each.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)

# The command line is made of hundreds of signatures, and anew at each call of hundreds: once in each process does.
setattr(typer.testing, "_get_command", functools.cache(typer.testing._get_command))  # type: ignore[attr-defined]  # noqa: B010


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """The collector need not go through what stands for the whole run: thousands of tests, and all modules.

    With them a full collection takes more than a second, and some tests ask for one.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> MigratedStores:
    """Gives empty databases without migrating each anew."""
    return MigratedStores(tmp_path_factory.mktemp("migrated"))


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What is in a circle of references stays, as in a process that serves (``tests.support.kept``)."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
