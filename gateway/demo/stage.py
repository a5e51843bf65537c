"""Everybody in the demo: mailbox server, gateway, phone, administrator and inventory agent, set up and taken down.

``during`` is how the story waits: for an answer, for the end of the gateway, or for the time to be up, whichever comes
first; only the first of them is a success.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Collection, Coroutine
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from gateway.demo.control import Administrator, Agent
from gateway.demo.gateway_child import GatewayChild
from gateway.demo.mailbox_server import Account, MailboxServer
from gateway.demo.phone import Phone
from gateway.demo.values import DOMAIN, DemoFailed
from gateway.domain.errors import DomainError

T = TypeVar("T")

USER = f"anna@{DOMAIN}"
DEVICE_ID = "DEMOPHONE1"
WAIT_SECONDS = 10.0
_LAST_WORD_SECONDS = 1.0
"""How long a broken connection may be ahead of the news that the gateway has ended."""


class Stage:
    """Everybody, and the moment it began. To be used with ``async with``, which takes everything down."""

    def __init__(self, directory: Path, others: Collection[str] = ()) -> None:
        """``others``: further users of the mailbox server, by the same password."""
        self.begun = time.monotonic()
        account = Account(USER, secrets.token_urlsafe(12))
        self.account = account
        self.mailbox = MailboxServer(account, others)
        self.gateway = GatewayChild(directory)
        self._phones: list[Phone] = []
        self._administrator: Administrator | None = None
        self._agent: Agent | None = None
        self._beside: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Self:
        await self.mailbox.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        # Those who wait for an answer first, or they would tell of it that none came.
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        self.hang_up()
        for client in (self._administrator, self._agent):
            if client is not None:
                await client.close()
        # Why the demo fails, if it does, is known already; a good end is a step of the story.
        with suppress(DemoFailed):
            await self.gateway.stop()
        await self.mailbox.close()

    def phone(self, version: str = "14.1", *, url: str = "") -> Phone:
        """The phone, asking in that version, at the gateway unless another URL is given."""
        phone = Phone(url or self.gateway.url("http"), self.account.user, self.account.password, DEVICE_ID, version)
        self._phones.append(phone)
        return phone

    def administrator(self) -> Administrator:
        """A client of the running gateway's admin API."""
        if self._administrator is None:
            self._administrator = Administrator(self.gateway.url("admin"), self.gateway.token)
        return self._administrator

    def agent(self, secret: str) -> Agent:
        """The inventory agent with its source's secret."""
        self._agent = Agent(self.gateway.url("inventory"), secret)
        return self._agent

    def hang_up(self) -> None:
        """Close every phone's connection."""
        for phone in self._phones:
            phone.hang_up()

    async def during(self, work: Awaitable[T], doing: str, seconds: float = WAIT_SECONDS) -> T:
        """What comes of ``work``. Raises ``DemoFailed`` when it fails, takes too long, or the gateway ends first."""
        task = asyncio.ensure_future(work)
        waited_for: set[asyncio.Future[Any]] = {task}
        if self.gateway.ended is not None:
            waited_for.add(self.gateway.ended)
        try:
            await asyncio.wait(waited_for, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                gone = self.gateway.ended is not None and self.gateway.ended.done()
                raise DemoFailed(f"{doing}: nothing came" + ("" if gone else f" within {seconds:g} s"))
            return task.result()
        except (OSError, ValueError, DomainError, httpx.HTTPError) as error:
            raise DemoFailed(f"{doing}: {error or type(error).__name__}") from None
        except LookupError as error:
            raise DemoFailed(f"{doing}: the answer lacks {error}") from None
        finally:
            if not task.done():
                task.cancel()
                # Its end is waited for and taken note of; else the loop tells of it, at length, when all is over.
                await asyncio.gather(task, return_exceptions=True)

    def beside(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin something that is waited for later, or ends with the demo."""
        task = asyncio.create_task(work)
        self._beside.append(task)
        return task

    async def blamed(self, failure: DemoFailed) -> DemoFailed:
        """The failure with its cause, where that is the end of the gateway."""
        ended = self.gateway.ended
        if ended is not None:
            await asyncio.wait({ended}, timeout=_LAST_WORD_SECONDS)
            if ended.done():
                gone = f"the gateway (process {self.gateway.pid}) has ended with exit code {ended.result()}"
                return DemoFailed(f"{gone}; {failure}")
        return failure
