"""What cuts that fail leave in memory, where nobody collects garbage."""

import gc
from collections.abc import Iterator
from pathlib import Path
from weakref import ref

import pytest

from gateway.authz.cutter import CutFailed
from gateway.authz.haproxy_client import HaproxyClient
from gateway.authz.haproxy_means import HaproxyMeans


class Targets(list[str]):
    """Of one cut."""


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
async def test_nothing_of_a_cut_at_an_haproxy_that_is_away(tmp_path: Path) -> None:
    means = HaproxyMeans([HaproxyClient(f"unix://{tmp_path}/none")])
    targets = Targets(["2001:db8::2:10001"])
    left = ref(targets)
    with pytest.raises(CutFailed, match="No such file or directory"):
        await means.cut(targets)
    del targets
    assert left() is None
