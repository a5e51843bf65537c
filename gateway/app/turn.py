"""Whose turn it is among control processes of two versions: one writes the store, so the next one waits to begin."""

import asyncio
from collections.abc import Callable

from gateway.runtime.link import Message


class Turn:
    """Whose turn it is: holds the supervisor's messages until there is somebody to take them."""

    def __init__(self) -> None:
        self._told = asyncio.Event()
        self._begin = False
        self._held: list[Message] = []
        self._taker: Callable[[Message], None] = self._held.append

    def take(self, message: Message) -> None:
        """A message of the supervisor."""
        if message.get("type") == "begin":
            self._begin = True
            self._told.set()
            return
        if message.get("type") == "drain":
            self._told.set()
        self._taker(message)

    async def begins(self, linked: asyncio.Future[None]) -> bool:
        """Wait for the word to begin; False: it is to end, or the supervisor is gone."""
        told = asyncio.ensure_future(self._told.wait())
        await asyncio.wait((told, linked), return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        return self._begin

    def hand_to(self, taker: Callable[[Message], None]) -> None:
        """Who takes messages from now on, those that were held first."""
        self._taker = taker
        for message in self._held:
            taker(message)
        self._held.clear()
