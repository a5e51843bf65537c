"""Notices into Exchange on premises by EWS: a service account or the mailbox's own, with a copy in Sent Items.

exchangelib blocks, so each attempt is one thread's, of at most as many threads as connections. When its time is over
its connection is shut down and the thread ends; nothing begins after that. Where the server asks for patience, no
notice is offered to it until then. exchangelib is loaded when the first attempt is made, for others to do without.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from gateway.notices.exchange_answers import attempt_of, refused_login, why_unusable
from gateway.notices.exchange_settings import ExchangeSettings
from gateway.ports.notices import Attempt, DeliveryUnusable, MayGo, Outcome, OutgoingNotice, of_the_way

if TYPE_CHECKING:
    from gateway.notices.exchange_requests import ExchangeMailbox
    from gateway.notices.exchange_wire import Trace

T = TypeVar("T")
GRACE_SECONDS = 5.0
"""A thread whose connection has been shut down ends within this, unless it waits for a name server."""
READ_BACK_SECONDS = 10.0
"""How long a notice that has been taken waits to be recorded as sent, for its Message-ID."""
KEYS_AT_ONCE = 50
TOKEN_AGAIN_SECONDS = 1.0
LOGIN_AGAIN_SECONDS = 300.0
LOGIN_AGAIN_LONGEST = 3_600.0


class ExchangeDelivery:
    """``ports.notices.NoticeDelivery`` by EWS."""

    name = "exchange"
    remembers = True

    def __init__(self, settings: ExchangeSettings) -> None:
        self._settings = settings
        self._turns = asyncio.Semaphore(settings.connections)
        self._threads = ThreadPoolExecutor(settings.connections, thread_name_prefix="exchange")
        self._opening = asyncio.Lock()
        self._mailbox: ExchangeMailbox | None = None
        self._not_before = 0.0
        self._tokens_refused = 0
        self._proving = asyncio.Lock()
        self._proved = False
        self._refused = 0
        self._refused_words = ""

    async def deliver(self, notice: OutgoingNotice, may_go: MayGo) -> Attempt:
        """See ``NoticeDelivery``."""
        async with self._turns:
            if self._proved:
                return await self._attempt(notice, may_go)
            # Until a login has been accepted, one at a time: a wrong password is not shown by each connection.
            async with self._proving:
                return await self._attempt(notice, may_go)

    async def _attempt(self, notice: OutgoingNotice, may_go: MayGo) -> Attempt:
        left = self._not_before - monotonic()
        if left > 0 and self._refused:
            return of_the_way(Outcome.CHANNEL_BROKEN, self._refused_words, left)
        if left > 0:
            return of_the_way(Outcome.DEFERRED, "the server has asked for patience", left)
        mailbox = await self._opened()
        trace, _, error = await self._in_thread(mailbox.log_in)
        if error is not None:
            return attempt_of(trace, error)
        if not await may_go():
            return Attempt(Outcome.NOT_SENT)
        trace, said, error = await self._in_thread(lambda: mailbox.send(notice), sending=True)
        attempt = attempt_of(trace, error or said)
        if trace.status not in (None, 401):
            self._proved, self._refused = True, 0
        if attempt.outcome is Outcome.ACCEPTED:
            self._tokens_refused = 0
            return replace(attempt, message_id=await self._true_message_id(mailbox, notice))
        return await self._after_failure(mailbox, trace, attempt)

    async def _after_failure(self, mailbox: "ExchangeMailbox", trace: "Trace", attempt: Attempt) -> Attempt:
        if attempt.retry_after_seconds is not None:
            self._not_before = monotonic() + attempt.retry_after_seconds
        if trace.status != 401:
            return attempt
        self._proved = False
        if self._settings.login == "oauth":
            await self._in_thread(mailbox.forget_login)
            self._tokens_refused += 1
            if self._tokens_refused <= self._settings.connections:
                # Taken back before its time: the next attempt has a new one. A new one refused too is another matter.
                words = "the token is not accepted any more"
                return of_the_way(Outcome.DEFERRED, words, TOKEN_AGAIN_SECONDS)
            return attempt
        # No account is to be locked by us.
        seconds = min(LOGIN_AGAIN_SECONDS * 2**self._refused, LOGIN_AGAIN_LONGEST)
        self._refused += 1
        self._not_before = monotonic() + seconds
        self._refused_words = refused_login(self._settings)
        return of_the_way(Outcome.CHANNEL_BROKEN, self._refused_words, seconds)

    async def _true_message_id(self, mailbox: "ExchangeMailbox", notice: OutgoingNotice) -> str:
        """Exchange makes its own; corrections refer to it. Empty where the copy is not to be seen yet."""
        if self._settings.choose_message_id:
            return notice.message_id
        _, found, _ = await self._in_thread(lambda: mailbox.find([notice.key]), READ_BACK_SECONDS)
        return (found or {}).get(notice.key, "")

    async def look_up(self, keys: Sequence[str]) -> Mapping[str, str]:
        """See ``NoticeDelivery``: a copy in Sent Items is proof, no copy is none."""
        found: dict[str, str] = {}
        mailbox = await self._opened()
        for first in range(0, len(keys), KEYS_AT_ONCE):
            some = list(keys[first : first + KEYS_AT_ONCE])
            async with self._turns:
                if self._not_before > monotonic():
                    words = self._refused_words if self._refused else "the server has asked for patience"
                    raise DeliveryUnusable(f"{self._settings.url}: {words}")
                trace, copies, error = await self._in_thread(lambda some=some: mailbox.find(some))  # type: ignore[misc]
            if error is not None:
                raise DeliveryUnusable(f"{self._settings.url}: {why_unusable(trace, error, self._settings)}") from None
            found.update({key: copies[key] for key in some if copies and key in copies})
        return found

    async def check(self) -> str:
        """See ``NoticeDelivery``."""
        mailbox = await self._opened()
        async with self._turns:
            trace, _, error = await self._in_thread(mailbox.look)
        if error is not None:
            words = why_unusable(trace, error, self._settings)
            raise DeliveryUnusable(f"{self._settings.url}: {words}") from None
        return f"{self._settings.url} answers, {self._settings.mailbox} has Sent Items"

    async def close(self) -> None:
        """End connections."""
        mailbox, self._mailbox = self._mailbox, None
        try:
            if mailbox is not None:
                await self._in_thread(mailbox.close)
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)

    # --- threads

    async def _opened(self) -> "ExchangeMailbox":
        async with self._opening:
            if self._mailbox is None:
                loop = asyncio.get_running_loop()
                self._mailbox = await loop.run_in_executor(self._threads, _open, self._settings)
            return self._mailbox

    async def _in_thread(
        self, work: Callable[[], T], seconds: float | None = None, *, sending: bool = False
    ) -> tuple["Trace", T | None, BaseException | None]:
        """The wire's trace, what came of the work, and what it raised. However it ends, nothing begins afterwards."""
        from gateway.notices.exchange_wire import Trace

        trace = Trace(self._settings.url, sending=sending)
        future = asyncio.get_running_loop().run_in_executor(self._threads, _traced, trace, work)
        try:
            await asyncio.wait({future}, timeout=seconds or self._settings.answer_seconds)
            if not future.done():
                trace.end()
                await asyncio.wait({future}, timeout=GRACE_SECONDS)
        finally:
            trace.end()
            future.cancel()
        if future.cancelled():
            return trace, None, TimeoutError("the attempt took too long")
        if (error := future.exception()) is not None:
            return trace, None, error
        return trace, future.result(), None


def _open(settings: ExchangeSettings) -> "ExchangeMailbox":
    from gateway.notices.exchange_requests import ExchangeMailbox

    return ExchangeMailbox(settings)


def _traced(trace: "Trace", work: Callable[[], T]) -> T:
    from gateway.notices.exchange_wire import trace_here

    trace_here(trace)
    try:
        return work()
    finally:
        trace_here(None)
        trace.close()
