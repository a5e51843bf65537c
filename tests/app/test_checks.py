"""``gatepost check`` sees a nearly full disk, a list of revoked certificates that has ended, and a lost database."""

import asyncio
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.app import checks
from gateway.app.parts import storage_url_of
from gateway.settings import Settings
from gateway.storage.sql import open_store
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


@pytest.mark.parametrize(
    ("in_use", "emptied", "state", "words"),
    [
        (False, False, "ok", "will be made by the first start"),
        (True, False, "failed", "is missing or empty, but this gateway was in use: put it back"),
        (True, True, "failed", "is missing or empty, but this gateway was in use: put it back"),
    ],
)
async def test_it_says_what_the_start_would_say_of_a_database_that_is_missing(
    tmp_path: Path, in_use: bool, emptied: bool, state: str, words: str
) -> None:
    nowhere: dict[str, list[str]] = {"listen": []}
    settings = Settings.model_validate(
        {"gateway": {"data_dir": str(tmp_path)}, "http": nowhere, "admin": nowhere, "inventory": nowhere}
    )
    if in_use:
        (tmp_path / "admin-token").write_text("gpt_one\n")
    if emptied:
        await (await open_store(storage_url_of(settings), writable=True)).close()
    rows = {row.what: row for row in await asyncio.to_thread(checks.check, settings, 0.0)}
    assert rows["store"].state == state
    assert words in rows["store"].sentence
