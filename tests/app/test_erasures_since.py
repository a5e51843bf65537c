"""A restore says who was erased since the backup, as far as the audit log knows: the backup has them still."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from gateway.app import losses
from gateway.app.erasures_since import ErasuresSince
from gateway.app.restoring import RestorePreview, Restoring
from gateway.cli.restore_words import NOT_KNOWN, afterwards, as_data, before
from gateway.domain.audit import AuditEntry, AuditKind
from gateway.ports.store import OperatorToken, Person, Reading, StoreUnavailable, Writing
from gateway.settings import Settings, load_settings
from gateway.storage.sql import open_store
from gateway.storage.sql.backups import write_backup
from tests.support.control import NOW, Control

ANNA = "anna@corp.example"


async def person(writing: Writing) -> None:
    await writing.put_person(Person(ANNA, ("anna.a@corp.example",), frozenset({"sales"})))
    await writing.log_audit(AuditEntry(AuditKind.PEOPLE_IMPORTED, "olga"))


async def something(writing: Writing) -> None:
    await writing.log_audit(AuditEntry(AuditKind.NOTICE, "olga"))


class Site:
    """One data_dir, used by one command at a time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "var"
        self.directory.mkdir()
        self.url = f"sqlite:///{self.directory}/gatepost.db"
        self.now = NOW

    @property
    def settings(self) -> Settings:
        return load_settings(None, {"GATEPOST_GATEWAY__DATA_DIR": str(self.directory)})

    def written(self, work: Callable[[Writing], Awaitable[None]]) -> None:
        async def run() -> None:
            store = await open_store(self.url, writable=True)
            await store.write(work)
            await store.close()

        asyncio.run(run())

    def erased(self, reason: str) -> None:
        """As ``gatepost person erase`` does it."""

        async def run() -> httpx.Response:
            store = await open_store(self.url, writable=True)
            async with await Control(store=store).client("vera") as api:
                done = await api.delete("/people/anna", params={"reason": reason})
            await store.close()
            return done

        assert asyncio.run(run()).status_code == 200

    def backup(self, name: str) -> Path:
        path = self.directory.parent / name
        asyncio.run(write_backup(self.url, path, "0.1.0", NOW, lambda done, whole: None))
        return path

    def restored(self, backup: Path) -> RestorePreview:
        self.now += 60
        with Restoring(self.settings, backup, keep_enforcing=False, now=self.now) as restoring:
            restoring.prepare(lambda what, done, whole: None)
            preview = restoring.preview(lambda what, done, whole: None, with_fleet=False)
            restoring.carry_out(lambda what, done, whole: None)
        return preview

    def knows_anna(self) -> bool:
        async def run() -> bool:
            store = await open_store(self.url, writable=False)

            async def look(reading: Reading) -> bool:
                return await reading.person_by_login(ANNA) is not None

            known = await store.read_at_once(look)
            await store.close()
            return known

        return asyncio.run(run())


def said(preview: RestorePreview) -> str:
    return "\n".join([*before(preview, NOW + 60), *afterwards(preview, "")])


def test_who_was_erased_since_is_told_of_with_moment_and_reason(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.written(person)
    backup = site.backup("kept.backup")
    site.erased("request 17")
    assert not site.knows_anna()
    preview = site.restored(backup)
    assert site.knows_anna()
    text = said(preview)
    assert "comes back: what was erased of 1 people since; erase them again" in text
    assert " UTC by vera: request 17\n" in text
    assert "1 people who were erased since are back: erase them again, gatepost person erase LOGIN" in text
    assert NOT_KNOWN not in text
    told = as_data(preview, "", NOW)["erased_since"]
    assert told["all_known"] is True
    (erasure,) = told["erasures"]
    assert (erasure["author"], erasure["reason"], erasure["at"].endswith("Z")) == ("vera", "request 17", True)


def test_an_erasure_that_the_backup_knows_of_is_none_since(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.written(person)
    site.erased("request 17")
    backup = site.backup("kept.backup")
    site.written(something)
    preview = site.restored(backup)
    assert as_data(preview, "", NOW)["erased_since"] == {"all_known": True, "erasures": []}
    assert "erase" not in said(preview)


def test_with_a_database_that_is_gone_it_cannot_be_known(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.written(person)
    backup = site.backup("kept.backup")
    site.erased("request 17")
    for each in site.directory.glob("gatepost.db*"):
        each.unlink()
    preview = site.restored(backup)
    assert site.knows_anna()
    assert said(preview).count(NOT_KNOWN) == 2
    assert as_data(preview, "", NOW)["erased_since"] == {"all_known": False, "erasures": []}


def test_with_a_database_that_cannot_be_read_neither(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.written(person)
    backup = site.backup("kept.backup")
    (site.directory / "gatepost.db").write_bytes(b"no database at all" * 100)
    for name in ("gatepost.db-wal", "gatepost.db-shm"):
        (site.directory / name).unlink(missing_ok=True)
    assert said(site.restored(backup)).count(NOT_KNOWN) == 2


def test_nor_what_an_earlier_restore_has_lost(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.written(person)
    backup = site.backup("kept.backup")
    # It loses nothing: afterwards everything is known as before.
    assert as_data(site.restored(backup), "", NOW)["erased_since"]["all_known"] is True
    site.erased("request 17")
    assert len(as_data(site.restored(backup), "", NOW)["erased_since"]["erasures"]) == 1
    again = as_data(site.restored(backup), "", NOW)["erased_since"]
    assert again == {"all_known": False, "erasures": []}


def test_a_backup_of_a_log_that_another_restore_has_left_behind(tmp_path: Path) -> None:
    """What was erased since that restore is told of; what was before it cannot be known."""
    site = Site(tmp_path)
    site.written(person)
    first = site.backup("first.backup")
    site.written(something)
    second = site.backup("second.backup")
    site.erased("request 17")
    site.restored(first)
    site.erased("request 18")
    told = as_data(site.restored(second), "", NOW)["erased_since"]
    assert [each["reason"] for each in told["erasures"]] == ["request 18"]
    assert told["all_known"] is False


def test_a_damaged_audit_log_does_not_hide_what_else_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was shut out since the backup would be let in again by the restore."""
    site = Site(tmp_path)
    site.written(person)
    backup = site.backup("backup.gz")
    token = OperatorToken("t1", "vera", "0" * 64, NOW)
    site.written(lambda writing: writing.put_token(token))

    async def damaged(now: Reading, then: Reading) -> ErasuresSince:
        raise StoreUnavailable("the database is malformed")

    monkeypatch.setattr(losses, "erasures_since", damaged)
    preview = site.restored(backup)
    assert preview.losses is not None
    assert [each.id for each in preview.losses.tokens_created] == ["t1"]
    assert not preview.losses.erasures.all_known
