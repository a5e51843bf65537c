"""Clients of a soak that are not as they should be: each says what it got, and only what is right is right.

Wrong passwords (of phones that may and of phones that may not), devices that nobody reports on, paths that are closed,
and connections dropped in the middle of a head, of a body, and of an answer.
"""

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.soak.phones import ITEM_OPERATIONS, SEND_MAIL
from tests.soak.tally import Tally
from tests.support.raw_http import Client, HttpAnswer, basic, eas, request
from tests.support.spine import FOLDER_SYNC

CLOSED = ("/owa/", "/EWS/Exchange.asmx", "/mapi/emsmdb", "/", "/powershell", "/.env")


@dataclass(slots=True)
class RudeClient:
    """Does one of these again and again."""

    urls: tuple[str, str]
    """Plain and TLS."""
    logins: list[str]
    tally: Tally
    rng: random.Random
    trust: ssl.SSLContext
    mean_pause_seconds: float = 0.3

    async def live(self) -> None:
        """Until cancelled."""
        doings: list[Callable[[Client, str], Awaitable[None]]] = [
            *(self._wrong_password, self._unknown_device, self._closed_path),
            *(self._half_a_head, self._half_a_body, self._half_an_answer),
        ]
        while True:
            await asyncio.sleep(self.rng.expovariate(1 / self.mean_pause_seconds))
            doing = self.rng.choice(doings)
            try:
                async with asyncio.timeout(30):
                    url = self.rng.choice(self.urls)
                    client = await Client.connected(url, tls=self.trust if url.startswith("https") else None)
                    try:
                        await doing(client, self.rng.choice(self.logins))
                    finally:
                        client.abort()
            except (OSError, TimeoutError) as error:
                self.tally.error(f"{doing.__name__}: {type(error).__name__}")

    def _expect(self, kind: str, answer: HttpAnswer, *statuses: int) -> None:
        if answer.closed or answer.status not in statuses:
            self.tally.error(f"{kind}: {answer.status} {answer.body[:80]!r}")
        else:
            self.tally.answered(kind)

    async def _wrong_password(self, client: Client, login: str) -> None:
        sent = request(eas("FolderSync", login, "soakguess"), FOLDER_SYNC, Authorization=basic(login, "wrong"))
        answer = await client.ask(sent)
        if answer.body.startswith(b"mail"):
            self.tally.wrong_answer(f"{login} got mail with a wrong password")
        # 503: so many of one user's failed of late that the mail server is not asked again.
        self._expect("wrong password", answer, 401, 503)

    async def _unknown_device(self, client: Client, login: str) -> None:
        stranger = f"stranger{self.rng.randrange(50):02}@corp.example"
        answer = await client.ask(request(eas("FolderSync", stranger, "soakstranger"), FOLDER_SYNC, user=stranger))
        self._expect("unknown device", answer, 200)

    async def _closed_path(self, client: Client, login: str) -> None:
        answer = await client.ask(request(self.rng.choice(CLOSED), method="GET", user=login), "GET")
        self._expect("closed path", answer, 404)

    async def _half_a_head(self, client: Client, login: str) -> None:
        octets = request(eas("FolderSync", login, "soakhalf"), FOLDER_SYNC, user=login)
        client.write(octets[: self.rng.randrange(1, 150)])
        await asyncio.sleep(self.rng.uniform(0.0, 0.2))
        self.tally.answered("dropped in a head")

    async def _half_a_body(self, client: Client, login: str) -> None:
        stranger = f"stranger{self.rng.randrange(50):02}@corp.example"
        octets = request(eas("SendMail", stranger, "soakstranger"), SEND_MAIL + b"m" * 500_000, user=stranger)
        client.write(octets[: self.rng.randrange(600, 400_000)])
        await asyncio.sleep(self.rng.uniform(0.0, 0.2))
        self.tally.answered("dropped in a body")

    async def _half_an_answer(self, client: Client, login: str) -> None:
        stranger = f"stranger{self.rng.randrange(50):02}@corp.example"
        target = eas("ItemOperations", stranger, "soakstranger")
        client.write(request(target, ITEM_OPERATIONS, user=stranger, X_MS_PolicyKey="3000000"))
        await asyncio.sleep(self.rng.uniform(0.0, 0.1))
        self.tally.answered("dropped in an answer")
