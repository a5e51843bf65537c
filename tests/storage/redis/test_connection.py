"""Connections: every failure is one error, in time, without secrets."""

import asyncio
import socket
from pathlib import Path

import pytest

from gateway.domain.errors import InvalidValue
from gateway.ports.state_cache import CacheUnavailable
from gateway.storage.redis import EmbeddedValkey, RedisConnection


async def test_many_calls_share_few_connections(connection: RedisConnection) -> None:
    answers = await asyncio.gather(*(connection.call(lambda run_id: ["CLIENT", "ID"]) for _ in range(100)))
    assert len(set(answers)) <= 8


async def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    silent = socket.socket(socket.AF_UNIX)
    silent.bind(str(tmp_path / "s"))
    silent.listen()
    connection = RedisConnection(f"unix://{tmp_path}/s", timeout_seconds=0.1)
    with pytest.raises(CacheUnavailable, match="no answer in time"):
        await connection.call(lambda run_id: ["PING"])
    await connection.close()
    silent.close()


async def test_a_server_that_talks_nonsense(tmp_path: Path) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_unix_server(nonsense, tmp_path / "s"):
        connection = RedisConnection(f"unix://{tmp_path}/s", timeout_seconds=1.0)
        with pytest.raises(CacheUnavailable):
            await connection.call(lambda run_id: ["PING"])
        await connection.close()


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    connection = RedisConnection(f"unix://{tmp_path}/none", timeout_seconds=1.0)
    with pytest.raises(CacheUnavailable, match="none"):
        await connection.call(lambda run_id: ["PING"])


async def test_a_closed_connection(connection: RedisConnection) -> None:
    await connection.call(lambda run_id: ["PING"])
    await connection.close()
    with pytest.raises(CacheUnavailable, match="closed"):
        await connection.call(lambda run_id: ["PING"])


async def test_the_password_is_nowhere(server: EmbeddedValkey, connection: RedisConnection) -> None:
    await connection.call(lambda run_id: ["CONFIG", "SET", "requirepass", "right"])
    good = RedisConnection(server.url.replace("unix://", "unix://:right@"), timeout_seconds=5.0)
    assert await good.call(lambda run_id: ["PING"]) == b"PONG"
    wrong = RedisConnection(server.url.replace("unix://", "unix://eve:s3cr3t@"), timeout_seconds=5.0)
    with pytest.raises(CacheUnavailable) as caught:
        await wrong.call(lambda run_id: ["ECHO", "s3cr3t"])
    for text in (str(caught.value), repr(caught.value), repr(wrong), repr(good)):
        assert "s3cr3t" not in text
        assert "right" not in text
    await good.close()
    await wrong.close()


@pytest.mark.parametrize("url", ["http://u:s3cr3t@h", "s3cr3t", "redis://h:s3cr3t", "redis://h?socket_timeout=s3cr3t"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        RedisConnection(url)
    assert "s3cr3t" not in str(caught.value)
