"""How a worker hears of changes: the fast feed, and the change log in the store behind it.

Every message carries (incarnation, sequence); a heartbeat follows each second. A gap, silence or another incarnation
sends the follower to the change log; only if that is trimmed is everything dropped. While the feed is away the log is
polled. ``last_heard_at`` is the last moment at which the follower knew that it knew everything.

Changes are applied in their order, some by reading the store, which may take long. Whom a change concerns is told to
the decision point at once all the same, in whatever order: what is forgotten too early is read again.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from gateway.decision.decision_point import DecisionPoint
from gateway.domain.policy import Policy, PolicyVersion, policy_of
from gateway.ports.state_cache import CacheUnavailable, ChangeSubscription, FeedMessage
from gateway.ports.store import Change, ChangeKind, Reading, Store, StoreUnavailable

T = TypeVar("T")

log = structlog.get_logger()

HEARTBEAT_SECONDS = 1.0
SILENCE_SECONDS = 1.5 * HEARTBEAT_SECONDS
"""Without an answer of the feed for so long, the change log is read."""
STALE_AFTER_SECONDS = 3.0
"""Silence after which the feed is called stale in health and metrics."""
BUSY_SECONDS = 0.1
"""What is not applied within so long does not keep us from listening."""
STORE_SECONDS = 5.0
"""A reading that takes longer is given up, and begun again a second later."""
BACKLOG_MOST = 10_000
"""Messages that wait to be applied; what is lost of more is read from the change log."""
PAST_ROWS = 10_000
"""Rows of the change log that a worker learns when it begins, lest it believe what they have overtaken."""


class PolicyFeed:
    """Follows changes for one decision point."""

    def __init__(
        self,
        store: Store,
        subscription: ChangeSubscription | None,
        decision: DecisionPoint,
        *,
        state_bound_seconds: float = 900.0,
        on_policy_in_force: Callable[[int], None] = lambda version: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._subscription = subscription
        self._decision = decision
        self._state_bound_seconds = state_bound_seconds
        self._on_policy_in_force = on_policy_in_force
        self._monotonic = monotonic
        self.sequence = 0
        self.incarnation = ""
        self._numbered = ""
        """The life of the store whose numbers the records at hand go by; empty: none can be told apart."""
        self.policy_in_force = decision.policy.version.number
        self.last_heard_at = monotonic()
        self.feed_up = False
        self._told_lost = False
        self._order = asyncio.Lock()
        """Changes are applied one after the other, whoever has heard of them."""
        self._backlog: deque[FeedMessage] = deque(maxlen=BACKLOG_MOST)
        self._taking: asyncio.Task[None] | None = None
        """Applies the backlog."""
        self._again_at = monotonic()
        """Not before is the store asked again that has just failed."""

    @property
    def age_seconds(self) -> float:
        """Seconds since the follower last knew that it knew everything."""
        return self._monotonic() - self.last_heard_at

    @property
    def stale(self) -> bool:
        """Whether the follower has not known for too long that it knows everything."""
        return self.age_seconds > STALE_AFTER_SECONDS

    async def start(self) -> None:
        """Begin at the store's present state. Raises ``StoreUnavailable``."""
        asked_at = self._monotonic()
        async with self._store.read() as reading:
            self.incarnation = await reading.incarnation()
            self.sequence = await reading.sequence()
            known = await reading.changes_after(max(0, self.sequence - PAST_ROWS))
            version = await reading.policy()
        # The store may have begun another life since the cache was set up.
        self._decision.cache.begin_anew(self.incarnation, 0)
        self._numbered = self.incarnation
        self._learn_the_past(known)
        await self._use(version)
        self.last_heard_at = asked_at

    def _learn_the_past(self, known: Sequence[Change] | None) -> None:
        """Accept nothing from the shared cache that a change in the log has overtaken."""
        if known is None:
            self._decision.cache.start_at(self.sequence)
            return
        for change in known:
            if change.kind is ChangeKind.EVERYBODY:
                self._decision.cache.start_at(change.sequence)
            for login in change.names:
                self._decision.cache.invalidate(login, change.sequence)

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            while True:
                await self._follow_once()
                await self._mind_the_bound()
        finally:
            if self._taking is not None:
                self._taking.cancel()
                await asyncio.gather(self._taking, return_exceptions=True)

    async def _follow_once(self) -> None:
        messages = await self._next_messages()
        if messages:
            self.feed_up, self._told_lost = True, False
            self._backlog.extend(messages)
        # One that has ended while we listened: what came since is not in it.
        self._settle()
        # Messages that tell nothing new are no sign of life: those of a store that went back are all like that.
        due = bool(self._backlog) or self.age_seconds >= HEARTBEAT_SECONDS
        if due and self._taking is None and self._monotonic() >= self._again_at:
            self._taking = asyncio.create_task(self._take_backlog())
            await asyncio.wait({self._taking}, timeout=BUSY_SECONDS)
        if not self._settle() or self._taking is not None or self._backlog:
            self._tell_at_once(messages)

    async def _take_backlog(self) -> None:
        while self._backlog:
            message = self._backlog.popleft()
            async with self._order:
                await self._take(message)
        if self.age_seconds >= HEARTBEAT_SECONDS:
            await self.catch_up()

    def _settle(self) -> bool:
        """Look at a taking that has ended. False: it failed; what it could not apply is read from the log later."""
        if self._taking is None or not self._taking.done():
            return True
        error = self._taking.exception()
        self._taking = None
        if isinstance(error, StoreUnavailable):
            log.warning("change_log_unreadable", error=str(error), age_seconds=round(self.age_seconds, 1))
            self._again_at = self._monotonic() + HEARTBEAT_SECONDS
        elif error is not None:
            raise error
        return error is None

    def _tell_at_once(self, messages: Sequence[FeedMessage]) -> None:
        """Evidence changed, whatever else has to be applied before: nobody is judged by the old any more.

        Nor is an older record taken from the shared cache, where the record may not have come. The number of a change
        of another life of the store means nothing here.
        """
        for message in messages:
            change = message.change
            if change is None:
                continue
            if change.kind is ChangeKind.PERSON:
                for login in change.names:
                    if message.incarnation == self._numbered:
                        self._decision.changed(login, change.sequence)
                    else:
                        self._decision.suspect(login)
            elif change.kind is ChangeKind.EVERYBODY:
                self._decision.suspect_everybody()

    async def _next_messages(self) -> tuple[FeedMessage, ...]:
        """What the feed says; nothing within the time in which the change log must be looked at."""
        began = self._monotonic()
        if self._subscription is not None:
            try:
                # A server that takes the question and never answers must not keep us from the change log.
                async with asyncio.timeout(SILENCE_SECONDS):
                    return tuple(await self._subscription.next(1.25 * HEARTBEAT_SECONDS))
            except CacheUnavailable as error:
                self._note_lost(str(error))
            except TimeoutError:
                self._note_lost("no answer in time")
        self.feed_up = False
        await asyncio.sleep(max(0.0, began + HEARTBEAT_SECONDS - self._monotonic()))
        return ()

    def _note_lost(self, error: str) -> None:
        # Once for each time that it goes; a feed that is away from the start is told as well.
        if not self._told_lost:
            self._told_lost = True
            log.warning("feed_unavailable", error=error)

    async def _take(self, message: FeedMessage) -> None:
        if message.incarnation != self.incarnation:
            await self._catch_up()
        elif message.sequence > self.sequence + (message.change is not None):
            # Something in between was lost; the log has it.
            await self._catch_up()
        elif message.change is not None and message.sequence == self.sequence + 1:
            self._heard()
            await self._apply(message.change)
        elif message.sequence == self.sequence:
            self._heard()

    async def catch_up(self) -> None:
        """Read the change log from where we are to its end. Raises ``StoreUnavailable``."""
        async with self._order:
            await self._catch_up()

    async def _catch_up(self) -> None:
        while True:
            # Known is what was committed when it was asked for, however long it takes to apply.
            asked_at = self._monotonic()
            newest = await self._catch_up_some()
            if self.sequence >= newest:
                self.last_heard_at = asked_at
                return

    async def _catch_up_some(self) -> int:
        """Read and apply as much of the change log as one reading gives; the newest sequence."""
        incarnation, newest, changes, version = await self._read(self._news)
        if changes is None:
            log.warning("state_reloaded", incarnation=incarnation, sequence=newest)
            await self._begin_anew(incarnation, newest, version)
        else:
            for change in changes:
                await self._apply(change)
        return newest

    async def _news(self, reading: Reading) -> tuple[str, int, Sequence[Change] | None, PolicyVersion | None]:
        """Whose log it is, where it ends, what is new in it; if that cannot be told, the policy."""
        incarnation = await reading.incarnation()
        newest = await reading.sequence()
        trimmed = incarnation != self.incarnation or newest < self.sequence
        changes = None if trimmed else await reading.changes_after(self.sequence)
        return incarnation, newest, changes, await reading.policy() if changes is None else None

    async def _begin_anew(self, incarnation: str, newest: int, version: PolicyVersion | None) -> None:
        """Drop everything; first the records, because another life may have another policy of the same number."""
        cache = self._decision.cache
        if incarnation != self.incarnation:
            self._numbered = incarnation
            cache.begin_anew(incarnation, newest)
        elif newest < self.sequence:
            # The store lost commits and kept its name, as after a failover to a replica that was behind.
            self._numbered = ""
            cache.begin_anew("", newest)
        else:
            cache.invalidate_all(newest)
        if not await self._use(version):
            await self._decision.rejudge_all()
        self.incarnation, self.sequence = incarnation, newest

    async def _apply(self, change: Change) -> None:
        if change.kind is ChangeKind.PERSON:
            for login in change.names:
                self._decision.changed(login, change.sequence)
        elif change.kind is ChangeKind.POLICY:
            await self._use(await self._read(lambda reading: reading.policy()))
        else:
            await self._decision.everybody_changed(change.sequence)
        # Last: a change that could not be applied is read from the log again.
        self.sequence = change.sequence

    async def _read(self, work: Callable[[Reading], Awaitable[T]]) -> T:
        """A reading in time. Raises ``StoreUnavailable``."""
        try:
            async with asyncio.timeout(STORE_SECONDS), self._store.read() as reading:
                return await work(reading)
        except TimeoutError as error:
            raise StoreUnavailable(f"no answer within {STORE_SECONDS:.0f} s") from error

    async def _use(self, version: PolicyVersion | None) -> bool:
        """Put a version in force; whether it is another one than before."""
        if version is None:
            return False
        # Given, and not in force: whoever put it in force did not come to the end of the sessions.
        if version == self._decision.given.version and version.number == self.policy_in_force:
            return False
        policy: Policy = policy_of(version, self._decision.given)
        await self._decision.use(policy)
        self.policy_in_force = version.number
        self._on_policy_in_force(version.number)
        log.info("policy_in_force", policy_version=version.number)
        return True

    def _heard(self) -> None:
        self.last_heard_at = self._monotonic()

    async def _mind_the_bound(self) -> None:
        lost = self.age_seconds > self._state_bound_seconds
        if lost is not self._decision.state_lost:
            self._decision.state_lost = lost
            log.warning("state_lost" if lost else "state_back", age_seconds=round(self.age_seconds, 1))
            await self._decision.rejudge_all()
