"""A restored database takes the place of the present one, which is kept.

The new file is whole and durable before anything is moved, and the exchange is one rename: at no moment is there none.
"""

import os
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, insert, select, update

from gateway.domain.change import PolicyChange
from gateway.domain.policy import PolicyVersion
from gateway.ports.store import StoreUnavailable
from gateway.storage.backup_file import sync_directory
from gateway.storage.policies import encode_policy
from gateway.storage.policy_changes import encode_policy_change
from gateway.storage.sql import schema as s
from gateway.storage.sql.rows import guarded
from gateway.storage.sql.snapshot import snapshot
from gateway.storage.sql.sqlite import engine_of

BESIDE = ("-wal", "-shm")


@dataclass(frozen=True, slots=True)
class Since:
    """What a database has got after a moment, by number."""

    reports: int
    devices_reported: int
    """Inventory devices whose newest state is later."""
    newest_report_at: float | None
    devices_seen: int
    """Mail devices that asked for the first time."""
    pins: int
    """Bindings by hand."""
    newest_change: int
    """Its number, whenever it was made; 0: there is none."""


async def counted_since(url: str, moment: float) -> Since:
    """What the database at ``url`` has got since. Raises ``StoreUnavailable``."""
    later = select(
        select(func.count()).where(s.messages.c.received_at > moment).scalar_subquery(),
        select(func.count()).where(s.inventories.c.received_at > moment).scalar_subquery(),
        select(func.max(s.messages.c.received_at)).where(s.messages.c.received_at > moment).scalar_subquery(),
        select(func.count()).where(s.mail_devices.c.first_seen_at > moment).scalar_subquery(),
        select(func.count()).where(s.pins.c.at > moment).scalar_subquery(),
        select(func.coalesce(func.max(s.policy_changes.c.number), 0)).scalar_subquery(),
    )
    async with snapshot(url) as present:
        ((reports, inventories, newest, devices, pins, change),) = await present.rows.all(later)
    return Since(reports, inventories, newest, devices, pins, change)


def begin_another_life(
    path: Path, incarnation: str, policy: PolicyVersion | None, change: PolicyChange | None = None
) -> None:
    """Give a database that nobody uses a new name of its life, a further policy version and a change, of any numbers.

    Blocks. Raises ``StoreUnavailable``.
    """

    def work() -> None:
        with engine_of(path, writable=True).connect() as connection, connection.begin():
            connection.execute(update(s.store_state).values(incarnation=incarnation))
            if policy is not None:
                # What was between the backup and now is not in it.
                connection.execute(update(s.store_state).values(past_since=policy.created_at))
                values = {
                    "number": policy.number,
                    "created_at": policy.created_at,
                    "author": policy.author,
                    "document": encode_policy(policy),
                }
                connection.execute(insert(s.policies), values)
            if change is not None:
                values = {
                    "number": change.number,
                    "written_at": change.created_at,
                    "state": change.state.value,
                    "author": change.author,
                    "document": encode_policy_change(change),
                }
                connection.execute(insert(s.policy_changes), values)

    guarded(work, str(path))


def put_in_place(fresh: Path, place: Path, kept: Path) -> bool:
    """Exchange the database at ``place`` for the one at ``fresh``; the old one is at ``kept`` then.

    Whether there was an old one. Nobody may use either. Blocks. Raises ``StoreUnavailable``.
    """
    try:
        _settle(fresh)
        there = place.exists()
        if there:
            # One that is damaged cannot be settled: it is kept as it is, with what stands beside it.
            with suppress(sqlite3.Error):
                _settle(place)
            for end in BESIDE:
                with suppress(FileNotFoundError):
                    place.with_name(place.name + end).replace(kept.with_name(kept.name + end))
            os.link(place, kept)
        fresh.replace(place)
        sync_directory(place.parent)
    except (OSError, sqlite3.Error) as error:
        raise StoreUnavailable(
            f"the database {place} cannot be exchanged ({error}): it is still the old one"
        ) from error
    return there


def remove_unused(path: Path) -> None:
    """Leave nothing of a database that was made for nothing."""
    for end in ("", *BESIDE):
        path.with_name(path.name + end).unlink(missing_ok=True)


def _settle(path: Path) -> None:
    """Bring all into the one file, durably."""
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    finally:
        connection.close()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
