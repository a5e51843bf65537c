"""For all tests: how hard hypothesis looks, the count of live tests in the last lines, and no garbage collector."""

import gc
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

pytest_plugins = ["tests.support.live_report", "tests.support.side_by_side", "tests.support.long_tests"]

# No deadline: the machine is shared, and a slow example is no wrong one.
settings.register_profile("ci", max_examples=60, deadline=None, print_blob=True)
settings.register_profile("fuzz", max_examples=20_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What is in a circle of references stays, as in a process that serves (``tests.support.kept``)."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
