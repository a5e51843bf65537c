"""The journal of break-glass: the newest line counts, for a day, and nothing in it can make a reader fail."""

import os
from pathlib import Path

import pytest

from gateway.runtime.break_glass import (
    BY_LONGEST,
    JOURNAL,
    LASTS_SECONDS,
    REASON_LONGEST,
    GlassAct,
    JournalUnusable,
    append_act,
    newest_act,
    read_acts,
)

NOW = 1_800_000_000.0
BROKEN = GlassAct(True, NOW, "anna", "nobody gets in")


def test_without_a_journal_the_glass_is_whole(tmp_path: Path) -> None:
    assert newest_act(tmp_path) is None


def test_the_newest_line_counts_and_all_are_kept(tmp_path: Path) -> None:
    mended = GlassAct(False, NOW + 60, "bert")
    append_act(tmp_path, BROKEN)
    append_act(tmp_path, mended)
    assert newest_act(tmp_path) == mended
    assert read_acts(tmp_path) == (BROKEN, mended)
    assert (tmp_path / JOURNAL).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("letter", ["a", "ü", "🔨", '"', "\x07"])
def test_a_reason_or_a_name_that_is_too_long_loses_its_end_and_is_written(tmp_path: Path, letter: str) -> None:
    written = append_act(tmp_path, GlassAct(True, NOW, letter * (BY_LONGEST + 1), letter * (REASON_LONGEST + 1)))
    assert written == GlassAct(True, NOW, letter * BY_LONGEST, letter * REASON_LONGEST)
    assert newest_act(tmp_path) == written


def test_what_has_no_octets_is_neither_written_nor_read(tmp_path: Path) -> None:
    """A note in Latin-1 comes so where UTF-8 is expected; ``status`` could not be answered with it."""
    written = append_act(tmp_path, GlassAct(True, NOW, "anna", "L\udcfccke"))
    assert written.reason == "L?cke"
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(b'{"broken": true, "at": 1800000001, "by": "\\udcfc", "reason": "L\\udcfccke"}\n')
    assert newest_act(tmp_path) == GlassAct(True, NOW + 1, "?", "L?cke")


def test_somebody_else_who_writes_at_the_same_time_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mended = GlassAct(False, NOW + 1, "bert")

    def fsync(file: int) -> None:
        monkeypatch.undo()
        append_act(tmp_path, mended)

    monkeypatch.setattr(os, "fsync", fsync)
    assert append_act(tmp_path, BROKEN) == BROKEN
    assert read_acts(tmp_path) == (BROKEN, mended)


def test_what_a_full_disk_left_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, octets: write(file, octets[:20]))
    with pytest.raises(JournalUnusable, match="is the disk full"):
        append_act(tmp_path, BROKEN)


def test_it_ends_after_a_day_whatever_the_line_says() -> None:
    assert BROKEN.in_force(NOW)
    assert BROKEN.in_force(NOW + LASTS_SECONDS - 1)
    assert not BROKEN.in_force(NOW + LASTS_SECONDS)
    assert not GlassAct(True, NOW + 3600, "a clock that was ahead").in_force(NOW)
    assert not GlassAct(False, NOW, "bert").in_force(NOW)


@pytest.mark.parametrize(
    "junk",
    [
        b"{",
        b"\xff\x00",
        b"[]",
        b'{"broken": 1, "at": 1800000000, "by": "x", "reason": ""}',
        b'{"broken": true, "at": NaN, "by": "x", "reason": ""}',
        b'{"broken": true, "at": 1e999, "by": "x", "reason": ""}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_line_counts_for_nothing(tmp_path: Path, junk: bytes) -> None:
    append_act(tmp_path, BROKEN)
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(junk)
    assert newest_act(tmp_path) == BROKEN
    append_act(tmp_path, mended := GlassAct(False, NOW + 1, "bert"))
    assert newest_act(tmp_path) == mended


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("")
    os.symlink(tmp_path / "elsewhere", tmp_path / JOURNAL)
    with pytest.raises(JournalUnusable, match="cannot be written"):
        append_act(tmp_path, BROKEN)


def test_a_journal_that_is_too_long_is_told(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_bytes(b"x" * (2 << 20))
    with pytest.raises(JournalUnusable, match="longer than 1 MB: move it away"):
        read_acts(tmp_path)
