"""``gatepost check`` sees a disk that is nearly full."""

import asyncio
from collections import namedtuple
from pathlib import Path

import pytest

from gateway.app import checks
from gateway.settings import Settings

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(("free_mib", "state"), [(300, "ok"), (100, "warning")])
async def test_room_in_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_mib: int, state: str) -> None:
    monkeypatch.setattr("gateway.app.checks.shutil.disk_usage", lambda path: Usage(1 << 40, 0, free_mib << 20))
    nowhere: dict[str, list[str]] = {"listen": []}
    settings = Settings.model_validate(
        {"gateway": {"data_dir": str(tmp_path)}, "http": nowhere, "admin": nowhere, "inventory": nowhere}
    )
    rows = {row.what: row for row in await asyncio.to_thread(checks.check, settings, 0.0)}
    assert rows["data_dir"].state == state
    assert ("100 MiB free: make room" in rows["data_dir"].sentence) == (state == "warning")
