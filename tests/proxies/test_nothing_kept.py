"""Nothing is kept of a client that is gone, however it went; no garbage collector has to look for it."""

import socket
from pathlib import Path

import pytest

from gateway.network.tls import ServerTls
from gateway.network.tls_connection import TlsConnection
from gateway.network.upstream_connection import UpstreamConnection
from gateway.proxies.client_connection import ClientConnection
from gateway.proxies.simple import AutodiscoverV1
from tests.network.authority import Authority
from tests.proxies.test_discovery import ASKED, V1
from tests.support.fronted import Fronted, fronted, until
from tests.support.kept import kept
from tests.support.raw_http import request
from tests.support.scripted_origin import Origin


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("how", ["says nothing", "not TLS at all", "hangs up"])
async def test_nothing_is_kept_of_a_handshake_that_failed(how: str, origin: Origin, tmp_path: Path) -> None:
    """Anybody can begin one."""
    tls = ServerTls(Authority(tmp_path).issue().files(alpn=("http/1.1",)))
    async with fronted(origin.url, tls_handshake_seconds=0.2 if how == "says nothing" else 20.0) as gateway:
        gateway.url = await gateway.listen(tls)
        address = ("127.0.0.1", int(gateway.url.rpartition(":")[2]))
        with socket.create_connection(address) as client:
            if how != "says nothing":
                # Its time could be over before anybody has looked.
                await until(lambda: kept(TlsConnection) == ["TlsConnection"])
            if how == "not TLS at all":
                client.send(b"GET / HTTP/1.1\r\n\r\n")
            elif how == "hangs up":
                client.close()
            reason = {"says nothing": "timeout", "not TLS at all": "not_tls", "hangs up": "gone"}[how]
            await until(lambda: gateway.counted("gatepost_tls_failed_total", reason) == 1)
            await until(lambda: kept(TlsConnection) == [])


@pytest.mark.usefixtures("no_collector")
async def test_nothing_is_kept_of_a_client_that_leaves_while_autodiscover_is_asked(
    scripted: Fronted, origin: Origin
) -> None:
    client = await scripted.client()
    client.write(request(V1, ASKED, user="anna"))
    connection = await origin.connection()
    await connection.request()
    client.close()
    await connection.until_ended()
    await until(lambda: kept(AutodiscoverV1, ClientConnection, UpstreamConnection) == [])
