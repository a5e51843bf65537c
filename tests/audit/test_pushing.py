"""Checkpoints on their way to a webhook, a real server on a free port."""

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from standardwebhooks import Webhook

from gateway.audit import pushing
from gateway.audit.pushing import NotPushed, WebhookPush
from gateway.domain.audit.stored import StoredCheckpoint
from gateway.domain.errors import DomainError

NOTE = StoredCheckpoint(3, 1.0, "gatepost/x\n3\nroot\n\n— gatepost/x signature\n", b"", ())
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@dataclass(slots=True)
class Server:
    """Answers as it is told; remembers what came."""

    status: str = "204 No Content"
    url: str = ""
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length")
        )
        self.heads.append(head)
        self.bodies.append(await reader.readexactly(length))
        writer.write(f"HTTP/1.1 {self.status}\r\nContent-Length: 0\r\nLocation: /elsewhere\r\n\r\n".encode())
        writer.close()

    def header(self, name: str) -> str:
        lines = [line.partition(": ") for line in self.heads[-1].splitlines()]
        return next((value for key, _, value in lines if key.lower() == name), "")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()
    listening = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/checkpoints"
    yield found
    listening.close()
    await listening.wait_closed()


def now() -> float:
    import time

    return time.time()


async def test_the_note_arrives_as_it_is(server: Server) -> None:
    await WebhookPush(server.url, "", "", now)(NOTE)
    assert server.bodies == [NOTE.note.encode()]
    assert server.heads[0].startswith("POST /checkpoints HTTP/1.1")
    assert server.header("content-type") == "text/plain; charset=utf-8"
    assert server.header("webhook-signature") == ""


async def test_with_a_secret_others_can_tell_that_it_is_ours(server: Server) -> None:
    await WebhookPush(server.url, SECRET, "", now)(NOTE)
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    headers = {name: server.header(name) for name in names}
    # Signed rightly, and no JSON: the library decodes what it has verified.
    with pytest.raises(json.JSONDecodeError):
        Webhook(SECRET).verify(server.bodies[0].decode(), headers)
    with pytest.raises(Exception, match="signature"):
        Webhook(SECRET).verify(server.bodies[0].decode() + "x", headers)


@pytest.mark.parametrize("status", ["500 No", "404 Not Found", "302 Found"])
async def test_anything_but_2xx_is_not_arrived(server: Server, status: str) -> None:
    server.status = status
    with pytest.raises(NotPushed, match=f"the webhook answered {status[:3]}"):
        await WebhookPush(server.url, "", "", now)(NOTE)
    assert len(server.bodies) == 1, "a redirect is not followed"


async def test_a_webhook_that_is_away_is_not_arrived(server: Server) -> None:
    gone = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = gone.sockets[0].getsockname()[1]
    gone.close()
    await gone.wait_closed()
    with pytest.raises(NotPushed, match="the webhook cannot be reached"):
        await WebhookPush(f"http://127.0.0.1:{port}/", "", "", now)(NOTE)


async def test_a_webhook_that_drips_its_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An octet now and then is within httpx's own time, which is for each reading."""
    monkeypatch.setattr(pushing, "PUSH_SECONDS", 0.5)
    hung_up = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with suppress(ConnectionError):
            for octet in itertools.cycle(b"HTTP/1.1 100 Continue\r\n\r\n"):
                writer.write(bytes((octet,)))
                await writer.drain()
                await asyncio.sleep(0.05)
        hung_up.set()
        writer.close()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        async with asyncio.timeout(10):
            with pytest.raises(NotPushed):
                await WebhookPush(url, "", "", now)(NOTE)
            await hung_up.wait()


def test_what_cannot_be_used_is_said_at_the_start() -> None:
    with pytest.raises(DomainError, match="webhook_ca"):
        WebhookPush("https://a.example", "", "/nowhere.pem", now)
    with pytest.raises(DomainError, match="webhook_secret is no secret"):
        WebhookPush("https://a.example", "whsec_!!", "", now)
