"""A gateway worker: the decision point, the feed and the mail proxies in one process.

It reads the store and never writes it; what it sees goes to the control process by the sighting stream, how it is by
the supervisor's link. It ends when that link closes.
"""

import asyncio
import gc
import os
import time
from collections.abc import Awaitable, Mapping

import structlog

from gateway.app.cache_start import until_it_listens
from gateway.app.front_parts import attempts_of, client_certificates_of
from gateway.app.fronts import Fronts, Shared, servers_away
from gateway.app.glass import GlassWatch
from gateway.app.kinds import FIRST_WORKER
from gateway.app.parts import (
    RECORD_TTL_SECONDS,
    data_dir_of,
    demands_of,
    identity_of,
    record_reader,
    redis_of,
    storage_url_of,
)
from gateway.app.tasks import Tasks
from gateway.decision import sessions_told
from gateway.decision.brake_feed import BrakeFeed
from gateway.decision.decision_point import DecisionPoint
from gateway.decision.device_cache import DeviceCache
from gateway.decision.effects import EffectLog
from gateway.decision.policy_feed import PolicyFeed
from gateway.decision.sightings import SightingLog
from gateway.decision.standstill import Standstill
from gateway.domain.policy import first_policy, policy_of
from gateway.inventory.publication import check_forward
from gateway.observability.clock import SteadyClock
from gateway.observability.metrics import Metrics
from gateway.observability.process_figures import ProcessFigures
from gateway.ports.state_cache import CacheUnavailable, StoreWentBack
from gateway.ports.store import Store, StoreUnavailable
from gateway.ports.worker_statuses import Place
from gateway.runtime.elsewhere import StatusTeller
from gateway.runtime.link import Message, SupervisorLink
from gateway.settings import Settings
from gateway.storage.redis import (
    SESSIONS,
    EffectSender,
    RedisMarks,
    RedisPublisher,
    RedisRecords,
    RedisSubscription,
    RedisWorkerStatuses,
    SightingSender,
)
from gateway.storage.sql import SchemaTooOld, open_store

log = structlog.get_logger()

STATUS_EVERY_SECONDS = 1.0
MANY_SESSIONS, MANY_SESSIONS_EVERY_SECONDS = 1_000, 10.0
"""To tell of so many takes a few milliseconds."""
STORE_WITHIN_SECONDS = 60.0
"""How long a start waits for the control process to make and migrate the database."""
CLOSE_WITHIN_SECONDS = 3.0


