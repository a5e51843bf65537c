"""Somebody else's phone, at another address and by another name: whatever a limit does, this one has its mail."""

import ssl
from dataclasses import dataclass, field

from tests.support.fronted import Fronted
from tests.support.raw_http import Client, eas, request
from tests.support.spine import FOLDER_SYNC, PING
from tests.support.upstream import MailboxServer

ADDRESS = "127.0.0.2"
"""All of 127.0.0.0/8 is this machine."""
LOGIN, DEVICE = "nora", "noras1"


def sync(login: str = LOGIN, device: str = DEVICE, **headers: str) -> bytes:
    """A FolderSync."""
    return request(eas("FolderSync", login, device), FOLDER_SYNC, user=login, **headers)


def ping(login: str = LOGIN, device: str = DEVICE, **headers: str) -> bytes:
    """A Ping, which waits."""
    return request(eas("Ping", login, device), PING, user=login, **headers)


@dataclass(slots=True)
class Neighbour:
    """Waits with one connection and synchronises with others."""

    mailbox: MailboxServer
    _waiting: list[Client] = field(default_factory=list)

    async def waits(self, gateway: Fronted, tls: ssl.SSLContext | None = None) -> None:
        """Park a Ping."""
        before = self.mailbox.parked
        client = await Client.connected(gateway.url, ADDRESS, tls)
        client.write(ping())
        self._waiting.append(client)
        await self.mailbox.until_parked(before + 1)

    async def is_unharmed(self, gateway: Fronted, tls: ssl.SSLContext | None = None) -> None:
        """A new connection has mail, and the Ping still waits and is answered when there is some."""
        client = await Client.connected(gateway.url, ADDRESS, tls)
        try:
            answer = await client.ask(sync())
        finally:
            client.close()
        assert (answer.status, answer.body) == (200, b"mail for nora")
        for waiting in self._waiting:
            assert not waiting.closed
        self.mailbox.released.set()
        for waiting in self._waiting:
            assert (await waiting.answer()).status == 200
        self.close()

    def close(self) -> None:
        """Hang up."""
        while self._waiting:
            self._waiting.pop().close()
