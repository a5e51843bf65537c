"""What a control process looks at regularly so that its operator is told: the store, certificates, silent sources.

``unready`` is for readiness; ``sentences`` are the warnings of ``gatepost status``; ``gauge`` sets the figures that
alarms are made of. Nothing here judges or changes anything.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway import __version__
from gateway.app.health import LOOK_WITHIN_SECONDS, CertificateDates, store_trouble
from gateway.changes.explain import age_words
from gateway.observability.clock import SteadyClock
from gateway.observability.metrics import Metrics
from gateway.ports.store import Source, Store, StoreUnavailable

LOOK_EVERY_SECONDS = 2.0
LIST_SOON_SECONDS = 3_600.0
"""Lists of revoked certificates are made every few hours or days."""
SOON_SECONDS = 14 * 86_400.0
"""A certificate that ends within so long is warned about, as by ``gatepost check``."""
NAMED_SOURCES = 5


@dataclass(frozen=True, slots=True)
class Looked:
    """What other parts of the process know already."""

    clock: SteadyClock
    not_written: Callable[[], str]
    """Why the store could not be written the last time; empty: it could."""
    feed_up: Callable[[], bool]
    heard: Mapping[str, float]
    """When a report of a source was last taken by this process, epoch seconds."""


class Lookout:
    """One per control process; ``run`` must run."""

    def __init__(self, store: Store, looked: Looked, certificates: CertificateDates) -> None:
        self._store = store
        self._looked = looked
        self._certificates = certificates
        self._began_at = looked.clock.now()
        self._sources: Sequence[Source] = ()
        self._policy: tuple[int, bool] | None = None
        self.unready: dict[str, str] = {}
        """Why this process cannot do its work, a sentence by what it is about."""

    async def run(self) -> None:
        """Look, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def look(self) -> None:
        """Look once."""
        self.unready = await store_trouble(self._store)
        if not self.unready:
            await self._read()

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(LOOK_WITHIN_SECONDS), self._store.read() as reading:
                self._sources = await reading.sources()
                version = await reading.policy()
        except (StoreUnavailable, TimeoutError):
            # The next look says so.
            return
        if version is not None:
            self._policy = version.number, version.enforcement_on

    def sentences(self) -> list[str]:
        """What is wrong, each with what it means; nothing when all is well."""
        found = [f"the store cannot be read: {sentence}" for sentence in self.unready.values()]
        if reason := self._looked.not_written():
            found.append(f"the store cannot be written, so reports and edits are refused: {reason}")
        if not self._looked.feed_up():
            found.append("the fast feed is away (Redis): changes take about a second, by the change log")
        if ahead := self._looked.clock.jumped_by:
            found.append(f"the wall clock jumped by {ahead:+.0f} s and is not believed yet: set it right")
        now = self._looked.clock.now()
        for path, ends_at in self._certificates.ends().items():
            if ends_at <= now:
                found.append(f"certificate {path} has expired {age_words(now - ends_at)} ago")
            elif ends_at - now < SOON_SECONDS:
                found.append(f"certificate {path} expires in {age_words(ends_at - now)}")
        return [*found, *self._revocation_list(now), *self._silent(now)]

    def _revocation_list(self, now: float) -> list[str]:
        """A list that has ended keeps everybody out who has a certificate."""
        path, ends_at = self._certificates.revocation_list, self._certificates.list_ends_at
        if ends_at is None or ends_at - now >= LIST_SOON_SECONDS:
            return []
        if ends_at > now:
            return [
                f"the list of revoked certificates {path} ends in {age_words(ends_at - now)}: put the next one in place"
            ]
        return [
            f"the list of revoked certificates {path} has ended {age_words(now - ends_at)} ago: nobody with a "
            "certificate of its authority gets in, so put the next one in place"
        ]

    def _silent(self, now: float) -> list[str]:
        silent = [each for each in self._sources if now - self._last_report_at(each) > each.max_age]
        found = [
            f"source {each.name}: no report of it was taken here for {age_words(now - self._last_report_at(each))}, "
            f"and its lists are stale after {age_words(each.max_age)}"
            for each in silent[:NAMED_SOURCES]
        ]
        return found + ([f"and {len(silent) - NAMED_SOURCES} more sources"] if len(silent) > NAMED_SOURCES else [])

    def _last_report_at(self, source: Source) -> float:
        """Or since when this process would know of one."""
        return self._looked.heard.get(source.name, max(self._began_at, source.created_at))

    def gauge(self, metrics: Metrics) -> None:
        """Set the figures."""
        gauge = metrics.gauge
        gauge("gatepost_info", "1, with the version that runs", "version").set(1, __version__)
        gauge("gatepost_store_up", "Whether the store can be read").set(not self.unready)
        gauge("gatepost_store_writable", "Whether the store could be written the last time").set(
            not self._looked.not_written()
        )
        if self._policy is not None:
            gauge("gatepost_policy_version", "The newest policy version in the store").set(self._policy[0])
            gauge("gatepost_enforcement_on", "Whether the global switch is on").set(self._policy[1])
        reports = gauge(
            "gatepost_source_last_report_timestamp_seconds",
            "When a report of the source was last taken here; at first, when this process began",
            "source",
        )
        # A source that was removed goes.
        reports.values = {(each.name,): self._last_report_at(each) for each in self._sources}
        self._certificates.gauge(metrics)
