"""The index from the store: all of it at the first start, and from then on what the change log names.

Only ``ports.store`` is known here; how a record is assembled comes as a function, the one that workers judge by. People
are read in pages with a snapshot each; what changes meanwhile is on the log and is read once more at the end, so that
the index is exact for the sequence that it bears.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from gateway.changes.impact.writing import Update, Writer
from gateway.domain.evidence import PersonRecord
from gateway.ports.store import ChangeKind, Reading, Store

PAGE = 500
CHANGES_AT_ONCE = 1_000
ATTEMPTS = 3
GONE_MOST = 500_000
"""A number that is nobody's any more takes some 150 octets."""

LoadRecord = Callable[[Reading, str], Awaitable[PersonRecord]]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a build is."""

    people: int
    of: int
    """As the store counts them at the beginning; logins of nobody known come on top."""


Tell = Callable[[Progress], None]


class MustRebuild(Exception):  # noqa: N818  (a state of affairs)
    """The change log does not say what to read again: it is trimmed, another life's, or everybody's record changed."""


async def build(store: Store, load_record: LoadRecord, tell: Tell = lambda _: None) -> Writer:
    """A new index of everybody. Raises ``StoreUnavailable``; ``MustRebuild`` if everybody keeps changing."""
    for attempt in range(ATTEMPTS):
        try:
            return await _build(store, load_record, tell)
        except MustRebuild:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("not reached")


async def _build(store: Store, load_record: LoadRecord, tell: Tell) -> Writer:
    async with store.read() as reading:
        writer = Writer(await reading.incarnation(), await reading.sequence())
        of = (await reading.counts())["people"]
    done = 0
    pages = _Pages(store, load_record)
    while updates := await pages.people():
        writer.put(updates)
        done += len(updates)
        tell(Progress(done, of))
    while (strangers := await pages.strangers(writer)) is not None:
        writer.put(strangers)
    await catch_up(writer, store, load_record)
    tell(Progress(of, of))
    return writer


class _Pages:
    """Walks the store, each page in one go."""

    def __init__(self, store: Store, load_record: LoadRecord) -> None:
        self._store = store
        self._load_record = load_record
        self._after = ""
        self._after_device = ("", "")

    async def people(self) -> list[Update]:
        """The next known people; empty at the end."""

        async def work(reading: Reading) -> list[Update]:
            page = await reading.people(self._after, PAGE)
            return await _updates(reading, self._load_record, [person.person_id for person in page])

        updates = await self._store.read_at_once(work)
        if updates:
            self._after = updates[-1].record.person_id
        return updates

    async def strangers(self, writer: Writer) -> list[Update] | None:
        """The next logins with mail devices that belong to nobody who is in the index; None at the end."""

        async def work(reading: Reading) -> tuple[list[Update], tuple[str, str]] | None:
            page = await reading.all_mail_devices(self._after_device, PAGE)
            if not page:
                return None
            logins = dict.fromkeys(device.person_id for device in page)
            unknown = [login for login in logins if not writer.is_in(login)]
            last = page[-1].person_id, page[-1].device_id
            return await _updates(reading, self._load_record, unknown), last

        found = await self._store.read_at_once(work)
        if found is None:
            return None
        updates, self._after_device = found
        return updates


async def _updates(reading: Reading, load_record: LoadRecord, logins: Iterable[str]) -> list[Update]:
    left = list(logins)
    updates: list[Update] = []
    while some := left[len(updates) : len(updates) + PAGE]:
        await reading.read_ahead(some)
        updates += [await _update(reading, load_record, login) for login in some]
    return updates


async def _update(reading: Reading, load_record: LoadRecord, login: str) -> Update:
    record = await load_record(reading, login)
    types = {
        device.device_id: device.device_type
        for name in record.logins or (record.person_id,)
        for device in await reading.mail_devices(name)
    }
    return Update(record, None, types)


async def catch_up(writer: Writer, store: Store, load_record: LoadRecord, also: Sequence[str] = ()) -> int:
    """Read again whom the log names above the writer's sequence, and ``also``; how many people that were.

    Raises ``MustRebuild``, ``StoreUnavailable``.
    """
    read, left = 0, list(also)

    async def work(reading: Reading) -> tuple[list[Update], int] | None:
        return await _behind(reading, writer, load_record, left)

    while (found := await store.read_at_once(work)) is not None:
        updates, writer.sequence = found
        writer.put(updates)
        left.clear()
        read += len(updates)
        if writer.gone > max(GONE_MOST, len(writer.device_ids) + len(writer.person_ids) - writer.gone):
            raise MustRebuild("most of its numbers are of devices and people that have gone")
    return read


async def _behind(
    reading: Reading, writer: Writer, load_record: LoadRecord, also: Sequence[str]
) -> tuple[list[Update], int] | None:
    """The next records to read again, and the sequence that the index has reached with them."""
    if await reading.incarnation() != writer.incarnation:
        raise MustRebuild("the store lives another life")
    changes = await reading.changes_after(writer.sequence, CHANGES_AT_ONCE)
    if changes is None:
        raise MustRebuild("the change log is trimmed")
    if any(change.kind is ChangeKind.EVERYBODY for change in changes):
        raise MustRebuild("everybody's record may have changed")
    if not changes and not also:
        return None
    names = dict.fromkeys((*also, *(name for change in changes for name in change.names)))
    updates = await _updates(reading, load_record, names)
    # The snapshot may be newer than the last of these changes: those that follow are read once more.
    return updates, changes[-1].sequence if changes else writer.sequence