class Worker:
    """Everything one worker holds, and its life."""

    def __init__(self, settings: Settings, link: SupervisorLink, store: Store, incarnation: str, place: Place) -> None:
        rules = identity_of(settings)
        self._settings = settings
        self._link = link
        self._store = store
        self._redis = redis_of(settings)
        self._feed_redis = redis_of(settings)
        """What is new does not wait behind the records of a crowd."""
        self._teller = StatusTeller(RedisWorkerStatuses(self._redis), place)
        self._sessions_teller = StatusTeller(RedisWorkerStatuses(self._redis, names=SESSIONS), place)
        self._metrics = Metrics()
        self._figures = ProcessFigures(self._metrics, place.name)
        self._clock = SteadyClock()
        records = RedisRecords(self._redis, incarnation, RECORD_TTL_SECONDS)
        cache = DeviceCache(record_reader(store, rules), records, settings.decision.cache_people)
        self._decision = DecisionPoint(cache, policy_of(first_policy(0.0)), self._clock.now, demands_of(settings))
        self._feed = PolicyFeed(
            store,
            RedisSubscription(self._feed_redis),
            self._decision,
            state_bound_seconds=settings.decision.state_bound_seconds,
            on_policy_in_force=lambda version: self._tell_status(),
        )
        self._brake = BrakeFeed(store, self._decision, self._clock.now)
        self._glass = GlassWatch(data_dir_of(settings), self._decision, self._clock.now)
        self._standstill = Standstill(self._decision, self._feed.catch_up)
        self._sightings = SightingLog(SightingSender(self._redis).send, self._clock.now)
        self._effects = EffectLog(EffectSender(self._redis).send, self._clock.now)
        self._decision.effects = self._effects
        attempts, now = attempts_of(settings, self._clock.now), self._clock.now
        marks, certificates = RedisMarks(self._redis), client_certificates_of(settings, rules, now)
        shared = Shared(
            self._decision,
            rules,
            self._sightings,
            self._metrics,
            attempts,
            now,
            marks,
            certificates,
            first=place.name == FIRST_WORKER,
        )
        self._fronts = Fronts(settings, shared)
        self._draining = asyncio.Event()
        self._handed_over = False
        """Others accept on the same sockets already."""
        self._serving = False

    async def run(self) -> None:
        """Serve until told to drain, or until the supervisor is gone. Raises ``TaskFailed``."""
        await self._feed.start()
        await self._doubt_an_earlier_state()
        # Before the first phone is judged.
        await self._brake.look()
        await self._glass.look()
        await self._fronts.start()
        await self._fronts.listen(self._link.sockets)
        # What stands now stays: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        self._serving = True
        self._link.send({"type": "ready"})
        self._tell_status()
        works: tuple[Awaitable[object], ...] = (
            self._feed.run(),
            self._standstill.watch(),
            self._glass.run(),
            self._brake.run(),
            self._clock.watch(),
            self._sightings.run(),
            self._effects.run(),
            self._tell_regularly(),
            self._teller.run(),
            self._sessions_teller.run(),
            self._tell_sessions(),
            self._link.run(self._take),
            self._draining.wait(),
        )
        tasks = Tasks(works, tell_of_the_end)
        try:
            await tasks.until_one_ends()
            await self._fronts.drain(self._settings.gateway.drain_seconds, handed_over=self._handed_over)
        finally:
            await self._end(tasks)
        tasks.see_that_none_failed()

    async def _doubt_an_earlier_state(self) -> None:
        """Believe no shared record if the cache knows of changes that the store does not have.

        Then somebody put an earlier state of the store in place. The control process begins another life, which ends
        the doubt; but it may begin after this worker, or not at all.
        """
        try:
            await check_forward(self._store, RedisPublisher(self._redis, self._feed.incarnation))
        except CacheUnavailable:
            # The feed says so; until it is back, nothing of the cache is read either.
            return
        except StoreWentBack as error:
            log.warning("shared_records_doubted", reason=str(error))
            self._decision.cache.begin_anew("", self._feed.sequence)

    async def _end(self, tasks: Tasks) -> None:
        await self._fronts.close()
        await tasks.end()
        await self._decision.close()
        try:
            async with asyncio.timeout(CLOSE_WITHIN_SECONDS):
                await self._teller.leave()
                await self._sessions_teller.leave()
                await self._redis.close()
                await self._feed_redis.close()
                await self._store.close()
        except TimeoutError:
            log.warning("store_not_closed_in_time")

    def _take(self, message: Message) -> None:
        if message.get("type") == "drain":
            self._handed_over = bool(message.get("handed_over"))
            self._draining.set()
        elif message.get("type") == "reload":
            self._fronts.reload_tls()

    async def _tell_regularly(self) -> None:
        while True:
            await asyncio.sleep(STATUS_EVERY_SECONDS)
            self._tell_status()

    async def _tell_sessions(self) -> None:
        """For previews: who would be cut now."""
        while True:
            self._sessions_teller.tell(await sessions_told.told(self._decision.sessions))
            many = self._decision.sessions.count > MANY_SESSIONS
            await asyncio.sleep(MANY_SESSIONS_EVERY_SECONDS if many else STATUS_EVERY_SECONDS)

    def _tell_status(self) -> None:
        if not self._serving:
            return
        fronts = self._fronts.status()
        self._gauge(servers_away(fronts))
        self._figures.gauge()
        told = {
            "pid": os.getpid(),
            "policy_version": self._feed.policy_in_force,
            "sequence": self._feed.sequence,
            "feed_up": self._feed.feed_up,
            "feed_age": round(self._feed.age_seconds, 3),
            "stale": self._feed.stale,
            "state_lost": self._decision.state_lost,
            "glass_broken": self._decision.glass_broken,
            "clock_jumped": round(self._clock.jumped_by, 1),
            "lists_age_until": self._brake.until,
            "sessions": self._decision.sessions.count,
            "front": fronts,
        }
        self._teller.tell(told)
        self._link.send({"type": "status", **told, "metrics": self._metrics.snapshot()})

    def _gauge(self, servers_away: Mapping[str, bool]) -> None:
        cache, gauge = self._decision.cache, self._metrics.gauge
        gauge("gatepost_cached_people", "Person records in memory").set(len(cache.entries))
        gauge("gatepost_sessions", "Requests, waiting phones and mail sessions at this moment").set(
            self._decision.sessions.count
        )
        gauge("gatepost_feed_age_seconds_sum", "Seconds since each worker knew that it knew all, summed").set(
            self._feed.age_seconds
        )
        gauge("gatepost_feed_stale", "Workers that have heard nothing of changes for some seconds").set(
            self._feed.stale
        )
        gauge("gatepost_state_lost", "Workers whose state is older than its bound").set(self._decision.state_lost)
        gauge("gatepost_glass_broken", "Workers that enforce nothing because the glass is broken").set(
            self._decision.glass_broken
        )
        gauge("gatepost_clock_jumped", "Processes whose wall clock jumped and is not believed yet").set(
            bool(self._clock.jumped_by)
        )
        away = gauge("gatepost_mail_server_away", "Workers that cannot reach the mail server", "upstream")
        for url, is_away in servers_away.items():
            away.set(is_away, url)
        counter = self._metrics.counter
        counter("gatepost_record_loads_total", "Records read").values[()] = cache.loads
        counter("gatepost_record_loads_failed_total", "Records that could not be read").values[()] = cache.failed_loads
        counter("gatepost_audit_effects_dropped_total", "Refusals and cuts not noted for the audit log").values[()] = (
            self._effects.dropped
        )
        counter("gatepost_sightings_dropped_total", "Sightings dropped for want of room").values[()] = (
            self._sightings.dropped
        )


def tell_of_the_end(outcome: object) -> bool:
    """Log how a task of a worker ended, where somebody should know; whether that was a fault."""
    if not isinstance(outcome, Exception):
        return False
    log.error("worker_task_failed", error=repr(outcome), exc_info=outcome)
    return True


async def run_worker(settings: Settings, link: SupervisorLink, place: Place, *, cache_starts: bool = False) -> None:
    """A worker's whole life. Raises ``StoreUnavailable``, ``TlsUnusable``, ``TaskFailed``."""
    store, incarnation = await _store_with_policy(settings)
    if cache_starts:
        await until_it_listens(settings.redis.url)
    await Worker(settings, link, store, incarnation, place).run()


async def _store_with_policy(settings: Settings) -> tuple[Store, str]:
    """The store, once the control process has made it and the first policy version."""
    until = time.monotonic() + STORE_WITHIN_SECONDS
    while True:
        store = None
        try:
            store = await open_store(storage_url_of(settings), writable=False)
            async with store.read() as reading:
                if await reading.policy() is not None:
                    return store, await reading.incarnation()
            reason = "the control process has not made the first policy version yet"
        except (StoreUnavailable, SchemaTooOld) as error:
            reason = str(error)
        if store is not None:
            await store.close()
        if time.monotonic() > until:
            raise StoreUnavailable(reason)
        await asyncio.sleep(0.05)
