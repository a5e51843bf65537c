"""PostgreSQL: asyncpg under SQLAlchemy's AsyncEngine, one connection that writes and a few that read.

A write transaction locks the state row as its first act, so that the units of several control processes follow one
another as SQLite's do with BEGIN IMMEDIATE: each reads what the one before it left, and the numbers of the change log,
which the same row gives out at the end, have no gaps. A read is REPEATABLE READ and reads the state row first, which
fixes its snapshot. Each wait has a bound here and another at the server, should this process hang. A connection that
died is replaced at its next use; only a COMMIT without an answer cannot be repaired, and says so (``OutcomeUnknown``).
The writer's says which server it leads to: that may be another one than before (``goes_forward``).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import Select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from gateway.ports.store import OutcomeUnknown, StoreUnavailable
from gateway.storage.sql.errors import translated
from gateway.storage.sql.gathered import Gathered
from gateway.storage.sql.postgres_errors import AWAY, connecting, most_telling
from gateway.storage.sql.postgres_rows import PostgresRows, Row
from gateway.storage.sql.postgres_url import PostgresBounds, PostgresTarget
from gateway.storage.sql.reading import LOCKED_STATE, STATE
from gateway.storage.sql.schema import metadata

T = TypeVar("T")

READERS = 8
READER_SECONDS = 5.0
"""How long a read waits for a free connection."""
RECYCLE_SECONDS = 1800.0
CLOSE_SECONDS = 3.0
SCRUB_SECONDS = 40.0
"""All of it; the command that waits for it has a minute."""
_CLEANED = tuple(table.name for table in metadata.sorted_tables if table.name != "audit_entries")
"""All but the audit log: it is large, is never rewritten, and has pseudonyms."""
OCTETS_LEFT = (
    "PostgreSQL's files may hold octets of deleted rows, which no query gives any more, until they are written over "
    "(VACUUM FULL does it at once), and its write-ahead log, archives and standbys for as long as you keep those"
)


class Connecting:
    """Opens connections to the first host that takes writes."""

    def __init__(self, target: PostgresTarget, bounds: PostgresBounds) -> None:
        """Raises ``InvalidValue`` when a file of the TLS parameters cannot be used."""
        self._target = target
        self._bounds = bounds
        self._tls = target.tls()

    async def __call__(self) -> asyncpg.Connection:
        """A connection with its bounds set. Raises ``StoreUnavailable``."""
        errors = []
        for host, port in self._target.hosts:
            try:
                return await self._connected(host, port)
            except AWAY as error:
                errors.append(connecting(error, self._target))
                # It keeps the driver's calls and this one, and the driver's keep it.
                error.__traceback__ = None
        try:
            raise most_telling(errors)
        finally:
            # The one that is raised keeps this call, which would keep it.
            del errors

    async def _connected(self, host: str, port: int) -> asyncpg.Connection:
        target, bounds = self._target, self._bounds
        connection = await asyncpg.connect(
            host=host,
            port=port,
            user=target.user,
            password=target.password,
            database=target.database,
            ssl=False if host.startswith("/") or self._tls is None else self._tls,
            timeout=bounds.connect,
            command_timeout=bounds.answer,
            target_session_attrs="read-write",
            record_class=Row,
        )
        try:
            row = await connection.fetchrow(_SETTINGS, *_settings(bounds))
            _check_encoding(row["server_encoding"], target.place)
        except BaseException:
            connection.terminate()
            raise
        return connection


_SETTINGS = (
    "SELECT set_config('application_name', 'gatepost', false), set_config('statement_timeout', $1, false), "
    "set_config('lock_timeout', $2, false), set_config('idle_in_transaction_session_timeout', $3, false), "
    # A commit is on the disk before it is acknowledged, and on the synchronous standbys where there are; not less than
    # that where the server's default is less, nor less than the default where that is more.
    "set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') = 'remote_apply' "
    "THEN 'remote_apply' ELSE 'on' END, false), current_setting('server_encoding') AS server_encoding"
)

_SERVER = (
    # A standby that takes over has started at another moment than the primary did. The state's file is another one as
    # soon as a backup was put back into the same server.
    "SELECT pg_postmaster_start_time(), inet_server_addr(), inet_server_port(), pg_relation_filenode('store_state')"
)


def _check_encoding(encoding: str, place: str) -> None:
    if encoding != "UTF8":
        raise StoreUnavailable(f"the database {place} is encoded in {encoding}: create one with ENCODING 'UTF8'")


def _settings(bounds: PostgresBounds) -> tuple[str, str, str]:
    statement, lock, idle = (str(max(1, round(1000 * each))) for each in (bounds.statement, bounds.lock, bounds.idle))
    return statement, lock, idle


def engine_of(target: PostgresTarget, bounds: PostgresBounds, *, connections: int) -> AsyncEngine:
    """An engine with so many connections at most. Raises ``InvalidValue``."""
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=Connecting(target, bounds),
        poolclass=AsyncAdaptedQueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=READER_SECONDS,
        pool_recycle=RECYCLE_SECONDS,
        pool_use_lifo=True,
        hide_parameters=True,
    )


@dataclass(frozen=True, slots=True)
class Begun:
    """A transaction whose first act has read the state row."""

    connection: AsyncConnection
    rows: PostgresRows
    sequence: int
    incarnation: str
    first_on: str = ""
    """``Transaction.first_on``; a reader need not know."""


class PostgresTransaction:
    """The writer's transaction."""

    def __init__(self, begun: "Begun", place: str) -> None:
        self.sequence = begun.sequence
        self.incarnation = begun.incarnation
        self.rows = begun.rows
        self.first_on = begun.first_on
        self._connection = begun.connection
        self._place = place
        self._release = ""

    @property
    def lost(self) -> bool:
        """Whether the connection went, and the transaction with it."""
        return self._connection.closed or self._connection.invalidated

    async def savepoint(self, statement: str) -> None:
        """SAVEPOINT, RELEASE or ROLLBACK TO; a RELEASE goes with the next one: one way less."""
        if statement.startswith("RELEASE"):
            self._release = f"{statement}; "
            return
        statement, self._release = self._release + statement, ""
        await self.rows.say(statement)

    async def settle(self) -> None:
        """Nothing but the end comes now."""
        release, self._release = self._release, ""
        if release:
            await self.rows.say(release)

    def group(self, lease_clock: Callable[[], float] | None, now: Callable[[], float]) -> Gathered:
        """Its units share their statements."""
        return Gathered(self, self.rows, lease_clock, now)

    async def commit(self) -> None:
        """Make it durable. Raises ``OutcomeUnknown`` when the answer does not come."""
        try:
            await self._connection.commit()
        except DBAPIError as error:
            if not self.lost:
                raise translated(error, self._place) from error
            raise OutcomeUnknown(_unknown(self._place)) from error
        except AWAY as error:
            raise OutcomeUnknown(_unknown(self._place)) from error
        finally:
            await given_back(self._connection)

    async def rollback(self) -> None:
        """End without effects."""
        await given_back(self._connection)


