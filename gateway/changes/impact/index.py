"""The impact index of a control process: kept up to date by one, asked by many.

``update`` and ``view`` belong to one thread (the event loop's); what takes long runs in another one on a view, which
stays as it is: ``preview``, ``save``, ``verify``. Numbers hold for the sequence that the view bears.
"""

import asyncio
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from gateway.changes.impact.building import LoadRecord, Tell, build, catch_up
from gateway.changes.impact.catalogue import Catalogue
from gateway.changes.impact.figures import Impact, NamedSet
from gateway.changes.impact.fleet import Fleet
from gateway.changes.impact.impact import HORIZONS, Asked, impact_of
from gateway.changes.impact.live import LiveKey, live_on
from gateway.changes.impact.saving import Unusable, frozen, load, save
from gateway.changes.impact.verifying import Verified, sample_of, verify
from gateway.changes.impact.writing import Update, Writer
from gateway.domain.access import Protocol
from gateway.domain.policy import Policy
from gateway.ports.store import Store


class ImpactIndex:
    """See the module."""

    def __init__(self, writer: Writer, store: Store, load_record: LoadRecord) -> None:
        self._writer = writer
        self._store = store
        self._load_record = load_record
        self._turn = asyncio.Lock()

    @classmethod
    async def built(cls, store: Store, load_record: LoadRecord, tell: Tell = lambda _: None) -> "ImpactIndex":
        """From the store alone. Raises ``StoreUnavailable``, ``MustRebuild``."""
        return cls(await build(store, load_record, tell), store, load_record)

    @classmethod
    async def loaded(cls, path: Path, store: Store, load_record: LoadRecord) -> "ImpactIndex":
        """From a file, brought up to date. Raises ``Unusable``, ``MustRebuild`` (build it), ``StoreUnavailable``."""
        async with store.read() as reading:
            incarnation, newest = await reading.incarnation(), await reading.sequence()
        writer, unwritten = await asyncio.to_thread(load, path, incarnation)
        if writer.sequence > newest:
            raise Unusable("the saved index is ahead of the store")
        await catch_up(writer, store, load_record, unwritten)
        return cls(writer, store, load_record)

    @property
    def sequence(self) -> int:
        """The change-log sequence up to which everything is in it."""
        return self._writer.sequence

    def update(self, updates: Iterable[Update], sequence: int) -> None:
        """Take records as they are at ``sequence``; the caller leaves no change below it out."""
        self._writer.put(updates)
        self._writer.sequence = sequence

    async def catch_up(self) -> int:
        """Read what the change log names; how many people that were. Raises ``MustRebuild``, ``StoreUnavailable``."""
        async with self._turn:
            return await catch_up(self._writer, self._store, self._load_record)

    async def forget_apps(self) -> None:
        """Leave apps out that no device has any more, once they are most of the catalogue; nobody waits for it."""
        catalogue, kept = self._writer.catalogue, self._writer.apps_to_keep()
        if kept is not None:
            fresh = await asyncio.to_thread(Catalogue, map(catalogue.app, kept))
            self._writer.use_catalogue(fresh, kept)

    def view(self) -> Fleet:
        """The fleet of this moment, for good."""
        return self._writer.view()

    async def preview(
        self,
        before: Policy,
        after: Policy,
        now: float,
        *,
        sessions: Sequence[LiveKey] | None = None,
        named: tuple[NamedSet, ...] = (),
        horizons: tuple[float, ...] = HORIZONS,
        by_name: frozenset[Protocol] = frozenset(),
        dated: Sequence[tuple[Policy, Policy]] = (),
    ) -> Impact:
        """What putting ``after`` in the place of ``before`` does to everybody, at ``now``; the rest as in ``Asked``."""
        view, asked = self.view(), Asked(None, named, horizons, by_name, tuple(dated))
        return await asyncio.to_thread(_preview, view, before, after, now, sessions, asked)

    async def save(self, path: Path) -> None:
        """Write the index beside the store. Raises ``OSError``."""
        await asyncio.to_thread(save, frozen(self._writer), path)

    async def verify(self, policy: Policy, now: float, sample: int, seed: int | None = None) -> Verified:
        """Hold a random sample of people against ``decide``. Raises ``StoreUnavailable``."""
        fleet = self.view()
        people = sample_of(fleet, sample, random.Random(seed))  # noqa: S311  (a sample, not a secret)
        return await verify(fleet, self._store, self._load_record, policy, now, people)


def _preview(
    fleet: Fleet, before: Policy, after: Policy, now: float, sessions: Sequence[LiveKey] | None, asked: Asked
) -> Impact:
    live = live_on(fleet, sessions) if sessions is not None else None
    return impact_of(fleet, before, after, now, replace(asked, live=live))
