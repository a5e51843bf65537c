"""What a front listens on: looked round regularly whatever fails, and everybody accepted is known when it ends."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from gateway.network import listening
from gateway.network.attendance import Attendance
from gateway.network.listening import Listening
from gateway.network.tls import ServerTls
from tests.network.authority import Authority, Issued
from tests.network.handshakes import shaken

SECONDS = 20.0


class OpenDoor:
    """Lets everybody in."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def arrived(self, address: str) -> bool:
        return True

    def shaken(self, address: str) -> None:
        return

    def tls_failed(self, reason: str) -> None:
        self.failed.append(reason)


class Met:
    """Whom the protocols of a listener have met; each hangs up."""

    def __init__(self) -> None:
        self.count = 0
        self.somebody = asyncio.Event()

    def protocol(self) -> asyncio.Protocol:
        return HangsUp(self)


class HangsUp(asyncio.Protocol):
    def __init__(self, met: Met) -> None:
        self._met = met

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._met.count += 1
        self._met.somebody.set()
        transport.close()


def bound() -> tuple[socket.socket, Any]:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock, sock.getsockname()


async def test_a_look_round_that_fails_is_told_and_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "SWEEP_SECONDS", 0.001)
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    again = asyncio.Event()
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise RuntimeError("a mistake of ours")
        again.set()

    listeners = Listening(OpenDoor(), 5.0, look)
    listeners.start()
    async with asyncio.timeout(SECONDS):
        await again.wait()
    await listeners.close()
    assert [str(context["exception"]) for context in told] == ["a mistake of ours"]


async def test_who_was_accepted_is_known_when_no_more_are() -> None:
    listeners, met = Listening(OpenDoor(), 5.0, lambda: None), Met()
    sock, address = bound()
    await listeners.serve(sock, met.protocol)
    clients = [socket.create_connection(address) for _ in range(3)]
    async with asyncio.timeout(SECONDS):
        await met.somebody.wait()
    await listeners.accept_no_more()
    assert met.count == 3
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    await listeners.close()
    await listeners.close()
    for client in clients:
        client.close()


async def test_a_unix_socket_stays_for_others(tmp_path: Path) -> None:
    path = tmp_path / "asked"
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    listeners = Listening(OpenDoor(), 5.0, lambda: None)
    await listeners.serve(sock, Met().protocol)
    await listeners.close()
    assert path.exists()


def shown(tls: ServerTls, authority: Authority) -> object:
    certificate = shaken(tls.context, authority.trust())[0].getpeercert()
    assert certificate is not None
    return certificate["serialNumber"]


async def test_certificates_for_starttls_are_read_again_too(authority: Authority, issued: Issued) -> None:
    listeners = Listening(OpenDoor(), 5.0, lambda: None)
    tls = ServerTls(issued.files())
    listeners.show(tls)
    before = shown(tls, authority)
    renewed = authority.issue()
    issued.certificate.write_bytes(renewed.certificate.read_bytes())
    listeners.reload_tls()
    # Half a renewal.
    assert shown(tls, authority) == before
    issued.key.write_bytes(renewed.key.read_bytes())
    listeners.reload_tls()
    assert shown(tls, authority) != before


async def test_whoever_waits_for_the_last_one_hears_of_him() -> None:
    there: Attendance[str] = Attendance()
    assert await there.emptied(0.0)
    there.come("anna")
    there.arrived()
    assert not await there.emptied(0.0)
    waits = asyncio.create_task(there.emptied(SECONDS))
    await asyncio.sleep(0)
    assert there.leave("anna")
    assert not there.leave("anna")
    await asyncio.sleep(0)
    assert not waits.done()
    there.shaken()
    assert await waits


async def test_whoever_does_not_go_is_not_waited_for_longer() -> None:
    there: Attendance[str] = Attendance()
    there.come("anna")
    assert not await there.emptied(0.01)
    there.leave("anna")
    assert await there.emptied(0.01)