def _unknown(place: str) -> str:
    return (
        f"the database {place} gave no answer to a commit: whether it is stored is not known yet. "
        "Send a report again as it is, and look before you repeat an edit"
    )


class PostgresDatabase:
    """Connections to one database. Its server may be another one at each use."""

    def __init__(self, target: PostgresTarget, *, writable: bool, bounds: PostgresBounds) -> None:
        self.place = target.place
        self._connecting = Connecting(target, bounds)
        self._reading = engine_of(target, bounds, connections=READERS).execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self._writing = engine_of(target, bounds, connections=1) if writable else None

    async def scrub(self) -> str:
        """Let the server clean up (VACUUM): no query, and no statistics of the planner, give a deleted row any more."""
        try:
            async with asyncio.timeout(SCRUB_SECONDS):
                connection = await self._connecting()
                try:
                    # Bounded by this process: the large tables may take longer than a statement usually may.
                    await connection.execute("SET statement_timeout = 0")
                    for table in _CLEANED:
                        await connection.execute(f'VACUUM (ANALYZE) "{table}"', timeout=SCRUB_SECONDS)
                finally:
                    connection.terminate()
        except AWAY as error:
            return f"PostgreSQL has not cleaned up its deleted rows ({type(error).__name__}): VACUUM it, or erase again"
        return OCTETS_LEFT

    async def begin(self) -> PostgresTransaction:
        """The writer's next transaction. Raises ``StoreUnavailable``."""
        if self._writing is None:
            raise StoreUnavailable("this process has opened the store for reading only")
        return PostgresTransaction(await self._begun(self._writing, LOCKED_STATE), self.place)

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[tuple[PostgresRows, int, str]]:
        """A read transaction: its rows, and the state it sees."""
        begun = await self._begun(self._reading, STATE)
        try:
            yield begun.rows, begun.sequence, begun.incarnation
        finally:
            await given_back(begun.connection)

    async def at_once(self, work: Callable[[PostgresRows, int, str], Coroutine[Any, Any, T]]) -> T:
        """A whole read transaction."""
        async with self.reader() as (rows, sequence, incarnation):
            return await work(rows, sequence, incarnation)

    async def _begun(self, engine: AsyncEngine, state: Select[tuple[int, str]]) -> Begun:
        """Begin, and read the state row; a kept connection that turns out dead is replaced by another one."""
        while True:
            connection = await self._taken(engine)
            kept = connection.info.setdefault("kept", False)
            rows = PostgresRows(connection, (await connection.get_raw_connection()).driver_connection, self.place)
            first_on = ""
            try:
                ((sequence, incarnation),) = await rows.begin(state)
                if not kept and engine is self._writing:
                    first_on = " ".join(map(str, *await rows.ask(_SERVER)))
            except BaseException as error:
                dead = isinstance(error, StoreUnavailable) and connection.invalidated
                silent = isinstance(error.__cause__, TimeoutError)
                await given_back(connection)
                if kept and dead and not silent:
                    continue
                raise
            connection.info["kept"] = True
            return Begun(connection, rows, sequence, incarnation, first_on)

    async def _taken(self, engine: AsyncEngine) -> AsyncConnection:
        try:
            return await engine.connect()
        except PoolTimeoutError as error:
            raise StoreUnavailable(f"{READERS} reads of the store have been under way for too long") from error
        except (DBAPIError, *AWAY) as error:
            raise translated(error, self.place) from error

    async def close(self) -> None:
        """Close every connection."""
        for engine in (self._reading, self._writing):
            if engine is not None:
                with suppress(*AWAY, SQLAlchemyError):
                    async with asyncio.timeout(CLOSE_SECONDS):
                        await engine.dispose()


async def given_back(connection: AsyncConnection) -> None:
    """End what is open on a connection and let another use it; never raises, and is not broken off half-way."""

    async def close() -> None:
        with suppress(*AWAY, SQLAlchemyError):
            await connection.close()

    await asyncio.shield(asyncio.ensure_future(close()))
