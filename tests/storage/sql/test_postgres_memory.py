"""What PostgreSQL servers that are away leave in memory, where nobody collects garbage."""

import gc
from pathlib import Path
from weakref import ref

import pytest

from gateway.ports.store import StoreUnavailable
from gateway.storage.sql.postgres import Connecting
from gateway.storage.sql.postgres_url import PostgresBounds, postgres_target


async def test_nothing_of_a_connection_that_is_not_made(tmp_path: Path) -> None:
    connecting = Connecting(postgres_target(f"postgresql://gate@/gatepost?host={tmp_path}"), PostgresBounds())
    left = ref(connecting)
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(StoreUnavailable, match="no such file or directory"):
            await connecting()
        del connecting
        assert left() is None
    finally:
        gc.enable()
