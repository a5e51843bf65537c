"""Break-glass in the control process: each line of the journal is told to the audit log once, and later if need be."""

import errno
from pathlib import Path

import pytest

from gateway.app.glass import AUDITED, GlassBook
from gateway.runtime.break_glass import JOURNAL, LASTS_SECONDS, GlassAct, append_act
from gateway.storage.memory import MemoryStore

NOW = 1_800_000_000.0


async def entries(store: MemoryStore) -> int:
    async with store.read() as reading:
        return (await reading.audit_head()).size


async def test_each_line_is_audited_once_and_after_a_new_start_not_again(tmp_path: Path) -> None:
    store = MemoryStore()
    append_act(tmp_path, GlassAct(True, NOW, "anna"))
    book = GlassBook(tmp_path, store, lambda: NOW)
    await book.look()
    await book.look()
    assert await entries(store) == 1
    append_act(tmp_path, GlassAct(False, NOW + 1, "anna"))
    await GlassBook(tmp_path, store, lambda: NOW).look()
    assert await entries(store) == 2


async def test_what_cannot_be_noted_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / AUDITED).mkdir()
    append_act(tmp_path, GlassAct(True, NOW, "anna"))
    store = MemoryStore()
    await GlassBook(tmp_path, store, lambda: NOW).look()
    assert await entries(store) == 0


async def test_a_line_whose_mark_cannot_be_written_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, while the store (on another machine) takes writes."""
    store = MemoryStore()
    append_act(tmp_path, GlassAct(True, NOW, "anna"))
    append_act(tmp_path, GlassAct(False, NOW + 1, "anna"))
    book = GlassBook(tmp_path, store, lambda: NOW)

    def full(path: Path, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        for _ in range(5):
            await book.look()
        assert await entries(store) == 2
    # As soon as it can be written it is, so that the next life knows.
    await book.look()
    await GlassBook(tmp_path, store, lambda: NOW).look()
    assert await entries(store) == 2


async def test_two_that_overlap_in_an_upgrade_tell_a_line_once(tmp_path: Path) -> None:
    store = MemoryStore()
    first, second = GlassBook(tmp_path, store, lambda: NOW), GlassBook(tmp_path, store, lambda: NOW)
    for broken in (True, False):
        append_act(tmp_path, GlassAct(broken, NOW, "anna"))
        await first.look()
        await second.look()
    assert await entries(store) == 2


async def test_another_journal_is_told_from_its_first_line_on(tmp_path: Path) -> None:
    store = MemoryStore()
    book = GlassBook(tmp_path, store, lambda: NOW)
    for broken in (True, False):
        append_act(tmp_path, GlassAct(broken, NOW, "anna"))
    await book.look()
    (tmp_path / JOURNAL).unlink()
    await book.look()
    append_act(tmp_path, GlassAct(True, NOW, "bert"))
    await book.look()
    assert await entries(store) == 3
    append_act(tmp_path, GlassAct(False, NOW, "bert"))
    await GlassBook(tmp_path, store, lambda: NOW).look()
    assert await entries(store) == 4


async def test_status_warns_until_it_ends(tmp_path: Path) -> None:
    append_act(tmp_path, GlassAct(True, NOW, "anna", "a drill"))
    now = NOW
    book = GlassBook(tmp_path, MemoryStore(), lambda: now)
    await book.look()
    (warning,) = book.sentences()
    assert "the glass is broken: anna switched all enforcement off on this machine (a drill)" in warning
    now = NOW + LASTS_SECONDS
    assert book.sentences() == []
