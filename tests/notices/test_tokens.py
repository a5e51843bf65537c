"""Tokens of a client: asked for once, kept until shortly before their end, and what an issuer may answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.notices.tokens import NoToken, TokenClient, Tokens
from tests.network.authority import Authority
from tests.notices.ews_server import Ews, ews_server
from tests.notices.stage import Clock


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tokens"))


@asynccontextmanager
async def issuing(authority: Authority, clock: Clock) -> AsyncIterator[tuple[Ews, Tokens]]:
    async with ews_server(authority.issue().server()) as issuer:
        client = TokenClient(issuer.token_url, "client-1", "s3cret", "https://mail.test/.default")
        yield issuer, Tokens(client, authority.trust(), clock)
        assert issuer.problems == []


async def test_one_token_for_all_until_shortly_before_its_end(authority: Authority) -> None:
    clock = Clock(0.0)
    async with issuing(authority, clock) as (_issuer, tokens):
        assert set(await asyncio.gather(*(tokens.token() for _ in range(5)))) == {"token-1"}
        clock.at = 3_539.0
        assert await tokens.token() == "token-1"
        clock.at = 3_541.0
        assert await tokens.token() == "token-2"
        tokens.forget("token-1")
        assert await tokens.token() == "token-2"
        tokens.forget("token-2")
        assert await tokens.token() == "token-3"


@pytest.mark.parametrize(("status", "final"), [(400, True), (401, True), (500, False)])
async def test_an_issuer_that_says_no(authority: Authority, status: int, *, final: bool) -> None:
    async with issuing(authority, Clock()) as (issuer, tokens):
        issuer.token_status = status
        with pytest.raises(NoToken, match=rf"gives none: HTTP {status} \(invalid_client\)") as caught:
            await tokens.token()
        assert caught.value.final is final
        assert "s3cret" not in str(caught.value)


ODD = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"access_token": null}',
    b'HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{"access_token": "a\\nb"}',
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\xff\xfe\x00\x01",
    b"HTTP/1.1 302 Found\r\nLocation: /else\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 200_000,
    b"nonsense\r\n\r\n",
    b"",
]


@pytest.mark.parametrize("answer", ODD, ids=[each[:40].decode("latin-1") for each in ODD])
async def test_an_answer_that_is_none(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token"
    async with server:
        with pytest.raises(NoToken) as caught:
            await Tokens(TokenClient(url, "client-1", "s3cret", "scope")).token()
    assert caught.value.final is False
    assert "s3cret" not in str(caught.value)
