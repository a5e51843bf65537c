"""One Gatepost per data_dir."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.runtime.lock import LOCK_FILE, DataDirLock, DataDirUnusable, holder_of

ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import sys
from pathlib import Path
from gateway.runtime.lock import DataDirLock
lock = DataDirLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.readline()
"""


def test_a_second_one_is_told_who_holds_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DataDirUnusable) as caught:
            DataDirLock(tmp_path)
        assert f"another Gatepost (pid {holder.pid}) uses [gateway] data_dir {tmp_path}" in str(caught.value)
        # However it ends, the kernel lets go.
        holder.kill()
        holder.wait()
    DataDirLock(tmp_path).release()


def test_released_and_taken_again(tmp_path: Path) -> None:
    with DataDirLock(tmp_path / "deep" / "var"):
        assert (tmp_path / "deep" / "var" / LOCK_FILE).read_text() == f"{os.getpid()}\n"
        with pytest.raises(DataDirUnusable):
            DataDirLock(tmp_path / "deep" / "var")
    with DataDirLock(tmp_path / "deep" / "var") as lock:
        lock.release()
        lock.release()


def test_the_directory_is_its_owners_alone(tmp_path: Path) -> None:
    with DataDirLock(tmp_path / "var"):
        assert (tmp_path / "var").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "var" / LOCK_FILE).stat().st_mode & 0o777 == 0o600


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("")
    with pytest.raises(DataDirUnusable, match="cannot be used"):
        DataDirLock(tmp_path / "var")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / LOCK_FILE).symlink_to(tmp_path / "precious")
    with pytest.raises(DataDirUnusable):
        DataDirLock(tmp_path)
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_copy_in_a_child_that_is_being_started_holds_nothing(tmp_path: Path) -> None:
    lock = DataDirLock(tmp_path)
    copy = os.dup(lock._fd)
    lock.release()
    DataDirLock(tmp_path).release()
    os.close(copy)


def test_children_do_not_inherit_it(tmp_path: Path) -> None:
    lock = DataDirLock(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False) as child:
        lock.release()
        DataDirLock(tmp_path).release()
        child.communicate(b"\n")


def test_who_holds_it(tmp_path: Path) -> None:
    assert holder_of(tmp_path) == ""
    with DataDirLock(tmp_path):
        assert holder_of(tmp_path) == str(os.getpid())
    assert holder_of(tmp_path) == ""
