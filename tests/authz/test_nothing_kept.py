"""Nothing is kept of an asker that is gone, however it went; no garbage collector has to look for it."""

import asyncio
import socket

import pytest

from gateway.authz.asker_connection import AskerConnection
from gateway.authz.envoy_connection import EnvoyConnection, _ServerSide
from tests.support.asking import Asking, original, question
from tests.support.fronted import until
from tests.support.kept import kept
from tests.support.raw_http import eas

ANNA = question("nginx", *original(eas("Sync", "anna", "ANNAPHONE")), user="anna")


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("at", ["rest", "question", "record", "answer"])
async def test_nothing_is_kept_of_an_asker_that_leaves(at: str, authz: Asking) -> None:
    client = await authz.client()
    match at:
        case "question":
            client.write(ANNA[:20])
        case "record":
            authz.evidence.gate = asyncio.Event()
            client.write(ANNA)
            await until(lambda: authz.evidence.reads > 0)
        case "answer":
            await client.ask(ANNA, "GET")
    await until(lambda: bool(authz.front.connections))
    client.close()
    await until(lambda: not authz.front.connections)
    await until(lambda: kept(AskerConnection) == [])


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("at", ["first", "rest"])
async def test_nothing_is_kept_of_an_envoy_that_leaves(at: str, authz: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also before it has met the server that answers it."""
    if at == "first":
        never = asyncio.Event()
        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", lambda *_: never.wait())
    host, _, port = (await authz.for_envoy()).rpartition(":")
    front = authz.front_of("envoy")
    with socket.create_connection((host, int(port))):
        await until(lambda: bool(front.connections))
        if at == "rest":
            await until(lambda: kept(_ServerSide) == ["_ServerSide"])
    await until(lambda: not front.connections)
    await until(lambda: kept(EnvoyConnection, _ServerSide) == [])
