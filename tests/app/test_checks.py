"""``gatepost check`` sees a disk that is nearly full, and a list of revoked certificates that has ended."""

import asyncio
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.app import checks
from gateway.settings import Settings
from tests.network.authority import Authority

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


@pytest.mark.parametrize(("later", "state"), [(0.0, "ok"), (2 * 86_400.0, "failed")])
async def test_a_list_of_revoked_certificates_that_has_ended(tmp_path: Path, later: float, state: str) -> None:
    authority = Authority(tmp_path)
    crl = authority.revoke(ends=datetime.now(UTC) + timedelta(days=1))
    nowhere: dict[str, list[str]] = {"listen": []}
    tls = {"client_ca": str(authority.certificate), "client_crl": str(crl)}
    settings = Settings.model_validate(
        {"gateway": {"data_dir": str(tmp_path)}, "tls": tls, "http": nowhere, "admin": nowhere, "inventory": nowhere}
    )
    now = datetime.now(UTC).timestamp() + later
    rows = {row.what: row for row in await asyncio.to_thread(checks.check, settings, now)}
    assert rows["revoked"].state == state
    assert ("has ended: nobody with a certificate" in rows["revoked"].sentence) == (state == "failed")
