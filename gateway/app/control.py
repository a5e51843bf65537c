"""The control process: admin API, report receiver, publication of changes, and what must happen once.

Control processes alone write the store. Ends when told to drain, or when the supervisor's link closes.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from gateway import __version__
from gateway.admin.api import ApiDeps, BodyLimits, create_api
from gateway.admin.api.health import HealthDeps, create_health
from gateway.admin.bold_bindings import performers
from gateway.admin.guarded import Performers
from gateway.app.auditing import Auditing
from gateway.app.braking import Braking
from gateway.app.changing import Changing, alone_of, fleet_settings_of, named_of, rules_of, sentences_of
from gateway.app.glass import GlassBook
from gateway.app.health import CertificateDates
from gateway.app.lookout import Looked, Lookout
from gateway.app.noticing import Noticing
from gateway.app.once import take_sightings, tidy
from gateway.app.parts import (
    INDEX_FILE,
    RECORD_TTL_SECONDS,
    data_dir_of,
    demands_of,
    identity_of,
    record_loader,
    server_tls_of,
)
from gateway.app.retaining import Retaining
from gateway.app.serving import END_SECONDS, Serving, ServingLimits
from gateway.app.tasks import Tasks
from gateway.audit.keys import AuditKey
from gateway.changes.connected import connected
from gateway.changes.cut_devices import CutMarks
from gateway.changes.fleet_previews import FleetPreviews
from gateway.domain.policy import Policy
from gateway.inventory.bindings import Bindings
from gateway.inventory.consequences import Evidence
from gateway.inventory.credentials import Credentials
from gateway.inventory.erasing import Eraser
from gateway.inventory.followed_policy import FollowedPolicy
from gateway.inventory.ingest import Ingest
from gateway.inventory.mail_devices import MailDevices
from gateway.inventory.people import People
from gateway.inventory.publication import Publication
from gateway.inventory.sources.push.intake import ReceiverLimits
from gateway.inventory.sources.push.receiver import create_receiver
from gateway.observability.clock import SteadyClock
from gateway.observability.metrics import Metrics, merged
from gateway.observability.process_figures import ProcessFigures
from gateway.observability.rendering import render
from gateway.ports.state_cache import StoreWentBack
from gateway.ports.store import Store
from gateway.ports.worker_statuses import Place
from gateway.runtime.board import WorkerBoard
from gateway.runtime.elsewhere import Elsewhere
from gateway.runtime.leases import Leases, holder_name
from gateway.runtime.link import Message, SupervisorLink
from gateway.settings import Settings
from gateway.storage.redis import (
    SESSIONS,
    RedisConnection,
    RedisEraser,
    RedisPublisher,
    RedisRecords,
    RedisWorkerStatuses,
)

log = structlog.get_logger()

OTHERS_SECONDS = 6.0
"""At the end, for all but the servers: notices under way, leases to be given back, the index to be saved."""


class Control:
    """Everything the control process holds, and its life."""

    def __init__(
        self,
        settings: Settings,
        link: SupervisorLink,
        store: Store,
        redis: RedisConnection,
        life: str,
        policy: Policy,
        place: Place,
        key: AuditKey,
        *,
        alone: bool,
    ) -> None:
        """``alone``: the cache server is this supervisor's own."""
        rules = identity_of(settings)
        self._settings = settings
        self._link = link
        self._store = store
        followed = FollowedPolicy(policy)
        self._redis = redis
        self._metrics = Metrics()
        self._figures = ProcessFigures(self._metrics, place.name)
        self._clock = SteadyClock()
        now = self._clock.now
        # So long a worker that hears nothing judges by what it knew; a minute for two clocks and a slow start.
        statuses = RedisWorkerStatuses(redis, forgotten_seconds=settings.decision.state_bound_seconds + 60)
        self._elsewhere = Elsewhere(statuses, place, alone=alone)
        self._board = WorkerBoard(elsewhere=self._elsewhere)
        records = RedisRecords(redis, life, RECORD_TTL_SECONDS, publishing=True)
        load = record_loader(rules)
        self._publication = Publication(store, records, RedisPublisher(redis, life), load, life)
        self._leases = Leases(store, holder_name())
        publish = self._publication.publish
        evidence = Evidence(store, rules, publish, lambda: followed.policy, followed.catch_up)
        self._previews = FleetPreviews(
            store,
            load,
            data_dir_of(settings) / INDEX_FILE,
            now,
            settings=fleet_settings_of(settings),
            named=named_of(settings),
            connected=partial(connected, RedisWorkerStatuses(redis, names=SESSIONS)),
        )
        self._braking = Braking(settings, store, self._previews, now)
        ingest = Ingest(evidence, now, settings.inventory.claims_per_name, self._braking.reports)
        self._mail_devices = MailDevices(evidence)
        self._retention = Retaining(settings, evidence, now)
        looked = Looked(
            clock=self._clock,
            not_written=lambda: self._leases.trouble,
            feed_up=lambda: self._publication.up,
            heard=ingest.heard,
        )
        self._glass = GlassBook(data_dir_of(settings), store, now)
        self._lookout = Lookout(store, looked, CertificateDates(settings))
        admin, inventory = settings.admin, settings.inventory
        bindings = Bindings(evidence)
        guarded = Performers(performers(bindings, ingest, now), now)
        attempts = self._counter("gatepost_notices_total", "Attempts to send a notice by how they ended", "outcome")
        self._noticing = Noticing(settings, store, load, now, attempts, self._previews)
        cuts = CutMarks(store, load, now)
        self._auditing = Auditing(settings, store, redis, key, now, self._noticing.take_effects, cuts)
        may_cut = alone_of(rules_of(settings))
        self._changing = Changing(
            settings, store, self._previews, self._board, publish, now, self._noticing, guarded.perform
        )
        api = create_api(
            ApiDeps(
                store=store,
                desk=self._changing.desk,
                applier=self._changing.applier,
                verify=self._previews.verify,
                brake=self._braking.fleet_brake,
                editor=self._changing.editor,
                guarded=guarded,
                ingest=ingest,
                bindings=bindings,
                credentials=Credentials(evidence),
                eraser=Eraser(evidence, RedisEraser(redis), self._previews.rewrite, now),
                people=People(evidence, now, lambda: may_cut),
                rules=rules,
                demands=demands_of(settings),
                publish=publish,
                load_record=load,
                status=self._status,
                metrics=self._rendered,
                alive=self._board.alive,
                ready=lambda: self._board.ready(self._lookout.unready),
                notices=self._noticing.desk,
                telling=self._noticing.telling,
                names=self._previews,
                limits=BodyLimits(longest_bytes=admin.max_body_bytes, within_seconds=admin.body_seconds),
                count_refused=self._counter("gatepost_api_refused_total", "API requests not let in", "reason"),
                now=now,
            )
        )
        bound, health, reports = link.sockets("admin"), link.sockets("health"), link.sockets("inventory")
        readers = link.sockets("notices")
        secure = any(each.url.startswith("https:") for each in (*bound, *health, *reports, *readers))
        tls = server_tls_of(settings) if secure else None
        counted = self._counter("gatepost_reports_total", "Reports by how they ended", "outcome")
        receiver = create_receiver(ingest, store, now, _receiver_limits(settings), counted)
        # By itself: who opens health to a monitoring system opens nothing else.
        told = HealthDeps(self._rendered, self._board.alive, lambda: self._board.ready(self._lookout.unready))
        self._servings = (
            Serving(api, bound, tls, self._serving_limits("admin", admin.max_connections, admin.head_seconds)),
            Serving(
                create_health(told),
                health,
                tls,
                self._serving_limits("health", admin.max_connections, admin.head_seconds),
            ),
            Serving(
                receiver,
                reports,
                tls,
                self._serving_limits("inventory", inventory.max_connections, inventory.head_seconds),
            ),
            *self._noticing.servings(readers, tls, self._metrics, self._serving_limits),
        )
        self._draining = asyncio.Event()

    def _counter(self, name: str, text: str, label: str) -> Callable[[str], None]:
        return self._metrics.counter(name, text, label).inc

    def _serving_limits(self, part: str, connections: int, head_seconds: float) -> ServingLimits:
        over = self._metrics.counter(
            "gatepost_control_connections_refused_total", "Connections over a limit", "part", "limit"
        )
        return ServingLimits(
            connections=connections,
            head_seconds=head_seconds,
            handshake_seconds=self._settings.http.tls_handshake_seconds,
            count=partial(over.inc, part),
        )

    async def newest_told(self) -> int | None:
        """The highest sequence that workers were told of (``Publication.newest_told``)."""
        return await self._publication.newest_told()

    def went_back(self, must_have: int, newest: int) -> None:
        """Begin anew: the store cannot be written as it is (``Publication.went_back``)."""
        self._publication.went_back(must_have, newest)

    async def run(self, linked: Awaitable[None]) -> None:
        """Serve until told to end, or until the supervisor is gone (``linked`` is done). Raises ``TaskFailed``."""
        await self._publication.start()
        works: tuple[Awaitable[object], ...] = (
            *(serving.run() for serving in self._servings),
            self._publication.run(),
            self._elsewhere.run(),
            self._leases.run("sightings", partial(take_sightings, self._redis, self._mail_devices)),
            self._lookout.run(),
            self._glass.run(),
            self._previews.run(),
            self._clock.watch(),
            self._leases.run("tidy", partial(tidy, self._store, self._clock.now)),
            self._leases.run("retention", self._retention.run),
            self._leases.run("schedule", self._changing.schedule.run),
            self._braking.run(),
            self._leases.run("brake", self._braking.fleet_brake.run),
            self._leases.run("audit", self._auditing.sign),
            self._leases.run("audit-tidy", self._auditing.tidy),
            self._noticing.run(),
            self._leases.run("recipients", self._noticing.write_down),
            *([self._leases.run("bounces", self._noticing.read_bounces)] if self._noticing.reads_bounces else []),
            self._leases.run("effects", self._auditing.take_effects),
            self._leases.run("evidence", self._auditing.tell_evidence),
            linked,
            self._draining.wait(),
        )
        tasks = Tasks(works, tell_of_the_end)
        try:
            await asyncio.gather(*(serving.started() for serving in self._servings))
            self._link.send({"type": "ready"})
            await tasks.until_one_ends()
        finally:
            await self._end(tasks)
        tasks.see_that_none_failed()

    async def _end(self, tasks: Tasks) -> None:
        for serving in self._servings:
            serving.stop()
        # The servers end by themselves, with what is under way; they come first among the tasks.
        within = min(self._settings.gateway.drain_seconds, END_SECONDS)
        await asyncio.wait(tasks.running[: len(self._servings)], timeout=within)
        # Whatever hangs: the log is signed before the supervisor loses patience (``runtime.supervisor``).
        await tasks.end(OTHERS_SECONDS)
        await self._auditing.end()
        await self._store.close()
        await self._redis.close()

    def take(self, message: Message) -> None:
        """What the supervisor says."""
        if message.get("type") == "drain":
            self._draining.set()
        elif message.get("type") == "reload":
            for serving in self._servings:
                serving.reload_tls()
        else:
            self._board.take(message)

    # --- what the operator sees

    def _status(self) -> dict[str, object]:
        publication = {"feed_up": self._publication.up, "sent": self._publication.sent}
        return {
            **self._board.status(),
            "publication": publication,
            "leases": sorted(self._leases.held),
            "pid": os.getpid(),
            "version": __version__,
            "warnings": [
                *self._glass.sentences(),
                *self._changing.schedule.sentences(),
                *sentences_of(self._settings),
                *self._lookout.sentences(),
                *self._previews.sentences(),
                *self._braking.sentences(),
                *self._auditing.sentences(),
                *self._noticing.sentences(),
            ],
        }

    def _rendered(self) -> str:
        gauge = self._metrics.gauge
        gauge("gatepost_feed_up", "Whether changes go out by the fast feed").set(self._publication.up)
        gauge("gatepost_sequence_sent", "Newest change-log sequence that is on the feed").set(self._publication.sent)
        gauge("gatepost_clock_jumped", "Processes whose wall clock jumped and is not believed yet").set(
            bool(self._clock.jumped_by)
        )
        self._lookout.gauge(self._metrics)
        self._braking.gauge(self._metrics)
        self._auditing.gauge(self._metrics)
        self._noticing.gauge(self._metrics)
        self._figures.gauge()
        return render(merged([self._board.metrics().snapshot(), self._metrics.snapshot()]))


def _receiver_limits(settings: Settings) -> ReceiverLimits:
    """The bounds of reports in the [inventory] section."""
    told = settings.inventory
    return ReceiverLimits(
        body_bytes=told.max_body_bytes,
        unpacked_bytes=told.max_unpacked_bytes,
        apps=told.max_apps,
        body_seconds=told.body_seconds,
        memory_bytes=told.memory_bytes,
        reports_at_once=told.reports_at_once,
    )


def tell_of_the_end(outcome: object) -> bool:
    """Log how a task of the control process ended, where somebody should know; whether that was a fault."""
    if isinstance(outcome, StoreWentBack):
        # Not a fault: the next control process begins another life of the store.
        log.warning("control_begins_anew", reason=str(outcome))
    elif isinstance(outcome, Exception):
        log.error("control_task_failed", error=repr(outcome), exc_info=outcome)
        return True
    return False
