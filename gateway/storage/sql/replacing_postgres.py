"""A restored database takes the place of the present one on PostgreSQL, whose tables are kept in another schema.

All of it is one transaction: tables moved aside, tables made, rows put in. Nobody sees it before it is whole.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, column, delete, func, insert, inspect, literal_column, select, table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.ports.store import StoreUnavailable
from gateway.storage.sql import migrating, postgres, schema
from gateway.storage.sql.errors import translated
from gateway.storage.sql.postgres_errors import AWAY
from gateway.storage.sql.postgres_rows import AsyncRows
from gateway.storage.sql.postgres_url import postgres_target
from gateway.storage.sql.snapshot import LEFT_OUT, PATIENT, snapshot

OTHERS_SECONDS = 3.0
"""Connections that were just closed are seen for a moment."""
_ACTIVITY = table("pg_stat_activity", column("pid"), column("datname"), column("application_name"))
_OTHERS = (
    select(func.count())
    .select_from(_ACTIVITY)
    .where(
        _ACTIVITY.c.application_name == "gatepost",
        _ACTIVITY.c.datname == literal_column("current_database()"),
        _ACTIVITY.c.pid != func.pg_backend_pid(),
    )
)
_NUMBERED = ("inventory_events", "past_values")
_NEXT_ID = "SELECT setval(pg_get_serial_sequence('{0}', 'id'), (SELECT max(id) + 1 FROM {0}))"
_FUNCTIONS = ("policies_are_kept", "audit_is_kept")
"""Of triggers. They go on with their tables; the migrations make others."""
_PRESENT = "SELECT proname FROM pg_proc WHERE pronamespace = current_schema()::regnamespace"


async def refuse_if_used(url: str) -> None:
    """See that no Gatepost process of any machine is connected. Raises ``StoreUnavailable``."""
    target = postgres_target(url)
    engine = postgres.engine_of(target, PATIENT, connections=1)
    try:
        async with engine.connect() as connection:
            await _see_nobody(AsyncRows(connection, target.place), target.place)
    except (DBAPIError, *AWAY) as error:
        raise translated(error, target.place) from error
    finally:
        await engine.dispose()


async def put_in_postgres(fresh: Path, url: str, kept: str, tick: Callable[[int, int], None]) -> bool:
    """Exchange what is in the tables at ``url`` for the rows of the database at ``fresh``.

    Whether there were tables; they are in the schema ``kept`` then. Raises ``StoreUnavailable``: nothing has changed.
    """
    target = postgres_target(url)
    engine = postgres.engine_of(target, PATIENT, connections=1)
    try:
        async with engine.begin() as connection:
            await _see_nobody(AsyncRows(connection, target.place), target.place)
            there = await connection.run_sync(_move_aside, kept)
            await connection.run_sync(migrating.do_steps)
            await _fill(connection, fresh, target.place, tick)
    except (DBAPIError, *AWAY) as error:
        raise translated(error, target.place) from error
    finally:
        await engine.dispose()
    return there


async def _see_nobody(rows: AsyncRows, place: str) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + OTHERS_SECONDS
    while True:
        ((others,),) = await rows.all(_OTHERS)
        if not others:
            return
        if loop.time() > until:
            raise StoreUnavailable(
                f"{others} connections of Gatepost to the database {place} are open: end every gateway on every "
                "machine first"
            )
        await asyncio.sleep(0.1)


def _move_aside(connection: Connection, kept: str) -> bool:
    """Move our tables into the schema ``kept``, if there are any; others' tables stay."""
    names = set(inspect(connection).get_table_names()) & {*schema.metadata.tables, *LEFT_OUT}
    if not names:
        return False
    quote = connection.dialect.identifier_preparer.quote_identifier
    connection.execute(text(f"CREATE SCHEMA {quote(kept)}"))
    for name in sorted(names):
        connection.execute(text(f"ALTER TABLE {quote(name)} SET SCHEMA {quote(kept)}"))
    # An earlier schema has fewer of them.
    present = set(connection.execute(text(_PRESENT)).scalars())
    for function in _FUNCTIONS:
        if function in present:
            connection.execute(text(f"ALTER FUNCTION {function}() SET SCHEMA {quote(kept)}"))
    return True


async def _fill(connection: AsyncConnection, fresh: Path, place: str, tick: Callable[[int, int], None]) -> None:
    rows = AsyncRows(connection, place)
    # Made by the migration, and the restored one has its own.
    await rows.run(delete(schema.store_state))
    async with snapshot(f"sqlite:///{fresh}") as restored:
        whole, done = sum((await restored.counts()).values()), 0
        for found in restored.tables:
            into = insert(schema.metadata.tables[str(found.name)])
            async for page in restored.pages(found):
                await rows.run(into, [dict(row._mapping) for row in page])
                done += len(page)
                tick(done, whole)
    for name in _NUMBERED:
        await rows.all(text(_NEXT_ID.format(name)))
