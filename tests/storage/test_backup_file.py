"""The file of a backup: whole or refused, whatever was done to it."""

import json
import stat
from pathlib import Path

import pytest

from gateway.storage.backup_file import (
    MAGIC,
    BackupHeader,
    BackupReader,
    BackupUnusable,
    BackupWriter,
    TableStart,
)

ROWS = [[number, f"device {number}", bytes([number % 256]) * 50, None, 1.5, True] for number in range(3000)]
COLUMNS = ("id", "name", "content", "nothing", "at", "bound")


def written(path: Path) -> Path:
    header = BackupHeader("0002", "a life", 7, 3, 1000.5, {"things": len(ROWS), "others": 0}, "0.1.0")
    writer = BackupWriter(path, header)
    writer.table("things", COLUMNS)
    for start in range(0, len(ROWS), 500):
        writer.rows(ROWS[start : start + 500])
    writer.table("others", ("id",))
    assert writer.finish() == path.stat().st_size
    return path


def read(path: Path) -> list[object]:
    reader = BackupReader(path)
    try:
        reader.verify()
        return list(reader.messages())
    finally:
        reader.close()


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    path = written(tmp_path / "a.backup")
    first, *batches, last = read(path)
    assert first == TableStart("things", COLUMNS)
    assert [row for batch in batches if isinstance(batch, list) for row in batch] == ROWS
    assert last == TableStart("others", ("id",))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_progress_is_told_to_its_end(tmp_path: Path) -> None:
    reader = BackupReader(written(tmp_path / "a.backup"))
    checked, loaded = [], []
    reader.verify(lambda done, whole: checked.append((done, whole)))
    list(reader.messages(lambda done, whole: loaded.append((done, whole))))
    reader.close()
    assert checked[-1][0] >= checked[-1][1] - 100
    assert loaded[-1] == (len(ROWS), len(ROWS))


def test_the_header_is_readable_without_us(tmp_path: Path) -> None:
    magic, line = written(tmp_path / "a.backup").read_bytes().split(b"\n")[:2]
    assert magic + b"\n" == MAGIC
    assert json.loads(line)["counts"] == {"things": len(ROWS), "others": 0}


def test_a_file_that_was_cut_off_anywhere(tmp_path: Path) -> None:
    whole = written(tmp_path / "a.backup").read_bytes()
    path = tmp_path / "cut.backup"
    for length in (0, 5, 20, 60, 150, 400, len(whole) // 2, len(whole) - 70, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(BackupUnusable, match=r"cut off or altered|is no backup"):
            read(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(BackupUnusable, match="cut off or altered"):
        read(path)


def test_a_file_in_which_one_octet_was_changed(tmp_path: Path) -> None:
    whole = bytearray(written(tmp_path / "a.backup").read_bytes())
    path = tmp_path / "changed.backup"
    for place in range(len(MAGIC) + 1, len(whole), len(whole) // 97):
        changed = whole.copy()
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(BackupUnusable):
            read(path)


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" * 100, b"\x1f\x8b" * 50])
def test_something_else(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(BackupUnusable, match="is no backup of Gatepost"):
        BackupReader(tmp_path / "x")
    with pytest.raises(BackupUnusable, match="cannot be read"):
        BackupReader(tmp_path / "nowhere")


def test_a_later_format(tmp_path: Path) -> None:
    path = written(tmp_path / "a.backup")
    path.write_bytes(path.read_bytes().replace(b'"format": 1', b'"format": 2', 1))
    with pytest.raises(BackupUnusable, match=r"has format 2, this Gatepost reads 1: .* that wrote it \(0.1.0\)"):
        BackupReader(path)


def test_a_checksum_is_no_proof_of_sense(tmp_path: Path) -> None:
    """Counts that the rows do not bear out."""
    writer = BackupWriter(tmp_path / "a", BackupHeader("0002", "life", 7, 3, 1.0, {"things": 2}, "0.1.0"))
    writer.table("things", ("id",))
    writer.rows([[1]])
    writer.finish()
    with pytest.raises(BackupUnusable, match="damaged"):
        read(tmp_path / "a")


def test_discarded(tmp_path: Path) -> None:
    writer = BackupWriter(tmp_path / "a", BackupHeader("0002", "life", 7, 3, 1.0, {}, "0.1.0"))
    writer.discard()
    assert list(tmp_path.iterdir()) == []
