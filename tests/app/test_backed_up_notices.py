"""Notices across a backup and a restore: what goes on to be good, and what is said where it cannot."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from gateway.app.backups import backup
from gateway.app.noticing import composer_of, notice_key
from gateway.app.restoring import RestorePreview, Restoring
from gateway.cli.restore_words import afterwards, as_data, before
from gateway.domain.notice import Notice, NoticeKind, NoticeState, Reader, message_id_of
from gateway.notices.signing import LINK_SECONDS, path_of
from gateway.notices.wrong import WrongPage
from gateway.ports.store import Writing
from gateway.settings import Settings, load_settings
from gateway.storage.sql import open_store

ANN = "ann@corp.example"
LOST = "links in 1 notices are good no more"


def settings_of(directory: Path) -> Settings:
    given = {"HTTP__UPSTREAM": "https://mail.internal", "GATEWAY__DATA_DIR": str(directory)}
    given |= {"NOTICES__SENDER": "notices@corp.example", "NOTICES__SERVER": "smtp://127.0.0.1:9"}
    return load_settings(None, {f"GATEPOST_{name}": value for name, value in given.items()})


@pytest.fixture
async def link(tmp_path: Path) -> str:
    """Of a notice that was sent by a gateway whose database is backed up then."""
    old = tmp_path / "old"
    old.mkdir()
    key = notice_key(old)
    notice = Notice(
        *(7, NoticeKind.CUT, Reader(ANN, ANN, "en", "", "")),
        message_id_of(key, 7, NoticeKind.CUT, ANN, "corp.example"),
        state=NoticeState.SENT,
    )

    async def work(writing: Writing) -> None:
        await writing.add_notices([notice])

    store = await open_store(f"sqlite:///{old}/gatepost.db", writable=True)
    await store.write(work)
    await store.close()
    return path_of(key, 7, NoticeKind.CUT, "en", ANN, time.time() + LINK_SECONDS)


def restored(old: Path, new: Path) -> RestorePreview:
    """A real backup of the one, put into the other."""
    file = new / "gatepost.backup"
    backup(settings_of(old), file, time.time(), lambda done, whole: None)
    with Restoring(settings_of(new), file, keep_enforcing=False, now=time.time()) as restoring:
        restoring.prepare(lambda what, done, whole: None)
        preview = restoring.preview(lambda what, done, whole: None, with_fleet=False)
        restoring.carry_out(lambda what, done, whole: None)
    return preview


async def answered(directory: Path, link: str) -> tuple[int, int, str]:
    """What a reader of the link is answered after the restore; how many have said so, and the notice's Message-ID."""
    store = await open_store(f"sqlite:///{directory}/gatepost.db", writable=True)
    page = WrongPage(store, composer_of(settings_of(directory)), time.time)
    transport = httpx.ASGITransport(page, client=("192.0.2.7", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://page") as reader:
        status = (await reader.post(link)).status_code
    async with store.read() as reading:
        found = await reading.notice(7, NoticeKind.CUT, ANN)
        said = await reading.complaints(7)
    await store.close()
    assert found is not None
    return status, said, found.message_id


def words(preview: RestorePreview) -> str:
    return "\n".join([*before(preview, time.time()), *afterwards(preview, "")])


async def test_on_the_same_machine_links_and_message_ids_go_on(tmp_path: Path, link: str) -> None:
    old = tmp_path / "old"
    preview = await asyncio.to_thread(restored, old, old)
    assert (preview.without_key, LOST in words(preview)) == (0, False)
    key = notice_key(old)
    assert await answered(old, link) == (200, 1, message_id_of(key, 7, NoticeKind.CUT, ANN, "corp.example"))


async def test_elsewhere_with_the_key_copied_they_do_as_well(tmp_path: Path, link: str) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    new.mkdir()
    (new / "notice-key").write_bytes((old / "notice-key").read_bytes())
    assert (await asyncio.to_thread(restored, old, new)).without_key == 0
    assert (await answered(new, link))[:2] == (200, 1)


async def test_without_it_the_restore_says_what_is_lost(tmp_path: Path, link: str) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    new.mkdir()
    preview = await asyncio.to_thread(restored, old, new)
    assert words(preview).count(LOST) == 2
    assert as_data(preview, "", time.time())["notices_without_key"] == 1
    key = notice_key(old)
    # A correction still finds its thread.
    assert await answered(new, link) == (404, 0, message_id_of(key, 7, NoticeKind.CUT, ANN, "corp.example"))
