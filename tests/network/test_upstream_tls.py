"""A pool over TLS: the mail server must prove its name by an authority that is known."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from gateway.network.fetch import fetch
from gateway.network.tls import client_context
from gateway.network.upstream import UpstreamPool, UpstreamUnavailable
from tests.network.authority import Authority, Issued


@asynccontextmanager
async def serving(context: ssl.SSLContext | None) -> AsyncIterator[int]:
    """A server that answers each request with ``ok``; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_a_server_that_is_known(authority: Authority) -> None:
    async with serving(authority.issue().server()) as port:
        pool = UpstreamPool(f"https://127.0.0.1:{port}", client_context(str(authority.certificate)))
        for _ in range(3):
            assert (await fetch(pool, b"GET", b"/", b"mail.internal", ())).body == b"ok"
        assert (pool.open, pool.healthy) == (1, True)
        pool.close()


def expired(authority: Authority) -> Issued:
    return authority.issue(ends=datetime.now(UTC) - timedelta(hours=1))


def stranger(authority: Authority) -> Issued:
    return Authority(authority.directory, "stranger").issue()


def other_name(authority: Authority) -> Issued:
    return authority.issue("mail.example")


def for_clients(authority: Authority) -> Issued:
    return authority.issue(client=True)


@pytest.mark.parametrize(
    ("issue", "words"),
    [
        (other_name, "IP address mismatch"),
        (stranger, "unable to get local issuer certificate"),
        (expired, "expired"),
        (for_clients, "purpose"),
    ],
)
async def test_servers_that_are_not_believed(
    authority: Authority, issue: Callable[[Authority], Issued], words: str
) -> None:
    async with serving(issue(authority).server()) as port:
        pool = UpstreamPool(f"https://127.0.0.1:{port}", client_context(str(authority.certificate)))
        with pytest.raises(UpstreamUnavailable, match=words) as refused:
            await pool.connect()
        assert str(refused.value).startswith(f"{pool.url}: its certificate is ")
        assert (pool.open, pool.connecting, pool.healthy) == (0, 0, False)


async def test_the_authorities_of_the_system_do_not_know_ours(authority: Authority) -> None:
    async with serving(authority.issue().server()) as port:
        pool = UpstreamPool(f"https://127.0.0.1:{port}", client_context())
        with pytest.raises(UpstreamUnavailable, match="is not trusted"):
            await pool.connect()


async def test_a_server_without_tls(authority: Authority) -> None:
    async with serving(None) as port:
        pool = UpstreamPool(
            f"https://127.0.0.1:{port}", client_context(str(authority.certificate)), connect_seconds=0.2
        )
        with pytest.raises(UpstreamUnavailable):
            await pool.connect()
        assert not pool.healthy


async def test_a_server_of_old_versions_only(authority: Authority) -> None:
    context = authority.issue().server()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    async with serving(context) as port:
        pool = UpstreamPool(f"https://127.0.0.1:{port}", client_context(str(authority.certificate)))
        with pytest.raises(UpstreamUnavailable, match=r"during the TLS handshake|TLS failed"):
            await pool.connect()


async def test_without_https_no_tls_is_spoken(authority: Authority) -> None:
    async with serving(None) as port:
        pool = UpstreamPool(f"http://127.0.0.1:{port}", client_context(str(authority.certificate)))
        assert (await fetch(pool, b"GET", b"/", b"mail.internal", ())).body == b"ok"
        pool.close()
