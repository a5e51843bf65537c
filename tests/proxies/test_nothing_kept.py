"""Nothing is kept of a client that is gone, however it went; no garbage collector has to look for it."""

import socket
from pathlib import Path

import pytest

from gateway.network.tls import ServerTls
from gateway.network.tls_connection import TlsConnection
from tests.network.authority import Authority
from tests.support.fronted import fronted, until
from tests.support.kept import kept
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
            await until(lambda: kept(TlsConnection) == ["TlsConnection"])
            if how == "not TLS at all":
                client.send(b"GET / HTTP/1.1\r\n\r\n")
            elif how == "hangs up":
                client.close()
            reason = {"says nothing": "timeout", "not TLS at all": "not_tls", "hangs up": "gone"}[how]
            await until(lambda: gateway.counted("gatepost_tls_failed_total", reason) == 1)
            await until(lambda: kept(TlsConnection) == [])
