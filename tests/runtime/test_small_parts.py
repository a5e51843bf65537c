"""Back-off, the watch on files, the voice to systemd, orphans, open files, and what children say."""

import asyncio
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.runtime.back_off import FIRST_SECONDS, GOOD_LIFE_SECONDS, LONGEST_SECONDS, BackOff
from gateway.runtime.child_output import ChildOutput
from gateway.runtime.limits import raise_open_files, warn_of_few_open_files
from gateway.runtime.notify import SystemdNotify
from gateway.runtime.watch import FileWatch


def test_back_off_grows_to_its_bound_and_forgets_after_a_good_life() -> None:
    back_off = BackOff()
    waits = [back_off.after(0.1) for _ in range(12)]
    assert waits[:3] == [FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS]
    assert waits[-1] == LONGEST_SECONDS
    assert back_off.after(GOOD_LIFE_SECONDS) == FIRST_SECONDS


def test_a_change_counts_once_it_has_settled(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_text("one")
    watch = FileWatch([str(certificate), str(key), ""])
    assert not watch.changed()
    certificate.write_text("two!")
    assert not watch.changed()
    key.write_text("key")
    assert not watch.changed()
    assert watch.changed()
    assert not watch.changed()


def test_a_swapped_link_and_a_file_gone_are_changes(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tls.crt").write_text(name)
    link = tmp_path / "live"
    link.symlink_to("old")
    watch = FileWatch([str(link / "tls.crt")])
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").rename(link)
    assert [watch.changed(), watch.changed()] == [False, True]
    (tmp_path / "new" / "tls.crt").unlink()
    assert [watch.changed(), watch.changed()] == [False, True]


def test_what_changes_back_is_no_change(tmp_path: Path) -> None:
    file = tmp_path / "certificate.pem"
    file.write_text("one")
    kept = tmp_path / "kept"
    watch = FileWatch([str(file)])
    file.rename(kept)
    assert not watch.changed()
    kept.rename(file)
    assert [watch.changed(), watch.changed()] == [False, False]


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_hears_of_it(tmp_path: Path, abstract: bool) -> None:
    name = f"@gatepost-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name[1:] if abstract else name)
        listener.settimeout(5)
        notify = SystemdNotify({"NOTIFY_SOCKET": name})
        notify.ready("2 workers")
        assert listener.recv(1000).decode() == f"READY=1\nSTATUS=2 workers\nMAINPID={os.getpid()}"
        notify.reloading()
        assert listener.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        notify.stopping()
        assert listener.recv(1000).startswith(b"STOPPING=1\n")


def test_nobody_listens() -> None:
    SystemdNotify({}).ready("x")
    SystemdNotify({"NOTIFY_SOCKET": "/no/such/socket"}).stopping()


def test_orphans_are_buried_and_children_are_not() -> None:
    # The parent leaves by _exit: at an ordinary end Python buries a child that is already dead, and there is no orphan.
    program = f"""
import ctypes, os, subprocess, sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
from gateway.runtime.orphans import Orphans
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans come to us, as to pid 1
parent = "import os, subprocess; child = subprocess.Popen('true'); print(child.pid, flush=True); os._exit(0)"
grandchild = int(subprocess.run([sys.executable, "-c", parent], stdout=subprocess.PIPE, check=True).stdout)
living = subprocess.Popen(["sleep", "1000"], stdout=subprocess.DEVNULL)
os.waitid(os.P_PID, grandchild, os.WEXITED | os.WNOWAIT)
orphans = Orphans()
print(orphans.reap(), orphans.reap(), orphans.reap(), os.path.exists(f"/proc/{{grandchild}}"), living.poll())
living.kill()
living.wait()
"""
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["0", "1", "0", "False", "None"]


def test_open_files_are_raised_to_what_is_allowed() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        with capture_logs() as logged:
            limit = raise_open_files()
            warn_of_few_open_files(limit, 200)
        assert limit == before[1]
        assert logged == []
        with capture_logs() as logged:
            warn_of_few_open_files(limit, 1 << 62)
        assert [entry["event"] for entry in logged] == ["open_files_low"]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def lines_of(output: ChildOutput, *pieces: bytes) -> None:
    read_end, write_end = os.pipe()
    following = asyncio.create_task(output.follow(read_end))
    for piece in pieces:
        os.write(write_end, piece)
    os.close(write_end)
    await following


async def test_words_are_held_until_the_child_runs() -> None:
    got: list[bytes] = []
    output = ChildOutput(got.append, set())
    await lines_of(output, b"one\n", b"two\n")
    assert got == []
    output.release()
    assert got == [b"one\n", b"two\n"]


async def test_the_same_reason_is_printed_once_whatever_the_time() -> None:
    got: list[bytes] = []
    said: set[str] = set()
    for second in range(3):
        output = ChildOutput(got.append, said)
        await lines_of(output, b'{"event": "broken", "timestamp": "%d"}\n' % second)
        output.died()
    another = ChildOutput(got.append, said)
    await lines_of(another, b"Traceback\n", b"ValueError: no\n\n")
    another.died()
    assert got == [b'{"event": "broken", "timestamp": "0"}\n', b"Traceback\n", b"ValueError: no\n", b"\n"]


async def test_a_slow_start_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.runtime.child_output.HELD_SECONDS", 0.01)
    heard = asyncio.Event()
    read_end, write_end = os.pipe()
    following = asyncio.create_task(ChildOutput(lambda line: heard.set(), set()).follow(read_end))
    os.write(write_end, b"waiting for the database\n")
    await asyncio.wait_for(heard.wait(), 10)
    os.close(write_end)
    await following


async def test_an_endless_line_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.runtime.child_output.LINE_BYTES", 100)
    got: list[bytes] = []
    output = ChildOutput(got.append, set())
    output.release()
    await lines_of(output, b"x" * 1000, b"\nnext\n")
    assert got[-1] == b"next\n"
    assert all(len(line) < 1000 for line in got)


async def test_a_crowd_of_lines_is_not_held_for_ever() -> None:
    got: list[bytes] = []
    output = ChildOutput(got.append, set())
    await lines_of(output, b"line\n" * 5000)
    assert len(got) == 5000
