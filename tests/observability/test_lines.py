"""Lines to a reader that does not read: nobody waits for it, and it gets them when it goes on."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.observability.lines import STDERR, LineWriter

ROOT = Path(__file__).resolve().parents[2]
Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    read_end, write_end = os.pipe()
    yield read_end, write_end
    for fd in (read_end, write_end):
        with suppress(OSError):
            os.close(fd)


def read_until(fd: int, end: bytes) -> bytes:
    got = b""
    while not got.endswith(end):
        piece = os.read(fd, 1 << 16)
        assert piece
        got += piece
    return got


def test_lines_are_written_at_once_and_by_nobody_else(pipe: Pipe) -> None:
    before = threading.active_count()
    writer = LineWriter(lambda: pipe[1])
    writer.write(b"one\n")
    assert os.read(pipe[0], 100) == b"one\n"
    assert threading.active_count() == before


def test_who_writes_does_not_wait_for_who_reads(pipe: Pipe) -> None:
    writer = LineWriter(lambda: pipe[1])
    lines = [b"%d %s\n" % (number, b"x" * 6000) for number in range(100)]
    for line in lines:
        writer.write(line)
    writer.write(b"end\n")
    assert read_until(pipe[0], b"end\n") == b"".join(lines) + b"end\n"
    writer.flush(10)
    writer.write(b"again at once\n")
    assert os.read(pipe[0], 100) == b"again at once\n"


def test_what_is_held_is_bounded_and_what_is_lost_is_told(pipe: Pipe) -> None:
    writer, told = LineWriter(lambda: pipe[1], held_bytes=10_000), threading.Event()
    lost: list[int] = []

    def note(lines: int) -> None:
        lost.append(lines)
        told.set()

    writer.on_lost = note
    written = 0
    for _ in range(1000):
        writer.write(b"x" * 999 + b"\n")
        written += 1000
    reading = threading.Thread(target=_empty, args=(pipe[0], got := bytearray()))
    reading.start()
    assert told.wait(20)
    os.close(pipe[1])
    reading.join(20)
    assert len(got) == written - 1000 * lost[0]
    assert len(lost) == 1
    # A pipe holds 64 KiB, unless the system has little left for pipes.
    assert 900 <= lost[0] < 1000
    assert set(bytes(got).split(b"\n")) == {b"x" * 999, b""}


def _empty(fd: int, got: bytearray) -> None:
    while piece := os.read(fd, 1 << 16):
        got += piece


def test_lines_that_nobody_will_ever_read_are_lost(pipe: Pipe) -> None:
    writer = LineWriter(lambda: pipe[1])
    os.close(pipe[0])
    for _ in range(100):
        writer.write(b"x" * 5000)
    writer.flush(10)


def test_a_process_logs_on_and_ends_although_nobody_reads_its_log() -> None:
    code = (
        "import structlog\nfrom gateway.observability.logging import configure_logging\n"
        "configure_logging('info')\nlog = structlog.get_logger()\n"
        "for number in range(3000): log.info('refused', number=number, words='x' * 100)\n"
        "print('done', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert process.stdout.readline() == b"done\n"
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_where_there_is_no_standard_error_lines_are_lost_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python has it in a program that was begun with descriptor 2 closed."""
    monkeypatch.setattr(sys, "stderr", None)
    STDERR.write(b"nobody\n")
    STDERR.flush()
    assert not STDERR._held


def test_lines_that_are_written_together_go_out_whole_and_in_few_pieces(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[bytes] = []
    write = os.write

    def noting(fd: int, octets: bytes) -> int:
        pieces.append(octets)
        return write(fd, octets)

    monkeypatch.setattr(os, "write", noting)
    writer = LineWriter(lambda: pipe[1])
    lines = [b"%d %s\n" % (number, b"x" * 300) for number in range(40)]
    with writer.together():
        for line in lines[:20]:
            writer.write(line)
        with writer.together():
            for line in lines[20:]:
                writer.write(line)
        assert pieces == []
    assert b"".join(pieces) == b"".join(lines)
    assert len(pieces) < 5
    assert all(piece.endswith(b"\n") and len(piece) <= 4096 for piece in pieces)
    writer.write(b"at once\n")
    assert pieces[-1] == b"at once\n"
