"""The journal of break-glass: the newest line counts, for a day, and nothing in it can make a reader fail."""

import os
from pathlib import Path

import pytest

from gateway.runtime.break_glass import (
    JOURNAL,
    LASTS_SECONDS,
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
